"""What the figures show, independent of who draws them: SVG on the page, or PNG files."""

import math
import re
from dataclasses import dataclass

from bench.report_data import number
from bench.report_numbers import performance_ratios, profile, rivalry, uncounted

__all__ = [
    "Chart",
    "Series",
    "Strip",
    "StripRow",
    "Style",
    "histories",
    "history_chart",
    "profile_chart",
    "strip_chart",
    "style",
]

_LAST_TAU = 64.0
_MAX_POINTS = 240


@dataclass(frozen=True)
class Style:
    """How a method is drawn: each differs from all others without its colour."""

    light: str
    dark: str
    dash: tuple  # lengths of line and gap; () is a full line
    marker: str  # as matplotlib names them
    filled: bool = True
    width: float = 1.5


_STYLES = {
    "ours": Style("#111111", "#ffffff", (), "o", width=3.2),
    "none": Style("#666666", "#a8a8a8", (1.5, 3), "s", filled=False),
    "jacobi": Style("#0058a3", "#6cb6ff", (8, 4), "s"),
    "ours-classical": Style("#444444", "#cfcfcf", (12, 3, 2, 3), "o", filled=False),
    "cheb30": Style("#a84300", "#ff9f57", (), "^"),
    "chebritz": Style("#7d5a00", "#e3b85a", (6, 3), "v"),
    "cheb4": Style("#b3261e", "#ff8a80", (3, 3), "D"),
    "gmrespoly": Style("#6f2c91", "#d59bec", (9, 3, 2, 3, 2, 3), "*"),
    "gmrespoly-plain": Style("#6f2c91", "#d59bec", (2, 2), "h", filled=False),
    "best IC": Style("#006b57", "#46d3b0", (), "D", filled=False),
    "best ILU": Style("#2f6f00", "#8fd85c", (5, 5), "^", filled=False),
    "spilu": Style("#5a6600", "#c9d64a", (2, 4), "v", filled=False),
    "pyamg-sa": Style("#99154f", "#ff7fb6", (), "p"),
    "pyamg-rs": Style("#99154f", "#ff7fb6", (10, 4), "p", filled=False),
    "splu": Style("#3a3aa8", "#a9a9ff", (14, 4, 2, 4), "*", filled=False),
}
_OTHERS = [
    Style("#555555", "#bbbbbb", dash, marker, filled)
    for filled in (True, False)
    for dash, marker in (((4, 2), "<"), ((4, 2, 1, 2), ">"), ((7, 2), "h"))
]


@dataclass(frozen=True)
class Series:
    """One line of a chart with the label at its end."""

    method: str
    points: tuple
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """Lines over a logarithmic axis."""

    name: str
    title: str
    xlabel: str
    ylabel: str
    series: tuple
    xticks: tuple  # (value, text)
    yticks: tuple
    xlog: bool = True
    ylog: bool = False
    steps: bool = True

    @property
    def empty(self):
        """Tell whether there is nothing to draw."""
        return not self.series


@dataclass(frozen=True)
class StripRow:
    """A rival: one dot per case, the geometric mean, what only one of the two solves."""

    method: str
    ratios: tuple  # (ratio, name of the case)
    mean: float | None
    only_ours: int
    only_rival: int


@dataclass(frozen=True)
class Strip:
    """Ratios of ours over the rivals, case by case, on a logarithmic axis."""

    name: str
    title: str
    xlabel: str
    rows: tuple
    xticks: tuple

    @property
    def empty(self):
        """Tell whether there is nothing to draw."""
        return not self.rows


def style(method, methods=()):
    """Return the style of a method; one we do not know gets one by its place."""
    if method in _STYLES:
        return _STYLES[method]
    strange = [m for m in methods if m not in _STYLES]
    place = strange.index(method) if method in strange else 0
    return _OTHERS[place % len(_OTHERS)]


def profile_chart(key, title, cases, methods, quantity):
    """Return the performance profile of the methods by products or by total seconds."""
    word = {"products": "products with A", "total_seconds": "total seconds"}[quantity]
    if quantity == "products":
        methods = [method for method in methods if not uncounted(method)]
    ratios = performance_ratios(cases, methods, quantity)
    finite = [r for values in ratios.values() for r in values if math.isfinite(r)]
    last = 2.0 ** math.ceil(math.log2(max([*finite, 2.0])))
    last = min(max(last, 4.0), _LAST_TAU)
    series = []
    for method in methods:
        steps = profile(ratios[method])
        solved = steps[-1][1] if steps else 0.0
        points = [(tau, share) for tau, share in steps if tau <= last]
        if not points or points[0][0] > 1:
            points.insert(0, (1.0, 0.0))
        points.append((last, points[-1][1]))
        series.append(Series(method, tuple(points), f"{100 * solved:.0f} %"))
    n_ticks = round(math.log2(last)) + 1
    return Chart(
        name=f"profile-{key}-{quantity.replace('_', '-')}",
        title=f"{title}: {word}",
        xlabel=f"{word} at most this many times the best",
        ylabel=f"share of {len(cases)} cases",
        series=tuple(series),
        xticks=tuple((2.0**k, f"{2**k}") for k in range(n_ticks)),
        yticks=tuple((k / 5, f"{20 * k} %") for k in range(6)),
    )


