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
from .roots import RootPolynomial
from .signed import SignedPolynomial

__all__ = [
    "PASSES",
    "Chooser",
    "base_of",
    "check_base",
    "choose",
    "estimate_iterations",
    "is_uneven",
    "largest_row",
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
PASSES, _MUCH = 4, 0.5  # of equilibration, and what they must make of the iterations
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
    return Chooser(request).choose(based, seen)


class Chooser:
    """Makes the choice; what depends on where A is stands in methods of its own.

    Parameters
    ----------
    request : Request
        What the caller asked for; A is Hermitian.
    """

    def __init__(self, request):
        self.request, self.operand = request, request.operand
        self.precision = request.precision or "mixed"
        self.vectors = layout.vector_dtype(request.operand.dtype, self.precision)
        self.rng = request.rng
        self.notes, self.found, self.predicted, self.engine = [], None, {}, "none"

    def choose(self, based=None, seen=None):
        """Choose, as the function does.

        Parameters
        ----------
        based, seen : object, optional
            As there.

        Returns
        -------
        Choice
            As there.
        """
        request = self.request
        steps = checks.check_steps(request.n_probe, self.operand.n, "make")
        given = request.degree
        if request.state:
            given = request.state["polynomial"].degree
            if isinstance(request.state["polynomial"], RootPolynomial):
                raise ValueError(
                    "make: polynomial must be positive on the real line for minres; got a "
                    "RootPolynomial. Use solver='gmres' or 'bicgstab'."
                )
        if isinstance(given, int):
            checks.check_even(given, "make")
        based = self.base() if based is None else based
        if request.state:
            polynomial = request.state["polynomial"]
            self.engine = request.state.get("engine")
            self.notes.append("the polynomial was given: the spectrum was not probed")
        else:
            based, polynomial = self._searched(based, steps, seen)
        alone = polynomial is None or polynomial.degree == 0
        if alone:
            polynomial, self.engine = SignedPolynomial((-1.0, 1.0), (1.0,)), "none"
            self.notes.append("no polynomial pays for itself: M is the base alone")
        proof = trials.certify(polynomial, self.vectors, based.source is not None)
        if not proof.safe:
            raise ValueError(
                "make: an M for minres must be positive definite beyond rounding; got a "
                f"polynomial of degree {polynomial.degree} where {proof.reason()}. Use a "
                "lower degree, or precision='double'."
            )
        stored, kernel = self.nothing() if alone else self.store(based)
        kernels.check_threads(kernel, stored.kind, request.n_threads)
        return Choice(
            solver=request.solver or "minres",
            kind="her",
            based=based,
            stored=stored,
            kernel=kernel,
            precision=self.precision,
            polynomial=polynomial,
            certificate=proof,
            probe=self.found,
            engine=self.engine,
            candidates=self.predicted,
            break_even=None,
            n_products=self.found.n_products if self.found else 0,
            notes=tuple(self.notes),
            null=request.null,
        )

    def _searched(self, based, steps, seen):
        """Return the base that is kept, and the best polynomial on it or None."""
        degree, outer = self.request.degree, self.outer()
        enough = None
        if degree is None:  # in haste: nothing is known of storage yet
            enough = lambda iterations: iterations * outer < _CHOICE  # noqa: E731
            if not enough(_ASKED[_GLANCE] * _LEAST):
                seen = None
        self.found, plain = self._probe(based, steps, enough, seen)
        if based.name == "equilibrate" and plain * outer > _CHOICE:
            based, plain = self._scaled_further(based, steps, plain)
        seconds = {degree: 1.0}
        if degree is None or degree == "measure":
            self.predicted, seconds = {0: plain * outer}, {}
            if not (enough and enough(plain)):
                costs = self.costs(based)
                self.predicted, seconds = _worthwhile(costs, outer, plain)
        if not seconds or degree == 0:
            return based, None
        polynomial = trials.best(self.found, seconds, self.vectors)
        self.engine = "classical"
        if polynomial is None:
            self.notes.append("no polynomial of the degree asked for is certified positive")
        return based, polynomial

    def _probe(self, based, steps, enough=None, seen=None):
        given = self.rng, enough, self.request.null, seen
        return probe_indefinite(based, steps, *given, self.largest_row)

    def _scaled_further(self, based, steps, plain):
        """Rows and columns that differ much need more passes, or are better left alone."""
        again = self.rescaled(based)
        found, iterations = self._probe(again, steps)
        spent = self.found.n_products + found.n_products + PASSES - 1
        if iterations < _MUCH * plain:
            based, self.found, plain = again, found, iterations
            self.notes.append(
                f"rows equilibrated {PASSES} times: fewer iterations foreseen"
            )
        self.found = dataclasses.replace(self.found, n_products=spent)
        return based, plain

    def base(self):
        """Return what the polynomial stands on.

        Returns
        -------
        Based
            As `base_of` returns it.
        """
        return base_of(self.request)

    def rescaled(self, based):
        """Equilibrate rows and columns further; see the function.

        Parameters
        ----------
        based : Based
            As `base` returns it.

        Returns
        -------
        Based
            Scaled four times.
        """
        return rescaled(based)

    def largest_row(self, based):
        """Return the largest sum of moduli in a row of S; see the function.

        Parameters
        ----------
        based : Based
            Of an explicit A.

        Returns
        -------
        float
            Bounds the modulus of the eigenvalues.
        """
        return largest_row(based)

    def outer(self):
        """Count the time of an iteration of minres without M.

        Returns
        -------
        float
            Seconds.
        """
        return _outer(self.operand)

    def costs(self, based):
        """Return sizes that an application is counted from.

        Parameters
        ----------
        based : Based
            That is kept.

        Returns
        -------
        cost.Costs
            Before anything is stored.
        """
        return _costs(self.operand, based, self.precision, self.vectors)

    def store(self, based):
        """Store S for the kernels.

        Parameters
        ----------
        based : Based
            That is kept.

        Returns
        -------
        stored : Stored
            S.
        kernel : str
            That applies it.
        """
        request = self.request
        stored = layout.store(based, self.operand.dtype, self.precision, request.storage)
        return stored, kernels.select(stored.kind, request.kernel)[0]

    def nothing(self):
        """Return what `store` does, for the base alone.

        Returns
        -------
        stored : Stored
            Of no bytes.
        kernel : str
            That applies it.
        """
        return layout.Stored("none"), "reference"


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
    check_base(base)
    dtype = np.dtype(np.complex128 if operand.dtype.kind == "c" else np.float64)
    matrix, scale, name = operand.matrix, None, "none"
    if matrix is not None and base != "none":
        norms = row_norms(matrix)
        if base == "equilibrate" or is_uneven(float(norms.min()), float(norms.max())):
            name = "equilibrate"
            scale = np.where(norms > 0, norms, 1.0)
            np.sqrt(scale, out=scale)
            np.divide(1.0, scale, out=scale)
    based = Based(
        name, matrix, operand.operator, scale, scale, None, dtype, request.n_threads
    )
    return rescaled(based) if request.state.get("n_scalings", 1) > 1 else based


def check_base(base):
    """Refuse a base that does not suit such a matrix.

    Parameters
    ----------
    base : str, object or None
        As `Request.base`.

    Raises
    ------
    ValueError
        If it is another one than 'none' or 'equilibrate'.
    """
    if base is not None and base not in ("none", "equilibrate"):
        name = base if isinstance(base, str) else type(base).__name__
        raise ValueError(
            "make: base must be 'none' or 'equilibrate' for a Hermitian A that is not "
            f"positive definite; got {name!r}. Diagonals have zeros there, row norms have "
            "none."
        )


def is_uneven(least, most):
    """Tell whether rows are worth being scaled.

    Parameters
    ----------
    least, most : float
        The smallest row norm, and the largest.

    Returns
    -------
    bool
        Also where their squares would overflow.
    """
    return not 1 / _RANGE < most < _RANGE or most > _EVEN_ROWS * least


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
    for _ in range(PASSES - 1):
        norms = scale * (sizes @ scale)
        scale /= np.sqrt(np.where(norms > 0, norms, 1.0))
    return dataclasses.replace(based, left=scale, right=scale, n_scalings=PASSES)


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


def largest_row(based):
    """Return the largest sum of moduli in a row of S.

    Parameters
    ----------
    based : Based
        Of an explicit A.

    Returns
    -------
    float
        Bounds the modulus of the eigenvalues.
    """
    S = based.source if based.left is None else based.matrix
    return float(row_norms(S).max())


def probe_indefinite(
    based, n_steps, rng, enough=None, null=None, seen=None, largest_row=largest_row
):
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
    largest_row : callable, optional
        As the function of that name, for `based`.

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
        bound = 1.0 if based.n_scalings == 1 else largest_row(based)
        high, rigorous = bound * (1 + 1e-12), True
    elif based.source is not None:
        bound = largest_row(based) * (1 + 1e-12)
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
