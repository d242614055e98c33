"""The choice for general matrices: a base, and a polynomial for GMRES or BiCGSTAB."""

from dataclasses import dataclass

import numpy as np

from . import bases, blas, checkpoint, classify, cost, gmres_engine, kernels, scaling
from .arnoldi import Arnoldi, ArnoldiProbe, Vectors
from .bases import Based
from .calibration import TIMES
from .composite import Image, composite
from .cycles import Applied, trial
from .gmres_engine import harmonic_ritz
from .kernels import layout
from .request import Choice
from .roots import RootPolynomial, with_added_roots

__all__ = ["Chooser", "choose"]

# On 45 real matrices degrees 16 to 32 took about as many products; higher ones only where
# restarts hold GMRES up, as in closed streamlines.
_LOW, _HIGH, _HIGHEST = 24, 40, 64
_MEASURED = (8, 16, 24, 40)
_GLANCES = (5, 10)  # steps of the probe after which the base alone may be seen to do
_RESTART = 30
_FINISHED = 4.0  # decades of a cycle of GMRES alone, from which on it will not stall
_RTOL = 1e-8  # that solves are predicted for
_DOUBT = 15  # by how much steps promise too much, times their number
_SETUP = 4e-3  # seconds that probe, roots and storage take, whatever the size
_SETUP_STEPS = 60  # products within M that they take besides
_OUTER_CALLS = 6.5e-5  # seconds of an iteration of SciPy's gmres, besides passes over n
_OUTER_PASSES = 80  # vectors of length n that such an iteration reads and writes

# Where GMRES alone gains a decade within the probe, every polynomial of it was good.
_EASY = 0.1
_LARGE = 20_000  # rows from which on a trial is made in any case
_TRIAL = 150  # products of a trial
_PACE = 0.002  # decades per product that are good enough: a solve in 4000
_SLOW = 0.0015  # below which other bases are tried
_THREADED = 10_000  # rows from which on BLAS uses threads for sums
_GROWN = 2.0  # decades by which no good M lets the true residual grow
_HOPELESS = 2e-4  # decades per product, below which a trial says nothing
_SHARE = 1e-4  # of a diagonal entry in its row and column, from which it is a good scale

# From _LARGE rows on products cost little beside a restart, which forgets: a composite
# of so high a degree mostly needs none. Others took longer where streamlines are closed.
_INNER, _OUTER = 25, 24  # roots of its two polynomials
_GAIN = 1.0  # decades by which one application must lower the true residual


@dataclass
class _Candidate:
    """A polynomial on a base, and what a trial made of it."""

    based: Based
    probe: ArnoldiProbe
    polynomial: RootPolynomial
    precision: str
    engine: str = "classical"
    stored: object = None
    kernel: str = "reference"
    degree: int = 0  # asked for
    pace: float = -np.inf  # decades per product
    grown: float = 0.0  # decades by which the true residual grew at first
    speed: float = -np.inf  # decades per second


def choose(request):
    """Choose base, storage, degree and polynomial for a general A.

    Parameters
    ----------
    request : Request
        What the caller asked for.

    Returns
    -------
    Choice
        Without a certificate: p need not be positive.

    Raises
    ------
    ValueError
        If A is structurally singular, or a keyword does not suit it.
    """
    classify.check_structure(request.operand, "make")
    return Chooser(request).choose()


