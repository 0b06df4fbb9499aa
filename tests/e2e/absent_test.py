"""An acquire always ends, with an answer that says what happened, measured by the node itself (elapsed_us).

Two nodes in two namespaces, 70 ms each way. First 200 distinct tracks whose location names a live peer that does not
have them, the mistake of 2 November 2023: NOT_HERE within one round trip and 5 ms. Then 200 acquires of a peer that is
stopped in the middle of everything: NO_REPLY within the deadline and one timer tick of 1 ms, plus the largest
scheduling hiccup that this very run saw.
"""
import os
import signal
import statistics
import time

import hiccup
import lab
from lab import check, say

A, B = "198.18.0.1:7000", "198.18.0.2:7000"
ONE_WAY_MS = 70
ROUND_TRIP_US = 2 * ONE_WAY_MS * 1000
ACQUIRES = 200
ANSWER_ALLOWANCE_US = 5_000
TICK_US = 1_000
DEADLINE_MS = 1000
PACE_S = 0.005  # between two acquires: as a room of 200 that fills within a second
# A measurement that is over its limit and on which the machine itself lost more than this is taken again.
QUIET_US = 3_000
ROUNDS = 5


def before_others():
    """For the nodes: whoever else uses these CPUs waits. What is measured is Trunkline, not its neighbours."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        pass  # then the hiccups show it


def two_nodes(bench, **limits):
    a, b = bench.namespace(), bench.namespace()
    lab.join(a, "198.18.0.1", b, "198.18.0.2")
    configs = [lab.node_config(1, A, [(2, B)], ONE_WAY_MS), lab.node_config(2, B, [(1, A)], ONE_WAY_MS)]
    for config in configs:
        # A stopped owner must still be asked: that its link is declared down meanwhile is another story.
        config["link"] = {"down_after_ms": 20_000}
        config["limits"] |= limits
    nodes = bench.node(configs[0], a, preexec_fn=before_others), bench.node(configs[1], b, preexec_fn=before_others)
    nodes[0].wait_up(2)
    nodes[1].wait_up(1)
    return nodes


def acquire_all(asking, prefix, pace_s, deadline_ms=DEADLINE_MS):
    """Hints that node 2 has 200 tracks, acquires them all, and returns their outcomes."""
    admin = asking.admin
    for i in range(ACQUIRES):
        admin.call("hint", track=f"{prefix}-{i}", node=2)
    asked, begin = [], time.monotonic()
    for i in range(ACQUIRES):
        asked.append(admin.ask("acquire", track=f"{prefix}-{i}", deadline_ms=deadline_ms))
        time.sleep(max(0.0, begin + (i + 1) * pace_s - time.monotonic()))
    handles = [admin.answer(number)["handle"] for number in asked]
    check(len(set(handles)) == ACQUIRES, "two acquires have the same handle")
    return [admin.event(handle=handle, event="outcome", limit_s=deadline_ms * 1e-3 + 5) for handle in handles]


def report(what, outcomes, limit_us):
    """Prints the times; returns the largest in microseconds."""
    times = sorted(o["elapsed_us"] for o in outcomes)
    say(f"  {what}: min {times[0] / 1e3:.2f} ms, median {statistics.median(times) / 1e3:.2f} ms, "
        f"max {times[-1] / 1e3:.2f} ms; limit {limit_us / 1e3:.2f} ms")
    return times[-1]


def all_ended_as(outcomes, name):
    others = [o for o in outcomes if o["outcome"] != name]
    check(not others, f"{len(others)} of {len(outcomes)} acquires did not end as {name}; the first: {others[:1]}")


def ask_a_peer_that_lacks_them(nodes, prefix, pace_s):
    """One round of 200. Returns (largest time, largest hiccup), both in microseconds."""
    before = nodes[1].stats()["mesh"]["requests_received"]
    with hiccup.Meter() as meter:
        outcomes = acquire_all(nodes[0], prefix, pace_s)
    all_ended_as(outcomes, "NOT_HERE")
    check(all(o["node"] == 2 and o["attempts"] == 1 for o in outcomes), "an answer came from elsewhere, or not at once")
    asked = nodes[1].stats()["mesh"]["requests_received"] - before
    check(asked == ACQUIRES, f"node 2 counted {asked} requests for {ACQUIRES} tracks")
    largest = report(f"{prefix}: NOT_HERE", outcomes, ROUND_TRIP_US + ANSWER_ALLOWANCE_US)
    # The wire counts its delay from the burst's own time stamp, which a hiccup makes older than the burst.
    earliest_us = ROUND_TRIP_US - meter.worst_us - TICK_US
    check(min(o["elapsed_us"] for o in outcomes) >= earliest_us, "an answer came too early to be one")
    say(f"  node 2's own count of requests grew by {asked}; largest hiccup {meter.worst_us} us")
    return largest, meter.worst_us


def answered_in_one_round_trip(name, pace_s, **limits):
    with lab.Lab() as bench:
        nodes = two_nodes(bench, **limits)
        for attempt in range(ROUNDS):
            largest, hiccup_us = ask_a_peer_that_lacks_them(nodes, f"{name}, round {attempt + 1}", pace_s)
            if largest <= ROUND_TRIP_US + ANSWER_ALLOWANCE_US or hiccup_us < QUIET_US:
                break
            say("  the machine itself was late")
        # Strict, unless the machine was late in every round: then what it lost is allowed for.
        limit_us = ROUND_TRIP_US + ANSWER_ALLOWANCE_US + (hiccup_us if hiccup_us >= QUIET_US else 0)
        check(largest <= limit_us, f"{name}: NOT_HERE took {largest / 1e3:.2f} ms, over {limit_us / 1e3:.2f} ms")


def an_absent_track_is_answered_in_one_round_trip():
    answered_in_one_round_trip("paced", PACE_S)


def two_hundred_at_once_are_answered_in_one_round_trip():
    # As many control segments may be on their way as the link's window has; then they wait for acknowledgements.
    answered_in_one_round_trip("at once", 0.0, control_window=256)


def a_stopped_owner_ends_every_acquire_by_its_deadline():
    with lab.Lab() as bench:
        nodes = two_nodes(bench)
        nodes[1].send(signal.SIGSTOP)
        with hiccup.Meter() as meter:
            outcomes = acquire_all(nodes[0], "stopped", PACE_S)
        limit_us = DEADLINE_MS * 1000 + TICK_US + meter.worst_us
        largest = report("owner stopped: NO_REPLY", outcomes, limit_us)
        say(f"  largest hiccup {meter.worst_us} us")
        all_ended_as(outcomes, "NO_REPLY")
        check(min(o["elapsed_us"] for o in outcomes) >= DEADLINE_MS * 1000, "an acquire gave up before its deadline")
        check(largest <= limit_us, f"an acquire ended {largest - limit_us} us after its deadline, 1 ms and the hiccup")
        overdue = nodes[0].stats()["mesh"]["acquires_overdue"]
        # The node knows nothing of hiccups: it counts whatever a descheduled thread made late, and nothing else.
        late = sum(o["elapsed_us"] >= DEADLINE_MS * 1000 + TICK_US for o in outcomes)
        check(overdue == late, f"{overdue} acquires were overdue by the node's own count, {late} by the outcomes")
        nodes[1].send(signal.SIGCONT)


if __name__ == "__main__":
    lab.need_root()
    lab.trunkline()
    lab.run(an_absent_track_is_answered_in_one_round_trip, two_hundred_at_once_are_answered_in_one_round_trip,
            a_stopped_owner_ends_every_acquire_by_its_deadline)
