"""Conjugate gradients on a device: scalars stay there, and are looked at now and then."""

import numpy as np

from autospec_precond import checks
from autospec_precond.kernels.layout import power_of_two
from autospec_precond.solvers import NOT_DEFINITE_A, NOT_DEFINITE_M

from .vectors import norm, scalar

__all__ = ["solve"]

_LONGEST = 8  # iterations between two looks
_FLOOR = 0.1  # as on the host
_NO_STEP = 1e300  # what the first rho is divided by: times p = 0 that must not be NaN
# Squares of numbers of this size, and their sums, stay within their type.
_SAFE_RANGE = {np.dtype("f4"): 1e10, np.dtype("f8"): 1e100}


def solve(core, b, x0, *, rtol, atol, maxiter, callback):
    """Solve A x = b; see `PolynomialPreconditioner.solve`.

    Parameters
    ----------
    core : linop.Core
        M; holds A.
    b : array, shape (n,) or (n, k)
        On the device. Not changed.
    x0 : array, shape of `b`, or None
        On the device. Not changed.
    rtol, atol, maxiter, callback : object
        As passed.

    Returns
    -------
    x : array, shape of `b`
        On the device.
    info : int
        0 where ``||b - A x|| <= max(rtol ||b||, atol)`` for all columns.

    Raises
    ------
    TypeError, ValueError
        In one sentence, before any work.

    Notes
    -----
    One column after the other. Iterations run in windows of 1 to 8, fewer near the end;
    after each the norms of its residuals come back, a few numbers. Where one is not
    positive and finite, which happens at convergence to the last digit as well as in a
    breakdown, the window is made again from its start, looking at every step.
    """
    n, xp = core.shape[0], core.xp
    b = _as_numbers(xp, b, "b", lambda shape: shape[:1] == (n,), f"({n},) or ({n}, k)")
    if x0 is not None:
        x0 = _as_numbers(xp, x0, "x0", lambda shape: shape == b.shape, str(b.shape))
        if x0.dtype.kind == "c" and np.result_type(core.dtype, b.dtype).kind != "c":
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
    dtype = np.result_type(core.dtype, b.dtype)
    if dtype.char not in "fdFD":
        dtype = np.dtype(np.complex128 if dtype.kind == "c" else np.float64)
    x = xp.zeros(b.shape, dtype)
    if b.size == 0:
        return x, 0
    product = core.library.product(_matrix_in(core.parts.A, dtype))
    columns = [()] if b.ndim == 1 else [(slice(None), k) for k in range(b.shape[1])]
    infos = []
    for column in columns:
        seen = callback and (lambda: callback(x))
        start = None if x0 is None else x0[column]
        target = _Column(core, product, b[column], start, dtype, seen, x, column)
        infos.append(target.solve(rtol, atol, maxiter))
    return x, min(infos) if min(infos) < 0 else max(infos)


def _matrix_in(A, dtype):
    """Return A in the precision of the result: an explicit one is cast once."""
    explicit = (
        hasattr(A, "tocsr") or hasattr(A, "__array_priority__") or hasattr(A, "strides")
    )
    if hasattr(A, "tocsr"):
        A = A.tocsr()
    return A.astype(dtype) if explicit and A.dtype != dtype else A


def _as_numbers(xp, value, name, fits, shapes):
    array = xp.asarray(value)
    if array.dtype.kind not in "biufc":
        raise TypeError(f"solve: {name} must be an array of numbers; got {array.dtype}.")
    if not 1 <= array.ndim <= 2 or not fits(array.shape):
        raise ValueError(f"solve: {name} must have shape {shapes}; got {array.shape}.")
    bad = int(scalar((~xp.isfinite(array)).sum()))
    if bad:
        raise ValueError(f"solve: {name} must be finite; got {bad} non-finite entries.")
    return array


