"""Keys replaced each 2 s under load: not one packet may be lost, repeated, out of order or damaged.

    media_load ==8 ingest taps==> [ node 1 ] ==sealed, loopback==> [ node 2 ] ==8 egress taps==> media_load

By itself: some seconds at a modest rate. With `most`, it first looks for the highest rate at which nothing is lost in
some seconds, and then goes on at 80 % of it:

    TRUNKLINE_E2E_SECONDS=600 python3 tests/e2e/sealed_load.py most

Whatever is lost is told apart: what a node dropped (its statistics), what the kernel dropped for want of room in a socket
of a node (/proc/net/udp) or of the receiver. Both ends and the two nodes share the machine's CPUs: where there is other
work, let them go first, and see that the kernel then does not hold them (it says so if it would):

    sysctl -w kernel.sched_rt_runtime_us=-1
    TRUNKLINE_E2E_SECONDS=600 chrt -f 10 python3 tests/e2e/sealed_load.py most

TRUNKLINE: the command. TRUNKLINE_MEDIA_LOAD: the sender and receiver (media_load.cc). TRUNKLINE_E2E_RATE: packets per
second, instead of looking for the most.
"""
import json
import os
import pathlib
import sys
import time

import lab
from lab import check, say, wait_until

TRACKS, BYTES = 8, 1200
REKEY_S = 2
MODEST_PER_S, SECONDS = 8_000, 5
SHARE = 0.8
FIRST_PER_S, MOST_PER_S = 50_000, 8_000_000
PROBE_S = 4
FLAWS = ("lost", "repeated", "disordered", "damaged", "send_errors")


def load():
    return os.environ.get("TRUNKLINE_MEDIA_LOAD") or lab.skip("needs media_load: set TRUNKLINE_MEDIA_LOAD to its path")


