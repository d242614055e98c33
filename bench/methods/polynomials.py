"""Rival polynomials of A, of the same base, kernel, precision and degree as ours."""

import functools
import warnings

import numpy as np

from autospec_precond import Polynomial, bases, classical, linop, probing
from autospec_precond import kernels as ap_kernels
from autospec_precond.kernels import layout
from autospec_precond.operands import as_operand

from .gmres_polynomial import arnoldi, general_polynomial, harmonic_ritz
from .registry import NotSupported, Prepared, method

__all__ = ["optimal_fourth_kind"]

_STEPS = 12  # of the probe, as of ours
_GMRES_DEGREE = 20


def _degree(context):
    if context.kind == "spd":
        context.degree()


@method("cheb30", classes=("spd",), before=_degree)
def cheb30(context):
    """Chebyshev on [high/30, high], what multigrid codes smooth with."""
    parts = _Based(context)
    return parts.prepared(classical.chebyshev(context.degree(), parts.probe().high))


@method("chebritz", classes=("spd",), before=_degree)
def chebritz(context):
    """Chebyshev from the smallest Ritz value of the probe upwards."""
    parts = _Based(context)
    probe = parts.probe()
    low = max(float(probe.ritz_values[0]), 1e-12 * probe.high)
    return parts.prepared(classical.chebyshev(context.degree(), probe.high, low))


def _degree_and_roots(context):
    """Find the roots too: programs that use this polynomial have them in a table."""
    _degree(context)
    if context.kind == "spd":
        optimal_fourth_kind(context.degree() + 1)


@method("cheb4", classes=("spd",), before=_degree_and_roots)
def cheb4(context):
    """Optimal polynomial of the fourth kind: needs the upper end only."""
    parts = _Based(context)
    high = parts.probe().high
    roots = high * optimal_fourth_kind(context.degree() + 1)
    return parts.prepared(Polynomial.from_roots(roots, (0.5 * roots.min(), high)))


@method("gmrespoly", before=_degree)
def gmrespoly(context):
    """GMRES polynomial: harmonic Ritz values as roots; rows scaled where not definite."""
    if context.kind != "spd":
        return general_polynomial(context.A, _GMRES_DEGREE, scale_rows=True)
    parts = _Based(context)
    roots, theta, norms = parts.harmonic(context.degree() + 1)
    high = max(probing.estimate_bound(theta, norms), float(roots.max()))
    return parts.prepared(Polynomial.from_roots(roots, (0.5 * roots.min(), high)))


@method("gmrespoly-plain", classes=("indefinite", "general"))
def gmrespoly_plain(context):
    """The same on A as it is."""
    if context.kind == "spd":
        raise NotSupported("gmrespoly-plain: see gmrespoly for definite matrices")
    return general_polynomial(context.A, _GMRES_DEGREE, scale_rows=False)


class _Based:
    """The Jacobi-scaled operator, stored for the package's own kernel."""

    def __init__(self, context):
        if context.kind != "spd":
            raise NotSupported("needs a Hermitian positive definite matrix")
        self.operand = as_operand(context.A, "bench")
        self.based = bases.build(self.operand, "jacobi", context.A.diagonal().real)
        self.n_products = 0

    def probe(self):
        """Twelve Lanczos steps and the upper bound, made as ours are."""
        probe, _ = probing.probe_operator(self.based, _STEPS, np.random.default_rng(0))
        self.n_products += probe.n_products
        return probe

    def harmonic(self, n_steps):
        """Harmonic Ritz values, Ritz values and residual norms."""
        start = np.random.default_rng(0).standard_normal(self.based.n)
        _, H = arnoldi(self.based.product, start.astype(self.based.dtype), n_steps)
        self.n_products += H.shape[1]
        roots = harmonic_ritz(H).real
        roots = roots[roots > 0]
        if not roots.size:
            raise ArithmeticError("no positive harmonic Ritz value")
        alpha = np.diag(H).real
        theta, _, norms = probing.ritz(alpha, np.diag(H, -1).real)
        return roots, theta, norms

    def prepared(self, polynomial):
        """Put a polynomial in the place of ours; its positivity is not proved."""
        operand = self.operand
        stored = layout.store(self.based, operand.dtype, "mixed")
        kernel, _ = ap_kernels.select(stored.kind)
        M = linop.PolynomialPreconditioner(
            linop.Parts(
                shape=(operand.n, operand.n),
                dtype=operand.dtype,
                stored=stored,
                left=self.based.left,
                right=self.based.right,
                inner=None,
                polynomial=polynomial,
                precision="mixed",
                kernel=kernel,
                report=None,
                A=operand.operator,
            )
        )
        degree = polynomial.degree
        return Prepared(M, degree, self.n_products, work=float(degree))


@functools.lru_cache(maxsize=64)
def optimal_fourth_kind(n_roots):
    """Return the roots of Lottes' optimal polynomial of the fourth kind on (0, 1].

    Parameters
    ----------
    n_roots : int
        Degree k of the residual polynomial.

    Returns
    -------
    ndarray, shape (n_roots,)
        Ascending.

    Notes
    -----
    It minimises max λ φ²/(1 - φ²), so φ touches ± sqrt(E/(E + λ)) in turn at k + 1 points
    (an equation of Remez' kind, with φ(0) = 1 for E). Tables of its weights end at 16.

    References
    ----------
    .. [1] J. Lottes, "Optimal polynomial smoothers for multigrid V-cycles", Numer.
       Linear Algebra Appl. 30, 2023; arXiv:2202.08830.
    """
    k = n_roots
    angle = (2 * np.arange(k + 1) + 1) * np.pi / (2 * k + 1)
    points = 0.5 * (1 - np.cos(angle))  # where the plain fourth kind touches
    grid = 0.5 * (1 - np.cos(np.linspace(1e-4, np.pi, 400 * k)))
    signs = (-1.0) ** np.arange(k + 1)
    for _ in range(30):
        series = _levelled(points, signs)
        e = series[1]
        error = series[0](grid) / np.sqrt(e / (e + grid))
        # One extreme between every two sign changes.
        starts = np.flatnonzero(np.diff(np.sign(error)) != 0) + 1
        pieces = np.split(np.arange(grid.size), starts)
        new = np.array([grid[p[np.argmax(np.abs(error[p]))]] for p in pieces])
        if new.size != k + 1 or np.abs(new - points).max() < 1e-9:
            break
        points = new
    roots = series[0].roots()
    return np.sort(roots.real)


def _levelled(points, signs):
    """Find E so that the interpolant of ± sqrt(E/(E + λ)) is 1 at zero."""

    def fit(e):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.polynomial.Chebyshev.fit(
                points, signs * np.sqrt(e / (e + points)), points.size - 1, domain=[0, 1]
            )

    low, high = 1e-12, 1.0
    for _ in range(100):
        middle = np.sqrt(low * high)
        if fit(middle)(0.0) > 1.0:
            high = middle
        else:
            low = middle
    return fit(middle), middle
