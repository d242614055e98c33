"""Tables of `python -m bench general`."""

import numpy as np

__all__ = ["line", "report"]

_FLOOR = 0.02  # seconds of none, from which on a ratio counts
_RIVALS = ("none", "jacobi", "polynomial", "rows")


def line(record):
    """Say in one line what a solve took."""
    done = f"{record['products']} products" if record["solved"] else record["why"]
    what = f"{record.get('base', '')} {record.get('degree', '')}"
    return (
        f"{record['problem']:<34}{record['rhs']:<8}{record['way']:<11}{what:<16}{done:<18}"
        f"{1e3 * record['seconds']:10.1f} ms"
        f"  {record.get('residual') or np.nan:.1e}"
    )


def report(records):
    """Return the tables as Markdown."""
    text = [_HEAD]
    for rhs, title in (("random", "b random"), ("image", "b = A x, x random")):
        for field in ("real", "complex"):
            rows = [r for r in records if r["rhs"] == rhs and r["field"] == field]
            rows = [r for r in rows if not r["problem"].startswith("convection")]
            if rows:
                text.append(f"## {field.capitalize()} matrices, {title}\n")
                text.append(_table(rows, (*_RIVALS, "ours")))
    rows = [r for r in records if r["problem"].startswith("convection")]
    if rows:
        ways = [w for w in ("none", "jacobi", "spilu", "spilu2", "ours")
                if any(r["way"] == w for r in rows)]  # fmt: skip
        text.append("## Convection-diffusion\n")
        text.append(_table(rows, ways))
        text.append(_against_spilu(rows))
    return "\n".join(text)


def _table(rows, ways):
    by = {(r["problem"], r["way"]): r for r in rows}
    problems = list(
        dict.fromkeys(r["problem"] for r in sorted(rows, key=lambda r: r["nnz"]))
    )
    lines = [
        "| matrix | n | "
        + " | ".join(ways)
        + " | base, degree | ms none | ms ours | ratio |",
        "|---|---|" + "---|" * len(ways) + "---|---|---|---|",
    ]
    ratios, lost, worst = [], [], []
    for problem in problems:
        cells = {w: by.get((problem, w)) for w in ways}
        ours, none = cells.get("ours"), cells.get("none")
        if ours is None:
            continue
        shown = [_cell(cells[w]) for w in ways]
        both = none and none["solved"] and ours["solved"]
        ratio = none["seconds"] / ours["seconds"] if both else None
        if both and none["seconds"] > _FLOOR:
            ratios.append(ratio)
        if both:
            worst.append((1 / ratio, problem))
        if not ours["solved"] and any(c and c["solved"] for c in cells.values()):
            lost.append(problem)
        what = f"{ours.get('base', '')}, {ours.get('degree', '')}"
        last = "" if ratio is None else f"{ratio:.2f}"
        cells = [problem, str(ours["n"]), *shown, what, _ms(none), _ms(ours), last]
        lines.append(f"| {' | '.join(cells)} |")
    solved = {
        w: sum(bool(by.get((p, w), {}).get("solved")) for p in problems) for w in ways
    }
    lines.append("")
    lines.append(
        "Solved: "
        + ", ".join(f"{w} {k}" for w, k in solved.items())
        + f" of {len(problems)}."
    )
    lines.append(f"Lost against the others: {', '.join(lost) or 'none'}.")
    if ratios:
        mean = float(np.exp(np.mean(np.log(ratios))))
        lines.append(
            f"Seconds of none over ours where none takes more than 20 ms and both solve: "
            f"geometric mean {mean:.1f} on {len(ratios)} matrices, least {min(ratios):.2f}."
        )
    if worst:
        factor, problem = max(worst)
        lines.append(
            f"Ours over none at worst, short solves included: {factor:.2f} ({problem})."
        )
    return "\n".join(lines) + "\n"


def _against_spilu(rows):
    by = {(r["problem"], r["way"]): r for r in rows}
    lines = []
    for way in ("spilu", "spilu2"):
        ratios = [
            r["seconds"] / by[problem, "ours"]["seconds"]
            for (problem, w), r in by.items()
            if w == way and r["solved"] and by.get((problem, "ours"), {}).get("solved")
        ]
        if ratios:
            mean = float(np.exp(np.mean(np.log(ratios))))
            lines.append(
                f"Seconds of {way} over ours: geometric mean {mean:.1f} on {len(ratios)}, "
                f"least {min(ratios):.2f}."
            )
    return "\n".join(lines) + "\n"


def _cell(record):
    if record is None:
        return ""
    if not record["solved"] and record["why"] == "time":
        return f"> {record['seconds']:.0f} s"
    return str(record["products"]) if record["solved"] else "–"


def _ms(record):
    return f"{1e3 * record['seconds']:.1f}" if record and record["solved"] else ""


_HEAD = """# General matrices

`python -m bench general FOLDER --json FILE`, then `--report` (what the ways are stands
there). Numbers are products with A up to a true residual of 1e-8, probe and trials
included; a dash is a solve that did not get there within its products, "> 14 s" one
that was stopped by `--most-seconds` before: nothing is known of how it would have ended.
Milliseconds include setup.
"""
