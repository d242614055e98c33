"""Storage by slices of rows of equal length, in an order that brings neighbours together.

A loop over rows of few entries is bound by branches: the processor guesses where each row
ends. Rows sorted by their length within windows, the sigma of SELL-C-sigma, end where the
one before did. Slices are as long as the run of equal lengths: nothing is padded.
"""

import itertools

import numpy as np

__all__ = ["MEAN_LENGTH", "SHIFT", "WINDOW", "order_rows", "product", "to_slices"]

# Rows whose lengths are sorted. On a random triangulation of 5e5 points 2048 were 3 %
# slower, 32,768 no faster, and too many for the short indices.
WINDOW = 8192

# Rows of more entries on average are summed by vector instructions as they are. With 16,
# tetrahedra in no order, slices were 2.5 times as fast as rows.
MEAN_LENGTH = 24

# An index of 16 bits is column less row plus this.
SHIFT = 2**15


def order_rows(matrix):
    """Return an order of the rows in which neighbours are near, and lengths alike.

    Parameters
    ----------
    matrix : csr_array, shape (n, n)
        Of symmetric pattern.

    Returns
    -------
    ndarray of int32 or int64, shape (n,)
        Rows that follow each other: by a breadth-first search where entries are then
        less than half as far from the diagonal, and by length within windows.
    """
    from . import cpu_order

    n = matrix.shape[0]
    given = np.arange(n, dtype=np.int32 if n < 2**31 else np.int64)
    order = np.empty_like(given)
    pattern = _unsigned(matrix.indptr), _unsigned(matrix.indices)
    cpu_order.breadth_first(*pattern, order)
    before = cpu_order.mean_distance(*pattern, given)
    after = cpu_order.mean_distance(*pattern, _inverse(order))
    if after >= before / 2:
        order = given
    # Numbers of 16 bits are sorted digit by digit; longer rows are rare.
    lengths = np.minimum(np.diff(matrix.indptr), 2**16 - 1).astype(np.uint16)[order]
    for start in range(0, n, WINDOW):
        rows = slice(start, start + WINDOW)
        order[rows] = order[rows][np.argsort(lengths[rows], kind="stable")]
    return order


def to_slices(matrix, values, order):
    """Store a matrix by slices.

    Parameters
    ----------
    matrix : csr_array, shape (n, n)
        Gives the places of the entries.
    values : ndarray, shape (nnz,)
        The entries, in the order of `matrix` and the type to store.
    order : ndarray of int, shape (n,)
        Rows that are to follow each other.

    Returns
    -------
    data, indices : ndarray, shape (nnz,)
        Entries and their columns, row by row; columns as uint32, or as uint16 where all
        lie near: column less row plus `SHIFT`.
    slices : ndarray of int64, shape (n_slices + 1, 3)
        First row, first entry and length of the rows; ends with (n, nnz, 0).
    places : ndarray of int, shape (n,)
        Row i of `matrix` is row places[i] here.
    """
    from . import cpu_order

    n = matrix.shape[0]
    places = _inverse(order)
    lengths = np.diff(matrix.indptr)[order]
    starts = np.zeros(n + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    first = np.flatnonzero(np.diff(lengths, prepend=-1))
    ends = [[n, starts[n], 0]]
    slices = np.concatenate(
        [np.stack([first, starts[first], lengths[first]], axis=1), ends], dtype=np.int64
    )
    pattern = _unsigned(matrix.indptr), _unsigned(matrix.indices)
    data = np.empty_like(values)
    for kind, shift in ((np.uint16, SHIFT), (np.uint32, 0)):
        indices = np.empty(values.size, kind)
        farthest = cpu_order.move(*pattern, values, places, starts, shift, indices, data)
        if farthest < SHIFT:
            break
    return data, indices, slices, places


def product(data, indices, slices, x):
    """Multiply, slice by slice, for the reference kernel.

    Parameters
    ----------
    data, indices, slices : ndarray
        As `to_slices` returns them.
    x : ndarray, shape (n,) or (n, k)
        Vector or block, its rows in the order of the slices.

    Returns
    -------
    ndarray, shape of `x`
        The product.
    """
    y = np.zeros(x.shape, np.result_type(data, x))
    for (row, entry, length), (end, last, _) in itertools.pairwise(slices):
        columns = indices[entry:last].astype(np.int64).reshape(end - row, length)
        if indices.dtype == np.uint16:
            columns += np.arange(row, end)[:, None] - SHIFT
        weights = data[entry:last].reshape(end - row, length)
        y[row:end] = np.einsum("ij,ij...->i...", weights, x[columns])
    return y


def _unsigned(indices):
    # Signed indices would get a wrap-around test per entry.
    return indices.view(f"u{indices.itemsize}")


def _inverse(order):
    inverse = np.empty_like(order)
    inverse[order] = np.arange(order.size, dtype=order.dtype)
    return inverse
