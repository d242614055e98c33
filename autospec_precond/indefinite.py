"""The choice for Hermitian matrices that are not positive definite: an M for MINRES."""

import dataclasses

import numpy as np
import scipy.sparse as sp

from . import checks, cost, kernels, trials
from .kernels import layout
from .minres_probe import ASKED, GLANCE, probe_indefinite
from .request import Choice
from .row_scaling import PASSES, base_of, largest_row, rescaled
from .signed import SignedPolynomial

__all__ = ["Chooser", "choose"]

_LEAST = 10  # iterations below which none is hoped for
_MUCH = 0.5  # what more passes of equilibration must make of the iterations

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
# Seconds of fits, trials and the proof, three times: what they save is estimated. Counted
# once, small systems were probed further, and still none got a polynomial.
_CHOICE = 12e-3

_ALONE = SignedPolynomial((-1.0, 1.0), (1.0,))  # leaves the base as it is


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
            polynomial, self.engine = _ALONE, "none"
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
            if not enough(ASKED[GLANCE] * _LEAST):
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


def _outer(operand):
    """Return the seconds of an iteration of SciPy's minres without M."""
    nnz = 8 * operand.n if operand.matrix is None else operand.nnz
    return cost.Costs(operand.n, nnz, 8, 8, True, solver="minres").outer()


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
        foreseen = layout.foresee(based.source, operand.dtype, precision, based.ready)
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
