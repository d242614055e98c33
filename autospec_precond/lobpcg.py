"""The choice for LOBPCG: a polynomial that makes the gap behind the wanted end wide."""

import dataclasses

import numpy as np
import scipy.sparse as sp

from . import bases, certificate, checks, classical, cost, definite, density, kernels
from .errors import NotPositiveError
from .kernels import layout
from .operands import check_diagonal, check_hermitian, check_inner
from .pencil import as_mass
from .request import Choice

__all__ = ["choose"]

_DEGREES = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192)

# Lanczos steps; a third of them for a matrix that LOBPCG is done with in milliseconds.
_N_STEPS, _FEW_ROWS = 60, 5000
_BEYOND = 1.3  # times k eigenvalues are to lie below the interval
_SHIFT = 0.5  # over the lower end of the interval
_ABOVE = 1.01  # upper end of the interval over what the steps have seen

# Iterations are about a + b / arccosh(1 / r), r the residual of the polynomial.
_ITERATIONS = 12.0, 20.0

# Seconds of an iteration of SciPy's LOBPCG but for M: per call, per number in a block, and
# per entry of A and column.
_CALLS, _PER_NUMBER, _PER_ENTRY = 4e-4, 2e-8, 2.5e-10

_PROVED = 32, 64  # degrees whose proof takes half a millisecond and 1 ms
_LARGE = 2e5  # numbers in a block from which on float32 vectors pay


def choose(request):
    """Choose a polynomial for the smallest or largest eigenvalues of A.

    Parameters
    ----------
    request : Request
        What the caller asked for.

    Returns
    -------
    Choice
        With a polynomial that is positive on the real line.

    Raises
    ------
    TypeError, ValueError
        If a keyword does not suit LOBPCG, or A is not Hermitian.
    NotPositiveError
        If A shows that it is not positive definite.

    Notes
    -----
    LOBPCG takes residuals (A - θ) x, so that M ought to be the inverse of A - σ on all
    but the wanted eigenvectors, σ about the wanted eigenvalues, and positive there.
    1 - (λ - σ) p(λ) is the Chebyshev polynomial of the interval above the wanted
    eigenvalues, one at σ. LOBPCG uses M for directions only: no rounding of M can break
    it, and a degree above 32 needs no proof beside the form of p.
    """
    operand = request.operand
    if request.n_eigenpairs is None:
        raise ValueError(
            "make: n_eigenpairs must be given for solver='lobpcg'; got None. Pass the "
            "number of columns of X."
        )
    k = checks.check_pairs(request.n_eigenpairs, operand.n, "n_eigenpairs", "make")
    if request.B is not None:
        _check_mass(request)
    if request.degree == "measure":
        raise ValueError(
            "make: degree must be an int for solver='lobpcg'; got 'measure'. Leave it out."
        )
    if request.degree == 0:
        return definite.choose(request)
    if request.engine not in (None, "classical"):
        raise ValueError(
            "make: engine must be 'classical' for solver='lobpcg', whose polynomials take "
            f"no weights; got {request.engine!r}. Leave it out."
        )
    if request.degree is not None:
        checks.check_even(request.degree, "make")
    return _choose(request, k)


