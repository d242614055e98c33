"""Diagonal scalings of general matrices: what `jacobi` and `equilibrate` mean there."""

import numpy as np
import scipy.sparse as sp

from . import arrays

__all__ = ["diagonal_share", "equilibrated", "signed_diagonal"]

_ROUNDS = 5  # after which row and column norms agree within a few percent
_TINY = 1e-150  # relative to the largest entry: squares of smaller ones would be zero


def signed_diagonal(operand, diagonal=None):
    """Return the inverse of the diagonal, as real numbers.

    Parameters
    ----------
    operand : Operand
        Explicit A, where `diagonal` is not given.
    diagonal : array, shape (n,), optional
        Of A; of NumPy or CuPy.

    Returns
    -------
    array, shape (n,), or None
        Of a complex A the inverse modulus, with the sign of the real part; None where
        the diagonal has a zero.
    """
    diagonal = operand.diagonal() if diagonal is None else diagonal
    xp = arrays.namespace(diagonal)
    sizes = abs(diagonal).astype(np.float64)
    if not (sizes > 0).all():
        return None
    with np.errstate(over="ignore"):
        scale = xp.copysign(1 / sizes, diagonal.real)
    return scale if xp.isfinite(scale).all() else None


def diagonal_share(operand):
    """Return how large diagonal entries are in their rows and columns.

    Parameters
    ----------
    operand : Operand
        Explicit A.

    Returns
    -------
    float
        Least |a_ii| over the geometric mean of the norms of row and column i; 1 for a
        diagonal matrix.
    """
    squares, indices, starts, n = _squares(operand.matrix)
    rows, columns = _row_sums(squares, starts), np.bincount(indices, squares, n)
    largest = float(np.abs(_data(operand.matrix)).max())
    diagonal = np.abs(operand.diagonal()) / largest
    with np.errstate(divide="ignore", invalid="ignore"):
        share = diagonal / np.sqrt(np.sqrt(rows) * np.sqrt(columns))
    return float(np.nan_to_num(share, nan=0.0, posinf=0.0).min())


def equilibrated(operand):
    """Return diagonals L and R that bring rows and columns of L A R to norm one.

    Parameters
    ----------
    operand : Operand
        Explicit A, without empty rows and columns.

    Returns
    -------
    left, right : ndarray, shape (n,)
        Powers of no particular base; `right` is positive, `left` has the sign of the
        diagonal where there is one, which brings most eigenvalues to the right half of
        the plane.
    """
    squares, indices, starts, n = _squares(operand.matrix)
    left, right = np.ones(n), np.ones(n)
    current = squares.copy()
    for _ in range(_ROUNDS):
        rows = np.sqrt(_row_sums(current, starts))
        left /= np.sqrt(rows)
        current /= np.repeat(rows, np.diff(starts))
        columns = np.sqrt(np.bincount(indices, current, n))
        right /= np.sqrt(columns)
        current /= columns[indices]
    left /= float(np.abs(_data(operand.matrix)).max())
    return np.copysign(left, operand.diagonal().real), right


def _squares(matrix):
    """Return squared moduli over the largest one, with indices and starts of rows."""
    n = matrix.shape[0]
    if sp.issparse(matrix):
        data, indices, starts = matrix.data, matrix.indices, matrix.indptr
    else:
        data, indices = matrix.reshape(-1), np.tile(np.arange(n), n)
        starts = np.arange(0, n * n + 1, n)
    sizes = np.abs(data).astype(np.float64)
    sizes /= sizes.max(initial=0.0) or 1.0
    np.maximum(sizes, _TINY, out=sizes)
    return np.square(sizes, out=sizes), indices, starts, n


def _data(matrix):
    return matrix.data if sp.issparse(matrix) else matrix


def _row_sums(squares, starts):
    # No row is empty: `reduceat` would give such a row the entry behind it.
    return np.add.reduceat(squares, starts[:-1])
