"""Verdicts per GoogleTest case, also from a process that died before it could write its report.

A report is trusted for the cases it names; the process's ending is never ignored: a crash, a non-zero exit that no
case explains, or a binary in which nothing ran, is a failed case of its own.
"""
import dataclasses
import json
import re

BEGAN = re.compile(r"^\[ RUN      \] (\S+)$", re.M)
ENDED = re.compile(r"^\[       OK \] (\S+)|^\[  FAILED  \] (\S+?),? |^\[  SKIPPED \] (\S+)", re.M)


@dataclasses.dataclass(frozen=True)
class Case:
    verdict: str        # passed, failed, skipped
    reason: str = ""


def from_report(report):
    """Cases of a --gtest_output=json file. Disabled cases are not cases."""
    found = {}
    for suite in json.loads(report.read_text(encoding="utf-8"))["testsuites"]:
        for case in suite["testsuite"]:
            name = f"{suite['name']}.{case['name']}"
            if case.get("failures"):
                found[name] = Case("failed", case["failures"][0]["failure"].strip().splitlines()[0])
            elif case.get("result") == "SKIPPED":
                found[name] = Case("skipped")
            elif case.get("status") == "RUN":
                found[name] = Case("passed")
    return found


def from_output(output, ending):
    """Cases of a process that wrote no report: those that ended, and the one that was running."""
    found = {}
    for match in ENDED.finditer(output):
        ok, failed, skipped = match.groups()
        if ok:
            found[ok] = Case("passed")
        elif failed and "." in failed:
            found[failed] = Case("failed", "see its output")
        elif skipped and "." in skipped:
            found[skipped] = Case("skipped")
    for name in BEGAN.findall(output):
        found.setdefault(name, Case("failed", f"was running when the process {ending}"))
    return found


def skip_reason(name, output):
    """The text given to GTEST_SKIP, which the report leaves out."""
    match = re.search(re.escape(f"[ RUN      ] {name}") + r"\n.*?: Skipped\n(.*)", output)
    return Case("skipped", match.group(1).strip() if match else "no reason given")


def cases(test, report, output, ending):
    """All cases of one gtest process. `ending` is empty for exit code 0, else how it ended, in words."""
    try:
        found = from_report(report)
    except (OSError, ValueError, KeyError):
        ending = ending or "wrote no report"
        found = from_output(output, ending)
    found = {name: skip_reason(name, output) if case.verdict == "skipped" else case for name, case in found.items()}
    found = {f"{test}: {name}": case for name, case in found.items()}
    failed = any(case.verdict == "failed" for case in found.values())
    if ending and not failed:
        found[f"{test}: process"] = Case("failed", ending)
    if not found:
        found[f"{test}: process"] = Case("failed", "no case ran")
    return found


def merge(total, tier):
    """A case fails if it failed anywhere; it passed if it passed anywhere; else it was skipped."""
    rank = {"skipped": 0, "passed": 1, "failed": 2}
    for name, case in tier.items():
        if name not in total or rank[case.verdict] > rank[total[name].verdict]:
            total[name] = case


def tally(found):
    verdicts = [case.verdict for case in found.values()]
    return tuple(verdicts.count(v) for v in ("passed", "failed", "skipped"))


def count(found):
    return "{} passed, {} failed, {} skipped".format(*tally(found))


def exit_code(found):
    """Zero only when something passed and nothing failed."""
    passed, failed, _ = tally(found)
    return 0 if passed > 0 and failed == 0 else 1
