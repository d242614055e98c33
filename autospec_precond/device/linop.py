"""M on a device: what it consists of and how it is applied, whoever calls it."""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from autospec_precond import arrays
from autospec_precond.kernels import gpu_runtime, layout
from autospec_precond.report import Report
from autospec_precond.request import STATE_FORMAT

from . import adjoint, kernels, solvers
from .chooser import run_of
from .storage import Stored

__all__ = ["Core", "Parts", "Surface", "operator_class", "restore"]


@dataclass(frozen=True)
class Parts:
    """All that a preconditioner on a device consists of; what is pickled.

    Attributes
    ----------
    shape : tuple of int
        (n, n).
    dtype : dtype
        Type of A.
    stored : Stored
        The based operator in the form that the kernel reads.
    left, right : array, shape (n,), or None
        The diagonals L and R; one array where S is Hermitian like A.
    polynomial : Polynomial
        p, in the units of the based operator.
    precision, kernel, device : str
        As chosen.
    report : Report
        What was found and decided.
    A : object
        On the device.
    host : object or None
        The caller's A where it was in host memory.
    is_hermitian, is_positive : bool
        Whether A, and with it M, is Hermitian; positive definite.
    is_adjoint : bool
        Whether M belongs to the adjoint of A.
    """

    shape: tuple
    dtype: np.dtype
    stored: Stored
    left: Any
    right: Any
    polynomial: Any
    precision: str
    kernel: str
    device: str
    report: Report
    A: Any
    host: Any = None
    is_hermitian: bool = True
    is_positive: bool = True
    is_adjoint: bool = False


class Core:
    """The application of M to vectors and blocks on the device.

    Parameters
    ----------
    parts : Parts
        What it consists of.
    """

    def __init__(self, parts):
        self.parts, xp = parts, parts.stored.xp
        self.xp = xp
        self.shape, self.dtype = parts.shape, np.dtype(parts.dtype)
        self.library = kernels.select(xp, parts.kernel, "make")
        self.vector_dtype = layout.vector_dtype(parts.dtype, parts.precision)
        self.number = None
        if parts.device.startswith("cuda:"):
            self.number = int(parts.device[5:])
        degree = parts.polynomial.degree
        self.graph = None
        if degree and self.library.name == "fused":
            factors = parts.polynomial.factors(parts.stored.unit)
            self.graph = self.library.graph.Applications(parts.stored, factors)
        self._run = run_of(self.library, parts.stored, parts.polynomial)
        # Streams have scratch of their own, since what was queued on one may run long
        # after the call. CuPy gives freed memory back to the stream it was made for.
        self._spare = gpu_runtime.Spare()
        self._captured = []

    def here(self):
        """Make the device of M the current one.

        Returns
        -------
        context manager
            That gives the former one back.
        """
        return gpu_runtime.on(self.xp, self.number)

    def apply_into(self, x, out):
        """Write M x into an array, queued on the current stream.

        Parameters
        ----------
        x, out : array, shape (n,) or (n, k)
            On the device; may be one.
        """
        if gpu_runtime.stream(self.xp).is_capturing():
            # The caller's graph writes there whenever it is launched: nobody else may.
            self._captured.append(self.scratch(x.shape))
            self.queue(x, out, self._captured[-1])
            return
        pool = self._spare.of((gpu_runtime.stream_key(self.xp), x.shape))
        try:
            scratch = pool.pop()
        except IndexError:
            scratch = self.scratch(x.shape)
        self.queue(x, out, scratch)
        pool.append(scratch)

    def scratch(self, shape):
        """Return scratch for `queue`.

        Parameters
        ----------
        shape : tuple of int
            Of the vector or block.

        Returns
        -------
        list of array
            Three of that shape.
        """
        return [self.xp.empty(shape, self.vector_dtype) for _ in range(3)]

    def queue(self, x, out, scratch):
        """Write M x into an array; kernels of ours allocate nothing for floating point.

        Parameters
        ----------
        x, out : array, shape (n,) or (n, k)
            On the device; may be one.
        scratch : list of array
            As `scratch` returns it.
        """
        if x.dtype.kind == "c" and self.dtype.kind != "c":
            self.queue(x.real, out.real, scratch)
            self.queue(x.imag, out.imag, scratch)
            return
        if x.dtype.char not in "fdFD":
            x = x.astype(self.dtype)
        parts, (start, *work) = self.parts, scratch
        back = 1 / parts.stored.unit
        if self.graph is not None:
            scales = parts.left, 1.0, parts.right, back
            self.graph.scaled(x, out, scales, start, work)
        else:
            self.library.scale(x, parts.left, 1.0, start)
            result = self._run(start, work)
            self.library.scale(result, parts.right, back, out)

    def check_place(self, x, name, caller):
        """Refuse what is not an array on the device of M: a kernel gets an address only.

        Parameters
        ----------
        x : object
            What the caller passed.
        name, caller : str
            For the message.

        Raises
        ------
        TypeError
            Saying where it is.
        """
        number, hint = self.number, f"Pass cupy.asarray({name})."
        if isinstance(x, self.xp.ndarray):
            if number is None or x.device.id == number:
                return
            hint = f"Take {name}.copy() with cupy.cuda.Device({number}) as the current one."
        elif arrays.is_on_device(x):
            raise TypeError(f"{caller}: {name} must be an array; got {type(x).__name__}.")
        raise TypeError(
            f"{caller}: {name} must be on device {self.parts.device!r} as M is; got "
            f"{arrays.where(x)}. {hint}"
        )

    def apply(self, x):
        """Return M x.

        Parameters
        ----------
        x : array, shape (n,) or (n, k)
            On the device.

        Returns
        -------
        array, shape of `x`
            Of type ``np.result_type(M.dtype, x.dtype)``.
        """
        self.check_place(x, "x", "M")
        with self.here():
            out = self.xp.empty(x.shape, np.result_type(self.dtype, x.dtype))
            if x.size:
                self.apply_into(x, out)
        return out


