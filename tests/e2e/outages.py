"""Outages of real processes: five nodes in network namespaces, impaired wires, live media all the time.

    outages.py [SITUATION...]      plays them one after the other; without names, all

Each situation prints a timeline: what was done, when it was noticed, by whom, under which name (an outcome, a link
state, a setting), and when all was well again, at most 3 s after the heal. What is not noticed, is noticed under a
wrong name or late, or harms nodes that nothing happened to, fails the test. TRUNKLINE_E2E_OUTAGE_S is how long a pause
and a partition last (10 s; the short tier takes 2 s). Needs root and network namespaces.
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import cloud as clouds
import lab
from cloud import NODES, Cloud, Timeline, one_way_ms
from flash_crowd import flash_crowd
from lab import check

OUTAGE_S = float(os.environ.get("TRUNKLINE_E2E_OUTAGE_S", "10"))
DOWN_AFTER_S = 0.150
# A shared machine's own lateness on top of what the protocol promises; what was measured is printed beside it.
NOTICE_SLACK_S = 0.100
REFUSED_WITHIN_S = 2e-3 * one_way_ms(1, 5) + 1.0
GOOD_MTU, WRONG_MTU = 1500, 1400


class Stage:
    """A healthy cloud, and the timeline of what happens to it."""

    def __init__(self, title):
        self._bench = lab.Lab()
        self._title = title

    def __enter__(self):
        self._bench.__enter__()
        try:
            self.cloud = Cloud(self._bench)
            begin = time.monotonic()
            for i in NODES:
                self.cloud.start(i)
            self.line = Timeline(self._title)
            self.cloud.well(self.line, begin, limit_s=clouds.WELL_WITHIN_S + 2)  # five processes start, too
            self.cloud.run(0.5)
        except BaseException:
            self._bench.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *failure):
        if hasattr(self, "line"):
            self.line.note("", f"every limit in milliseconds includes this run's largest hiccup, "
                           f"{1e3 * self.cloud.hiccup_s():.1f} ms")
        return self._bench.__exit__(*failure)

    # --- what was noticed, and under which name

    def links_become(self, state, pairs, since, within_s, text=None):
        """Each (i, j): node i's link to node j becomes `state`, no later than within_s(i, j) after `since`."""
        hosts, latest = self.cloud.hosts, 0.0
        pairs, described = list(pairs), set()
        for i, j in pairs:
            limit_s = within_s(i, j) + self.cloud.hiccup_s()
            self.cloud.until(f"node {i}'s link to node {j} is {state}", limit_s + 1.0,
                             lambda i=i, j=j: hosts[i].link(j)[0] == state)
            _, said, at = hosts[i].link(j)
            check(at - since <= limit_s, f"node {i}'s link to node {j} is {state} only {at - since:.3f} s after it "
                  f"happened (limit {limit_s:.3f} s)")
            check(text is None or said == text(i, j), f"node {i}'s link to node {j} says '{said}'")
            latest = max(latest, at)
            described.add(said)
        by = ", ".join(str(i) for i in sorted({i for i, _ in pairs}))
        of = ", ".join(str(j) for j in sorted({j for _, j in pairs}))
        self.line.note("noticed", f"by nodes {by}: links to {of} are {state}, the last of {len(pairs)} link ends "
                       f"{1e3 * (latest - since):.0f} ms after it happened", latest)
        texts = sorted(described - {""})
        for said in texts[:2]:
            self.line.note("", f"  \"{said}\"", latest)
        if texts[2:]:
            self.line.note("", f"  and {len(texts) - 2} more, each with its own two values", latest)

    def acquire_ends(self, i, track, names, text=None):
        """A host's new acquire at node i ends, by its deadline, under one of these names."""
        probe = self.cloud.hosts[i].acquire(track)
        self.cloud.until(f"the acquire of {track} at node {i} ends", clouds.DEADLINE_MS * 1e-3 + 1, lambda: probe.event)
        event = probe.event
        said = event.get("text", "")
        self.line.note("acquire", f"of {track} at node {i}: {event['outcome']} after {event['elapsed_us'] / 1e3:.1f} "
                       f"ms, {event['attempts']} attempts{said and ': '}{said}")
        check(event["outcome"] in names, f"it ended as {event['outcome']}, and should as {' or '.join(names)}")
        check(text is None or re.search(text, said), f"its text does not match /{text}/")
        slack_ms = 1 + 1e3 * (NOTICE_SLACK_S + self.cloud.hiccup_s())
        check(event["elapsed_us"] <= 1e3 * (clouds.DEADLINE_MS + slack_ms), "it ended after its deadline")

    def explains(self, i, track, pattern):
        """`trunkline explain` at node i gives the true cause in its first line."""
        explained(self.line, i, track, pattern, "--admin", self.cloud.nodes[i].socket_path)

    def flows(self, i, track):
        """From its publisher, or from a node that carries it."""
        self.explains(i, track, rf"^track '{track}' flows from node \d")

    def cut_off(self, members, j):
        """Those are asked why they do not get what node j publishes: what it fed until now, and what nobody wanted yet. Fed
        by another node that carries the track, one sees only that one fall silent: so who was fed by node j is asked."""
        pattern = f"does not flow: the link to node {j}, which .*, is down since .*: nothing heard"
        direct = [i for i in members for w in self.cloud.hosts[i].wanted if w.track == live(j) and w.ok and
                  w.event["node"] == j]
        for i in direct[:1]:
            self.explains(i, live(j), f"^track '{live(j)}' {pattern}")
        self.explains(members[0], spare(j), f"^track '{spare(j)}' {pattern}")


