"""Scaling of vectors on their way into M and out of it, with the order that M has.

NumPy casts in pieces with memory of their own, and makes one pass for each step. Here a
range of rows is one loop without the GIL, whatever of float32 and float64 the two are; the
products are NumPy's to the last bit.
"""

import itertools

import numpy as np

from .cpu import jit

__all__ = ["gather", "scale", "scatter", "warmup"]

_TYPES = (np.float32, np.float64)


def _scale(first, last, x, weights, factor, out):
    """Set out <- x weights factor on some rows; the two may be one vector."""
    rows = slice(first, last)
    x, weights, out = x[rows], weights[rows], out[rows]
    for i in range(out.size):
        out[i] = x[i] * (weights[i] * factor)


def _scatter(first, last, x, weights, factor, places, out):
    """Do so, and put row i into row places[i]."""
    rows = slice(first, last)
    x, weights, places = x[rows], weights[rows], places[rows]
    for i in range(x.size):
        out[np.uint64(places[i])] = x[i] * (weights[i] * factor)


def _gather(first, last, x, weights, factor, places, out):
    """Do so, and take row i from row places[i]."""
    rows = slice(first, last)
    out, weights, places = out[rows], weights[rows], places[rows]
    for i in range(out.size):
        out[i] = x[np.uint64(places[i])] * (weights[i] * factor)


scale = jit(_scale, set())
scatter = jit(_scatter, set())
gather = jit(_gather, set())


def warmup():
    """Compile for real vectors; see `autospec_precond.warmup`."""
    places, weights = np.zeros(1, np.int32), np.ones(1)
    for kind, other in itertools.product(_TYPES, _TYPES):
        x, out = np.ones(1, kind), np.ones(1, other)
        scale(0, 1, x, weights, 1.0, out)
        scatter(0, 1, x, weights, 1.0, places, out)
        gather(0, 1, x, weights, 1.0, places, out)
