"""`make` on a device."""

import scipy.sparse as sp

from autospec_precond import arrays, classify
from autospec_precond import operands as host_operands
from autospec_precond.kernels import gpu_runtime
from autospec_precond.report import Report

from . import choice as chosen
from .host import HostPreconditioner
from .linop import Core, Parts, operator_class
from .operands import as_operand

__all__ = ["make"]


def make(A, device, request, seconds):
    """Make a preconditioner that computes on a device.

    Parameters
    ----------
    A : object
        Of CuPy, or an explicit matrix in host memory.
    device : str or None
        As `arrays.check_device` returns it.
    request : callable
        Returns the Request for an operand.
    seconds : callable
        Returns the wall time since `autospec_precond.make` began.

    Returns
    -------
    M : LinearOperator
        Of CuPy where A is, else of SciPy.
    unproved : tuple of str
        What the caller is to be warned of.

    Raises
    ------
    ImportError, RuntimeError, MemoryError
        If CuPy, a device, or memory is missing.
    TypeError, ValueError
        As `autospec_precond.make`.
    """
    here = arrays.is_on_device(A)
    home = arrays.name_of(A)
    if here and device == "cpu":
        raise ValueError(
            f"make: device='cpu' must be given for A in host memory; got "
            f"{arrays.where(A)}. Pass A.get(), or leave device out."
        )
    if here and device not in (None, "cuda") and home not in ("cuda", device):
        raise ValueError(
            f"make: device must be where A is, {home!r}; got {device!r}. Leave it out, or "
            "make A there."
        )
    wanted = device or home
    if here and ":" in home:
        wanted = home
    xp, number = gpu_runtime.open_device(wanted, "make")
    name = f"cuda:{number}"
    with gpu_runtime.on(xp, number):
        notes, host = (), None
        if not here:
            operand = host_operands.as_operand(A, "make")
            if operand.matrix is None:
                raise TypeError(
                    f"make: A must be explicit, or of CuPy's, for device={device!r}; got "
                    f"{type(A).__name__} in host memory. Wrap its product as a "
                    "cupyx.scipy.sparse.linalg.LinearOperator."
                )
            host = A
            _check_memory(xp, name, operand.matrix, operand.dtype)
            A, n_bytes = _moved(xp, operand)
            notes = (
                *operand.notes,
                f"A was moved to {name} once, {gpu_runtime.in_words(n_bytes)}; vectors of "
                "the host cross at each application, in and out",
            )
        operand = as_operand(A, "make")
        if here and operand.matrix is not None:
            _check_memory(xp, name, operand.matrix, operand.dtype, moved=True)
        asked = request(operand)
        choice = chosen.choose(asked, gpu_runtime.sparse().csr_matrix)
        report = _report(choice, operand, asked, name, (*operand.notes, *notes), seconds)
        core = Core(
            Parts(
                shape=(operand.n, operand.n),
                dtype=operand.dtype,
                stored=choice.stored,
                left=choice.based.left,
                right=choice.based.right,
                polynomial=choice.polynomial,
                precision=choice.precision,
                kernel=choice.kernel,
                device=name,
                report=report,
                A=A if operand.matrix is None else operand.matrix,
                host=host,
                is_hermitian=choice.kind != "gen",
                is_positive=choice.kind == "pos",
            )
        )
        if host is not None:
            return HostPreconditioner(core), choice.unproved
        return operator_class(gpu_runtime.linalg("make"))(core), choice.unproved


def _moved(xp, operand):
    """Return an explicit matrix of the host's on the device, and its bytes."""
    matrix = operand.matrix
    if not sp.issparse(matrix):
        return xp.asarray(matrix.astype(operand.dtype, copy=False)), matrix.nbytes
    given = matrix.data.astype(operand.dtype, copy=False), matrix.indices, matrix.indptr
    parts = tuple(xp.asarray(part) for part in given)
    moved = gpu_runtime.sparse().csr_matrix(parts, shape=matrix.shape)
    return moved, sum(part.nbytes for part in given)


def _check_memory(xp, name, matrix, dtype, moved=False):
    """Refuse a matrix for which the device has no room, before it is full."""
    n = matrix.shape[0]
    if hasattr(matrix, "indptr"):
        entries, own = int(matrix.nnz), matrix.nnz * (dtype.itemsize + 4) + 4 * (n + 1)
    else:
        entries, own = n * n, n * n * dtype.itemsize
    double = 16 if dtype.kind == "c" else 8
    # S is made in double precision, with rows and places beside it; then 12 vectors.
    made = entries * (double + 24) + 12 * double * n
    needed = int(made + (0 if moved else own))
    free = gpu_runtime.free_bytes(xp)
    if needed > free:
        needed, own, free = map(gpu_runtime.in_words, (needed, own, free))
        raise MemoryError(
            f"make: A and what is made of it must fit the memory of {name}; got "
            f"{needed} needed (A alone {own}) and {free} free. Free some, "
            "or pass A in host memory without device."
        )


def _report(choice, operand, request, name, notes, seconds):
    return Report(
        n=operand.n,
        nnz=operand.nnz,
        dtype=str(operand.dtype),
        solver=choice.solver,
        base=choice.based.name,
        kernel=choice.kernel,
        storage=choice.stored.kind,
        precision=choice.precision,
        n_threads=1,
        n_powers=1,
        degree=choice.polynomial.degree,
        probe=choice.probe,
        certificate=choice.certificate,
        engine=choice.engine,
        candidates=choice.candidates,
        break_even=choice.break_even,
        n_products=choice.n_products,
        seconds=seconds(),
        notes=(*notes, *choice.notes),
        n_scalings=choice.based.n_scalings,
        seen=classify.seen(choice, request.assume_a),
        device=name,
    )
