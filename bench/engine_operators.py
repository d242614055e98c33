"""Operators that the engine is measured on: blocks of vectors times S and p(S), float64."""

from dataclasses import dataclass

import numba
import numpy as np
import scipy.linalg
from scipy.sparse.linalg import ArpackError, eigsh

__all__ = ["N_RHS", "Diagonal", "Sparse"]

N_RHS = 5  # columns of every block of `Sparse`
_DENSE = 1500  # rows up to which eigenvalues come from LAPACK


@dataclass(frozen=True)
class Sparse:
    """An explicit operator.

    Attributes
    ----------
    S : csr_array, shape (n, n)
        Hermitian, float64 or complex128.
    """

    S: object

    @property
    def n(self):
        """Number of rows."""
        return self.S.shape[0]

    @property
    def dtype(self):
        """Type of the vectors."""
        return self.S.dtype

    def product(self, X):
        """Return S X."""
        return self.S @ X

    def apply(self, polynomial):
        """Return p(S) as a function of a block with `N_RHS` columns.

        Notes
        -----
        Not the package's block kernel: with the number of columns written out a step
        takes half the time (bcsstk24: 0.25 against 0.5 ms).
        """
        if polynomial.degree == 0:
            return lambda R: polynomial.coefficients[0] * R
        steps = polynomial.factors()
        unsigned = np.dtype(f"u{self.S.indices.itemsize}")
        matrix = self.S.indptr.view(unsigned), self.S.indices.view(unsigned), self.S.data
        work = [np.empty((self.n, N_RHS), self.dtype) for _ in range(2)]

        def run(R):
            y, spare = work
            b1 = b2 = R
            for factors in steps:
                _step(*matrix, *map(float, factors), R, b1, b2, y)
                b2, b1, y, spare = b1, y, spare, y
            return b1

        return run

    def largest(self):
        """Return the largest eigenvalue where it is cheap to have, else None."""
        if self.n <= _DENSE:
            top = [self.n - 1] * 2
            return float(scipy.linalg.eigvalsh(self.S.toarray(), subset_by_index=top)[0])
        start = np.random.default_rng(0).standard_normal(self.n).astype(self.dtype)
        settings = {"ncv": 60, "tol": 1e-6, "maxiter": 40, "v0": start}
        try:
            found = eigsh(self.S, 1, which="LA", return_eigenvectors=False, **settings)
        except ArpackError:
            return None
        return float(found[0])


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _step(indptr, indices, data, c, a, b, g, x, b1, b2, y):
    """Set y <- c x + a S b1 + b b1 - g b2 for five columns; y may be b2."""
    for i in range(indptr.size - 1):
        s0 = s1 = s2 = s3 = s4 = y.dtype.type(0)
        for j in range(indptr[i], indptr[i + 1]):
            v, row = data[j], indices[j]
            s0 += v * b1[row, 0]
            s1 += v * b1[row, 1]
            s2 += v * b1[row, 2]
            s3 += v * b1[row, 3]
            s4 += v * b1[row, 4]
        for q, s in enumerate((s0, s1, s2, s3, s4)):
            y[i, q] = c * x[i, q] + a * s + b * b1[i, q] - g * b2[i, q]


@dataclass(frozen=True)
class Diagonal:
    """A diagonal operator.

    Attributes
    ----------
    eigenvalues : ndarray, shape (n,)
        Positive.
    """

    eigenvalues: np.ndarray
    dtype = np.dtype(np.float64)

    @property
    def n(self):
        """Number of rows."""
        return self.eigenvalues.size

    def product(self, X):
        """Return S X."""
        return self.eigenvalues[:, None] * X

    def apply(self, polynomial):
        """Return p(S) as a function of a block."""
        p = polynomial(self.eigenvalues)[:, None]
        return lambda R: p * R

    def largest(self):
        """Return the largest eigenvalue."""
        return float(self.eigenvalues.max())
