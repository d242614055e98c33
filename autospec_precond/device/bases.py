"""What the polynomial stands on: S = D^(-1/2) A D^(-1/2) on a device, not formed."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from .vectors import Steps, scalar

__all__ = ["Based", "Scaled", "build"]


class Scaled:
    """S times a vector in double precision, as `probing.lanczos` takes it.

    Parameters
    ----------
    operator : object with ``@``
        A, explicit or not.
    scale : array, shape (n,), or None
        D^(-1/2).
    xp : module
        Array module.
    dtype : dtype
        Either float64 or complex128.
    """

    def __init__(self, operator, scale, xp, dtype):
        self.operator, self.scale, self.xp, self.dtype = operator, scale, xp, dtype
        self.shape = operator.shape

    def __call__(self, x):
        """Return S x."""
        if self.scale is None:
            return self.xp.array(self.operator @ x, self.dtype)
        y = (self.operator @ (self.scale * x)).astype(self.dtype)
        y *= self.scale
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

    def bounds(self):
        """Bound the spectral radius ever closer; see `probing.rigorous_bound`.

        Yields
        ------
        float
            The least quotient of Collatz and Wielandt, after one product with |S| more.
        """
        xp = self.xp
        magnitude = Scaled(abs(self.operator), self.scale, xp, np.dtype(np.float64))
        x, bound = xp.ones(self.shape[0]), np.inf
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
        'none' or 'jacobi'.
    left : array, shape (n,), or None
        D^(-1/2), float64.
    """

    operand: Any
    name: str
    left: Any

    inner, n_threads, n_scalings, is_congruent = None, None, 1, True

    @property
    def right(self):
        """The same as `left`."""
        return self.left

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
        operator = self.operand.operator
        if self.operand.matrix is not None and operator.dtype != self.dtype:
            operator = operator.astype(self.dtype)
        return Scaled(operator, self.left, self.operand.xp, self.dtype)

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
            S = self.operand.matrix
            if self.left is not None:
                S = self.left[:, None] * S * self.left
            return float(scalar(abs(S).max()))
        return float(scalar(abs(self.values()).max()))

    def values(self):
        """Return the entries of S, row by row, of a sparse A.

        Returns
        -------
        array, shape (nnz,)
            In double precision.
        """
        matrix = self.operand.matrix
        data = matrix.data.astype(self.dtype)
        if self.left is not None:
            data *= self.left[self.rows()]
            data *= self.left[matrix.indices]
        return data

    def rows(self):
        """Return the row of each entry of a sparse A.

        Returns
        -------
        array of int, shape (nnz,)
            Rising.
        """
        xp, matrix = self.operand.xp, self.operand.matrix
        # `repeat` of CuPy takes no array of counts.
        places = xp.arange(matrix.nnz, dtype=matrix.indptr.dtype)
        return xp.searchsorted(matrix.indptr, places, side="right") - 1


def build(operand, base, diagonal):
    """Make the based operator.

    Parameters
    ----------
    operand : operands.Operand
        A, checked.
    base : str
        'none' or 'jacobi'.
    diagonal : array, shape (n,), or None
        Positive; what 'jacobi' scales with.

    Returns
    -------
    Based
        Shares memory with A.
    """
    scale = None if base == "none" else 1.0 / operand.xp.sqrt(diagonal)
    return Based(operand, base, scale)
