"""The choice for a Hermitian positive definite A on a device: for cg, minres and lobpcg."""

import dataclasses

import numpy as np

from autospec_precond import checkpoint, checks, density, lobpcg
from autospec_precond.classical import shifted
from autospec_precond.errors import NotPositiveError
from autospec_precond.kernels import layout
from autospec_precond.request import Choice

from . import bases, cost, kernels, storage
from .chooser import DeviceChooser
from .operands import check_diagonal, check_hermitian
from .vectors import Random

__all__ = ["choose"]

_N_STEPS = 60  # of Lanczos for lobpcg, a third of them for few rows
_FEW_ROWS = 5000
_DEGREES = (8, 12, 16, 24, 32, 48, 64)
_CALLS = 3e-3  # seconds of an iteration of CuPy's lobpcg but for products, assumed


def _refuse(request):
    """Refuse what does not suit such a matrix on a device, before any work."""
    solver = request.solver
    kind = type(request.state.get("polynomial")).__name__
    if kind in ("RootPolynomial", "SignedPolynomial"):
        raise ValueError(
            f"make: polynomial must be for a positive definite A on a device; got a {kind}"
            ". Pass A in host memory for that."
        )
    if solver == "lobpcg" and request.n_eigenpairs is None:
        raise ValueError(
            "make: n_eigenpairs must be given for solver='lobpcg'; got None. Pass the "
            "number of columns of X."
        )
    if solver == "lobpcg" and request.degree != 0:
        _refuse_for_filters(request)


def _refuse_for_filters(request):
    """Refuse what a polynomial for LOBPCG has no use for, as on the host."""
    if request.engine not in (None, "classical"):
        raise ValueError(
            "make: engine must be 'classical' for solver='lobpcg', whose polynomials take "
            f"no weights; got {request.engine!r}. Leave it out."
        )
    if request.largest and request.base == "jacobi":
        raise ValueError(
            "make: base must be 'none' for the largest eigenvalues, whose filter is a "
            "polynomial of A itself; got 'jacobi'. Leave it out."
        )


def choose(request, make_csr):
    """Choose base, storage, degree and polynomial on the device where A is.

    Parameters
    ----------
    request : Request
        What the caller asked for; its operand is one of `operands.Operand`.
    make_csr : callable
        Makes a sparse matrix by rows on the device.

    Returns
    -------
    Choice
        With a certified polynomial.

    Raises
    ------
    NotHermitianError, NotPositiveError
        If A shows that it is not.
    TypeError, ValueError
        If a keyword does not suit such a matrix.
    """
    _refuse(request)
    operand = request.operand
    library = kernels.select(operand.xp, request.kernel, "make")
    random = Random(operand.xp, request.rng, library.uniform)
    based = _based(request, library)
    least = 1.0 if based.name == "jacobi" and request.diagonal is None else 0.0
    spent, *seen = check_hermitian(operand, based, random, "make", least)
    # Only now, as on the host: a general A goes elsewhere.
    if request.degree is not None:
        checks.check_even(request.degree, "make")
    if request.base == "equilibrate":
        raise ValueError(
            "make: base must be 'none' or 'jacobi' for a positive definite A; got "
            "'equilibrate'. Its diagonal scales rows and columns at once."
        )
    filtering = request.solver == "lobpcg" and request.degree != 0
    precision = request.precision or "mixed"
    stored = storage.store(based, operand.dtype, precision, make_csr, request.storage)
    library = kernels.suited(library, stored, request)
    if filtering:
        return _filter(request, based, stored, library, precision, random, spent)
    vector_dtype = layout.vector_dtype(operand.dtype, precision)
    chooser = DeviceChooser(based, vector_dtype, random, library)
    chooser.keep(stored, library.name)
    if request.state:
        chooser.given(request.state)
    else:
        classical = isinstance(request.engine, str) and request.engine == "classical"
        model = None if classical else checkpoint.load(request.engine)
        steps = checks.check_steps(request.n_probe, operand.n, "make")
        costs = _costs(request, stored, vector_dtype, library)
        hopes = None if request.degree is not None else lambda closely: costs
        chooser.probe(steps, operand.real_dtype, hopes, seen, bounded=request.degree != 0)
        if not chooser.declined:
            chooser.choose(request.degree, model, costs)
    if chooser.polynomial.degree == 0:
        chooser.stored = storage.Stored(
            "none", unit=chooser.stored.unit, n=operand.n, xp=operand.xp
        )
    return Choice(
        solver=request.solver or "cg",
        kind="pos",
        based=based,
        stored=chooser.stored,
        kernel=library.name,
        precision=precision,
        polynomial=chooser.polynomial,
        certificate=chooser.certificate,
        probe=chooser.found,
        engine=chooser.engine,
        candidates=chooser.predicted,
        break_even=chooser.break_even,
        n_products=spent + chooser.n_products,
        notes=tuple(chooser.notes),
        unproved=tuple(chooser.unproved),
    )


