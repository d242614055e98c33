"""Classical polynomials that need no training: fallbacks, and what the engine corrects."""

import numpy as np

from .polynomial import Polynomial

__all__ = ["chebyshev", "chebyshev_roots"]

# Chebyshev smoothers take high/30 as the lower end of what they damp (PyAMG,
# Trilinos ML); it is the classical engine's guess for the lower edge.
EDGE_RATIO = 1.0 / 30.0


def chebyshev_roots(degree, low, high):
    """Return the zeros of the Chebyshev residual polynomial of an interval.

    Parameters
    ----------
    degree : int
        Degree of p; the residual polynomial has one zero more.
    low, high : float
        The interval, 0 < low < high.

    Returns
    -------
    ndarray, shape (degree + 1,)
        Zeros in descending order, all inside the interval.
    """
    n = degree + 1
    t = np.cos(np.pi * (np.arange(n) + 0.5) / n)
    return 0.5 * (high + low) + 0.5 * (high - low) * t


def chebyshev(degree, high, low=None):
    """Return the p that makes max |1 - λ p(λ)| on [low, high] least.

    Parameters
    ----------
    degree : int
        Degree of p.
    high : float
        Upper end of the interval.
    low : float, optional
        Lower end of the interval; ``high / 30`` by default.

    Returns
    -------
    Polynomial
        Positive on the whole real line when `degree` is even.

    References
    ----------
    .. [1] Y. Saad, "Iterative Methods for Sparse Linear Systems", 2nd ed., SIAM,
       2003, section 12.3.2.

    Examples
    --------
    >>> from autospec_precond.classical import chebyshev
    >>> p = chebyshev(2, 1.0, 0.1)
    >>> bool(abs(p.residual([0.1, 1.0])).max() <= 0.3)
    True
    """
    low = EDGE_RATIO * high if low is None else low
    return Polynomial.from_roots(chebyshev_roots(degree, low, high), (low, high))
