"""The page: one HTML file that loads nothing, for a screen of any width, or paper."""

from html import escape

from bench import check
from bench.report_charts import history_chart, profile_chart, strip_chart
from bench.report_facts import conditions, failures, folded
from bench.report_grid import result_table
from bench.report_numbers import OURS, fitting, groups, refused, rivalry, uncounted
from bench.report_style import CSS, SCRIPT, VIEWS, view_rules
from bench.report_svg import draw, scheme
from bench.report_table import (
    break_even_table,
    efficiency_table,
    headline_table,
    profile_table,
    times,
    tolerance_table,
)

__all__ = ["charts", "page"]

_NEAR = (
    "jacobi",
    "none",
    "best IC",
)  # the rivals of the break-even, and of the first lines
_UNCOUNTED_NOTE = (
    "† Its own work (triangular solves, coarse grids) is not products with A: its products "
    "count those of the solver only. Compare it by seconds, or by work: products, and what "
    "the preconditioner does on other entries in units of one product; making it is apart."
)


def charts(results, histories=()):
    """Return all charts of a file of results, by group; `histories` are cases."""
    found = {}
    for key, (title, cases) in groups(results).items():
        title = title[0].upper() + title[1:]
        present = fitting(cases, results.methods)
        near = [method for method in present if method != OURS]
        part = [
            profile_chart(key, title, cases, present, quantity)
            for quantity in ("products", "total_seconds")
        ]
        if OURS in present and not all(map(refused, cases)):
            counted = [rival for rival in near if not uncounted(rival)]
            part.append(strip_chart(key, title, cases, counted, "products"))
            part.append(strip_chart(key, title, cases, near, "total_seconds"))
        part = [chart for chart in part if not chart.empty]
        found[key] = part
    if histories:
        found["history"] = [history_chart(case) for case in histories]
    return found


