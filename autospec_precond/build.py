"""`make`: from a matrix to its preconditioner."""

import json
import os
import time
import warnings
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from . import bases, checkpoint, checks, cost, kernels
from .choice import Chooser
from .errors import UncertifiedWarning
from .kernels import layout
from .linop import STATE_FORMAT, Parts, PolynomialPreconditioner
from .operands import as_operand, check_diagonal, check_hermitian, check_inner
from .polynomial import Polynomial
from .report import Report

__all__ = ["make"]


def make(
    A: Any,
    *,
    base: Any = None,
    degree: int | Literal["measure"] | None = None,
    engine: str | os.PathLike | None = None,
    polynomial: Polynomial | dict | str | None = None,
    precision: Literal["single", "mixed", "double"] | None = None,
    storage: Literal["csr", "dia", "sell"] | None = None,
    kernel: Literal["reference", "fused"] | None = None,
    n_threads: int | None = None,
    n_probe: int | None = None,
    diagonal: npt.ArrayLike | None = None,
    rng: int | np.random.Generator | None = 0,
) -> PolynomialPreconditioner:
    """Make a polynomial preconditioner for a Hermitian positive definite matrix.

    Parameters
    ----------
    A : sparse array or matrix, ndarray, LinearOperator or object, shape (n, n)
        Hermitian positive definite, of any SciPy format and real, complex or integer
        type; or anything with shape, dtype and ``@``. Not changed.
    base : {'none', 'jacobi'}, LinearOperator or object with solve, optional
        What the polynomial stands on. By default 'jacobi' where the diagonal is known,
        else 'none'. A preconditioner of your own must be Hermitian positive definite.
    degree : int or 'measure', optional
        Products with A per application, even; 0 is the base alone, for which nothing
        is stored. By default the one
        of least counted cost; 'measure' times a few applications instead, and may
        choose another degree in another run.
    engine : str or path-like, optional
        A weights file of your own, or 'classical' for a Chebyshev polynomial on
        [high/30, high]. By default the weights that ship with the package.
    polynomial : Polynomial or dict or str, optional
        Use this polynomial, or the `state` of an earlier M (also as JSON text), and do
        not probe.
    precision : {'single', 'mixed', 'double'}, optional
        float32 values and vectors; float32 values and vectors of A's precision (the
        default); values and vectors in double.
    storage : {'csr', 'dia', 'sell'}, optional
        How an explicit sparse A is stored for the products: by rows; by diagonals (at
        most 128); or by slices, rows of equal length in an order of our own. By default
        diagonals where they take fewer bytes than rows, else slices for a large A with
        fewer than 24 entries per row, else rows.
    kernel : {'reference', 'fused'}, optional
        For tests and bug reports; fused where it exists by default.
    n_threads : int, optional
        Threads of one application, and of the setup for a large A. By default Numba's
        setting, and 1 for a small A.
    n_probe : int, optional
        Lanczos steps of the probe, 12 by default.
    diagonal : array_like, shape (n,), optional
        Diagonal of A, for operators that do not show theirs.
    rng : int, numpy.random.Generator or None, optional
        Source of the start vectors. Two calls with the default give the same M; None
        draws fresh entropy.

    Returns
    -------
    PolynomialPreconditioner
        Pass it as `M` to SciPy's solvers; ``print(M.report)`` says what was done.

    Raises
    ------
    TypeError, ValueError
        If A is not square, finite and Hermitian, shows that it is not positive
        definite, or a keyword has no such value.
    CheckpointError
        If `engine` is not a weights file of this version.

    Warns
    -----
    UncertifiedWarning
        If the upper bound of the spectrum is estimated, the degree asked for is too
        high for an estimate, and no rigorous bound can be had.

    See Also
    --------
    autospec_precond.warmup : Compiles the kernels ahead.

    Notes
    -----
    Spends 2 products with A on a test of symmetry, 12 on the probe, 4 on a rigorous
    bound of the spectrum where A is explicit, and about 22 (degree + 5 above degree
    16) on a self-check where that bound is not the tighter one; one more on a glance
    before the probe, from 2000 rows on. For an A of a million entries and more these
    are passes of our own, in `n_threads` threads; all takes as long as 20 to 40
    products of SciPy's. A probe does not prove
    A positive definite: it
    cannot see a few negative eigenvalues among many. That of p is; M inherits it from
    a Hermitian A and, where you give one, a positive definite base.

    Where CG with the base alone needs so few iterations that no polynomial can pay for
    its making, the probe ends early, nothing is stored, and M is the base alone. Give
    a degree to get a polynomial in any case.

    M holds its own copy of what it needs of an explicit A and is stale when A changes.
    It also keeps a reference to `A` itself, for `M.solve` and `M.A`: no copy.

    References
    ----------
    .. [1] T. Liu, O. Balabanov, K. Yang and M. W. Mahoney, "Learning to discover
       iterative spectral algorithms", arXiv:2602.09530, 2026.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from scipy.sparse.linalg import cg
    >>> import autospec_precond as ap
    >>> A = sp.diags_array([-1.0, 2.001, -1.0], offsets=[-1, 0, 1], shape=(400, 400))
    >>> M = ap.make(A)
    >>> x, info = cg(A, np.ones(400), M=M, rtol=1e-8)
    >>> info
    0
    """
    began = time.perf_counter()
    if n_threads is not None:
        n_threads = checks.check_threads(n_threads, "make")
    operand = as_operand(A, "make", n_threads)
    n = operand.n
    base = checks.check_base(base, operand, "make")
    steps = checks.check_steps(n_probe, n, "make")
    if degree is not None and not (isinstance(degree, str) and degree == "measure"):
        degree = checks.check_degree(degree, "make")
    for name, value, known in (
        ("precision", precision, layout.PRECISIONS),
        ("storage", storage, layout.STORAGES),
        ("kernel", kernel, kernels.KERNELS),
    ):
        if value is not None:
            checks.check_choice(value, name, known, "make")
    state = _as_state(polynomial, degree, engine, n_probe)
    if base is None:
        base = state.get(
            "base", "none" if diagonal is None and operand.matrix is None else "jacobi"
        )
    if isinstance(base, str) and base == "user":
        raise ValueError(
            "make: base must be given with a state made on a base of your own; got None. "
            "Pass the same preconditioner as base=."
        )
    precision = precision or state.get("precision", "mixed")
    model = None if engine == "classical" or state else checkpoint.load(engine)
    rng = checks.as_rng(rng, "make")
    given_diagonal = diagonal is not None
    diagonal = check_diagonal(operand, diagonal, "make")
    jacobi = isinstance(base, str) and base == "jacobi"
    if given_diagonal and not jacobi:
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
    least = 1.0 if jacobi and not given_diagonal else 0.0
    spent, *seen = check_hermitian(operand, based, rng, "make", least)
    spent += operand.matrix is None
    if based.inner is not None:
        check_inner(based.inner, operand, rng, "make")
    vector_dtype = layout.vector_dtype(operand.dtype, precision)
    chooser = Chooser(based, vector_dtype, rng)
    # Forming and storing S takes longer than many a solve: first what needs neither.
    asked = (storage, kernel, n_threads) != (None, None, None) or based.source is None
    foreseen = None
    if degree is None and not state and not asked:

        def hopes(closely):
            nonlocal foreseen
            if closely:
                foreseen = layout.foresee(
                    based.source, operand.dtype, precision, based.quick
                )
            known = foreseen or layout.Foreseen("csr", 0)
            return _costs(operand, known, precision, vector_dtype)

        chooser.probe(steps, operand.real_dtype, hopes, seen)
    given = state["polynomial"].degree if state else degree
    alone = given == 0 and not asked
    if chooser.declined or alone:
        chooser.keep(layout.Stored("none"), "reference")
    else:
        stored = layout.store(based, operand.dtype, precision, storage, foreseen)
        kernel, _ = kernels.select(stored.kind, kernel)
        chooser.keep(stored, kernel)
    kernel = chooser.kernel
    if kernel == "reference" and n_threads not in (None, 1):
        raise ValueError(
            f"make: n_threads must be 1 where the reference kernel runs (storage "
            f"{chooser.stored.kind!r} here); got {n_threads}. Leave it out."
        )
    if state:
        chooser.given(state)
    elif not chooser.declined:
        if chooser.found is None:
            chooser.probe(steps, operand.real_dtype, bounded=not alone)
        costs = _costs(operand, chooser.stored, precision, vector_dtype, kernel, n_threads)
        chooser.choose(degree, model, costs)
    stored = chooser.stored
    for text in chooser.unproved:
        warnings.warn(f"make: {text}.", UncertifiedWarning, stacklevel=2)
    sizes = n, chooser.polynomial.degree, vector_dtype.itemsize
    limit = n_threads
    if n_threads is None:
        n_threads = kernels.choose_threads(stored, kernel, *sizes)
    report = Report(
        n=n,
        nnz=None if operand.matrix is None else _nnz(operand.matrix),
        dtype=str(operand.dtype),
        solver="cg",
        base=based.name,
        kernel=kernel,
        storage=stored.kind,
        precision=precision,
        n_threads=n_threads,
        n_powers=kernels.powers_per_sweep(stored, kernel, *sizes),
        degree=chooser.polynomial.degree,
        probe=chooser.found,
        certificate=chooser.certificate,
        engine=chooser.engine,
        candidates=chooser.predicted,
        break_even=chooser.break_even,
        n_products=spent + chooser.n_products,
        seconds=time.perf_counter() - began,
        notes=(*operand.notes, *chooser.notes),
    )
    return PolynomialPreconditioner(
        Parts(
            shape=(n, n),
            dtype=operand.dtype,
            stored=chooser.stored,
            scale=based.scale,
            inner=based.inner,
            polynomial=chooser.polynomial,
            precision=precision,
            kernel=kernel,
            report=report,
            n_threads=n_threads,
            limit=limit,
            A=A,
        )
    )


