"""How many eigenvalues lie below a number: stochastic Lanczos quadrature."""

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from . import probing
from .probe import Probe

__all__ = ["Density", "estimate"]

# Beyond what the steps have seen of either end, in parts of the width seen: a polynomial
# of degree 100 is 8 times as large there as inside.
_MARGIN = 1e-3


@dataclass(frozen=True, eq=False)
class Density:
    """Estimated distribution of the eigenvalues of a Hermitian operator.

    Attributes
    ----------
    values : ndarray, shape (m,)
        Ritz values, ascending, in the units of the eigenvalues.
    weights : ndarray, shape (m,)
        Parts of all eigenvalues that they stand for; they sum to one.
    n : int
        Number of eigenvalues.
    low, high : float
        Ends of the spectrum, estimated from outside.
    probe : Probe
        All that the steps have found.
    """

    values: np.ndarray
    weights: np.ndarray
    n: int
    low: float
    high: float
    probe: Probe

    def below(self, count):
        """Return the number below which about so many eigenvalues lie.

        Parameters
        ----------
        count : float
            Positive; eigenvalues.

        Returns
        -------
        float
            Between the smallest and the largest Ritz value.
        """
        counts = self.n * (np.cumsum(self.weights) - 0.5 * self.weights)
        return float(np.interp(count, counts, self.values))

    @property
    def resolved(self):
        """Number of eigenvalues that the smallest Ritz value stands for."""
        return float(self.n * self.weights[0])

    def reversed(self):
        """Return the distribution of the negative operator.

        Returns
        -------
        Density
            Shares no memory that matters.
        """
        return Density(
            -self.values[::-1],
            self.weights[::-1],
            self.n,
            -self.high,
            -self.low,
            self.probe,
        )


def estimate(based, n_steps, rng):
    """Estimate the distribution of eigenvalues from one run of Lanczos steps.

    Parameters
    ----------
    based : Based
        The operator S.
    n_steps : int
        Products; fewer where the Krylov space ends earlier.
    rng : numpy.random.Generator
        Source of the start vector.

    Returns
    -------
    Density
        Relative error of a count c about sqrt(2 / c), for one vector.

    Raises
    ------
    ValueError
        If a product is not finite.

    Notes
    -----
    Weights of the start vector are those of the eigenvalues in the mean. Copies of Ritz
    values, which lost orthogonality makes, share the weight of the original.

    References
    ----------
    .. [1] L. Lin, Y. Saad and C. Yang, "Approximating spectral densities of large
       matrices", SIAM Review 58(1), 2016, pp. 34-65, section 3.2.
    """
    start = rng.standard_normal(based.n)
    if based.dtype.kind == "c":
        start = start + 1j * rng.standard_normal(based.n)
    product = based.quick or based.product
    alpha, beta, _ = probing.lanczos(product, start, min(n_steps, based.n), based.inner)
    if not np.isfinite([*alpha, *beta]).all():
        raise ValueError(
            "estimate: the products of A must be finite; got a Lanczos matrix with entries "
            "that are not."
        )
    theta, Y = scipy.linalg.eigh_tridiagonal(alpha, beta[:-1])
    weights, norms = Y[0] ** 2, beta[-1] * np.abs(Y[-1])
    low, high = float(theta[0] - norms[0]), float(theta[-1] + norms[-1])
    margin = _MARGIN * (high - low)
    probe = Probe(theta, weights, norms, high + margin, False, len(alpha), n=based.n)
    return Density(theta, weights, based.n, low - margin, high + margin, probe)
