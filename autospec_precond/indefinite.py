"""The choice for Hermitian matrices that are not positive definite: an M for MINRES."""

import functools
import math

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, minres

from . import certificate, checks, cost, kernels, probing, signed
from .bases import Based
from .calibration import TIMES
from .kernels import layout
from .nullspace import of_scaled, projected
from .probe import Probe
from .request import Choice
from .signed import SignedPolynomial

__all__ = [
    "base_of",
    "certify",
    "choose",
    "estimate_iterations",
    "least_entry",
    "minres_reduction",
    "probe_indefinite",
    "row_norms",
]

_RTOL = 1e-8  # that solves are predicted for
_ASKED = 6  # steps of the probe after which it may end
_SLACK = 4.0  # by how much the iterations may be underestimated by then
_EVEN_ROWS = 8.0  # ratio of row norms up to which scaling by them gains nothing
_FLOOR = 0.0  # what a polynomial must exceed where it is sampled

# Products of MINRES with a polynomial over those of plain MINRES, on shifted Laplacians
# with 3 to 1690 of 3600 eigenvalues negative: 1.3 to 2.6 at degree 4, 1.4 to 3.5 at 8, 1.8
# to 3.7 at 16, 1.9 to 3.8 at 32. The upper third: fewer products than foreseen do no harm.
_RATIO = {0: 1.0, 4: 1.8, 8: 2.3, 16: 2.8, 32: 3.4}
_CANDIDATES = (4, 8, 16, 32)
_ROWS_PER_DEGREE = 16

# The residual of MINRES falls ever more slowly, so that the last steps of the probe say
# how many iterations it takes at least; once in 20 matrices it took half as many. So a
# polynomial must pay with half of them, too.
_DOUBT, _WORTH = 0.5, 0.9
_MINRES_PASSES = 45  # vectors of length n that an iteration of SciPy's minres moves
_MINRES_CALL = 8e-6  # seconds of its calls, besides the product
_CHOICE = 4e-3  # seconds of fits, trials and the proof

_POINTS, _BUDGET = 400, 240  # of a trial on a synthetic spectrum: eigenvalues, products
_LOWS = (1 / 30, 1 / 100)  # of one-sided candidates, over the top of the spectrum
_LEVELS, _GAP = (1, 2, 8, 32), 1 / 100  # of two-sided ones


def choose(request, based=None):
    """Choose a positive definite M for MINRES.

    Parameters
    ----------
    request : Request
        What the caller asked for; A is Hermitian.
    based : Based, optional
        As `base_of` returns it.

    Returns
    -------
    Choice
        With a certified polynomial, of degree 0 where none pays.

    Raises
    ------
    TypeError, ValueError
        If a keyword does not suit such a matrix.
    """
    operand, degree = request.operand, request.degree
    steps = checks.check_steps(request.n_probe, operand.n, "make")
    given = request.state["polynomial"].degree if request.state else degree
    if isinstance(given, int):
        checks.check_even(given, "make")
    based = base_of(request) if based is None else based
    precision = request.precision or "mixed"
    vectors = layout.vector_dtype(operand.dtype, precision)
    notes, found, predicted, engine = [], None, {}, "none"
    polynomial = None
    if request.state:
        polynomial, engine = request.state["polynomial"], request.state.get("engine")
        notes.append("the polynomial was given: the spectrum was not probed")
    else:
        costs = _costs(operand, based, precision, vectors)
        enough = _enough(costs) if degree is None else None
        found, plain = probe_indefinite(based, steps, request.rng, enough, request.null)
        if degree is None or degree == "measure":
            predicted = _predict(costs, min(plain, 5.0 * operand.n))
            degree = min(predicted, key=predicted.get)
            doubted = _predict(costs, _DOUBT * min(plain, 5.0 * operand.n))
            if doubted.get(degree, np.inf) > _WORTH * doubted[0]:
                degree = 0
        if degree:
            polynomial = _polynomial(found, degree, vectors)
            engine = "classical"
            if polynomial is None:
                notes.append(f"no polynomial of degree {degree} is certified positive")
    alone = polynomial is None or polynomial.degree == 0
    if alone:
        polynomial, engine = _constant(based), "none"
        notes.append("no polynomial pays for itself: M is the base alone")
    proof = certify(polynomial, vectors, based.source is not None)
    if not proof.safe:
        raise ValueError(
            "make: an M for minres must be positive definite beyond rounding; got a "
            f"polynomial of degree {polynomial.degree} where {proof.reason()}. Use a lower "
            "degree, or precision='double'."
        )
    stored, kernel = layout.Stored("none"), "reference"
    if not alone:
        stored = layout.store(based, operand.dtype, precision, request.storage)
        kernel = kernels.select(stored.kind, request.kernel)[0]
    kernels.check_threads(kernel, stored.kind, request.n_threads)
    return Choice(
        solver=request.solver or "minres",
        kind="her",
        based=based,
        stored=stored,
        kernel=kernel,
        precision=precision,
        polynomial=polynomial,
        certificate=proof,
        probe=found,
        engine=engine,
        candidates=predicted,
        break_even=None,
        n_products=found.n_products if found else 0,
        notes=tuple(notes),
        null=request.null,
    )