def _choose(request, k):
    operand, rng = request.operand, request.rng
    based, spent = _based(request)
    if request.state:
        return _given(request, k, based, spent)
    n_steps = request.n_probe or (_N_STEPS if operand.n >= _FEW_ROWS else _N_STEPS // 2)
    found = density.estimate(based, checks.check_steps(n_steps, operand.n, "make"), rng)
    spent += found.probe.n_steps
    theta = found.values
    if theta[-1] <= 0 or theta[0] < -1e-6 * theta[-1]:
        raise NotPositiveError(
            "make: A must be positive definite for solver='lobpcg'; got a Ritz value of "
            f"{theta[0]:.3g} (the largest is {theta[-1]:.3g}). A + c I has the same "
            "eigenvectors: make M for that."
        )
    stored, kernel, precision = _stored(request, k, based)
    ends = _ends(found, k, request)
    vector_dtype = layout.vector_dtype(operand.dtype, precision)
    times = _times(request, k, stored, kernel, vector_dtype, ends)
    degree = request.degree or min(times, key=times.get)
    high, low, shift = ends
    top = _ABOVE * found.high
    polynomial = classical.shifted(degree, high, low, shift, top)
    proved, notes = _proof(polynomial, operand.n, vector_dtype)
    which = "largest" if request.largest else "smallest"
    notes = (
        f"for the {k} {which} eigenvalues: p is near 1/(λ - {shift:.3g}) on "
        f"[{low:.3g}, {high:.3g}], within {_residual(degree, ends):.1g}",
        *notes,
    )
    parts = based, stored, kernel, precision, polynomial, proved, found.probe, "classical"
    return _choice(*parts, times, spent, notes)


def _given(request, k, based, spent):
    """Take the polynomial of the caller's."""
    stored, kernel, precision = _stored(request, k, based)
    polynomial, engine = request.state["polynomial"], request.state.get("engine", "given")
    notes = ("the polynomial was given: the spectrum was not probed",)
    parts = based, stored, kernel, precision, polynomial, None, None, engine
    return _choice(*parts, {}, spent, notes)


def _choice(
    based, stored, kernel, precision, polynomial, proved, probe, engine, times, spent, notes
):
    if stored.kind == "operator":  # let it appear with numbers of the order of one
        unit = layout.power_of_two(polynomial.domain[1])
        stored = dataclasses.replace(stored, unit=unit)
    return Choice(
        solver="lobpcg",
        kind="pos",
        based=based,
        stored=stored,
        kernel=kernel,
        precision=precision,
        polynomial=polynomial,
        certificate=proved,
        probe=probe,
        engine=engine,
        candidates=times,
        break_even=None,
        n_products=spent,
        notes=notes,
    )


def _stored(request, k, based):
    """Return the operator as stored, the kernel, and the precision."""
    operand, precision = request.operand, request.precision
    if precision is None:
        precision = "single" if k * operand.n >= _LARGE else "mixed"
    storage = request.storage or _storage(based, operand.dtype, precision)
    stored = layout.store(based, operand.dtype, precision, storage)
    kernel, _ = kernels.select(stored.kind, request.kernel)
    kernels.check_threads(kernel, stored.kind, request.n_threads)
    return stored, kernel, precision


def _storage(based, dtype, precision):
    """Return slices in the place of rows, which are slower for blocks.

    By up to a fifth where these are cut into panels, 2 to 4 times where not.
    """
    if not sp.issparse(based.source):
        return None
    foreseen = layout.foresee(based.source, dtype, precision, based.quick)
    return "sell" if foreseen.kind == "csr" else None


def _based(request):
    """Return what the polynomial stands on, and the products spent."""
    operand, base, rng = request.operand, request.base, request.rng
    if request.largest:
        if base not in (None, "none"):
            name = base if isinstance(base, str) else type(base).__name__
            raise ValueError(
                "make: base must be 'none' for the largest eigenvalues, whose filter is a "
                f"polynomial of A itself; got {name!r}. Leave it out."
            )
        base = "none"
    diagonal = None
    if base is None:
        known = request.diagonal is not None or operand.matrix is not None
        base = "jacobi" if known else "none"
    jacobi = isinstance(base, str) and base == "jacobi"
    if jacobi:
        diagonal = check_diagonal(operand, request.diagonal, "make")
        if diagonal is None:
            raise ValueError(
                "make: base='jacobi' must know the diagonal of A; got an operator without "
                "entries. Give diagonal=, or use base='none'."
            )
    elif isinstance(base, str) and base != "none":
        raise ValueError(
            f"make: base must be 'none' or 'jacobi' for solver='lobpcg'; got {base!r}. "
            "Leave it out."
        )
    based = bases.build(operand, base, diagonal, request.n_threads)
    spent, *_ = check_hermitian(operand, based, rng, "make", 1.0 if jacobi else 0.0)
    if based.inner is not None:
        check_inner(based.inner, operand, rng, "make")
    return based, spent


def _ends(found, k, request):
    """Return the interval (high, low) of the unwanted eigenvalues, and the shift."""
    if request.largest:
        back = found.reversed()
        high = -max(back.below(_BEYOND * k), back.values[0] + 1e-6 * (back.high - back.low))
        # In the middle of what is wanted.
        return high, 0.0, 0.5 * (high + max(found.high, high))
    high = _ABOVE * found.high
    low = max(found.below(_BEYOND * k), 1e-6 * high)
    if request.B is not None:
        # What is wanted need not be at the low end of A alone.
        return high, 0.5 * low, 0.0
    return high, low, _SHIFT * low


def _residual(degree, ends):
    high, low, shift = ends
    return classical.shifted_residual(degree, high, low, shift)


def _times(request, k, stored, kernel, vector_dtype, ends):
    """Predict the seconds of a run of LOBPCG for each degree."""
    operand, n = request.operand, request.operand.n
    nnz = 8 * n if operand.matrix is None else operand.nnz
    n_threads = request.n_threads or kernels.choose_threads(
        stored, kernel, n, _DEGREES[-1], vector_dtype.itemsize
    )
    costs = cost.Costs(
        n,
        nnz,
        stored.data.itemsize if stored.data is not None else 8,
        vector_dtype.itemsize,
        kernel == "fused",
        stored.n_bytes if kernel == "fused" else None,
        stored.kind,
        n_threads,
    )
    outer = _CALLS + k * (n * _PER_NUMBER + nnz * _PER_ENTRY)
    step = k * costs.step()
    result = {}
    for degree in _DEGREES:
        residual = min(_residual(degree, ends), 1 - 1e-12)
        iterations = _ITERATIONS[0] + _ITERATIONS[1] / np.arccosh(1 / residual)
        result[degree] = float(iterations * (outer + degree * step))
    return result


def _proof(polynomial, n, vector_dtype):
    if polynomial.degree > _PROVED[n >= _FEW_ROWS] or polynomial.degree % 2:
        return None, (
            "positive by its form, not proved to rounding: LOBPCG needs no proof",
        )
    return certificate.certify(polynomial, dtype=vector_dtype), ()


def _check_mass(request):
    """Refuse a B that shows it is not positive definite."""
    mass = as_mass(request.B, request.operand, request.rng, "make", "B")
    theta = density.estimate(bases.build(mass, "none", None), 12, request.rng).values
    bad = theta[0] <= 0
    if mass.matrix is not None:
        bad = bad or not (mass.matrix.diagonal().real > 0).all()
    if bad:
        raise ValueError(
            "make: B must be positive definite; got one with a Ritz value of "
            f"{theta[0]:.3g} or a diagonal entry that is not positive. LOBPCG would break "
            "down; exchange A and B, or use scipy.linalg.eig."
        )
