"""Line charts of a growth record, as SVG for light and dark pages."""

import html
import json
import math

WIDTH, PLOT, LEFT, RIGHT, TOP, BOTTOM, KEY = 760, 300, 70, 24, 44, 44, 18
COLORS = ["#0072b2", "#d55e00", "#009e73", "#b05a98"]
DARK = ["#56b4e9", "#f08c3c", "#2fc492", "#d98cc4"]
STYLE = (
    "<style>.page{fill:#fff}text{fill:#222}.title{font-weight:600}.faint{fill:#666;font-size:11px}"
    ".grid{stroke:#e2e2e2;fill:none}.line{fill:none;stroke-width:2}.tail{stroke-dasharray:2 4;stroke-width:1.3}"
    + "".join(f".c{n}{{stroke:{color}}}.d{n}{{fill:{color}}}" for n, color in enumerate(COLORS))
    + "@media(prefers-color-scheme:dark){.page{fill:#181a1d}text{fill:#e6e6e6}.faint{fill:#9a9a9a}.grid{stroke:#34383d}"
    + "".join(f".c{n}{{stroke:{color}}}.d{n}{{fill:{color}}}" for n, color in enumerate(DARK))
    + "}</style>"
)


def plot(record, folder):
    data = json.loads(record.read_text())
    folder.mkdir(exist_ok=True)
    for name, axis in data["axes"].items():
        path = folder / f"{record.stem}-{name}.svg"
        path.write_text(chart(axis, data["machine"]))
        print(path.relative_to(folder.parent.parent))


def chart(axis, machine):
    """Medians as lines, the slowest hundredth dotted; both axes logarithmic where they reach far."""
    curves = axis["curves"]
    points = [point for curve in curves for point in curve["points"]]
    shown = [point[key] for point in points for key in ("p50", "p99") if point.get(key)]
    xs = sorted({point["x"] for point in points})
    at_x = scale(xs[0], xs[-1], LEFT, WIDTH - RIGHT, xs[-1] > 50 * xs[0])
    is_log = max(shown) > 20 * min(shown)
    low, high = (min(shown) / 1.3, max(shown) * 1.3) if is_log else (0, max(shown) * 1.08)
    at_y = scale(low, high, TOP + PLOT, TOP, is_log)
    height = TOP + PLOT + BOTTOM + KEY * len(curves) + 22
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" '
        f'font-size="13" role="img">\n{STYLE}<rect class="page" width="{WIDTH}" height="{height}"/>',
        f'<text class="title" x="16" y="22">{html.escape(axis["title"])}</text>',
    ]
    for value in ticks(low, high, is_log):
        y = at_y(value)
        out.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        out.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{nanos(value)}</text>')
    last = -math.inf
    for value in xs:
        x = at_x(value)
        if x - last >= 44:
            out.append(f'<text x="{x:.1f}" y="{TOP + PLOT + 18}" text-anchor="middle">{number(value)}</text>')
            last = x
    middle = (LEFT + WIDTH - RIGHT) / 2
    out.append(f'<text x="{middle}" y="{TOP + PLOT + 36}" text-anchor="middle">{html.escape(axis["x_label"])}</text>')
    for n, curve in enumerate(curves):
        drawn = [(at_x(point["x"]), point) for point in curve["points"]]
        for key, kind in [("p99", "line tail"), ("p50", "line")]:
            line = [f"{x:.1f} {at_y(point[key]):.1f}" for x, point in drawn if point.get(key)]
            if len(line) > 1:
                out.append(f'<path class="{kind} c{n}" d="M{"L".join(line)}"/>')
        out += [f'<circle class="d{n}" cx="{x:.1f}" cy="{at_y(point["p50"]):.1f}" r="3"/>' for x, point in drawn]
        y, ends = TOP + PLOT + BOTTOM + KEY * (n + 0.7), [curve["points"][0]["p50"], curve["points"][-1]["p50"]]
        label = f"{curve['name']}: {nanos(ends[0])} to {nanos(ends[1])} for {curve['of']}"
        out.append(f'<circle class="d{n}" cx="{LEFT + 4}" cy="{y - 4}" r="4"/>')
        out.append(f'<text x="{LEFT + 16}" y="{y}">{html.escape(label)}</text>')
    dotted = "; dotted: the slowest hundredth" if any("p99" in point for point in points) else ""
    caption = (
        f"median of the rounds{dotted}. {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, "
        f"{axis['date'][:10]}, load {axis['load_average'][0]:g}"
    )
    out.append(f'<text class="faint" x="16" y="{height - 10}">{html.escape(caption)}</text>\n</svg>\n')
    return "\n".join(out)


def scale(low, high, start, end, is_log):
    curve = math.log10 if is_log else float
    span = curve(high) - curve(low) or 1.0
    return lambda value: start + (curve(value) - curve(low)) / span * (end - start)


def ticks(low, high, is_log):
    if is_log:
        digits = [1, 2, 5] if high < 1000 * low else [1]
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        return [digit * 10.0**decade for decade in decades for digit in digits if low <= digit * 10.0**decade <= high]
    decade = 10.0 ** math.floor(math.log10(high / 5))
    step = next(step * decade for step in (1, 2, 5, 10) if step * decade >= high / 5)
    return [n * step for n in range(int(high / step) + 1)]


def nanos(value):
    for size, unit in [(1e9, "s"), (1e6, "ms"), (1e3, "us")]:
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g} ns"


def number(value):
    for size, unit in [(10**6, "M"), (10**3, "k")]:
        if value >= size and value % size == 0:
            return f"{value // size}{unit}"
    for size, unit in [(1 << 20, " Mi"), (1 << 10, " Ki")]:
        if value >= size and value % size == 0:
            return f"{value // size}{unit}"
    return str(value)
