#!/usr/bin/env python3
"""What core's structures cost as work grows: runs the curve, or draws it from the data of the last run.

    curve.py run FIGURES_CORE   runs `FIGURES_CORE curve`: docs/figures/core.csv, core.svg
    curve.py draw               draws docs/figures/core.svg from docs/figures/core.csv

The table and its peers by keys, the timer wheel by timers, the rings by the items in a burst; nanoseconds each.
"""
import csv
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIGURES = ROOT / "docs" / "figures"
sys.path.insert(0, str(ROOT / "tools"))
import loglog

# (title, powers of ten on the y axis, rows: name, structure, operation, order)
PANELS = [
    ("table: ns per look-up, by keys", (0, 2.3), [
        ("hit", "table", "hit", "random"), ("rte_hash", "rte_hash", "hit", "random"),
        ("Abseil", "absl::flat_hash_map", "hit", "random"), ("Boost", "boost::unordered_flat_map", "hit", "random"),
        ("miss", "table", "miss", "random"), ("a line of memory", "line of memory", "hit", "random")]),
    ("timer wheel: ns per operation, by timers", (0, 2.3), [
        ("arm + cancel, slab", "wheel", "arm_cancel", "slab"), ("random", "wheel", "arm_cancel", "random"),
        ("put off, slab", "wheel", "put_off", "slab"), ("random", "wheel", "put_off", "random"),
        ("fire, slab", "wheel", "expire", "slab"), ("random", "wheel", "expire", "random")]),
    ("rings: ns per item, by burst", (-0.5, 2.5), [
        ("pointers", "ring", "burst", "pointers"), ("rte_ring", "rte_ring", "burst", "pointers"),
        ("indices", "ring", "burst", "indices"), ("Boost spsc_queue", "boost_spsc_queue", "burst", "pointers"),
        ("line ring", "line_ring", "burst", "descriptors"), ("rte_ring, 64 bytes", "rte_ring", "burst", "descriptors")]),
]


def run(program):
    with open(FIGURES / "core.csv", "w", encoding="utf-8") as out:
        subprocess.run([program, "curve"], check=True, stdout=out)


def draw():
    with open(FIGURES / "core.csv", newline="", encoding="utf-8") as data:
        rows = list(csv.DictReader(data))
    parts = []
    for number, (title, (low, high), wanted) in enumerate(PANELS):
        series = []
        for name, structure, operation, order in wanted:
            points = [(float(r["size"]), float(r["ns"])) for r in rows
                      if (r["structure"], r["operation"], r["order"]) == (structure, operation, order)]
            if points:  # a peer that is not installed has none
                series.append(loglog.Series(name, points, dashed=name == "random"))
        parts += loglog.panel(series, title, 60 + 400 * number, low, high)
    footer = "medians; both axes logarithmic; table and peers: 64 keys at a time, 2 MiB pages"
    (FIGURES / "core.svg").write_text(loglog.page(parts, footer, 1230, 390), encoding="utf-8")


if __name__ == "__main__":
    loglog.command(__doc__, run, draw)
