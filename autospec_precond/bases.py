"""What the polynomial stands on: the operator S whose spectrum it is built for.

With a diagonal D, S = D^(-1/2) A D^(-1/2) and M = D^(-1/2) p(S) D^(-1/2); with a
preconditioner B of the user's, S = B A and M = p(B A) B.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator

__all__ = ["Based", "Inner", "build", "by_columns"]


def by_columns(apply, owner, x):
    """Apply to a block at once where that is promised, else column by column.

    Parameters
    ----------
    apply : callable
        Takes x, or a column of it.
    owner : object
        Whose method `apply` is.
    x : ndarray, shape (n,) or (n, k)
        Vector or block.

    Returns
    -------
    ndarray, shape of `x`
        What `apply` returns.
    """
    if x.ndim == 1 or sp.issparse(owner) or isinstance(owner, (np.ndarray, LinearOperator)):
        return apply(x)
    return np.stack([np.array(apply(column)) for column in x.T], axis=-1)


class Inner:
    """A preconditioner of the user's, as a function of a vector or block.

    Parameters
    ----------
    base : object
        With shape and ``@``, or with solve.
    dtype : dtype
        Type of its input, float64 or complex128: factorisations take no other.
    """

    def __init__(self, base, dtype):
        self.base = base
        self.dtype = dtype

    def __call__(self, x):
        """Return B x, in double precision."""
        x = np.asarray(x, dtype=self.dtype)
        by_product = hasattr(type(self.base), "__matmul__")
        apply = self.base.__matmul__ if by_product else self.base.solve
        return np.asarray(by_columns(apply, self.base, x)).reshape(x.shape)


@dataclass(frozen=True)
class Based:
    """The based operator S, in double precision.

    Attributes
    ----------
    name : str
        'none', 'jacobi' or 'user'.
    matrix : csr_array or ndarray or None
        S where A is explicit and no preconditioner of the user's is involved.
    operator : object with ``@``
        A itself.
    scale : ndarray, shape (n,), or None
        D^(-1/2).
    inner : Inner or None
        The preconditioner B of the user's.
    dtype : dtype
        float64 or complex128.
    """

    name: str
    matrix: object
    operator: object
    scale: np.ndarray | None
    inner: object
    dtype: np.dtype

    @property
    def n(self):
        """Number of rows of A."""
        return self.operator.shape[0]

    def product(self, x):
        """Return S x, without the factor B where there is one.

        Parameters
        ----------
        x : ndarray, shape (n,) or (n, k)
            Vector or block.

        Returns
        -------
        ndarray, shape of `x`
            One product with A per column.
        """
        if self.matrix is not None:
            return self.matrix @ x
        if self.scale is None:
            return by_columns(self.operator.__matmul__, self.operator, x)
        scale = self.scale if x.ndim == 1 else self.scale[:, None]
        return scale * by_columns(self.operator.__matmul__, self.operator, scale * x)

    def composed(self, x):
        """Return S x, with the factor B where there is one.

        Parameters
        ----------
        x : ndarray, shape (n,) or (n, k)
            Vector or block.

        Returns
        -------
        ndarray, shape of `x`
            One product with A per column.
        """
        y = self.product(x)
        return y if self.inner is None else self.inner(y)


def build(operand, base, diagonal):
    """Make the based operator.

    Parameters
    ----------
    operand : operands.Operand
        A, checked.
    base : str or object
        As `checks.check_base` returns it.
    diagonal : ndarray, shape (n,), or None
        Positive; what 'jacobi' scales with.

    Returns
    -------
    Based
        With its own copies of everything that later products need.
    """
    dtype = np.dtype(np.complex128 if operand.dtype.kind == "c" else np.float64)
    if not isinstance(base, str):
        own = operand.operator if operand.matrix is None else operand.matrix.copy()
        return Based("user", None, own, None, Inner(base, dtype), dtype)
    scale = None if base == "none" else 1.0 / np.sqrt(diagonal)
    matrix = operand.matrix
    if sp.issparse(matrix):
        rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        data = matrix.data.astype(dtype)
        if scale is not None:
            data *= scale[rows]
            data *= scale[matrix.indices]
        matrix = sp.csr_array(
            (data, matrix.indices.copy(), matrix.indptr.copy()), shape=matrix.shape
        )
    elif matrix is not None:
        matrix = matrix.astype(dtype)
        if scale is not None:
            matrix *= scale[:, None]
            matrix *= scale
    return Based(base, matrix, operand.operator, scale, None, dtype)
