"""Filtered subspaces: thick-restart block Lanczos steps with a Chebyshev polynomial of A.

The polynomial is at most one in modulus on the unwanted part of the spectrum and large on
the wanted one, so that a basis of few vectors holds as much as a Krylov space of many.
"""

from dataclasses import dataclass

import numpy as np

from . import tall
from .polynomial import clenshaw

__all__ = ["Filter", "Subspace"]

_MOST = 2000  # degree of a filter


@dataclass(frozen=True)
class Filter:
    """A Chebyshev polynomial, at most one in modulus on [edge, high], that grows below.

    Attributes
    ----------
    edge, high : float
        The interval, in the units of the eigenvalues.
    degree : int
        Products per application and column.
    """

    edge: float
    high: float
    degree: int

    @classmethod
    def of_growth(cls, edge, high, low, growth):
        """Choose the degree from how much the polynomial is to grow.

        Parameters
        ----------
        edge, high : float
            The interval.
        low : float
            Below `edge`.
        growth : float
            Logarithm of twice the polynomial at `low`.

        Returns
        -------
        Filter
            Of degree 2 to 2000.
        """
        t = 1.0 + 2.0 * max(edge - low, 1e-14 * (high - edge)) / (high - edge)
        degree = int(np.ceil(growth / np.arccosh(t)))
        return cls(edge, high, min(max(degree, 2), _MOST))

    def factors(self, unit, sign):
        """Return the factors of the recurrence.

        Parameters
        ----------
        unit : float
            The operator is `unit` times what is stored.
        sign : float
            -1 for the polynomial of the negative operator.

        Returns
        -------
        ndarray, shape (degree, 4)
            As `autospec_precond.kernels` takes them.
        """
        width = self.high - self.edge
        affine = -2.0 / width * unit * sign, (self.high + self.edge) / width
        return clenshaw([0.0] * self.degree + [1.0], affine)

    def eigenvalues(self, values):
        """Return the eigenvalues that the polynomial has taken to these values.

        Parameters
        ----------
        values : ndarray
            Values of the polynomial; those below one give `edge`.

        Returns
        -------
        ndarray
            At most `edge`.
        """
        t = np.cosh(np.arccosh(np.maximum(values, 1.0)) / self.degree)
        return 0.5 * (self.high + self.edge - (self.high - self.edge) * t)

    def slopes(self, values):
        """Return how fast the polynomial falls where it has these values.

        Parameters
        ----------
        values : ndarray
            Values of the polynomial; those below one count as one.

        Returns
        -------
        ndarray
            Positive; in units of 1/eigenvalue.
        """
        angle = np.arccosh(np.maximum(values, 1.0)) / self.degree
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.sinh(self.degree * angle) / np.sinh(angle)
        ratio = np.where(angle > 0, ratio, self.degree)
        return 2.0 / (self.high - self.edge) * self.degree * ratio