class Surface:
    """Properties of M, wherever its vectors are; `core` holds the rest."""

    core: Core
    _other = None  # the adjoint, once it has been asked for

    @property
    def report(self):
        """What was probed, chosen and proved."""
        return self.core.parts.report

    @property
    def polynomial(self):
        """The polynomial p."""
        return self.core.parts.polynomial

    @property
    def certificate(self):
        """What is proved about p."""
        return self.report.certificate

    @property
    def probe(self):
        """What the probe found."""
        return self.report.probe

    @property
    def degree(self):
        """Number of products with A per application."""
        return self.polynomial.degree

    @property
    def solver(self):
        """The solver that M is made for."""
        return self.report.solver

    @property
    def precision(self):
        """Precision of values and vectors: 'single', 'mixed' or 'double'."""
        return self.core.parts.precision

    @property
    def kernel(self):
        """The kernel that runs: 'fused' or 'reference'."""
        return self.core.parts.kernel

    @property
    def storage(self):
        """How A is stored: 'csr', 'dia', 'dense', 'operator' or 'none'."""
        return self.core.parts.stored.kind

    @property
    def device(self):
        """Place of M: 'cuda:0', 'cuda:1', ..."""
        return self.core.parts.device

    @property
    def n_threads(self):
        """Number of threads of the host: 1."""
        return 1

    def check_positive(self):
        """Refuse to solve by conjugate gradients where M is not made for them.

        Raises
        ------
        ValueError
            If A is not known to be positive definite.
        """
        if not self.core.parts.is_positive:
            raise ValueError(
                "solve: M must be made for a positive definite A; got one for solver "
                f"{self.solver!r}. Pass M to that solver."
            )

    def state(self):
        """Return all that `make` needs to build the same M again without a probe.

        Returns
        -------
        dict
            JSON-able; for the host as well as for a device.
        """
        return {
            "format": STATE_FORMAT,
            "solver": self.solver,
            "polynomial": self.polynomial.to_dict(),
            "base": self.report.base,
            "n_scalings": self.report.n_scalings,
            "precision": self.precision,
            "engine": self.report.engine,
        }

    def _rmatvec(self, x):
        return self._adjoint()._matvec(x)

    def _rmatmat(self, X):
        return self._adjoint()._matmat(X)

    def _adjoint(self):
        parts = self.core.parts
        if parts.is_hermitian:
            return self
        if self._other is None:
            with self.core.here():
                self._other = type(self)(Core(adjoint.parts_of(parts)))
            self._other._other = self
        return self._other

    def _transpose(self):
        return super()._transpose() if self.dtype.kind == "c" else self._adjoint()

    def __repr__(self):
        n, m = self.core.shape
        return (
            f"<{n}x{m} {type(self).__name__} of degree {self.degree} "
            f"{self.polynomial.span} on {self.device}, dtype={self.core.dtype}>"
        )

    def _repr_html_(self):
        return self.report._repr_html_()

    def __reduce__(self):
        return restore, (self.core.parts,)


