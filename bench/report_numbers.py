"""The numbers of a report: profiles, ratios to each rival, break-even, efficiency."""

import math
from dataclasses import dataclass

from bench.report_data import number

__all__ = [
    "OURS",
    "PLAIN",
    "Ratio",
    "Rivalry",
    "best_plain",
    "break_even",
    "fitting",
    "geometric_mean",
    "groups",
    "performance_ratios",
    "profile",
    "refused",
    "rivalry",
    "tolerances",
    "uncounted",
    "worst",
]

OURS = "ours"
PLAIN = ("none", "jacobi")
# Their work is not products with A alone, so a count of products says little of them.
_UNCOUNTED = {"best IC", "best ILU", "spilu", "pyamg-sa", "pyamg-rs", "splu"}
_FLOOR = {"products": 1.0, "work": 1.0, "iterations": 1.0}
_NO_TIME = 1e-9


@dataclass(frozen=True)
class Ratio:
    """Ours over a rival on the cases where both have the quantity."""

    mean: float | None
    points: tuple  # (ratio, case), in the order of the cases
    wins: int
    losses: int


@dataclass(frozen=True)
class Rivalry:
    """Ours against one rival on a group of cases."""

    rival: str
    both: int
    only_ours: int
    only_rival: int
    neither: int
    ratios: dict  # quantity -> Ratio

    @property
    def n_cases(self):
        """Return the number of cases that both methods have rows of."""
        return self.both + self.only_ours + self.only_rival + self.neither


def groups(results):
    """Return the cases by kind of matrix, empty groups left out."""
    parts = {
        "spd": ("SPD problems", [case for case in results.cases if case.spd]),
        "general": (
            "indefinite and general problems",
            [case for case in results.cases if not case.spd],
        ),
    }
    return {key: part for key, part in parts.items() if part[1]}


def fitting(cases, methods):
    """Return the methods that are made for one of the cases at least, and ours."""
    excuses = ("not supported", "not installed")
    return [
        method
        for method in methods
        if any(
            method in case.cells
            and (method == OURS or case.cells[method].status not in excuses)
            for case in cases
        )
    ]


def uncounted(method):
    """Tell whether a method does work that products with A do not count."""
    return method in _UNCOUNTED


def geometric_mean(values):
    """Return the geometric mean, None of nothing."""
    values = list(values)
    return math.exp(math.fsum(map(math.log, values)) / len(values)) if values else None


def performance_ratios(cases, methods, quantity):
    """Return the cost of each method over the best of them, case by case.

    An unsolved case is infinity; so are all of a case that nobody solves. These are the
    r_{p,s} of Dolan and Moré, "Benchmarking optimization software with performance
    profiles", Math. Program. 91 (2002), section 2.
    """
    ratios = {method: [] for method in methods}
    for case in cases:
        costs = {method: _cost(case, method, quantity) for method in methods}
        best = min(costs.values(), default=math.inf)
        for method, cost in costs.items():
            ratios[method].append(cost / best if math.isfinite(cost) else math.inf)
    return ratios


def profile(ratios):
    """Return the steps (tau, share of all cases within tau times the best) of a method."""
    steps = {}
    for k, ratio in enumerate(sorted(filter(math.isfinite, ratios)), start=1):
        steps[ratio] = k / len(ratios)
    return list(steps.items())


def rivalry(
    cases, rival, quantities=("products", "work", "iterations", "total_seconds", "area")
):
    """Compare ours with a rival; cases that either has no row of are left out."""
    cases = [case for case in cases if _present(case, OURS) and _present(case, rival)]
    pairs = [(case.solved(OURS), case.solved(rival)) for case in cases]
    return Rivalry(
        rival=rival,
        both=pairs.count((True, True)),
        only_ours=pairs.count((True, False)),
        only_rival=pairs.count((False, True)),
        neither=pairs.count((False, False)),
        ratios={quantity: _ratio(cases, rival, quantity) for quantity in quantities},
    )


def best_plain(case, quantity="total_seconds"):
    """Return the better of none and Jacobi with its value, or (None, None)."""
    values = {method: case.median(method, quantity) for method in PLAIN}
    solved = {method: value for method, value in values.items() if value is not None}
    if not solved:
        return None, None
    method = min(solved, key=solved.get)
    return method, solved[method]


def refused(case):
    """Tell whether ours said before any work that it is not made for this matrix."""
    return (
        not case.spd and OURS in case.cells and case.cells[OURS].status == "not supported"
    )


def break_even(case, rival):
    """Say after how many right-hand sides ours is at least as fast as a rival.

    Returns
    -------
    float
        The number k >= 1 of right-hand sides; infinity where ours never gets there, minus k
        where ours leads from the first one on and falls behind after k.
    """
    parts = [
        case.median(method, quantity)
        for quantity in ("setup_seconds", "solve_seconds")
        for method in (OURS, rival)
    ]
    if parts[2] is None or parts[3] is None:
        return None
    setup = (parts[0] or 0.0) - (parts[1] or 0.0)  # what ours spends more on setup
    saving = parts[3] - parts[2]  # what it saves with every right-hand side
    if saving > 0:
        return float(max(1, math.ceil(setup / saving)))
    if setup > saving:
        return math.inf
    return 1.0 if saving == 0 else -float(math.floor(setup / saving))


def tolerances(cases, rival):
    """Return the geometric mean of products, ours over a rival, per looser tolerance."""
    found = {}
    for case in cases:
        if not (_present(case, OURS) and _present(case, rival)):
            continue
        ours, other = case.cells[OURS], case.cells[rival]
        names = {name for row in ours.rows for name in (row.get("tolerances") or {})}
        for name in names:
            pair = ours.at_tolerance(name), other.at_tolerance(name)
            if None not in pair:
                ratio = max(pair[0], 1.0) / max(pair[1], 1.0)
                found.setdefault(name, []).append(ratio)
    means = {name: (geometric_mean(r), len(r)) for name, r in found.items()}
    return dict(sorted(means.items(), key=lambda item: -_as_float(item[0])))


def worst(cases, count=5):
    """Return the cases on which ours does worst against the better of none and Jacobi.

    Returns
    -------
    list of (Case, str, float)
        The case, the better of the two, and seconds of ours over its seconds: infinity
        where ours fails. Failures come first, then the largest ratio. Matrices that ours
        is not made for are left out.
    """
    found = []
    for case in cases:
        plain, seconds = best_plain(case)
        if plain is not None and _present(case, OURS) and not refused(case):
            ours = case.median(OURS, "total_seconds")
            ratio = math.inf if ours is None else ours / max(seconds, _NO_TIME)
            found.append((case, plain, ratio))
    found.sort(key=lambda entry: -entry[2])
    return found[:count]


def _present(case, method):
    return method in case.cells and case.cells[method].status != "not installed"


def _cost(case, method, quantity):
    value = case.median(method, quantity)
    return math.inf if value is None else max(value, _FLOOR.get(quantity, _NO_TIME))


def _ratio(cases, rival, quantity):
    points = []
    for case in cases:
        ours, other = (_cost(case, method, quantity) for method in (OURS, rival))
        if math.isfinite(ours) and math.isfinite(other):
            points.append((ours / other, case))
    ratios = [ratio for ratio, _ in points]
    return Ratio(
        mean=geometric_mean(ratios),
        points=tuple(points),
        wins=sum(ratio < 1 for ratio in ratios),
        losses=sum(ratio > 1 for ratio in ratios),
    )


def _as_float(text):
    try:
        return number(float(text)) or 0.0
    except ValueError:
        return 0.0
