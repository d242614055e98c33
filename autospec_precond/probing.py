"""Spend a dozen products on a probe: Lanczos steps, and an upper bound of the spectrum."""

import itertools

import numpy as np

from .probe import Probe
from .sums import dot

__all__ = [
    "SELF_CHECK_LIMIT",
    "bound_near",
    "cg_reduction",
    "estimate_bound",
    "lanczos",
    "n_check_products",
    "probe_operator",
    "rigorous_bound",
    "ritz",
    "self_check",
]

# The estimate of the largest eigenvalue from the Lanczos steps. On 64 real matrices
# with 20 start vectors each, θ + residual alone was too low in 35 of 1280 runs, by up
# to 3 %; with these factors in none, and 7 % too high in the median.
_OVER_BOUND, _OVER_RITZ = 1.02, 1.05

# Products with |S| for the rigorous bound; more gain little (17 % above λmax in the
# mean after 4, 38 % after 1).
N_BOUND_PRODUCTS = 4

# Bounds over the estimate, after so many products, from which on none of 47 matrices came
# below it with four: the highest that did were at 1.13 and 1.03.
_HOPELESS = {2: 1.16, 3: 1.06}

# Share of a product that is left of it below which a second pass is made.
_CANCELLED = 1e-3

# Largest growth per application of q = λp over max q that is not an alarm.
SELF_CHECK_LIMIT = 1.05

_N_CHECK_STEPS = 4  # Lanczos steps after the applications of q


def probe_operator(based, n_steps, rng, enough=None, bounded=True, seen=None):
    """Probe a Hermitian based operator.

    Parameters
    ----------
    based : Based
        The operator S.
    n_steps : int
        Lanczos steps; fewer are made where the Krylov space ends earlier.
    rng : numpy.random.Generator
        Source of the start vector.
    enough : callable, optional
        Called with the number of steps, the residual norm that CG has reached by then
        and, after the last step, the Ritz values (else None); true ends the probe.
    bounded : bool, optional
        Whether to spend products on a rigorous bound.
    seen : tuple of ndarray, optional
        Start vector, and its product with S: one product less is made.

    Returns
    -------
    probe : Probe
        With `high` = min(R, estimate), R rigorous where S is explicit; the estimate
        alone, which takes no products, where the probe was ended.
    last : ndarray, shape (n,)
        The Lanczos vector after the last, of length one: rich in what lies above
        the largest Ritz value. Zero where the Krylov space has ended.
    """
    start, image = seen or (_start(based, rng), None)
    ended = False

    def stop(alpha, beta):
        nonlocal ended
        ended = enough(len(alpha), cg_reduction(alpha, beta), None)
        return ended

    early = None if enough is None else stop
    # A glance decides no more than whether to go on: it may take the shorter way.
    product = (based.ready if seen else based.quick) or based.product
    alpha, beta, last = lanczos(product, start, n_steps, based.inner, early, image)
    if not np.isfinite([*alpha, *beta]).all():
        raise ValueError(
            "make: the products of A (and of base) must be finite; got a Lanczos matrix "
            f"with {[*alpha, *beta]}."
        )
    theta, weights, norms = ritz(alpha, beta)
    high, rigorous = estimate_bound(theta, norms), False
    n_products = len(alpha) - (image is not None)
    if enough is not None and not ended:
        ended = enough(len(alpha), cg_reduction(alpha, beta), theta)
    if bounded and not ended and based.source is not None:
        bound, spent = bound_near(based.quick or based.matrix, high)
        n_products += spent
        rigorous = bound <= high
        high = min(bound, high)
    return Probe(theta, weights, norms, high, rigorous, n_products, n=based.n), last


def _start(based, rng):
    start = rng.standard_normal(based.n)
    if based.dtype.kind == "c":
        start = start + 1j * rng.standard_normal(based.n)
    return start


