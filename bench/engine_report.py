"""The rows of ``python -m bench.engine run`` as tables in Markdown."""

import math

import numpy as np

from . import journal
from .engine_methods import LABELS, RIVALS
from .engine_sets import SETS
from .engine_summary import SHORT, geometric_mean, kind, outer, summary, total

__all__ = ["render"]

_LEGEND = (
    "Products over those of the oracle (the best of 36 Chebyshev intervals on the same",
    "upper end; not a lower bound for other polynomials), means over five right-hand",
    "sides. *Broke*: cases with a right-hand side for which CG broke down or spent its",
    "budget; it counts with the budget. *Strict* gives the budget to every polynomial",
    "that is not certified, too, whether it works or not. *Ours ≤* is the share of cases",
    "in which ours takes no more products than the method.",
)
_KINDS = ("regular", "short", "hard")
_WORST = 8  # cases that are named
_LINES = 20  # of a list by name


def render(path):
    """Return the report of a results file.

    Parameters
    ----------
    path : path-like
        JSON lines.

    Raises
    ------
    ValueError
        If it holds no rows.
    """
    headers, rows = journal.read(path)
    if not rows:
        raise ValueError(f"report: the file must hold rows; got none in {path}.")
    last = headers[-1] if headers else {"settings": {}}
    lines = [
        "# The engine, degree for degree",
        "",
        f"Engine {last['settings'].get('engine')}, commit {last.get('commit')}, "
        f"{last.get('started')}.",
        "",
        *_LEGEND,
    ]
    measured = {(r["set"], r["case"], r["degree"]): r for r in rows if "methods" in r}
    for name in SETS:
        part = [r for r in rows if r["set"] == name]
        if name == "seeds" and part:
            lines += _seeds([r for r in part if "left_out" not in r])
        elif part:
            lines += _set(name, [r for r in part if "left_out" not in r], measured)
        lines += _left_out([r for r in part if "left_out" in r])
    return "\n".join(lines)


def _set(name, rows, measured):
    kinds = {which: [r for r in rows if kind(r) == which] for which in _KINDS}
    counts = ", ".join(f"{len(part)} {which}" for which, part in kinds.items())
    lines = ["", f"## {name}: {len(rows)} cases and degrees, {counts}"]
    regular = kinds["regular"]
    if regular:
        lines += _over_oracle(regular)
        lines += _by("degree", regular)
        if any(r.get("group") for r in regular):
            lines += _by("group", regular)
        lines += _ours_over(regular)
        lines += _worst(regular)
        if name == "left-out":
            lines += _price(regular, measured)
    if kinds["short"]:
        lines += _short(kinds["short"])
    if kinds["hard"]:
        lines += _hard(kinds["hard"])
    return lines


def _over_oracle(rows):
    table = []
    for method, label in LABELS.items():
        s = summary(rows, method)
        if s and method != "oracle":
            own = method == "ours"
            share = "" if own else f"{100 * s['wins']:.0f} %"
            figures = [*map(_figure, (s["mean"], s["strict"], *s["quartiles"], s["worst"]))]
            table.append([label, *figures, share, s["uncertified"], s["broke"]])
    head = "method|geo. mean|strict|25 %|median|75 %|worst|ours ≤|not certified|broke"
    return _table(head, table)


def _by(key, rows):
    """Tell the geometric means over the oracle apart by degree or by group."""
    values = sorted({r[key] for r in rows})
    table = []
    for value in values:
        part = [r for r in rows if r[key] == value]
        found = [summary(part, m) for m in LABELS if m != "oracle"]
        table.append([value, len(part), *(_figure(s["mean"]) if s else "" for s in found)])
    head = "|".join([key, "cases", *(t for m, t in LABELS.items() if m != "oracle")])
    return _table(head, table)


def _ours_over(rows):
    """Compare with each rival where it works, and with the budget where it does not."""
    table = []
    for method in (*RIVALS, "cg"):
        every = [r for r in rows if method in r["methods"]]
        works = [r for r in every if None not in r["methods"][method]["products"]]
        s = summary(works, "ours", over=method)
        if s:
            figures = map(_figure, (s["mean"], *s["quartiles"], s["worst"]))
            where = [s["case"], _figure(summary(every, "ours", over=method)["mean"])]
            table.append([LABELS[method], s["n"], *figures, *where])
    head = "ours over|it solves|geo. mean|25 %|median|75 %|worst|where (degree)|all cases"
    return _table(head, table)


