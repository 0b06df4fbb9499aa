"""A private copy of this tree in which bugs are planted, and the three judges that a planted bug must get past.

The copy stands below build/, with a build directory of its own that is kept: planting a bug compiles one file and
links two programs, which are put aside, so that the next bug can be planted while these are judged. The judges,
cheapest first: the simulator's seeds; the replayed incidents (trunkline-sim --scenarios); the tests of the relay
room. Each runs under a limit derived from what the programs without a bug need, so that a planted bug that hangs is
caught too, by the clock.
"""
import dataclasses
import filecmp
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time

import meson_tree

PROGRAMS = ("tools/trunkline-sim", "tests/relay/relay_tests")
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


running = set()


def end(process):
    """Ends a run and all its children. What ended by itself has been waited for, so its number is nobody else's."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def run(command, limit_s, cwd):
    """Runs a program to its end or its limit. In a session of its own, so that its children end with it."""
    begin = time.monotonic()
    with tempfile.TemporaryFile() as sink:
        with subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
                              start_new_session=True, preexec_fn=limits) as process:
            running.add(process)
            try:
                code = process.wait(limit_s)
            except subprocess.TimeoutExpired:
                code = None
                end(process)
            finally:
                running.discard(process)
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


def broken_row(output):
    """The first row of the scenarios' tables in which ours fails, as (scenario, what happened); nothing: there is none.
    That a variant without a rule no longer goes wrong as it should catches no bug: nothing that was promised broke."""
    scenario = ""
    for line in output.splitlines():
        if match := re.match(r"(replay/\S+):", line):
            scenario = match.group(1)
        if match := re.match(r"\s+ours\s+FAILS: a defect\s+(.*)", line):
            return scenario, f"ours fails: {match.group(1)}"
    return None


class Tree:
    """The private copy. One thread at a time plants; Session sees to that."""

    def __init__(self, folder, programs=PROGRAMS):
        self.root = folder
        self.build = folder / "build"
        self.programs = programs

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

    def compile(self):
        """Whether the programs build, and what the compiler said. NINJA names another ninja, as meson has it."""
        ninja = os.environ.get("NINJA", "ninja")
        done = subprocess.run([ninja, "-C", str(self.build), "--quiet", *self.programs], check=False, stdin=subprocess.DEVNULL,
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
        built, said = self.compile()
        return "" if built else said

    def object_of(self, path):
        """What the compiler made of a file of the mesh."""
        found = list(self.build.glob(f"relay/libtrunkline_relay.a.p/{path.removeprefix('relay/').replace('/', '_')}.o"))
        return found[0].read_bytes() if found else b""

    def put_aside(self, folder):
        """Copies the programs to where they can be judged."""
        folder.mkdir(parents=True, exist_ok=True)
        for program in PROGRAMS:
            shutil.copy2(self.build / program, folder)

    def plant(self, changed, folder):
        """Compiles the tree with {path: text}, puts the programs aside and the tree right again. Returns what there
        is to say if that makes no bug: (in short, the compiler's words)."""
        before = {path: self.object_of(path) for path in changed}
        try:
            for path, text in changed.items():
                (self.root / path).write_text(text, encoding="utf-8")
            built, said = self.compile()
            if not built:
                return "does not compile", "\n".join(re.findall(r".*error.*", said)[:3])
            if all(self.object_of(path) == code != b"" for path, code in before.items()):
                return "makes the same machine code", ""
            self.put_aside(folder)
            return "", ""
        finally:
            for path in changed:
                (self.root / path).write_bytes((meson_tree.ROOT / path).read_bytes())


@dataclasses.dataclass
class Judges:
    """What the judges are asked, and how long each takes if there is no bug."""
    first_seed: int
    seeds: int
    seconds_at_most: float        # for the seeds of one bug
    seed_s: float = 0.1
    scenarios_s: float = 3.0
    tests_s: float = 6.0
    simulator_arguments: tuple = ()


class Trial:
    """One pair of programs before the judges. Each returns a Catch, or None: it saw nothing."""

    def __init__(self, folder, judges):
        self.folder, self.judges = folder, judges
        self.seeds_passed = 0
        self.simulator, self.tests = (str(folder / pathlib.Path(program).name) for program in PROGRAMS)

    def simulate(self, first, seeds, limit_s):
        command = [self.simulator, "--seeds", str(seeds), "--first-seed", str(first)]
        return run([*command, *self.judges.simulator_arguments], limit_s, self.folder)

    def seed_limit(self, seeds=1):
        """Each seed what it takes, and one that hangs."""
        normal = self.judges.seed_s
        return max(LEAST_LIMIT_S, SLOWER * normal) + 2 * seeds * normal

    def by_seeds(self):
        first, seeds, begin = self.judges.first_seed, self.judges.seeds, time.monotonic()
        while self.seeds_passed < seeds and time.monotonic() - begin < self.judges.seconds_at_most:
            chunk = range(first + self.seeds_passed, first + min(self.seeds_passed + CHUNK, seeds))
            together = self.simulate(chunk[0], len(chunk), self.seed_limit(len(chunk)))
            for seed in chunk if not together.well else ():
                alone = self.simulate(seed, 1, self.seed_limit())
                if not alone.well:
                    return Catch(f"seed {seed}", words(alone, self.seed_limit()), seed - first + 1,
                                 time.monotonic() - begin)
            if not together.well and together.code is not None:
                return Catch(f"seeds {chunk[0]} to {chunk[-1]}, in one process", words(together, 0),
                             chunk[-1] - first + 1, time.monotonic() - begin)
            self.seeds_passed += len(chunk)
        return None

    def by_scenario(self, name=None):
        limit = max(LEAST_LIMIT_S * 4, SLOWER * self.judges.scenarios_s)
        done = run([self.simulator, *(["--scenario", name] if name else ["--scenarios"])], limit, self.folder)
        row = broken_row(done.output)
        if row is None and done.code in (0, 1):
            return None
        scenario, said = row or (name or "scenarios", words(done, limit))
        return Catch(scenario, said, 0, done.seconds)

    def by_tests(self):
        limit = max(LEAST_LIMIT_S * 4, SLOWER * self.judges.tests_s)
        done = run([self.tests], limit, self.folder)
        if done.well:
            return None
        failed = re.findall(r"^\[  FAILED  \] ([\w/]+\.[\w/]+)", done.output, re.M)
        running = re.findall(r"^\[ RUN      \] ([\w./]+)", done.output, re.M)
        if not failed:
            return Catch(f"test {(running[-1:] or ['relay_tests'])[0]}", words(done, limit), 0, done.seconds)
        others = len(set(failed)) - 1
        return Catch(f"test {failed[0]}", f"and {others} more" if others else "alone", 0, done.seconds)


def measure(folder, judges):
    """Shows the judges the programs without a bug, and measures them. Returns a Catch: nothing can be learnt then."""
    trial = Trial(folder, dataclasses.replace(judges, seconds_at_most=3600.0))
    options = run([trial.simulator, "--help"], 10, folder).output
    # A failure need not be made smaller here, and one thread is enough.
    judges.simulator_arguments = tuple(a for a in ("--no-shrink", "--jobs=1") if a.split("=")[0] in options)
    trial.judges.simulator_arguments = judges.simulator_arguments
    begin = time.monotonic()
    if caught := trial.by_seeds():
        return caught
    judges.seed_s = (time.monotonic() - begin) / max(1, judges.seeds)
    scenarios = run([trial.simulator, "--scenarios"], 600, folder)
    if not scenarios.well:
        return trial.by_scenario() or Catch("--scenarios", "a variant does not fail as it must", 0, scenarios.seconds)
    judges.scenarios_s = scenarios.seconds
    begin = time.monotonic()
    if caught := trial.by_tests():
        return caught
    judges.tests_s = time.monotonic() - begin
    return None
