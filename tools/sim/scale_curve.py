#!/usr/bin/env python3
"""What a large simulated mesh costs: runs the curve, or draws it from the data of the last run.

    scale_curve.py run SIMULATOR   runs `SIMULATOR --scale ...` for every point: docs/figures/scale.csv, scale.svg
    scale_curve.py draw            draws docs/figures/scale.svg from docs/figures/scale.csv

Both axes of both plots are logarithmic; the line of each plot is the CPU-bound wall time of one core, per
simulated second.
"""
import csv
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import loglog

FIGURES = pathlib.Path(__file__).resolve().parents[2] / "docs" / "figures"
SECONDS = 10
# (curve, nodes, links, tracks). With 30 links a node, 10^6 tracks would be 30 million announcements: the
# curve over tracks has six links a node instead.
POINTS = [("nodes", nodes, 30, 10_000) for nodes in (10, 30, 100, 300, 1000)]
POINTS += [("tracks", 100, 6, 10**power) for power in (3, 4, 5, 6)]
COLUMNS = ["curve", "nodes", "links", "tracks", "simulated_s", "build_s", "run_s", "million_events", "gib", "violations"]


def measure(simulator, curve, nodes, links, tracks):
    command = [simulator, "--scale", nodes, "--links", links, "--tracks", tracks, "--seconds", SECONDS]
    text = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout
    number = r"([\d.]+)"
    found = re.search(rf"built in {number} s, run in {number} s; {number} M events.*; {number} GiB", text)
    violations = re.search(r"(\d+) violations", text)
    return [curve, nodes, links, tracks, SECONDS, *found.groups(), violations.group(1)]


def run(simulator):
    with open(FIGURES / "scale.csv", "w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(COLUMNS)
        for point in POINTS:
            rows.writerow(measure(simulator, *point))
            out.flush()


def plot(rows, x_name, title, left):
    points = [(float(row[x_name]), float(row["run_s"]) / float(row["simulated_s"])) for row in rows if row["curve"] == x_name]
    return loglog.panel([loglog.Series(x_name, points)], title, left, -2.5, 1.0)


def draw():
    with open(FIGURES / "scale.csv", newline="", encoding="utf-8") as data:
        rows = list(csv.DictReader(data))
    panels = plot(rows, "nodes", "nodes (30 links a node at most, 10 000 tracks)", 60)
    panels += plot(rows, "tracks", "tracks (100 nodes, 6 links each)", 460)
    footer = "seconds of one core per simulated second; both axes logarithmic"
    (FIGURES / "scale.svg").write_text(loglog.page(panels, footer, 830, 320), encoding="utf-8")


if __name__ == "__main__":
    loglog.command(__doc__, run, draw)
