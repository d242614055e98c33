"""Classical polynomials that need no training: fallbacks, and what the engine corrects."""

import numpy as np
from numpy.polynomial import chebyshev as series

from .polynomial import Polynomial

__all__ = ["chebyshev", "chebyshev_roots", "shifted", "shifted_residual"]

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


def shifted(degree, high, low, shift, top=None):
    """Return the p that makes max |1 - (λ - shift) p(λ)| on [low, high] least.

    Parameters
    ----------
    degree : int
        Degree of p.
    high : float
        Upper end of the interval.
    low : float
        Lower end of the interval.
    shift : float
        Below `low`, or above `high`: p is then negative, and -p is returned.
    top : float, optional
        Upper end of the basis where it is not `high`.

    Returns
    -------
    Polynomial
        Positive on the whole real line when `degree` is even: 1 - (λ - shift) p(λ) is one
        at the shift, above one on its other side, and below one on this.

    Examples
    --------
    >>> from autospec_precond.classical import shifted
    >>> p = shifted(4, 1.0, 0.2, 0.1)
    >>> bool(min(p([-9.0, 0.0, 0.1, 0.6, 9.0])) > 0)
    True
    """
    top = high if top is None else top
    ends, sign = (low, high), 1.0 if shift < low else -1.0
    scale = _chebyshev_value(degree + 1, shift, ends)

    def _values(t):
        x = 0.5 * top * (t + 1.0)
        # At the shift itself the quotient is a slope.
        near = 1e-12 * top
        distance = np.where(np.abs(x - shift) < near, near, x - shift)
        ratio = _chebyshev_value(degree + 1, shift + distance, ends) / scale
        return sign * (1.0 - ratio) / distance

    coefficients = series.chebinterpolate(_values, degree)
    # A spectrum of which the low end is not wanted may begin at zero.
    return Polynomial((max(low, 1e-6 * top), top), tuple(coefficients))


def shifted_residual(degree, high, low, shift):
    """Return max |1 - (λ - shift) p(λ)| on [low, high] for the p of `shifted`.

    Parameters
    ----------
    degree : int
        Degree of p.
    high, low, shift : float
        As for `shifted`.

    Returns
    -------
    float
        Between 0 and 1.
    """
    return 1.0 / abs(float(_chebyshev_value(degree + 1, shift, (low, high))))


def _chebyshev_value(n, x, interval):
    """Return the Chebyshev polynomial of an interval, also outside of it."""
    low, high = interval
    t = (2.0 * np.asarray(x, dtype=float) - low - high) / (high - low)
    outside = np.cosh(np.minimum(n * np.arccosh(np.maximum(np.abs(t), 1.0)), 600.0))
    inside = np.cos(n * np.arccos(np.clip(t, -1.0, 1.0)))
    return np.where(np.abs(t) <= 1.0, inside, np.sign(t) ** n * outside)
