"""What the polynomial stands on: S = L A R on a device, not formed.

For a Hermitian A both diagonals are D^(-1/2), one array.
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from .vectors import FusedSteps, Steps, scalar

__all__ = ["Based", "Explicit", "Scaled", "build"]


class Scaled:
    """S times a vector in double precision, as `probing.lanczos` takes it.

    Parameters
    ----------
    operator : object with ``@``
        A, explicit or not.
    left, right : array, shape (n,), or None
        The diagonals L and R.
    xp : module
        Array module.
    dtype : dtype
        Either float64 or complex128.
    """

    def __init__(self, operator, left, right, xp, dtype):
        self.operator, self.xp, self.dtype = operator, xp, dtype
        self.left, self.right = left, right
        self.shape = operator.shape

    def __call__(self, x):
        """Return S x."""
        y = self.operator @ (x if self.right is None else self.right * x)
        y = self.xp.array(y, self.dtype)  # an operator may return what it keeps
        if self.left is not None:
            y *= self.left
        return y

    def steps(self, start, image=None):
        """Begin Lanczos steps; see `probing.lanczos`.

        Parameters
        ----------
        start : array, shape (n,)
            Start vector.
        image : array, shape (n,), optional
            S times it.

        Returns
        -------
        Steps
            The vectors of these steps.
        """
        return Steps(self, start, image)

    def magnitude(self):
        """Return |S|, its entries the moduli of those of S, where A is explicit.

        Returns
        -------
        Scaled
            For real vectors; L and R must be positive.
        """
        operator, double = abs(self.operator), np.dtype(np.float64)
        return Scaled(operator, self.left, self.right, self.xp, double)

    def bounds(self):
        """Bound the spectral radius ever closer; see `probing.rigorous_bound`.

        Yields
        ------
        float
            The least quotient of Collatz and Wielandt, after one product with |S| more.
        """
        return _bounds(self.magnitude(), self.xp, self.shape[0])


class Explicit:
    """S times a vector where its entries are known: one launch.

    Parameters
    ----------
    values : array, shape (nnz,)
        Entries of S, in double precision.
    matrix : csr_matrix
        A, for its pattern.
    library : kernels.Fused
        The kernels.
    """

    def __init__(self, values, matrix, library):
        self.values, self.matrix, self.library = values, matrix, library
        self.dtype, self.shape, self.xp = values.dtype, matrix.shape, library.xp
        self.plan = library.plan(values, matrix)

    def __call__(self, x):
        """Return S x."""
        return self.less(x, 0.0, None)

    def less(self, x, b, before):
        """Return S x - b times another vector.

        Parameters
        ----------
        x : array, shape (n,)
            Of the type of S.
        b : float
            0 where there is none.
        before : array, shape (n,), or None
            The other.

        Returns
        -------
        array, shape (n,)
            A new one.
        """
        y = self.xp.empty(self.shape[0], self.dtype)
        before = x if before is None else before
        self.plan.step(np.array([0.0, 1.0, 0.0, b]), x, x, before, y)
        return y

    def steps(self, start, image=None):
        """Begin Lanczos steps; see `probing.lanczos`.

        Parameters
        ----------
        start : array, shape (n,)
            Start vector.
        image : array, shape (n,), optional
            S times it.

        Returns
        -------
        FusedSteps
            The vectors of these steps.
        """
        return FusedSteps(self, start, image, self.library)

    def magnitude(self):
        """Return |S|; see `Scaled.magnitude`.

        Returns
        -------
        Explicit
            For real vectors.
        """
        return Explicit(abs(self.values), self.matrix, self.library)

    def bounds(self):
        """Bound the spectral radius ever closer; see `probing.rigorous_bound`.

        Yields
        ------
        float
            The least quotient of Collatz and Wielandt, after one product with |S| more.
        """
        return _bounds(self.magnitude(), self.xp, self.shape[0])


def _bounds(magnitude, xp, n):
    x, bound = xp.ones(n), np.inf
    while True:
        y = magnitude(x)
        bound = min(bound, float(scalar((y / x).max())))
        yield bound
        # Rows of very small quotients would make x leave the positive numbers.
        x = xp.maximum(y / bound, 1e-3 * x)


@dataclass(frozen=True)
class Based:
    """The based operator S on a device; as `autospec_precond.bases.Based` for the choice.

    Attributes
    ----------
    operand : operands.Operand
        A.
    name : str
        'none', 'jacobi' or 'equilibrate'.
    left, right : array, shape (n,), or None
        The diagonals L and R, float64; one array where S is Hermitian like A.
    library : kernels.Plain
        The kernels.
    n_scalings : int
        Passes that made the diagonals.
    """

    operand: Any
    name: str
    left: Any
    right: Any
    library: Any
    n_scalings: int = 1

    inner, n_threads = None, None

    @property
    def is_congruent(self):
        """Whether S is Hermitian where A is."""
        return self.left is self.right

    @property
    def n(self):
        """Number of rows of A."""
        return self.operand.n

    @property
    def dtype(self):
        """The type of a probe: float64 or complex128."""
        return self.operand.double

    @property
    def source(self):
        """A where it is explicit."""
        return self.operand.matrix

    matrix = source  # what the choice asks for is whether there is one

    @functools.cached_property
    def product(self):
        """S in double precision."""
        if self.operand.is_sparse and self.library.name == "fused":
            return Explicit(self.values, self.operand.matrix, self.library)
        operator = self.operand.operator
        if self.operand.matrix is not None and operator.dtype != self.dtype:
            operator = operator.astype(self.dtype)
        return Scaled(operator, self.left, self.right, self.operand.xp, self.dtype)

    @property
    def composed(self):
        """The same: there is no base of the caller's on a device."""
        return self.product

    @property
    def quick(self):
        """The same of an explicit A: what has a rigorous bound."""
        return None if self.source is None else self.product

    ready = quick

    def largest(self):
        """Return the largest entry of S, of an explicit A.

        Returns
        -------
        float
            In the units of S.
        """
        if not self.operand.is_sparse:
            return float(scalar(abs(self.dense()).max()))
        return float(scalar(abs(self.values).max()))

    def asymmetry(self):
        """Return the largest entry of S - S*, of an explicit A.

        Returns
        -------
        float
            Takes a transpose: for where two products leave a doubt.
        """
        matrix = self.operand.matrix
        if self.operand.is_sparse:
            parts = self.values, matrix.indices, matrix.indptr
            S = type(matrix)(parts, shape=matrix.shape)
            difference = abs((S - S.conj().T.tocsr()).data)
        else:
            S = self.dense()
            difference = abs(S - S.conj().T)
        return float(scalar(difference.max())) if difference.size else 0.0

    @functools.cached_property
    def values(self):
        """S of a sparse A, entry by entry: row by row, in double precision."""
        matrix = self.operand.matrix
        return self.library.entries(matrix, self.left, self.right, self.dtype)

    def dense(self):
        """Return S of a dense A, in double precision.

        Returns
        -------
        array, shape (n, n)
            A new one.
        """
        S = self.operand.matrix.astype(self.dtype)
        if self.left is not None:
            S *= self.left[:, None]
        if self.right is not None:
            S *= self.right
        return S


def build(operand, base, diagonal, library):
    """Make the based operator.

    Parameters
    ----------
    operand : operands.Operand
        A, checked.
    base : str
        'none' or 'jacobi'.
    diagonal : array, shape (n,), or None
        Positive; what 'jacobi' scales with.
    library : kernels.Plain
        The kernels.

    Returns
    -------
    Based
        Shares memory with A.
    """
    scale = None if base == "none" else 1.0 / operand.xp.sqrt(diagonal)
    return Based(operand, base, scale, scale, library)