class Subspace:
    """An orthonormal basis V and the filter's matrix in it, grown block by block.

    Parameters
    ----------
    n, size, width : int
        Rows, basis vectors, and columns of a block.
    dtype : dtype
        Of the vectors: float64 or complex128.
    apply : callable
        ``apply(X)`` returns the filter times a block, which may be overwritten.
    rng : numpy.random.Generator
        Source of what is missing in a start block.
    weigh : callable, optional
        The matrix of the inner product times a block.
    n_threads : int, optional
        Threads that share the rows.

    Attributes
    ----------
    V : ndarray, shape (n, size + width)
        The basis; `filled` columns of it.
    T : ndarray
        V* p(A) V, known in the first `known` columns.

    Notes
    -----
    Every new block is made orthogonal to all of the basis: two passes. Restarts keep
    Ritz vectors, and the last block, from which the steps go on.

    References
    ----------
    .. [1] Y. Zhou, Y. Saad, M. L. Tiago and J. R. Chelikowsky, "Self-consistent-field
       calculations using Chebyshev-filtered subspace iteration", J. Comput. Phys. 219,
       2006, pp. 172-184.
    .. [2] K. Wu and H. Simon, "Thick-restart Lanczos method for large symmetric
       eigenvalue problems", SIAM J. Matrix Anal. Appl. 22(2), 2000, pp. 602-616.
    """

    def __init__(self, n, size, width, dtype, apply, rng, weigh=None, n_threads=1):
        self.V = np.empty((n, size + width), dtype, order="F")
        self.T = np.zeros((size + width, size + width), dtype)
        self.size, self.width = size, width
        self.apply, self.rng = apply, rng
        self.weigh, self.n_threads = weigh, n_threads
        self.known = self.filled = 0

    def start(self, kept, block):
        """Begin with Ritz vectors in the first columns, and a block to go on from.

        Parameters
        ----------
        kept : int
            Columns of V that stay; T must be known there.
        block : ndarray, shape (n, k)
            Any vectors; not used any more by the caller.
        """
        self.known = self.filled = kept
        self._add(block)

    def grow(self, size):
        """Make blocks until the basis has `size` vectors, or just above.

        Parameters
        ----------
        size : int
            At most the size of the basis.
        """
        while self.filled <= size:
            lo, hi = self.known, self.filled
            W = self.apply(self.V[:, lo:hi])
            C, R = self._add(W)
            self.T[:hi, lo:hi], self.T[lo:hi, :hi] = C, C.conj().T
            self.T[hi : self.filled, lo:hi] = R
            self.T[lo:hi, hi : self.filled] = R.conj().T
            self.known = hi

    def ritz(self):
        """Return the Ritz values of the filter, the largest first.

        Returns
        -------
        values : ndarray, shape (known,)
            Descending.
        Y : ndarray, shape (known, known)
            Ritz vectors are V Y.
        norms : ndarray, shape (known,)
            Residual norms, in units of the filter.
        """
        m = self.known
        T = self.T[:m, :m]
        values, Y = np.linalg.eigh(0.5 * (T + T.conj().T))
        values, Y = values[::-1], Y[:, ::-1]
        coupling = self.T[m : self.filled, :m] @ Y
        return values, Y, np.linalg.norm(coupling, axis=0)

    def restart(self, values, Y, kept):
        """Keep the first Ritz vectors and the last block.

        Parameters
        ----------
        values, Y : ndarray
            As `ritz` returned them.
        kept : int
            How many.
        """
        m, end = self.known, self.filled
        last = self.V[:, m:end].copy(order="F")
        S = self.T[m:end, :m] @ Y[:, :kept]
        self._keep(values, Y, kept)
        self.filled = kept + last.shape[1]
        self.V[:, kept : self.filled] = last
        self.T[kept : self.filled, :kept] = S
        self.T[:kept, kept : self.filled] = S.conj().T

    def restart_alone(self, values, Y, kept):
        """Keep the first Ritz vectors and nothing else.

        Parameters
        ----------
        values, Y : ndarray
            As `ritz` returned them.
        kept : int
            How many.
        """
        self._keep(values, Y, kept)
        self.filled = kept

    def orthonormalise(self, count):
        """Make the first columns orthonormal again; T is not known any more.

        Parameters
        ----------
        count : int
            How many.
        """
        V, W = self.V[:, :0], self.V[:, :count]
        tall.orthonormalise(V, W, self.rng, self.weigh, self.n_threads)

    def _keep(self, values, Y, kept):
        Y = np.asfortranarray(Y[:, :kept])
        tall.rotate(self.V[:, : self.known], Y, self.V[:, :kept], self.n_threads)
        self.T[...] = 0
        np.fill_diagonal(self.T[:kept, :kept], values[:kept])
        self.known = kept

    def _add(self, W):
        V = self.V[:, : self.filled]
        C, R = tall.orthonormalise(V, W, self.rng, self.weigh, self.n_threads)
        end = self.filled + W.shape[1]
        self.V[:, self.filled : end] = W
        self.filled = end
        return C, R
