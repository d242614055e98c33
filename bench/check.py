"""The gate: ours must never hurt.

    python -m bench check results.jsonl

Ours hurts where one of its repeats fails on a case that none or Jacobi solves, and where
its median total seconds are over 1.1 times those of the better of the two and over 5 ms
more. That ours does not support a matrix that is not positive definite is no failure: it
says so before any work. Exit code 0 when it never hurts, 1 when it does, 2 when there is
nothing to judge.
"""

import argparse
import sys

from bench.report_data import read
from bench.report_numbers import OURS, PLAIN, best_plain, refused

__all__ = ["judge", "main"]

FACTOR = 1.1
SLACK = 0.005  # seconds


def main(argv=None):
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench check", description=__doc__.splitlines()[0]
    )
    parser.add_argument("results", help="file of JSON lines that python -m bench run wrote")
    options = parser.parse_args(argv)
    try:
        results = read(options.results)
    except (OSError, ValueError) as error:
        print(f"python -m bench check: {error}", file=sys.stderr)
        return 2
    found = [(case, judge(case)) for case in results.cases]
    judged = [(case, verdict) for case, verdict in found if verdict is not None]
    if not judged:
        print(
            f"python -m bench check: rows of {OURS} and of none or Jacobi must be there "
            f"for the same problem; got no such pair in {options.results}.",
            file=sys.stderr,
        )
        return 2
    hurts = [verdict for _, verdict in judged if verdict]
    for line in hurts:
        print(line)
    left = len(found) - len(judged)
    apart = f" ({left} left out: ours, or none and Jacobi, not run or not supported)"
    tail = apart if left else ""
    if hurts:
        print(f"ours hurts in {len(hurts)} of {len(judged)} cases{tail}")
        return 1
    print(f"ours never hurts: {len(judged)} cases, {FACTOR:g}x and 5 ms allowed{tail}")
    return 0


def judge(case):
    """Judge one case.

    Returns
    -------
    str or None
        An empty string where ours does no harm, else a line that names the case, what ours
        did and what the other did. None where there is nothing to compare.
    """
    ours = case.cells.get(OURS)
    others = [case.cells[m] for m in PLAIN if m in case.cells]
    if ours is None or not others or refused(case):
        return None
    plain, seconds = best_plain(case)
    if plain is None:
        return ""  # none and Jacobi fail too
    if ours.failed:
        row = ours.failed[0]
        reason = f" ({row['reason']})" if row.get("reason") else ""
        return (
            f"{case.name}: ours {row.get('status') or 'failed'} in {len(ours.failed)} of "
            f"{len(ours.rows)} repeats{reason}; {plain} converged in {seconds:.3g} s"
        )
    mine = ours.median("total_seconds")
    if mine is None:
        return f"{case.name}: ours converged and its rows have no seconds"
    if mine > FACTOR * seconds and mine - seconds > SLACK:
        return (
            f"{case.name}: ours {mine:.3g} s, {plain} {seconds:.3g} s: "
            f"{mine / seconds:.2f} times, {1e3 * (mine - seconds):.0f} ms more"
        )
    return ""
