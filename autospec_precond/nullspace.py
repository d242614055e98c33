"""Null vectors of a singular A: found, or checked, and projected out."""

import copy
import itertools

import numpy as np
import scipy.sparse as sp
from scipy.sparse import csgraph

__all__ = ["Sandwiched", "find", "of_scaled", "projected"]

# Rows whose sums are looked at before A is multiplied by ones; and how many rows take as
# long as that product for each of them.
_SAMPLED, _PER_SAMPLE = 64, 1000
_TOL = {np.dtype("f4"): 1e-5, np.dtype("f8"): 1e-10}
_MOST = 64  # components up to which their null vectors are kept as columns


def find(operand, given, caller):
    """Return null vectors of A: the caller's, or constants on components of its graph.

    Parameters
    ----------
    operand : Operand
        A, Hermitian.
    given : array_like, shape (n, k) or (n,), or None
        What the caller passed.
    caller : str
        Name that the messages start with.

    Returns
    -------
    null : ndarray, shape (n, k), or None
        Orthonormal columns, None where there are none.
    note : str
        A sentence for the report, or an empty text.
    n_products : int
        Products with A spent.

    Raises
    ------
    TypeError, ValueError
        If what the caller passed is no basis of null vectors, with the figure.
    """
    if given is not None:
        null = _orthonormal(operand, given, caller)
        figure, size = _images(operand, null)
        # Without entries the norm of A is not known: its products with ones stand for it.
        if not figure <= _TOL[operand.real_dtype] * size:
            raise ValueError(
                f"{caller}: nullspace must hold null vectors of A; got ||A N|| = "
                f"{figure:.2g} for orthonormal N, where A has entries up to {size:.2g}. "
                "Leave it out, or pass what scipy.linalg.null_space finds."
            )
        k = null.shape[1]
        return null, f"nullspace of {k} vector{'s' * (k > 1)} given: projected out", 1
    if operand.matrix is None or not _may_vanish(operand):
        return None, "", 0
    matrix = operand.matrix
    sums = np.abs(matrix @ np.ones(operand.n, operand.dtype))
    if not _vanish(sums, operand):
        return None, "", 2
    # Strong components of a symmetric graph are its components, without a transpose.
    pattern = matrix if sp.issparse(matrix) else sp.csr_array(matrix)
    k, labels = csgraph.connected_components(pattern, connection="strong")
    if k > _MOST:
        return None, f"A 1 = 0 on {k} components, more than {_MOST}: not projected out", 2
    rows = np.zeros((k, operand.n))
    sizes = 1.0 / np.sqrt(np.bincount(labels, minlength=k))
    places = labels.astype(np.int64) * operand.n + np.arange(operand.n)
    rows.reshape(-1)[places] = sizes[labels]
    where = "" if k == 1 else f" on each of {k} components"
    return rows.T, f"singular: A 1 = 0{where}; constants are projected out", 2


def projected(x, null):
    """Return x without its part along null vectors.

    Parameters
    ----------
    x : ndarray, shape (n,) or (..., n, k)
        Vector, block or stack of blocks; not changed.
    null : ndarray, shape (n, k)
        Orthonormal columns.

    Returns
    -------
    ndarray, shape of `x`
        A new array.
    """
    if x.ndim > 1:
        return x - null @ (null.conj().T @ x)
    # A product with one column takes NumPy four times as long as with one row.
    rows = null.T
    parts = -(rows.conj() @ x)
    y = rows[0] * parts[0] if len(rows) == 1 else parts @ rows
    y += x
    return y


class Sandwiched:
    """The operator P D P of a diagonal D and the projector P off null vectors.

    Parameters
    ----------
    diagonal : ndarray, shape (n,)
        Of D, real.
    null : ndarray, shape (n, k)
        Orthonormal columns N.
    dtype : dtype
        Of the vectors that it will be applied to.

    Notes
    -----
    P D P = D - V W with W = (N, D N)* and V of the same size: two passes over 2 k rows,
    where projecting twice takes twice as long.
    """

    def __init__(self, diagonal, null, dtype):
        rows = null.T
        k = len(rows)
        image = rows * diagonal
        self.diagonal = diagonal
        self._conjugates = np.concatenate((rows, image)).conj().astype(dtype, copy=False)
        inside = self._conjugates[:k] @ image.T  # N* D N, rows for its columns below
        self._rows = np.concatenate((image - inside.T @ rows, rows))
        self._rows = self._rows.astype(dtype, copy=False)

    def __call__(self, x):
        """Return P D P x for a vector x."""
        y = self.diagonal * x
        y -= (self._conjugates @ x) @ self._rows
        return y


