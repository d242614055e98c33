"""Conjugate gradients behind `M.solve`: fused kernels, and a promise about the residual."""

import math

import numpy as np

from . import checks
from .kernels import chunks
from .kernels.arrays import alias
from .kernels.layout import power_of_two

__all__ = ["NOT_DEFINITE_A", "NOT_DEFINITE_M", "solve"]

# `info` of a breakdown.
NOT_DEFINITE_A = -1
NOT_DEFINITE_M = -2

# Squares of vectors of this size neither over- nor underflow in float64.
_SAFE_RANGE = 1e100

# Below this part of ||b|| the recursive residual says nothing of the true one.
_FLOOR = 0.1


def solve(product, apply_into, lend, b, x0, *, rtol, atol, maxiter, callback):
    """Solve A x = b by preconditioned conjugate gradients.

    Parameters
    ----------
    product : products.MatrixProduct
        A, Hermitian positive definite.
    apply_into : callable
        ``apply_into(r, z)`` writes M r into z; M Hermitian positive definite.
    lend : callable
        ``lend(b)`` is a context manager: the inside of M, for residuals like b, or None.
    b : array_like, shape (n,) or (n, k)
        Right-hand side, or a block of them.
    x0 : array_like, shape of `b`, or None
        Where to start; zero by default.
    rtol, atol : float
        Stop where ``||b - A x|| <= max(rtol ||b||, atol)``.
    maxiter : int or None
        10 n by default.
    callback : callable or None
        Called with the solution so far after each iteration.

    Returns
    -------
    x : ndarray, shape of `b`
        The solution.
    info : int
        0 where the promise holds for all columns.

    Raises
    ------
    TypeError, ValueError
        In one sentence, before any work.

    See Also
    --------
    autospec_precond.PolynomialPreconditioner.solve : What it does, for users.

    Notes
    -----
    Four vectors of the length of b: x, r, p, and one that A p and M r share. Columns of a
    block run in step, with scalars of their own, and leave the block when they end.

    Where M lends its inside r is kept there, scaled and in M's order, and A p takes memory
    of M's, too. That r only says when to look at the true residual, as the other does.

    References
    ----------
    .. [1] Y. Saad, "Iterative Methods for Sparse Linear Systems", 2nd ed., SIAM,
       2003, section 9.2.
    .. [2] H. A. van der Vorst and Q. Ye, "Residual replacement strategies for Krylov
       subspace iterative methods for the convergence of true residuals", SIAM J. Sci.
       Comput. 22, 2000, pp. 835-852.
    """
    n = product.shape[0]
    b = checks.as_right_hand_side(b, n, "solve")
    if x0 is not None:
        x0 = checks.as_start(x0, b, "solve")
        if x0.dtype.kind == "c" and np.result_type(product.dtype, b.dtype).kind != "c":
            raise TypeError(
                "solve: x0 must be real where A and b are; got a complex x0. Pass x0.real."
            )
    rtol = checks.check_tolerance(rtol, "rtol", "solve")
    atol = checks.check_tolerance(atol, "atol", "solve")
    maxiter = 10 * n if maxiter is None else checks.check_count(maxiter, "maxiter", "solve")
    if callback is not None and not callable(callback):
        raise TypeError(
            f"solve: callback must be callable or None; got {type(callback).__name__}."
        )
    dtype = np.result_type(product.dtype, b.dtype)
    if dtype.char not in "fdFD":  # longer than our kernels know
        dtype = np.dtype(np.complex128 if dtype.kind == "c" else np.float64)
    if b.size == 0:
        return np.zeros(b.shape, dtype), 0
    shape = b.shape
    if shape[1:] == (1,):  # a vector, which takes the faster kernels
        b, x0 = b[:, 0], None if x0 is None else x0[:, 0]
    units = _units(b)
    scaled = (units != 1).any()
    b = alias(np.ascontiguousarray(b / units if scaled else b, dtype))
    x = np.zeros(b.shape, dtype)
    if x0 is not None:
        np.divide(x0, units, out=x, casting="same_kind")

    def _seen():
        callback((x * units if scaled else x).reshape(shape))

    with lend(b) as inside:
        if inside is None:
            run = _Run(product, apply_into, b, x, rtol, atol / units)
        else:
            run = _Inside(product, inside, b, x, rtol, atol / units)
        info = run.iterate(maxiter, None if callback is None else _seen)
    if scaled:
        x *= units
    return x.reshape(shape), info