def explained(line, i, track, pattern, *options):
    done = subprocess.run([lab.trunkline(), "explain", track, *options], capture_output=True, text=True, timeout=10,
                          check=False)
    first = (done.stdout or done.stderr).partition("\n")[0]
    line.note("explain", f"at node {i}: {first}")
    check(re.search(pattern, first), f"the first line does not match /{pattern}/: {done.stdout}{done.stderr}")


def across(these, those):
    """Both ends of every link between the two groups."""
    return [(i, j) for i in these for j in those] + [(j, i) for i in these for j in those]


def among(members):
    return [(i, j) for i in members for j in members if i != j]


def spare(i):
    """A track that node i has published and nobody subscribes to by himself."""
    return f"n{i}-spare"


def live(i):
    """A track that flows from node i to all others."""
    return f"n{i}-audio"


def down_within(i, j):
    return DOWN_AFTER_S + 1e-3 * (one_way_ms(i, j) + clouds.JITTER_MS) + NOTICE_SLACK_S


def mtu_refusal(values):
    return lambda i, j: f"wire.mtu: mine '{values.get(i, GOOD_MTU)}', theirs '{values.get(j, GOOD_MTU)}'"


# --- settings


def wrong_setting_on_two():
    with Stage("A wire-relevant setting wrong on 2 of 5 nodes") as stage:
        cloud, bad, good = stage.cloud, [4, 5], [1, 2, 3]
        window = cloud.watch(good)
        began = time.monotonic()
        stage.line.note("done", f"nodes 4 and 5 are deployed with wire.mtu = {WRONG_MTU}; everybody else has {GOOD_MTU}")
        cloud.restart(bad, mtu=WRONG_MTU)
        started = time.monotonic()
        stage.links_become("INCOMPATIBLE", across(bad, good), began,
                           lambda *_: started - began + REFUSED_WITHIN_S, mtu_refusal({4: WRONG_MTU, 5: WRONG_MTU}))
        cloud.well(stage.line, started, bad)  # these two agree
        stage.acquire_ends(1, spare(5), ["NOT_HERE"], "could not: wire.mtu")
        # Node 5 has never heard who has it: only that node 4, whom alone it may ask, has not.
        stage.acquire_ends(5, spare(1), ["NOT_HERE"], "no node that could be asked has the track")
        refused = "does not flow: node {} refuses this node: wire.mtu: mine '{}', theirs '{}'; so {}"
        stage.explains(5, spare(1), refused.format(1, WRONG_MTU, GOOD_MTU, "do node 2 and node 3"))
        stage.acquire_ends(5, spare(4), ["OK"])
        stage.acquire_ends(1, spare(3), ["OK"])
        # Which of the two had it node 1 has forgotten: each refuses it as another start of itself.
        stage.explains(1, spare(5), refused.format(4, GOOD_MTU, WRONG_MTU, "does node 5"))
        stage.explains(1, live(4), refused.format(4, GOOD_MTU, WRONG_MTU, "does node 5"))
        stage.flows(1, live(3))
        cloud.run(1.0)
        window.judge(stage.line)
        stage.line.note("heal", "nodes 4 and 5 are deployed as they were")
        cloud.restart(bad)
        cloud.well(stage.line, time.monotonic())


