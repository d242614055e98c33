"""Arnoldi's process on the based operator: what GMRES would see, and its polynomial."""

import functools
from dataclasses import dataclass

import numpy as np

from .gmres_engine import harmonic_ritz
from .sums import norm

__all__ = ["Arnoldi", "ArnoldiProbe", "Vectors", "residual_norms"]

_AGAIN = 0.5  # what must be left of a vector, else it is orthogonalised a second time
_EXHAUSTED = 1e-13  # what is left where the Krylov space holds the whole image
_RTOL = 1e-8


class Vectors:
    """Where vectors of length n are, and what only that place can do with them.

    Small matrices are NumPy's everywhere.
    """

    xp = np

    def norm(self, x):
        """Return the Euclidean length of a vector.

        Parameters
        ----------
        x : array, shape (n,)
            Finite or not.

        Returns
        -------
        float
            Of BLAS where there is one.
        """
        return float(np.linalg.norm(x))

    def first_norm(self, x):
        """Return the length of a start vector.

        Parameters
        ----------
        x : array, shape (n,)
            Finite.

        Returns
        -------
        float
            Not of BLAS, which may not be held yet: two calls must agree in every bit.
        """
        return norm(x)

    def taken(self, x):
        """Return what a product has returned as an array.

        Parameters
        ----------
        x : object
            Of a product of the caller's.

        Returns
        -------
        array, shape (n,)
            Where the vectors are.
        """
        return np.asarray(x)

    def fetch(self, x):
        """Bring a few numbers to the host.

        Parameters
        ----------
        x : array, shape (k,)
            Coefficients of basis vectors.

        Returns
        -------
        ndarray, shape (k,)
            Of NumPy.
        """
        return x

    def send(self, x):
        """Bring a few numbers of the host to where the vectors are.

        Parameters
        ----------
        x : ndarray, shape (k,)
            Coefficients of basis vectors.

        Returns
        -------
        array, shape (k,)
            The same.
        """
        return x


class Arnoldi:
    """Arnoldi's process, a few steps at a time.

    Parameters
    ----------
    product : callable
        Takes a vector, returns S times it.
    start : ndarray, shape (n,)
        Start vector, float64 or complex128.
    most : int
        Steps that there is room for.
    vectors : Vectors, optional
        Where they are; in host memory by default.

    Attributes
    ----------
    n_products : int
        Steps made.
    is_exhausted : bool
        Whether the Krylov space ended: further steps would find nothing.
    """

    def __init__(self, product, start, most, vectors=None):
        self.product = product
        self.vectors = vectors or Vectors()
        most = min(most, start.size)
        self._basis = self.vectors.xp.empty((most + 1, start.size), start.dtype)
        self._entries = np.zeros((most + 1, most), start.dtype)
        self._keep(start, self.vectors.first_norm(start), 0)
        self.n_products = 0
        self.is_exhausted = False

    @property
    def hessenberg(self):
        """The Hessenberg matrix so far, shape (m + 1, m)."""
        m = self.n_products
        return self._entries[: m + 1, :m]

    def extend(self, m):
        """Make steps until there are m.

        Parameters
        ----------
        m : int
            Steps wanted in all; fewer are made where the Krylov space ends.

        Returns
        -------
        Arnoldi
            Itself.

        Raises
        ------
        ValueError
            If a product is not finite.

        Notes
        -----
        A step reads the basis twice, and four times where a vector lies mostly within
        the space that is known.
        """
        m, vectors = min(m, self._entries.shape[1]), self.vectors
        while self.n_products < m and not self.is_exhausted:
            k = self.n_products
            known = self._basis[: k + 1]
            w = vectors.taken(self.product(self._basis[k]))
            before = vectors.norm(w)
            if not np.isfinite(before):
                raise ValueError(
                    f"make: the products of A must be finite; got one of norm {before}."
                )
            left = before
            for _ in range(3):
                # Not known.conj() @ w: that would copy the basis.
                h = (known @ w.conj()).conj()
                w = w - h @ known
                self._entries[: k + 1, k] += vectors.fetch(h)
                before, left = left, vectors.norm(w)
                if left > _AGAIN * before or left <= _EXHAUSTED * before:
                    break
            self.n_products = k + 1
            size = np.linalg.norm(self._entries[: k + 1, k])
            if left <= _EXHAUSTED * size or size == 0:
                self.is_exhausted = True
            else:
                self._entries[k + 1, k] = left
                self._keep(w, left, k + 1)
        return self

    def _keep(self, w, length, k):
        self.vectors.xp.divide(w, length, out=self._basis[k])


