"""Solve one system with and without preconditioners, and put the counts in a table."""

import time
from dataclasses import asdict, dataclass

import numpy as np
from scipy.sparse.linalg import LinearOperator, bicgstab, cg, gmres, minres

from .build import make
from .kernels import warmup

__all__ = ["SOLVERS", "Row", "compare", "jacobi", "run", "table"]

SOLVERS = {"cg": cg, "minres": minres, "gmres": gmres, "bicgstab": bicgstab}

RESTART = 30  # iterations of GMRES before it starts again


@dataclass(frozen=True)
class Row:
    """Outcome of one solve.

    Attributes
    ----------
    method : str
        'none', 'Jacobi' or 'autospec'.
    converged : bool
        The solver said so.
    iterations : int
        Outer iterations.
    products : int
        Products with A, those of the preconditioner and of its making included.
    setup_seconds, solve_seconds : float
        Wall time.
    residual : float
        ‖b - A x‖ / ‖b‖ (‖A x‖ for b = 0), computed after the solve.
    """

    method: str
    converged: bool
    iterations: int
    products: int
    setup_seconds: float
    solve_seconds: float
    residual: float

    def to_dict(self):
        """Return the row as plain numbers.

        Returns
        -------
        dict
            JSON-able.
        """
        return asdict(self)


def run(A, b, M, *, method, rtol, maxiter=None, setup=(0, 0.0), progress=None, solver="cg"):
    """Solve with one of SciPy's solvers and count.

    Parameters
    ----------
    A : sparse array or LinearOperator, shape (n, n)
        Matrix.
    b : ndarray, shape (n,)
        Right-hand side.
    M : LinearOperator or None
        Preconditioner; its ``degree`` is counted where it has one.
    method : str
        Name for the row.
    rtol : float
        Relative residual norm to reach.
    maxiter : int, optional
        Iterations allowed.
    setup : tuple of (int, float), optional
        Products and seconds that making M has taken.
    progress : callable, optional
        Called with (iterations, x) after each; of 'gmres' after each restart.
    solver : str, optional
        One of `SOLVERS`; 'gmres' starts again after 30 iterations.

    Returns
    -------
    x : ndarray, shape (n,)
        Solution.
    row : Row
        Counts.
    """
    iterations = applications = 0

    def _count(x):
        nonlocal iterations
        iterations += RESTART if solver == "gmres" else 1
        if progress is not None:
            progress(iterations, x)

    def _product(x):
        nonlocal applications
        applications += 1
        return A @ x

    settings = {"maxiter": maxiter, "callback": _count}
    if solver == "gmres":
        cycles = None if maxiter is None else -(-maxiter // RESTART)
        settings |= {"maxiter": cycles, "restart": RESTART, "callback_type": "x"}
    # Counted beside: SciPy's own calls of A cost the same with and without.
    counted = LinearOperator(A.shape, matvec=_product, dtype=A.dtype)
    began = time.perf_counter()
    given = A if solver == "cg" else counted
    x, info = SOLVERS[solver](given, b, M=M, rtol=rtol, **settings)
    seconds = time.perf_counter() - began
    degree = getattr(M, "degree", 0)
    # One application of M for each product with A, but for a few at the ends.
    outer = iterations if solver == "cg" else applications
    products = setup[0] + outer * (degree + 1)
    iterations = outer if solver == "gmres" else iterations
    norm = float(np.linalg.norm(b))
    residual = float(np.linalg.norm(b - A @ x)) / (norm or 1.0)
    return x, Row(method, info == 0, iterations, products, setup[1], seconds, residual)


def jacobi(A):
    """Return division by the diagonal as a preconditioner.

    Parameters
    ----------
    A : sparse array or ndarray, shape (n, n)
        Without a zero on the diagonal.

    Returns
    -------
    LinearOperator
        Of the type of A.
    """
    inverse = 1.0 / A.diagonal()
    return LinearOperator(A.shape, matvec=lambda x: inverse * x.ravel(), dtype=A.dtype)


def compare(A, b, *, rtol=1e-8, maxiter=None, degree=None, solver=None):
    """Solve one system three times: without, with Jacobi, and with `make`.

    Parameters
    ----------
    A : sparse array or ndarray, shape (n, n)
        Matrix.
    b : ndarray, shape (n,)
        Right-hand side.
    rtol : float, optional
        Relative residual norm to reach.
    maxiter : int, optional
        Outer iterations allowed.
    degree : int, optional
        As of `make`.
    solver : str, optional
        One of `SOLVERS`; the one that `make` finds suitable by default.

    Returns
    -------
    x : ndarray, shape (n,)
        Solution with `make`.
    M : PolynomialPreconditioner
        What `make` returned.
    rows : list of Row
        One per method; without Jacobi where the diagonal does not allow it.
    """
    warmup()  # compilation stays outside the clock
    M = make(A, solver=solver, degree=degree)  # first: it refuses what does not suit
    settings = {"rtol": rtol, "maxiter": maxiter, "solver": M.solver}
    rows = [run(A, b, None, method="none", **settings)[1]]
    if A.diagonal().all() and (M.solver != "minres" or (A.diagonal().real > 0).all()):
        rows.append(run(A, b, jacobi(A), method="Jacobi", **settings)[1])
    setup = M.report.n_products, M.report.seconds
    x, row = run(A, b, M, method="autospec", setup=setup, **settings)
    return x, M, [*rows, row]


def table(rows):
    """Format rows for a terminal.

    Parameters
    ----------
    rows : list of Row
        As `compare` returns them.

    Returns
    -------
    str
        A header and a line per row; seconds are those of this machine.
    """
    lines = [
        f"{'method':<9} {'iterations':>10} {'products':>9} {'setup s':>8} {'solve s':>8} "
        f"{'total s':>8} {'residual':>9}"
    ]
    for row in rows:
        total = row.setup_seconds + row.solve_seconds
        lines.append(
            f"{row.method:<9} {row.iterations:>10} {row.products:>9} "
            f"{row.setup_seconds:>8.3f} {row.solve_seconds:>8.3f} {total:>8.3f} "
            f"{row.residual:>9.1e}" + ("" if row.converged else "  not converged")
        )
    return "\n".join(lines)
