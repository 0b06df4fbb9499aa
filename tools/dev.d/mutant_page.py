"""docs/planted-bugs.md, as `tools/dev mutants --page` writes it: who caught which planted bug, and why some survive.

The reasons of survivors are a person's, in survivors.toml beside this file; each names the place and the planted
change, so that it stops counting as soon as the code there reads differently.
"""
import pathlib
import textwrap
import tomllib

REASONS = pathlib.Path(__file__).resolve().parent / "survivors.toml"
KINDS = {
    "equivalent": "changes nothing that anybody could see",
    "masked": "another guard covers it",
    "outside": "outside of what the judges look at",
}
WIDTH = 130


def reasons():
    return tomllib.loads(REASONS.read_text(encoding="utf-8")).get("survivor", [])


def reason(result, known):
    """(kind, why) of a survivor; nothing: nobody has explained it."""
    path, function = result.place.split(":")[0], result.place.split(" ")[-1]
    for entry in known:
        if (entry["path"], entry["function"], entry["planted"]) == (path, function, result.planted):
            return entry["kind"], " ".join(entry["why"].split())
    return None


def code(text):
    """As code in a table's cell."""
    text = " ".join(text.split()).replace("|", "\\|")
    return f"``{text}``" if "`" in text else f"`{text}`"


def planted(result):
    before, becomes, after = result.planted.partition("   becomes   ")
    if becomes:
        return f"{code(before)} becomes {code(after)}"
    return f"{code(before.removesuffix('   left out'))} left out"


def short(text, most=110):
    text = " ".join(text.split()).replace("|", "\\|")
    return text if len(text) <= most else text[:most].rsplit(" ", 1)[0] + " ..."


def seconds(catch):
    return f"{catch.seconds:.1f} s"


def caught(catch):
    return f"{catch.by}: {short(catch.said)}" if catch else ""


def after(catch):
    if catch is None:
        return ""
    return (f"{catch.seeds} seed{'s' if catch.seeds > 1 else ''}, " if catch.seeds else "") + seconds(catch)


def by_kind(found):
    """How many were caught by seeds, by scenarios, by tests."""
    first = [r.caught.by.split(" ")[0] for r in found if r.caught]
    return (sum(b in ("seed", "seeds") for b in first), sum(b.startswith(("replay", "scenarios")) for b in first),
            sum(b in ("test", "relay_tests") for b in first))


def survivors(lost):
    return f"{len(lost)} survive{'s' if len(lost) == 1 else ''}"


def summary(causes, found):
    alive = [r for r in found if not r.stillborn]
    lost = [r for r in alive if r.survived]
    seeds, scenarios, tests = by_kind(alive)
    known = reasons()
    unexplained = sum(reason(r, known) is None for r in lost)
    text = (f"mutants: {sum(not r.survived and not r.stillborn for r in causes)} of {len(causes)} root causes and "
            f"{len(alive) - len(lost)} of {len(alive)} random bugs caught (by seeds {seeds}, scenarios {scenarios}, "
            f"relay_tests {tests}); {survivors(lost)}")
    return text + (f", {unexplained} of them not explained" if unexplained else "")


def paragraph(text):
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False)


HEAD = """# Planted bugs

A simulator that finds nothing may be right or blind. So bugs are planted on purpose, one at a time, in a private copy of the
tree, and the judges must find them: first seeds of the simulator, then the replayed incidents, then the tests of the relay room.
"""


def table(head, rows):
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def page(args, causes, found, by_id, places, judges):
    alive = [r for r in found if not r.stillborn]
    lost = [r for r in alive if r.survived]
    seeds, scenarios, tests = by_kind(alive)
    unable = sum(r.stillborn == "does not compile" for r in found)
    same = len(found) - len(alive) - unable
    hit = sorted(r.caught.seeds for r in alive if r.caught and r.caught.seeds)
    command = f"tools/dev mutants --seed {args.seed} --count {args.count} --seeds {args.seeds}"
    if args.first_seed != 1:
        command += f" --first-seed {args.first_seed}"
    out = [HEAD, "```", f"{command} --page docs/planted-bugs.md", "```", ""]
    out.append(paragraph(f"""That command wrote this page; its text is in `tools/dev.d/mutant_page.py`. Without a planted
        bug all judges are content, which it checks first: {args.seeds} seeds from {args.first_seed}
        ({1e3 * judges.seed_s:.0f} ms each), all scenarios ({judges.scenarios_s:.0f} s), all tests of the relay room
        ({judges.tests_s:.0f} s). A bug counts as caught by a broken promise, a broken contract, or a run that takes
        more than twenty times as long as it should."""))
    out += ["", paragraph(f"""**{sum(not r.survived for r in causes)} of {len(causes)} plantings of the nine root causes
        are caught, and {len(alive) - len(lost)} of {len(alive)} random bugs**: {seeds} by seeds (half of them by
        seed {hit[len(hit) // 2] if hit else 0} of the series, all by seed {hit[-1] if hit else 0}), {scenarios} by a replayed incident,
        {tests} by a test of the relay room. {survivors(lost)}; each is explained at the end."""), ""]
    out += ["## The root causes of the nine incidents", "", paragraph("""What keeps the incident from happening here is
        taken out of the source: the rule of that name (`relay/config.h`) is `false` wherever these files consult it. Seeds
        know nothing of the incidents; the replay is the incident's own scenario ([incidents](incidents.md)), in which the
        row of "ours" must now fail."""), ""]
    rows = []
    for r in causes:
        cause = by_id[r.id]
        seen = f"{caught(r.caught)} ({after(r.caught)})" if r.caught else f"not within {r.seeds_passed} seeds"
        rows.append([r.id, f"`{cause.scenario}`", f"{r.planted} (`{cause.rule}`: {r.place})", seen,
                     short(r.replay.said) if r.replay else "**passes**"])
    out += [table(["", "incident", "planted", "seeds", "its replay"], rows), ""]
    out += ["## Random bugs", "", paragraph(f"""The {len(alive)} first that seed {args.seed} draws from the {places}
        conditions, assignments and calls of `relay/mesh/*.cc` (log lines, counters and contracts are left alone;
        `tools/dev.d/mutation.py` says what a small mistake is). {unable} more did not compile and {same} made the same
        machine code; each of these was replaced by the next draw. Where the source changes, the draw changes with it."""), ""]
    rows = [[r.id, r.place.removeprefix("relay/mesh/"), planted(r), caught(r.caught) or "**survives**",
             after(r.caught) or f"{r.seeds_passed} seeds"] for r in alive]
    out += [table(["", "place", "planted", "caught by", "after"], rows), "", "## Survivors", ""]
    known = reasons()
    rows = []
    for r in lost:
        kind, why = reason(r, known) or ("", "**not explained**")
        rows.append([r.id, r.place.removeprefix("relay/mesh/"), KINDS.get(kind, ""), why])
    out += [table(["", "place", "why it survives", "the reason"], rows) if rows else "None.", ""]
    return "\n".join(out)
