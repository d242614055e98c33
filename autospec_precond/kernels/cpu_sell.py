"""The fused kernel for slices of rows of equal length.

Rows of up to eight entries are written out for each length, longer ones in pieces of four:
no branch depends on a row. In blocks four entries at a time serve all columns, and the
compiler makes vector instructions across these.
"""

import functools
import itertools

import numpy as np
from numba.extending import overload

from autospec_precond import threads

from . import reference, slices
from .cpu import jit

__all__ = ["apply", "warmup"]

_WRITTEN = 8  # longest rows that are written out
_PIECE = 4  # of longer rows

# Not "reassoc": the order of a sum could then depend on the range that a row falls into.
_FLAGS = {"contract"}
_OPTIONS = {"nogil": True, "fastmath": _FLAGS, "error_model": "numpy"}

_SHIFT = slices.SHIFT

_INDEX = (np.uint16, np.uint32)
_TYPES = ((np.float32, np.float32), (np.float32, np.float64), (np.float64, np.float64))


def _rows(lo, hi, entry, length, data, indices, c, a, b, g, b1, x, y):  # pragma: no cover
    """Set y <- c x + a S b1 + b b1 - g y on rows lo to hi, all of one length."""


@overload(_rows, jit_options=_OPTIONS)
def _rows_of(lo, hi, entry, length, data, indices, c, a, b, g, b1, x, y):
    """Generate `_rows`; unsigned throughout, signed numbers get a test per entry."""
    near = indices.dtype.bitwidth == 16

    def term(j, start="e"):
        place = f"{start} + np.uint64({j})"
        column = f"indices[{place}]"
        return f"data[{place}] * b1[{f'o + {column}' if near else column}]"

    def total(terms):
        return " + ".join(term(j) for j in range(terms))

    lines = [
        "def rows(lo, hi, entry, length, data, indices, c, a, b, g, b1, x, y):",
        " e = np.uint64(entry)",
    ]
    head = [
        "  for i in range(np.uint64(lo), np.uint64(hi)):",
        *(["   o = i - np.uint64(shift)"] if near else []),
    ]
    last = "   y[i] = (c * x[i] + b * b1[i] - g * y[i])"
    for terms in range(_WRITTEN + 1):
        lines += [f" {'el' if terms else ''}if length == {terms}:", *head]
        lines += [f"{last} + a * ({total(terms)})" if terms else last]
        lines += [f"   e += np.uint64({terms})"]
    lines += [
        " else:",
        f"  pieces = np.uint64(length // {_PIECE})",
        f"  rest = np.uint64(length % {_PIECE})",
        *head,
        f"   acc = {total(_PIECE)}",
        f"   e += np.uint64({_PIECE})",
        "   for _ in range(np.uint64(1), pieces):",
        f"    acc += {total(_PIECE)}",
        f"    e += np.uint64({_PIECE})",
        "   for _ in range(rest):",
        f"    acc += {term(0)}",
        "    e += np.uint64(1)",
        f"{last} + a * acc",
    ]
    space = {"np": np, "shift": slices.SHIFT}
    exec("\n".join(lines), space)
    return space["rows"]


def _vector_step(first, last, at, table, data, indices, c, a, b, g, b1, x, y):
    """Set y <- c x + a S b1 + b b1 - g y on rows first to last.

    `table` are the slices; number `at` holds the first row. Row i reads and writes only
    entry i of y.
    """
    while first < last:
        row, entry, length = table[at, 0], table[at, 1], table[at, 2]
        at += 1
        stop = min(table[at, 0], last)
        entry += (first - row) * length
        _rows(first, stop, entry, length, data, indices, c, a, b, g, b1, x, y)
        first = stop


def _block_step(k, first, last, at, table, data, indices, c, a, b, g, b1, x, y):
    """Set y <- c x + a S b1 + b b1 - g y for k columns in C order, without their shape."""
    near = indices.itemsize == 2
    width = np.uint64(k)
    while first < last:
        row, entry, length = table[at, 0], table[at, 1], table[at, 2]
        at += 1
        stop = min(table[at, 0], last)
        e = np.uint64(entry + (first - row) * length)
        for i in range(np.uint64(first), np.uint64(stop)):
            own = i * width
            base = i - np.uint64(_SHIFT) if near else np.uint64(0)
            for q in range(width):
                y[own + q] = c * x[own + q] + b * b1[own + q] - g * y[own + q]
            for _ in range(length // 4):
                f, d0, o0 = e + np.uint64(1), a * data[e], (base + indices[e]) * width
                h, d1, o1 = f + np.uint64(1), a * data[f], (base + indices[f]) * width
                m, d2, o2 = h + np.uint64(1), a * data[h], (base + indices[h]) * width
                e, d3, o3 = m + np.uint64(1), a * data[m], (base + indices[m]) * width
                for q in range(width):
                    y[own + q] += (d0 * b1[o0 + q] + d1 * b1[o1 + q]) + (
                        d2 * b1[o2 + q] + d3 * b1[o3 + q]
                    )
            for _ in range(length % 4):
                d0, o0 = a * data[e], (base + indices[e]) * width
                e += np.uint64(1)
                for q in range(width):
                    y[own + q] += d0 * b1[o0 + q]
        first = stop


_vector = jit(_vector_step, _FLAGS)
_block = jit(_block_step, _FLAGS)


def apply(stored, coefficients, affine, x, work, n_threads=1):
    """Compute p(S) x; see `autospec_precond.kernels.reference.apply`."""
    y, spare = work
    if len(coefficients) == 1:
        np.multiply(x, x.dtype.type(coefficients[0]), out=y)
        return y
    ranges = _ranges(stored.slices, n_threads)
    step, width = (_vector, ()) if x.ndim == 1 else (_block, (x.shape[1],))
    matrix = stored.slices, stored.data, stored.indices
    real = x.real.dtype.type
    b1 = x
    for factors in reference.steps(coefficients, affine):
        c, a, b, g = map(real, factors)
        if not g:  # scratch may hold a NaN, and 0 * NaN is not 0
            y[...] = 0
        vectors = (v.reshape(-1) for v in (b1, x, y))
        rest = (*matrix, c, a, b, g, *vectors)
        threads.run(
            (functools.partial(step, *width, *rows, *rest) for rows in ranges), n_threads
        )
        b1, y, spare = y, spare, y
    return b1


def _ranges(table, n_threads):
    """Return ranges of as many entries: first and last row, slice of the first."""
    n, nnz, _ = table[-1].tolist()
    edges = [0]
    for k in range(1, n_threads):
        share = nnz * k // n_threads
        at = int(np.searchsorted(table[:-1, 1], share, side="right")) - 1
        row, entry, length = table[at].tolist()
        edges.append(max(edges[-1], row + (share - entry) // max(length, 1)))
    edges.append(n)
    ranges = []
    for first, last in itertools.pairwise(edges):
        if first < last:
            at = int(np.searchsorted(table[:-1, 0], first, side="right")) - 1
            ranges.append((first, last, at))
    return ranges


def warmup():
    """Compile for real values; see `autospec_precond.warmup`."""
    table = np.array([[0, 0, 0], [1, 0, 0]])
    for index in _INDEX:
        for values, vectors in _TYPES:
            one = np.ones(1, vectors)
            matrix = table, np.empty(0, values), np.empty(0, index)
            rest = (0, 1, 0, *matrix, *(one[0],) * 4, one, one, one.copy())
            _vector(*rest)
            _block(1, *rest)
