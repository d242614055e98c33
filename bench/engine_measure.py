"""Measure one case: products of ours, of every rival and of the oracle, one row a degree.

Of a method a row holds `products`, one number per right-hand side (null: not reached
within the budget), `broke` (for how many of them a scalar of CG was not positive),
`certified` and, for the oracles, `edge`: lower over upper end.
"""

import time

import numpy as np

from autospec_precond import Polynomial, classical

from . import engine_count, engine_methods, engine_sets
from .engine_count import budget, lockstep
from .engine_methods import EDGES
from .engine_operators import N_RHS, Diagonal

__all__ = ["measure", "measure_seeds", "oracle", "rows"]

_SEED_RHS = 5_000
_GUESSES = ("cheb30", "chebritz")  # with ours, where the walk of the oracle may begin
# Products over the edge have two valleys where the best interval either holds the smallest
# eigenvalues or leaves them to CG (maxwell_S): from a guess alone the walk may miss one.
_COARSE = range(3, len(EDGES), 6)
_PLAIN = Polynomial((0.5, 1.0), (1.0,))  # M = 1: CG on S itself


def rows(case, degrees, n_seeds=20):
    """Return the rows of a case, one per degree.

    Parameters
    ----------
    case : Case
        What to measure.
    degrees : sequence of int
        Of the polynomials.
    n_seeds : int, optional
        Seeds of the probe in the set 'seeds'.

    Returns
    -------
    list of dict
        With `left_out`, the reason, in the place of figures for a matrix that the set
        does not hold.
    """
    head = {"kind": "row", "set": case.set, "case": case.name, "group": case.group}
    try:
        if case.source is None:
            operator, probe = engine_sets.draw(case)

            def ours(degree, rng=0):
                return engine_methods.ours_diagonal(case.engine, probe, degree), probe

        else:
            A, operator = engine_sets.load(case)

            def ours(degree, rng=0):
                try:
                    return engine_methods.ours_matrix(A, degree, case.engine, rng)
                except ValueError as error:
                    raise engine_sets.LeftOut(f"refused: {error}") from error

        function = measure_seeds if case.set == "seeds" else measure
        body = function(operator, ours, degrees, n_seeds)
    except engine_sets.LeftOut as error:
        body = [{"degree": degree, "left_out": str(error)} for degree in degrees]
    engine = engine_methods.engine_digest(case.engine)
    return [{**head, "engine": engine, **row} for row in body]


def measure(operator, ours, degrees, n_seeds=None):
    """Return a row for each degree.

    Parameters
    ----------
    operator : Sparse or Diagonal
        S.
    ours : callable
        Takes a degree, returns polynomial and probe.
    degrees : sequence of int
        Of the polynomials.
    n_seeds : None
        As `measure_seeds` takes it.
    """
    run = _Runner(operator)
    largest = operator.largest()
    plain = run.count(_PLAIN)
    result = []
    for degree in degrees:
        began = time.perf_counter()
        polynomial, probe = ours(degree)
        methods = _methods(run, degree, polynomial, probe.ritz_values[0], largest)
        result.append(
            {
                "degree": degree,
                "n": operator.n,
                "budget": run.most,
                "high": polynomial.interval[1],
                "largest": largest,
                "edge": polynomial.interval[0] / polynomial.interval[1],
                "methods": {**methods, "cg": plain},
                "seconds": round(time.perf_counter() - began, 3),
            }
        )
    return result


def _methods(run, degree, ours, lowest, largest):
    """Return the entries of ours, of the rivals and of the oracles."""
    high = ours.interval[1]
    made, entries = {"ours": ours}, {"ours": run.count(ours)}

    def add(names):
        for name in names:
            made[name] = engine_methods.rival(name, degree, high, run.operator, lowest)
            entries[name] = run.count(made[name])

    add(_GUESSES)
    guess = made[min(entries, key=lambda name: run.total(entries[name]))]
    start = int(np.abs(np.log(EDGES * high / guess.interval[0])).argmin())
    entries["oracle"], best = oracle(run, degree, high, [start, *_COARSE])
    # Where no interval will do, the rest would only use up its budget as well.
    if best is not None:
        add(name for name in engine_methods.RIVALS if name not in entries)
        if largest is not None:
            entries["oracle-exact"], _ = oracle(run, degree, largest, [best])
    return entries


