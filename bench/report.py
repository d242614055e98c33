"""Make an HTML page, PNG files and a section of the README from a file of results.

    python -m bench report results.jsonl [--out report.html] [--png FOLDER]
                           [--readme [FILE]] [--history PROBLEM]

The page is one file and loads nothing. Without --out it stands beside the results. With
--readme alone no page is made: the section is printed, or put into FILE between its
markers. Exit code 2 with one sentence where something is missing.
"""

import argparse
import sys
from pathlib import Path

from bench.report_charts import histories
from bench.report_data import read
from bench.report_page import charts, page
from bench.report_readme import rewrite, section

__all__ = ["main"]


def main(argv=None):
    """Run the command; return its exit code."""
    options = _parser().parse_args(argv)
    try:
        _report(options)
    except (OSError, ValueError, ImportError) as error:
        print(f"python -m bench report: {error}", file=sys.stderr)
        return 2
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m bench report", description=__doc__.splitlines()[0]
    )
    parser.add_argument("results", help="file of JSON lines that python -m bench run wrote")
    parser.add_argument(
        "--out", type=Path, help="the page; RESULTS with .html if not given"
    )
    parser.add_argument("--png", type=Path, metavar="FOLDER", help="figures as files, too")
    parser.add_argument(
        "--readme",
        nargs="?",
        const="-",
        metavar="FILE",
        help="print a section in Markdown, or put it into FILE between its markers",
    )
    parser.add_argument(
        "--history",
        action="append",
        default=[],
        metavar="PROBLEM",
        help="show the residual histories of this problem; may be repeated",
    )
    return parser


def _report(options):
    results = read(options.results)
    chosen = [case for name in options.history for case in _with_history(results, name)]
    if options.png:
        for path in _save(results, chosen, options.png):
            print(path)
    if options.readme:
        text = section(results)
        if options.readme == "-":
            sys.stdout.write(text)
        else:
            rewrite(options.readme, text)
            print(options.readme)
    if options.out or not options.readme:
        out = options.out or Path(options.results).with_suffix(".html")
        out.write_text(page(results, chosen), encoding="utf-8")
        print(out)


def _with_history(results, name):
    cases = [case for case in results.cases if case.problem == name]
    if not cases:
        known = ", ".join(sorted({case.problem for case in results.cases}))
        raise ValueError(
            f"--history takes a problem of the file; got {name!r}. It has {known}."
        )
    found = [case for case in cases if histories(case)]
    if not found:
        known = sorted({case.problem for case in results.cases if histories(case)})
        raise ValueError(
            f"--history takes a problem with recorded residuals; got {name!r}. "
            f"Recorded: {', '.join(known) or 'none'}."
        )
    return found


def _save(results, chosen, folder):
    try:
        from bench.report_figures import save
    except ImportError:
        raise ImportError(
            "--png needs matplotlib, which is not installed: pip install matplotlib. "
            "The page does not need it."
        ) from None
    drawn = [chart for part in charts(results, chosen).values() for chart in part]
    return save(drawn, results.methods, folder)
