"""`tools/dev test`: three builds (--full: four), every registered test, one last line.

The idea: a tier is a build directory and the suites that run in it. Each tier builds only the executables its
tests name, runs them (side by side, except those of suite `alone`), and reports per GoogleTest case. The last
line counts each case once, whichever builds it ran in. One process, no state kept between runs.
"""
import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import gtest_results
import meson_tree

SKIPPED_EXIT_CODE = 77  # meson's and automake's convention for a test that cannot run here
RELEASE_ONLY = {"e2e", "sim", "style", "release"}


@dataclasses.dataclass(frozen=True)
class Tier:
    name: str
    options: tuple
    wants: object           # suites of a test -> does it run here
    patience: int           # sanitizers are slower: factor on each test's own time limit
    compiler: tuple = ()    # CC and CXX, where the environment does not say
    only_full: bool = False


# clang for the larger sanitizer build: it took two thirds of g++'s time here, and its warnings are checked on the way.
CLANG = (("CC", "clang"), ("CXX", "clang++"))
# -O1: the sanitizers' own advice, and the build is most of this tier's time. lundef: a sanitizer's runtime is in the
# executable, so a shared library may not insist on resolving everything itself.
# vptr: that check reads RTTI, which the library rooms are compiled without. dpdk: its own memory is not instrumented.
SANITIZER = ("--buildtype=plain", "-Doptimization=1", "-Ddebug=true", "-Dcpp_args=-g1 -fno-sanitize=vptr",
             "-Db_lundef=false", "-Ddpdk=disabled")
