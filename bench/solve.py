"""One solve: prepare, solve with SciPy's own solver, judge by the true residual."""

import math
import time
import warnings
from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import bicgstab, cg, gmres, lobpcg, minres

from .counting import CountedMatrix, CountedPreconditioner, Meter, Stop

__all__ = ["RESTART", "SOLVERS", "TOLERANCES", "Outcome", "prepare", "solve"]

SOLVERS = ("cg", "minres", "gmres", "bicgstab", "lobpcg")
TOLERANCES = (1e-2, 1e-4, 1e-6, 1e-8)
RESTART = 30
N_EIGENPAIRS = 4

# Solvers stop on a recursive residual; a true one above this times rtol is no solution.
_SLACK = 10.0
_MINRES_EVERY = 10  # iterations between two true residuals, each one product, counted
_FOREVER = 10**9


@dataclass
class Outcome:
    """What a solve came to.

    Attributes
    ----------
    status, reason : str
        As in a row.
    iterations : int
        Of the solver; inner ones for gmres.
    seconds : float
        Of the solve alone.
    residual : float
        ‖b - A x‖ / ‖b‖, computed after the solve; for lobpcg the largest
        ‖A x - θ x‖ / (‖A‖₁ ‖x‖).
    meter : Meter
        The account.
    history : list of list
        [iterations, products, seconds, residual], where it was recorded.
    """

    status: str
    reason: str
    iterations: int
    seconds: float
    residual: float
    meter: Meter
    history: list


def prepare(method, context):
    """Make the preconditioner on the clock; return it and the seconds."""
    if method.before is not None:
        method.before(context)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        began = time.perf_counter()
        prepared = method.prepare(context)
        return prepared, time.perf_counter() - began


def solve(A, b, prepared, solver, *, rtol, budget, seconds, record=False, b_norm=None):
    """Solve once and count.

    Parameters
    ----------
    A : csr_array, shape (n, n)
        Matrix.
    b : ndarray, shape (n,)
        Right-hand side.
    prepared : Prepared
        From a method.
    solver : str
        One of `SOLVERS`.
    rtol : float
        Relative residual to reach.
    budget, seconds : int, float
        What may be spent; `seconds` is what is left after the setup.
    record : bool, optional
        Compute the true residual in every iteration. That takes a product each, which is
        not counted, so the seconds of such a solve mean nothing.

    Returns
    -------
    Outcome
        With a history where `record` is set, and always for gmres, where the solver
        computes a true residual at every restart.
    """
    meter = Meter(budget, seconds, prepared.degree or 0, prepared.setup_products)
    counted = CountedMatrix(A, meter)
    M = prepared.M
    if M is not None:
        M = CountedPreconditioner(M, A.dtype, meter)
    run = _Run(A, b, counted, M, meter, rtol, record)
    meter.began = began = time.perf_counter()
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            info = getattr(run, solver)()
        stop = None
    except Stop as verdict:
        stop, info = verdict, None
    except (ArithmeticError, ValueError, RuntimeError, np.linalg.LinAlgError) as error:
        stop, info = Stop("failed", f"{type(error).__name__}: {error}"), None
    elapsed = time.perf_counter() - began
    residual = run.residual(solver)
    status, reason = _judge(stop, info, residual, rtol)
    return Outcome(status, reason, run.iterations, elapsed, residual, meter, run.history)


def _judge(stop, info, residual, rtol):
    """Turn what the solver said and the true residual into a status."""
    if residual <= _SLACK * rtol:
        return "converged", ""
    if stop is not None and stop.status != "enough":
        return stop.status, stop.reason
    if info:
        return "not converged", "the solver broke down before its tolerance"
    return "not converged", "the solver reported success, the true residual is larger"


class _Run:
    """State of one solve, shared with the callbacks."""

    def __init__(self, A, b, counted, M, meter, rtol, record):
        self.A, self.b, self.counted, self.M = A, b, counted, M
        self.meter, self.rtol, self.record = meter, rtol, record
        self.norm = float(np.linalg.norm(b)) or 1.0
        self.x = np.zeros_like(b)
        self.iterations = 0
        self.history = []
        self._cycles = 0
        self._eigen = math.inf

    def residual(self, solver):
        """Return the true residual of the last iterate."""
        if solver == "lobpcg":
            return self._eigen
        with np.errstate(all="ignore"):
            value = float(np.linalg.norm(self.b - self.A @ self.x)) / self.norm
        return value if math.isfinite(value) else math.inf

    def _note(self, residual):
        meter = self.meter
        self.history.append(
            [self.iterations, meter.products, round(meter.elapsed(), 6), residual]
        )

    def _each(self, x):
        self.iterations += 1
        self.x = x
        if self.record:
            self._note(float(np.linalg.norm(self.b - self.A @ x)) / self.norm)

    def _finish(self, result):
        self.x, info = result
        return info

    def cg(self):
        return self._recursive(cg)

    def bicgstab(self):
        return self._recursive(bicgstab)

    def _recursive(self, solver):
        """Run a solver that stops on its recursive residual."""
        return self._finish(
            solver(
                self.counted,
                self.b,
                M=self.M,
                rtol=self.rtol,
                maxiter=_FOREVER,
                callback=self._each,
            )
        )

    def gmres(self):
        def restarted(x):
            # SciPy's last product before this call was A x.
            self.x = x.copy()
            self._cycles += 1
            self.iterations = self.meter.base_products - self._cycles
            self._note(float(np.linalg.norm(self.b - self.counted.last)) / self.norm)

        try:
            result = gmres(
                self.counted,
                self.b,
                M=self.M,
                rtol=self.rtol,
                restart=RESTART,
                maxiter=_FOREVER,
                callback=restarted,
                callback_type="x",
            )
        finally:
            self.iterations = self.meter.base_products - self._cycles
        return self._finish(result)

    def minres(self):
        # Its own test is relative to ‖A‖ ‖x‖; this one is on the true residual.
        def each(x):
            self._each(x)
            if self.iterations % _MINRES_EVERY == 0:
                self.meter.spend(products=1)
                if np.linalg.norm(self.b - self.A @ x) <= self.rtol * self.norm:
                    raise Stop("enough")

        return self._finish(
            minres(
                self.counted,
                self.b,
                M=self.M,
                rtol=np.finfo(float).eps,
                maxiter=_FOREVER,
                callback=each,
            )
        )

    def lobpcg(self):
        n = self.b.size
        k = min(N_EIGENPAIRS, max(1, n // 6))
        X = np.random.default_rng(7).standard_normal((n, k)).astype(self.A.dtype)
        scale = float(abs(self.A).sum(axis=0).max())
        theta, X, norms = lobpcg(
            self.counted,
            X,
            M=self.M,
            tol=self.rtol * scale,
            largest=False,
            maxiter=min(_FOREVER, max(1, self.meter.budget // k)),
            retResidualNormsHistory=True,
        )
        self.iterations = len(norms)
        R = self.A @ X - X * theta
        columns = np.linalg.norm(R, axis=0) / np.linalg.norm(X, axis=0)
        self._eigen = float(columns.max()) / scale
        return 0
