"""Conjugate gradients with the residual where the kernels of M want it: scaled, in order.

M = D^(-1/2) p(S) D^(-1/2). A solver that keeps s r, s = diag(D^(-1/2)), instead of r never
brings a vector in or out of M: of 19 numbers per row and iteration 15 are read or written.
Kernels take the chunks of rows from `first` to `last` and write one sum for each
(`chunks`). Where M has an order of its own, row i of s r is in place places[i].
"""

import numpy as np

from .chunks import CHUNK
from .cpu import jit

__all__ = ["advance", "advance_in_order", "turn", "turn_in_order", "warmup"]


def _advance_rows(a, p, q, weights, x, start):
    square = 0.0
    for i in range(x.size):
        x[i] += a * p[i]
        value = start[i] - a * (weights[i] * q[i])
        start[i] = value
        plain = value / weights[i]
        square += plain * plain
    return square


def _advance_placed(a, p, q, weights, places, x, start):
    square = 0.0
    for i in range(x.size):
        x[i] += a * p[i]
        place = np.uint64(places[i])
        value = start[place] - a * (weights[i] * q[i])
        start[place] = value
        plain = value / weights[i]
        square += plain * plain
    return square


_rows = jit(_advance_rows, {"contract", "reassoc"})
_placed = jit(_advance_placed, {"contract", "reassoc"})


def _advance(first, last, alpha, p, q, weights, x, start, sums):
    """Set x <- x + alpha p, s r <- s r - alpha s q and sums <- ||r||²."""
    for k in range(first, last):
        rows = slice(k * CHUNK, (k + 1) * CHUNK)
        sums[k, 0] = _rows(alpha, p[rows], q[rows], weights[rows], x[rows], start[rows])


def _advance_in_order(first, last, alpha, p, q, weights, places, x, start, sums):
    for k in range(first, last):
        rows = slice(k * CHUNK, (k + 1) * CHUNK)
        given = p[rows], q[rows], weights[rows], places[rows]
        sums[k, 0] = _placed(alpha, *given, x[rows], start)


def _turn(first, last, beta, factor, result, weights, p, sums):
    """Set p <- factor s z + beta p, where s z = M r; there are no sums."""
    rows = slice(first * CHUNK, last * CHUNK)
    result, weights, p = result[rows], weights[rows], p[rows]
    for i in range(p.size):
        p[i] = result[i] * (weights[i] * factor) + beta * p[i]


def _turn_in_order(first, last, beta, factor, result, weights, places, p, sums):
    rows = slice(first * CHUNK, last * CHUNK)
    weights, places, p = weights[rows], places[rows], p[rows]
    for i in range(p.size):
        p[i] = result[np.uint64(places[i])] * (weights[i] * factor) + beta * p[i]


advance = jit(_advance, {"contract"})
advance_in_order = jit(_advance_in_order, {"contract"})
turn = jit(_turn, {"contract"})
turn_in_order = jit(_turn_in_order, {"contract"})


def warmup():
    """Compile all; see `autospec_precond.warmup`."""
    places, sums = np.zeros(1, np.int32), np.ones((1, 1))
    p, q, s, x, start = np.ones((5, 1))
    advance(0, 1, 1.0, p, q, s, x, start, sums)
    advance_in_order(0, 1, 1.0, p, q, s, places, x, start, sums)
    turn(0, 1, 1.0, 1.0, q, s, p, sums)
    turn_in_order(0, 1, 1.0, 1.0, q, s, places, p, sums)
