"""Draw the charts as SVG that takes its colours from the page.

Drawn by hand and not with matplotlib: the text stays text, both colour schemes work, the
page needs no library, and the same results give the same bytes.
"""

import math
from html import escape

from bench.report_charts import Strip, style

__all__ = ["draw", "sample", "scheme"]

_W, _H = 510, 410
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 168, 30, 44
_GAP = 16.5  # between labels


def draw(chart, methods):
    """Return the SVG element of a chart or of a strip."""
    return _strip(chart, methods) if isinstance(chart, Strip) else _lines(chart, methods)


def scheme(methods):
    """Return the CSS of the methods' colours, light and dark."""
    light = "".join(f"--m{k}:{style(m, methods).light};" for k, m in enumerate(methods))
    dark = "".join(f"--m{k}:{style(m, methods).dark};" for k, m in enumerate(methods))
    return f":root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"


def sample(method, methods):
    """Return a short piece of the line of a method with its marker."""
    line = f'<path d="M1 8H47" {_stroke(method, methods)}/>'
    body = line + _marker(24, 8, method, methods)
    return f'<svg class="sample" viewBox="0 0 48 16" aria-hidden="true">{body}</svg>'


def _lines(chart, methods):
    bottom, right = _H - _BOTTOM, _W - _RIGHT
    x = _scale([v for v, _ in chart.xticks], chart.xlog, _LEFT, right)
    y = _scale([v for v, _ in chart.yticks], chart.ylog, bottom, _TOP)
    parts = []
    for value, text in chart.yticks:
        parts.append(f'<path class="grid" d="M{_LEFT} {y(value)}H{right}"/>')
        parts.append(_text(_LEFT - 6, y(value) + 4, text, "end"))
    for value, text in chart.xticks:
        parts.append(f'<path class="grid" d="M{x(value)} {_TOP}V{bottom}"/>')
        parts.append(_text(x(value), bottom + 17, text, "middle"))
    parts.append(_text((_LEFT + right) / 2, _H - 6, chart.xlabel, "middle"))
    parts.append(_text(2, 14, chart.ylabel, "start"))
    ends = {}
    # Ours last, on top of the others.
    for k, line in reversed(list(enumerate(chart.series))):
        points = [(x(a), y(b)) for a, b in line.points]
        parts.append(
            f'<path d="{_path(points, chart.steps)}" {_stroke(line.method, methods)}/>'
        )
        for px, py in _marked(points, chart.steps, k, len(chart.series)):
            parts.append(_marker(px, py, line.method, methods))
        ends[line.method] = (points[-1], f"{line.method} {line.note}".strip())
    if chart.steps:
        parts.extend(_labels(ends, right, bottom, methods))
    else:  # these lines end anywhere: a key, in the order in which they end
        order = sorted(ends, key=lambda m: (ends[m][0], methods.index(m)))
        for k, method in enumerate(order):
            parts.extend(_label(right, _TOP + _GAP * k, method, ends[method][1], methods))
    return _svg(chart, _H, parts)


def _labels(ends, right, bottom, methods):
    """Write each label at the end of its line, moved apart where they would overlap."""
    order = sorted(ends, key=lambda m: (ends[m][0][1], methods.index(m)))
    places = []
    for method in order:
        above = places[-1] + _GAP if places else _TOP
        places.append(max(ends[method][0][1], above))
    limit = bottom + 8
    for k in range(len(places) - 1, -1, -1):
        places[k] = min(places[k], limit)
        limit = places[k] - _GAP
    for method, place in zip(order, places, strict=True):
        (px, py), label = ends[method]
        yield f'<path class="leader" d="M{px} {py}L{right + 11} {place:.1f}"/>'
        yield from _label(right, place, method, label, methods)


def _label(right, place, method, text, methods):
    yield _marker(right + 16, round(place, 1), method, methods)
    yield _text(right + 24, place + 4.5, text, "start", _bold(method))