class Chooser:
    """Makes the candidates, and keeps count.

    Parameters
    ----------
    request : Request
        What the caller asked for.
    """

    vectors = Vectors()
    setup = _SETUP

    def __init__(self, request):
        self.request = request
        self.operand = request.operand
        self.dtype = np.dtype(
            np.complex128 if self.operand.dtype.kind == "c" else np.float64
        )
        self.n_products = 0
        self.notes = []
        self.predicted = {}
        self._start, self._stored, self._probed = None, {}, {}
        self._model = None
        if request.engine != "classical" and not request.state:
            self._model = checkpoint.load_gmres(request.engine)

    def choose(self):
        """Choose, as the function does.

        Returns
        -------
        Choice
            As there.
        """
        request = self.request
        names = self._names()
        if request.state:
            polynomial = request.state["polynomial"]
            precision = request.precision or "mixed"
            engine = request.state.get("engine") or "given"
            based = self._based(names[0])
            return self._finish(_Candidate(based, None, polynomial, precision, engine))
        degree = request.degree
        based = self._based(names[0])
        if degree == 0:
            return self._finish(self._alone(based, None))
        degrees = (self._degree(),)
        if degree == "measure":
            degrees = _MEASURED
        elif degree is not None:
            degrees = (degree,)
        most = max(degrees) if degree is not None else _HIGHEST
        arnoldi = self._begin(based, most)
        for steps in _GLANCES if degree is None else ():
            probe = self._probe(arnoldi.extend(steps))
            if self._is_enough(probe):
                self.notes.append(
                    f"GMRES with the base alone gained {_decades(probe):.1f} decades in "
                    f"{probe.n_steps} steps: no polynomial can pay, M is the base alone"
                )
                return self._finish(self._alone(based, probe))
        best = self._composite(arnoldi, based)
        if best is not None:
            return self._finish(best)
        probe = self._reach(arnoldi, degrees)
        is_small = degree is None and self.operand.n < _LARGE
        if is_small and probe.residual_norms[-1] <= _EASY:
            # The engine takes 1 to 3 ms, more than it could save here.
            self._model = None
            return self._finish(self._candidates(based, probe, degrees)[0])
        found = self._candidates(based, probe, degrees)
        return self._finish(self._best(arnoldi, found, names[1:], degrees))

    def _composite(self, arnoldi, based):
        """Return a composite polynomial for a large matrix, None where it is no good."""
        request = self.request
        is_asked = request.degree is not None or request.engine not in (None, "classical")
        if is_asked or self.operand.n < _LARGE or request.solver not in (None, "gmres"):
            return None
        probe = self._probe(arnoldi.extend(_INNER))
        self._probed[id(based)] = probe.n_products
        is_real = self.dtype.kind == "f"
        inner = probe.harmonic_ritz(_INNER)
        ordered = with_added_roots(inner, is_real)
        if inner.size < _INNER or ordered.size > inner.size:
            return None
        p = RootPolynomial(tuple(ordered), True if is_real else None)
        # float32 values would not survive so many factors.
        made = _Candidate(based, probe, p, request.precision or "double")
        self._store(made)
        image, roll = self._image(made), self.vectors.xp.roll
        start = roll(self._start, 1)
        process = Arnoldi(self._held(image), start, _OUTER, self.vectors).extend(_OUTER)
        self.n_products += process.n_products * _INNER
        both = composite(ordered, harmonic_ritz(process.hessenberg), is_real)
        if both is None or both.size > 1.5 * _INNER * _OUTER:
            return None
        made.polynomial = q = RootPolynomial(tuple(both), True if is_real else None)
        M, b = self._applied(made), roll(self._start, 2)
        size = self.vectors.norm
        with np.errstate(all="ignore"):
            left = size(b - self._held(self._product)(M(b))) / size(b)
        self.n_products += q.degree + 1
        if not left <= 10**-_GAIN:
            return None
        self.notes.append(
            f"composite of polynomials with {_INNER} and {process.n_products} roots: "
            f"applied once, it gained {-np.log10(max(left, 1e-16)):.1f} decades"
        )
        return made

    def _reach(self, arnoldi, degrees):
        """Make as many steps as the engine wants; a small matrix gets them all."""
        most = max(degrees)
        if self._model is not None and self.operand.n >= _LARGE and len(degrees) == 1:
            for m in gmres_engine.stages(most):
                if m < arnoldi.n_products:
                    continue
                H = arnoldi.extend(m).hessenberg
                if self._model.steps(H, most) <= H.shape[1]:
                    return self._probe(arnoldi)
        return self._probe(arnoldi.extend(most + 1))

    def _best(self, arnoldi, found, others, degrees):
        """Return the best candidate, by trials."""
        asked, first = self.request.degree, found[0]
        if asked not in (None, "measure") and not others:
            return first
        for candidate in found:
            self._try(candidate)
        if asked == "measure":
            return max(found, key=lambda c: c.speed)
        found += self._others(first)
        if asked is None and _pace(found) < _PACE:
            higher = (_HIGH if self.operand.n < _LARGE else _HIGHEST,)
            found += self._candidates(first.based, self._reach(arnoldi, higher), higher)
            self._try(found[-1])
        for name in others:
            if _pace(found) >= _SLOW:
                break
            based = self._based(name)
            probe = self._reach(self._begin(based, max(degrees)), degrees)
            found += self._candidates(based, probe, degrees)
            self._try(found[-1])
            found += self._others(found[-1])
        best = max(found, key=_worth)
        pace = f"{100 * best.pace:.2g} decades in 100 products"
        if max(c.pace for c in found) < _HOPELESS:
            # None made headway; equilibration is what most often does in the end. But one
            # with which the residual grew would do harm.
            fair = [c for c in found if c.pace > -_HOPELESS and c.grown < _GROWN]
            scaled = [c for c in fair if c.based.name == "equilibrate"]
            if not fair and asked is None and self.request.base is None:
                # GMRES without M never lets the true residual grow.
                self.notes.append(f"M would do harm (at best {pace}): it is the identity")
                return self._alone(self._based("none"), first.probe)
            fair = fair or found
            best = (scaled or fair)[0]
            self.notes.append(f"hard: the best of {len(found)} polynomials gained {pace}")
        else:
            self.notes.append(f"best of {len(found)} tried: {pace}")
        return best

    def _others(self, candidate):
        """Try what else the same probe offers where a candidate goes slowly.

        The polynomial of GMRES itself, and none at all: no training knows every matrix.
        """
        made = []
        if candidate.pace < _SLOW and self.request.degree is None:
            based, probe = candidate.based, candidate.probe
            if candidate.engine != "classical":
                model, self._model = self._model, None
                made += self._candidates(based, probe, (candidate.degree,))
                self._model = model
            made.append(self._alone(based, probe))
        for other in made:
            self._try(other)
        return made

    def _names(self):
        """Return the bases worth a try, the most promising first."""
        operand, base, diagonal = (
            self.operand,
            self.request.base,
            self.request.diagonal,
        )
        if diagonal is not None and base not in (None, "jacobi"):
            name = base if isinstance(base, str) else type(base).__name__
            raise ValueError(
                f"make: diagonal must be given for base='jacobi' only; got base {name!r}. "
                "Leave one of the two out."
            )
        if base is not None:
            return [base]
        if diagonal is not None:
            return ["jacobi"]
        if operand.matrix is None:
            return ["none"]
        if scaling.signed_diagonal(operand) is None:
            return ["equilibrate", "none"]
        if self._share() >= _SHARE:
            return ["jacobi", "equilibrate"]
        return ["equilibrate", "jacobi", "none"]

    def _share(self):
        return scaling.diagonal_share(self.operand)

    def _equilibrated(self):
        return scaling.equilibrated(self.operand)

    def _based(self, name):
        operand, diagonal = self.operand, self.request.diagonal
        if not isinstance(name, str):
            return bases.build(operand, name, None)
        left = right = None
        if name != "none" and operand.matrix is None and diagonal is None:
            raise ValueError(
                f"make: base={name!r} must know the entries of A; got an operator without "
                "entries. Use base='none', or 'jacobi' with diagonal=."
            )
        if name == "jacobi":
            left = self._jacobi()
        elif name == "equilibrate":
            left, right = self._equilibrated()
        return self._between(name, left, right)

    def _between(self, name, left, right):
        """Return A between two diagonals."""
        known = self.operand.matrix, self.operand.operator
        return Based(name, *known, left, right, None, self.dtype, self.request.n_threads)

    def _jacobi(self):
        diagonal, n, xp = self.request.diagonal, self.operand.n, self.vectors.xp
        if diagonal is not None:
            diagonal = xp.asarray(diagonal)
            if diagonal.shape != (n,) or diagonal.dtype.kind not in "biufc":
                raise ValueError(
                    f"make: diagonal must be numbers of shape ({n},); got "
                    f"{diagonal.dtype} of shape {diagonal.shape}."
                )
        left = scaling.signed_diagonal(self.operand, diagonal)
        if left is None:
            values = self.operand.diagonal() if diagonal is None else diagonal
            row = int(abs(values).argmin())
            raise ValueError(
                f"make: base='jacobi' must have a diagonal without zeros; got "
                f"{values[row].item():g} in row {row}. Use base='equilibrate'."
            )
        return left

    def _begin(self, based, degree):
        if self._start is None:
            rng, n = self._random(), self.operand.n
            self._start = rng.standard_normal(n).astype(self.dtype)
            if self.dtype.kind == "c":
                self._start += 1j * rng.standard_normal(n)
        steps = max(degree + 1, self.request.n_probe or 0)
        self._prepare(based, steps)
        return Arnoldi(self._held(based.composed), self._start, steps, self.vectors)

    def _random(self):
        return self.request.rng

    def _prepare(self, based, steps):
        """Make ready for the products and sums of a probe."""
        if based.source is not None:
            _ = based.matrix  # formed once: products and storage both need it
        if self.operand.n >= _THREADED:
            blas.hold()  # from the first norm on: two calls must agree in every bit

    def _probe(self, arnoldi):
        return ArnoldiProbe(arnoldi.hessenberg.copy(), self.operand.n, arnoldi.n_products)

    def _candidates(self, based, probe, degrees):
        """Return the polynomials of the engine, or of GMRES, from one probe."""
        # A probe that was extended counts its first steps once.
        self._probed[id(based)] = probe.n_products
        is_real, made = self.dtype.kind == "f", []
        for degree in degrees:
            may_be_longer = self.request.degree is None
            roots, ordered = _roots(probe, degree, is_real, may_be_longer)
            if not roots.size:
                made.append(self._alone(based, probe))
                continue
            engine, model = "classical", self._model
            if model is not None:
                p = model.propose(probe.hessenberg, degree)
                if len(p.roots) <= _most_roots(degree, may_be_longer):
                    engine = f"{model.name} {model.digest}"
                    ordered, roots = np.array(p.roots), np.unique(p.roots)
            precision = self.request.precision
            if precision is None:
                # Added roots mean products of factors beyond 1e4, which float32 values
                # would turn into noise.
                grows = ordered.size > roots.size
                precision = "double" if grows else "mixed"
            polynomial = RootPolynomial(tuple(ordered), True if is_real else None)
            candidate = _Candidate(based, probe, polynomial, precision, engine)
            candidate.degree = degree
            made.append(candidate)
        return made

    def _alone(self, based, probe):
        """Return the base with p = 1."""
        polynomial = RootPolynomial((1.0,))
        precision = self.request.precision or "mixed"
        return _Candidate(based, probe, polynomial, precision, "none")

    def _is_enough(self, probe):
        """Tell whether GMRES with the base alone takes less than a setup."""
        if probe.residual_norms[-1] <= _RTOL:
            return True
        steps = probe.n_steps * -np.log10(_RTOL) / max(_decades(probe), 1e-3)
        steps *= _DOUBT / probe.n_steps  # the first steps promise too much
        n_setup = _SETUP_STEPS
        if self.operand.n >= _LARGE and _decades(probe) >= 2.0:
            # So much so soon is more than smoothing: what a composite takes would be lost.
            n_setup = 2 * _INNER * _OUTER
        return steps * self._outer() < self.setup + n_setup * self._step()

    def _outer(self):
        """Count the seconds of an iteration of SciPy's gmres, without M."""
        operand = self.operand
        passes = cost._moved(_OUTER_PASSES * 8 * operand.n, TIMES["vectors"])
        n_bytes = 12 * (operand.nnz or 8 * operand.n)
        product = TIMES["product_call"] + cost._moved(n_bytes, TIMES["product"])
        return _OUTER_CALLS + product + passes

    def _step(self):
        """Count the seconds of a product within M."""
        operand = self.operand
        if operand.matrix is None:
            return self._outer() - _OUTER_CALLS
        n_bytes = 8 * operand.nnz + 32 * operand.n
        return TIMES["step_call"] + cost._moved(n_bytes, TIMES["step"]["sell"])

    def _degree(self):
        """Return the degree that is tried first."""
        return _HIGH if self.operand.n >= _LARGE else _LOW

    def _try(self, candidate):
        """Run a trial of one candidate."""
        self._store(candidate)
        polynomial, xp = candidate.polynomial, self.vectors.xp
        M = self._applied(candidate)
        # Another vector than that of the probe, for which GMRES is at its best.
        b = xp.roll(self._start, 1) * xp.sign(self._start.real)
        product, steps = self._held(self._product), (_RESTART, _RESTART)
        if polynomial.degree:
            steps = (max(2, round(_TRIAL / (polynomial.degree + 1))),)
        decades, made, n_applied, seconds, grown = trial(
            product, M, b, *steps, vectors=self.vectors
        )
        candidate.grown = grown
        if not polynomial.degree and decades < _FINISHED:
            decades = -np.inf  # it may stall yet, and where it goes slowly it often does
        self.n_products += n_applied * (polynomial.degree + 1)
        candidate.pace = decades / ((made + 1) * (polynomial.degree + 1))
        if self.request.degree == "measure":
            candidate.speed = decades / (seconds + made * self._outer())
        else:
            each = self._outer() + polynomial.degree * self._step()
            candidate.speed = decades / (made * each)
        if self.request.degree == "measure" and decades > 0:
            self.predicted[polynomial.degree] = -np.log10(_RTOL) / candidate.speed

    def _applied(self, candidate):
        """Return M, for vectors."""
        made, dtype = candidate, self._vector_dtype(candidate)
        n_threads = self.request.n_threads or 1
        given = made.based, made.stored, made.polynomial, made.kernel, dtype
        return Applied(*given, n_threads)

    def _image(self, candidate):
        """Return S p(S), for vectors."""
        made, dtype = candidate, self._vector_dtype(candidate)
        return Image(made.based, made.stored, made.polynomial, made.kernel, dtype)

    def _vector_dtype(self, candidate):
        return layout.vector_dtype(self.operand.dtype, candidate.precision)

    def _product(self, x):
        return np.asarray(self.operand.operator @ x)

    def _held(self, product):
        """Return a product that holds BLAS to one thread for what follows it.

        Two threads of BLAS wait for each other longer than such sums take.
        """
        if self.operand.n < _THREADED:
            return product

        def held(x):
            y = product(x)
            blas.hold()  # behind it: a kernel may wait for its compiler for longer
            return y

        return held

    def _store(self, candidate):
        if candidate.stored is not None:
            return
        request, based = self.request, candidate.based
        key = id(based), candidate.precision
        if key not in self._stored:
            stored = layout.store(
                based, self.operand.dtype, candidate.precision, request.storage
            )
            kernel, _ = kernels.select(stored.kind, request.kernel)
            kernels.check_threads(kernel, stored.kind, request.n_threads)
            self._stored[key] = stored, kernel, based
        candidate.stored, candidate.kernel, _ = self._stored[key]

    def _nothing(self):
        return layout.Stored("none"), "reference"

    def _finish(self, best):
        request = self.request
        if best.polynomial.degree == 0 and not request.storage_is_asked_for:
            best.stored, best.kernel = self._nothing()
        else:
            self._store(best)
        is_repeated = len(set(best.polynomial.roots)) < len(best.polynomial.roots)
        if best.precision == "double" and request.precision is None and is_repeated:
            self.notes.append(
                "precision double: products of factors grow beyond what float32 carries"
            )
        probe = best.probe
        spent = sum(self._probed.values())
        if probe is not None and not self._probed:
            spent = probe.n_products
        return Choice(
            solver=request.solver or "gmres",
            kind="gen",
            based=best.based,
            stored=best.stored,
            kernel=best.kernel,
            precision=best.precision,
            polynomial=best.polynomial,
            certificate=None,
            probe=probe,
            engine=best.engine,
            candidates=self.predicted,
            break_even=None,
            n_products=self.n_products + spent,
            notes=tuple(self.notes),
        )


def _roots(probe, degree, is_real, may_be_longer):
    """Return harmonic Ritz values, and the same in order with added copies."""
    for m in range(degree + 1, 0, -1):
        roots = probe.harmonic_ritz(m)
        ordered = with_added_roots(roots, is_real) if roots.size else roots
        if ordered.size <= _most_roots(degree, may_be_longer):
            break
    return roots, ordered


def _most_roots(degree, may_be_longer):
    # Copies of half as many roots say that the products grow beyond repair.
    return (1.5 if may_be_longer else 1.0) * (degree + 1)


def _worth(candidate):
    """Return the speed of a candidate, less where it stands on unscaled rows."""
    return candidate.speed * (0.5 if candidate.based.name == "none" else 1.0)


def _pace(found):
    """Return the best pace of polynomials; GMRES alone may stall later."""
    return max((c.pace for c in found if c.polynomial.degree), default=-np.inf)


def _decades(probe):
    return float(-np.log10(max(probe.residual_norms[-1], 1e-16)))
