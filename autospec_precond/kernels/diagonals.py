"""Storage by diagonals: no indices, and one side only where the matrix is symmetric."""

import numpy as np
import scipy.sparse as sp

__all__ = [
    "COMPILED",
    "N_DIAGONALS",
    "dia_bytes",
    "find_offsets",
    "from_scaled",
    "product",
    "to_csr",
    "to_diagonals",
]

# Most diagonals taken by default, and where they are asked for or A is large: each number
# of diagonals is compiled for itself, 0.4 s for 5 and 1.5 s for 27, once on a machine.
N_DIAGONALS = (32, 128)
COMPILED = (3, 5, 7, 9)  # those that `warmup` compiles, for real matrices

_CHUNK = 2**16  # rows whose temporaries fit the cache

# Entries (i, j) and (j, i) that differ by no more are stored once.
_ROUNDING = 4

# Rows of the data whose length is near a multiple of a page would all start at the same
# offset within one, where the loads of a kernel get into each other's way.
_PAGE, _PAD = 4096, 272


def find_offsets(matrix, limit):
    """Return the offsets of the diagonals that hold entries.

    Parameters
    ----------
    matrix : csr_array, shape (n, n)
        Without duplicates.
    limit : int
        Most diagonals to look for.

    Returns
    -------
    ndarray of int64
        In rising order; longer than `limit`, and not all, where there are more.
    """
    n = matrix.shape[0]
    seen = np.zeros(2 * n - 1, np.bool_)
    for _, _, distances in _chunks(matrix):
        seen[distances + (n - 1)] = True
        if np.count_nonzero(seen) > limit:
            break
    return np.flatnonzero(seen) - (n - 1)


def dia_bytes(n, n_diagonals, value_bytes, complex_values):
    """Count the bytes of a Hermitian matrix by diagonals, padding to n included.

    Parameters
    ----------
    n, n_diagonals, value_bytes : int
        Rows, diagonals with entries, bytes of a value.
    complex_values : bool
        Whether both sides are stored.

    Returns
    -------
    int
        Bytes.
    """
    stored = n_diagonals if complex_values else n_diagonals // 2 + 1
    return stored * n * value_bytes


def to_diagonals(matrix, values, offsets):
    """Store a matrix by diagonals.

    Parameters
    ----------
    matrix : csr_array, shape (n, n)
        Without duplicates; gives the places of the entries.
    values : ndarray, shape (nnz,)
        The entries, in the order of `matrix` and the type to store.
    offsets : ndarray of int64
        All of its diagonals, in rising order.

    Returns
    -------
    data : ndarray, shape (n_stored, at least n)
        data[k, i] is entry (i, i + offsets[k]); zero outside the matrix.
    offsets : ndarray of int64, shape (n_stored,)
        Of the diagonals stored: those from 0 on where `half`.
    half : bool
        Whether the matrix is real and symmetric up to rounding, so that the diagonals
        above the main one stand for those below it, too.
    """
    n = matrix.shape[0]
    row_of = np.zeros(2 * n - 1, np.int16)
    row_of[offsets + (n - 1)] = np.arange(offsets.size)
    data = np.zeros((offsets.size, _length(n, values.dtype)), values.dtype)
    for rows, entries, distances in _chunks(matrix):
        data[row_of[distances + (n - 1)], rows] = values[entries]
    half = values.dtype.kind != "c" and _is_symmetric(data, offsets, n)
    if half:
        return data[offsets >= 0].copy(), offsets[offsets >= 0], True
    return data, offsets, False


def from_scaled(S, offsets, unit, dtype):
    """Do the same for a matrix that is scaled while it is written.

    Parameters
    ----------
    S : Scaled
        The matrix times `unit`.
    offsets : ndarray of int64
        All of its diagonals, in rising order.
    unit : float
        A power of two.
    dtype : dtype
        Of the values to store.

    Returns
    -------
    data, offsets, half
        As `to_diagonals` returns them.
    largest : float
        Of the entries of S.
    """
    length = _length(S.shape[0], dtype)
    if dtype.kind != "c" and np.array_equal(offsets, -offsets[::-1]):
        upper = offsets[offsets >= 0]
        allowed = _ROUNDING * np.finfo(dtype).eps
        data, largest, agrees = S.half_by_diagonals(upper, length, unit, dtype, allowed)
        if agrees:
            return data, upper, True, largest
    data, largest = S.by_diagonals(offsets, length, unit, dtype)
    return data, offsets, False, largest


def product(data, offsets, half, x):
    """Multiply, diagonal by diagonal, for the reference kernel.

    Parameters
    ----------
    data, offsets : ndarray
        As `to_diagonals` returns them.
    half : bool
        As `to_diagonals` returns it.
    x : ndarray, shape (n,) or (n, k)
        Vector or block.

    Returns
    -------
    ndarray, shape of `x`
        The product.
    """
    n = len(x)
    y = np.zeros(x.shape, np.result_type(data, x))
    for diagonal, offset in zip(data, offsets, strict=True):
        above = slice(max(0, -offset), n - max(0, offset))
        right = slice(above.start + offset, above.stop + offset)
        weights = diagonal[above] if x.ndim == 1 else diagonal[above, None]
        y[above] += weights * x[right]
        if half and offset:
            y[right] += weights * x[above]
    return y


def to_csr(data, offsets, half, n):
    """Return what is stored as a matrix.

    Parameters
    ----------
    data, offsets : ndarray
        As `to_diagonals` returns them.
    half : bool
        As `to_diagonals` returns it.
    n : int
        Rows.

    Returns
    -------
    csr_array, shape (n, n)
        A copy.
    """
    bands = {
        int(o): row[max(0, -o) : n - max(0, o)]
        for row, o in zip(data, offsets, strict=True)
    }
    if half:
        bands |= {-o: band for o, band in bands.items()}
    offsets = sorted(bands)
    return sp.diags_array(
        [bands[o] for o in offsets], offsets=offsets, shape=(n, n)
    ).tocsr()


def _length(n, dtype):
    size = n * dtype.itemsize
    return n + _PAD if size >= _PAGE and size % _PAGE < _PAGE // 4 else n


def _chunks(matrix):
    """Yield, for some entries at a time, their rows, their positions, column less row."""
    n = matrix.shape[0]
    for start in range(0, n, _CHUNK):
        stop = min(start + _CHUNK, n)
        entries = slice(matrix.indptr[start], matrix.indptr[stop])
        lengths = np.diff(matrix.indptr[start : stop + 1])
        rows = np.repeat(np.arange(start, stop), lengths)
        yield rows, entries, matrix.indices[entries] - rows


def _is_symmetric(data, offsets, n):
    row_of = {int(offset): k for k, offset in enumerate(offsets)}
    allowed = _ROUNDING * np.finfo(data.dtype).eps
    for offset, k in row_of.items():
        mirrored = row_of.get(-offset)
        if mirrored is None:
            return False
        if offset > 0:
            above, below = data[k, : n - offset], data[mirrored, offset:n]
            if not (np.abs(above - below) <= allowed * np.abs(above)).all():
                return False
    return True
