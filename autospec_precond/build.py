"""`make`: from a matrix to its preconditioner."""

import os
import time
import warnings
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from . import arrays, checks, classes, classify, kernels
from .errors import UncertifiedWarning
from .kernels import layout
from .linop import Parts, PolynomialPreconditioner
from .operands import as_operand
from .polynomial import Polynomial
from .report import Report
from .request import Request, as_state
from .roots import RootPolynomial
from .signed import SignedPolynomial

__all__ = ["make"]

SOLVERS = ("cg", "minres", "gmres", "bicgstab", "lobpcg")


def make(
    A: Any,
    *,
    solver: Literal["cg", "minres", "gmres", "bicgstab", "lobpcg"] | None = None,
    assume_a: Literal["pos", "her", "gen"] | None = None,
    base: Any = None,
    degree: int | Literal["measure"] | None = None,
    engine: str | os.PathLike | None = None,
    polynomial: Polynomial | SignedPolynomial | RootPolynomial | dict | str | None = None,
    precision: Literal["single", "mixed", "double"] | None = None,
    device: str | None = None,
    storage: Literal["csr", "dia", "sell", "fields"] | None = None,
    kernel: Literal["reference", "fused"] | None = None,
    n_threads: int | None = None,
    n_probe: int | None = None,
    diagonal: npt.ArrayLike | None = None,
    nullspace: npt.ArrayLike | None = None,
    rng: int | np.random.Generator | None = 0,
    n_eigenpairs: int | None = None,
    largest: bool = False,
    B: Any = None,
) -> PolynomialPreconditioner:
    """Make a polynomial preconditioner for one of SciPy's solvers.

    Parameters
    ----------
    A : sparse array or matrix, ndarray, LinearOperator or object, shape (n, n)
        Of any SciPy format and real, complex or integer
        type; or anything with shape, dtype and ``@``. Not changed.
    solver : {'cg', 'minres', 'gmres', 'bicgstab', 'lobpcg'}, optional
        Where M will be used. By default the one that suits the class of A: 'cg',
        'minres' or 'gmres'.
    assume_a : {'pos', 'her', 'gen'}, optional
        Class of A: Hermitian positive definite, Hermitian, general. Found out by
        default.
    base : {'none', 'jacobi', 'equilibrate'}, LinearOperator or object, optional
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
    device : {'cpu', 'cuda', 'cuda:0', 'cuda:1', ...}, optional
        Where M computes; by default where A is. An A of CuPy's gives an M of CuPy's.
        An A in host memory is moved to the device once, and M takes vectors of the host.
    storage : {'csr', 'dia', 'sell', 'fields'}, optional
        How an explicit sparse A is stored for the products: by rows; by diagonals (at
        most 128); by slices, rows of equal length in an order of our own; or by
        diagonals of each unknown of a node ('fields'), for systems of equations with 2 to
        6 unknowns per node, one after the other. By default diagonals where they take
        fewer bytes than rows, of each unknown where fewer are left; else slices for a
        large A with fewer than 24 entries per row, else rows.
    kernel : {'reference', 'fused'}, optional
        For tests and bug reports; fused where it exists by default.
    n_threads : int, optional
        Threads of one application, and of the setup for a large A. By default Numba's
        setting, and 1 for a small A.
    n_probe : int, optional
        Lanczos steps of the probe, 12 by default.
    diagonal : array_like, shape (n,), optional
        Diagonal of A, for operators that do not show theirs.
    nullspace : array_like, shape (n, k), optional
        Vectors that A maps to zero, and that are to be kept out of the solution.
    rng : int, numpy.random.Generator or None, optional
        Source of the start vectors. Two calls with the default give the same M; None
        draws fresh entropy.
    n_eigenpairs : int, optional
        For 'lobpcg', which needs it: columns of its X.
    largest : bool, optional
        For 'lobpcg': whether the largest eigenvalues are sought.
    B : sparse array, ndarray or LinearOperator, shape (n, n), optional
        For 'lobpcg': the right-hand side of the generalised problem A x = λ B x.

    Returns
    -------
    PolynomialPreconditioner
        Pass it as `M` to SciPy's solvers; ``print(M.report)`` says what was done.

    Raises
    ------
    TypeError, ValueError
        If A is not square, finite and Hermitian, shows that it is not positive
        definite, or a keyword has no such value.
    ImportError, RuntimeError, MemoryError
        If `device` is a CUDA device and CuPy, a device or room for A is missing.
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
    Spends 2 products with A on a test of symmetry, 12 on the probe, 2 to 4 on a rigorous
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
    device = arrays.check_device(device, "make")
    arrays.check_together(
        "make", A=A, diagonal=diagonal, nullspace=nullspace, base=base, B=B
    )

    def _request(operand):
        """Check all that needs A, and put it together."""
        checked = checks.check_base(base, operand, "make")
        checks.check_steps(n_probe, operand.n, "make")
        wanted = degree
        if degree is not None and not (isinstance(degree, str) and degree == "measure"):
            wanted = checks.check_degree(degree, "make")
        for name, value, known in (
            ("solver", solver, SOLVERS),
            ("assume_a", assume_a, ("pos", "her", "gen")),
            ("precision", precision, layout.PRECISIONS),
            ("storage", storage, layout.STORAGES),
            ("kernel", kernel, kernels.KERNELS),
        ):
            if value is not None:
                checks.check_choice(value, name, known, "make")
        state = as_state(polynomial, wanted, engine, n_probe)
        if checked is None:
            checked = state.get("base")
        if isinstance(checked, str) and checked == "user":
            raise ValueError(
                "make: base must be given with a state made on a base of your own; got "
                "None. Pass the same preconditioner as base=."
            )
        return Request(
            A=A,
            operand=operand,
            solver=solver or state.get("solver"),
            assume_a=assume_a,
            base=checked,
            degree=wanted,
            engine=engine,
            state=state,
            precision=precision or state.get("precision"),
            storage=storage,
            kernel=kernel,
            n_threads=n_threads,
            n_probe=n_probe,
            diagonal=diagonal,
            nullspace=nullspace,
            rng=checks.as_rng(rng, "make"),
            n_eigenpairs=n_eigenpairs,
            largest=largest,
            B=B,
        )

    if device not in (None, "cpu") or arrays.is_on_device(A):
        from .device import build as on_device

        M, unproved = on_device.make(
            A, device, _request, lambda: time.perf_counter() - began
        )
        for text in unproved:
            warnings.warn(f"make: {text}.", UncertifiedWarning, stacklevel=2)
        return M
    operand = as_operand(A, "make", n_threads)
    choice = classes.choose(_request(operand))
    for text in choice.unproved:
        warnings.warn(f"make: {text}.", UncertifiedWarning, stacklevel=2)
    return _preconditioner(choice, operand, A, assume_a, n_threads, began)


def _preconditioner(choice, operand, A, assume_a, n_threads, began):
    """Put together what was chosen."""
    n, stored, kernel = operand.n, choice.stored, choice.kernel
    vector_dtype = layout.vector_dtype(operand.dtype, choice.precision)
    sizes = n, choice.polynomial.degree, vector_dtype.itemsize
    limit = n_threads
    if n_threads is None:
        n_threads = kernels.choose_threads(stored, kernel, *sizes)
    report = Report(
        n=n,
        nnz=operand.nnz,
        dtype=str(operand.dtype),
        solver=choice.solver,
        base=choice.based.name,
        kernel=kernel,
        storage=stored.kind,
        precision=choice.precision,
        n_threads=n_threads,
        n_powers=kernels.powers_per_sweep(stored, kernel, *sizes),
        degree=choice.polynomial.degree,
        probe=choice.probe,
        certificate=choice.certificate,
        engine=choice.engine,
        candidates=choice.candidates,
        break_even=choice.break_even,
        n_products=choice.n_products,
        seconds=time.perf_counter() - began,
        notes=(*operand.notes, *choice.notes),
        n_scalings=choice.based.n_scalings,
        seen=classify.seen(choice, assume_a),
    )
    return PolynomialPreconditioner(
        Parts(
            shape=(n, n),
            dtype=operand.dtype,
            stored=stored,
            left=choice.based.left,
            right=choice.based.right,
            inner=choice.based.inner,
            polynomial=choice.polynomial,
            precision=choice.precision,
            kernel=kernel,
            report=report,
            n_threads=n_threads,
            limit=limit,
            A=A,
            is_hermitian=choice.kind != "gen",
            is_positive=choice.kind == "pos",
            null=choice.null,
        )
    )
