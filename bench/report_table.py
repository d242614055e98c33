"""The tables of the page that sum up: ratios, profiles, break-even, failures."""

import math
from collections import Counter
from html import escape

from bench.report_numbers import (
    break_even,
    geometric_mean,
    performance_ratios,
    rivalry,
    tolerances,
    uncounted,
)

__all__ = [
    "break_even_table",
    "efficiency_table",
    "failure_table",
    "headline_table",
    "profile_table",
    "show",
    "sort_key",
    "table",
    "times",
    "tolerance_table",
]


def show(value, quantity=""):
    """Return a number as short as its kind of quantity allows; a dash for None."""
    if value is None:
        return "–"
    if quantity == "residual":
        return f"{value:.1e}"
    if quantity.endswith("seconds"):
        if value < 1e-3:
            return "0" if value == 0 else f"{value:.4f}" if value >= 5e-5 else "<0.0001"
        return f"{value:.3g}" if value < 100 else f"{value:.0f}"
    return f"{value:,.0f}".replace(",", "\u202f")


def times(ratio, sign=True):
    """Return a ratio of ours to another with a sign that needs no colour."""
    if ratio is None:
        return "–"
    if math.isinf(ratio):
        return "ours fails"
    arrow = "▼" if ratio < 0.995 else "▲" if ratio > 1.005 else "="
    text = f"{ratio:.2f}" if ratio < 100 else f"{ratio:.0f}"
    return f"{arrow} {text}" if sign else text


def table(heads, rows, *, kind="", caption=""):
    """Return a table in a box that scrolls; each row begins with its header.

    Heads and cells are HTML; a cell may also be a pair of HTML and attributes.
    """
    parts = [f'<div class="scroll" tabindex="0"><table class="{kind}">']
    if caption:
        parts.append(f"<caption>{caption}</caption>")
    parts.append("<thead><tr>")
    parts.extend(_head(head, "sortable" in kind) for head in heads)
    parts.append("</tr></thead><tbody>")
    for row in rows:
        first, *others = (cell if isinstance(cell, tuple) else (cell, "") for cell in row)
        parts.append(f'<tr><th scope="row"{first[1]}>{first[0]}</th>')
        parts.extend(f"<td{attributes}>{text}</td>" for text, attributes in others)
        parts.append("</tr>\n")
    parts.append("</tbody></table></div>")
    return "".join(parts)


def headline_table(cases, rivals):
    """Return ours over each rival: geometric means and counts."""
    facts = {rival: rivalry(cases, rival) for rival in rivals}
    means = {
        "products": "products",
        "work": "work",
        "iterations": "iterations",
        "total_seconds": "seconds",
        "area": "area under residual",
    }
    for quantity in ("work", "area"):  # not every run records them
        if all(known.ratios[quantity].mean is None for known in facts.values()):
            del means[quantity]
    heads = ["ours against", "cases", "both solve", *means.values(), "faster", "slower"]
    heads += ["fewer products", "more products"]
    heads += ["only ours solves", "only rival solves", "neither"]
    rows = []
    for rival, known in facts.items():
        seconds, products = known.ratios["total_seconds"], known.ratios["products"]
        texts = {quantity: times(known.ratios[quantity].mean) for quantity in means}
        counts = [products.wins, products.losses]
        if uncounted(rival):
            texts["products"] += "\u2009†"
            counts = ["†", "†"]
        row = [escape(rival), known.n_cases, known.both, *texts.values()]
        row += [seconds.wins, seconds.losses, *counts]
        rows.append([*row, known.only_ours, known.only_rival, known.neither])
    return table(heads, rows)


def tolerance_table(cases, rivals):
    """Return products of ours over each rival at looser tolerances, or an empty string."""
    found = {rival: tolerances(cases, rival) for rival in rivals}
    names = sorted({n for means in found.values() for n in means}, key=_tolerance)
    if not names:
        return ""
    rows = []
    for rival, means in found.items():
        cells = [means.get(name, (None, 0)) for name in names]
        if any(count for _, count in cells):
            mark = "\u2009†" if uncounted(rival) else ""
            texts = [f"{times(m)} <small>{k} cases</small>" for m, k in cells]
            rows.append([escape(rival) + mark, *texts])
    return table(["ours against", *map(escape, names)], rows)


def profile_table(cases, methods, quantity):
    """Return the numbers of a performance profile."""
    bounds = [1.0, 1.1, 1.5, 2.0, 5.0, 10.0, math.inf]
    heads = ["method", "best", *(f"within {b:g}×" for b in bounds[1:-1]), "solved"]
    rows = []
    for method, ratios in performance_ratios(cases, methods, quantity).items():
        finite = [r for r in ratios if math.isfinite(r)]
        shares = [sum(r <= bound for r in finite) / len(ratios) for bound in bounds]
        rows.append([escape(method), *(f"{100 * share:.0f} %" for share in shares)])
    return table(heads, rows)


def break_even_table(cases, rivals):
    """Return after how many right-hand sides ours is the faster one, per case."""
    rows = []
    for case in cases:
        values = [break_even(case, rival) for rival in rivals]
        if any(value is not None for value in values):
            cells = [(_break_even_words(v), sort_key(_break_even_order(v))) for v in values]
            name = escape(case.name)
            rows.append([(name, f' data-sort="{escape(case.name, quote=True)}"'), *cells])
    heads = ["problem", *(f"against {escape(rival)}" for rival in rivals)]
    return table(heads, rows, kind="sortable") if rows else ""


def efficiency_table(cases, methods):
    """Return products of the plain solver over those of each method."""
    rows = []
    for method in methods:
        found = []
        for case in cases:
            pair = case.median("none", "products"), case.median(method, "products")
            if None not in pair:
                found.append(max(pair[0], 1.0) / max(pair[1], 1.0))
        if method != "none" and found:
            found.sort()
            middle = (found[(len(found) - 1) // 2] + found[len(found) // 2]) / 2
            values = [geometric_mean(found), found[0], middle, found[-1]]
            mark = "\u2009†" if uncounted(method) else ""
            cells = [f"{value:.2f}" for value in values]
            rows.append([escape(method) + mark, len(found), *cells])
    heads = ["method", "cases", "geometric mean", "smallest", "median", "largest"]
    return table(heads, rows) if rows else ""


def failure_table(cases, methods):
    """Return how often each method ended in which way."""
    counts = {
        method: Counter(case.cells[method].status for case in cases if method in case.cells)
        for method in methods
    }
    words = sorted(
        {w for c in counts.values() for w in c}, key=lambda w: (w != "converged", w)
    )
    rows = []
    for method, count in counts.items():
        missing = len(cases) - count.total()
        numbers = [count[word] or "·" for word in words]
        rows.append([escape(method), *numbers, missing or "·"])
    return table(["method", *map(escape, words), "no row"], rows)


def _head(head, sortable):
    text = f'<button type="button">{head}</button>' if sortable else str(head)
    return f'<th scope="col">{text}</th>'


def sort_key(value):
    """Return the attribute by which a cell is sorted; None goes last."""
    return ' data-sort=""' if value is None else f' data-sort="{value:g}"'


def _tolerance(name):
    try:
        return -float(name)
    except ValueError:
        return math.inf


def _break_even_words(k):
    if k is None:
        return "–"
    if math.isinf(k):
        return "never"
    if k < 0:
        return f"ahead up to {show(-k)} only"
    return "at once" if k == 1 else f"from {show(k)} on"


def _break_even_order(k):
    if k is None:
        return None
    return 1e300 if math.isinf(k) else 1e200 if k < 0 else k
