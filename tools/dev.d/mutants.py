"""`tools/dev mutants`: bugs planted on purpose, and who catches them.

Two kinds. The root causes of the published incidents (docs/incidents.md): what kept each of them from happening here
is taken out of the source, file by file. And small mistakes at random places of relay/mesh (mutation.py), as many as
--count says, drawn by --seed. Each is planted alone, in a private copy of the tree; the judges (mutant_tree.py) are
first shown the copy without a bug, and nothing goes on unless all of them are content with it.

Exit code 0: every root cause was caught. A random bug that survives is no failure of this program but something to
read: survivors.toml says of each whether it changes nothing, is covered by another guard, or lies outside of what the
judges look at.
"""
import argparse
import concurrent.futures
import dataclasses
import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import sys
import threading
import time

import meson_tree
import mutant_page
import mutant_tree
import mutation
from mutant_tree import Catch, Judges, Tree, Trial, measure

ROOT = meson_tree.ROOT
PLANTED_IN = "relay/mesh"
READ_AHEAD = 16               # bugs that are planted, or wait to be, while others are judged


@dataclasses.dataclass(frozen=True)
class Cause:
    """A root cause of an incident. Planting it makes a rule of relay/config.h false wherever `files` consult it."""
    id: str
    scenario: str
    rule: str
    planted: str
    files: str = r".*"


CAUSES = (
    Cause("R1", "replay/2022-11-16", "versions", "peers without a wire version in common form a link all the same"),
    Cause("R2", "replay/2023-02-13", "peer_locations", "only the directory is believed about who has a track"),
    Cause("R3a", "replay/2023-11-02", "negative_answers", "a peer that lacks the track says nothing"),
    Cause("R3b", "replay/2023-11-02", "deadlines", "an acquire waits for as long as it takes"),
    Cause("R3c", "replay/2023-11-02", "required_settings", "a setting that the wire needs is neither required nor compared",
          r"relay/(mesh/.*|config_validate)\.(cc|h)"),
    Cause("R4", "replay/2024-02-05", "retry_links", "a handshake that got no answer is not tried again", r".*/handshake\.cc"),
    Cause("R5a", "replay/loop", "no_self_fencing", "a node that loses all its links takes down what it publishes"),
    Cause("R5b", "replay/loop", "loop_check", "a request that comes back is passed on once more"),
    Cause("R6", "replay/relay-v2", "never_blocks", "connecting to a peer holds up everybody until it answers"),
    Cause("R7", "replay/2026-05", "own_deadlines", "who joins a search waits as long as whoever began it"),
    Cause("R8a", "replay/2026-06-02", "media_watchdog", "OK is believed, whether media follows or not"),
    Cause("R8b", "replay/2026-06-02", "ejection", "a peer that keeps failing is asked first again"),
    Cause("R9", "replay/2026-06-18", "retry_links", "a link that was down once stays down", r".*/liveness\.cc"),
)


@dataclasses.dataclass
class Result:
    """What became of one planted bug."""
    id: str
    place: str
    planted: str
    key: str
    caught: Catch = None           # by whoever was asked first and saw it
    replay: Catch = None           # root causes: by the incident's own scenario
    seeds_passed: int = 0
    seconds: float = 0
    stillborn: str = ""            # "does not compile", "same machine code": another one was drawn
    compiler: str = ""

    @property
    def survived(self):
        return not self.stillborn and self.caught is None and self.replay is None


def say(text):
    print(text, flush=True)


def sources(folder, pattern):
    return {str(p.relative_to(ROOT)): p.read_text(encoding="utf-8") for p in sorted((ROOT / folder).rglob(pattern))}


