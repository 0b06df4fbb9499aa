#!/usr/bin/env python3
"""What a large simulated mesh costs: runs the curve, or draws it from the data of the last run.

    scale_curve.py run SIMULATOR   runs `SIMULATOR --scale ...` for every point: docs/figures/scale.csv, scale.svg
    scale_curve.py draw            draws docs/figures/scale.svg from docs/figures/scale.csv

Both axes of both plots are logarithmic; the line of each plot is the CPU-bound wall time of one core, per
simulated second. The drawing needs nothing but Python, so that the same data give the same file.
"""
import csv
import math
import pathlib
import re
import subprocess
import sys

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
    """One panel: points, the line through them, a label per point; as SVG elements."""
    width, height, top = 330, 240, 40
    points = sorted((float(row[x_name]), float(row["run_s"]) / float(row["simulated_s"])) for row in rows)
    x_low, x_high = (math.log10(points[0][0]), math.log10(points[-1][0]))
    y_low, y_high = -2.5, 1.0

    def at(x, y):
        return (left + (math.log10(x) - x_low) / (x_high - x_low) * width,
                top + (y_high - math.log10(y)) / (y_high - y_low) * height)

    parts = [f'<rect x="{left}" y="{top}" width="{width}" height="{height}" class="frame"/>',
             f'<text x="{left}" y="{top - 14}" class="title">{title}</text>']
    for power in (-2, -1, 0, 1):
        y = at(points[0][0], 10.0**power)[1]
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + width}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in points))
    parts.append(f'<polyline points="{path}" class="line"/>')
    for x, y in points:
        px, py = at(x, y)
        parts.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.5" class="dot"/>')
        parts.append(f'<text x="{px:.1f}" y="{py - 9:.1f}" text-anchor="middle">{y:.2g}</text>')
        parts.append(f'<text x="{px:.1f}" y="{top + height + 17}" text-anchor="middle">{x:,.0f}</text>')
    return parts


def draw():
    with open(FIGURES / "scale.csv", newline="", encoding="utf-8") as data:
        rows = list(csv.DictReader(data))
    panels = plot([r for r in rows if r["curve"] == "nodes"], "nodes",
                  "nodes (30 links a node at most, 10 000 tracks)", 60)
    panels += plot([r for r in rows if r["curve"] == "tracks"], "tracks",
                   "tracks (100 nodes, 6 links each)", 460)
    style = ("text{font:12px sans-serif;fill:#333}.title{font-weight:bold}.frame{fill:none;stroke:#999}"
             ".grid{stroke:#ddd}.line{fill:none;stroke:#1f6fb2;stroke-width:2}.dot{fill:#1f6fb2}")
    head = ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 830 320" width="830" height="320">'
            f'<style>{style}</style><rect width="830" height="320" fill="#fff"/>'
            '<text x="60" y="312">seconds of one core per simulated second; both axes logarithmic</text>')
    (FIGURES / "scale.svg").write_text("\n".join([head, *panels, "</svg>"]) + "\n", encoding="utf-8")


def main(arguments):
    if arguments[:1] == ["run"] and len(arguments) == 2:
        run(arguments[1])
    elif arguments != ["draw"]:
        print(__doc__)
        return 2
    draw()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