def _units(b):
    """Return powers of two, one per column, that bring b into a safe range."""
    parts = (b.real, b.imag) if b.dtype.kind == "c" else (b,)
    largest = np.max([np.abs(part).max(axis=0) for part in parts], axis=0)
    largest = np.atleast_1d(largest).astype(np.float64)
    far = (largest > _SAFE_RANGE) | (largest < 1 / _SAFE_RANGE) & (largest > 0)
    return np.array(
        [power_of_two(size) if out else 1.0 for size, out in zip(largest, far, strict=True)]
    )


class _Run:
    """The columns that have not ended: their vectors, and their scalars, shape (k,)."""

    scalars = ("column", "goal", "watch", "norm", "rho", "last")

    def __init__(self, product, apply_into, b, x, rtol, atol):
        from .kernels import cpu_cg  # Numba is imported where it is used

        self.product, self.apply_into, self.b, self.x = product, apply_into, b, x
        self.kernels = cpu_cg.VECTOR if b.ndim == 1 else cpu_cg.BLOCK
        self.compact = cpu_cg.compact
        k = 1 if b.ndim == 1 else b.shape[1]
        size = np.sqrt(self._sums(self.kernels.dot, b, b, columns=k))
        self.all = self.column = np.arange(k, dtype=np.uint64)
        self.info = np.zeros(k, np.int64)
        self.goal = np.maximum(rtol * size, atol)
        self.watch = np.maximum(self.goal, _FLOOR * np.finfo(b.dtype).eps * size)
        self.norm = size
        self.rho = np.full(k, np.inf)  # of the step before: the first direction is z
        self.last = np.full(k, np.inf)  # true residual when it was last found too large
        # p is multiplied by zero at first, and 0 * NaN is not 0.
        self.memory = [np.zeros(b.size, b.dtype), *self._borrow()]
        self._set_views()
        if x.any():
            x.reshape(-1, k)[:, size == 0] = 0
            self.norm = self._true_residual()
            self._restart(self.q)
        else:
            self._restart(b)
        self._end(self.norm <= self.goal, 0)

    def iterate(self, maxiter, seen):
        """Iterate; return the worst `info` of the columns."""
        for iteration in range(1, maxiter + 1):
            if not self.column.size:
                break
            self._step()
            if seen is not None and self.column.size:
                seen()
            self._verify(iteration)
        self._end(np.full(self.column.size, True), maxiter)
        return int(self.info.min() if self.info.min() < 0 else self.info.max())

    def _step(self):
        """Make one step of conjugate gradients; `q` holds M r, and then A p."""
        rho = self._apply()
        bad = ~((rho > 0) & np.isfinite(rho))
        self._end(bad, NOT_DEFINITE_M)
        if not self.column.size:
            return
        rho = rho[~bad]
        self._turn(rho / self.rho)
        self.rho = rho
        energy = np.empty(rho.size)
        self.product.into(self.p, self.q, energy)
        with np.errstate(all="ignore"):
            alpha = rho / energy
        bad = ~((energy > 0) & np.isfinite(energy) & np.isfinite(alpha))
        self._end(bad, NOT_DEFINITE_A)
        if not self.column.size:
            return
        self.norm = np.sqrt(self._advance(alpha[~bad]))

    def _apply(self):
        """Write M r over `q`; return Re r* M r."""
        self.apply_into(self.r, self.q)
        return self._sums(self.kernels.dot, self.r, self.q)

    def _turn(self, beta):
        """Set p <- M r + beta p."""
        self._sums(self.kernels.direction, beta, self.q, self.p)

    def _advance(self, alpha):
        """Make the step along p, and return ||r||²."""
        vectors = self.p, self.q, self.column, self.x, self.r
        return self._sums(self.kernels.update, alpha, *vectors)

    def _restart(self, residual):
        """Set r to a true residual."""
        self.r[...] = residual

    def _borrow(self):
        """Return memory for q and r."""
        return [np.empty(self.b.size, self.b.dtype) for _ in ("q", "r")]

    def _verify(self, iteration):
        """End the columns that keep the promise; start those again that only seem to."""
        seems = self.norm <= self.watch
        if not seems.any():
            return
        true = self._true_residual()
        good = seems & (true <= self.goal)
        again = seems & ~good
        # The recursive residual of these has lost touch. Where the true one has not even
        # halved since the last time, rounding allows no less.
        stalled = again & ~(true <= 0.5 * self.last)
        if again.any():
            if self.x.ndim == 1:
                self._restart(self.q)
            else:
                source = self.memory[1].reshape(self.x.shape)
                for c in np.flatnonzero(again):
                    self.r[:, c] = source[:, self.column[c]]
            self.rho = np.where(again, np.inf, self.rho)
            self.last = np.where(again, true, self.last)
        self._end(stalled | good, np.where(stalled, iteration, 0))

    def _true_residual(self):
        """Write b - A x of all columns over `q`; return the norms of those left."""
        q = self.memory[1].reshape(self.x.shape)
        self.product.into(self.x, q, np.empty(self.all.size))
        k = self.all.size
        square = self._sums(self.kernels.residual, self.b, self.all, q, columns=k)
        return np.sqrt(square)[self.column]

    def _end(self, which, info):
        """Take columns out of the iteration."""
        if not which.any():
            return
        self.info[self.column[which]] = np.broadcast_to(info, which.shape)[which]
        keep = ~which
        if self.x.ndim > 1:
            kept = np.flatnonzero(keep).astype(np.uint64)
            for view in (self.p, self.q, self.r):
                self.compact(which.size, kept, view.reshape(-1))
        for name in self.scalars:
            setattr(self, name, getattr(self, name)[keep])
        self._set_views()

    def _set_views(self):
        shape = self.x.shape if self.x.ndim == 1 else (self.x.shape[0], self.column.size)
        size = math.prod(shape)
        self.p, self.q, self.r = (part[:size].reshape(shape) for part in self.memory)

    def _sums(self, kernel, *arrays, columns=None):
        """Run a kernel over all rows; return its sums, one per column."""
        columns = self.column.size if columns is None else columns
        n_bytes = sum(getattr(array, "nbytes", 0) for array in arrays)
        n_threads = chunks.threads_for(self.product.limit, n_bytes)
        return chunks.run(kernel, self.x.shape[0], columns, n_threads, *arrays)