def base_of(request):
    """Scale rows and columns by the roots of row norms, which need no sign.

    Parameters
    ----------
    request : Request
        What the caller asked for.

    Returns
    -------
    Based
        Named 'none' where the row norms are about the same, or not known.

    Raises
    ------
    ValueError
        If another base was asked for.
    """
    operand, base = request.operand, request.base
    if base is not None and base not in ("none", "equilibrate"):
        name = base if isinstance(base, str) else type(base).__name__
        raise ValueError(
            "make: base must be 'none' or 'equilibrate' for a Hermitian A that is not "
            f"positive definite; got {name!r}. Diagonals have zeros there, row norms have "
            "none."
        )
    dtype = np.dtype(np.complex128 if operand.dtype.kind == "c" else np.float64)
    matrix, scale, name = operand.matrix, None, "none"
    if matrix is not None and base != "none":
        norms = row_norms(matrix)
        least, most = float(norms.min()), float(norms.max())
        if base == "equilibrate" or most > _EVEN_ROWS * least:
            name = "equilibrate"
            scale = np.where(norms > 0, norms, 1.0)
            np.sqrt(scale, out=scale)
            np.divide(1.0, scale, out=scale)
    return Based(
        name, matrix, operand.operator, scale, scale, None, dtype, request.n_threads
    )


def least_entry(based):
    """Return what the largest entry of S certainly reaches, without looking at all.

    Parameters
    ----------
    based : Based
        As `base_of` returns it.

    Returns
    -------
    float
        0 where nothing is known.

    Notes
    -----
    Scaled by row norms d, the row with the largest one has entries |a_ij|/(d_i d_j)^1/2
    that sum to at least one.
    """
    if based.name != "equilibrate":
        return 0.0
    rows = based.source
    return 1.0 / (np.diff(rows.indptr).max() if sp.issparse(rows) else based.n)


def row_norms(matrix):
    """Return the sums of moduli of each row.

    Parameters
    ----------
    matrix : csr_array or ndarray
        Explicit.

    Returns
    -------
    ndarray, shape (n,)
        float64.
    """
    if sp.issparse(matrix):
        sizes = np.abs(matrix.data).astype(np.float64, copy=False)
        rows = sp.csr_array((sizes, matrix.indices, matrix.indptr), shape=matrix.shape)
        return rows @ np.ones(matrix.shape[0])
    return np.abs(matrix).sum(axis=1, dtype=np.float64)


def probe_indefinite(based, n_steps, rng, enough=None, null=None):
    """Make Lanczos steps on an operator of either sign.

    Parameters
    ----------
    based : Based
        The operator S.
    n_steps : int
        Lanczos steps.
    rng : numpy.random.Generator
        Source of the start vector.
    enough : callable, optional
        Called with the estimated number of iterations of MINRES; true ends the probe.
    null : ndarray, shape (n, k), or None
        Orthonormal; left out of the start vector.

    Returns
    -------
    found : Probe
        Of kind 'her'. `high` bounds the modulus of the eigenvalues: rigorous where S is
        scaled by row norms, whose rows sum to at most one after a similarity.
    iterations : float
        Of plain MINRES to 1e-8, estimated.
    """
    start = rng.standard_normal(based.n)
    if based.dtype.kind == "c":
        start = start + 1j * rng.standard_normal(based.n)
    if null is not None:
        start = projected(start, of_scaled(null, based.left))

    def stop(alpha, beta):
        return len(alpha) == _ASKED and enough(estimate_iterations(alpha, beta))

    product = based.quick or based.product
    alpha, beta, _ = probing.lanczos(
        product, start, n_steps, None, stop if enough else None
    )
    if not np.isfinite([*alpha, *beta]).all():
        raise ValueError(
            "make: the products of A must be finite; got a Lanczos matrix with "
            f"{[*alpha, *beta]}."
        )
    theta, weights, norms = probing.ritz(alpha, beta)
    largest = float(np.abs(theta).max())
    high, rigorous = 1.02 * max(float((np.abs(theta) + norms).max()), 1.05 * largest), False
    if based.name == "equilibrate":
        high, rigorous = 1.0 + 1e-12, True
    elif based.source is not None:
        bound = float(row_norms(based.source).max()) * (1 + 1e-12)
        high, rigorous = min(high, bound), bound <= high
    made = len(alpha)
    found = Probe(theta, weights, norms, high, rigorous, made, kind="her", n=based.n)
    return found, estimate_iterations(alpha, beta)