def of_scaled(null, scale):
    """Return null vectors of S = D^(-1/2) A D^(-1/2) from those of A.

    Parameters
    ----------
    null : ndarray, shape (n, k)
        Of A.
    scale : ndarray, shape (n,), or None
        D^(-1/2).

    Returns
    -------
    ndarray, shape (n, k)
        Orthonormal columns.
    """
    if scale is None:
        return null
    null = null / scale[:, None]
    if (np.count_nonzero(null, axis=1) <= 1).all():  # constants, apart from each other
        return null / np.linalg.norm(null, axis=0)
    return np.linalg.qr(null)[0]


def _may_vanish(operand):
    """Tell from a few rows whether all row sums may be zero."""
    matrix, tol = operand.matrix, _TOL[operand.real_dtype]
    last, n_sampled = operand.n - 1, min(_SAMPLED, operand.n // _PER_SAMPLE)
    rows = (last * k // n_sampled for k in range(1, n_sampled))
    for i in itertools.chain((0, last), rows):  # where boundaries are it is seen at once
        sparse = sp.issparse(matrix)
        row = matrix.data[matrix.indptr[i] : matrix.indptr[i + 1]] if sparse else matrix[i]
        if not abs(np.add.reduce(row)) <= tol * np.add.reduce(np.abs(row)):
            return False
    return True


def _vanish(sums, operand):
    """Tell whether moduli of row sums are rounding, next to the entries of their rows."""
    tol, known = _TOL[operand.real_dtype], operand.known
    if known is not None and known.all() and (sums <= tol * np.abs(known)).all():
        return True  # without a pass over the entries
    sizes = _row_norms(operand.matrix)
    return (sums <= tol * sizes).all() and sizes.all()


def _row_norms(matrix):
    if sp.issparse(matrix):
        rows = copy.copy(matrix)  # shares its pattern
        rows.data = np.abs(matrix.data)
        return rows @ np.ones(matrix.shape[0])
    return np.abs(matrix).sum(axis=1)


def _orthonormal(operand, given, caller):
    N = np.asarray(given)
    if N.ndim == 1:
        N = N[:, None]
    if N.dtype.kind not in "biufc" or N.ndim != 2 or N.shape[0] != operand.n:
        raise TypeError(
            f"{caller}: nullspace must be numbers of shape ({operand.n}, k); got {N.dtype} "
            f"of shape {np.shape(given)}."
        )
    if not 0 < N.shape[1] < operand.n or not np.isfinite(N).all():
        raise ValueError(
            f"{caller}: nullspace must hold between 1 and {operand.n - 1} finite columns; "
            f"got shape {N.shape} with {np.count_nonzero(~np.isfinite(N))} non-finite "
            "entries."
        )
    if N.dtype.kind == "c" and operand.dtype.kind != "c":
        raise TypeError(f"{caller}: nullspace must be real for a real A; got {N.dtype}.")
    sizes = np.linalg.norm(N, axis=0)
    Q, R = np.linalg.qr(N / np.where(sizes > 0, sizes, 1.0))
    least = float(np.abs(np.diag(R)).min())
    if not least > 1e-10:
        raise ValueError(
            f"{caller}: nullspace must have independent columns; got a column within "
            f"{least:.1e} of what the others span. Leave it out."
        )
    return Q


def _images(operand, null):
    """Return the norm of A N, and the size of A's entries or products."""
    image = np.stack([np.asarray(operand.operator @ v).reshape(-1) for v in null.T], -1)
    figure = float(np.linalg.norm(image, axis=0).max())
    if operand.matrix is None:
        x = np.random.default_rng(0).standard_normal(operand.n).astype(operand.dtype)
        image = np.asarray(operand.operator @ (x / np.linalg.norm(x)))
        return figure, float(np.linalg.norm(image))
    data = operand.matrix.data if sp.issparse(operand.matrix) else operand.matrix
    return figure, float(np.abs(data).max(initial=0.0))
