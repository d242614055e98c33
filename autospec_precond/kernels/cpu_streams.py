"""Loops of `make` that count and write the diagonals of each unknown of a node.

For `fields`. As in `cpu_setup` each is a pass over some rows of A, and S is scaled while it
is written.
"""

import numpy as np

from .cpu import jit

__all__ = ["compare", "count", "fill", "rests", "warmup"]

_INDEX = (np.uint32, np.uint64)
_TYPES = (np.float32, np.float64)


def _count(first, last, indptr, indices, known, n_fields, n_known):
    """Return how many entries each unknown has on each diagonal."""
    counts = np.zeros((n_fields, n_known), np.int64)
    n = np.int64(indptr.size - 1)
    for i in range(first, last):
        own, shift = counts[i % n_fields], n - 1 - i
        for j in range(indptr[i], indptr[i + 1]):
            own[np.uint64(known[np.uint64(shift + np.int64(indices[j]))])] += 1
    return counts


def _fill(
    first,
    last,
    indptr,
    indices,
    data,
    scale,
    factor,
    known,
    slots,
    stride,
    allowed,
    out,
    lengths,
):
    """Write the entries of S times a factor that have a stream, and compare their mirrors.

    Of columns before row `first` no mirrors are compared. Returns the largest entry of S,
    how many are stored that are not zero outside the main diagonal, and how many mirrors
    are not zero; -1 where one differs by more than `allowed`, relative. `lengths` gets the
    number of rests of each row.
    """
    n, b = np.int64(indptr.size - 1), np.int64(len(slots))
    largest, above, below = 0.0, 0, 0
    node, field = first // b, first % b
    for i in range(first, last):
        own, shift, n_rests = scale[i], n - 1 - i, 0
        slot = slots[field]
        for j in range(indptr[i], indptr[i + 1]):
            column = indices[j]
            k = slot[np.uint64(known[np.uint64(shift + np.int64(column))])]
            value = data[j] * own * scale[column]
            largest = max(largest, abs(value))
            stored = out.dtype.type(value * factor)
            if k >= 0:
                above += stored != 0 and column != i
                out[np.uint64(k * stride + node)] = stored
            elif k == -1:
                n_rests += 1
            elif column >= first:
                other = out[np.uint64((-2 - k) * stride + np.int64(column) // b)]
                if not abs(other - stored) <= allowed * abs(other):
                    return largest, above, -1
                below += stored != 0
        lengths[i] = n_rests
        field += 1
        if field == b:
            node, field = node + 1, 0
    return largest, above, below


def _compare(
    first, last, indptr, indices, data, scale, factor, known, slots, stride, allowed, out
):
    """Compare mirrors in columns before row `first`; return what `fill` does of them."""
    n, b = np.int64(indptr.size - 1), np.int64(len(slots))
    below = 0
    for i in range(first, last):
        own, shift, slot = scale[i], n - 1 - i, slots[i % b]
        for j in range(indptr[i], indptr[i + 1]):
            column = indices[j]
            if column >= first:
                break
            k = slot[np.uint64(known[np.uint64(shift + np.int64(column))])]
            if k < -1:
                stored = out.dtype.type(data[j] * own * scale[column] * factor)
                other = out[np.uint64((-2 - k) * stride + np.int64(column) // b)]
                if not abs(other - stored) <= allowed * abs(other):
                    return -1
                below += stored != 0
    return below


def _rests(
    first,
    last,
    indptr,
    indices,
    data,
    scale,
    factor,
    known,
    slots,
    rows,
    starts,
    columns,
    out,
):
    """Write the entries that have no stream, of some of the rows that have such."""
    n, b = np.int64(indptr.size - 1), np.int64(len(slots))
    n_nodes = n // b
    for t in range(first, last):
        i, e = rows[t], starts[t]
        own, shift, slot = scale[i], n - 1 - i, slots[i % b]
        for j in range(indptr[i], indptr[i + 1]):
            column = np.int64(indices[j])
            if slot[np.uint64(known[np.uint64(shift + column)])] == -1:
                columns[e] = column % b * n_nodes + column // b
                out[e] = data[j] * own * scale[column] * factor
                e += 1


compare = jit(_compare, set())
count = jit(_count, set())
fill = jit(_fill, set())
rests = jit(_rests, set())


def warmup():
    """Compile for real values and indices of 32 bits; see `autospec_precond.warmup`."""
    indptr, indices = np.array([0, 1], np.uint32), np.zeros(1, np.uint32)
    known, slots, ones = np.zeros(1, np.int16), np.zeros((1, 1), np.int64), np.ones(1)
    zeros = np.zeros(1, np.int64)
    count(0, 1, indptr, indices, known, 1, 1)
    for values in _TYPES:
        matrix = indptr, indices, np.ones(1, values), ones, 1.0, known, slots
        for stored in _TYPES:
            out = np.ones(1, stored)
            fill(0, 1, *matrix, 1, 1.0, out, zeros.copy())
            compare(0, 1, *matrix, 1, 1.0, out)
            rests(0, 1, *matrix, zeros, zeros, zeros.copy(), out)
