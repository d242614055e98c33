"""The choice for Hermitian positive definite matrices."""

from . import bases, checkpoint, checks, cost, kernels
from .choice import Chooser
from .kernels import layout
from .nullspace import of_scaled
from .operands import check_diagonal, check_hermitian, check_inner
from .request import Choice

__all__ = ["choose"]


def choose(request):
    """Choose base, storage, degree and polynomial for a positive definite A.

    Parameters
    ----------
    request : Request
        What the caller asked for.

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
    operand, state, rng = request.operand, request.state, request.rng
    degree, n_threads, base = request.degree, request.n_threads, request.base
    steps = checks.check_steps(request.n_probe, operand.n, "make")
    given = state["polynomial"].degree if state else degree
    if base is None:
        known = request.diagonal is not None or operand.matrix is not None
        base = "jacobi" if known else "none"
    equilibrate = isinstance(base, str) and base == "equilibrate"
    if equilibrate:  # until A has shown whether it is of this class
        base = "none" if operand.matrix is None else "jacobi"
    precision = request.precision or "mixed"
    classical = isinstance(request.engine, str) and request.engine == "classical"
    model = None if classical or state else checkpoint.load(request.engine)
    diagonal = check_diagonal(operand, request.diagonal, "make")
    jacobi = isinstance(base, str) and base == "jacobi"
    if request.diagonal is not None and not jacobi:
        name = base if isinstance(base, str) else type(base).__name__
        raise ValueError(
            f"make: diagonal must be given for base='jacobi' only; got base {name!r}. "
            "Leave one of the two out."
        )
    if jacobi and diagonal is None:
        raise ValueError(
            "make: base='jacobi' must know the diagonal of A; got an operator without "
            "entries. Give diagonal=, or use base='none'."
        )
    based = bases.build(operand, base, diagonal, n_threads)
    # A diagonal of ones is known beforehand; another one would have to be looked for.
    least = 1.0 if jacobi and request.diagonal is None else 0.0
    spent, *seen = check_hermitian(operand, based, rng, "make", least)
    # Only now: a general A, which goes elsewhere, may have any degree.
    if given is not None and given != "measure":
        checks.check_even(given, "make")
    spent += operand.matrix is None
    if equilibrate:
        raise ValueError(
            "make: base must be 'none' or 'jacobi' for a positive definite A; got "
            "'equilibrate'. Its diagonal scales rows and columns at once; where A is "
            "indefinite pass assume_a='her'."
        )
    if based.inner is not None:
        check_inner(based.inner, operand, rng, "make")
    vector_dtype = layout.vector_dtype(operand.dtype, precision)
    null = request.null
    if null is not None:
        null = of_scaled(null, based.left)
    chooser = Chooser(based, vector_dtype, rng, null)
    # Forming and storing S takes longer than many a solve: first what needs neither.
    asked = request.storage_is_asked_for or based.source is None
    foreseen = None
    if degree is None and not state and not asked:

        def hopes(closely):
            nonlocal foreseen
            if closely:
                foreseen = layout.foresee(
                    based.source, operand.dtype, precision, based.ready
                )
            known = foreseen or layout.Foreseen("csr", 0)
            return _costs(request, known, precision, vector_dtype)

        chooser.probe(steps, operand.real_dtype, hopes, seen)
    alone = given == 0 and not asked
    if chooser.declined or alone:
        chooser.keep(layout.Stored("none"), "reference")
    else:
        stored = layout.store(based, operand.dtype, precision, request.storage, foreseen)
        chooser.keep(stored, kernels.select(stored.kind, request.kernel)[0])
    kernel = chooser.kernel
    kernels.check_threads(kernel, chooser.stored.kind, n_threads)
    if state:
        chooser.given(state)
    elif not chooser.declined:
        if chooser.found is None:
            chooser.probe(steps, operand.real_dtype, bounded=not alone)
        costs = _costs(request, chooser.stored, precision, vector_dtype, kernel, n_threads)
        chooser.choose(degree, model, costs)
    return Choice(
        solver=request.solver or "cg",
        kind="pos",
        based=based,
        stored=chooser.stored,
        kernel=kernel,
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
        null=request.null,
    )


def _costs(request, stored, precision, vectors, kernel=None, n_threads=None):
    """Count what the cost model needs; `stored` need not hold more than its size."""
    operand = request.operand
    kind, n = stored.kind, operand.n
    kernel = kernel or kernels.select(kind)[0]
    return cost.Costs(
        n,
        8 * n if operand.matrix is None else operand.nnz,
        8 if kind == "operator" or precision == "double" else 4,
        vectors.itemsize,
        kernel == "fused",
        stored.n_bytes if kind in ("dia", "sell", "fields") else None,
        kind,
        n_threads
        or kernels.choose_threads(stored, kernel, n, cost.CANDIDATES[-1], vectors.itemsize),
        solver=request.solver or "cg",
    )