def _worst(rows):
    ratio = {id(r): total(r, "ours") / total(r, "oracle") for r in rows}
    chosen = sorted(rows, key=lambda r: -ratio[id(r)])[:_WORST]
    table = [
        [
            r["case"],
            r["degree"],
            _figure(ratio[id(r)]),
            f"{total(r, 'oracle'):.0f}",
            f"{r['edge']:.1e}",
            f"{r['methods']['oracle']['edge']:.1e}",
        ]
        for r in chosen
    ]
    return _table("worst of ours|degree|ratio|oracle|our edge|its edge", table)


def _price(rows, measured):
    """Compare with the engine that has seen the family, on the same draws."""
    pairs = [(r, measured.get(("families", r["case"], r["degree"]))) for r in rows]
    ratios = [total(a, "ours") / total(b, "ours") for a, b in pairs if b]
    if not ratios:
        return []
    return [
        "",
        f"Price of not having seen the family: {geometric_mean(ratios):.3f} times the "
        f"products of the engine that has, at most {max(ratios):.2f} ({len(ratios)} rows).",
    ]


def _short(rows):
    table = []
    for method, label in LABELS.items():
        part = [r for r in rows if method in r["methods"]]
        if part and method != "oracle":
            more = [outer(r, method) - outer(r, "oracle") for r in part]
            worst = part[int(np.argmax(more))]
            figures = (
                f"{np.mean(more):+.2f}",
                f"{np.median(more):+.2f}",
                f"{max(more):+.2f}",
            )
            table.append([label, *figures, f"{worst['case']} ({worst['degree']})"])
    head = "short cases: outer iterations more|mean|median|most|where (degree)"
    return _table(head, table)


def _hard(rows):
    table = []
    for r in rows[:_LINES]:
        found = (
            sum(c is not None for c in r["methods"][m]["products"])
            for m in ("ours", "cheb30", "chebritz", "cg")
        )
        table.append([r["case"], r["degree"], r["n"], r["budget"], *found])
    more = len(rows) - len(table)
    head = "hard: right-hand sides solved|degree|n|budget|ours|high/30|Ritz|CG"
    return _table(head, table) + ([f"and {more} more"] if more else [])


def _seeds(rows):
    lines = ["", f"## seeds: {len(rows)} cases and degrees"]
    table = []
    for r in rows:
        median = float(np.median(r["products"]))
        table.append(
            {
                "case": r["case"],
                "degree": r["degree"],
                "median": median,
                "spread": float(np.std(r["products"]) / np.mean(r["products"])),
                "largest": max(r["products"]) / median,
                "failed": r["failed"],
                "short": median < SHORT * (r["degree"] + 1),
            }
        )
    for short in (False, True):
        part = [t for t in table if t["short"] == short]
        if not part:
            continue
        lines += [
            "",
            f"{len(part)} {'short ' if short else ''}cases, {len(rows[0]['products'])} "
            "seeds of the probe each: standard deviation of the products over their mean "
            f"{np.median([t['spread'] for t in part]):.3f} in the median, largest over "
            f"median {max(t['largest'] for t in part):.2f} at most.",
        ]
        part = sorted(part, key=lambda t: -t["largest"])[:_WORST]
        cells = [
            [
                t["case"],
                t["degree"],
                f"{t['median']:.0f}",
                *map(_figure, (t["spread"], t["largest"])),
                t["failed"],
            ]
            for t in part
        ]
        head = "worst|degree|median|std/mean|largest/median|failed seeds"
        lines += _table(head, cells)
    return lines


def _left_out(rows):
    reasons = {}
    for r in rows:
        names = reasons.setdefault(r["left_out"], [])
        names += [r["case"]] if r["case"] not in names else []
    listed = []
    for reason, names in reasons.items():
        shown = ", ".join(names) if len(names) <= _LINES else f"{len(names)} matrices"
        listed.append(f"* left out, {reason}: {shown}")
    return ["", *listed] if listed else []


def _figure(value):
    return f"{value:.3f}" if value < 10 or not math.isfinite(value) else f"{value:.0f}"


def _table(head, rows):
    columns = head.split("|")
    rule = ["---", *["---:"] * (len(columns) - 1)]
    lines = (columns, rule, *rows)
    return ["", *("| " + " | ".join(map(str, line)) + " |" for line in lines)]
