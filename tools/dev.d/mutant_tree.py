"""A private copy of this tree in which bugs are planted, and the three judges that a planted bug must get past.

The copy stands below build/, with a build directory of its own that is kept: planting a bug compiles one file and
links two programs. The judges, cheapest first: the simulator's seeds; the replayed incidents (trunkline-sim
--scenarios); the tests of the relay room. Each runs under a limit derived from what the tree without a bug needs, so
that a planted bug that hangs is caught too, by the clock.
"""
import dataclasses
import filecmp
import os
import pathlib
import re
import resource
import shlex
import shutil
import signal
import subprocess
import tempfile
import time

import meson_tree

SIMULATOR, TESTS = "tools/trunkline-sim", "tests/relay/relay_tests"
CHUNK = 20                    # seeds per process: starting one costs as much as two seeds
SLOWER = 20                   # a run that takes so many times what it took without a bug hangs
LEAST_LIMIT_S = 3.0           # of any run: a busy machine is no bug
MEMORY_BYTES = 8 << 30        # of any run, of address space
OPTIONS = ("--buildtype=release", "-Dtests=true", "-Dwerror=false")  # a planted bug may leave a variable unused


@dataclasses.dataclass
class Run:
    code: object              # None: it was ended at its time limit
    output: str
    seconds: float

    @property
    def well(self):
        return self.code == 0


@dataclasses.dataclass
class Catch:
    """Who caught a planted bug, with what words, after how many seeds and seconds."""
    by: str
    said: str
    seeds: int
    seconds: float


def limits():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(command, limit_s, cwd):
    """Runs a program to its end or its limit. In a session of its own, so that its children end with it."""
    begin = time.monotonic()
    with tempfile.TemporaryFile() as sink:
        with subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
                              start_new_session=True, preexec_fn=limits) as process:
            try:
                code = process.wait(limit_s)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        sink.seek(0)
        return Run(code, sink.read().decode("utf-8", "replace"), time.monotonic() - begin)


def words(done, limit_s):
    """What a failed run of the simulator said, in one line."""
    if done.code is None:
        return f"hangs: not done after {limit_s:.0f} s"
    if match := re.search(r"trunkline: (contract broken: .*) at \S+?([\w.]+:\d+)", done.output):
        return f"{match.group(1)} ({match.group(2)})"
    if match := re.search(r"^at [\d.]+ s: (.+)$", done.output, re.M) or re.search(r"^seed \d+: (.+)$", done.output, re.M):
        return match.group(1)
    ended = f"ended by signal {-done.code}" if done.code < 0 else f"ended with exit code {done.code}"
    last = [line for line in done.output.splitlines() if line.strip()][-1:]
    return f"{ended}{': ' + last[0] if last and done.code > 0 else ''}"


def wrong_row(output):
    """The first row of the scenarios' tables that is not as it must be, as (scenario, what is wrong)."""
    scenario = "scenarios"
    for line in output.splitlines():
        if match := re.match(r"(replay/\S+):", line):
            scenario = match.group(1)
        if match := re.match(r"\s+(.+?)\s+(FAILS: a defect|DOES NOT FAIL: the test does not bite)\s+(.*)", line):
            verdict = "fails" if match.group(2).startswith("FAILS") else "does not fail"
            return scenario, f"{match.group(1)} {verdict}: {match.group(3)}"
    return scenario, ""


