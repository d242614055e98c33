"""A few extreme eigenpairs of a large Hermitian matrix, in the words of `eigsh`."""

import functools
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy.linalg
from scipy.sparse.linalg import ArpackNoConvergence

from . import checks, density, pencil
from .subspace import Filter, Subspace

__all__ = ["filtered_eigsh"]

# Units of rounding of A's precision that no residual is promised below, relative to the
# largest eigenvalue in modulus.
_FLOOR = 1000

_N_STEPS = (100, 300, 900)  # of Lanczos, until they resolve the edge of the filter
_BEYOND = 1.5  # times k eigenvalues are to lie below the edge
_GROWTH = 10.0  # logarithm of twice the filter at the smallest eigenvalue
_FIRST = 150, 600  # most of the degree of the first filter, its edge a guess or not
_SMOOTH = 64  # degree of the filter that takes away rounding
_BETTER = 1.5  # times the degree, for which a filter is exchanged

# Matrices for which all eigenvalues take no longer, and the most rows that a dense matrix
# may have that steps in vain give way to.
_SMALL, _DENSE = 400, 5000
_DEAR = 0.5  # times n³ operations of ours take as long as all eigenvalues


def filtered_eigsh(
    A: Any,
    k: int = 6,
    M: Any = None,
    *,
    which: Literal["SA", "LA"] = "SA",
    v0: npt.ArrayLike | None = None,
    maxiter: int | None = None,
    tol: float = 0,
    return_eigenvectors: bool = True,
    rng: int | np.random.Generator | None = 0,
) -> Any:
    """Find the k smallest or largest eigenvalues of A v = λ M v, and their vectors.

    Parameters
    ----------
    A : sparse array or matrix, ndarray, LinearOperator or object, shape (n, n)
        Hermitian, definite or not; not changed.
    k : int, optional
        Number of eigenpairs, below n.
    M : sparse array or matrix, or ndarray, shape (n, n), optional
        Mass matrix, Hermitian positive definite: it is factorised once, or only scaled
        with where it is diagonal.
    which : {'SA', 'LA'}, optional
        The smallest or the largest, counted with their signs.
    v0 : array_like, shape (n,), optional
        One of the start vectors; the others are random.
    maxiter : int, optional
        Restarts allowed, 300 by default.
    tol : float, optional
        Relative accuracy of the eigenvalues; 0 asks for what rounding allows.
    return_eigenvectors : bool, optional
        Whether to return them, too.
    rng : int, numpy.random.Generator or None, optional
        Source of the start vectors; two calls with the default agree.

    Returns
    -------
    w : ndarray, shape (k,)
        Eigenvalues, ascending.
    v : ndarray, shape (n, k)
        Eigenvectors, ``v.conj().T @ M @ v`` the identity; in A's precision.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it must be.
    ArpackNoConvergence
        If the promise could not be kept; holds the pairs for which it is, as with `eigsh`.

    See Also
    --------
    scipy.sparse.linalg.eigsh : Other ends, and shift-invert.

    Notes
    -----
    The promise: ``‖A v - λ M v‖ <= max(tol |λ|, 1000 eps ‖A‖)`` in the norm of the
    inverse of M, for v of length one in that of M; ‖A‖ is the largest |λ| of the pencil
    and eps that of A's precision. An eigenvalue lies at least as near to each w. The
    residuals are computed from the vectors at the end, in double precision.

    A Chebyshev polynomial of A (of M⁻¹ A) that is small on all but the wanted end is
    applied to blocks, in threads and in the fused kernels. 100 to 900 Lanczos steps tell
    where that end begins: a count of eigenvalues by quadrature. A thick-restart block
    Lanczos method finds the largest eigenvalues of the polynomial. At the end
    random vectors look for what was missed: eigenvalues of a multiplicity above the width
    of a block (8; 4 where k is below 12) are found by those.

    Memory: 2 k + 18 widths vectors at most beside the result and a copy of A. A small A,
    and one of which a large part is wanted, is handed to `scipy.linalg.eigh`; so is one of
    up to 5000 rows when steps have cost as much.

    References
    ----------
    .. [1] Y. Zhou, Y. Saad, M. L. Tiago and J. R. Chelikowsky, "Self-consistent-field
       calculations using Chebyshev-filtered subspace iteration", J. Comput. Phys. 219,
       2006, pp. 172-184.
    .. [2] T. Liu, O. Balabanov, K. Yang and M. W. Mahoney, "Learning to discover
       iterative spectral algorithms", arXiv:2602.09530, 2026, section on filters.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from autospec_precond.eigenfilter import filtered_eigsh
    >>> A = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(900, 900))
    >>> w, v = filtered_eigsh(A, k=3)
    >>> (1e6 * w).round(2)
    array([ 12.16,  48.63, 109.42])
    """
    caller = "filtered_eigsh"
    checks.check_choice(which, "which", ("SA", "LA"), caller)
    tol = checks.check_tolerance(tol, "tol", caller)
    n_restarts = 300 if maxiter is None else checks.check_count(maxiter, "maxiter", caller)
    rng = checks.as_rng(rng, caller)
    problem = pencil.Pencil(A, M, rng, caller)
    n = problem.n
    k = checks.check_pairs(k, n, "k", caller)
    start = None
    if v0 is not None:
        start = problem.start(checks.as_right_hand_side(v0, n, caller, "v0"), caller)
    sign = 1.0 if which == "SA" else -1.0
    accept = functools.partial(_accepted, tol, _FLOOR * np.finfo(problem.dtype).eps)
    if problem.is_explicit and (n <= _SMALL or (5 * k >= n and n <= _DENSE)):
        w, v = _dense(problem, k, which)
    else:
        search = _Search(problem, k, sign, accept, rng, start)
        w, v = search.run(n_restarts)
        if w is None:
            w, v = _dense(problem, k, which)
        elif w.size < k:
            raise ArpackNoConvergence(
                f"{caller}: the residuals must fall below the promise within maxiter "
                f"restarts; got {w.size} of {k} pairs after {search.n_restarts}. Raise "
                "maxiter or tol.",
                w,
                problem.finish(v),
            )
    if not return_eigenvectors:
        return w.astype(problem.real_dtype)
    return w.astype(problem.real_dtype), problem.finish(v)