def _strip(strip, methods):
    left, right, pitch, top = 112, 380, 30, 32
    bottom = top + pitch * len(strip.rows)
    x = _scale([v for v, _ in strip.xticks], True, left, right)
    low, high = strip.xticks[0][0], strip.xticks[-1][0]
    parts = [
        _text((left + x(1)) / 2, 14, "◀ ours less", "middle"),
        _text((right + x(1)) / 2, 14, "ours more ▶", "middle"),
        _text(right + 58, 9, "solved by", "middle", ' class="small"'),
        _text(right + 8, 23, "only ours", "start", ' class="small"'),
        _text(_W, 23, "only rival", "end", ' class="small"'),
    ]
    for value, text in strip.xticks:
        kind = "one" if value == 1 else "grid"
        parts.append(f'<path class="{kind}" d="M{x(value)} {top - 6}V{bottom}"/>')
        parts.append(_text(x(value), bottom + 17, text, "middle"))
    for k, row in enumerate(strip.rows):
        middle = top + pitch * (k + 0.5)
        parts.append(_text(left - 8, middle + 4.5, row.method, "end"))
        for j, (ratio, name) in enumerate(row.ratios):
            place = x(min(max(ratio, low), high)), round(middle + 4 * (j % 5 - 2), 1)
            parts.append(_dot(place, ratio, name, low, high))
        if row.mean is not None:
            mean = x(min(max(row.mean, low), high))
            parts.append(f'<path class="mean" d="M{mean} {middle - 12}v24"/>')
        parts.append(_text(right + 34, middle + 4.5, str(row.only_ours), "middle"))
        parts.append(_text(_W - 26, middle + 4.5, str(row.only_rival), "middle"))
    label = f"{strip.xlabel}; bar: geometric mean"
    parts.append(_text(_W / 2, bottom + 38, label, "middle"))
    return _svg(strip, bottom + 46, parts)


def _dot(place, ratio, name, low, high):
    px, py = place
    title = f"<title>{escape(name)}: {ratio:.3g}</title>"
    kind = "win" if ratio < 1 else "loss"
    if low <= ratio <= high:
        return f'<circle class="{kind}" cx="{px}" cy="{py}" r="3.4">{title}</circle>'
    way = 1 if ratio > high else -1  # beyond the axis: an arrow head at its end
    points = f"{px - 3 * way},{py - 4} {px + 5 * way},{py} {px - 3 * way},{py + 4}"
    return f'<polygon class="{kind}" points="{points}">{title}</polygon>'


def _svg(chart, height, parts):
    label = escape(chart.title, quote=True)
    head = f'<svg viewBox="0 0 {_W} {height}" role="img" aria-label="{label}">'
    return head + "".join(parts) + "</svg>"


def _scale(ticks, log, start, stop):
    """Return the map from values to places; values beyond the ticks stay at the ends."""
    f = math.log if log else float
    low, high = f(min(ticks)), f(max(ticks))

    def place(value):
        value = min(max(value, min(ticks)), max(ticks))
        return round(start + (f(value) - low) / (high - low) * (stop - start), 1)

    return place


def _path(points, steps):
    first, *others = points
    middle = (f"H{px}V{py}" if steps else f"L{px} {py}" for px, py in others)
    return f"M{first[0]} {first[1]}" + "".join(middle)


def _marked(points, steps, k, n):
    """Return four places for markers on a line, shifted from method to method."""
    (start, _), (stop, _) = points[0], points[-1]
    for j in range(4):
        px = start + (stop - start) * (j + (k + 0.5) / n) / 4
        before = [p for p in points if p[0] <= px]
        if steps:
            yield round(px, 1), before[-1][1]
        else:
            yield before[-1]


def _stroke(method, methods):
    look = style(method, methods)
    dash = f' stroke-dasharray="{" ".join(map(str, look.dash))}"' if look.dash else ""
    color = f"var(--m{methods.index(method)})"
    return f'fill="none" style="stroke:{color}" stroke-width="{look.width}"{dash}'


def _marker(px, py, method, methods):
    look = style(method, methods)
    color = f"var(--m{methods.index(method)})"
    fill = color if look.filled else "var(--paper)"
    paint = f'style="fill:{fill};stroke:{color}" stroke-width="1.4"'
    if look.marker == "o":
        return f'<circle cx="{px}" cy="{py}" r="4" {paint}/>'
    return f'<polygon points="{_corners(px, py, look.marker)}" {paint}/>'


def _corners(px, py, marker):
    """Return the corners of a marker: their number, the first direction, and radii."""
    n, turn, radii = {
        "s": (4, 45, (4.8,)),
        "D": (4, 90, (5,)),
        "^": (3, -90, (5.2,)),
        "v": (3, 90, (5.2,)),
        "<": (3, 180, (5.2,)),
        ">": (3, 0, (5.2,)),
        "p": (5, -90, (4.8,)),
        "h": (6, 0, (4.8,)),
        "*": (10, -90, (6.2, 2.6)),
    }[marker]
    corners = []
    for k in range(n):
        angle = math.radians(turn + 360 * k / n)
        radius = radii[k % len(radii)]
        place = px + radius * math.cos(angle), py + radius * math.sin(angle)
        corners.append("{:.1f},{:.1f}".format(*place))
    return " ".join(corners)


def _text(px, py, text, anchor, more=""):
    place = f'x="{round(px, 1)}" y="{round(py, 1)}"'
    return f'<text {place} text-anchor="{anchor}"{more}>{escape(text)}</text>'


def _bold(method):
    return ' font-weight="700"' if method == "ours" else ""
