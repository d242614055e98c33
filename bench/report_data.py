"""Read the JSON lines of a run and put the repeats of one method together.

A `Case` is one problem with one solver; it has a `Cell` per method. The fill levels of
the incomplete factorisations become one rival each, the best per case by total seconds.
A repeat that failed counts as infinitely long, so a cell is solved when its median is
finite: when more than half of its repeats converged.
"""

import json
import math
import re
import statistics
from collections import Counter
from dataclasses import dataclass, field

__all__ = ["QUANTITIES", "Case", "Cell", "Results", "number", "read"]

QUANTITIES = {
    "products": "products",
    "work": "work",
    "iterations": "iterations",
    "setup_seconds": "setup s",
    "solve_seconds": "solve s",
    "total_seconds": "total s",
    "residual": "residual",
}

_ORDER = [
    "ours",
    "none",
    "jacobi",
    "ours-classical",
    "cheb30",
    "chebritz",
    "cheb4",
    "gmrespoly",
    "gmrespoly-plain",
    "best IC",
    "best ILU",
    "spilu",
    "pyamg-sa",
    "pyamg-rs",
    "splu",
]
_FAMILIES = {"best IC": re.compile(r"ic(0|t|c|-|$)"), "best ILU": re.compile(r"ilu")}
# What a row may lack when its run failed, and the other rows of the problem still know.
_SHARED = ("source", "n", "nnz", "class", "field", "solver", "rhs", "rtol", "budget")


@dataclass(frozen=True)
class Cell:
    """All repeats of one method on one case."""

    method: str
    rows: tuple

    @property
    def converged(self):
        """Return the rows that converged."""
        return [row for row in self.rows if row.get("status") == "converged"]

    @property
    def failed(self):
        """Return the rows that did not."""
        return [row for row in self.rows if row.get("status") != "converged"]

    @property
    def solved(self):
        """Tell whether the median repeat converged."""
        return 2 * len(self.converged) > len(self.rows)

    @property
    def status(self):
        """Return 'converged', or what most of the failed repeats say."""
        if self.solved:
            return "converged"
        words = [str(row.get("status") or "failed") for row in self.failed]
        return Counter(words).most_common(1)[0][0]

    @property
    def reason(self):
        """Return the first reason that a failed repeat gives, or an empty string."""
        return next((str(row["reason"]) for row in self.failed if row.get("reason")), "")

    def values(self, quantity):
        """Return the finite values of the converged repeats."""
        found = (_value(row, quantity) for row in self.converged)
        return [value for value in found if value is not None]

    def median(self, quantity):
        """Return the median over the repeats; None where unsolved or not recorded."""
        values = self.values(quantity) if self.solved else []
        if not values:
            return None
        return number(statistics.median(values + [math.inf] * len(self.failed)))

    def spread(self, quantity):
        """Return the smallest and the largest value of the converged repeats, or None."""
        values = self.values(quantity)
        return (min(values), max(values)) if values else None

    def at_tolerance(self, tolerance, quantity="products"):
        """Return what it took to reach a looser tolerance; None if it was not reached."""
        for row in self.rows:
            reached = (row.get("tolerances") or {}).get(tolerance) or {}
            if number(reached.get(quantity)) is not None:
                return number(reached[quantity])
        return None


@dataclass(frozen=True)
class Case:
    """One problem with one solver; facts of the problem and a cell per method."""

    facts: dict
    cells: dict = field(default_factory=dict)

    @property
    def problem(self):
        """Return the name of the problem."""
        return self.facts["problem"]

    @property
    def name(self):
        """Return the problem, and the solver where it is known."""
        return " · ".join(
            str(self.facts[k]) for k in ("problem", "solver") if self.facts[k]
        )

    @property
    def spd(self):
        """Tell whether the matrix is symmetric (Hermitian) positive definite."""
        return self.facts["class"] == "spd"

    def median(self, method, quantity):
        """Return the median of a method, None where it has none."""
        cell = self.cells.get(method)
        return cell.median(quantity) if cell else None

    def solved(self, method):
        """Tell whether a method solves this case."""
        return method in self.cells and self.cells[method].solved


