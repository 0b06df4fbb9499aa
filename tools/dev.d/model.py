"""`tools/dev model`: core's lock-free classes under every interleaving, and what that is worth.

First the tests of tests/model: the explorer against litmus tests, the classes themselves, each memory order weakened in
turn. Then the checks: each condition, assignment and call of the classes is taken out, inverted or decided once and for
all (mutation.py), one at a time, in a header of its own that comes first on the include path; the programs of
tests/model must find something, or else the class's own tests. What is found by none is explained in model_survivors.toml, or the exit code is 1.
"""
import argparse
import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import tomllib

import meson_tree
import mutation

ROOT = meson_tree.ROOT
BUILD = ROOT / "build/release"
LIBRARY = BUILD / "core/libtrunkline_core.a"
MUTANTS = ROOT / "build/model-mutants"
REASONS = pathlib.Path(__file__).resolve().parent / "model_survivors.toml"
# Which programs come by a header: a part of their names, and the files that have them; and the class's own tests.
USERS = {
    "core/ring_block.h": (("ring",), ("ring", "return", "wake"), ("ring_block", "ring_contract")),
    "core/spsc_ring.h": (("ring",), ("ring", "return", "wake"), ("ring_contract", "spsc_ring", "ring_block")),
    "core/line_ring.h": (("line ring",), ("ring", "wake"), ("ring_contract", "line_ring", "ring_block")),
    "core/packet_return.h": (("lent",), ("return",), ("packet_return",)),
    "core/table_line.h": (("table",), ("table",), ("bounded_table",)),
    "core/bounded_table.h": (("table",), ("table",), ("bounded_table",)),
    "core/location_table.h": (("location",), ("location",), ("location_table", "location_table_property")),
    "core/wake_word.h": (("wake",), ("wake",), ("wake_word",)),
}
PROGRAMS = ("ring", "return", "table", "location", "wake")
FLAGS = ("-std=c++20", "-O1", "-fno-omit-frame-pointer")
TEST_FLAGS = ("-std=c++20", "-fno-omit-frame-pointer", "-fsanitize=address")
PATIENCE = 30  # seconds, several times what the slowest needs: what takes longer does not end


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


def precompiled(header, flags, compiler):
    """What to say to the compiler so that it reads the standard library (and GoogleTest) once, and not per mistake."""
    copy = MUTANTS / "headers" / header
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / header, copy)
    if (made := run([*compiler, *flags, "-x", "c++-header", str(copy), "-o", f"{copy}.gch"])).returncode != 0:
        raise RuntimeError(f"{header} must compile: {made.stdout[-400:]}")
    return [*compiler, *flags, "-include", str(copy)]


def compile_one(name, include, target, compiler):
    source = ROOT / "tests/model" / f"{name}.cc"
    return run([*compiler, *(f"-I{directory}" for directory in include), "-c", str(source), "-o", str(target)])


