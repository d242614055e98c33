"""What stands at the end of the page: who failed and why, the machine, the methods."""

from html import escape

from bench.report_numbers import uncounted
from bench.report_svg import sample
from bench.report_table import failure_table

__all__ = ["conditions", "failures", "folded", "header_facts"]

_METHODS = {
    "ours": "autospec_precond.make(A) with its defaults",
    "none": "the solver alone",
    "jacobi": "the diagonal",
    "ours-classical": 'ours with engine="classical": no network',
    "cheb30": "Chebyshev polynomial on [λmax/30, λmax]",
    "chebritz": "Chebyshev polynomial from the smallest Ritz value on",
    "cheb4": "optimal Chebyshev polynomial of the 4th kind",
    "gmrespoly": "GMRES polynomial",
    "gmrespoly-plain": "GMRES polynomial of A as it is",
    "best IC": "incomplete Cholesky, per problem the fill level with the least seconds",
    "best ILU": "incomplete LU, per problem the fill level with the least seconds",
    "spilu": "SuperLU's incomplete LU, scipy.sparse.linalg.spilu",
    "pyamg-sa": "PyAMG, smoothed aggregation",
    "pyamg-rs": "PyAMG, Ruge-Stuben",
    "splu": "sparse direct, scipy.sparse.linalg.splu",
}


def header_facts(headers):
    """Return what the headers of a file say: name -> values, the same ones once."""
    facts = {}
    for header in headers:
        for name, value in _flat(header):
            values = facts.setdefault(name, [])
            if value not in values:
                values.append(value)
    return facts


def failures(results):
    """Return the section of failures, method by method."""
    parts = ['<h2 id="failures">Who failed, and why</h2>']
    parts.append(failure_table(results.cases, results.methods))
    if results.absent:
        names = escape(", ".join(results.absent))
        parts.append(f"<p>Not installed, and left out everywhere: {names}.</p>")
    for problem, reason in results.unreadable.items():
        parts.append(f"<p>{escape(problem)} could not be used: {escape(reason)}</p>")
    for method in results.methods:
        items = [
            f"<li><b>{escape(case.name)}</b>: {escape(cell.status)}"
            f"{escape(' (' + cell.reason + ')') if cell.reason else ''}"
            f"{_share(cell)}</li>"
            for case in results.cases
            if (cell := case.cells.get(method)) and cell.failed
        ]
        if items:
            caption = f"{escape(method)}: {len(items)} cases"
            parts.append(folded(caption, f"<ul>{''.join(items)}</ul>"))
    return "".join(parts)


def _share(cell):
    if len(cell.failed) == len(cell.rows):
        return ""
    return f"; {len(cell.failed)} of {len(cell.rows)} repeats"


def conditions(results):
    """Return the section of headers and methods."""
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(' | '.join(values))}</dd>"
        for name, values in header_facts(results.headers).items()
    )
    legend = "".join(
        f"<dt>{sample(m, results.methods)} {escape(m)}{' †' if uncounted(m) else ''}</dt>"
        f"<dd>{escape(_METHODS.get(m, ''))}</dd>"
        for m in results.methods
    )
    n_runs = len(results.headers)
    parts = ['<h2 id="conditions">Machine and settings</h2>']
    if n_runs != 1:
        parts.append(
            f"<p>{n_runs} headers: where they differ, values stand side by side.</p>"
        )
    if results.bad_lines:
        parts.append(f"<p>{results.bad_lines} lines of the file could not be read.</p>")
    return "".join(parts) + f"<dl>{rows}</dl><h3>Methods</h3><dl>{legend}</dl>"


def _flat(value, name=""):
    """Yield the leaves of nested records, with names joined by blanks."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not (name == "" and key == "kind"):
                yield from _flat(inner, f"{name} {key}".strip().replace("_", " "))
    else:
        yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def folded(caption, content):
    """Return content behind a line to click on; nothing of nothing."""
    if not content:
        return ""
    return f"<details><summary>{caption}</summary>{content}</details>"