def _based(request, library):
    operand, base = request.operand, request.base
    if base is None:
        known = request.diagonal is not None or operand.matrix is not None
        base = "jacobi" if known else "none"
    if base == "equilibrate":  # until A has shown whether it is of this class
        base = "none" if operand.matrix is None else "jacobi"
    if request.largest and request.solver == "lobpcg":
        base = "none"
    if base == "none" and request.diagonal is not None:
        raise ValueError(
            "make: diagonal must be given for base='jacobi' only; got base 'none'. Leave "
            "one of the two out."
        )
    diagonal = None
    if base == "jacobi":
        diagonal = check_diagonal(operand, request.diagonal, "make")
        if diagonal is None:
            raise ValueError(
                "make: base='jacobi' must know the diagonal of A; got an operator without "
                "entries. Give diagonal=, or use base='none'."
            )
    return bases.build(operand, base, diagonal, library)


def _costs(request, stored, vectors, library):
    operand = request.operand
    nnz = 8 * operand.n if operand.matrix is None else operand.nnz
    value_bytes = 8 if stored.data is None else stored.data.itemsize
    return cost.Costs(
        operand.n,
        nnz,
        value_bytes,
        vectors.itemsize,
        library.name == "fused",
        stored.n_bytes or None,
        stored.kind,
        solver=request.solver or "cg",
    )


def _filter(request, based, stored, library, precision, random, spent):
    """Choose a polynomial for eigenvalues; see `lobpcg.choose`."""
    operand = request.operand
    k = checks.check_pairs(request.n_eigenpairs, operand.n, "n_eigenpairs", "make")
    vector_dtype = layout.vector_dtype(operand.dtype, precision)
    if request.state:
        polynomial, proved, times = request.state["polynomial"], None, {}
        probe, engine = None, request.state.get("engine", "given")
        notes = ("the polynomial was given: the spectrum was not probed",)
    else:
        n_steps = request.n_probe or (_N_STEPS if operand.n >= _FEW_ROWS else _N_STEPS // 2)
        n_steps = checks.check_steps(n_steps, operand.n, "make")
        found = density.estimate(based, n_steps, random)
        theta = found.values
        if theta[-1] <= 0 or theta[0] < -1e-6 * theta[-1]:
            raise NotPositiveError(
                "make: A must be positive definite for solver='lobpcg'; got a Ritz value "
                f"of {theta[0]:.3g} (the largest is {theta[-1]:.3g}). A + c I has the same "
                "eigenvectors: make M for that."
            )
        probe, engine = found.probe, "classical"
        spent += probe.n_steps
        ends = lobpcg._ends(found, k, request)
        costs = _costs(request, stored, vector_dtype, library)
        times = _times(k, costs, ends)
        degree = request.degree or min(times, key=times.get)
        high, low, shift = ends
        polynomial = shifted(degree, high, low, shift, lobpcg._ABOVE * found.high)
        proved, notes = lobpcg._proof(polynomial, operand.n, vector_dtype)
        which = "largest" if request.largest else "smallest"
        text = f"for the {k} {which} eigenvalues: p is near 1/(λ - {shift:.3g})"
        notes = (f"{text} on [{low:.3g}, {high:.3g}]", *notes)
    if stored.kind == "operator":  # let it appear with numbers of the order of one
        unit = layout.power_of_two(polynomial.domain[1])
        stored = dataclasses.replace(stored, unit=unit)
    return Choice(
        solver="lobpcg",
        kind="pos",
        based=based,
        stored=stored,
        kernel=library.name,
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


def _times(k, costs, ends):
    """Predict the seconds of a run of LOBPCG for each degree."""
    result = {}
    for degree in _DEGREES:
        residual = min(lobpcg._residual(degree, ends), 1 - 1e-12)
        iterations = 12.0 + 20.0 / np.arccosh(1 / residual)
        outer = _CALLS + k * costs.product()
        result[degree] = float(iterations * (outer + degree * k * costs.step()))
    return result
