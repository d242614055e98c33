"""Scaling of vectors on their way into M and out of it.

NumPy casts in pieces with memory of their own, and makes one pass for each step. Here a
range of rows is one loop without the GIL, whatever of float32 and float64 the two are; the
products are NumPy's to the last bit.
"""

import itertools

import numpy as np

from .cpu import jit

__all__ = ["scale", "scale_block", "warmup"]

_TILE = 64  # rows

_TYPES = (np.float32, np.float64)


def _scale(first, last, x, weights, factor, out):
    """Set out <- x weights factor on some rows; the two may be one vector."""
    rows = slice(first, last)
    x, weights, out = x[rows], weights[rows], out[rows]
    for i in range(out.size):
        out[i] = x[i] * (weights[i] * factor)


def _scale_block(first, last, weights, factors, x, x_steps, out, out_steps):
    """Do so for blocks whose entry (i, c) lies at i steps[0] + c steps[1] of memory.

    In tiles of rows: where one is in C and the other in F order, either would leave the
    cache between two entries of a line. 16 columns of 10⁶ rows take 40 % of NumPy's time.
    """
    if x_steps[1] == 1 and out_steps[1] == 1:
        for i in range(first, last):
            source, target = np.uint64(i * x_steps[0]), np.uint64(i * out_steps[0])
            for c in range(np.uint64(factors.size)):
                out[target + c] = x[source + c] * (weights[i] * factors[c])
        return
    for start in range(first, last, _TILE):
        stop = min(start + _TILE, last)
        for c in range(factors.size):
            source = np.uint64(c * x_steps[1])
            target = np.uint64(c * out_steps[1])
            for i in range(np.uint64(start), np.uint64(stop)):
                value = x[i * np.uint64(x_steps[0]) + source]
                out[i * np.uint64(out_steps[0]) + target] = value * (
                    weights[i] * factors[c]
                )


scale = jit(_scale, set())
scale_block = jit(_scale_block, set())


def warmup():
    """Compile for real vectors; see `autospec_precond.warmup`."""
    weights = np.ones(1)
    for kind, other in itertools.product(_TYPES, _TYPES):
        x, out = np.ones(1, kind), np.ones(1, other)
        scale(0, 1, x, weights, 1.0, out)
        scale_block(0, 1, weights, weights, x, (1, 1), out, (1, 1))
