"""Scaling of vectors on their way into M and out of it.

NumPy casts in pieces with memory of their own, and makes one pass for each step. Here a
range of rows is one loop without the GIL, whatever of float32 and float64 the two are; the
products are NumPy's to the last bit.
"""

import itertools

import numpy as np

from .cpu import jit

__all__ = ["scale", "warmup"]

_TYPES = (np.float32, np.float64)


def _scale(first, last, x, weights, factor, out):
    """Set out <- x weights factor on some rows; the two may be one vector."""
    rows = slice(first, last)
    x, weights, out = x[rows], weights[rows], out[rows]
    for i in range(out.size):
        out[i] = x[i] * (weights[i] * factor)


scale = jit(_scale, set())


def warmup():
    """Compile for real vectors; see `autospec_precond.warmup`."""
    weights = np.ones(1)
    for kind, other in itertools.product(_TYPES, _TYPES):
        x, out = np.ones(1, kind), np.ones(1, other)
        scale(0, 1, x, weights, 1.0, out)
