"""Ours and its rivals as polynomials of one degree on one operator."""

import functools
import warnings

import numpy as np

import autospec_precond as ap
from autospec_precond import certificate, checkpoint, classical

from .methods.gmres_polynomial import arnoldi, harmonic_ritz
from .methods.polynomials import optimal_fourth_kind

__all__ = [
    "EDGES",
    "LABELS",
    "RIVALS",
    "certified",
    "engine_digest",
    "least_squares_roots",
    "ours_diagonal",
    "ours_matrix",
    "rival",
]

EDGES = np.geomspace(1e-6, 0.6, 36)  # lower edges over `high` that the oracle tries

RIVALS = ("cheb30", "chebritz", "cheb4", "leastsquares", "gmrespoly")
LABELS = {
    "ours": "ours",
    "cheb30": "Chebyshev [high/30, high]",
    "chebritz": "Chebyshev [least Ritz value, high]",
    "cheb4": "optimal fourth kind (Lottes)",
    "leastsquares": "least squares (Saad)",
    "gmrespoly": "GMRES polynomial",
    "oracle": "oracle",
    "oracle-exact": "oracle, exact high",
    "cg": "plain CG",
}


@functools.cache
def _load(engine):
    return checkpoint.load(engine)


def engine_digest(engine):
    """Return name and hash of a weights file; None for the one that ships."""
    model = _load(engine)
    return f"{model.name} {model.digest}"


def ours_matrix(A, degree, engine=None, rng=0):
    """Return our polynomial for a matrix, and the probe, as production chooses them.

    Parameters
    ----------
    A : csr_array, shape (n, n)
        Positive definite.
    degree : int
        Asked for; the polynomial may have degree 0 where none was certified.
    engine : str, optional
        Weights file.
    rng : int, optional
        Seed of the probe.

    Raises
    ------
    ValueError
        If `make` refuses the matrix.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ap.UncertifiedWarning)
        M = ap.make(A, degree=degree, engine=engine, rng=rng)
    return M.polynomial, M.probe


def ours_diagonal(engine, probe, degree):
    """Return our polynomial for the probe of a diagonal operator, repaired as `make` does.

    The only place of this benchmark that knows how an engine is asked.

    Parameters
    ----------
    engine : str or None
        Weights file.
    probe : Probe
        Of the operator.
    degree : int
        Even.
    """
    model = _load(engine)
    proposals = model.predict(probe, degree)
    return next((p for p in proposals if certified(p)), proposals[-1])


def certified(polynomial):
    """Say whether positivity is proved in double precision."""
    return certificate.certify(polynomial, dtype=np.float64).safe


def rival(name, degree, high, operator, lowest):
    """Return a rival's polynomial of the same degree and upper end.

    Parameters
    ----------
    name : str
        One of `RIVALS`.
    degree : int
        Of p; the GMRES polynomial has less where the Krylov space ends earlier.
    high : float
        Upper end that ours was built for.
    operator : Sparse or Diagonal
        What the GMRES polynomial makes its Lanczos steps with.
    lowest : float
        Smallest Ritz value of our probe.

    Returns
    -------
    Polynomial or None
        None where it overflows.
    """
    if name == "cheb30":
        return classical.chebyshev(degree, high)
    if name == "chebritz":
        return classical.chebyshev(degree, high, max(float(lowest), 1e-12 * high))
    if name == "cheb4":
        roots = high * optimal_fourth_kind(degree + 1)
    elif name == "leastsquares":
        roots = high * least_squares_roots(degree + 1)
    else:
        start = np.random.default_rng(0).standard_normal(operator.n).astype(operator.dtype)
        product = functools.partial(_vector_product, operator)
        roots = harmonic_ritz(arnoldi(product, start, degree + 1)[1]).real
        roots = roots[roots > 0]
        high = max(high, float(roots.max(initial=0.0)))
    try:
        return ap.Polynomial.from_roots(roots, (0.5 * float(roots.min()), high))
    except ValueError:
        return None


def least_squares_roots(n_roots):
    """Return the roots of Saad's least-squares residual polynomial on (0, 1].

    Parameters
    ----------
    n_roots : int
        Degree k of the residual polynomial φ.

    Returns
    -------
    ndarray, shape (n_roots,)
        sin²(j π/(2k + 1)), ascending.

    Notes
    -----
    φ minimises the integral of w φ² over [0, 1] among polynomials with φ(0) = 1, w the
    Chebyshev weight (λ (1 - λ))^(-1/2): Saad's Jacobi weight with exponents α = 1/2 and
    β = -1/2, for which he tabulates p, and whose interval may begin at zero. So φ is
    orthogonal for λ w, a Chebyshev polynomial of the fourth kind, divided by its value at
    zero.

    References
    ----------
    .. [1] Y. Saad, "Iterative Methods for Sparse Linear Systems", 2nd ed., SIAM,
       2003, section 12.3.3.
    """
    return np.sin(np.arange(1, n_roots + 1) * np.pi / (2 * n_roots + 1)) ** 2


def _vector_product(operator, x):
    return operator.product(x[:, None])[:, 0]
