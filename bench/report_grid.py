"""The table of all results: a row per problem and solver, a cell per method."""

from html import escape

from bench.report_data import QUANTITIES, number
from bench.report_numbers import OURS, best_plain, uncounted
from bench.report_style import VIEWS
from bench.report_table import show, sort_key, table, times

__all__ = ["result_table"]


def result_table(cases, methods):
    """Return the big table: a row per problem and solver, a cell per method."""
    heads = ["problem", "class", "n", "nnz", "ours ÷ better of none, Jacobi"]
    heads += [m + ("\u2009†" if uncounted(m) else "") for m in methods]
    rows = []
    for case in cases:
        best = {q: _best(case, methods, q) for q in QUANTITIES if q != "residual"}
        row = [
            (escape(case.name), f' data-sort="{escape(case.name, quote=True)}"'),
            (
                escape(str(case.facts["class"] or "?")),
                ' class="text"' + sort_key(_kind(case)),
            ),
            (show(number(case.facts["n"])), sort_key(number(case.facts["n"]))),
            (show(number(case.facts["nnz"])), sort_key(number(case.facts["nnz"]))),
            _against_plain(case),
        ]
        row += [_cell(case.cells.get(m), m, best) for m in methods]
        rows.append(row)
    return table([escape(h) for h in heads], rows, kind="sortable")


def _kind(case):
    kinds = ["spd", "indefinite", "general"]
    return kinds.index(case.facts["class"]) if case.facts["class"] in kinds else None


def _best(case, methods, quantity):
    """Return the best value of a row; counts of products are compared among their like."""
    if quantity in ("products", "iterations"):
        methods = [m for m in methods if not uncounted(m)]
    values = [case.median(method, quantity) for method in methods]
    return min((value for value in values if value is not None), default=None)


def _against_plain(case):
    """Return ours over the better of none and Jacobi, in each view."""
    if OURS not in case.cells:
        return "–", ' data-sort=""'
    cells, data = [], []
    for view in VIEWS:
        quantity = "total_seconds" if view in ("all", "residual") else view
        other = best_plain(case, quantity)[1]
        ours = case.median(OURS, quantity)
        if other is None:
            text, key = ("–" if ours is None else "only ours solves"), ""
        elif not case.solved(OURS):
            text, key = f"<i>{escape(case.cells[OURS].status)}</i>", "1e300"
        elif other == 0 or ours is None:
            text, key = "–", ""
        else:
            text, key = times(ours / other), f"{ours / other:g}"
        cells.append(f"<span data-v={view}>{text}</span>")
        data.append(f' data-{view}="{key}"')
    return "".join(cells), "".join(data)


def _cell(cell, method, best):
    if cell is None:
        return "–", ""
    label = f"<small>{escape(cell.method)}</small>" if cell.method != method else ""
    if not cell.solved:
        reason = f' title="{escape(cell.reason, quote=True)}"' if cell.reason else ""
        return f"<i>{escape(cell.status)}</i>{label}", reason
    notes = [str(row["note"]) for row in cell.rows if row.get("note")]
    parts, data = [], []
    for quantity, word in QUANTITIES.items():
        value = cell.median(quantity)
        if value is None:
            parts.append(f"<div data-v={quantity}><small class=what>{word}</small>–</div>")
            continue
        star = ' class="best"' if value == best.get(quantity) else ""
        text = f"<b>{show(value, quantity)}</b>{_spread(cell, quantity)}"
        parts.append(
            f"<div data-v={quantity}{star}><small class=what>{word}</small>{text}</div>"
        )
        data.append(f' data-{quantity}="{value:g}"')
    if cell.failed:
        label += f"<small>{len(cell.failed)} of {len(cell.rows)} repeats failed</small>"
    data.extend(f' title="{escape(note, quote=True)}"' for note in notes[:1])
    return "".join(parts) + label, "".join(data)


def _spread(cell, quantity):
    low, high = (show(value, quantity) for value in cell.spread(quantity))
    return "" if low == high else f"<span class=spread>{low} to {high}</span>"