def digest():
    """Of everything that decides who catches what, but for the relay room's tests."""
    state = hashlib.sha256()
    for folder in ("core", "io", "relay", "tools/sim"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file():
                state.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return state.hexdigest()


def plant_cause(cause):
    """{path: text} with the rule out of force in every file that consults it."""
    changed = {}
    consults = re.compile(rf"\b(?:\w+\.)?rules\.{cause.rule}\b")
    for path, text in {**sources("relay", "*.cc"), **sources("relay", "*.h")}.items():
        code = mutation.blank(text)
        if not re.fullmatch(cause.files, path) or not consults.search(code):
            continue
        for match in reversed(list(consults.finditer(code))):
            text = text[:match.start()] + "false" + text[match.end():]
        changed[path] = text
    return changed


def describe(edit):
    if edit.operator.endswith("deleted"):
        return edit.before + ("   left out" if edit.after == "{}" else f"   becomes   {edit.after}")
    return f"{edit.before}   becomes   {edit.after}"


class Session:
    """One run: its tree, its judges, and what was found so far."""

    def __init__(self, args):
        self.args = args
        self.folder = pathlib.Path(args.work).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = open(self.folder / "lock", "w", encoding="utf-8")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"mutants: another run is using {self.folder}; wait for it, or give --work another directory")
        self.digest = digest()
        self.kept = self.folder / "results.json"
        self.known = self.load()
        self.writing, self.planting = threading.Lock(), threading.Lock()
        self.judging = threading.Semaphore(args.jobs)
        self.tree = Tree(self.folder / "tree")
        self.judges = Judges(args.first_seed, args.seeds, args.seconds)

    # ---- what earlier runs found

    def settings(self):
        return [self.digest, self.args.seeds, self.args.first_seed]

    def load(self):
        if not self.kept.exists():
            return {}
        kept = json.loads(self.kept.read_text(encoding="utf-8"))
        if kept["settings"] != self.settings():
            if self.args.resume:
                say("mutants: the sources or the seeds have changed since the last run; all are judged again")
            return {}
        found = {}
        for item in kept["results"]:
            for name in ("caught", "replay"):
                item[name] = Catch(**item[name]) if item[name] else None
            result = Result(**item)
            found[result.id, result.key] = result
        return found

    def keep(self, result):
        with self.writing:
            self.known[result.id, result.key] = result
            kept = {"settings": self.settings(), "results": [dataclasses.asdict(r) for r in self.known.values()]}
            self.kept.write_text(json.dumps(kept, indent=1), encoding="utf-8")

    # ---- planting and judging

    def open(self):
        """Builds the tree, and shows the judges what they must be content with."""
        begin = time.monotonic()
        if said := self.tree.prepare():
            sys.exit(f"{said}\nmutants: the tree does not build as it is")
        say(f"mutants: the copy in {self.tree.root} was built in {time.monotonic() - begin:.0f} s")
        programs = self.folder / "programs" / "none"
        self.tree.put_aside(programs)
        if caught := measure(programs, self.judges):
            sys.exit(f"mutants: without any planted bug, {caught.by} says: {caught.said}\n"
                     "mutants: nothing can be learnt until that is mended (or: other --seeds, --first-seed)")
        say(f"mutants: without a planted bug {self.args.seeds} seeds from {self.args.first_seed} "
            f"({1e3 * self.judges.seed_s:.0f} ms each), the scenarios ({self.judges.scenarios_s:.0f} s) and "
            f"relay_tests ({self.judges.tests_s:.0f} s) are content")

    def planted(self, result, changed, judge):
        """Plants {path: text} and has it judged. Several threads do this at a time: one plants, --jobs judge."""
        known = self.known.get((result.id, result.key))
        if known and self.args.resume and result.id not in self.args.only.split(","):
            return known
        programs = self.folder / "programs" / result.id
        with self.planting:
            result.stillborn, result.compiler = self.tree.plant(changed, programs)
        if not result.stillborn:
            with self.judging:
                begin = time.monotonic()
                trial = Trial(programs, self.judges)
                judge(trial)
                result.seconds, result.seeds_passed = time.monotonic() - begin, trial.seeds_passed
            shutil.rmtree(programs, ignore_errors=True)
        self.keep(result)
        return result

    # ---- the two kinds

    def run_cause(self, cause):
        changed = plant_cause(cause)
        places = ", ".join(sorted(pathlib.Path(p).name for p in changed))
        result = Result(cause.id, places, cause.planted, f"{cause.rule} {cause.files}")
        if not changed:
            result.stillborn = f"nothing consults the rule {cause.rule}"
            return result

        def judge(trial):
            result.caught = trial.by_seeds()
            result.replay = trial.by_scenario(cause.scenario)
        return self.planted(result, changed, judge)

    def run_edit(self, number, edit):
        text = (ROOT / edit.path).read_text(encoding="utf-8")
        result = Result(f"M{number}", f"{edit.path}:{edit.line} {edit.function.split('::')[-1]}", describe(edit),
                        f"{edit.path} {edit.start} {edit.before} {edit.after}")

        def judge(trial):
            result.caught = trial.by_seeds() or trial.by_scenario() or trial.by_tests()
        return self.planted(result, {edit.path: edit.apply(text)}, judge)