def wrong_setting_on_all():
    with Stage("A wire-relevant setting changed on 5 of 5 nodes: alike, then each different") as stage:
        cloud = stage.cloud
        stage.line.note("done", f"all nodes are deployed with wire.mtu = {WRONG_MTU}: they agree")
        cloud.restart(NODES, mtu=WRONG_MTU)
        cloud.well(stage.line, time.monotonic())
        stage.acquire_ends(1, spare(5), ["OK"])
        stage.flows(1, live(5))
        values = {i: 1300 + 20 * i for i in NODES}
        stage.line.note("done", f"each node is deployed with another wire.mtu: {list(values.values())}")
        began = time.monotonic()
        for i in NODES:
            cloud.stop(i)
        for i in NODES:
            cloud.start(i, mtu=values[i])
        started = time.monotonic()
        stage.links_become("INCOMPATIBLE", among(NODES), began, lambda *_: started - began + REFUSED_WITHIN_S,
                           mtu_refusal(values))
        for i in NODES:
            stage.acquire_ends(i, spare(i % 5 + 1), ["CONFIG_MISMATCH"], "wire.mtu")
        # A node that has never heard of a track names all who refuse it, and what each of them has.
        for i, (first, *more) in ((1, (2, 3, 4, 5)), (5, (1, 2, 3, 4))):
            stage.explains(i, live(3), f"does not flow: node {first} refuses this node: wire.mtu: mine '{values[i]}', "
                           f"theirs '{values[first]}'; so do .*" + ".*".join(
                               f"node {j} .theirs '{values[j]}'" for j in more))
        stage.line.note("heal", f"all nodes are deployed with wire.mtu = {GOOD_MTU}")
        cloud.restart(NODES)
        cloud.well(stage.line, time.monotonic())


def required_setting_absent_on_all():
    with Stage("A required setting absent on every node alike") as stage:
        cloud = stage.cloud
        stage.line.note("done", "all nodes are replaced by a deployment that lacks wire.mtu")
        for i in NODES:
            cloud.stop(i)
        for i in NODES:
            config = cloud.config(i)
            del config["wire"]["mtu"]
            path = cloud.bench.directory / f"incomplete-{i}.toml"
            path.write_text(lab.toml(config), encoding="utf-8")
            wanted = "wire.mtu: is required and absent: wire version 1 has no default for it"
            for options in (["--check-config"], []):
                with cloud.homes[i]:
                    begin = time.monotonic()
                    done = subprocess.run([lab.trunkline(), "node", "--config", path, *options], capture_output=True,
                                          text=True, timeout=5, check=False)
                    took = time.monotonic() - begin
                check(done.returncode == 1, f"node {i} {options} without wire.mtu ended with {done.returncode}")
                check(wanted in done.stderr and f"{path}:" in done.stderr, f"node {i} {options} says: {done.stderr}")
            stage.line.note("noticed", f"by node {i}: does not start, exit code 1 after {1e3 * took:.0f} ms; "
                            "--check-config too")
            explained(stage.line, i, live(1), "does not flow: no node can start from this configuration: .*" + wanted,
                      "--config", path)
        said = done.stderr.strip().removeprefix(f"{path}:")
        stage.line.note("", f"  \"{said}\"")
        stage.line.note("heal", "all nodes are deployed with their configuration")
        healed = time.monotonic()
        for i in NODES:
            cloud.start(i)
        cloud.well(stage.line, healed)


def one_bad_node():
    with Stage("One bad node of 5: another track namespace") as stage:
        cloud, good = stage.cloud, [1, 2, 3, 4]
        window = cloud.watch(good)
        began = time.monotonic()
        stage.line.note("done", "node 5 is deployed with wire.track_namespace = 'other'")
        cloud.restart([5], track_namespace="other")
        started = time.monotonic()

        def text(i, _):
            return "wire.track_namespace: mine '{}', theirs '{}'".format(*(("other", "e2e") if i == 5 else
                                                                          ("e2e", "other")))
        stage.links_become("INCOMPATIBLE", across([5], good), began, lambda *_: started - began + REFUSED_WITHIN_S, text)
        for i in good:
            stage.acquire_ends(i, spare(i % 4 + 1), ["OK"])
        stage.acquire_ends(1, spare(5), ["NOT_HERE"], "node 5 could not: wire.track_namespace")
        cloud.well(stage.line, time.monotonic(), good)
        stage.explains(1, spare(5), "does not flow: node 5 refuses this node: wire.track_namespace: mine 'e2e', theirs "
                       "'other'")
        stage.explains(5, live(1), "does not flow: node 1 refuses this node: wire.track_namespace: mine 'other', theirs "
                       "'e2e'; so do node 2, node 3 and node 4")
        stage.flows(4, live(1))
        cloud.run(1.0)
        window.judge(stage.line)
        stage.line.note("heal", "node 5 is deployed as it was")
        cloud.restart([5])
        cloud.well(stage.line, time.monotonic())