def lanczos(product, start, n_steps, inner=None, stop=None, image=None):
    """Run Lanczos steps with local orthogonalisation.

    Parameters
    ----------
    product : callable
        The Hermitian operator: takes and returns an (n,) array. One with the method
        `steps` has loops of its own for the vectors, see `kernels.scaled`.
    start : ndarray, shape (n,)
        Start vector, any length.
    n_steps : int
        Number of products.
    inner : callable, optional
        A positive definite B; the steps are then those of B S, in the inner product
        of the inverse of B.
    stop : callable, optional
        Called with `alpha` and `beta` after each step; true ends the run.
    image : ndarray, shape (n,), optional
        The product of `start`, where it is known: one product less is made.

    Returns
    -------
    alpha, beta : list of float
        Diagonal and subdiagonal of the Lanczos matrix; the last of `beta` belongs to
        the vector that would come next, and is 0 where the Krylov space has ended.
    last : ndarray, shape (n,)
        That next vector, or zero; not of length one where `stop` has ended the run.

    Notes
    -----
    Three vectors, no long reorthogonalisation, and a second pass over them only where a
    step leaves little: after a dozen steps a lost
    orthogonality shows as a second copy of a Ritz value of tiny weight, and the
    engine is trained on probes made by this very function.

    References
    ----------
    .. [1] G. H. Golub and C. F. Van Loan, "Matrix Computations", 4th ed., 2013,
       section 10.1 and 10.3.
    .. [2] C. C. Paige, "Computational variants of the Lanczos method for the
       eigenproblem", J. Inst. Maths Applics 10, 1972, pp. 373-381.
    """
    alpha, beta, b, largest = [], [], 0.0, 0.0
    begin = getattr(product, "steps", None) if inner is None else None
    steps = begin(start, image) if begin else _Steps(product, start, inner, image)
    steps.norm()
    for _ in range(min(n_steps, start.size)):
        a = steps.multiply(b)
        size, b = abs(a) + b, steps.subtract(a)
        # Where little is left, cancellation has left of v and its forerunner, too.
        if not b > _CANCELLED * size:
            part, b = steps.again()
            a += part
        alpha.append(float(a))
        largest = max(largest, abs(a) + b)
        if not b > 10 * np.finfo(np.float64).eps * largest * np.sqrt(start.size):
            beta.append(0.0)
            return alpha, beta, np.zeros_like(steps.v)
        beta.append(b)
        if stop is not None and stop(alpha, beta):
            return alpha, beta, steps.w
        steps.advance(b)
    return alpha, beta, steps.v


class _Steps:
    """Vectors of Lanczos steps, in NumPy; `kernels.scaled.Steps` is their twin."""

    def __init__(self, product, start, inner, image):
        self.product, self.inner, self.image = product, inner, image
        self.v = np.array(start)
        self.z = self._with_base(self.v)
        self.before = None
        self.w = self.u = None

    def norm(self):
        norm = _norm(self.v, self.z)
        self.v = self.v / norm
        self.z = self.v if self.inner is None else self.z / norm
        if self.image is not None:
            self.image = self.image / norm

    def multiply(self, b):
        if self.image is not None:
            self.w, self.image = self.image, None
        else:
            self.w = np.array(self.product(self.z))
        if self.before is not None:
            self.w -= b * self.before[0]
        return dot(self.z, self.w).real

    def subtract(self, a):
        self.w -= a * self.v
        self.u = self._with_base(self.w)
        return _norm(self.w, self.u)

    def again(self):
        part = dot(self.z, self.w).real
        self.w -= part * self.v
        if self.before is not None:
            v, z = self.before
            self.w -= dot(z, self.w) * v
        self.u = self._with_base(self.w)
        return part, _norm(self.w, self.u)

    def advance(self, b):
        self.before = self.v, self.z
        self.w /= b
        self.v = self.w
        self.z = self.v if self.inner is None else self.u / b

    def _with_base(self, x):
        return x if self.inner is None else np.asarray(self.inner(x))


def cg_reduction(alpha, beta):
    """Return the residual norm that CG would have reached, from a Lanczos matrix.

    Parameters
    ----------
    alpha, beta : sequence of float, length m
        As `lanczos` returns them.

    Returns
    -------
    float
        After m steps, relative to the right-hand side; infinite where CG would break
        down. As `Probe.cg_reduction`, without eigenvalues.
    """
    pivot, value, before = 1.0, 1.0, 0.0
    for a, b in zip(alpha, beta, strict=True):
        pivot = a - before**2 / pivot
        if not pivot > 0:
            return np.inf
        value *= b / pivot
        before = b
    return value


def ritz(alpha, beta):
    """Return Ritz values, weights and residual norms of a Lanczos matrix.

    Parameters
    ----------
    alpha, beta : sequence of float, length m
        As `lanczos` returns them.

    Returns
    -------
    theta, weights, residual_norms : ndarray, shape (m,)
        See `Probe`.
    """
    T = np.diag(alpha) + np.diag(beta[:-1], 1) + np.diag(beta[:-1], -1)
    theta, Y = np.linalg.eigh(T)
    return theta, Y[0] ** 2, beta[-1] * np.abs(Y[-1])


def estimate_bound(theta, residual_norms):
    """Estimate an upper bound of the spectrum from Ritz pairs.

    Parameters
    ----------
    theta, residual_norms : ndarray, shape (m,)
        Ritz values, ascending, and their residual norms.

    Returns
    -------
    float
        1.02 max(θ + residual, 1.05 θ), θ the largest Ritz value; not rigorous.
    """
    top = theta[-1]
    return float(_OVER_BOUND * max(top + residual_norms[-1], _OVER_RITZ * top))


def rigorous_bound(S):
    """Bound the spectral radius of an explicit matrix.

    Parameters
    ----------
    S : csr_array or ndarray or Scaled, shape (n, n)
        Hermitian.

    Returns
    -------
    float
        max_i (|S| x)_i / x_i for a positive x; at least λmax up to rounding.

    Notes
    -----
    Collatz and Wielandt: the quotient bounds the spectral radius of |S|, which bounds
    that of S, for every positive x. Four steps of the power method choose x.

    References
    ----------
    .. [1] R. A. Horn and C. R. Johnson, "Matrix Analysis", 2nd ed., 2013,
       theorem 8.1.26.
    """
    return bound_near(S, np.inf)[0]


