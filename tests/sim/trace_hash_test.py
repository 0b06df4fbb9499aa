"""Every build of the simulator gives the same runs: g++ and clang, -O3 and -O0, with sanitizers and without.

A seed that fails on one machine is worth nothing when it passes on the next. So what a run does may depend on no
address, no uninitialised byte, no order of a hash table and no compiler's choice among orders of evaluation. One
number stands for the traces of a few seeds (`trunkline-sim --hash N`); all builds must print the same.

usage: trace_hash_test.py path/to/BUILD/tools/trunkline-sim

It builds nothing. It compares that executable with those of the build directories beside it: those that `tools/dev
test --full` makes (release: g++; asan: clang; tsan: g++ -O0), or any others. One that is older than its sources
says nothing about these, and is named and left out. The test runs in each tier, so the last one compares all three.
Exits 77 (skipped) when there is nothing to compare with.
"""
import pathlib
import subprocess
import sys

SEEDS = 5
SKIPPED_EXIT_CODE = 77
EXECUTABLE = pathlib.Path("tools/trunkline-sim")


def is_current(build):
    """Would ninja build this tree's simulator again? A dry run tells, and touches nothing."""
    done = subprocess.run(["ninja", "-n", "-C", str(build), str(EXECUTABLE)], capture_output=True, text=True,
                          check=False)
    return done.returncode == 0 and "no work to do" in done.stdout


def hash_of(executable):
    """Sixteen hexadecimal digits; a simulator that ends in another way is a failure of its own."""
    done = subprocess.run([str(executable), "--hash", str(SEEDS)], capture_output=True, text=True, check=False)
    word = done.stdout.strip()
    if done.returncode != 0 or len(word) != 16:
        sys.exit(f"{executable} --hash {SEEDS}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return word


def main():
    mine = pathlib.Path(sys.argv[1]).resolve()
    build = mine.parents[1]
    hashes = {build.name: hash_of(mine)}
    for other in sorted(build.parent.glob(f"*/{EXECUTABLE}")):
        tree = other.resolve().parents[1]
        if tree == build:
            continue
        if not is_current(tree):
            print(f"{tree.name}: skipped, older than its sources")
            continue
        hashes[tree.name] = hash_of(other)
    for name, word in hashes.items():
        print(f"{name}: {word}")
    if len(set(hashes.values())) > 1:
        sys.exit(f"one seed, different runs: see where they part with `tools/trunkline-sim --seeds {SEEDS} --verbose`, "
                 "then compare the traces of a seed (--trace SEED)")
    if len(hashes) == 1:
        print("no other build of the simulator is there to compare with")
        sys.exit(SKIPPED_EXIT_CODE)


if __name__ == "__main__":
    main()
