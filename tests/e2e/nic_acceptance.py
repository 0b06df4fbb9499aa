"""Acceptance of a network device: for the first person who has one that nobody here had.

Run it on two machines that the wire joins, at about the same time, as root:

    tests/e2e/nic_acceptance.py --near --device 0000:01:00.0 --here 198.18.0.1 --there 198.18.0.2 --cores 2
    tests/e2e/nic_acceptance.py --far  --device 0000:01:00.0 --here 198.18.0.2 --there 198.18.0.1 --cores 2

Each starts a node on its device (bound to vfio-pci before: dpdk-devbind.py -b vfio-pci 0000:01:00.0), publishes tracks of
numbered RTP packets of all sizes, and acquires the other's. Each line of the report is one thing that must hold; the last
one is JSON, to be sent with the issue. `--interface eth1` instead of --device shares an interface with the kernel.
TRUNKLINE is the path of the command; a virtual device works too, which is how this script is tested.
"""
import argparse
import json
import platform
import select
import subprocess
import sys
import time

import lab
from lab import say, total, wait_until

CLUSTER_WAIT_S = 30  # the other machine's script may be started so much later


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    side = parser.add_mutually_exclusive_group(required=True)
    side.add_argument("--near", action="store_true", help="one of the two machines")
    side.add_argument("--far", action="store_true", help="the other")
    device = parser.add_mutually_exclusive_group(required=True)
    device.add_argument("--device", help="PCI address, or a virtual device with its arguments")
    device.add_argument("--interface", help="an interface of the kernel's, shared by AF_XDP")
    parser.add_argument("--here", required=True, help="this node's address, of 198.18.0.0/15")
    parser.add_argument("--there", required=True, help="the other node's")
    parser.add_argument("--cores", type=int, default=1, help="data cores, one queue each (default 1)")
    parser.add_argument("--tracks", type=int, default=8, help="tracks each way (default 8)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of media (default 10)")
    parser.add_argument("--pages", default="auto", choices=["auto", "huge", "small"])
    return parser.parse_args()


def node_config(args, taps):
    me, other = (1, 2) if args.near else (2, 1)
    config = lab.node_config(me, f"{args.here}:7000", [(other, f"{args.there}:7000")], port="dpdk", data_cores=args.cores)
    config["wire"]["suite"] = "null"  # two machines that have no keys in common; it is the device that is tried
    config["dpdk"] = {"pages": args.pages, "memory_mib": 256}
    if args.interface:
        config["dpdk"]["interface"] = args.interface
    else:
        config["dpdk"] |= {"device": args.device, "addresses": [f"{args.here}/24"]}
    config["ingest"] = [{"track": f"{me}-{n}", "listen": f"127.0.0.1:{port}", "class": "video"}
                        for n, port in enumerate(taps["in"])]
    config["egress"] = [{"track": f"{other}-{n}", "to": f"127.0.0.1:{s.getsockname()[1]}", "deadline_ms": 60_000,
                         "rendezvous_ms": 59_000} for n, s in enumerate(taps["out"])]
    return config


class Report:
    def __init__(self):
        self.rows = []

    def row(self, what, holds, detail):
        self.rows.append({"what": what, "holds": bool(holds), "detail": detail})
        say(f"{'PASS' if holds else 'FAIL'}  {what}: {detail}")

    def holds(self):
        return all(row["holds"] for row in self.rows)


def stream(args, rtp, sender, taps):
    """Sends numbered packets on every track for so long, reading what arrives; returns (sent, received per track)."""
    got = [[] for _ in taps["out"]]
    by_socket = {s: n for n, s in enumerate(taps["out"])}
    sent, end = 0, time.monotonic() + args.seconds

    def read(limit_s):
        for s in select.select(list(by_socket), [], [], limit_s)[0]:
            for _ in range(256):
                try:
                    got[by_socket[s]].append(s.recv(1 << 16))
                except BlockingIOError:
                    break
    while time.monotonic() < end:
        for port in taps["in"]:
            sender.sendto(rtp(sent), ("127.0.0.1", port))
        sent += 1
        read(0.001)
    quiet = time.monotonic() + 3  # the other side may have begun later
    while time.monotonic() < quiet:
        before = sum(map(len, got))
        read(0.1)
        if sum(map(len, got)) != before:
            quiet = time.monotonic() + 3
    return sent, got