def page(results, histories=()):
    """Return the page; the same results give the same text."""
    methods = results.methods
    drawn = charts(results, histories)
    parts = [_opening(results)]
    for key, (title, cases) in groups(results).items():
        parts.append(_group(key, title, cases, methods, drawn[key]))
    parts.append(f'<h2 id="table">All results</h2>{_everything(results)}')
    parts.append(failures(results))
    if histories:
        figures = "".join(_figure(chart, methods) for chart in drawn["history"])
        parts.append('<h2 id="histories">Residual histories</h2>')
        parts.append(f'<div class="figures">{figures}</div>')
    parts.append(conditions(results))
    body = "".join(part + "\n" for part in parts)
    return _PAGE.format(
        css=CSS + scheme(methods) + view_rules(), script=SCRIPT, body=body.rstrip()
    )


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>autospec_precond: benchmark</title>
<style>{css}</style>
</head>
<body>
{body}
<script>{script}</script>
</body>
</html>
"""


def _opening(results):
    n_problems = len({case.problem for case in results.cases})
    solvers = sorted({str(case.facts["solver"] or "?") for case in results.cases})
    links = [(key, title) for key, (title, _) in groups(results).items()]
    links += [("table", "all results"), ("failures", "who failed and why")]
    links += [("conditions", "machine and settings")]
    nav = "".join(f'<a href="#{key}">{escape(title)}</a>' for key, title in links)
    return (
        "<h1>Polynomial preconditioners and their rivals</h1>"
        f"<p>{n_problems} problems with {escape(', '.join(solvers))}, "
        f"{len(results.methods)} methods. Medians over the repeats. Setup is part of all "
        "products and of total seconds. <b>▼</b> is less than the other, <b>▲</b> more.</p>"
        f"<nav>{nav}</nav>{_gate(results)}"
    )


def _gate(results):
    verdicts = [check.judge(case) for case in results.cases]
    judged = [verdict for verdict in verdicts if verdict is not None]
    hurts = [verdict for verdict in judged if verdict]
    rule = (
        "the better of none and Jacobi (no failure where it converges; at most "
        f"{check.FACTOR:g} times its seconds, or {1e3 * check.SLACK:.0f} ms more)"
    )
    if not judged:
        return "<p class=gate>Ours was not run beside none or Jacobi: nothing to judge.</p>"
    if not hurts:
        verdict = f"<b>✓ Never hurts</b> in {len(judged)} cases"
        return f"<p class=gate>{verdict}, against {rule}.</p>"
    items = "".join(f"<li>{escape(verdict)}</li>" for verdict in hurts)
    return (
        f"<div class=gate><b>✗ Hurts in {len(hurts)} of {len(judged)} cases</b>, "
        f"against {rule}.{folded('Which ones', f'<ul>{items}</ul>')}</div>"
    )


def _group(key, title, cases, methods, drawn):
    present = fitting(cases, methods)
    rivals = [method for method in present if method != OURS]
    near = [rival for rival in _NEAR if rival in rivals]
    parts = [f'<h2 id="{key}">{escape(title[0].upper() + title[1:])}</h2>']
    compared = OURS in present and not all(map(refused, cases))
    if OURS in present and not compared:
        parts.append(f"<p>Ours supports none of these {len(cases)}, and says so.</p>")
    if compared:
        parts.append(_sentences(cases, near))
        parts.append(headline_table(cases, rivals))
        parts.append(
            "<p class=soft>Geometric means of ours over the rival, on the cases both "
            f"solve; below 1 ours needs less. {_UNCOUNTED_NOTE}</p>"
        )
    strangers = [method for method in methods if method not in present]
    if strangers:
        names = escape(", ".join(strangers))
        parts.append(f"<p class=soft>Not made for these problems, or not run: {names}.</p>")
    parts.append(f"<div class=figures>{''.join(_figure(c, methods) for c in drawn)}</div>")
    parts.append(
        "<p class=soft>Performance profiles (Dolan and Moré): a line shows on which share "
        "of the cases a method stays within the multiple of the best method; higher is "
        "better. Failures and missing rows never get there; beside each name stands the "
        "share solved at all. Methods marked † are in the profile by seconds only. In the "
        "ratios a dot is a case: full where ours needs less, hollow where it does not.</p>"
    )
    for quantity, word in (("products", "products"), ("total_seconds", "total seconds")):
        chosen = [m for m in present if quantity != "products" or not uncounted(m)]
        numbers = profile_table(cases, chosen, quantity)
        parts.append(folded(f"The profile by {word} in numbers", numbers))
    if compared:
        parts.append(folded("Looser tolerances: products", tolerance_table(cases, rivals)))
        caption = "Break-even: from how many right-hand sides on ours is the faster one"
        parts.append(folded(caption, break_even_table(cases, near)))
    name = "plain CG" if key == "spd" else "the solver without preconditioner"
    caption = f"Efficiency: products of {name} over those of the method (above 1: fewer)"
    parts.append(folded(caption, efficiency_table(cases, present)))
    return "".join(parts)


def _sentences(cases, rivals):
    items = []
    for rival in rivals:
        facts = rivalry(cases, rival)
        products, seconds = facts.ratios["products"], facts.ratios["total_seconds"]
        if facts.both:
            work = f"{times(products.mean)} times the products and "
            text = (
                f"{'' if uncounted(rival) else work}{times(seconds.mean)} times the total "
                f"seconds on the {facts.both} cases both solve; faster on {seconds.wins}, "
                f"slower on {seconds.losses}. "
            )
        else:
            text = "no case that both solve. "
        alone = f"Only ours solves {facts.only_ours}, only {rival} {facts.only_rival}."
        items.append(f"<li><b>Against {escape(rival)}:</b> {text}{escape(alone)}</li>")
    return f"<ul>{''.join(items)}</ul>"


def _figure(chart, methods):
    caption = f"<figcaption><b>{escape(chart.title)}</b></figcaption>"
    return f"<figure>{caption}{draw(chart, methods)}</figure>"


def _everything(results):
    choices = "".join(
        f'<label><input type="radio" name="view" id="view-{view}" value="{view}"'
        f"{' checked' if k == 0 else ''}>{word}</label>"
        for k, (view, word) in enumerate(VIEWS.items())
    )
    return (
        "<p>★ is the least of a row (products and iterations: among methods without †). "
        "Below a median stand the least and the largest repeat where they differ. A click "
        "on a head sorts.</p>"
        '<div id="results"><fieldset class="views"><legend>Show</legend>'
        f"{choices}</fieldset>"
        f"{result_table(results.cases, results.methods)}</div>"
        f"<p class=soft>{_UNCOUNTED_NOTE}</p>"
    )
