"""Whether docs/attacks.md is true: its rows are the holes, one each, and the tests that it names exist.

A row is `| attack | what guards it | tests | taken out |`. "yes": `tools/dev attacks` has a hole of that name, and the
tests are those that it must make fail. "no": there is none, and the tests are there all the same.
"""
import fnmatch
import re

import meson_tree

PAGE = meson_tree.ROOT / "docs/attacks.md"
ROW = re.compile(r"^\| (?P<attack>[^|]+) \| (?P<guard>[^|]+) \| (?P<tests>[^|]+) \| (?P<taken>yes|no) \|$")
CASE = re.compile(r"^TEST(?:_[FP])?\(\s*(\w+)\s*,\s*(\w+)\s*\)", re.M)


def rows():
    return [match for line in PAGE.read_text(encoding="utf-8").splitlines() if (match := ROW.match(line))]


def cases():
    """Every test of the tree, as Suite.Name."""
    return {f"{suite}.{name}" for path in (meson_tree.ROOT / "tests").rglob("*_test.cc")
            for suite, name in CASE.findall(path.read_text(encoding="utf-8"))}


def named(row):
    return re.findall(r"`(\w+\.\w+)`", row["tests"])


def must_fail(test, hole):
    """Whether the hole's filter chooses it; of a test with parameters, `Suite.Name` stands for all of them."""
    return any(fnmatch.fnmatch(test, pattern) for pattern in hole.tests.split(":"))


def faults(holes):
    by_name = {hole.attack: hole for hole in holes}
    found, wrong = rows(), []
    exist = cases()
    if len(by_name) != len(holes):
        wrong.append("two holes have the same name")
    taken = [row["attack"] for row in found if row["taken"] == "yes"]
    wrong += [f"docs/attacks.md: no row for '{name}'" for name in by_name if name not in taken]
    wrong += [f"docs/attacks.md: '{name}' is no hole" for name in taken if name not in by_name]
    wrong += [f"docs/attacks.md: '{name}' has {taken.count(name)} rows" for name in set(taken) if taken.count(name) > 1]
    for row in found:
        tests = named(row)
        if not tests:
            wrong.append(f"docs/attacks.md: '{row['attack']}' names no test")
        wrong += [f"docs/attacks.md: there is no test {test}" for test in tests if test not in exist]
        hole = by_name.get(row["attack"]) if row["taken"] == "yes" else None
        wrong += [f"docs/attacks.md: {test} is not what '{hole.attack}' must fail" for test in tests
                  if hole is not None and not must_fail(test, hole)]
    return wrong
