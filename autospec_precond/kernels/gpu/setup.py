"""Kernels that an M is made with: scaled entries, diagonals, random numbers.

All start on the current stream, and nothing waits for them.
"""

import numpy as np

from . import device, source

__all__ = ["entries", "fill", "mark", "uniform"]

_SHARE = 8  # threads of a row, as in the source


def entries(matrix, left, right, out):
    """Set out <- the entries of L A R.

    Parameters
    ----------
    matrix : csr_matrix, shape (n, n)
        A, its indices all of one type.
    left, right : cupy.ndarray of float64, shape (n,), or None
        The diagonals L and R; ones where None.
    out : cupy.ndarray, shape (nnz,)
        In double precision, complex where A is.
    """
    types = matrix.data.dtype, out.dtype
    _rows("entries", matrix, types, (), (matrix.data, left, right, out))


def mark(matrix, seen):
    """Mark the diagonals that hold entries.

    Parameters
    ----------
    matrix : csr_matrix, shape (n, n)
        As for `entries`.
    seen : cupy.ndarray of bool, shape (2 n - 1,)
        The diagonal with offset o is number o + n - 1; others are not changed.
    """
    _rows("mark", matrix, (), (), (seen,))


def fill(matrix, values, factor, number, data):
    """Write entries times a factor to their diagonals.

    Parameters
    ----------
    matrix : csr_matrix, shape (n, n)
        As for `entries`: the pattern.
    values : cupy.ndarray, shape (nnz,)
        In double precision.
    factor : float
        One for all.
    number : cupy.ndarray of int16, shape (2 n - 1,)
        One more than the row of `data` for each diagonal, 0 for those not stored.
    data : cupy.ndarray, shape (n_stored, n)
        Zeros; in any precision.
    """
    types = values.dtype, data.dtype
    sizes = (matrix.indices.dtype.type(data.shape[1]),)
    _rows("fill", matrix, types, sizes, (values, np.float64(factor), number, data))


def uniform(seed, out):
    """Set out <- numbers uniform in (0, 1); see `device.vectors.uniform`.

    Parameters
    ----------
    seed : int
        Where the stream begins.
    out : cupy.ndarray of float64, shape (n,)
        All are written.
    """
    (kernel,) = device.functions((source.setup("uniform", out.dtype),))
    grid = (-(-out.size // source.BLOCK),)
    kernel(grid, (source.BLOCK,), (np.int64(out.size), np.uint64(seed), out))


def _rows(kind, matrix, types, sizes, arguments):
    indices, n = matrix.indices.dtype, matrix.shape[0]
    (kernel,) = device.functions((source.setup(kind, *types, indices),))
    grid = (-(-n // (source.BLOCK // _SHARE)),)
    pattern = matrix.indptr, matrix.indices
    kernel(grid, (source.BLOCK,), (indices.type(n), *sizes, *pattern, *arguments))