def strip_chart(key, title, cases, rivals, quantity):
    """Return ours over each rival, case by case."""
    word = {"products": "products", "total_seconds": "total seconds"}[quantity]
    rows = []
    for rival in rivals:
        facts = rivalry(cases, rival, (quantity,))
        ratio = facts.ratios[quantity]
        dots = tuple((value, case.name) for value, case in ratio.points)
        rows.append(StripRow(rival, dots, ratio.mean, facts.only_ours, facts.only_rival))
    ends = [abs(math.log2(value)) for row in rows for value, _ in row.ratios]
    reach = min(max(math.ceil(max([*ends, 1.0])), 2), 6)
    step = 1 if reach <= 4 else 2
    powers = range(-reach + reach % step, reach + 1, step)
    ticks = tuple((2.0**k, f"{2**k}" if k >= 0 else f"1/{2**-k}") for k in powers)
    if powers[-1] < reach:
        ticks = (*ticks, (2.0**reach, ""))
    if powers[0] > -reach:
        ticks = ((2.0**-reach, ""), *ticks)
    return Strip(
        name=f"ratios-{key}-{quantity.replace('_', '-')}",
        title=f"{title}: {word}, ours over each rival",
        xlabel=f"{word} of ours ÷ {word} of the rival",
        rows=tuple(rows),
        xticks=ticks,
    )


def histories(case):
    """Return the residual histories of a case: method -> list of (products, residual)."""
    found = {}
    for method, cell in case.cells.items():
        if cell.status == "not installed":
            continue
        row = next((row for row in cell.rows if row.get("history")), None)
        points = _history(row) if row else []
        if points:
            found[method] = points
    return found


def history_chart(case):
    """Return the relative residual over products of each method that recorded it."""
    lines = histories(case)
    every = [point for points in lines.values() for point in points]
    low = min(residual for _, residual in every)
    high = max(residual for _, residual in every)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    step = max(1, (last - first) // 6)
    ticks = [(10.0**k, f"1e{k}") for k in range(last, first - 1, -step)]
    if ticks[-1][0] > 10.0**first:
        ticks.append((10.0**first, ""))
    right = max(max(products for products, _ in every), 1.0)
    series = []
    for method, points in lines.items():
        cell = case.cells[method]
        note = "" if cell.solved else "✗"
        series.append(Series(method, tuple(_thinned(points)), note))
    return Chart(
        name="history-" + re.sub(r"\W+", "-", case.name),
        title=f"Residual history: {case.name}",
        xlabel="products with A, setup included",
        ylabel="relative residual (✗: did not converge)",
        series=tuple(series),
        xticks=tuple((v, f"{v:,.0f}".replace(",", " ")) for v in _round_ticks(right)),
        yticks=tuple(reversed(ticks)),
        xlog=False,
        ylog=True,
        steps=False,
    )


def _history(row):
    """Return points (products, residual) of what was recorded.

    An entry is [iterations, products, seconds, residual]; a pair [products, residual], a
    record, or the residual alone will do.
    """
    history = row["history"] if isinstance(row["history"], list) else []
    first = number(row.get("setup_products")) or 0.0
    last = number(row.get("products"))
    last = first + len(history) - 1 if last is None else last
    per_entry = (last - first) / max(len(history) - 1, 1)
    points = []
    for k, entry in enumerate(history):
        x, residual = first + k * per_entry, entry
        if isinstance(entry, dict):
            x, residual = entry.get("products", x), entry.get("residual")
        elif isinstance(entry, list | tuple):
            known = {4: (1, 3), 2: (0, 1)}.get(len(entry))
            x, residual = (entry[known[0]], entry[known[1]]) if known else (x, None)
        x, residual = number(x), number(residual)
        if x is not None and residual is not None and residual > 0:
            points.append((x, residual))
    return points


def _thinned(points):
    """Keep the first, the last, and evenly spread ones between."""
    stride = max(1, math.ceil(len(points) / _MAX_POINTS))
    kept = points[::stride]
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]


def _round_ticks(right):
    """Return about five round numbers from 0 on; the last is at or beyond `right`."""
    raw = right / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
    return [step * k for k in range(math.ceil(right / step) + 1)]
