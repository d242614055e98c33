"""Trials: a few iterations of GMRES with a preconditioner, to see what it is worth."""

import time

import numpy as np

from .arnoldi import Vectors
from .linop import core

__all__ = ["Applied", "trial"]

_FIRST = 3  # iterations of the first cycle
_DONE = 1e-10  # where nothing is left to see


class Applied:
    """M = R p(S) L on stored operator and factors, for vectors.

    Parameters
    ----------
    based : Based
        What p stands on.
    stored : Stored
        The same for the kernel.
    polynomial : RootPolynomial
        The p.
    kernel : str
        That applies it.
    vectors : dtype
        Of the recurrence.
    n_threads : int, optional
        That share the rows.
    """

    def __init__(self, based, stored, polynomial, kernel, vectors, n_threads=1):
        self.based, self.stored, self.vectors = based, stored, vectors
        self.degree = polynomial.degree
        self._run = core(stored, polynomial, kernel, n_threads)
        self._work = tuple(np.empty(based.n, vectors) for _ in range(2))

    def __call__(self, x):
        """Return M x, in double precision."""
        based, stored = self.based, self.stored
        if based.left is not None:
            x = based.left * x
        if based.inner is not None:
            x = based.inner(x)
        x = stored.arranged(np.asarray(x).astype(self.vectors))
        y = stored.restored(self._run(x, self._work)).astype(based.dtype)
        y /= stored.unit
        return y if based.right is None else based.right * y


def trial(product, M, b, n_steps, n_first=_FIRST, vectors=None):
    """Run two short cycles of GMRES and look at the true residual of the second.

    Parameters
    ----------
    product : callable
        Takes a vector, returns A times it.
    M : callable
        The preconditioner, on the left.
    b : ndarray, shape (n,)
        Right-hand side.
    n_steps : int
        Iterations of the second cycle.
    n_first : int, optional
        Of the first cycle.
    vectors : Vectors, optional
        Where they are; in host memory by default.

    Returns
    -------
    decades : float
        By which the true residual fell in the second cycle; -inf where something was
        not finite.
    made : int
        Iterations of it.
    n_applied : int
        Applications of M in all.
    seconds : float
        Of the second cycle.
    grown : float
        Decades by which the first cycle made the true residual larger, at least 0.

    Notes
    -----
    The true residual, because that of GMRES with M on the left is M r: it can fall while
    r grows, which is what a bad M looks like. The first cycle, a few iterations long,
    takes away what any M takes away, and leaves what holds a solve up.
    """
    vectors = vectors or Vectors()
    with np.errstate(all="ignore"):
        x, before = _cycle(product, M, b, min(n_first, b.size), vectors)
        r = b - product(x)
        start, size = vectors.norm(r), vectors.norm(b)
        if not np.isfinite(start):
            return -np.inf, 1, before + 1, 1.0, np.inf
        if start <= _DONE * size:
            return -np.log10(_DONE), before, before + 1, 1.0, 0.0
        began = time.perf_counter()
        x, made = _cycle(product, M, r / start, min(n_steps, b.size), vectors)
        left = vectors.norm(r / start - product(x))
        seconds = time.perf_counter() - began
    decades = -np.log10(max(left, 1e-16)) if np.isfinite(left) else -np.inf
    grown = max(float(np.log10(start / size)), 0.0)
    return float(decades), made, before + made + 2, seconds, grown


def _cycle(product, M, b, n_steps, vectors):
    """Return what GMRES adds to x in a cycle, and the iterations made, at least one."""
    V = vectors.xp.empty((n_steps + 1, b.size), b.dtype)
    H = np.zeros((n_steps + 1, n_steps), b.dtype)
    V[0] = M(b)
    start = vectors.norm(V[0])
    if not (np.isfinite(start) and start > 0):
        return np.nan * b, 1
    V[0] /= start
    made = 0
    for k in range(n_steps):
        w = vectors.taken(M(product(V[k])))
        size = vectors.norm(w)
        if not np.isfinite(size):
            break
        for _ in range(2):
            h = (V[: k + 1] @ w.conj()).conj()
            w = w - h @ V[: k + 1]
            H[: k + 1, k] += vectors.fetch(h)
        left = vectors.norm(w)
        made = k + 1
        if left <= 1e-14 * size:
            break
        H[k + 1, k] = left
        vectors.xp.divide(w, left, out=V[k + 1])
    if made == 0 or not np.isfinite(H).all():
        return np.nan * b, 1
    target = start * np.eye(made + 1, 1)[:, 0]
    y = np.linalg.lstsq(H[: made + 1, :made], target, rcond=None)[0]
    return vectors.send(y) @ V[:made], made