class _Column:
    """One right-hand side: vectors on the device, and the scalars of the iteration."""

    def __init__(self, core, product, b, x0, dtype, seen, x, column):
        xp = core.xp
        self.core, self.product, self.library, self.xp = core, product, core.library, xp
        largest = float(scalar(abs(b).max()))
        safe = _SAFE_RANGE[np.empty(0, dtype).real.dtype]
        far = largest > 0 and not 1 / safe <= largest <= safe
        self.unit = power_of_two(largest) if far else 1.0
        self.b = xp.ascontiguousarray((b / self.unit if far else b).astype(dtype))
        self.x = xp.zeros(b.shape, dtype)
        if x0 is not None and norm(self.b) > 0:
            self.x[...] = x0 / self.unit
        self.r, self.p, self.q, self.z = (xp.zeros(b.shape, dtype) for _ in range(4))
        wide = np.dtype(np.complex128 if dtype.kind == "c" else np.float64)
        # Of the last steps, the newest first: rho, energy, and the square of the residual.
        self.log = xp.zeros((_LONGEST + 1, 3), wide)
        self.partial = self.library.partials(self.r)
        self.scratch = core.scratch(b.shape)
        self.step = self._step
        if core.graph is not None and hasattr(core.parts.A, "tocsr"):
            # One launch for an iteration: two dozen took longer than their kernels.
            self.step = self.library.repeated(self._step)
        self.seen, self.result, self.column = seen, x, column
        self.eps = np.finfo(dtype).eps
        self.left = _LONGEST  # iterations, guessed

    def solve(self, rtol, atol, maxiter):
        """Return `info`; the solution is in its column of the result."""
        size = norm(self.b)
        self.goal = max(rtol * size, atol / self.unit)
        self.watch = max(self.goal, _FLOOR * self.eps * size)
        try:
            info = self._iterate(self._true_residual(), maxiter)
        finally:
            # It refers to this object: ten vectors would wait for the garbage collector,
            # which does not know that a device is filling up.
            self.step = None
        self._show()
        return info

    def _iterate(self, true, maxiter):
        done, length, last, fresh = 0, 1, np.inf, True
        while not true <= self.goal:
            if fresh and last < np.inf and not true <= 0.5 * last:
                return max(done, 1)  # rounding allows no less
            if fresh:
                last = true
                self.r[...] = self.z  # of b - A x
                self.p[...] = 0
                self.log[...] = _NO_STEP  # of no effect: the first direction is M r
            if done >= maxiter:
                return max(maxiter, 1)
            length = min(length, maxiter - done)
            reached, made, code = self._window(length)
            done += made
            if code:
                return code
            fresh = reached
            if reached or done >= maxiter:
                true = self._true_residual()
                fresh = True
                if done >= maxiter:
                    return 0 if true <= self.goal else maxiter
            # An iteration too many is degree + 1 products; a look is far less.
            length = min(2 * length, _LONGEST, max(1, self.left))
            length = length if self.seen is None else 1
        return 0

    def _window(self, length):
        """Make some iterations; return whether the end seems reached, and how many."""
        if length > 1:
            kept = [v.copy() for v in (self.x, self.r, self.p, self.log)]
            for _ in range(length):
                self.step()
            rows = self._look(length)
            if np.isfinite(rows).all() and (rows > 0).all():
                self.left = self._iterations_left(rows[:, 2])
                return bool(np.sqrt(rows[-1, 2]) <= self.watch), length, 0
            for v, saved in zip((self.x, self.r, self.p, self.log), kept, strict=True):
                v[...] = saved
        for k in range(length):
            code, size = self._careful()
            if code:
                return False, k, code
            if self.seen is not None:
                self._show()
                self.seen()
            if size <= self.watch:
                return True, k + 1, 0
        return False, length, 0

    def _iterations_left(self, squares):
        """Guess how many iterations are left: from the fastest fall seen in a window."""
        far = float(np.log(squares[-1]) - 2 * np.log(max(self.watch, 1e-300)))
        if far <= 0:
            return 0
        fall = float(np.max(-np.diff(np.log(squares)), initial=0.0))
        return int(far / fall) if fall > 0 else _LONGEST

    def _look(self, length):
        """Bring the numbers of the last steps back: a handful, in one copy."""
        return np.array(self.log[:length].get().real, np.float64)[::-1]

    def _first_half(self):
        self.library.record(self.log)
        rho, energy = self.log[0, 0:1], self.log[0, 1:2]
        self.core.queue(self.r, self.z, self.scratch)
        self.library.dot(self.r, self.z, rho, self.partial)
        self.library.direction(rho, self.log[1, 0:1], self.z, self.p)
        self.product(self.p, self.q)
        self.library.dot(self.p, self.q, energy, self.partial)

    def _second_half(self):
        given = self.log[0, 0:1], self.log[0, 1:2], self.p, self.q, self.x, self.r
        self.library.update(*given, self.log[0, 2:3], self.partial)

    def _step(self):
        self._first_half()
        self._second_half()

    def _careful(self):
        """Make one iteration, looking before x is changed."""
        self._first_half()
        rho, energy = self._look(1)[0, :2]
        if not (rho > 0 and np.isfinite(rho)):
            return NOT_DEFINITE_M, np.inf
        if not (energy > 0 and np.isfinite(energy) and np.isfinite(rho / energy)):
            return NOT_DEFINITE_A, np.inf
        self._second_half()
        return 0, float(np.sqrt(self._look(1)[0, 2]))

    def _true_residual(self):
        """Write b - A x over `z`; return its norm."""
        self.product(self.x, self.q)
        self.z[...] = self.b - self.q
        return norm(self.z)

    def _show(self):
        self.result[self.column] = self.x * self.unit
