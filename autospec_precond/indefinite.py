"""The choice for Hermitian matrices that are not positive definite: an M for MINRES."""

import copy
import dataclasses
import functools
import math

import numpy as np
import scipy.sparse as sp

from . import checks, cost, kernels, probing, trials
from .bases import Based
from .calibration import TIMES
from .kernels import layout
from .nullspace import of_scaled, projected
from .probe import Probe
from .request import Choice
from .signed import SignedPolynomial

__all__ = [
    "base_of",
    "choose",
    "estimate_iterations",
    "least_entry",
    "minres_reduction",
    "probe_indefinite",
    "row_norms",
]

_RTOL = 1e-8  # that solves are predicted for
# Steps of the probe after which it may end, and by how much their promise may fall short:
# over 23 matrices the three first steps promised a sixth to two thirds of what six did.
_ASKED = {3: 4.0, 6: 1.0}
_GLANCE, _LEAST = 3, 10  # steps of a glance, and iterations below which none is hoped for
_PASSES, _MUCH = 4, 0.5  # of equilibration, and what they must make of the iterations
_RANGE = 1e100  # of row norms, beyond which squares would overflow
_EVEN_ROWS = 8.0  # ratio of row norms up to which scaling by them gains nothing

# Products of MINRES with the polynomial that trials choose over those of plain MINRES: on
# nine matrices (shifted Laplacians, saddle points, disorder) 1.1 to 2.8 at degree 8, 1.3 to
# 2.8 at 16, 1.6 to 4.1 at 32. The upper third: fewer products than foreseen do no harm.
_RATIO = {8: 2.4, 16: 2.6, 32: 3.0}
_CANDIDATES = (8, 16, 32)
_ROWS_PER_DEGREE = 16

# The residual of MINRES falls ever more slowly, so that the last steps of the probe say
# how many iterations it takes at least; once in 20 matrices it took half as many. So a
# polynomial must pay with half of them, too.
_DOUBT, _WORTH = 0.5, 0.9
_MINRES_PASSES = 45  # vectors of length n that an iteration of SciPy's minres moves
_MINRES_CALL = 8e-6  # seconds of its calls, besides the product
_CHOICE = 12e-3  # seconds of fits, trials and the proof