class _Inside(_Run):
    """A vector whose residual is kept as M's kernels take it: scaled, in their order."""

    def __init__(self, product, inside, b, x, rtol, atol):
        from .kernels import cpu_inside

        self.inside, self.loops, self.result = inside, cpu_inside, None
        super().__init__(product, None, b, x, rtol, atol)

    def _apply(self):
        self.result = self.inside.apply()
        dot = self._sums(self.kernels.dot, self.r, self.result)
        return dot * self.inside.factor

    def _turn(self, beta):
        inside, given = self.inside, (beta[0], self.inside.factor, self.result)
        if inside.places is None:
            self._sums(self.loops.turn, *given, inside.scale, self.p)
        else:
            places = inside.scale, inside.places
            self._sums(self.loops.turn_in_order, *given, *places, self.p)

    def _advance(self, alpha):
        inside, given = self.inside, (alpha[0], self.p, self.q, self.inside.scale)
        if inside.places is None:
            return self._sums(self.loops.advance, *given, self.x, self.r)
        places = inside.places
        return self._sums(self.loops.advance_in_order, *given, places, self.x, self.r)

    def _restart(self, residual):
        self.inside.enter(residual)

    def _borrow(self):
        # A p is written where s M r was: that memory is in the cache.
        return self.inside.spare, self.inside.start
