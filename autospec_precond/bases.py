"""What the polynomial stands on: the operator S whose spectrum it is built for.

With diagonals L and R, S = L A R and M = R p(S) L; for a Hermitian A both are D^(-1/2).
With a preconditioner B of the user's, S = B A and M = p(B A) B.
"""

import functools
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from .kernels.scaled import Scaled, default_threads, is_large, is_ready

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
        'none', 'jacobi', 'equilibrate' or 'user'.
    source : csr_array or ndarray or None
        A where it is explicit and no preconditioner of the user's is involved.
    operator : object with ``@``
        A itself.
    left, right : ndarray, shape (n,), or None
        The diagonals L and R; one array where S is Hermitian like A.
    inner : Inner or None
        The preconditioner B of the user's.
    dtype : dtype
        float64 or complex128.
    n_threads : int or None
        Threads of a pass over a large A; None for Numba's number.
    n_scalings : int
        Passes of 'equilibrate' that made the diagonals.
    """

    name: str
    source: object
    operator: object
    left: np.ndarray | None
    right: np.ndarray | None
    inner: object
    dtype: np.dtype
    n_threads: int | None = None
    n_scalings: int = 1

    @property
    def is_congruent(self):
        """Whether S is Hermitian where A is."""
        return self.left is self.right

    @property
    def n(self):
        """Number of rows of A."""
        return self.operator.shape[0]

    @functools.cached_property
    def quick(self):
        """S of a large sparse A, as passes over A; None for others."""
        return self._scaled if self.is_congruent and is_large(self.source) else None

    @property
    def ready(self):
        """The same, but also of a small A where nothing waits for a compiler."""
        ready = self.is_congruent and is_ready(self.source)
        return self.quick or (self._scaled if ready else None)

    @functools.cached_property
    def _scaled(self):
        n_threads = 1
        if is_large(self.source):
            n_threads = self.n_threads or default_threads()
        return Scaled(self.source, self.left, n_threads)

    @functools.cached_property
    def matrix(self):
        """S where A is explicit, else None: csr_array or ndarray, a copy.

        Formed when first asked for, which takes the time of several products. Of a large
        sparse A nothing needs it but messages: `quick` does.
        """
        matrix, left, right = self.source, self.left, self.right
        if sp.issparse(matrix):
            data = matrix.data.astype(self.dtype)
            if left is not None:
                data *= np.repeat(left, np.diff(matrix.indptr))
            if right is not None:
                data *= right[matrix.indices]
            indices, indptr = matrix.indices.copy(), matrix.indptr.copy()
            return sp.csr_array((data, indices, indptr), shape=matrix.shape)
        if matrix is not None:
            matrix = matrix.astype(self.dtype)
            if left is not None:
                matrix *= left[:, None]
            if right is not None:
                matrix *= right
        return matrix

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
        if self.quick is not None and x.shape == (self.n,) and x.dtype == self.dtype:
            return self.quick(x)
        formed = vars(self).get("matrix")
        if formed is not None:
            return formed @ x
        rows = (slice(None),) if x.ndim == 1 else (slice(None), None)
        if self.right is not None:
            x = self.right[rows] * x
        y = by_columns(self.operator.__matmul__, self.operator, x)
        return y if self.left is None else self.left[rows] * y

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

    def composed_adjoint(self, x):
        """Return the adjoint of S times x, where A is not explicit and knows its own.

        Parameters
        ----------
        x : ndarray, shape (n,) or (n, k)
            Vector or block.

        Returns
        -------
        ndarray, shape of `x`
            One product with the adjoint of A per column.
        """
        adjoint = aslinearoperator(self.operator).adjoint()
        other = replace(
            self, source=None, operator=adjoint, left=self.right, right=self.left
        )
        return other.product(x)


def build(operand, base, diagonal, n_threads=None):
    """Make the based operator.

    Parameters
    ----------
    operand : operands.Operand
        A, checked.
    base : str or object
        As `checks.check_base` returns it.
    diagonal : ndarray, shape (n,), or None
        Positive; what 'jacobi' scales with.
    n_threads : int, optional
        Threads of a pass over a large A; Numba's number by default.

    Returns
    -------
    Based
        Shares memory with A until `Based.matrix` has been asked for.
    """
    dtype = np.dtype(np.complex128 if operand.dtype.kind == "c" else np.float64)
    if not isinstance(base, str):
        own = operand.operator if operand.matrix is None else operand.matrix.copy()
        return Based("user", None, own, None, None, Inner(base, dtype), dtype)
    scale = None
    if base != "none":
        # In place: the first touch of new memory takes longer than the root.
        scale = np.sqrt(diagonal)
        np.divide(1.0, scale, out=scale)
    matrix = operand.matrix
    return Based(base, matrix, operand.operator, scale, scale, None, dtype, n_threads)