def measure_seeds(operator, ours, degrees, n_seeds):
    """Return a row for each degree: mean products with each seed of the probe.

    Parameters
    ----------
    operator : Sparse
        S.
    ours : callable
        Takes a degree and a seed, returns polynomial and probe.
    degrees : sequence of int
        Of the polynomials.
    n_seeds : int
        Seeds 0, 1, …
    """
    run = _Runner(operator)
    result = []
    for degree in degrees:
        found = [run.count(ours(degree, seed)[0]) for seed in range(n_seeds)]
        failed = sum(None in entry["products"] for entry in found)
        result.append(
            {
                "degree": degree,
                "n": operator.n,
                "budget": run.most,
                "products": [run.total(entry) / N_RHS for entry in found],
                "failed": failed,
            }
        )
    return result


def oracle(run, degree, high, starts):
    """Find the Chebyshev polynomial with the best lower edge.

    Parameters
    ----------
    run : _Runner
        Of the operator.
    degree : int
        Of p.
    high : float
        Upper end of the interval.
    starts : sequence of int
        Positions in `EDGES` to begin with; only explicit operators need them.

    Returns
    -------
    entry : dict
        Of the row; all products null where no edge converges for every right-hand side.
    best : int or None
        Position in `EDGES`.
    """
    family = [classical.chebyshev(degree, high, edge * high) for edge in EDGES]
    counts = np.full((len(EDGES), N_RHS), np.nan)
    if isinstance(run.operator, Diagonal):
        counts = engine_count.scan(run.operator, family, run.B, run.most)
    else:

        def try_edge(position, best):
            counts[position] = run.products(family[position], best)[0]
            total = counts[position].sum()
            return total if np.isfinite(total) else np.inf

        engine_count.walk(try_edge, len(EDGES), starts)
    totals = np.nan_to_num(counts.sum(axis=1), nan=np.inf)
    best = int(totals.argmin())
    if not np.isfinite(totals[best]):
        entry = {"products": [None] * N_RHS, "broke": 0, "certified": True, "edge": None}
        return entry, None
    entry = {
        "products": counts[best].tolist(),
        "broke": 0,
        "certified": engine_methods.certified(family[best]),
        "edge": float(EDGES[best]),
    }
    return entry, best


class _Runner:
    """CG on one operator, with the five right-hand sides that all methods get."""

    def __init__(self, operator):
        self.operator = operator
        self.most = budget(operator.n)
        rng = np.random.default_rng(_SEED_RHS)
        self.B = rng.standard_normal((operator.n, N_RHS)).astype(operator.dtype)

    def products(self, polynomial, best=None):
        """Return products and whether CG broke, per right-hand side."""
        return lockstep(
            self.operator.product,
            self.operator.apply(polynomial),
            self.B,
            polynomial.degree + 1,
            self.most,
            groups=None if best is None else np.zeros(N_RHS, int),
            best=np.inf if best is None else best,
        )

    def count(self, polynomial):
        """Return the entry of a row; None, which overflowed, has broken."""
        if polynomial is None:
            return {"products": [None] * N_RHS, "broke": N_RHS, "certified": False}
        counts, broke = self.products(polynomial)
        return {
            "products": [None if np.isnan(c) else float(c) for c in counts],
            "broke": int(broke.sum()),
            "certified": engine_methods.certified(polynomial),
        }

    def total(self, entry):
        """Return the sum over the right-hand sides, the budget where one failed."""
        return sum(self.most if c is None else c for c in entry["products"])
