"""Plots with two logarithmic axes, as SVG. They need nothing but Python, so that the same data give the same file."""
import dataclasses
import math
import sys

WIDTH, HEIGHT, TOP = 330, 240, 40
STYLE = ("text{font:12px sans-serif;fill:#333}.title{font-weight:bold}.frame{fill:none;stroke:#999}.grid{stroke:#ddd}"
         "polyline{fill:none;stroke-width:2}")
COLOURS = ("#1f6fb2", "#c0504d", "#4f9d4f", "#8064a2", "#d08a2e", "#555555")


@dataclasses.dataclass
class Series:
    name: str
    points: list  # (x, y), both above zero
    dashed: bool = False


def panel(series, title, left, low, high):
    """One frame at `left`: a line per series, y from 10^low to 10^high. One series has its values written beside its
    points; more have a legend below the frame."""
    xs = sorted({x for s in series for x, _ in s.points})
    x_low, x_high = math.log10(xs[0]), math.log10(xs[-1])

    def at(x, y):
        return (left + (math.log10(x) - x_low) / (x_high - x_low) * WIDTH,
                TOP + (high - math.log10(y)) / (high - low) * HEIGHT)

    parts = [f'<rect x="{left}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" class="frame"/>',
             f'<text x="{left}" y="{TOP - 14}" class="title">{title}</text>']
    for power in range(math.ceil(low), math.floor(high) + 1):
        y = at(xs[0], 10.0**power)[1]
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + WIDTH}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    for x in xs:
        parts.append(f'<text x="{at(x, 10.0**low)[0]:.1f}" y="{TOP + HEIGHT + 17}" text-anchor="middle">{x:,.0f}</text>')
    for number, s in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        dash = ' stroke-dasharray="5 4"' if s.dashed else ""
        points = [(*at(x, y), y) for x, y in sorted(s.points)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
        parts.append(f'<polyline points="{path}" stroke="{colour}"{dash}/>')
        for px, py, y in points:
            parts.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{colour}"/>')
            if len(series) == 1:
                parts.append(f'<text x="{px:.1f}" y="{py - 9:.1f}" text-anchor="middle">{y:.2g}</text>')
        if len(series) > 1:
            x, y = left + number % 2 * WIDTH / 2, TOP + HEIGHT + 40 + number // 2 * 18
            parts.append(f'<line x1="{x}" y1="{y - 4}" x2="{x + 22}" y2="{y - 4}" stroke="{colour}" stroke-width="2"{dash}/>')
            parts.append(f'<text x="{x + 28}" y="{y}">{s.name}</text>')
    return parts


def page(panels, footer, width, height):
    """The whole file: the elements of all panels and a line of text below them."""
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
            f'<style>{STYLE}</style><rect width="{width}" height="{height}" fill="#fff"/>'
            f'<text x="60" y="{height - 8}">{footer}</text>')
    return "\n".join([head, *panels, "</svg>"]) + "\n"


def command(usage, run, draw):
    """The command line of a curve, whose program is measured by run(program) before draw(), or draw() alone."""
    words = sys.argv[1:]
    if words[:1] == ["run"] and len(words) == 2:
        run(words[1])
    elif words != ["draw"]:
        print(usage)
        sys.exit(2)
    draw()
