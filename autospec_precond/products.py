"""The product with A in A's own precision: for `M.solve`, and as a LinearOperator."""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator

from .bases import by_columns

__all__ = ["MatrixProduct", "alias"]

# SciPy's kernel is the faster one in blocks of three columns and more on rows shorter than
# this, and on any rows in wide blocks.
_LONG_ROWS = 20
_WIDE = 12


class MatrixProduct(LinearOperator):
    """The product with a Hermitian A, vectors and blocks, in A's precision.

    Parameters
    ----------
    operand : operands.Operand
        A, checked; not copied.

    See Also
    --------
    autospec_precond.PolynomialPreconditioner.A : Makes it.

    Notes
    -----
    Values are read in the precision of A, and sums made in that of the result,
    ``np.result_type(A.dtype, x.dtype)``: a float32 A is not copied to float64 for a
    float64 x, as SciPy does at every product. A sparse A is read by our own kernel. On
    one thread, in times of SciPy's: 1.0 on 5 and 7 entries per row, 0.9 on 81; blocks of
    2 columns 0.96, 0.87 and 0.33, of 4 columns 0.55 on 81. Other blocks are SciPy's: of
    three columns and more on short rows, and wide ones. A dense A, or one that is not
    explicit, is applied as it is.

    The adjoint is the operator itself: `make` has checked that A is Hermitian.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from scipy.sparse.linalg import cg
    >>> import autospec_precond as ap
    >>> A = sp.diags_array([-1.0, 2.5, -1.0], offsets=[-1, 0, 1], shape=(50, 50))
    >>> M = ap.make(A, degree=4)
    >>> x, info = cg(M.A, np.ones(50), M=M)
    >>> info
    0
    """

    def __init__(self, operand):
        super().__init__(dtype=operand.dtype, shape=(operand.n, operand.n))
        self._operand = operand
        self._arrays = _arrays(operand.matrix) if sp.issparse(operand.matrix) else None

    def into(self, x, out, sums):
        """Write A x into `out` and Re x* A x, one per column, into `sums`.

        Parameters
        ----------
        x, out : ndarray, shape (n,) or (n, k)
            Of one type that A's can be cast to, C order; not the same.
        sums : ndarray of float64, shape (k,)
            One number for a vector.
        """
        from .kernels import cpu_cg as library  # Numba is imported where it is used

        if self._fits(x.dtype):
            planes = x.dtype.kind == "c" and self.dtype.kind != "c"
            if planes:  # the real and imaginary parts are two columns in memory
                x, out = _as_planes(x), _as_planes(out)
                parts = np.empty(x.shape[1])
            else:
                parts = sums
            form = library.VECTOR if x.ndim == 1 else library.BLOCK
            form.product(0, x.shape[0], *self._arrays, x, out, parts)
            if planes:
                np.sum(parts.reshape(-1, 2), axis=1, out=sums)
            return
        out[...] = self._plain(x)
        form = library.VECTOR if x.ndim == 1 else library.BLOCK
        form.dot(0, x.shape[0], x, out, sums)

    def _matvec(self, x):
        x = np.asarray(x)
        if x.ndim == 1:
            return self._matmat(x)
        if x.shape == (self.shape[1], 1):
            return self._matmat(x[:, 0])[:, None]
        return self._matmat(x[..., None])[..., 0]  # rows are vectors, from SciPy 1.18 on

    def _matmat(self, X):
        X = np.asarray(X)
        if X.ndim == 2 and X.shape[1] == 1:
            return self._matmat(X[:, 0])[:, None]
        if X.ndim > 2:
            result = np.empty(X.shape, np.result_type(self.dtype, X.dtype))
            for which in np.ndindex(X.shape[:-2]):
                result[which] = self._matmat(X[which])
            return result
        dtype = np.result_type(self.dtype, X.dtype)
        if not self._fits(dtype) or X.size == 0 or self._scipy_is_faster(X):
            return np.asarray(self._plain(X), dtype=dtype)
        x = alias(np.ascontiguousarray(X, dtype))
        out = np.empty(x.shape, dtype)
        self.into(x, out, np.empty(x.shape[1:] or 1))
        return out

    def _rmatvec(self, x):
        return self._matvec(x)

    def _rmatmat(self, X):
        return self._matmat(X)

    def _adjoint(self):
        return self

    def _fits(self, dtype):
        """Say whether the kernel takes A and vectors of this type."""
        return self._arrays is not None and dtype.char in "fdFD"

    def _scipy_is_faster(self, x):
        if x.ndim == 1 or x.shape[1] < 3 or self.dtype != x.dtype:
            return False
        short = self._operand.matrix.nnz < _LONG_ROWS * x.shape[0]
        return short or x.shape[1] >= _WIDE

    def _plain(self, x):
        A = self._operand.operator
        return np.asarray(by_columns(A.__matmul__, A, x)).reshape(x.shape)


def alias(array):
    """Return the same memory as an array that the kernels were compiled for.

    Parameters
    ----------
    array : ndarray
        Contiguous.

    Returns
    -------
    ndarray
        Itself, or one that may be written: Numba would compile again for arrays that
        are read-only. Nothing must be written there.
    """
    return array if array.flags.writeable else np.asarray(_Memory(array))


def _arrays(matrix):
    # Signed indices would get a wrap-around test per entry: 2 to 3 times slower.
    unsigned = np.dtype(f"u{matrix.indices.itemsize}")
    indptr, indices = matrix.indptr.view(unsigned), matrix.indices.view(unsigned)
    return alias(indptr), alias(indices), alias(matrix.data)


def _as_planes(x):
    """View complex columns as pairs of real ones."""
    return x.view(x.real.dtype).reshape(x.shape[0], -1)


class _Memory:
    """The memory of an array, without the flag that forbids to write there."""

    def __init__(self, array):
        address, _ = array.__array_interface__["data"]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}
        self.owner = array
