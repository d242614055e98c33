"""Scaling of a Hermitian A by row norms, which need no sign, and bounds that they give."""

import copy
import dataclasses

import numpy as np
import scipy.sparse as sp

from .bases import Based
from .classify import refuse_empty

__all__ = [
    "PASSES",
    "base_of",
    "check_base",
    "is_uneven",
    "largest_row",
    "least_entry",
    "rescaled",
    "row_norms",
]

PASSES = 4  # of equilibration, where one is not enough
_RANGE = 1e100  # of row norms, beyond which squares would overflow
_EVEN_ROWS = 8.0  # ratio of row norms up to which scaling by them gains nothing


def base_of(request):
    """Scale rows and columns by the roots of row norms, which need no sign.

    Parameters
    ----------
    request : Request
        What the caller asked for.

    Returns
    -------
    Based
        Named 'none' where the row norms are about the same, or not known.

    Raises
    ------
    ValueError
        If another base was asked for, or a row has no entries.
    """
    operand, base = request.operand, request.base
    check_base(base)
    dtype = np.dtype(np.complex128 if operand.dtype.kind == "c" else np.float64)
    matrix, scale, name = operand.matrix, None, "none"
    if matrix is not None:
        norms = row_norms(matrix)
        least, most = float(norms.min()), float(norms.max())
        if least == 0:  # of a Hermitian A columns are empty where rows are
            empty = norms == 0
            refuse_empty(empty, empty, "make")
        if base == "equilibrate" or (base is None and is_uneven(least, most)):
            name = "equilibrate"
            scale = np.sqrt(norms)
            np.divide(1.0, scale, out=scale)
    based = Based(
        name, matrix, operand.operator, scale, scale, None, dtype, request.n_threads
    )
    return rescaled(based) if request.state.get("n_scalings", 1) > 1 else based


def check_base(base):
    """Refuse a base that does not suit such a matrix.

    Parameters
    ----------
    base : str, object or None
        As `Request.base`.

    Raises
    ------
    ValueError
        If it is another one than 'none' or 'equilibrate'.
    """
    if base is not None and base not in ("none", "equilibrate"):
        name = base if isinstance(base, str) else type(base).__name__
        raise ValueError(
            "make: base must be 'none' or 'equilibrate' for a Hermitian A that is not "
            f"positive definite; got {name!r}. Diagonals have zeros there, row norms have "
            "none."
        )


def is_uneven(least, most):
    """Tell whether rows are worth being scaled.

    Parameters
    ----------
    least, most : float
        The smallest row norm, and the largest.

    Returns
    -------
    bool
        Also where their squares would overflow.
    """
    return not 1 / _RANGE < most < _RANGE or most > _EVEN_ROWS * least


def rescaled(based):
    """Equilibrate rows and columns further, until both have norms close to one.

    Parameters
    ----------
    based : Based
        As `base_of` returns it, scaled once.

    Returns
    -------
    Based
        Scaled four times.
    """
    scale = based.left.copy()
    sizes = abs(based.source)
    for _ in range(PASSES - 1):
        norms = scale * (sizes @ scale)
        scale /= np.sqrt(np.where(norms > 0, norms, 1.0))
    return dataclasses.replace(based, left=scale, right=scale, n_scalings=PASSES)


def least_entry(based):
    """Return what the largest entry of S certainly reaches, without looking at all.

    Parameters
    ----------
    based : Based
        As `base_of` returns it.

    Returns
    -------
    float
        0 where nothing is known.

    Notes
    -----
    Scaled by row norms d, the row with the largest one has entries |a_ij|/(d_i d_j)^1/2
    that sum to at least one.
    """
    if based.name != "equilibrate":
        return 0.0
    rows = based.source
    if not sp.issparse(rows):
        return 1.0 / based.n
    largest = int(based.left.argmin())
    start, end = rows.indptr[largest : largest + 2].tolist()
    return 1.0 / (end - start)


def row_norms(matrix):
    """Return the sums of moduli of each row.

    Parameters
    ----------
    matrix : csr_array or ndarray
        Explicit.

    Returns
    -------
    ndarray, shape (n,)
        float64.
    """
    if sp.issparse(matrix):
        rows = copy.copy(matrix)  # shares its pattern
        rows.data = np.abs(matrix.data).astype(np.float64, copy=False)
        return rows @ np.ones(matrix.shape[0])
    return np.abs(matrix).sum(axis=1, dtype=np.float64)


def largest_row(based):
    """Return the largest sum of moduli in a row of S.

    Parameters
    ----------
    based : Based
        Of an explicit A.

    Returns
    -------
    float
        Bounds the modulus of the eigenvalues.
    """
    S = based.source if based.left is None else based.matrix
    return float(row_norms(S).max())
