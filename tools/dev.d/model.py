"""`tools/dev model`: core's lock-free classes under every interleaving, and what that is worth.

First the tests of tests/model: the explorer against litmus tests, the classes themselves, each memory order weakened in
turn. Then the checks: each condition, assignment and call of the classes is taken out, inverted or decided once and for
all (mutation.py), one at a time, in a header of its own that comes first on the include path; the programs of
tests/model must find something, or else the class's own tests. What is found by none is explained in model_survivors.toml, or the exit code is 1.
"""
import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

import meson_tree
import mutation

ROOT = meson_tree.ROOT
BUILD = ROOT / "build/release"
MUTANTS = ROOT / "build/model-mutants"
REASONS = pathlib.Path(__file__).resolve().parent / "model_survivors.toml"
# Which programs come by a header: a part of their names, and the files that have them.
USERS = {
    "core/spsc_ring.h": (("ring",), ("ring", "wake")),
    "core/bounded_table.h": (("table",), ("table",)),
    "core/wake_word.h": (("wake",), ("wake",)),
}
PROGRAMS = ("ring", "table", "wake")
FLAGS = ("-std=c++20", "-O1", "-fno-omit-frame-pointer")
PATIENCE = 60  # seconds: what takes longer does not end


@dataclasses.dataclass
class Verdict:
    edit: mutation.Edit
    said: str          # what was found; empty: nothing
    stillborn: bool = False

    @property
    def planted(self):
        return f"{self.edit.before}   left out" if self.edit.text == "{}" else f"{self.edit.before}   becomes   {self.edit.after}"


class CoreFile(mutation.File):
    """Also what an expression of a returned choice rests on: `return CONDITION ? a : b;`."""

    def choices(self):
        for match in re.finditer(r"\breturn ([^;{}?]+?) \? ", self.code):
            begin, end = match.span(1)
            if self.function(begin) is not None:
                yield self.condition_edits(begin, end, match.span(), True)

    def places(self):
        found = [*super().places(), *self.choices()]
        return sorted((edits for edits in found if edits), key=lambda edits: (edits[0].start, edits[0].end))


def edits():
    """Every mistake at every place, but for what only hurries: prefetches."""
    for path in USERS:
        for place in CoreFile(path, (ROOT / path).read_text(encoding="utf-8")).places():
            for edit in place:
                if "prefetch" not in edit.before and edit.before != edit.after:
                    yield edit


def run(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)


def objects():
    """The objects of the library, by source file name; built by meson, used by every mutant."""
    directories = [BUILD / "tests/model" / name for name in ("libmodel.a.p", "model_explore.p")]
    return {path.name.split(".")[0]: path for directory in directories for path in directory.glob("*.o")}


def compile_one(name, include, target, compiler):
    source = ROOT / "tests/model" / f"{name}.cc"
    return run([*compiler, *FLAGS, *(f"-I{directory}" for directory in include), "-c", str(source), "-o", str(target)])


def judge(edit, number, built, compiler):
    """Plants one mistake, builds the programs that come by it, and runs them."""
    home = MUTANTS / f"m{number}"
    shutil.rmtree(home, ignore_errors=True)
    header = home / edit.path
    header.parent.mkdir(parents=True)
    header.write_text(edit.apply((ROOT / edit.path).read_text(encoding="utf-8")), encoding="utf-8")
    parts, used = USERS[edit.path][0], USERS[edit.path][1]
    linked = [built["explore_main"], built["explorer"], built["fiber"], built["memory"], built["programs"]]
    try:
        for program in PROGRAMS:
            target = built[f"{program}_programs"]
            if program in used:
                target = home / f"{program}.o"
                if compile_one(f"{program}_programs", (home, ROOT), target, compiler).returncode != 0:
                    return Verdict(edit, "", stillborn=True)
            linked.append(target)
        binary = home / "explore"
        if (link := run([*compiler, *map(str, linked), "-o", str(binary)])).returncode != 0:
            return Verdict(edit, f"does not link: {link.stdout[-200:]}", stillborn=True)
        try:
            ran = run([str(binary), *parts], timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            return Verdict(edit, f"does not end within {PATIENCE} s")
        if ran.returncode == 0:
            return Verdict(edit, unit_tests(edit.path, home, compiler))
        return Verdict(edit, ran.stdout.strip().splitlines()[-1] if ran.stdout.strip() else f"signal {-ran.returncode}")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def unit_tests(path, home, compiler):
    """What the class's own tests say of the header below `home`, under the address sanitizer; nothing: content."""
    name = pathlib.Path(path).stem
    binary = home / "unit_tests"
    made = run([*compiler, *FLAGS, "-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{home}", f"-I{ROOT}",
                str(ROOT / "tests/core" / f"{name}_test.cc"), str(BUILD / "core/libtrunkline_core.a"), "-lgtest_main", "-lgtest",
                "-o", str(binary)])
    if made.returncode != 0:
        return f"its tests do not build: {made.stdout[-300:]}"
    try:
        ran = run([str(binary), "--gtest_brief=1"], timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return f"{name}_test does not end within {PATIENCE} s"
    if ran.returncode == 0:
        return ""
    failed = re.findall(r"\[  FAILED  \] (\w+\.\w+)", ran.stdout)
    sanitizer = re.search(r"(ERROR: AddressSanitizer: [\w-]+|runtime error: .*)", ran.stdout)
    return f"{name}_test: {failed[0] if failed else sanitizer.group(1) if sanitizer else 'a contract breaks'}"


def known_reasons():
    return tomllib.loads(REASONS.read_text(encoding="utf-8")).get("survivor", [])


def reason(verdict, known):
    for entry in known:
        if (entry["path"], entry["function"], entry["planted"]) == (verdict.edit.path, verdict.edit.function, verdict.planted):
            return " ".join(entry["why"].split())
    return None


def main():
    parser = argparse.ArgumentParser(prog="tools/dev model", description=__doc__.split("\n\n")[1])
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--checks", type=int, metavar="N", help="only every so many-th of the checks, from the first")
    options = parser.parse_args()
    compiler = os.environ.get("CXX", "g++").split()
    tests = subprocess.run([str(BUILD / "tests/model/model_tests"), "--gtest_brief=1"], check=False)
    if tests.returncode != 0:
        return 1
    MUTANTS.mkdir(parents=True, exist_ok=True)
    built = objects()
    planted = list(edits())[::options.checks or 1]
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        verdicts = list(pool.map(lambda numbered: judge(numbered[1], numbered[0], built, compiler),
                                 enumerate(planted)))
    known, unexplained, counts = known_reasons(), 0, {"found": 0, "explained": 0, "stillborn": 0}
    for verdict in verdicts:
        place = f"{verdict.edit.path}:{verdict.edit.line} {verdict.edit.function}"
        if verdict.stillborn:
            counts["stillborn"] += 1
            continue
        if verdict.said:
            counts["found"] += 1
            print(f"found      {place}: {verdict.planted}\n           {verdict.said}")
            continue
        why = reason(verdict, known)
        counts["explained"] += why is not None
        unexplained += why is None
        print(f"survives   {place}: {verdict.planted}\n           {why or 'NOBODY HAS EXPLAINED IT'}")
    print(f"{len(verdicts) - counts['stillborn']} mistakes planted in core: {counts['found']} found, "
          f"{counts['explained']} change nothing that anybody could see, {unexplained} unexplained "
          f"({counts['stillborn']} more do not compile)")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