def restore(parts):
    """Build M from what was pickled.

    Parameters
    ----------
    parts : Parts
        As `Surface` pickles it.

    Returns
    -------
    LinearOperator
        Of CuPy, or of SciPy where A was in host memory.
    """
    # CuPy makes unpickled arrays on the current device, wherever they came from.
    home = _home(parts)
    if home != parts.device:
        report = dataclasses.replace(parts.report, device=home)
        parts = dataclasses.replace(parts, device=home, report=report)
    core = Core(parts)
    if parts.host is not None:
        from .host import HostPreconditioner

        return HostPreconditioner(core)
    return operator_class(gpu_runtime.linalg("make"))(core)


def _home(parts):
    """Return where the arrays of M are, as far as they tell."""
    names = map(arrays.name_of, (parts.left, parts.stored.data, parts.A))
    return next((name for name in names if ":" in name), parts.device)


def operator_class(linalg):
    """Return the class of M for CuPy's solvers.

    Parameters
    ----------
    linalg : module
        ``cupyx.scipy.sparse.linalg``, which does not import everywhere.

    Returns
    -------
    type
        A subclass of its LinearOperator; one for each module.
    """
    return _made(linalg)


@functools.cache
def _made(linalg):
    class DevicePreconditioner(Surface, linalg.LinearOperator):
        """A polynomial of A on a device; see `PolynomialPreconditioner`."""

        def __init__(self, core):
            super().__init__(core.dtype, core.shape)
            self.core = core

        @property
        def A(self):  # noqa: N802
            """The product with A in A's precision."""
            if self.core.parts.is_adjoint:
                return self._adjoint().A.adjoint()
            return linalg.aslinearoperator(self.core.parts.A)

        def _matvec(self, x):
            return self.core.apply(x)

        def _matmat(self, X):
            return self.core.apply(X)

        def apply_into(self, x, out):
            """Write M x into an array of the caller's, on the device."""
            _check_into(self.core, x, out)
            with self.core.here():
                self.core.apply_into(x, out)

        def solve(self, b, x0=None, *, rtol=1e-5, atol=0.0, maxiter=None, callback=None):
            """Solve A x = b by conjugate gradients on the device."""
            self.check_positive()
            arrays.check_together("solve", A=self.core.parts.A, b=b, x0=x0)
            for name, given in (("b", b), ("x0", x0)):
                if given is not None:
                    self.core.check_place(given, name, "solve")
            with self.core.here():
                return solvers.solve(
                    self.core,
                    b,
                    x0,
                    rtol=rtol,
                    atol=atol,
                    maxiter=maxiter,
                    callback=callback,
                )

    return DevicePreconditioner


def _check_into(core, x, out):
    n = core.shape[0]
    for name, array in (("x", x), ("out", out)):
        core.check_place(array, name, "apply_into")
    result = np.result_type(core.dtype, x.dtype)
    fits = x.ndim in (1, 2) and x.shape[0] == n and out.shape == x.shape
    fits = fits and out.dtype.char in "fdFD"  # what kernels write
    if not fits or not np.can_cast(result, out.dtype, "same_kind"):
        raise ValueError(
            f"apply_into: x and out must have shape ({n},) or ({n}, k), and out must hold "
            f"{result}; got {x.shape}, {out.shape} and {out.dtype}."
        )
