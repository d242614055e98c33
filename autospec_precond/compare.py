"""Solve one system with and without preconditioners, and put the counts in a table."""

import time
from dataclasses import asdict, dataclass

import numpy as np
from scipy.sparse.linalg import LinearOperator, cg

from .build import make
from .kernels import warmup

__all__ = ["Row", "compare", "jacobi", "run_cg", "table"]


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


def run_cg(A, b, M, *, method, rtol, maxiter=None, setup=(0, 0.0), progress=None):
    """Solve with SciPy's cg and count.

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
        Outer iterations allowed.
    setup : tuple of (int, float), optional
        Products and seconds that making M has taken.
    progress : callable, optional
        Called with (iterations, x) after each.

    Returns
    -------
    x : ndarray, shape (n,)
        Solution.
    row : Row
        Counts.
    """
    iterations = 0

    def _count(x):
        nonlocal iterations
        iterations += 1
        if progress is not None:
            progress(iterations, x)

    began = time.perf_counter()
    x, info = cg(A, b, M=M, rtol=rtol, maxiter=maxiter, callback=_count)
    seconds = time.perf_counter() - began
    degree = getattr(M, "degree", 0)
    products = setup[0] + iterations * (degree + 1)
    norm = float(np.linalg.norm(b))
    residual = float(np.linalg.norm(b - A @ x)) / (norm or 1.0)
    return x, Row(method, info == 0, iterations, products, setup[1], seconds, residual)


def jacobi(A):
    """Return division by the diagonal as a preconditioner.

    Parameters
    ----------
    A : sparse array or ndarray, shape (n, n)
        With a positive diagonal.

    Returns
    -------
    LinearOperator
        Of the type of A.
    """
    inverse = 1.0 / A.diagonal()
    return LinearOperator(A.shape, matvec=lambda x: inverse * x.ravel(), dtype=A.dtype)


def compare(A, b, *, rtol=1e-8, maxiter=None, degree=None):
    """Solve one system three times: without, with Jacobi, and with `make`.

    Parameters
    ----------
    A : sparse array or ndarray, shape (n, n)
        Hermitian positive definite.
    b : ndarray, shape (n,)
        Right-hand side.
    rtol : float, optional
        Relative residual norm to reach.
    maxiter : int, optional
        Outer iterations allowed.
    degree : int, optional
        As of `make`.

    Returns
    -------
    x : ndarray, shape (n,)
        Solution with `make`.
    M : PolynomialPreconditioner
        What `make` returned.
    rows : list of Row
        One per method.
    """
    warmup()  # compilation stays outside the clock
    M = make(A, solver="cg", degree=degree)  # first: it refuses what is no system for CG
    rows = []
    for method, other in (("none", None), ("Jacobi", jacobi(A))):
        rows.append(run_cg(A, b, other, method=method, rtol=rtol, maxiter=maxiter)[1])
    setup = M.report.n_products, M.report.seconds
    x, row = run_cg(A, b, M, method="autospec", rtol=rtol, maxiter=maxiter, setup=setup)
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