def minres_reduction(alpha, beta):
    """Return the residual norm that MINRES has reached, from a Lanczos matrix.

    Parameters
    ----------
    alpha, beta : sequence of float, length m
        As `probing.lanczos` returns them.

    Returns
    -------
    float
        Relative to the right-hand side; it never grows.
    """
    # One rotation per column, as MINRES makes them.
    value, cosine, sine, dbar = 1.0, -1.0, 0.0, 0.0
    for a, b in zip(alpha, beta, strict=True):
        gbar = sine * dbar - cosine * a
        dbar = -cosine * b
        size = math.hypot(gbar, b)
        if size == 0:
            return value
        cosine, sine = gbar / size, b / size
        value *= sine
    return value


def estimate_iterations(alpha, beta):
    """Estimate how many iterations plain MINRES takes, from how it began.

    Parameters
    ----------
    alpha, beta : sequence of float, length m
        As `probing.lanczos` returns them.

    Returns
    -------
    float
        The pace of the last third of the steps, kept up to the end.
    """
    m = len(alpha)
    before = max(1, 2 * m // 3)
    reached = minres_reduction(alpha, beta)
    if reached <= _RTOL or before == m:
        return float(m)
    pace = np.log(minres_reduction(alpha[:before], beta[:before]) / reached) / (m - before)
    return m + float(np.log(reached / _RTOL)) / max(float(pace), 1e-4)


def _enough(costs):
    """Return what tells the probe that no polynomial can pay."""
    return lambda iterations: _SLACK * iterations * _outer(costs) < _CHOICE


def _outer(costs):
    """Return the seconds of an iteration of SciPy's minres without M."""
    moved = cost._moved(_MINRES_PASSES * 8 * costs.n, TIMES["vectors"])
    return _MINRES_CALL + costs.product() + moved


def _predict(costs, plain):
    """Predict the seconds of a solve per degree."""
    times = {0: plain * _outer(costs)}
    for degree in _CANDIDATES:
        if degree * _ROWS_PER_DEGREE > costs.n:
            break
        iterations = np.ceil(plain * _RATIO[degree] / (degree + 1)) + 1
        each = _outer(costs) + costs.edges() + degree * costs.step()
        times[degree] = _CHOICE + costs.setup(degree) + float(iterations * each)
    return times


def _costs(operand, based, precision, vectors):
    foreseen = layout.Foreseen("csr", 0)
    if based.source is not None and sp.issparse(based.source):
        foreseen = layout.foresee(based.source, operand.dtype, precision, based.quick)
    kind, n = foreseen.kind, operand.n
    kernel = kernels.select(kind)[0]
    if operand.matrix is None:
        kind, kernel = "operator", "reference"
    return cost.Costs(
        n,
        8 * n if operand.matrix is None else operand.nnz,
        8 if kind == "operator" or precision == "double" else 4,
        vectors.itemsize,
        kernel == "fused",
        foreseen.n_bytes if kind in ("dia", "sell") else None,
        kind,
        kernels.choose_threads(foreseen, kernel, n, _CANDIDATES[-1], vectors.itemsize),
    )


def _constant(based):
    """Return p = 1: M is the base alone."""
    return SignedPolynomial((-1.0, 1.0), (1.0,))


def _polynomial(found, degree, vectors):
    """Return the best certified candidate in trials on a synthetic spectrum, or None."""
    ends = _ends(found)
    flipped = ends[1] < -ends[0] and _share_below(found) > 0.5
    spectrum = _synthetic(found, *ends)
    if flipped:  # the polynomials are made for more positive than negative ones
        ends, spectrum = (-ends[1], -ends[0]), -spectrum
    scored = []
    for candidate in _candidates(degree, *ends):
        if _is_promising(candidate):
            scored.append((_progress(candidate, spectrum), candidate))
    for _, candidate in sorted(scored, key=lambda pair: -pair[0]):
        chosen = candidate.mirrored() if flipped else candidate
        if certify(chosen, vectors).safe:
            return chosen
    return None


def _ends(found):
    """Estimate the ends of the spectrum from the probe, with a margin."""
    theta, norms = found.ritz_values, found.residual_norms
    margin = 0.01 * found.high
    bottom = theta[0] - max(norms[0], 0.05 * abs(theta[0]), margin)
    top = theta[-1] + max(norms[-1], 0.05 * abs(theta[-1]), margin)
    return max(float(bottom), -found.high), min(float(top), found.high)


def _share_below(found):
    return float(found.weights[found.ritz_values < 0].sum())


def _synthetic(found, bottom, top):
    """Spread eigenvalues as the weights of the Ritz values are spread."""
    shares = np.cumsum(found.weights) - 0.5 * found.weights
    quantiles = (np.arange(_POINTS) + 0.5) / _POINTS
    spectrum = np.interp(quantiles, [0.0, *shares, 1.0], [bottom, *found.ritz_values, top])
    # The outermost ones, which carry little weight, are there all the same.
    spectrum[0] = min(spectrum[0], found.ritz_values[0])
    spectrum[-1] = max(spectrum[-1], found.ritz_values[-1])
    return spectrum


def _candidates(degree, bottom, top):
    """Yield polynomials for a spectrum that is mostly positive."""
    for part in _LOWS:
        yield signed.one_sided(degree, min(bottom, 0.0), top, part * top)
    if bottom < 0:
        size = _GAP * max(-bottom, top)
        for level in _LEVELS:
            yield signed.two_sided(degree, bottom, top, size, level)
        yield signed.even(degree, bottom, top, size)


def _is_promising(polynomial):
    """Tell by samples what the proof would refuse."""
    if not polynomial.coefficients[-1] > 0:
        return False
    bottom, top = polynomial.domain
    x = np.linspace(bottom, top, 400)
    outside = np.linspace(2 * bottom - top, 2 * top - bottom, 400)
    return bool(min(polynomial(x).min(), polynomial(outside).min()) > _FLOOR)


class _Diagonal(LinearOperator):
    """A diagonal matrix that costs no more than its product."""

    def __init__(self, values):
        super().__init__(np.dtype(np.float64), (values.size, values.size))
        self.values = values

    def matvec(self, x):
        return self.values * x

    _matvec = matvec


def _progress(polynomial, spectrum):
    """Return the decades that MINRES gains on a diagonal matrix within the budget."""
    values = polynomial(spectrum)
    if not values.min() > 0:
        return -np.inf
    b = np.ones(spectrum.size)
    steps = max(2, _BUDGET // (polynomial.degree + 1))
    try:
        x, _ = minres(
            _Diagonal(spectrum), b, M=_Diagonal(values), rtol=1e-30, maxiter=steps
        )
    except ValueError:  # rounding made M indefinite
        return -np.inf
    left = np.linalg.norm(b - spectrum * x) / np.linalg.norm(b)
    return float(-np.log10(max(left, 1e-16)))


def certify(polynomial, vectors, rigorous=False):
    """Prove a polynomial positive on the real line, beyond rounding.

    Parameters
    ----------
    polynomial : SignedPolynomial
        The p of M.
    vectors : dtype
        Of the recurrence.
    rigorous : bool, optional
        Whether the spectrum is known to lie where p was made for.

    Returns
    -------
    Certificate
        `low` and `high` are the ends of the domain, `q_min` and `q_max` the extrema of
        λ p(λ) there.
    """
    executed = polynomial.rounded(vectors)
    eps = np.finfo(np.empty(0, vectors).real.dtype).eps
    bottom, top = executed.domain
    n = 12 * executed.degree + 12
    x = 0.5 * (bottom + top) + 0.5 * (top - bottom) * np.cos(np.pi * np.arange(n + 1) / n)
    p = executed(x)
    scale = np.abs(p).max() or 1.0
    relative = 4 * (executed.degree + 1) * float(eps) / scale
    rounding = relative * float(np.abs(executed.coefficients).sum())
    first, *others = executed.coefficients
    growth = tuple(
        float(np.abs(ends * executed(ends)).max())
        for ends in (edge * np.array([bottom, top]) for edge in (1.01, 1.02, 1.05, 1.25))
    )
    return certificate.Certificate(
        positive=_is_positive((first - rounding * scale, *others)),
        margin=float(p.min() / scale),
        rounding=rounding,
        low=bottom,
        high=top,
        q_min=float((x * p).min()),
        q_max=float((x * p).max()),
        gap_max=0.0,
        growth=growth,
        high_is_rigorous=rigorous,
        self_check=None,
        bound_proved=True,
    )


_is_positive = functools.lru_cache(maxsize=64)(certificate.is_positive)
