"""M of a device for SciPy's solvers on the host: two copies per application."""

import numpy as np
from scipy.sparse.linalg import LinearOperator

from autospec_precond.kernels import gpu_runtime
from autospec_precond.operands import reopen
from autospec_precond.products import MatrixProduct

from . import solvers
from .linop import Surface

__all__ = ["HostPreconditioner"]


class HostPreconditioner(Surface, LinearOperator):
    """A polynomial of A that is applied on a device, to vectors of the host.

    Parameters
    ----------
    core : linop.Core
        M on the device.

    Notes
    -----
    A vector or block goes to the device and the result comes back, through memory that is
    pinned; nothing else crosses.
    """

    def __init__(self, core):
        super().__init__(core.dtype, core.shape)
        self.core = core
        self._spare = gpu_runtime.Spare(each=2)
        self._product = None

    @property
    def A(self):  # noqa: N802
        """The product with A on the host, in A's precision."""
        if self.core.parts.is_adjoint:
            return self._adjoint().A.adjoint()
        if self._product is None:
            operand = reopen(self.core.parts.host, self.dtype, "A")
            hermitian = self.core.parts.is_hermitian
            self._product = MatrixProduct(operand, None, hermitian)
        return self._product

    def _matvec(self, x):
        x = np.asarray(x)
        if x.ndim == 1 or x.shape == (self.shape[1], 1):
            return self._matmat(x)
        return self._matmat(x[..., None])[..., 0]

    def _matmat(self, X):
        X = np.asarray(X)
        out = np.empty(X.shape, np.result_type(self.dtype, X.dtype))
        if X.size:
            self._apply(X, out)
        return out

    def apply_into(self, x, out):
        """Write M x into an array of the caller's.

        Parameters
        ----------
        x, out : ndarray, shape (n,) or (..., n, k)
            In host memory; may be one.
        """
        x, n = np.asarray(x), self.shape[0]
        result = np.result_type(self.dtype, x.dtype)
        fits = x.shape == (n,) or (x.ndim >= 2 and x.shape[-2] == n)
        fits = fits and isinstance(out, np.ndarray) and out.shape == x.shape
        if not fits or not np.can_cast(result, out.dtype, "same_kind"):
            raise ValueError(
                f"apply_into: x and out must have shape ({n},) or (..., {n}, k), and out "
                f"must hold {result}; got {x.shape} and {type(out).__name__} of shape "
                f"{np.shape(out)}."
            )
        if x.size:
            self._apply(x, out)

    def _apply(self, x, out):
        """Copy in, apply, copy out: one copy each, whatever the number of columns."""
        core, xp = self.core, self.core.xp
        if x.ndim > 2:
            for part, result in zip(x, out, strict=True):
                self._apply(part, result)
            return
        split = x.dtype.kind == "c" and self.dtype.kind != "c"
        columns = 1 if x.ndim == 1 else x.shape[1]
        count = columns * (1 + split)
        with core.here():
            stream = gpu_runtime.stream(xp)
            pool = self._spare.of(count)
            try:
                pinned, block = pool.pop()
            except IndexError:
                size = x.shape[0] * count
                pinned = gpu_runtime.pinned(xp, size, self.dtype)
                shape = (x.shape[0],) if count == 1 else (x.shape[0], count)
                block = xp.empty(shape, self.dtype)
            view = pinned.reshape(block.shape)
            target = view.reshape(x.shape[0], count)
            source, result = (v if v.ndim == 2 else v[:, None] for v in (x, out))
            if split:
                target[:, :columns], target[:, columns:] = source.real, source.imag
            else:
                target[...] = source
            block.set(view, stream=stream)
            core.apply_into(block, block)
            block.get(stream=stream, out=view, blocking=False)
            stream.synchronize()
            if split:
                result.real, result.imag = target[:, :columns], target[:, columns:]
            else:
                result[...] = target
            pool.append((pinned, block))

    def solve(self, b, x0=None, *, rtol=1e-5, atol=0.0, maxiter=None, callback=None):
        """Solve A x = b by conjugate gradients on the device.

        Parameters
        ----------
        b : array_like, shape (n,) or (n, k)
            Right-hand side in host memory, copied once.
        x0 : array_like, shape of `b`, optional
            Where to start.
        rtol, atol, maxiter, callback : optional
            As for `PolynomialPreconditioner.solve`; x is copied for each call of the
            callback.

        Returns
        -------
        x : ndarray, shape of `b`
            The solution, in host memory.
        info : int
            As for `PolynomialPreconditioner.solve`.
        """
        self.check_positive()
        xp = self.core.xp
        seen = None
        if callback is not None:
            seen = (lambda x: callback(x.get())) if callable(callback) else callback
        with self.core.here():
            b = xp.asarray(np.asarray(b))
            x0 = None if x0 is None else xp.asarray(np.asarray(x0))
            x, info = solvers.solve(
                self.core, b, x0, rtol=rtol, atol=atol, maxiter=maxiter, callback=seen
            )
            return x.get(), info