def judge_media(report, rtp, got):
    whole = broken = 0
    gaps = 0
    for packets in got:
        numbers = []
        for data in packets:
            number = int.from_bytes(data[2:4], "big")
            number += (len(numbers) and numbers[-1] >> 16 << 16) or 0
            if numbers and number < numbers[-1] - 0x8000:
                number += 0x10000
            broken += data != rtp(number)
            numbers.append(number)
        whole += len(numbers)
        gaps += (numbers[-1] - numbers[0] + 1 - len(numbers)) if numbers else 1
    report.row("media arrives on every track", all(got), f"{whole} packets on {len(got)} tracks")
    report.row("every packet is byte-identical", broken == 0, f"{broken} of {whole} are not")
    report.row("none is missing between a track's first and last, none comes twice", gaps == 0, f"{gaps} missing or twice")


def judge_node(report, args, node):
    stats = node.stats()
    harmless = {"feedback_ended", "feedback_merged"}
    drops = {k: v for core in stats["cores"] for k, v in core["drops"].items() if v and k not in harmless}
    report.row("the packet path drops nothing", not drops, drops or "0")
    host = {k: v for core in stats["cores"] for k, v in core["port"]["ip"].items() if v}
    bad = {k: v for k, v in host.items() if k in ("rx_bad_ip_checksum", "rx_bad_udp_checksum", "rx_bad_udp_length",
                                                   "rx_short", "tx_too_long", "answers_dropped")}
    report.row("frames and checksums are right", not bad, bad or f"{host.get('rx_datagrams', 0)} datagrams")
    spread = [core["port"]["counters"]["rx_datagrams"] for core in stats["cores"]]
    report.row("every queue receives", args.cores == 1 or all(spread), f"datagrams by queue: {spread}")
    report.row("what arrives on another core's queue is handed over", total(stats, "drops", "handover_full") == 0,
               f"{total(stats, 'counters', 'handed_over')} datagrams")
    code, seconds = node.stop(5)
    report.row("the node ends in order and the driver gives every buffer back",
               code == 0 and "not given back" not in node.text(), f"exit code {code} after {seconds:.1f} s")


def main():
    args = arguments()
    from dpdk_test import rtp, udp  # here: it skips without what the tests need
    report = Report()
    with lab.Lab() as bench:
        taps = {"in": lab.free_udp_ports(args.tracks), "out": [udp() for _ in range(args.tracks)]}
        for s in taps["out"]:
            s.setblocking(False)
            bench.defer(s.close)
        node = bench.node(node_config(args, taps), limit_s=20)
        described = next((line for line in node.text().splitlines() if " core 0 on " in line), "?")
        say(f"      {described.split(' info ')[-1].strip()}")
        other = 2 if args.near else 1
        wait_until("the link to the other node is up", CLUSTER_WAIT_S, lambda: node.admin.link(other)["state"] == "UP")
        report.row("the link comes up", True, f"to {args.there}")
        wait_until("every track flows to the other node", CLUSTER_WAIT_S,
                   lambda: node.stats()["usage"]["subscriptions_down"] == args.tracks)
        with udp() as sender:
            sent, got = stream(args, rtp, sender, taps)
        report.row("media was sent", sent > 0, f"{sent} packets on each of {args.tracks} tracks")
        judge_media(report, rtp, got)
        judge_node(report, args, node)
    version = subprocess.run([lab.trunkline(), "--version"], capture_output=True, text=True, check=False).stdout.strip()
    say(json.dumps({"holds": report.holds(), "device": args.device or args.interface, "cores": args.cores,
                    "described": described, "kernel": platform.release(), "version": version, "rows": report.rows}))
    sys.exit(0 if report.holds() else 1)


if __name__ == "__main__":
    main()