def choose(request, based=None, seen=None):
    """Choose a positive definite M for MINRES.

    Parameters
    ----------
    request : Request
        What the caller asked for; A is Hermitian.
    based : Based, optional
        As `base_of` returns it.
    seen : tuple of ndarray, optional
        A random vector, and its product with S: a few steps from there tell most systems
        that no polynomial can pay for.

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
        outer = _outer(operand)
        enough = None
        if degree is None:  # in haste: nothing is known of storage yet
            enough = lambda iterations: iterations * outer < _CHOICE  # noqa: E731
            if not enough(_ASKED[_GLANCE] * _LEAST):
                seen = None
        found, plain = probe_indefinite(
            based, steps, request.rng, enough, request.null, seen
        )
        if based.name == "equilibrate" and plain * outer > _CHOICE:
            # Rows and columns that differ much need more passes, or are better left alone.
            again = rescaled(based)
            other = probe_indefinite(again, steps, request.rng, None, request.null)
            spent = found.n_products + _PASSES - 1
            if other[1] < _MUCH * plain:
                based, (found, plain) = again, other
                notes.append(
                    f"rows equilibrated {_PASSES} times: fewer iterations foreseen"
                )
            else:
                spent += other[0].n_products - found.n_products
            found = dataclasses.replace(found, n_products=found.n_products + spent)
        seconds = {degree: 1.0}
        if degree is None or degree == "measure":
            predicted, seconds = {0: plain * outer}, {}
            if not (enough and enough(plain)):
                costs = _costs(operand, based, precision, vectors)
                predicted, seconds = _worthwhile(costs, outer, plain)
        if seconds and degree != 0:
            polynomial = trials.best(found, seconds, vectors)
            engine = "classical"
            if polynomial is None:
                notes.append("no polynomial of the degree asked for is certified positive")
    alone = polynomial is None or polynomial.degree == 0
    if alone:
        polynomial, engine = SignedPolynomial((-1.0, 1.0), (1.0,)), "none"
        notes.append("no polynomial pays for itself: M is the base alone")
    proof = trials.certify(polynomial, vectors, based.source is not None)
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
        far = not 1 / _RANGE < most < _RANGE
        if base == "equilibrate" or far or most > _EVEN_ROWS * least:
            name = "equilibrate"
            scale = np.where(norms > 0, norms, 1.0)
            np.sqrt(scale, out=scale)
            np.divide(1.0, scale, out=scale)
    based = Based(
        name, matrix, operand.operator, scale, scale, None, dtype, request.n_threads
    )
    return rescaled(based) if request.state.get("n_scalings", 1) > 1 else based


def rescaled(based):
    """Equilibrate rows and columns further, until both have norms close to one.

    Parameters
    ----------
    based : Based
        As `base_of` returns it, scaled once.

    Returns
    -------
    Based
        Scaled four times.
    """
    scale = based.left.copy()
    sizes = abs(based.source)
    for _ in range(_PASSES - 1):
        norms = scale * (sizes @ scale)
        scale /= np.sqrt(np.where(norms > 0, norms, 1.0))
    return dataclasses.replace(based, left=scale, right=scale, n_scalings=_PASSES)


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
        rows = copy.copy(matrix)  # shares its pattern
        rows.data = np.abs(matrix.data).astype(np.float64, copy=False)
        return rows @ np.ones(matrix.shape[0])
    return np.abs(matrix).sum(axis=1, dtype=np.float64)


def probe_indefinite(based, n_steps, rng, enough=None, null=None, seen=None):
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
    seen : tuple of ndarray, optional
        A random vector and its product with S, for a glance before the probe; all there
        is where that ends it.

    Returns
    -------
    found : Probe
        Of kind 'her'. `high` bounds the modulus of the eigenvalues: rigorous where S is
        scaled by row norms, whose rows sum to at most one after a similarity.
    iterations : float
        Of plain MINRES to 1e-8, estimated.
    """
    stop = None if enough is None else functools.partial(_is_over, enough)
    if null is not None:
        null = of_scaled(null, based.left)
    alpha, beta, spent = [], [], 0
    if enough is not None and seen is not None and n_steps > _GLANCE:
        start, image = seen
        if null is not None:  # S times a null vector is zero
            start = projected(start, null)
        # It decides no more than whether to go on: it may take the shorter way.
        product = based.ready or based.product
        alpha, beta, _ = probing.lanczos(product, start, _GLANCE, None, None, image)
        spent = len(alpha) - 1
    if len(alpha) < _GLANCE or not _is_over(enough, alpha, beta):
        start = rng.standard_normal(based.n)
        if based.dtype.kind == "c":
            start = start + 1j * rng.standard_normal(based.n)
        if null is not None:
            start = projected(start, null)
        product = based.quick or based.product
        alpha, beta, _ = probing.lanczos(product, start, n_steps, None, stop)
        spent += len(alpha)
    if not np.isfinite([*alpha, *beta]).all():
        raise ValueError(
            "make: the products of A must be finite; got a Lanczos matrix with "
            f"{[*alpha, *beta]}."
        )
    theta, weights, norms = probing.ritz(alpha, beta)
    largest = float(np.abs(theta).max())
    high, rigorous = 1.02 * max(float((np.abs(theta) + norms).max()), 1.05 * largest), False
    if based.name == "equilibrate":
        # After one pass rows of D^-1 A, similar to S, sum to one.
        bound = 1.0 if based.n_scalings == 1 else float(row_norms(based.matrix).max())
        high, rigorous = bound * (1 + 1e-12), True
    elif based.source is not None:
        bound = float(row_norms(based.source).max()) * (1 + 1e-12)
        high, rigorous = min(high, bound), bound <= high
    found = Probe(theta, weights, norms, high, rigorous, spent, kind="her", n=based.n)
    return found, estimate_iterations(alpha, beta)


def _is_over(enough, alpha, beta):
    doubt = _ASKED.get(len(alpha))
    return doubt is not None and enough(doubt * estimate_iterations(alpha, beta))


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


def _outer(operand):
    """Return the seconds of an iteration of SciPy's minres without M."""
    n = operand.n
    nnz = 8 * n if operand.matrix is None else operand.nnz
    product = cost.Costs(n, nnz, 8, 8, True).product()
    return _MINRES_CALL + product + cost._moved(_MINRES_PASSES * 8 * n, TIMES["vectors"])


def _worthwhile(costs, outer, plain):
    """Predict the seconds of a solve per degree, and those of an iteration.

    The second dict is empty where no degree pays with half the iterations.
    """
    plain = min(plain, 5.0 * costs.n)
    degrees = [d for d in _CANDIDATES if d * _ROWS_PER_DEGREE <= costs.n]
    seconds = {d: outer + costs.edges() + d * costs.step() for d in degrees}

    def solve(share):
        times = {0: share * plain * outer}
        for d, each in seconds.items():
            iterations = np.ceil(share * plain * _RATIO[d] / (d + 1)) + 1
            times[d] = _CHOICE + costs.setup(d) + float(iterations * each)
        return times

    doubted = solve(_DOUBT)
    if min(doubted.values()) > _WORTH * doubted[0]:
        seconds = {}
    return solve(1.0), seconds


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