# --- crash, pause, partition


def killed_publisher():
    with Stage("kill -9 of a node that publishes, and its restart") as stage:
        cloud, others = stage.cloud, [1, 3, 4, 5]
        window = cloud.watch(others)
        began = time.monotonic()
        cloud.nodes[2].send(signal.SIGKILL)
        cloud.gone(2)
        stage.line.note("done", "node 2 is killed (SIGKILL)", began)
        stage.links_become("DOWN", [(i, 2) for i in others], began, down_within)
        stage.acquire_ends(1, spare(2), ["LINK_DOWN"])
        stage.cut_off(others, 2)
        stage.acquire_ends(4, spare(3), ["OK"])
        cloud.run(1.0)
        window.judge(stage.line)
        stage.line.note("heal", "node 2 is started again")
        healed = time.monotonic()
        cloud.start(2)
        cloud.well(stage.line, healed)
        stage.acquire_ends(1, spare(2), ["OK"])
        stage.flows(1, live(2))


def stopped_node():
    with Stage(f"SIGSTOP of a node for {OUTAGE_S:.0f} s, and SIGCONT") as stage:
        cloud, others = stage.cloud, [1, 2, 4, 5]
        window = cloud.watch(others)
        began = time.monotonic()
        cloud.nodes[3].send(signal.SIGSTOP)
        stage.line.note("done", "node 3 is stopped (SIGSTOP)", began)
        stage.links_become("DOWN", [(i, 3) for i in others], began, down_within)
        stage.acquire_ends(1, spare(3), ["LINK_DOWN"])
        stage.cut_off(others, 3)
        stage.acquire_ends(5, spare(4), ["OK"])
        cloud.run(max(0.0, began + OUTAGE_S - time.monotonic()))
        window.judge(stage.line)
        healed = time.monotonic()
        cloud.nodes[3].send(signal.SIGCONT)
        stage.line.note("heal", "node 3 goes on (SIGCONT)", healed)
        cloud.well(stage.line, healed)
        stage.acquire_ends(1, spare(3), ["OK"])
        stage.acquire_ends(3, spare(1), ["OK"])
        stage.flows(1, live(3))
        stage.flows(3, live(1))


def partition():
    with Stage(f"Partition for {OUTAGE_S:.0f} s: nodes 1 and 2 on one side, 3, 4 and 5 on the other") as stage:
        cloud, left, right = stage.cloud, list(clouds.LEFT), list(clouds.RIGHT)
        began = cloud.cable(plugged=False)
        stage.line.note("done", "the switch is split; packets across vanish", began)
        windows = [cloud.watch(left), cloud.watch(right)]
        stage.links_become("DOWN", across(left, right), began, down_within)
        stage.acquire_ends(1, spare(5), ["LINK_DOWN"])
        stage.acquire_ends(5, spare(1), ["LINK_DOWN"])
        stage.acquire_ends(1, spare(2), ["OK"])
        stage.acquire_ends(5, spare(3), ["OK"])
        stage.cut_off(left, 5)
        stage.cut_off(right, 1)
        stage.flows(1, live(2))
        cloud.run(max(0.5, began + OUTAGE_S - time.monotonic()))
        for window in windows:
            window.judge(stage.line)
        healed = cloud.cable(plugged=True)
        stage.line.note("heal", "the switch is whole again", healed)
        cloud.well(stage.line, healed)
        stage.acquire_ends(1, spare(5), ["OK"])
        stage.flows(1, live(5))


SITUATIONS = [wrong_setting_on_two, wrong_setting_on_all, required_setting_absent_on_all, killed_publisher, stopped_node,
              partition, flash_crowd, one_bad_node]

def use_release_build():
    """By hand: what `tools/dev build` made, unless the environment names something else."""
    build = pathlib.Path(__file__).resolve().parents[2] / "build" / "release"
    for name, path in (("TRUNKLINE", "tools/trunkline"), ("TRUNKLINE_CROWD_HOST", "tests/e2e/crowd_host")):
        if (build / path).exists():
            os.environ.setdefault(name, str(build / path))


if __name__ == "__main__":
    lab.need_root()
    use_release_build()
    lab.trunkline()
    named = {s.__name__: s for s in SITUATIONS}
    chosen = [named[name] for name in sys.argv[1:] if name in named] or SITUATIONS
    if not set(sys.argv[1:]) <= set(named):
        sys.exit("situations: " + ", ".join(s.__name__ for s in SITUATIONS))
    lab.run(*chosen)
