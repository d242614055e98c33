"""Tables of `python -m bench general`."""

import numpy as np

__all__ = ["line", "report"]

_FLOOR = 0.02  # seconds of none, from which on a ratio counts
_CONVECTION = ("none", "jacobi", "spilu", "spilu2", "ours")
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
        text.append("## Convection-diffusion\n")
        text.append(_convection(rows))
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


def _convection(rows):
    """Return seconds, and how many times longer others take than ours."""
    by = {(r["problem"], r["way"]): r for r in rows}
    problems = sorted({r["problem"] for r in rows}, key=_wind_and_number)
    ways = [w for w in _CONVECTION if any(r["way"] == w for r in rows)]
    lines = ["| problem | " + " | ".join(ways) + " |", "|---|" + "---|" * len(ways)]
    for problem in problems:
        shown = [_seconds(by.get((problem, w))) for w in ways]
        lines.append(f"| {problem} | {' | '.join(shown)} |")
    lines.append("")
    for way in ways:
        for wind in ("constant", "recirculating", ""):
            pairs = [
                (by[p, way], by[p, "ours"])
                for p in problems
                if p.endswith(wind) and (p, way) in by and by[p, "ours"]["solved"]
            ]
            if way == "ours" or not pairs:
                continue
            ratios = [r["seconds"] / ours["seconds"] for r, ours in pairs]
            stopped = sum(not r["solved"] for r, _ in pairs)
            mean = float(np.exp(np.mean(np.log(ratios))))
            lines.append(
                f"* {way} over ours, {wind + ' wind' if wind else 'both winds'}: geometric "
                f"mean {'at least ' if stopped else ''}{mean:.1f} on {len(ratios)}, least "
                f"{min(ratios):.1f}"
                + (f"; {stopped} stopped, counted as if done then." if stopped else ".")
            )
    return "\n".join(lines) + "\n"


def _wind_and_number(problem):
    name, peclet, wind = problem.split(", ")
    return wind, name, int(peclet.split()[1])


def _seconds(record):
    if record is None:
        return ""
    if record["solved"]:
        return f"{record['seconds']:.2f} s ({record['iterations']})"
    left = record.get("residual")
    return f"> {record['seconds']:.0f} s" + (f" ({left:.0e} left)" if left else "")


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
Milliseconds include setup. For convection-diffusion: seconds, in brackets the products of
SciPy's gmres with A, or the true residual where it was stopped.
"""