class Tree:
    """One private copy. Contract: one thread at a time uses it, and one process."""

    def __init__(self, folder):
        self.root = folder
        self.build = folder / "build"
        self.expected = {}    # seconds of each judge without a bug
        self.first_seed, self.seeds, self.seconds_at_most = 1, 0, 60.0
        self.simulator_arguments = []

    # ---- files

    def sync(self):
        """Makes it equal to the tree as it stands, changes that are not committed included. What is equal keeps its
        time, so that ninja has nothing to do for it."""
        listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=meson_tree.ROOT,
                                capture_output=True, check=True).stdout.decode().split("\0")
        wanted = {name for name in listed if name and (meson_tree.ROOT / name).is_file()}
        for name in wanted:
            source, target = meson_tree.ROOT / name, self.root / name
            if target.is_file() and filecmp.cmp(source, target, shallow=False):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            shutil.copymode(source, target)
        for path in [p for p in self.root.rglob("*") if self.build not in p.parents]:
            if path.is_file() and str(path.relative_to(self.root)) not in wanted:
                path.unlink()

    def compile(self, *targets):
        """Whether these build, and what the compiler said. NINJA names another ninja, as meson has it."""
        ninja = shlex.split(os.environ.get("NINJA", "ninja"))
        done = subprocess.run([*ninja, "-C", str(self.build), "--quiet", *targets], check=False, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode == 0, done.stdout.decode("utf-8", "replace")

    def prepare(self):
        """Copies, configures and builds. Returns what went wrong, or nothing."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.sync()
        if not (self.build / "build.ninja").exists():
            done = subprocess.run(["meson", "setup", str(self.build), str(self.root), *OPTIONS], check=False,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode != 0:
                return done.stdout.decode("utf-8", "replace")
        built, said = self.compile(SIMULATOR, TESTS)
        return "" if built else said

    def object_of(self, path):
        """What the compiler made of a file of the mesh."""
        found = list(self.build.glob(f"relay/libtrunkline_relay.a.p/{path.removeprefix('relay/').replace('/', '_')}.o"))
        return found[0].read_bytes() if found else b""

    # ---- the judges; each returns a Catch, or None: it saw nothing

    def simulate(self, first, seeds, limit_s):
        command = [str(self.build / SIMULATOR), "--seeds", str(seeds), "--first-seed", str(first)]
        return run(command + self.simulator_arguments, limit_s, self.build)

    def seed_limit(self, seeds=1):
        """Each seed what it takes, and one that hangs."""
        normal = self.expected.get("seed", 0.1)
        return max(LEAST_LIMIT_S, SLOWER * normal) + 2 * seeds * normal

    def judge_seeds(self):
        begin, done = time.monotonic(), 0
        while done < self.seeds and time.monotonic() - begin < self.seconds_at_most:
            count = min(CHUNK, self.seeds - done)
            together = self.simulate(self.first_seed + done, count, self.seed_limit(count))
            if not together.well:
                for seed in range(self.first_seed + done, self.first_seed + done + count):
                    alone = self.simulate(seed, 1, self.seed_limit())
                    if not alone.well:
                        return Catch(f"seed {seed}", words(alone, self.seed_limit()), seed - self.first_seed + 1,
                                     time.monotonic() - begin), done
                if together.code is not None:
                    return Catch(f"seeds {self.first_seed + done} to {self.first_seed + done + count - 1}, one after "
                                 "the other in one process", words(together, 0), done + count,
                                 time.monotonic() - begin), done
            done += count
        return None, done

    def judge_scenario(self, name=None):
        limit = max(LEAST_LIMIT_S * 4, SLOWER * self.expected.get("scenarios", 3.0))
        command = [str(self.build / SIMULATOR), *(["--scenario", name] if name else ["--scenarios"])]
        done = run(command, limit, self.build)
        if done.well:
            return None
        scenario, said = wrong_row(done.output)
        return Catch(name or scenario, said or words(done, limit), 0, done.seconds)

    def judge_tests(self):
        limit = max(LEAST_LIMIT_S * 4, SLOWER * self.expected.get("tests", 6.0))
        built, said = self.compile(TESTS)
        if not built:
            return Catch("relay_tests", "do not build: " + said.strip().splitlines()[-1], 0, 0)
        done = run([str(self.build / TESTS), "--gtest_brief=0"], limit, self.build)
        if done.well:
            return None
        failed = re.findall(r"^\[  FAILED  \] ([\w./]+)", done.output, re.M)
        running = re.findall(r"^\[ RUN      \] ([\w./]+)", done.output, re.M)
        test = (failed or running[-1:] or ["relay_tests"])[0]
        if not failed:
            return Catch(f"test {test}", words(done, limit), 0, done.seconds)
        others = len(set(failed)) - 1
        return Catch(f"test {test}", f"and {others} more" if others else "alone", 0, done.seconds)

    def without_a_bug(self):
        """Measures all judges on the tree as it is. Returns what one of them found: then there is nothing to learn."""
        options = run([str(self.build / SIMULATOR), "--help"], 10, self.build).output
        # A failure need not be made smaller here, and one thread is enough.
        self.simulator_arguments = [a for a in ("--no-shrink", "--jobs=1") if a.split("=")[0] in options]
        begin = time.monotonic()
        at_most, self.seconds_at_most = self.seconds_at_most, 3600.0
        caught, _ = self.judge_seeds()
        self.seconds_at_most = at_most
        self.expected["seed"] = (time.monotonic() - begin) / max(1, self.seeds)
        for name, judge in (("scenarios", self.judge_scenario), ("tests", self.judge_tests)):
            begin = time.monotonic()
            caught = caught or judge()
            self.expected[name] = time.monotonic() - begin
        return caught