@dataclass(frozen=True, eq=False)
class ArnoldiProbe:
    """What the probe of a general matrix has found.

    Attributes
    ----------
    hessenberg : ndarray, shape (m + 1, m)
        Of m steps, in the units of the based operator.
    n : int
        Number of unknowns.
    n_products : int
        Products with A spent on it.
    kind : str
        'gen'.
    """

    hessenberg: np.ndarray
    n: int
    n_products: int
    kind: str = "gen"

    @property
    def n_steps(self) -> int:
        """Number of steps made."""
        return self.hessenberg.shape[1]

    @functools.cached_property
    def residual_norms(self) -> np.ndarray:
        """Residual norms of GMRES on the base alone, see `residual_norms`."""
        return residual_norms(self.hessenberg)

    @functools.cached_property
    def ritz_values(self) -> np.ndarray:
        """Ritz values, by modulus."""
        values = np.linalg.eigvals(self.hessenberg[:-1]).astype(np.complex128)
        return values[np.argsort(np.abs(values), kind="stable")]

    def harmonic_ritz(self, m=None) -> np.ndarray:
        """Return the roots of the residual polynomial of GMRES.

        Parameters
        ----------
        m : int, optional
            After so many steps; all that were made by default.

        Returns
        -------
        ndarray of complex128, shape (at most m,)
            In no order.
        """
        m = self.n_steps if m is None else min(m, self.n_steps)
        return harmonic_ritz(self.hessenberg[: m + 1, :m])

    def __str__(self) -> str:
        sizes = np.abs(self.ritz_values)
        return (
            f"{self.n_steps} steps of Arnoldi, Ritz values of modulus {sizes[0]:.3g} to "
            f"{sizes[-1]:.3g}, residual of GMRES then {self.residual_norms[-1]:.1e}"
        )

    def to_dict(self):
        """Return the probe as plain numbers.

        Returns
        -------
        dict
            Sizes, Ritz values as pairs of real and imaginary part, residual norms.
        """
        values = self.ritz_values
        return {
            "kind": self.kind,
            "n": self.n,
            "n_products": self.n_products,
            "ritz_values": np.column_stack([values.real, values.imag]).tolist(),
            "residual_norms": self.residual_norms.tolist(),
        }


def residual_norms(H):
    """Return how the residual of GMRES falls.

    Parameters
    ----------
    H : ndarray, shape (m + 1, m)
        Hessenberg matrix.

    Returns
    -------
    ndarray, shape (m + 1,)
        After 0, 1, …, m steps, relative to the right-hand side, which is the start
        vector.
    """
    m = H.shape[1]
    norms = np.ones(m + 1)
    # The residual is along the vector y with y* H = 0, y_0 = 1, found row by row.
    y = np.zeros(m + 1, H.dtype)
    y[0] = 1
    length = 1.0
    for k in range(m):
        below = H[k + 1, k]
        y[k + 1] = -(y[: k + 1] @ H[: k + 1, k]) / below if below else np.inf
        length = np.hypot(length, abs(y[k + 1]))
        if not np.isfinite(length):
            norms[k + 1 :] = 0.0
            break
        norms[k + 1] = 1 / length
    return norms