def bound_near(S, high):
    """Bound the spectral radius, as long as the bound may still fall below an estimate.

    Parameters
    ----------
    S : csr_array or ndarray or Scaled, shape (n, n)
        As for `rigorous_bound`.
    high : float
        The estimate.

    Returns
    -------
    bound : float
        As `rigorous_bound` returns it where it is below `high`; else it may be larger.
    n_products : int
        Products with |S| made, 4 at most.
    """
    bounds = S.bounds() if hasattr(S, "bounds") else _bounds(S)
    for k, bound in enumerate(itertools.islice(bounds, N_BOUND_PRODUCTS), 1):
        if bound > _HOPELESS.get(k, np.inf) * high:
            break
    return bound * (1 + 1e-12), k


def _bounds(S):
    """Yield what `Scaled.bounds` yields, from a matrix."""
    B = abs(S)
    x = np.ones(S.shape[0])
    bound = np.inf
    while True:
        y = B @ x
        bound = min(bound, float((y / x).max()))
        yield bound
        # Rows of very small quotients would make x leave the positive numbers.
        x = np.maximum(y / bound, 1e-3 * x)


def n_check_products(degree):
    """Return how many products the self-check of a polynomial takes.

    Parameters
    ----------
    degree : int
        Degree of p.

    Returns
    -------
    int
        Applications of λp(λ), 17 products or one, and 4 Lanczos steps: 21 to 24 up to
        degree 16, degree + 5 above.
    """
    return _n_applications(degree) * (degree + 1) + _N_CHECK_STEPS


def self_check(product, polynomial, apply, start, *, inner=None, largest=0.0):
    """Look for eigenvalues above the interval with the polynomial that grows there.

    Parameters
    ----------
    product : callable
        The Hermitian operator, as for `lanczos`.
    polynomial : Polynomial
        The p of q = λp.
    apply : callable
        Returns p(S) x, or p(B S) B x with `inner`, as the preconditioner will.
    start : ndarray, shape (n,)
        The last Lanczos vector plus a random one, not zero.
    inner : callable, optional
        The B of `lanczos`; norms are then those of B.
    largest : float, optional
        Largest Ritz value known already.

    Returns
    -------
    figure : float
        The larger of two quotients; above 1, part of the spectrum lies above the
        interval, or in a gap. The largest ‖q v‖/‖v‖ met, q = λp, over 1.05 max q on
        [0, high] without the gaps; and the largest Ritz value, known or of the last
        iterate, over the upper end.
    bound : float
        Upper bound estimated from those Ritz values.

    Notes
    -----
    The last Lanczos vector is large where the spectrum lies above the largest Ritz
    value, and q(S) makes it larger there. The growth of q alone overlooks an upper end
    2 % too low where q rises slowly, at low degree or with a φ that is small at the
    upper end; it still costs iterations there. Ritz values do not overlook it: the
    largest is a lower bound of the largest eigenvalue.
    """
    high = polynomial.interval[1]
    part = np.linspace(0.0, 1.0, 8 * polynomial.degree + 9)
    intervals = np.array([(0.0, polynomial.interval[0]), *polynomial.intervals])
    x = (intervals[:, :1] + np.diff(intervals) * part).ravel()
    limit = SELF_CHECK_LIMIT * float(np.abs(x * polynomial(x)).max())
    v = start
    norm = _norm(v, v if inner is None else inner(v))
    growth = 0.0
    for _ in range(_n_applications(polynomial.degree)):
        v = v / norm
        v = product(apply(v))
        norm = _norm(v, v if inner is None else inner(v))
        if not (np.isfinite(norm) and norm > 0):
            return np.inf, _OVER_BOUND * high
        growth = max(growth, norm / limit)
    alpha, beta, _ = lanczos(product, v, _N_CHECK_STEPS, inner)
    theta, _, norms = ritz(alpha, beta)
    bound = max(estimate_bound(theta, norms), _OVER_BOUND * _OVER_RITZ * largest)
    return max(growth, float(theta[-1]) / high, largest / high), bound


def _n_applications(degree):
    return max(1, -(-17 // (degree + 1)))


def _norm(r, z):
    """Return sqrt(r* z); 0 where rounding makes a positive product negative."""
    product = dot(r, z).real
    if 1e-280 < product < 1e280:
        return float(np.sqrt(product))
    sizes = float(np.abs(r).max()), float(np.abs(z).max())
    if not (min(sizes) > 0 and np.isfinite(sizes).all()):
        return 0.0 if min(sizes) == 0 else np.inf
    # Squares of large or small entries would leave the range of float64.
    product = dot(r / sizes[0], z / sizes[1]).real
    return float(np.sqrt(max(product, 0.0)) * np.sqrt(sizes[0]) * np.sqrt(sizes[1]))
