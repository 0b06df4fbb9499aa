#!/usr/bin/env python3
"""Runs figures for a moment and checks that each line is what `tools/dev figures` promises: the agreed keys, positive numbers,
a ratio that is the quotient of what was measured, or null where there is no peer. Sockets need root (network namespaces), the path needs
DPDK; without, it skips and says so."""
import json
import subprocess
import sys

KEYS = {"name", "value", "unit", "peer", "peer_value", "ratio", "goal", "runs"}
# By group: rows that need no peer which may not be installed, and how to make it short.
ROWS = {
    "sockets": (["sockets.plain.1200", "sockets.sealed.172", "sockets.paced.1200", "sockets.bundle.wait"], ["--seconds", "0.1"]),
    "path": (["path.step.172", "path.fanout.clone", "path.telemetry", "path.ingress", "path.cores2", "path.handover"],
             ["--scale", "0.01"]),
    "seal": (["seal.172", "seal.1200", "seal.aes256", "seal.chacha", "seal.open", "seal.bare", "seal.cores2",
              "seal.step.172", "seal.step.1200", "seal.step.srtp", "seal.fanout"], ["--scale", "0.01"]),
    "core": (["ring.rtt", "timer.scale", "histogram.record", "pages.touch.1m", "alloc.control"], ["--scale", "0.01"]),
}
ALONE = {"histogram.record"}  # has no peer: the goal is on the value itself


def main():
    rows, short = ROWS[sys.argv[2]]
    result = subprocess.run([sys.argv[1], "--repeat", "1", *short, *rows], capture_output=True, text=True, timeout=110)
    skipped = result.returncode == 0 and not result.stdout and ": skipped: " in result.stderr
    if result.returncode == 77 or skipped:
        print(result.stderr.strip().splitlines()[-1])
        return 77
    if result.returncode != 0:
        print(result.stdout, result.stderr)
        return 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    seen = {line["name"] for line in lines}
    for row in rows:
        skipped = f"{row.rsplit('.', 1)[0]} skipped: " in result.stderr  # this build lacks what it measures
        assert skipped or any(name.startswith(row) for name in seen), f"no line for {row}: {seen}"
    for line in lines:
        assert KEYS <= line.keys(), f"{line['name']} lacks {KEYS - line.keys()}"
        assert line["value"] > 0 and line["runs"] == 1, line
        if line["name"] in ALONE:
            assert line["peer"] is line["peer_value"] is line["ratio"] is None, line
            continue
        assert line["peer_value"] > 0, line
        assert abs(line["ratio"] - line["value"] / line["peer_value"]) <= 0.01 * line["ratio"], line
    print(f"{len(lines)} figures, each with its peer, if it has one")
    return 0


if __name__ == "__main__":
    sys.exit(main())
