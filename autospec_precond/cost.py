"""Counted cost of a degree: which one pays, and whether a polynomial pays at all.

Deterministic: bytes and calls are counted, nothing is timed. The constants are round
figures of one core of a server of the 2020s; only their ratios matter.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["CANDIDATES", "Costs", "candidates", "estimate_iterations"]

CANDIDATES = (0, 4, 8, 16)

# Krylov efficiency seen with a good polynomial: products of plain CG over ours. On
# real matrices 0.76 to 0.95 at degree 4, 0.70 to 0.92 at 8, 0.50 to 0.86 at 16.
_EFFICIENCY = {0: 1.0, 4: 0.87, 8: 0.82, 16: 0.72}

# Exact CG ends after n products, whatever the spectrum, and a polynomial that is not
# optimal for the vector at hand gives that up: on 112 unknowns degree 16 took 2.9 times
# the products of plain CG. Small systems get low degrees.
_ROWS_PER_DEGREE = 16

_TRIVIAL = 1.25  # steps of the probe within which plain CG is done

_BYTES_PER_SECOND = 1.0e10
_SCIPY_SLOWER = 1.6  # SciPy's product against the fused kernel, bytes being equal
_CALL = 1.5e-6  # one NumPy or kernel call
_OUTER_CALLS = 20  # of one CG iteration in SciPy, the operator's wrapper included
_OUTER_PASSES = 14  # vectors of length n that it reads and writes


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
    """

    n: int
    nnz: int
    value_bytes: int
    vector_bytes: int
    fused: bool
    matrix_bytes: int | None = None

    def step(self):
        """Return the time of one product inside an application.

        Returns
        -------
        float
            Seconds.
        """
        entries = self.matrix_bytes
        if entries is None:
            entries = self.nnz * (self.value_bytes + 4)
        if self.fused:
            traffic = entries + 4 * self.n * self.vector_bytes
            return _CALL + traffic / _BYTES_PER_SECOND
        traffic = _SCIPY_SLOWER * entries + 12 * self.n * self.vector_bytes
        return 6 * _CALL + traffic / _BYTES_PER_SECOND

    def outer(self):
        """Return the time of one CG iteration of SciPy but for M.

        Returns
        -------
        float
            Seconds.
        """
        traffic = _SCIPY_SLOWER * 12 * self.nnz + _OUTER_PASSES * 8 * self.n
        return _OUTER_CALLS * _CALL + traffic / _BYTES_PER_SECOND

    def iteration(self, degree):
        """Return the time of one CG iteration with M of some degree.

        Parameters
        ----------
        degree : int
            Products per application.

        Returns
        -------
        float
            Seconds.
        """
        edges = 4 * 8 * self.n / _BYTES_PER_SECOND + 6 * _CALL
        return self.outer() + edges + degree * self.step()


def estimate_iterations(probe, rtol=1e-8):
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
    reduction = probe.cg_reduction
    if reduction <= rtol:
        return float(probe.n_steps)
    if reduction < 0.3:
        return probe.n_steps * np.log(rtol) / np.log(reduction)
    spread = probe.high / max(probe.ritz_values[0], 1e-16 * probe.high)
    return float(np.clip(10 * np.sqrt(spread), 15 * probe.n_steps, 1e5))


def candidates(costs, probe, check_products):
    """Predict the time of a solve to 1e-8 for each candidate degree.

    Parameters
    ----------
    costs : Costs
        Sizes.
    probe : Probe
        What is known of the convergence.
    check_products : callable
        Degree to products of the self-check, which comes before the first iteration.

    Returns
    -------
    dict of int to float
        Seconds per degree, what the probe has cost already left out. A degree above
        n/16 is no candidate, and only 0 is where CG needs hardly more steps than
        the probe has made.
    """
    plain = estimate_iterations(probe)
    result = {}
    for degree in CANDIDATES:
        small = degree * _ROWS_PER_DEGREE > costs.n
        if degree and (small or plain <= _TRIVIAL * probe.n_steps):
            break
        share = (degree + 1) * _EFFICIENCY[degree]
        iterations = np.ceil(plain / share) + (degree > 0)
        setup = (check_products(degree) * costs.step()) if degree else 0.0
        result[degree] = float(setup + iterations * costs.iteration(degree))
    return result
