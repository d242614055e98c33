"""The choice of a polynomial: probe, predict, check the bound, certify, repair."""

import dataclasses
import functools
import itertools
import time

import numpy as np

from . import blas, certificate, classical, cost, kernels, probing
from .errors import NotPositiveError
from .kernels.layout import power_of_two
from .kernels.stored_steps import StoredProduct
from .linop import core
from .nullspace import projected
from .operands import random_vector
from .polynomial import Polynomial
from .sums import norm

__all__ = ["Chooser"]

_N_REPAIRS = 6  # of `high`, before the rigorous bound is taken
_RAISE = 1.02  # by at least this factor each time
_EASY = 60  # products of plain CG below which making M costs as much as solving
_GLANCE = 2000  # rows from which on a glance comes before the probe
_ASKED = (2, 3, 4, 6, 8)  # steps of the probe after which it may end
_RUNS = 3  # of which `degree="measure"` takes the least time


class Chooser:
    """The choice of a polynomial, step by step, and the account of its products.

    Parameters
    ----------
    based : Based
        The operator S.
    vector_dtype : dtype
        Of the vectors in the recurrence.
    rng : numpy.random.Generator
        Source of the start vectors.
    null : ndarray, shape (n, k), or None
        Orthonormal null vectors of S, left out of the start vector of the probe.

    Attributes
    ----------
    stored : Stored or None
        S as the kernel reads it.
    kernel : str
        'reference' or 'fused'.
    declined : bool
        A polynomial was found not to pay before S was stored.
    break_even : int or None
        Right-hand sides from which on a polynomial pays for its setup.
    polynomial : Polynomial
        The choice.
    certificate : Certificate
        What is proved about it.
    found : Probe or None
        What the probe found, `high` as last raised.
    engine : str
        Where the polynomial comes from, for the report.
    predicted : dict of int to float
        Seconds per candidate degree.
    n_products : int
        Products with A spent.
    notes : list of str
        Sentences for the report.
    unproved : list of str
        Those of them that the caller is to be warned of.
    """

    otherwise = "For an indefinite A use minres, or gmres, as solver=."

    def __init__(self, based, vector_dtype, rng, null=None):
        self.based = based
        self.null = null
        self.vector_dtype = vector_dtype
        self.rng = rng
        self.stored, self.kernel = None, "reference"
        self.declined = False
        self.break_even = None
        self.found = None
        self.noise = None
        self.proved = None
        self.engine = "none"
        self.gaps = True
        self.predicted = {}
        self.n_products = 0
        self.notes = []
        self.unproved = []

    def keep(self, stored, kernel):
        """Take S as the kernel reads it.

        Parameters
        ----------
        stored : Stored
            The operator.
        kernel : str
            'reference' or 'fused'.
        """
        self.stored, self.kernel = stored, kernel
        if self.found is not None:
            self._set_unit(self.found.high)

    def given(self, state):
        """Take the polynomial of the caller's; refuse one that is not positive.

        Parameters
        ----------
        state : dict
            Holds 'polynomial', and what `PolynomialPreconditioner.state` adds.
        """
        self.polynomial = state["polynomial"]
        self._set_unit(self.polynomial.interval[1])
        self.engine = state.get("engine", "given")
        self.certificate = self._certify(self.polynomial, False, None)
        if not self.certificate.safe:
            raise ValueError(
                "make: the polynomial must be positive on the real line with a margin "
                f"over rounding; got one of degree {self.polynomial.degree} where "
                f"{self.certificate.reason()}. Use an even degree and a residual "
                "polynomial below 1 between its roots."
            )
        self._check_given()
        self.notes.append("the polynomial was given: the spectrum was not probed")

    def _set_unit(self, high):
        """Let a matrix-free operator appear with numbers of the order of one."""
        if self.stored is not None and self.stored.kind == "operator":
            self.stored = dataclasses.replace(self.stored, unit=power_of_two(high))

    def _check_given(self):
        """Check that the interval reaches up to the spectrum: A may be another one."""
        figure, _ = self._self_check(self.polynomial, self._start_for_given())
        self.certificate = self._certify(self.polynomial, False, figure)
        if figure > 1:
            self._warn(
                f"the spectrum of A reaches above the interval of the polynomial given "
                f"(up to {self.polynomial.interval[1]:.3g}), or into a gap of it: "
                "CG may be far slower than without M; leave polynomial= out"
            )

    def _start_for_given(self):
        """Draw the start of the check of a given polynomial."""
        start = np.random.default_rng(0).standard_normal(self.based.n)
        return start.astype(self.based.dtype)

    def probe(self, n_steps, real_dtype, hopes=None, seen=None, bounded=True):
        """Probe the based operator; refuse one that is not positive definite.

        Parameters
        ----------
        n_steps : int
            Lanczos steps.
        real_dtype : dtype
            Real type of A's precision: its rounding may make a Ritz value negative.
        hopes : callable, optional
            Returns the Costs foreseen, in haste or, called with True, closely; where no
            polynomial can pay the probe ends early. By default it never does.
        seen : tuple of ndarray, optional
            A random vector, and its product with S: a glance of two steps from there
            tells most of what needs no probe.
        bounded : bool, optional
            Whether to look for a rigorous bound of the spectrum.
        """
        if hopes is not None:
            hopes = functools.cache(hopes)

        def declines(k, reduction, theta):
            self.declined = self._declines(hopes, k, reduction, theta)
            return self.declined

        enough = None if hopes is None else declines
        quick = seen is not None and self.based.n >= _GLANCE
        if quick and self.null is not None:  # S times a null vector is zero
            seen = projected(seen[0], self.null), seen[1]
        start = None if self.null is None else (self._start_without_null(), None)
        if hopes is not None and quick and n_steps > _ASKED[0]:
            found = self._look(
                _ASKED[0],
                lambda k, reduction, theta: theta is None and declines(k, reduction, None),
                seen,
                False,
            )
        if not self.declined:
            found = self._look(n_steps, enough, start, bounded)
        self.found, self.last = found
        theta = self.found.ritz_values
        if not np.isfinite(theta).all() or not np.isfinite(self.found.high):
            raise ValueError(
                "make: the products of A (and of base) must be finite; got Ritz values "
                f"{theta}."
            )
        below = 100 * np.finfo(real_dtype).eps * theta.size
        if theta[-1] <= 0 or theta[0] < -below * theta[-1]:
            raise NotPositiveError(
                "make: A must be positive definite; got a Ritz value of "
                f"{theta[0]:.3g} (the largest is {theta[-1]:.3g}). {self.otherwise}"
            )
        self._set_unit(self.found.high)
        if self.found.n_steps < n_steps and not self.last.any():
            self.notes.append(
                f"the Krylov space ended after {self.found.n_steps} of {n_steps} steps: "
                "the start vector sees no more different eigenvalues"
            )
        if self.declined:
            self._judge(hopes(hopes.cache_info().currsize > 1))
            self.notes.append(f"declined after {self.found.n_steps} steps of the probe")
            self._take_base()

    def _start_without_null(self):
        start = self.rng.standard_normal(self.based.n).astype(self.based.dtype)
        return projected(start, self.null)

    def _look(self, n_steps, enough, seen=None, bounded=True):
        found = probing.probe_operator(
            self.based, n_steps, self.rng, enough, bounded=bounded, seen=seen
        )
        self.n_products += found[0].n_products
        return found

    def _declines(self, hopes, n_steps, reduction, theta):
        """Tell whether no polynomial can pay; `theta` is None before the last step."""
        if theta is None:
            if n_steps not in _ASKED or not np.isfinite(reduction):
                return False
            haste, check = hopes(False), probing.n_check_products
            if cost.clearly_easy(haste, n_steps, reduction):
                return True
            # A look at the pattern takes long: at best a product would read nothing of A.
            best = dataclasses.replace(haste, matrix_bytes=0, kind="dia")
            if cost.hardly_pays(best, n_steps, reduction, check):
                return True
            if n_steps == _ASKED[0] and cost.never_pays(hopes(True)):
                return True
            return cost.hardly_pays(hopes(True), n_steps, reduction, check)
        if not theta[0] > 0:
            return False
        plain = cost.iterations_from(n_steps, reduction, theta[-1] / theta[0])
        times = cost.predict(hopes(True), plain, n_steps, probing.n_check_products)
        return min(times, key=lambda d: sum(times[d])) == 0

    def choose(self, degree, model, costs):
        """Choose degree and polynomial, check the bound, certify.

        Parameters
        ----------
        degree : int, 'measure' or None
            What the caller asked for.
        model : Engine or None
            None for the classical polynomial.
        costs : Costs
            What a candidate degree is judged by.
        """
        self.engine = "classical" if model is None else f"{model.name} {model.digest}"
        free = not isinstance(degree, int)
        if free:
            if degree == "measure":
                costs = self._measured(costs, model)
            degree = self._judge(costs)
        if degree == 0:
            self._take_base()
            return
        self._settle(degree, model)
        if free:
            allowed = [d for d in self.predicted if 0 < d <= degree]
            while not self._settled() and len(allowed) > 1:
                allowed.pop()
                self._settle(allowed[-1], model)
        if not self.certificate.bound_proved:
            self._use_rigorous_bound(model)
        if not self.certificate.safe:
            reason = self.certificate.reason()
            self.tried = self.polynomial.degree
            self._take_base()
            self._warn(
                f"no polynomial of degree {self.tried} can be certified in this precision "
                f"({reason}), M is the base alone; use a lower degree or precision='double'"
            )

    def _judge(self, costs):
        """Predict the time of each candidate; return the best degree."""
        check = 0 if self.found.high_is_rigorous else 1
        plain = cost.estimate_iterations(self.found)
        times = cost.predict(
            costs,
            plain,
            self.found.n_steps,
            lambda d: check * probing.n_check_products(d),
        )
        self.predicted = {d: sum(pair) for d, pair in times.items()}
        degree = min(self.predicted, key=self.predicted.get)
        if self.declined:
            # Fewer steps were made than any judgement but this one needs.
            self.predicted = {0: self.predicted[0]} if degree else self.predicted
            degree = 0
        self.break_even = cost.break_even(costs, times, degree, self.n_products)
        self._say_if_easy(degree, plain)
        return degree

    def _measured(self, costs, model):
        """Replace counted times of products by those that a few applications take."""
        n = self.based.n
        x = np.ones(n, self.vector_dtype)
        work = np.empty_like(x), np.empty_like(x)
        degree = cost.CANDIDATES[-1]
        high = self.found.high
        run = core(self.stored, classical.chebyshev(degree, high), self.kernel)
        run(x, work)  # compiles
        start = self.last + 1.0
        in_kernel = _least_time(lambda: run(x, work)) / degree
        in_scipy = _least_time(lambda: self.based.product(start))
        self.n_products += (_RUNS + 1) * degree + _RUNS
        self.notes.append(
            f"measured, not counted: {in_kernel:.2g} s a product in M, {in_scipy:.2g} s in "
            "SciPy; another run may choose another degree"
        )
        return dataclasses.replace(
            costs, step_seconds=in_kernel, product_seconds=in_scipy, n_threads=1
        )

    def _settled(self):
        return self.certificate.bound_proved and self.certificate.safe

    def _say_if_easy(self, degree, plain):
        """Tell the user where there is little to gain: setup costs products too."""
        if degree == 0:
            self.notes.append("no polynomial pays for itself: M is the base alone")
        # Two steps say how much a product costs, not how many are needed.
        if plain < _EASY and self.found.n_steps > _ASKED[0]:
            self.notes.append(
                f"easy: CG on this base takes about {plain:.0f} products; the probe alone "
                f"takes {self.n_products}"
            )

    def _noise(self):
        """Draw the random part of the start of self-checks, the same for all."""
        if self.noise is None:
            # Not normal: that would take as long as two products of a large matrix.
            self.noise = random_vector(self.rng, self.based.n)
        return self.noise

    def _start_for_check(self):
        """Return the start of a self-check, large where the spectrum may exceed `high`."""
        # The last vector alone lacks what the probe has found exactly.
        noise = self._noise()
        return self.last + 0.3 / norm(noise) * noise

    def _take_base(self):
        high = self.found.high
        self.polynomial = Polynomial((0.5 * high, high), (1.0,))
        self.engine = "none"
        self.certificate = certificate.of_constant(
            self.polynomial,
            dtype=self.vector_dtype,
            high_is_rigorous=self.found.high_is_rigorous,
        )

    def _settle(self, degree, model):
        """Predict, certify and self-check; raise `high` until the check is passed."""
        for _ in range(_N_REPAIRS):
            polynomial = self._predict(degree, model)
            if self.found.high_is_rigorous and not polynomial.gaps:
                figure = None
                break
            figure, bound = self._self_check(polynomial, self._start_for_check())
            if figure <= 1:
                break
            if polynomial.gaps:
                self.gaps = False
                self.notes.append("a gap of the spectrum was not empty: one interval")
                continue
            before = self.found.high
            high = max(bound, _RAISE * before)
            self.found = _with_bound(self.found, high, False)
            self.notes.append(
                f"the spectrum reached above {before:.4g}: bound raised to {high:.4g}"
            )
        self.polynomial = polynomial
        self.certificate = self._certify(polynomial, self.found.high_is_rigorous, figure)
        if figure is not None and figure > 1:
            self._use_rigorous_bound(model)

    def _use_rigorous_bound(self, model):
        """Take the proved bound of the spectrum where there is one, else warn."""
        degree = self.polynomial.degree
        if self.based.matrix is None:
            figure = self.certificate.self_check
            if figure is not None and figure > 1:
                self._warn(
                    f"the spectrum reaches above {self.polynomial.interval[1]:.4g} and no "
                    "bound was found: M may be slow"
                )
            else:
                self._warn(
                    "the upper bound of the spectrum is an estimate, and at degree "
                    f"{degree} an error of 2 % in it would matter; give a lower degree"
                )
            return
        bound = probing.rigorous_bound(self.based.quick or self.based.matrix)
        self.n_products += probing.N_BOUND_PRODUCTS
        self.notes.append(f"degree {degree} needs a proved bound: high is {bound:.4g}")
        self.found = _with_bound(self.found, bound, True)
        self.gaps = False  # their check has failed, or was not made with this bound
        self.polynomial = self._predict(degree, model)
        self.certificate = self._certify(self.polynomial, True, None)

    def _predict(self, degree, model):
        """Return a certified polynomial: one that is not gives way to a plainer one."""
        for polynomial, repair in self._candidates(degree, model):
            if self._certify(polynomial, self.found.high_is_rigorous, None).safe:
                if repair:
                    self.notes.append(f"the first polynomial was not certified: {repair}")
                break
        return polynomial

    def _candidates(self, degree, model):
        """Yield polynomials and how each was made from the one wanted."""
        high = self.found.high
        if model is None:
            plain = classical.chebyshev(degree, high)
            yield plain, ""
        else:
            *unions, plain = model.predict(self.found, degree)
            if self.gaps:
                for k, polynomial in enumerate(unions):
                    yield polynomial, f"choice {k + 1} of the engine" if k else ""
            yield plain, "one interval" if self.gaps and unions else ""
        # At high degree on a short interval φ is smaller than rounding, and so are the
        # coefficients that keep p positive far outside; a longer interval mends that.
        for k in itertools.count(1):
            low = plain.interval[0] / 4.0**k
            if low < 1e-8 * high:
                return
            yield classical.chebyshev(degree, high, low), f"Chebyshev from {low:.2g} on"

    def _certify(self, polynomial, rigorous, figure):
        key = polynomial, rigorous
        if self.proved is None or self.proved[0] != key:  # a proof takes milliseconds
            proof = certificate.certify(
                polynomial, dtype=self.vector_dtype, high_is_rigorous=rigorous
            )
            self.proved = key, proof
        return dataclasses.replace(self.proved[1], self_check=figure)

    def _self_check(self, polynomial, start):
        """Run the self-check through the kernel that will be used."""
        n_threads = self._threads(polynomial.degree)
        run = core(self.stored, polynomial, self.kernel, n_threads)
        inner, quick = self.based.inner, self.based.quick
        self.n_products += probing.n_check_products(polynomial.degree)
        largest = self.found.ritz_values[-1] if self.found else 0.0
        double = quick is not None and quick.double == self.vector_dtype
        if double and inner is None and self.kernel == "fused":  # in the order of M
            _, kernel = kernels.select(self.stored.kind, self.kernel)
            product = StoredProduct(self.stored, kernel, quick, n_threads)

            def run_alone(x):
                work = np.empty_like(x), np.empty_like(x)
                result = run(x, work)
                return np.divide(result, self.stored.unit, out=result)

            start = np.ascontiguousarray(self.stored.arranged(start))
            return probing.self_check(
                product, polynomial, run_alone, start, largest=largest
            )

        def apply(x):
            x = (x if inner is None else inner(x)).astype(self.vector_dtype)
            x = self.stored.arranged(x)
            result = self.stored.restored(run(x, (np.empty_like(x), np.empty_like(x))))
            return result.astype(self.based.dtype) / self.stored.unit

        return probing.self_check(
            quick or self.based.product,
            polynomial,
            apply,
            start,
            inner=inner,
            largest=largest,
        )

    def _threads(self, degree):
        """Return the threads of an application in the self-check."""
        sizes = self.based.n, degree, self.vector_dtype.itemsize
        n_threads = kernels.choose_threads(self.stored, self.kernel, *sizes)
        if n_threads > 1:
            n_threads = self.based.n_threads or n_threads
        return n_threads if n_threads == 1 or blas.hold() else 1

    def _warn(self, text):
        if text not in self.unproved:
            self.notes.append(f"UNPROVED: {text}")
            self.unproved.append(text)


def _least_time(call):
    times = []
    for _ in range(_RUNS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


def _with_bound(found, high, rigorous):
    return type(found)(**{**vars(found), "high": high, "high_is_rigorous": rigorous})
