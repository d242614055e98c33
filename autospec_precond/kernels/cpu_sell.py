"""The fused kernel for slices of rows of equal length.

Rows of up to eight entries are written out for each length, longer ones in pieces of four:
no branch depends on a row. Blocks are taken several columns at a time, so that an entry is
read once for all of them and the compiler makes vector instructions across the columns.
"""

import functools

import numpy as np
from numba.extending import overload

from autospec_precond import threads

from . import reference, slices
from .cpu import jit

__all__ = ["apply", "warmup"]

_WRITTEN = 8  # longest rows that are written out
_PIECE = 4  # of longer rows
_GROUPS = tuple((0,) * columns for columns in (8, 4, 1))  # columns at a time

# Not "reassoc": the order of a sum could then depend on the range that a row falls into.
_FLAGS = {"contract"}
_OPTIONS = {"nogil": True, "fastmath": _FLAGS, "error_model": "numpy"}

_INDEX = (np.uint16, np.uint32)
_TYPES = ((np.float32, np.float32), (np.float32, np.float64), (np.float64, np.float64))


def _rows(lo, hi, entry, length, data, indices, c, a, b, g, b1, x, b2, y):  # pragma: no cover
    """Set y <- c x + a S b1 + b b1 - g b2 on rows lo to hi, all of one length."""


@overload(_rows, jit_options=_OPTIONS)
def _rows_of(lo, hi, entry, length, data, indices, c, a, b, g, b1, x, b2, y):
    """Generate `_rows`; unsigned throughout, signed numbers get a test per entry."""
    near = indices.dtype.bitwidth == 16

    def term(j, start="e"):
        place = f"{start} + np.uint64({j})"
        column = f"indices[{place}]"
        return f"data[{place}] * b1[{f'o + {column}' if near else column}]"

    def total(terms):
        return " + ".join(term(j) for j in range(terms))

    lines = [
        "def rows(lo, hi, entry, length, data, indices, c, a, b, g, b1, x, b2, y):",
        " e = np.uint64(entry)",
    ]
    head = [
        "  for i in range(np.uint64(lo), np.uint64(hi)):",
        *(["   o = i - np.uint64(shift)"] if near else []),
    ]
    last = "   y[i] = (c * x[i] + b * b1[i] - g * b2[i])"
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
    return _compiled(lines, "rows")


def _columns(group, q, k, lo, hi, entry, length, data, indices, c, a, b, g, b1, x, b2, y):
    """Do the same for columns q, q + 1, ... of k, as many as `group` has items."""


@overload(_columns, jit_options=_OPTIONS)
def _columns_of(group, q, k, lo, hi, entry, length, data, indices, c, a, b, g, b1, x, b2, y):
    """Generate `_columns`, with one sum for each column."""
    near = indices.dtype.bitwidth == 16
    names = "group, q, k, lo, hi, entry, length, data, indices, c, a, b, g, b1, x, b2, y"
    columns = [f"np.uint64({j})" for j in range(len(group))]
    lines = [
        f"def columns({names}):",
        " e = np.uint64(entry)",
        " first, width = np.uint64(q), np.uint64(k)",
        " for i in range(np.uint64(lo), np.uint64(hi)):",
        *(f"  s{j} = y.dtype.type(0)" for j in range(len(group))),
        "  for _ in range(np.uint64(length)):",
        "   d = data[e]",
        f"   o = ({'i - np.uint64(shift) + ' if near else ''}indices[e]) * width + first",
        *(f"   s{j} += d * b1[o + {column}]" for j, column in enumerate(columns)),
        "   e += np.uint64(1)",
        "  o = i * width + first",
        *(
            f"  y[o + {p}] = (c * x[o + {p}] + b * b1[o + {p}] - g * b2[o + {p}]) + a * s{j}"
            for j, p in enumerate(columns)
        ),
    ]
    return _compiled(lines, "columns")


def _compiled(lines, name):
    space = {"np": np, "shift": slices.SHIFT}
    exec("\n".join(lines), space)
    return space[name]


def _vector_step(first, last, at, table, data, indices, c, a, b, g, b1, x, b2, y):
    """Set y <- c x + a S b1 + b b1 - g b2 on rows first to last; y may be b2.

    `table` are the slices; number `at` holds the first row. Row i reads and writes only entry i of y.
    """
    while first < last:
        row, entry, length = table[at, 0], table[at, 1], table[at, 2]
        at += 1
        stop = min(table[at, 0], last)
        entry += (first - row) * length
        _rows(first, stop, entry, length, data, indices, c, a, b, g, b1, x, b2, y)
        first = stop


def _block_step(
    many, some, few, k, first, last, at, table, data, indices, c, a, b, g, b1, x, b2, y
):
    """Do the same for blocks of k columns in C order, handed on without their shape."""
    while first < last:
        row, entry, length = table[at, 0], table[at, 1], table[at, 2]
        at += 1
        stop = min(table[at, 0], last)
        entry += (first - row) * length
        part = first, stop, entry, length, data, indices, c, a, b, g, b1, x, b2, y
        q = 0
        while q + len(many) <= k:
            _columns(many, q, k, *part)
            q += len(many)
        while q + len(some) <= k:
            _columns(some, q, k, *part)
            q += len(some)
        while q < k:
            _columns(few, q, k, *part)
            q += len(few)
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
    if x.ndim == 1:
        step, shape = _vector, ()
    else:
        step, shape = _block, (*_GROUPS, x.shape[1])
    real = x.real.dtype.type
    b1 = b2 = x
    for factors in reference.steps(coefficients, affine):
        c, a, b, g = map(real, factors)
        vectors = (v.reshape(-1) for v in (b1, x, b2 if g else x, y))
        rest = (stored.slices, stored.data, stored.indices, c, a, b, g, *vectors)
        threads.run(
            (functools.partial(step, *shape, *part, *rest) for part in ranges), n_threads
        )
        b2, b1 = b1, y
        y, spare = spare, y
    return b1


def _ranges(table, n_threads):
    """Return first and last row, and the slice of the first, with as many entries in each."""
    n, nnz, _ = table[-1].tolist()
    edges = [0]
    for k in range(1, n_threads):
        share = nnz * k // n_threads
        at = int(np.searchsorted(table[:-1, 1], share, side="right")) - 1
        row, entry, length = table[at].tolist()
        edges.append(max(edges[-1], row + (share - entry) // max(length, 1)))
    edges.append(n)
    ranges = []
    for first, last in zip(edges[:-1], edges[1:], strict=True):
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
            rest = (0, 1, 0, *matrix, *(one[0],) * 4, one, one, one, one.copy())
            _vector(*rest)
            _block(*_GROUPS, 1, *rest)
