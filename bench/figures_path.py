#!/usr/bin/env python3
"""`tools/dev figures path`, beside the program of that name: instructions per packet, counted by valgrind, in the same lines.

There is no peer: `value` is the figure. tests/bench/path_instructions_test.py counts, and holds what was counted before.

usage: figures_path.py --build DIR [--repeat N] [--scale S] [name prefix]...
"""
import argparse
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "bench"))
import path_instructions_test as instructions


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--repeat", type=int, default=1, help="not needed: a count does not vary")
    parser.add_argument("--scale", type=float, default=1, help="not needed: it takes two seconds")
    parser.add_argument("only", nargs="*")
    options = parser.parse_args()
    names = {f"path.instructions.{shape}": shape for shape in instructions.SHAPES}
    wanted = [name for name in names if not options.only or any(name.startswith(prefix) for prefix in options.only)]
    if wanted and instructions.why_not():
        print(f"figures_path: skipped: {instructions.why_not()}", file=sys.stderr)
        return 0
    for name in wanted:
        value = round(instructions.per_packet(options.build / "bench" / "path_instructions", names[name]), 1)
        print(json.dumps({
            "name": name, "value": value, "unit": "instructions/packet", "peer": None, "peer_value": None, "ratio": None,
            "goal": None, "better": "lower", "met": None, "runs": 1, "ratio_min": None, "ratio_max": None,
            "note": "null suite, bursts of 32, a port in memory that has frames"}, separators=(",", ":")), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
