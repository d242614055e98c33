"""Storage by chunks of rows, in an order that brings neighbours together: SELL-C-sigma.

A loop over rows of few entries is bound by branches: the processor guesses where each row
ends. Rows sorted by their length within windows, the sigma, end where their neighbours do:
chunks of C rows are stored by columns, entry j of each row side by side.
"""

import numpy as np
import scipy.sparse as sp

__all__ = [
    "CHUNK",
    "MEAN_LENGTH",
    "SHIFT",
    "WINDOW",
    "order_rows",
    "product",
    "reach",
    "to_csr",
    "to_slices",
]

# Rows of a chunk: the float32 numbers of the widest vector registers.
CHUNK = 16

# Rows whose lengths are sorted. Larger windows bring rows farther from each other: on a
# random triangulation of 5e5 points entries reach 5600 rows far here, 16,000 with 8192.
# Half a chunk is padded per window and length: 2 % there.
WINDOW = 512

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
    whole = n - n % WINDOW
    for rows in (slice(0, whole), slice(whole, n)):
        if rows.start < rows.stop:
            width = min(WINDOW, rows.stop - rows.start)
            sorts = np.argsort(lengths[rows].reshape(-1, width), axis=1, kind="stable")
            windows = order[rows].reshape(-1, width)
            order[rows] = np.take_along_axis(windows, sorts, axis=1).reshape(-1)
    return order


def to_slices(matrix, values, order):
    """Store a matrix by chunks of rows.

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
    data, indices : ndarray
        Entries and their columns: by columns in chunks, then what is left row by row.
        Columns as uint32, or as uint16 where all lie near: column less row plus
        `SHIFT`. Shorter rows of a chunk are filled up with zeros on the diagonal.
    table : ndarray of int64, shape (n // CHUNK + 1 + n_rests, 3)
        Of each chunk: its first entry, entries per row, and where its rests begin in the
        table. Then the number of entries in chunks, the largest distance of an entry from
        the diagonal, and where the rests of the last rows begin, which fill no chunk.
        Then the rests of rows much longer than others of their chunk: row, first entry and
        number of entries. Each of the last rows has one.
    places : ndarray of int, shape (n,)
        Row i of `matrix` is row places[i] here.
    """
    from . import cpu_order

    places = _inverse(order)
    table = _table(np.diff(matrix.indptr)[order])
    n_chunks = order.size // CHUNK
    n_entries = max(
        table[n_chunks, 0], table[n_chunks + 1 :, 1:].sum(axis=1).max(initial=0)
    )
    pattern = _unsigned(matrix.indptr), _unsigned(matrix.indices)
    data = np.empty(n_entries, values.dtype)
    for kind, shift in ((np.uint16, SHIFT), (np.uint32, 0)):
        indices = np.empty(n_entries, kind)
        farthest = cpu_order.move(
            *pattern, values, order, places, table, CHUNK, shift, indices, data
        )
        if farthest < SHIFT:
            break
    table[n_chunks, 1] = farthest
    return data, indices, table, places


def reach(table, n):
    """Return how far entries are from the diagonal, in rows of whole chunks.

    Parameters
    ----------
    table : ndarray
        As `to_slices` returns it.
    n : int
        Rows.

    Returns
    -------
    int
        A multiple of `CHUNK`.
    """
    return -(-int(table[n // CHUNK, 1]) // CHUNK) * CHUNK


def product(data, indices, table, x):
    """Multiply, for the reference kernel.

    Parameters
    ----------
    data, indices, table : ndarray
        As `to_slices` returns them.
    x : ndarray, shape (n,) or (n, k)
        Vector or block, its rows in the order of the slices.

    Returns
    -------
    ndarray, shape of `x`
        The product.
    """
    return to_csr(data, indices, table, x.shape[0]) @ x


def to_csr(data, indices, table, n):
    """Return what is stored as a matrix, in the order of the slices.

    Parameters
    ----------
    data, indices, table : ndarray
        As `to_slices` returns them.
    n : int
        Rows.

    Returns
    -------
    csr_array, shape (n, n)
        A copy.
    """
    n_chunks = n // CHUNK
    first = CHUNK * np.arange(n_chunks)[:, None, None] + np.arange(CHUNK)
    rows = [
        np.repeat(first[k], length, axis=0).reshape(-1)
        for k, length in enumerate(table[:n_chunks, 1])
    ]
    rows += [np.repeat(row, length) for row, _, length in table[n_chunks + 1 :]]
    rows = np.concatenate([np.empty(0, np.int64), *rows])
    columns = indices.astype(np.int64)
    if indices.dtype == np.uint16:
        columns += rows - SHIFT
    return sp.coo_array((data, (rows, columns)), shape=(n, n)).tocsr()


def _table(lengths):
    """Return the table of `to_slices`, from the lengths of the rows in their order."""
    n_chunks = lengths.size // CHUNK
    within = lengths[: n_chunks * CHUNK].reshape(n_chunks, CHUNK)
    # Of rows in order half of those in a chunk are as long as this one: at most half of
    # a chunk is padding, and a few rows with very many entries do not lengthen others.
    chunks = np.minimum(within.max(axis=1), within[:, CHUNK // 2] + 1).astype(np.int64)
    starts = np.zeros(n_chunks + 1, np.int64)
    np.cumsum(CHUNK * chunks, out=starts[1:])
    rests = lengths.astype(np.int64)
    rests[: n_chunks * CHUNK] -= np.repeat(chunks, CHUNK)
    kept = rests > 0
    kept[n_chunks * CHUNK :] = True
    rows = np.flatnonzero(kept)
    table = np.zeros((n_chunks + 1 + rows.size, 3), np.int64)
    table[: n_chunks + 1, 0] = starts
    table[:n_chunks, 1] = chunks
    bounds = np.searchsorted(rows, CHUNK * np.arange(n_chunks + 1))
    table[: n_chunks + 1, 2] = n_chunks + 1 + bounds
    rests = rests[rows]
    table[n_chunks + 1 :] = np.stack(
        [rows, starts[-1] + np.cumsum(rests) - rests, rests], axis=1
    )
    return table


def _unsigned(indices):
    # Signed indices would get a wrap-around test per entry.
    return indices.view(f"u{indices.itemsize}")


def _inverse(order):
    inverse = np.empty_like(order)
    inverse[order] = np.arange(order.size, dtype=order.dtype)
    return inverse