def judge(edit, number, built, compiler, test_compiler):
    """Plants one mistake, builds the programs that come by it, and runs them."""
    home = MUTANTS / f"m{number}"
    shutil.rmtree(home, ignore_errors=True)
    header = home / edit.path
    header.parent.mkdir(parents=True)
    header.write_text(edit.apply((ROOT / edit.path).read_text(encoding="utf-8")), encoding="utf-8")
    parts, used, _ = USERS[edit.path]
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
        if (link := run([*compiler, *map(str, linked), str(LIBRARY), "-o", str(binary)])).returncode != 0:
            raise RuntimeError(f"what compiles must link: {link.stdout[-400:]}")
        try:
            ran = run([str(binary), *parts], timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            return Verdict(edit, f"does not end within {PATIENCE} s")
        if ran.returncode == 0:
            return Verdict(edit, unit_tests(edit.path, home, test_compiler))
        said = ran.stdout.strip().replace(f"{home}/", "").splitlines()
        return Verdict(edit, said[-1] if said else f"signal {-ran.returncode}")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def unit_tests(path, home, compiler):
    """What the class's own tests say of the header below `home`, under the address sanitizer; nothing: content."""
    return next(filter(None, (unit_test(f"{name}_test", home, compiler) for name in USERS[path][2])), "")


def unit_test(name, home, compiler):
    binary = home / name
    made = run([*compiler, f"-I{home}", f"-I{ROOT}", str(ROOT / "tests/core" / f"{name}.cc"), str(LIBRARY), "-lgtest_main",
                "-lgtest", "-o", str(binary)])
    if made.returncode != 0:
        return f"{name} does not build: {made.stdout[-300:]}"
    try:
        ran = run([str(binary), "--gtest_brief=1"], timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return f"{name} does not end within {PATIENCE} s"
    if ran.returncode == 0:
        return ""
    failed = re.findall(r"\[  FAILED  \] (\w+\.\w+)", ran.stdout)
    sanitizer = re.search(r"(ERROR: AddressSanitizer: [\w-]+)", ran.stdout)
    return f"{name}: {failed[0] if failed else sanitizer.group(1) if sanitizer else 'a contract breaks'}"


class Memory:
    """What was judged before, of the same sources by the same compiler: half an hour's work may be interrupted. A line each."""

    def __init__(self, compiler):
        digest = hashlib.sha256(run([*compiler, "--version"]).stdout.encode())
        for room in ("core", "tests/core", "tests/model", "tests/support", "tools/dev.d"):
            for path in sorted((ROOT / room).rglob("*.[hcp]*")):
                digest.update(path.read_bytes())
        self.file = MUTANTS / f"verdicts-{digest.hexdigest()[:16]}.jsonl"
        lines = self.file.read_text(encoding="utf-8").splitlines() if self.file.exists() else []
        self.verdicts = {tuple(key): verdict for key, *verdict in map(json.loads, lines)}
        self.lock = threading.Lock()

    def recall(self, edit, judge_it):
        key = (edit.path, edit.start, edit.end, edit.text)
        if key in self.verdicts:
            return Verdict(edit, *self.verdicts[key])
        verdict = judge_it()
        with self.lock, open(self.file, "a", encoding="utf-8") as sink:
            sink.write(json.dumps([key, verdict.said, verdict.stillborn]) + "\n")
        return verdict


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
    parser.add_argument("--only", default="", metavar="TEXT", help="only the checks of a file, or of code, whose name or text contains this")
    parser.add_argument("--page", type=pathlib.Path, metavar="FILE", help="write the page of what was found (docs/lock-free-proof.md)")
    options = parser.parse_args()
    compiler = os.environ.get("CXX", "g++").split()
    tests = run([str(BUILD / "tests/model/model_tests"), "--gtest_brief=1"])
    print(tests.stdout, end="")
    if tests.returncode != 0:
        return 1
    MUTANTS.mkdir(parents=True, exist_ok=True)
    built = objects()
    programs_compiler = precompiled("relay/pch/standard.h", FLAGS, compiler)
    test_compiler = precompiled("tests/pch/tests.h", TEST_FLAGS, compiler)
    planted = [edit for edit in edits() if options.only in edit.path or options.only in edit.before][::options.checks or 1]
    memory, known = Memory(compiler), known_reasons()
    judged = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        tools = (built, programs_compiler, test_compiler)
        for verdict in pool.map(lambda numbered: memory.recall(numbered[1], lambda: judge(numbered[1], numbered[0], *tools)),
                                enumerate(planted)):
            if verdict.stillborn:
                continue
            why = reason(verdict, known)
            judged.append((verdict, why))
            print(f"{place(verdict)}: {verdict.planted}\n"
                  f"    {verdict.said or why or 'NOBODY HAS EXPLAINED WHY THIS CHANGES NOTHING'}", flush=True)
    unexplained = sum(1 for verdict, why in judged if not verdict.said and why is None)
    summary = summarise(judged, unexplained)
    if options.checks and options.checks > 1:
        summary += f" (one in {options.checks} of all)"
    print(summary)
    if options.page:
        options.page.write_text(page(tests.stdout, judged, summary), encoding="utf-8")
    return 1 if unexplained else 0


def place(verdict):
    return f"{verdict.edit.path}:{verdict.edit.line} {verdict.edit.function}"


def summarise(judged, unexplained):
    found = [verdict.said for verdict, _ in judged if verdict.said]
    by_tests = sum(1 for said in found if "_test: " in said or "_test does" in said)
    return (f"{len(judged)} mistakes planted in core: {len(found) - by_tests} found by the explorer, {by_tests} by the class's own "
            f"tests, {len(judged) - len(found) - unexplained} change nothing that anybody could see, {unexplained} unexplained")


def cell(text):
    return " ".join(text.split()).replace("|", "\\|")


def page(output, judged, summary):
    """What the tests print, in their own words, and a row per planted mistake."""
    tables = re.split(r"(?m)^(?=litmus test |program |where )", output)[1:]
    tables = [re.split(r"(?m)^\[|^Running|^$", table)[0].rstrip() for table in tables]
    rows = [f"| {place(verdict)} | `{cell(verdict.planted)}` | {cell(verdict.said or why or 'unexplained')} |" for verdict, why in judged]
    litmus, programs, orders = tables
    return PAGE.format(litmus=litmus, programs=programs, orders=orders, summary=summary, rows="\n".join(rows))


PAGE = """# Proof of the lock-free core

Stress tests on x86 cannot show that a ring or a table is right: the machine hides most of what the memory model allows. So the
classes of `core` in which threads meet run, as they are, under an explorer (`tests/model/`) that tries every interleaving of a few
threads and, for every load, every value that the release/acquire part of the C++20 memory model lets it return. It also finds data
races on what is not atomic, use after free, leaks, and threads that sleep for ever.

```
tools/dev model --page docs/lock-free-proof.md
```

That command wrote this page; its text is in `tools/dev.d/model.py`. `tools/dev test` runs all of it but the last table.

## What the explorer does and does not show

Operations are performed in the order of the program, so no value comes from the future: load buffering, which C++20 allows to
relaxed accesses and RC11 forbids, is not shown. All else is. Sequentially consistent accesses and fences do not exist in `core`
(`core/atomic.h` offers none). Two lists of choices that lead to the same past are explored once; pasts are told apart by 64-bit
hashes.

It is held against the programs by which memory models are told apart first. `allowed` is what RC11 says of the outcome that only a
weak machine shows; `found` is what the explorer saw.

```
{litmus}
```

A bug that others shipped is found as well: the C11 head/tail ring whose producers told each other nothing of the tail, mended in
DPDK in November 2025 (`tests/model/known_bugs_test.cc`).

## The classes

Rings of two and four slots, six items through them in each way in which items are put in and taken out; the table with one writer
that inserts, erases and uses entries again, and one or two readers; the location table, whose owners restart and leave while tracks
move; the wake word with one and two producers; buffers of a pool that are lent to another core, two or four at a time, and come home.
Every execution is tried.

```
{programs}
```

## Every memory order is needed

Each ordered access is made weaker by one step, one at a time, and something is found each time.

```
{orders}
```

## Every check is needed

Each condition, assignment and call of these classes is left out, inverted, or decided once and for all, one at a time.
**{summary}.**

| where | mistake | found by, or why it changes nothing |
|---|---|---|
{rows}
"""


if __name__ == "__main__":
    sys.exit(main())