TIERS = (
    Tier("release", ("--buildtype=release",), lambda s: True, 1),
    Tier("asan", (*SANITIZER, "-Db_sanitize=address,undefined"), lambda s: not s & RELEASE_ONLY, 4,
         CLANG),
    # Few tests and a whole library: here building costs more than running.
    Tier("tsan", (*SANITIZER, "-Doptimization=0", "-Db_sanitize=thread"), lambda s: "threads" in s and not s & RELEASE_ONLY, 8),
    # The same with the other compiler, whose instrumentation and whose optimiser are others.
    Tier("tsan-clang", (*SANITIZER, "-Db_sanitize=thread"), lambda s: "threads" in s and not s & RELEASE_ONLY, 8, CLANG, True),
)
ENVIRONMENT = {
    "ASAN_OPTIONS": "halt_on_error=1:abort_on_error=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "halt_on_error=1:abort_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


def say(text):
    print(text, flush=True)


def configure(tier, build):
    """meson setup, once per set of options and compiler. Returns True when the tree is ready."""
    stamp = build / ".dev-options"
    options = list(tier.options) + ["-Dtests=true"]
    # The same words as in tools/dev, so that `build` and `test` agree about build/release.
    env = {**dict(tier.compiler), **os.environ}
    text = f"{' '.join(options)} CXX={env.get('CXX', '')} CC={env.get('CC', '')}"
    if (build / "build.ninja").exists() and stamp.exists() and stamp.read_text() == text:
        return True
    build.parent.mkdir(exist_ok=True)
    log = build.parent / f"{build.name}.setup.log"
    # meson keeps a tree's compiler and its flags for good: only whether there are tests may change in place.
    old = stamp.read_text() if stamp.exists() else ""
    if build.exists() and old.replace("-Dtests=false", "-Dtests=true") != text:
        shutil.rmtree(build)
    mode = ["--reconfigure"] if (build / "build.ninja").exists() else []
    with open(log, "w", encoding="utf-8") as sink:
        done = subprocess.run(["meson", "setup", *mode, str(build), *options], cwd=meson_tree.ROOT,
                              env=env, stdout=sink, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        say("".join(log.read_text(encoding="utf-8").splitlines(keepends=True)[-15:]))
        say(f"meson setup of {build} failed; run tools/dev setup, or delete that directory and retry")
        return False
    stamp.write_text(text)
    return True


def run_one(test, tier, build):
    """Runs one registered test to its end or its time limit. Returns (cases, output)."""
    results = build / "test-results"
    results.mkdir(exist_ok=True)
    base = test["name"].replace("/", "_").replace(" ", "_")
    report, log = results / f"{base}.json", results / f"{base}.log"
    report.unlink(missing_ok=True)
    command = list(test["cmd"])
    if test["protocol"] == "gtest":
        command.append(f"--gtest_output=json:{report}")
    env = {**os.environ, **ENVIRONMENT, "TRUNKLINE_TIER": tier.name, **test["env"]}
    # timeout 0 or less means "no limit" in meson; an unbounded test is what this project is against.
    limit_s = (test["timeout"] if test["timeout"] > 0 else 600) * tier.patience
    ending = ""
    # A session of its own, so that a time limit or Ctrl-C ends the test's children as well; a file rather than a
    # pipe, so that a child that outlives its test cannot keep us waiting for the end of its output.
    with open(log, "wb") as sink, \
            subprocess.Popen(command, cwd=test["workdir"] or build, env=env, stdin=subprocess.DEVNULL,
                             stdout=sink, stderr=subprocess.STDOUT, start_new_session=True) as process:
        running.add(process)
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            end_session(process)
            ending = f"did not end within {limit_s} s"
        finally:
            running.discard(process)
    text = log.read_text(encoding="utf-8", errors="replace")
    code = process.returncode
    if not ending and code != 0:
        ending = f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    if test["protocol"] == "gtest":
        return gtest_results.cases(test["name"], report, text, ending), text
    verdict = "passed" if code == 0 and not ending else "failed"
    reason = ending
    if code == SKIPPED_EXIT_CODE:
        verdict, reason = "skipped", (text.strip().splitlines() or ["no reason given"])[-1]
    return {test["name"]: gtest_results.Case(verdict, reason)}, text


running = set()


def end_session(process):
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        pass


def report_test(test, cases, output, seconds):
    """One line per test; a failing one adds its whole output."""
    failed = [name for name, case in cases.items() if case.verdict == "failed"]
    skipped = [name for name, case in cases.items() if case.verdict == "skipped"]
    mark = "FAIL" if failed else "skip" if len(skipped) == len(cases) else "ok"
    say(f"  {mark:4} {test['name']:32} {len(cases):4} cases {seconds:7.1f} s")
    for name in skipped:
        say(f"       skipped {name}: {cases[name].reason}")
    if failed:
        say("".join(f"    | {line}\n" for line in output.splitlines()[-400:]).rstrip("\n"))
        for name in failed:
            say(f"       FAILED {name}: {cases[name].reason}")


def run_tier(tier, full):
    """Builds and runs one tier. Returns its cases; a build that fails is one failed case."""
    started = time.monotonic()
    build = (meson_tree.ROOT / "build" / tier.name).resolve()
    say(f"{tier.name}: building")
    broken = {f"build {tier.name}": gtest_results.Case("failed", "the build failed; its first error is above")}
    if not configure(tier, build):
        return broken
    # Lets ninja regenerate first when a meson.build changed, so that introspection is not stale.
    if not meson_tree.ninja(build, ["build.ninja"]):
        return broken
    chosen = [t for t in meson_tree.introspect(build, "tests")
              if tier.wants(meson_tree.suites(t)) and (full or "full" not in meson_tree.suites(t))]
    if not meson_tree.ninja(build, meson_tree.files_of(build, [d for t in chosen for d in t["depends"]])):
        return broken
    built = time.monotonic()
    say(f"{tier.name}: built in {built - started:.1f} s, running {len(chosen)} tests")
    alone = [t for t in chosen if "alone" in meson_tree.suites(t) or not t["is_parallel"]]
    # The longest first, so that no processor waits for one at the end: what may take long says so by its priority.
    together = sorted((t for t in chosen if t not in alone), key=lambda t: -t["priority"])
    found = {}

    def timed(test):
        begin = time.monotonic()
        cases, output = run_one(test, tier, build)
        return test, cases, output, time.monotonic() - begin

    for group, workers in ((together, os.cpu_count() or 1), (alone, 1)):
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            try:
                for done in concurrent.futures.as_completed([pool.submit(timed, t) for t in group]):
                    test, cases, output, seconds = done.result()
                    report_test(test, cases, output, seconds)
                    found.update(cases)
            except KeyboardInterrupt:
                pool.shutdown(wait=False, cancel_futures=True)
                for child in list(running):
                    end_session(child)
                raise
    say(f"{tier.name}: {gtest_results.count(found)}; build {built - started:.1f} s, "
        f"run {time.monotonic() - built:.1f} s")
    return found


def main():
    parser = argparse.ArgumentParser(prog="tools/dev test")
    parser.add_argument("--full", action="store_true", help="also the long tests (suite `full`)")
    parser.add_argument("--tier", choices=[tier.name for tier in TIERS], help="this build's tests only")
    args = parser.parse_args()
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    started = time.monotonic()
    total = {}
    for tier in TIERS:
        if tier.name != args.tier if args.tier else tier.only_full and not args.full:
            continue
        gtest_results.merge(total, run_tier(tier, args.full))
    say(f"total {time.monotonic() - started:.1f} s")
    say(gtest_results.count(total))
    sys.exit(gtest_results.exit_code(total))


if __name__ == "__main__":
    # Being ended politely is being interrupted: the running tests are ended too, each in its session.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        print("tools/dev: interrupted", file=sys.stderr)
        sys.exit(130)