def _accepted(tol, floor, values, scale):
    """Return how large the residuals may be."""
    return np.maximum(tol * np.abs(values), floor * scale)


def _dense(problem, k, which):
    first = 0 if which == "SA" else problem.n - k
    w, v = scipy.linalg.eigh(*problem.dense(), subset_by_index=(first, first + k - 1))
    return w, problem.stored.arranged(v)


class _Search:
    """Eigenpairs by restarts of a filtered subspace; the edge of the filter is moved.

    Here the wanted eigenvalues are the smallest ones of `sign` times the operator.
    """

    def __init__(self, problem, k, sign, accept, rng, start):
        self.problem, self.k, self.sign = problem, k, sign
        self.accept, self.rng, self.start = accept, rng, start
        self.width = 4 if k < 12 else 8
        self.size = max(2 * k, k + 12 * self.width)
        for n_steps in _N_STEPS:
            found = density.estimate(problem.based, n_steps, rng)
            self.found = found if sign > 0 else found.reversed()
            if self.found.resolved < k:
                break
        self.scale = max(abs(found.low), abs(found.high))
        self.filter = self._first_filter()
        self.n_restarts, self.work = 0, 0.0
        self.tighter = 0.5

    def _first_filter(self):
        found, high = self.found, self.found.high
        low = float(found.values[0])
        # Where all eigenvalues are one any interval above it will do.
        high = max(high, low + 1e-8 * (abs(low) or 1.0))
        edge = max(found.below(_BEYOND * self.k), low)
        # A cluster at the end that the steps have not resolved: the edge comes down later.
        most = _FIRST[found.resolved < self.k]
        least = 0.5 * (high - low) * (np.cosh(_GROWTH / most) - 1.0)
        return Filter.of_growth(max(edge, low + least), high, low, _GROWTH)

    def run(self, n_restarts):
        """Return eigenvalues and vectors that keep the promise; None to give up."""
        problem, k = self.problem, self.k
        space = Subspace(
            problem.n,
            self.size,
            self.width,
            problem.vector_dtype,
            self._apply,
            self.rng,
            problem.weigh,
            problem.n_threads,
        )
        block = self._random()
        if self.start is not None:
            block[:, 0] = self.start
        space.start(0, block)
        age = 0  # restarts since the filter was exchanged
        for self.n_restarts in range(1, n_restarts + 1):
            space.grow(self.size)
            values, Y, norms = space.ritz()
            if not np.isfinite(values).all():
                return np.empty(0), space.V[:, :0]
            age += 1
            done = self._converged(values[:k], norms[:k])
            if done.all():
                if not self._is_complete(space, values, Y):
                    continue
                w, good = self._settle(space)
                above = self._is_above(w)
                if good.all() and not above:
                    return w, space.V[:, :k]
                if not above and (self.tighter < 1e-3 or self.n_restarts == n_restarts):
                    return w[good], space.V[:, np.flatnonzero(good)]
                self.tighter *= 1.0 if above else 0.2
                # What T holds does not belong to these vectors any more.
                G = self.rng.standard_normal((k, self.width))
                space.start(0, self._random() if above else space.V[:, :k] @ G)
                continue
            better = self._better(values, age)
            if self._is_dear(better):
                return None, None
            if self.n_restarts == n_restarts:
                break
            if better is not None:
                block = self._mixture(space, Y)
                self.filter, age = better, 0
                space.start(0, block)
                continue
            kept = min(k + (np.count_nonzero(done) + space.known - k) // 2, self.size - 1)
            space.restart(values, Y, min(kept, space.known - self.width))
        space.grow(self.size)
        values, Y, _ = space.ritz()
        space.restart_alone(values, Y, k)
        w, good = self._settle(space)
        good &= self.sign * w <= self.filter.edge
        return w[good], space.V[:, np.flatnonzero(good)]

    def _random(self):
        block = self.rng.standard_normal((self.problem.n, self.width))
        if self.problem.vector_dtype.kind == "c":
            block = block + 1j * self.rng.standard_normal(block.shape)
        return block

    def _apply(self, X):
        self.work += X.shape[1] * self.filter.degree * self.problem.product_work
        self.work += 8.0 * X.shape[1] * self.problem.n * self.size
        return self.problem.apply(self.filter.factors, self.sign, X)

    def _converged(self, values, norms):
        now = self.filter
        eigenvalues = now.eigenvalues(values)
        allowed = self.tighter * self.accept(eigenvalues, self.scale)
        # A residual of the filter may lie near the eigenvalue, or far from it.
        far = (values - 1) / (now.high - eigenvalues)
        return norms <= allowed * np.minimum(now.slopes(values), far)

    def _is_dear(self, better):
        """Say whether all eigenvalues would take no longer, the next filter included."""
        n = self.problem.n
        work = self.work
        if better is not None:
            work += self.size * better.degree * self.problem.product_work
        return self.problem.is_explicit and n <= _DENSE and work > _DEAR * n**3

    def _better(self, values, age):
        """Return a better filter, or None."""
        k, old = self.k, self.filter
        low = float(old.eigenvalues(values[:1])[0])
        target = min(int(_BEYOND * k), values.size - 1)
        if values[k - 1] <= 1 and age >= 2:  # too few eigenvalues below the edge
            n_below = max(np.count_nonzero(values > 1), 1)
            factor = max(1.3, _BEYOND * k / n_below)
            low = min(low, old.edge)
            step = max(old.edge - low, 1e-12 * (old.high - low))
            edge = min(low + factor * step, 0.5 * (low + old.high))
            return Filter.of_growth(edge, old.high, low, _GROWTH)
        if values[target] <= 1 or values[k - 1] <= 1:
            return None
        edge = float(old.eigenvalues(values[target : target + 1])[0])
        new = Filter.of_growth(edge, old.high, low, _GROWTH)
        return new if new.degree > _BETTER * old.degree else None

    def _mixture(self, space, Y):
        """Return a block in which all wanted vectors have a part."""
        kept = min(2 * self.k, space.known)
        G = self.rng.standard_normal((kept, self.width))
        return space.V[:, : space.known] @ (Y[:, :kept] @ G)

    def _is_complete(self, space, values, Y):
        """Look with random vectors for eigenvalues that the basis has missed."""
        k = self.k
        space.restart_alone(values, Y, k)
        space.start(k, self._random())
        space.grow(k + 3 * self.width)
        again, Y, _ = space.ritz()
        # All of them: behind one that was missed the last may stay what it was.
        if (again[:k] <= values[:k] + 1e-6 * np.abs(values[:k])).all():
            return True
        space.restart(again, Y, min(k + self.width, space.known - self.width))
        return False

    def _settle(self, space):
        """Make the first columns Ritz vectors of A; return values, and which are good."""
        w, residuals = self._rayleigh_ritz(space)
        good = residuals <= self.accept(w, self.scale)
        if not good.all():
            self._smooth(space)
            w, residuals = self._rayleigh_ritz(space)
            good = residuals <= self.accept(w, self.scale)
        return w, good

    def _smooth(self, space):
        """Take what rounding of a high degree has left far from the wanted eigenvalues."""
        now, V, k = self.filter, space.V, self.k
        width = now.high - self.found.low
        edge = now.edge + 0.5 * width * (np.cosh(_GROWTH / _SMOOTH) - 1.0)
        if not edge < 0.5 * (now.edge + now.high):
            return
        self.filter = Filter(edge, now.high, _SMOOTH)
        for j in range(0, k, self.width):
            columns = slice(j, min(j + self.width, k))
            V[:, columns] = self._apply(V[:, columns])
        self.filter = now
        space.orthonormalise(k)

    def _rayleigh_ritz(self, space):
        problem, k, V = self.problem, self.k, space.V
        H = np.empty((k, k), V.dtype)
        blocks = [slice(j, min(j + self.width, k)) for j in range(0, k, self.width)]
        for columns in blocks:
            H[:, columns] = problem.inner(V[:, :k], problem.product(V[:, columns]))
        w, Z = np.linalg.eigh(0.5 * (H + H.conj().T))
        problem.rotate(V[:, :k], np.asfortranarray(Z), V[:, :k])
        residuals = np.empty(k)
        for columns in blocks:
            R = problem.product(V[:, columns]) - V[:, columns] * w[columns]
            residuals[columns] = problem.lengths(R)
        return w, residuals

    def _is_above(self, w):
        """Raise the upper end where an eigenvalue above it has come up; say if so."""
        top = float((self.sign * w).max())
        if top <= self.filter.edge + 1e-6 * (self.filter.high - self.filter.edge):
            return False
        low = float((self.sign * w).min())
        high = top + 0.02 * (top - low)
        self.filter = Filter.of_growth(self.filter.edge, high, low, _GROWTH)
        return True
