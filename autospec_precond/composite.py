"""Composite polynomials: one in another, a high degree for few inner products."""

import numpy as np

from .linop import core
from .roots import with_added_roots

__all__ = ["Image", "composite"]

_SWEEPS = 100  # of the root finder; some 10 to 20 do
_CLOSE = 1e-13  # relative change at which roots have been found
_OFF = 1e-6  # by how much a residual polynomial may miss its value at a root
_REAL = 1e-10  # relative imaginary part that is rounding


class Image:
    """S p(S), for vectors: the operator that a second polynomial is made for.

    Parameters
    ----------
    based : Based
        The S.
    stored : Stored
        The same for the kernel.
    polynomial : RootPolynomial
        The p.
    kernel : str
        That applies it.
    vectors : dtype
        Of the recurrence.
    """

    def __init__(self, based, stored, polynomial, kernel, vectors):
        self.based, self.stored, self.vectors = based, stored, vectors
        self._run = core(stored, polynomial, kernel)
        self._work = tuple(np.empty(based.n, vectors) for _ in range(2))

    def __call__(self, x):
        """Return S p(S) x, in double precision."""
        stored = self.stored
        x = stored.arranged(np.asarray(x).astype(self.vectors))
        y = stored.restored(self._run(x, self._work)).astype(self.based.dtype)
        y /= stored.unit
        return self.based.composed(y)


def composite(inner, outer, is_real=False):
    """Return the roots of φ2(1 - φ1(z)), where φ1 has the roots `inner`, φ2 `outer`.

    Parameters
    ----------
    inner : array_like of complex, shape (d1,)
        Distinct.
    outer : array_like of complex, shape (d2,)
        In the units of 1 - φ1, which is τ(S) = S p1(S).
    is_real : bool, optional
        Whether both come in conjugate pairs.

    Returns
    -------
    ndarray of complex128, shape (at least d1 d2,) or None
        In a stable order, with added copies where products of factors grow; None where
        the roots could not be found.

    Notes
    -----
    Each root r of φ2 gives the d1 solutions of φ1(z) = 1 - r. A polynomial of degree
    d1 d2 - 1 so takes d1 + d2 vectors to be kept and orthogonalised, and the second
    process sees an operator whose spectrum the first has drawn together: harmonic Ritz
    values of high degree keep their accuracy.

    References
    ----------
    .. [1] M. Embree, J. A. Loe and R. Morgan, "Polynomial preconditioned Arnoldi with
       stability control", SIAM Journal on Scientific Computing 43, 2021, section 5.
    """
    inner = np.asarray(inner, np.complex128)
    outer = np.asarray(outer, np.complex128)
    if not (np.isfinite(inner).all() and np.isfinite(outer).all()):
        return None
    if is_real:
        outer = outer[outer.imag >= -_REAL * np.abs(outer)]
    found = []
    for r in outer:
        z = _solutions(inner, 1 - r)
        if z is None:
            return None
        if is_real:
            z = _paired(z, abs(r.imag) <= _REAL * abs(r))
            if z is None:
                return None
        found.append(z)
    roots = np.concatenate(found)
    size = np.abs(roots)
    if not np.isfinite(size).all() or size.min() <= _REAL * size.max():
        return None
    return with_added_roots(roots, is_real)


def _solutions(roots, value):
    """Return all z with Π (1 - z/r) = value, by Ehrlich's and Aberth's iteration.

    The product is never expanded: coefficients of such polynomials are worthless.
    """
    z = roots * (1 + 1e-3 * np.exp(1j * np.arange(roots.size)))
    with np.errstate(all="ignore"):
        for _ in range(_SWEEPS):
            product = (1 - z[:, None] / roots).prod(axis=1)
            slope = product * (1 / (z[:, None] - roots)).sum(axis=1)
            newton = (product - value) / slope
            apart = z[:, None] - z
            np.fill_diagonal(apart, np.inf)
            step = newton / (1 - newton * (1 / apart).sum(axis=1))
            step[~np.isfinite(step)] = 0.0
            z = z - step
            if np.abs(step).max() <= _CLOSE * np.abs(z).max():
                break
        missed = np.abs((1 - z[:, None] / roots).prod(axis=1) - value)
    return z if (missed <= _OFF * max(1.0, abs(value))).all() else None


def _paired(z, is_real):
    """Return solutions as real ones and exact pairs, those of a complex value doubled."""
    if not is_real:
        return np.concatenate([z, z.conj()])
    nearly = np.abs(z.imag) <= _REAL * np.abs(z)
    above = z[~nearly & (z.imag > 0)]
    both = np.concatenate([z[nearly].real + 0j, above, above.conj()])
    return both if both.size == z.size else None
