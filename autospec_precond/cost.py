"""Counted cost of a degree: which one pays, and whether a polynomial pays at all.

Deterministic: bytes and calls are counted, nothing is timed. What a byte and a call take
was measured once, on one machine, by `python -m bench calibrate`.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np

from .calibration import TIMES

__all__ = [
    "CANDIDATES",
    "Costs",
    "break_even",
    "candidates",
    "clearly_easy",
    "estimate_iterations",
    "hardly_pays",
    "iterations_from",
    "never_pays",
    "predict",
]

CANDIDATES = (0, 4, 8, 16, 24, 32)

# Krylov efficiency seen with a good polynomial: products of plain CG over ours. On
# real matrices 0.76 to 0.95 at degree 4, 0.70 to 0.92 at 8, 0.50 to 0.86 at 16. On six
# generated ones degree 32 took 1.05 to 1.13 times the products of 16, and 24 1.03 times.
_EFFICIENCY = {0: 1.0, 4: 0.87, 8: 0.82, 16: 0.72, 24: 0.69, 32: 0.65}

# Exact CG ends after n products, whatever the spectrum, and a polynomial that is not
# optimal for the vector at hand gives that up: on 112 unknowns degree 16 took 2.9 times
# the products of plain CG. Small systems get low degrees.
_ROWS_PER_DEGREE = 16

_TRIVIAL = 1.25  # steps of the probe within which plain CG is done
_RTOL = 1e-8  # that solves are predicted for

# Iterations of plain CG that no setup can beat: what is left of making M takes about 30.
_FEW = 20

# By how much the first steps may promise too much: on 40 real matrices CG took up to
# four times as many iterations as 12 steps said, 1.3 in the geometric mean.
_DOUBT = 2.0

# Steps from which on that doubt is enough; before it counts twice. And seconds of a solve,
# over those of making M, from which on it is not worth to judge before the probe is over.
_SETTLED, _LONG = 4, 6.0

# Iterations per step of a probe that made little headway, and of one whose residual grew:
# of 40 real matrices those with a residual above one took 2500 and more.
_SLOW, _STALLED = 15, 60

# The setup is certain, the iterations that it saves are estimated: it counts twice.
_CAUTION = 2.0

_SMALL, _LARGE = 1e6, 1.28e8  # bytes in the cache, and far outside
_OUTER_PASSES = 14  # vectors of length n that an iteration of SciPy's cg reads and writes
_MINRES_PASSES = 45  # those of its minres
_MINRES_CALL = 8e-6  # seconds of its calls, besides the product
_STORE_PASSES = 20  # bytes that forming and storing S moves, over those of A's values
_BOUND_PRODUCTS = 8  # the rigorous bound: four products, |S| and quotients
_THREADS = 0.8  # exponent of the gain from several threads


@dataclass(frozen=True)
class Costs:
    """Sizes that the cost of one application is counted from.

    Attributes
    ----------
    n : int
        Rows.
    nnz : int
        Entries; of a dense matrix n².
    value_bytes, vector_bytes : int
        Bytes of an entry of the stored matrix and of a vector.
    fused : bool
        Whether the fused kernel runs.
    matrix_bytes : int or None
        Of the matrix as it is stored; None for rows of entries with 4-byte indices.
    kind : str
        Storage, as `Stored.kind`; one that was not calibrated counts as 'csr'.
    n_threads : int
        Threads of one application.
    step_seconds, product_seconds : float or None
        Measured times of a product in M and of one in SciPy, in the place of counted
        ones.
    solver : str
        Whose iterations M serves: 'minres', or any other, which counts as 'cg'.
    """

    n: int
    nnz: int
    value_bytes: int
    vector_bytes: int
    fused: bool
    matrix_bytes: int | None = None
    kind: str = "csr"
    n_threads: int = 1
    step_seconds: float | None = None
    product_seconds: float | None = None
    solver: str = "cg"

    def step(self):
        """Return the time of one product inside an application.

        Returns
        -------
        float
            Seconds.
        """
        if self.step_seconds is not None:
            return self.step_seconds
        entries = self.matrix_bytes
        if entries is None:
            entries = self.nnz * (self.value_bytes + 4)
        if self.fused:
            rates = TIMES["step"].get(self.kind, TIMES["step"]["csr"])
            traffic = entries + 4 * self.n * self.vector_bytes
            seconds = _moved(traffic, rates) / self.n_threads**_THREADS
            return TIMES["step_call"] + seconds
        product = _moved(entries + 2 * self.n * self.vector_bytes, TIMES["product"])
        vectors = _moved(10 * self.n * self.vector_bytes, TIMES["vectors"])
        return 6 * TIMES["call"] + TIMES["product_call"] + product + vectors

    def product(self):
        """Return the time of one product with A in SciPy.

        Returns
        -------
        float
            Seconds.
        """
        if self.product_seconds is not None:
            return self.product_seconds
        traffic = 12 * self.nnz + 20 * self.n
        return TIMES["product_call"] + _moved(traffic, TIMES["product"])

    def outer(self):
        """Return the time of one iteration of SciPy's solver with the base alone.

        Returns
        -------
        float
            Seconds.
        """
        call, passes = TIMES["iteration_call"], _OUTER_PASSES
        if self.solver == "minres":
            call, passes = _MINRES_CALL, _MINRES_PASSES
        return call + self.product() + _moved(passes * 8 * self.n, TIMES["vectors"])

    def iteration(self, degree):
        """Return the time of one iteration with M of some degree.

        Parameters
        ----------
        degree : int
            Products per application.

        Returns
        -------
        float
            Seconds.
        """
        if degree == 0:
            return self.outer()
        return self.outer() + self.edges() + degree * self.step()

    def edges(self):
        """Return the time of an application but for its products.

        Returns
        -------
        float
            Seconds: vectors are scaled on the way in and out, for slices into another
            order by all threads.
        """
        traffic = 4 * 8 * self.n
        if self.kind in ("sell", "fields") and self.fused:
            seconds = _moved(traffic, TIMES["arrange"]) / self.n_threads**_THREADS
        else:
            seconds = _moved(traffic, TIMES["vectors"])
        return TIMES["apply_call"] + seconds

    def setup(self, degree):
        """Return the time from the end of the probe to M, self-check and proof left out.

        Parameters
        ----------
        degree : int
            Products per application.

        Returns
        -------
        float
            Seconds.
        """
        if degree == 0:
            return 0.0
        stored = _moved(_STORE_PASSES * 8 * self.nnz, TIMES["vectors"])
        return TIMES["setup_call"] + stored + _BOUND_PRODUCTS * self.product()


def _moved(traffic, rates):
    """Return the seconds that bytes take, `rates` being those of small and large sizes."""
    return _between(traffic, *rates)


@functools.lru_cache(maxsize=512)  # asked 45 times for a small system that is declined
def _between(traffic, small, large):
    share = math.log(max(traffic, 1.0) / _SMALL) / math.log(_LARGE / _SMALL)
    return traffic * (small + min(max(share, 0.0), 1.0) * (large - small))


def estimate_iterations(probe, rtol=_RTOL):
    """Estimate how many iterations CG takes on the based operator.

    Parameters
    ----------
    probe : Probe
        Its steps are those that CG would make on the start vector.
    rtol : float, optional
        Relative residual norm to reach.

    Returns
    -------
    float
        The steps of the probe over the share of the way they made; 10 times the root
        of the condition that the probe sees where it made no headway.
    """
    spread = probe.high / max(probe.ritz_values[0], 1e-16 * probe.high)
    return iterations_from(probe.n_steps, probe.cg_reduction, spread, rtol)


def iterations_from(n_steps, reduction, spread, rtol=_RTOL):
    """Estimate how many iterations CG takes, from how it began.

    Parameters
    ----------
    n_steps : int
        Iterations made.
    reduction : float
        Residual norm after them, relative to the right-hand side.
    spread : float
        Condition number seen by then.
    rtol : float, optional
        Relative residual norm to reach.

    Returns
    -------
    float
        As `estimate_iterations`.
    """
    if reduction <= rtol:
        return float(n_steps)
    if reduction < 0.3:
        return n_steps * np.log(rtol) / np.log(reduction)
    least = _STALLED if reduction > 1 else _SLOW
    return float(np.clip(10 * np.sqrt(spread), least * n_steps, 1e5))


def clearly_easy(costs, n_steps, reduction):
    """Tell from the first steps of a probe that no polynomial can pay for itself.

    Parameters
    ----------
    costs : Costs
        Sizes.
    n_steps : int
        Lanczos steps made.
    reduction : float
        What CG has reached by then.

    Returns
    -------
    bool
        True where CG will be done within 20 iterations, or, with a reserve of a factor
        of two in their number, before a polynomial is made.
    """
    if n_steps < 2 or reduction >= 0.3:
        return False
    plain = iterations_from(n_steps, reduction, np.inf)
    if plain <= _FEW:
        return True
    return n_steps >= 4 and _DOUBT * plain * costs.outer() <= costs.setup(CANDIDATES[1])


def hardly_pays(costs, n_steps, reduction, check_products):
    """Tell from the first steps of a probe what the judgement at its end will be.

    Parameters
    ----------
    costs : Costs
        Sizes, of the storage foreseen.
    n_steps : int
        Lanczos steps made.
    reduction : float
        What CG has reached by then.
    check_products : callable
        As for `predict`.

    Returns
    -------
    bool
        True where `predict` finds no better degree than 0, even with twice as many
        iterations as the steps promise, four times as many before the fourth.
    """
    if n_steps < 2 or reduction >= 0.3:
        return False
    doubt = _DOUBT if n_steps >= _SETTLED else _DOUBT**2
    plain = doubt * iterations_from(n_steps, reduction, np.inf)
    if plain * costs.outer() > _LONG * costs.setup(CANDIDATES[1]):
        return False
    times = predict(costs, plain, n_steps, check_products)
    return min(times, key=lambda d: sum(times[d])) == 0


def never_pays(costs):
    """Tell whether no polynomial can pay, however many iterations CG takes.

    Parameters
    ----------
    costs : Costs
        Sizes.

    Returns
    -------
    bool
        True where the products that replace one of CG take no less time, for every
        candidate degree.
    """
    outer, edges, step = costs.outer(), costs.edges(), costs.step()
    return all(
        outer + edges + d * step >= (d + 1) * _EFFICIENCY[d] * outer
        for d in CANDIDATES
        if d
    )


def predict(costs, plain, n_steps, check_products):
    """Predict the times of a solve to 1e-8 for each candidate degree.

    Parameters
    ----------
    costs : Costs
        Sizes.
    plain : float
        Iterations of CG with the base alone.
    n_steps : int
        Steps of the probe.
    check_products : callable
        Degree to products of the self-check, which comes before the first iteration.

    Returns
    -------
    dict of int to (float, float)
        Seconds of what is left of the setup, counted twice but for the self-check,
        and of the solve, per degree. A degree above n/16 is no candidate, and only 0 is
        where CG needs hardly more steps than the probe has made.
    """
    # Once, not for each degree: small systems are solved in the time of some such sums.
    outer, edges, step = costs.outer(), costs.edges(), costs.step()
    making = _CAUTION * costs.setup(CANDIDATES[1])
    result = {0: (0.0, math.ceil(plain) * outer)}
    for degree in CANDIDATES[1:]:
        if degree * _ROWS_PER_DEGREE > costs.n or plain <= _TRIVIAL * n_steps:
            break
        iterations = math.ceil(plain / ((degree + 1) * _EFFICIENCY[degree])) + 1
        check = check_products(degree) * step
        result[degree] = making + check, iterations * (outer + edges + degree * step)
    return result


def candidates(costs, probe, check_products):
    """Predict the time of a solve to 1e-8 for each candidate degree.

    Parameters
    ----------
    costs : Costs
        Sizes.
    probe : Probe
        What is known of the convergence.
    check_products : callable
        As for `predict`.

    Returns
    -------
    dict of int to float
        Seconds per degree, what the probe has cost already left out.
    """
    plain = estimate_iterations(probe)
    times = predict(costs, plain, probe.n_steps, check_products)
    return {degree: setup + solve for degree, (setup, solve) in times.items()}


def break_even(costs, times, degree, n_products):
    """Return from how many right-hand sides on a polynomial pays for its setup.

    Parameters
    ----------
    costs : Costs
        Sizes.
    times : dict of int to (float, float)
        As `predict` returns them.
    degree : int
        The degree chosen; for 0 the best of the others.
    n_products : int
        Products that came before the choice.

    Returns
    -------
    int or None
        None where it never does.
    """
    others = [d for d in times if d]
    if not others:
        return None
    degree = degree or min(others, key=lambda d: times[d][1])
    if degree not in times:
        return None
    setup, solve = times[degree]
    gain = times[0][1] - solve
    if gain <= 0:
        return None
    begun = n_products * (costs.product() + 10 * TIMES["call"])
    return max(1, int(np.ceil((begun + setup) / gain)))
