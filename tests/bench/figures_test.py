#!/usr/bin/env python3
"""Runs figures for a moment and checks that each line is what `tools/dev figures` promises: the agreed keys, positive numbers,
a ratio that is the quotient of what was measured. Needs root (network namespaces); skips otherwise, with the reason."""
import json
import subprocess
import sys

KEYS = {"name", "value", "unit", "peer", "peer_value", "ratio", "goal", "runs"}
ROWS = ["sockets.plain.1200", "sockets.paced.1200", "sockets.bundle.wait"]


def main():
    result = subprocess.run([sys.argv[1], "--repeat", "1", "--seconds", "0.1", *ROWS], capture_output=True, text=True, timeout=110)
    if result.returncode == 77:
        print(result.stderr.strip().splitlines()[-1])
        return 77
    if result.returncode != 0:
        print(result.stdout, result.stderr)
        return 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    seen = {line["name"] for line in lines}
    for row in ROWS:
        assert any(name.startswith(row) for name in seen), f"no line for {row}: {seen}"
    for line in lines:
        assert KEYS <= line.keys(), f"{line['name']} lacks {KEYS - line.keys()}"
        assert line["value"] > 0 and line["peer_value"] > 0 and line["runs"] == 1, line
        assert abs(line["ratio"] - line["value"] / line["peer_value"]) <= 0.01 * line["ratio"], line
    print(f"{len(lines)} figures, each with its peer")
    return 0


if __name__ == "__main__":
    sys.exit(main())
