"""The section of the README that the results write, losses included."""

from pathlib import Path

from bench.report_facts import header_facts
from bench.report_numbers import OURS, fitting, groups, refused, rivalry, uncounted, worst
from bench.report_table import show, times

__all__ = ["BEGIN", "END", "rewrite", "section"]

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def section(results):
    """Return the section in Markdown, between its two markers."""
    parts = [BEGIN, _opening(results)]
    for title, cases in groups(results).values():
        parts.append(_group(title, cases, results.methods))
    parts.append(END)
    return "\n\n".join(part for part in parts if part) + "\n"


def rewrite(path, text):
    """Put the section in place of the one between the markers of a file.

    Raises
    ------
    ValueError
        If the file has not both markers once, in their order.
    """
    path = Path(path)
    old = path.read_text(encoding="utf-8")
    counts = old.count(BEGIN), old.count(END)
    if counts != (1, 1) or old.index(BEGIN) > old.index(END):
        raise ValueError(
            f"{path} must hold {BEGIN} and {END} once each, in this order; got "
            f"{counts[0]} and {counts[1]}. Put the two lines where the section belongs."
        )
    before, rest = old.split(BEGIN)
    path.write_text(before + text.rstrip("\n") + rest.split(END)[1], encoding="utf-8")


def _opening(results):
    facts = header_facts(results.headers)
    chosen = [facts.get(name) for name in ("machine cpu", "machine cores", "threads")]
    machine, cores, threads = ("/".join(values) if values else "" for values in chosen)
    where = ", ".join(
        part
        for part in (
            machine,
            f"{cores} cores" if cores else "",
            f"threads {threads}" if threads else "",
            *(f"autospec_precond {v}" for v in facts.get("package version", [])),
        )
        if part
    )
    return (
        f"{len(results.cases)} cases{f' on {where}' if where else ''}. Ours over each "
        "rival, setup included: geometric means over the cases both solve, ▼ less, ▲ more. "
        "Written by `python -m bench report --readme`."
    )


def _group(title, cases, methods):
    present = fitting(cases, methods)
    if OURS not in present:
        return ""
    if all(map(refused, cases)):
        return f"Ours supports none of the {len(cases)} {title}, and says so."
    rivals = [method for method in present if method != OURS]
    lines = [
        f"**{title[0].upper()}{title[1:]}** ({len(cases)})\n",
        "| ours against | both solve | products | iterations | seconds | faster | slower "
        "| only ours solves | only rival solves |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for rival in rivals:
        facts = rivalry(cases, rival)
        ratios, seconds = facts.ratios, facts.ratios["total_seconds"]
        products = "†" if uncounted(rival) else times(ratios["products"].mean)
        cells = [rival, facts.both, products, times(ratios["iterations"].mean)]
        cells += [times(seconds.mean), seconds.wins, seconds.losses]
        cells += [facts.only_ours, facts.only_rival]
        lines.append(_row(cells))
    if any(map(uncounted, rivals)):
        lines.append("\n† does work that products with A do not count.")
    if n_refused := sum(map(refused, cases)):
        lines.append(f"\nOurs does not support {n_refused} of them, and says so.")
    return "\n".join(lines + _worst(cases))


def _worst(cases):
    found = worst(cases)
    if not found:
        return []
    lines = [
        "\nThe worst five against the better of none and Jacobi, by total seconds:\n"
        if len(found) == 5
        else "\nAgainst the better of none and Jacobi, by total seconds, worst first:\n",
        "| problem | better one | its seconds | ours | ratio |",
        "|---|---|--:|--:|--:|",
    ]
    for case, plain, ratio in found:
        ours = case.median(OURS, "total_seconds")
        words = case.cells[OURS].status if ours is None else show(ours, "seconds")
        seconds = show(case.median(plain, "total_seconds"), "seconds")
        lines.append(_row([case.name, plain, seconds, words, times(ratio)]))
    return lines


def _row(cells):
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
