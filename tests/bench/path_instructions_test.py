#!/usr/bin/env python3
"""How many instructions a packet takes through the packet path, counted, not timed: the same on a busy machine as on an idle one.

Runs path_instructions under valgrind's callgrind for N and for 2 N packets, counting inside PacketPath::run_once() alone; the
difference divided by N is a packet's share, without what a start costs. A figure that has grown by more than 10 % over what
path_instructions.json has for this compiler fails the test. Skips without valgrind, or without a figure for this compiler.

usage: path_instructions_test.py PROGRAM COMPILER [--record]
    COMPILER  as in path_instructions.json: name, major version, optimisation (gcc-12-O3)
    --record  writes what is counted now into path_instructions.json, to be committed with the change that made it so
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

RECORDED = pathlib.Path(__file__).with_name("path_instructions.json")
SHAPES = ("172", "1200")
PACKETS = 16384
MAY_GROW = 1.10


def counted(program, shape, packets):
    """Instructions that run_once() and what it calls took in all, for so many packets."""
    with tempfile.TemporaryDirectory() as folder:
        result = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", "--collect-atstart=no",
             "--toggle-collect=*PacketPath::run_once*", str(program), shape, str(packets)],
            capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r"Collected : (\d+)", result.stderr)
    if result.returncode != 0 or found is None or int(found.group(1)) == 0:
        raise RuntimeError(f"nothing counted of {program}:\n{result.stdout}{result.stderr}")
    return int(found.group(1))


def per_packet(program, shape):
    return (counted(program, shape, 2 * PACKETS) - counted(program, shape, PACKETS)) / PACKETS


def why_not():
    """Why nothing can be counted here; None: it can."""
    return None if shutil.which("valgrind") else "valgrind is not installed (apt-get install valgrind)"


def main():
    arguments = [word for word in sys.argv[1:] if word != "--record"]
    record = len(arguments) + 1 != len(sys.argv)
    program, compiler = arguments
    if why_not():
        print(f"skipped: {why_not()}")
        return 77
    recorded = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    if compiler not in recorded and not record:
        print(f"skipped: {RECORDED.name} has no figures for {compiler}; "
              f"{pathlib.Path(sys.argv[0]).name} PROGRAM {compiler} --record writes them")
        return 77
    now = {shape: round(per_packet(program, shape), 1) for shape in SHAPES}
    if record:
        recorded[compiler] = now
        RECORDED.write_text(json.dumps(recorded, indent=2, sort_keys=True) + "\n")
        print(f"{compiler}: {now}, recorded")
        return 0
    grown = False
    for shape, count in now.items():
        before = recorded[compiler][shape]
        print(f"{shape} bytes: {count} instructions per packet, {before} recorded ({count / before - 1:+.1%})")
        grown |= count > before * MAY_GROW
    if grown:
        print(f"more than {MAY_GROW - 1:.0%} grown. If that is what it takes: python3 tests/bench/{pathlib.Path(__file__).name} "
              f"{program} {compiler} --record, and commit {RECORDED.name} with the reason")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