@dataclass(frozen=True)
class Results:
    """A file of results: headers, cases, and what could not be used."""

    headers: list
    cases: list
    unreadable: dict  # problem -> reason
    bad_lines: int

    @property
    def methods(self):
        """Return the names of the methods that were run, ours first."""
        found = {
            name
            for case in self.cases
            for name, cell in case.cells.items()
            if cell.status != "not installed"
        }
        return sorted(found, key=_rank)

    @property
    def absent(self):
        """Return the methods that were not installed anywhere."""
        named = {name for case in self.cases for name in case.cells}
        return sorted(named - set(self.methods), key=_rank)


def read(path):
    """Read a file of JSON lines; lines that are no JSON objects are counted only.

    Raises
    ------
    ValueError
        If there is no row of any problem.
    """
    headers, rows, bad = [], {}, 0
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in filter(str.strip, file):
            record = _parse(line)
            kind = record.get("kind") if record else None
            if kind == "header":
                headers.append(record)
            elif kind == "row" and record.get("problem") is not None:
                key = [
                    record.get(k) for k in ("problem", "solver", "method", "rhs", "repeat")
                ]
                rows[json.dumps(key)] = record
            else:
                bad += 1
    if not rows:
        raise ValueError(
            f"the file of results must hold rows; got none in {path}. "
            "Make one with python -m bench run."
        )
    cases, unreadable = _cases(list(rows.values()))
    return Results(headers, cases, unreadable, bad)


def number(value):
    """Return a finite float, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _parse(line):
    try:
        record = json.loads(line)
    except ValueError:
        return None  # the half line of an interrupted run
    return record if isinstance(record, dict) else None


def _value(row, quantity):
    if quantity == "total_seconds":
        solve = number(row.get("solve_seconds"))
        return None if solve is None else solve + (number(row.get("setup_seconds")) or 0.0)
    if quantity == "work":
        parts = row.get("work") if isinstance(row.get("work"), dict) else {}
        found = [value for value in map(number, parts.values()) if value is not None]
        return sum(found) if found else None
    return number(row.get(quantity))


def _cases(rows):
    known, unreadable, groups = {}, {}, {}
    for row in rows:
        facts = known.setdefault(row["problem"], {})
        for key in _SHARED:
            if facts.get(key) is None:
                facts[key] = row.get(key)
    for row in rows:
        problem = row["problem"]
        if row.get("status") == "unreadable" or row.get("method") is None:
            unreadable[str(problem)] = str(row.get("reason") or "no reason given")
            continue
        facts = {
            key: known[problem][key] if row.get(key) is None else row[key]
            for key in _SHARED
        }
        key = (problem, facts["solver"], facts["rhs"], facts["rtol"])
        group = groups.setdefault(key, ({"problem": str(problem), **facts}, {}))
        group[1].setdefault(str(row["method"]), []).append(row)
    cases = [Case(facts, _merged(methods)) for facts, methods in groups.values()]
    cases.sort(key=lambda c: (not c.spd, number(c.facts["nnz"]) or 0.0, c.name))
    return cases, unreadable


def _merged(methods):
    """Make the cells of a case; a family of methods becomes its best member."""
    cells, families = {}, {}
    for name, rows in methods.items():
        cell = Cell(name, tuple(rows))
        family = next((f for f, pattern in _FAMILIES.items() if pattern.match(name)), None)
        if family:
            families.setdefault(family, []).append(cell)
        else:
            cells[name] = cell
    for family, members in families.items():
        cells[family] = min(members, key=_cost)
    return dict(sorted(cells.items(), key=lambda item: _rank(item[0])))


def _cost(cell):
    total = cell.median("total_seconds")
    return (total is None, total or 0.0, cell.status == "not installed")


def _rank(name):
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)
