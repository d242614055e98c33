"""Sums that do not depend on the number of threads that BLAS has at the moment."""

import numpy as np

__all__ = ["dot", "norm"]

# OpenBLAS makes sums of up to 10,000 products on one thread, whatever it may use.
_PART = 8192


def dot(x, y):
    """Return x* y.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Vectors.

    Returns
    -------
    float or complex
        Parts of the sum in their order.
    """
    if x.size <= _PART:
        return np.vdot(x, y)
    return sum(np.vdot(x[k : k + _PART], y[k : k + _PART]) for k in range(0, x.size, _PART))


def norm(x):
    """Return the Euclidean length of a vector.

    Parameters
    ----------
    x : ndarray, shape (n,)
        Its squares must be in the range of float64.

    Returns
    -------
    float
        The root of x* x.
    """
    return float(np.sqrt(dot(x, x).real))