def kernel_drops(ports):
    """Of UDP sockets on these ports: {port: datagrams that found no room}."""
    found = dict.fromkeys(ports, 0)
    for line in pathlib.Path("/proc/net/udp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        port = int(fields[1].rsplit(":", 1)[1], 16)
        if port in found:
            found[port] += int(fields[12])
    return found


class Pair:
    """Two sealed nodes, TRACKS tracks from taps of the first to taps of the second."""

    def __init__(self, bench, rekey_s=REKEY_S):
        first, second, self.sink = lab.free_udp_ports(3)
        self.ingest = free_run(TRACKS)
        self.mesh_ports = (first, second)
        self.ports = [first, second, *range(self.ingest, self.ingest + TRACKS)]
        everybody = [(1, f"127.0.0.1:{first}"), (2, f"127.0.0.1:{second}")]
        configs = [lab.node_config(i, address, [p for p in everybody if p[0] != i]) for i, address in everybody]
        for config in configs:
            config["link"] = {"rekey_s": rekey_s}
            config["limits"]["transmit_buffers"] = 256
        configs[0]["ingest"] = [{"track": f"t{i}", "listen": f"127.0.0.1:{self.ingest + i}", "class": "video"}
                                for i in range(TRACKS)]
        configs[1]["egress"] = [{"track": f"t{i}", "to": f"127.0.0.1:{self.sink}", "deadline_ms": 5000,
                                 "rendezvous_ms": 4000} for i in range(TRACKS)]
        self._bench = bench
        self.nodes = [bench.node(config) for config in configs]
        self.nodes[0].wait_up(2)
        wait_until("node 1 serves every track", 5,
                   lambda: self.nodes[0].stats()["usage"]["subscriptions_down"] == TRACKS)
        self._runs = 0

    def run(self, per_s, seconds):
        """What media_load says, and what the nodes and the kernel say of the same time."""
        before = self._counts()
        self._runs += 1
        process = self._bench.process([load(), TRACKS, BYTES, per_s, seconds, self.sink, self.ingest], f"load-{self._runs}")
        code = process.wait(seconds + 20)
        check(code == 0, f"media_load ended with {code}: {process.text()}")
        result = json.loads(process.text())
        after = self._counts()
        return {**result, **{name: after[name] - before[name] for name in after}}

    def _counts(self):
        stats = [node.stats() for node in self.nodes]
        cpu = [sum(map(int, pathlib.Path(f"/proc/{node.pid}/stat").read_text().rsplit(") ", 1)[1].split()[11:13]))
               for node in self.nodes]
        return {"rekeys": sum(s["mesh"]["rekeys"] for s in stats),
                "links_down": sum(s["mesh"]["links_down"] for s in stats),
                "node_drops": sum(sum(core["drops"].values()) - core["drops"]["feedback_ended"]
                                  for s in stats for core in s["cores"]),
                "kernel_drops": sum(kernel_drops(self.ports).values()),
                "cpu_s": sum(cpu) / os.sysconf("SC_CLK_TCK")}


def free_run(count):
    """The first of `count` ports in a row that nobody used a moment ago."""
    for _ in range(100):
        first = lab.free_udp_ports(1)[0]
        if first + count < 65_536 and not any(f":{p:04X} " in pathlib.Path("/proc/net/udp").read_text(encoding="ascii")
                                              for p in range(first + 1, first + count)):
            return first
    raise lab.Failed("no ports in a row are free")


def say_whether_we_are_held():
    """Real-time threads may have a part of each period; then they are stopped, longer than a socket's buffer holds."""
    if os.sched_getscheduler(0) not in (os.SCHED_FIFO, os.SCHED_RR):
        return
    period, part = (int(pathlib.Path(f"/proc/sys/kernel/sched_rt_{name}_us").read_text(encoding="ascii"))
                    for name in ("period", "runtime"))
    if 0 <= part < period:
        say(f"  beware: the kernel stops real-time threads for {(period - part) / 1000:.0f} ms when they had the rest of "
            f"{period / 1000:.0f} ms of a CPU; packets lost may be its doing: sysctl -w kernel.sched_rt_runtime_us=-1")


def clean(result):
    return not any(result[flaw] for flaw in FLAWS) and result["sink_drops"] == 0


def told(result):
    us = result["us"]
    return (f"{result['per_s']:,.0f} packets/s: {result['got']:,} of {result['sent']:,} arrived, {result['lost']} lost "
            f"(sockets of nodes {result['kernel_drops']}, of the receiver {result['sink_drops']}, in nodes "
            f"{result['node_drops']}), {result['repeated']} repeated, {result['disordered']} out of order, "
            f"{result['damaged']} damaged; keys replaced {result['rekeys']} times, links down {result['links_down']}; "
            f"p50 {us['p50']:.0f} p99 {us['p99']:.0f} p99.9 {us['p99.9']:.0f} max {us['max']:.0f} us; "
            f"nodes {result['cpu_s']:.1f} CPU-s; {result['skipped']} not sent for want of time")


def the_most(pair):
    """The highest rate at which nothing was lost for PROBE_S: upwards by a quarter, then halfway back, twice."""
    best, rate, worst = 0, FIRST_PER_S, None
    for _ in range(24):
        result = pair.run(rate, PROBE_S)
        # A sender that cannot keep up finds out about itself only.
        passed = clean(result) and result["skipped"] <= result["sent"] // 100
        say(f"  {'ok  ' if passed else 'lost'} {told(result)}")
        if passed:
            best = max(best, rate)
        else:
            worst = min(worst or rate, rate)
        if worst is None:
            rate = int(rate * 1.25)
        elif best and worst - best > best // 20:
            rate = (best + worst) // 2
        elif not best:
            rate //= 2
        else:
            break
        if rate > MOST_PER_S:
            break
    check(best, "no rate was found at which nothing is lost")
    return best


def keys_are_replaced_each_two_seconds_under_load():
    seconds = int(os.environ.get("TRUNKLINE_E2E_SECONDS", SECONDS))
    rate = int(os.environ.get("TRUNKLINE_E2E_RATE", MODEST_PER_S))
    say_whether_we_are_held()
    with lab.Lab() as bench:
        pair = Pair(bench)
        if "most" in sys.argv[1:]:
            most = the_most(pair)
            rate = int(SHARE * most)
            say(f"  the most without loss in {PROBE_S} s: {most:,} packets/s; {SHARE:.0%} of it is {rate:,}")
        began = time.monotonic()
        result = pair.run(rate, seconds)
        took = time.monotonic() - began
        say(f"  {told(result)}")
    for flaw in (*FLAWS, "sink_drops", "links_down"):
        check(result[flaw] == 0, f"{flaw}: {result[flaw]}")
    check(result["got"] == result["sent"] > 0.5 * rate * seconds, f"only {result['got']} packets were sent and arrived")
    # The higher node id's clock runs an eighth later, and each replacement begins both anew.
    due = int(seconds / (REKEY_S * 1.25)) - 1
    check(result["rekeys"] >= due, f"keys were replaced {result['rekeys']} times in {took:.0f} s, {due} are due")


if __name__ == "__main__":
    lab.run(keys_are_replaced_each_two_seconds_under_load)