def report(result):
    """Says what became of it, and hands it on."""
    say(f"{result.id:5} {result.place}: {result.planted}")
    if result.stillborn:
        say(f"      {result.stillborn}" + (f"\n{result.compiler}" if result.compiler else ""))
        return result
    for catch in (result.caught, result.replay):
        if catch:
            after = f" after {catch.seeds} seed{'s' if catch.seeds > 1 else ''}" if catch.seeds else ""
            say(f"      caught by {catch.by}{after}, {catch.seconds:.1f} s: {catch.said}")
    if result.survived:
        say(f"      SURVIVES {result.seeds_passed} seeds and all the others ({result.seconds:.0f} s)")
    return result


def run_random(session, pool, drawn, wanted):
    """Judges the first `wanted` draws that are bugs at all. Each stillborn one costs one more draw."""
    todo = iter(enumerate(drawn, 1))
    waiting = {pool.submit(session.run_edit, *item) for _, item in zip(range(wanted), todo)}
    results = []
    while waiting:
        done, waiting = concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED)
        for future in done:
            result = report(future.result())
            results.append(result)
            if result.stillborn and (item := next(todo, None)):
                waiting.add(pool.submit(session.run_edit, *item))
    return sorted(results, key=lambda r: int(r.id[1:]))


def parse():
    parser = argparse.ArgumentParser(prog="tools/dev mutants", description="Bugs planted on purpose, and who catches them.")
    parser.add_argument("--seed", type=int, default=1, help="draws the random bugs (default %(default)s)")
    parser.add_argument("--count", type=int, default=31, help="how many random bugs (default %(default)s)")
    parser.add_argument("--seeds", type=int, default=1000, help="of the simulator, per bug (default %(default)s)")
    parser.add_argument("--first-seed", type=int, default=1, help="the first of them (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=60, help="for the seeds of one bug, at most (default %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="bugs that are judged at a time (default %(default)s)")
    parser.add_argument("--only", default="", metavar="ID,...", help="only these: R1 to R9, M1 and so on")
    parser.add_argument("--list", action="store_true", help="print what would be planted")
    parser.add_argument("--resume", action="store_true", help="what the last run found counts, but for what --only names")
    parser.add_argument("--page", metavar="FILE", help="write the table, as docs/planted-bugs.md")
    parser.add_argument("--work", default=str(ROOT / "build" / "mutants"), help="where the copy is built (default build/mutants)")
    return parser.parse_args()


def main():
    args = parse()
    only = [name for name in args.only.split(",") if name]
    drawn = mutation.draw(sources(PLANTED_IN, "*.cc"), args.seed)
    causes = [c for c in CAUSES if not only or c.id in only]
    chosen = [(n, e) for n, e in enumerate(drawn, 1) if f"M{n}" in only]
    if unknown := set(only) - {c.id for c in causes} - {f"M{n}" for n, _ in chosen}:
        sys.exit(f"mutants: there is no {', '.join(sorted(unknown))}; --list names them")
    if args.list:
        for cause in causes:
            say(f"{cause.id:5} {cause.scenario}: {cause.planted} ({', '.join(plant_cause(cause))})")
        for number, edit in chosen or list(enumerate(drawn, 1))[:args.count]:
            say(f"M{number:<4} {edit.path}:{edit.line} {edit.function}: {edit.operator}: {describe(edit)}")
        return 0
    session = Session(args)
    session.open()
    begin = time.monotonic()
    pool = concurrent.futures.ThreadPoolExecutor(args.jobs + READ_AHEAD)
    try:
        found_causes = [report(result) for result in pool.map(session.run_cause, causes)]
        if only:
            found = [report(result) for result in pool.map(lambda item: session.run_edit(*item), chosen)]
        else:
            found = run_random(session, pool, drawn, args.count)
    except KeyboardInterrupt:
        # The copy is put right by the next run.
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list(mutant_tree.running):
            mutant_tree.end(process)
        say("mutants: interrupted; go on with --resume")
        os._exit(130)
    if args.page:
        text = mutant_page.page(args, found_causes, found, {c.id: c for c in CAUSES}, len(mutation.places(
            sources(PLANTED_IN, "*.cc"))), session.judges)
        pathlib.Path(args.page).write_text(text, encoding="utf-8")
    say(mutant_page.summary(found_causes, found) + f" in {time.monotonic() - begin:.0f} s")
    return 1 if any(r.survived or r.stillborn for r in found_causes) else 0


if __name__ == "__main__":
    # Being ended politely is being interrupted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