def _as_state(polynomial, degree, engine, n_probe):
    """Return what the caller gave as `polynomial` as a dict, empty for nothing."""
    if polynomial is None:
        return {}
    for name, value in (("degree", degree), ("engine", engine), ("n_probe", n_probe)):
        if value is not None:
            raise ValueError(
                f"make: {name} must not be given together with polynomial; got {value!r}. "
                "A given polynomial is neither probed for nor chosen."
            )
    if isinstance(polynomial, str):
        try:
            polynomial = json.loads(polynomial)
        except ValueError as error:
            raise ValueError(
                f"make: polynomial must be JSON where it is a text; got "
                f"{polynomial[:40]!r} ({error}). Pass json.dumps(M.state())."
            ) from error
    if isinstance(polynomial, Polynomial):
        checks.check_degree(polynomial.degree, "make")
        return {"polynomial": polynomial}
    if not isinstance(polynomial, dict) or polynomial.get("format") != STATE_FORMAT:
        raise TypeError(
            "make: polynomial must be a Polynomial or the state of a preconditioner; got "
            f"{type(polynomial).__name__}."
        )
    missing = {"polynomial", "base", "precision", "engine"} - polynomial.keys()
    if missing:
        raise ValueError(
            f"make: polynomial must be a whole state; got one without {sorted(missing)}. "
            "Pass what M.state() returned."
        )
    checks.check_choice(polynomial["precision"], "precision", layout.PRECISIONS, "make")
    checks.check_choice(polynomial["base"], "base", ("none", "jacobi", "user"), "make")
    return {**polynomial, "polynomial": Polynomial.from_dict(polynomial["polynomial"])}


def _nnz(matrix):
    return matrix.nnz if sp.issparse(matrix) else matrix.size


def _costs(operand, stored, precision, vectors, kernel=None, n_threads=None):
    """Count what the cost model needs; `stored` need not hold more than its size."""
    kind, n = stored.kind, operand.n
    kernel = kernel or kernels.select(kind)[0]
    return cost.Costs(
        n,
        8 * n if operand.matrix is None else _nnz(operand.matrix),
        8 if kind == "operator" or precision == "double" else 4,
        vectors.itemsize,
        kernel == "fused",
        stored.n_bytes if kind in ("dia", "sell") else None,
        kind,
        n_threads
        or kernels.choose_threads(stored, kernel, n, cost.CANDIDATES[-1], vectors.itemsize),
    )
