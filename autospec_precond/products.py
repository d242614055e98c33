"""The product with A in A's own precision: for `M.solve`, and as a LinearOperator."""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from . import blas
from .bases import by_columns
from .kernels import chunks
from .kernels.arrays import alias, unsigned

__all__ = ["MatrixProduct"]

# On one thread SciPy's kernel is the faster one in blocks of three columns and more on rows
# shorter than this, and on any rows in wide blocks.
_LONG_ROWS = 20
_WIDE = 12


class MatrixProduct(LinearOperator):
    """The product with A, vectors and blocks, in A's precision.

    Parameters
    ----------
    operand : operands.Operand
        A, checked; not copied.
    limit : int, optional
        Threads that may share a product. By default Numba's setting; a small A has one.
    is_hermitian : bool, optional
        Whether A is its own adjoint.

    See Also
    --------
    autospec_precond.PolynomialPreconditioner.A : Makes it.

    Notes
    -----
    Values are read in the precision of A, and sums made in that of the result,
    ``np.result_type(A.dtype, x.dtype)``: a float32 A is not copied to float64 for a
    float64 x, as SciPy does at every product. A sparse A is read where it lies, by our
    own kernels. For vectors they read no indices where rows repeat those before them, as
    in stencils and elements on grids; which do is found at the first product, in the time
    of one, and kept: half a byte per row. The pattern of A must stay as it is; after
    ``A.eliminate_zeros()``, which changes it in place, it is looked for again.

    In times of SciPy's product, one thread and two: 5 points in 2-D 2.5 and 4.4, 7 points
    in 3-D 2.1 and 3.8, elasticity in 2-D and 3-D 1.1 and 2.2, an unstructured mesh 1.0
    and 2.0. A dense A, or one that is not explicit, is applied as it is.

    The adjoint of a Hermitian A is the operator itself, else SciPy's.

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

    def __init__(self, operand, limit=None, is_hermitian=True):
        super().__init__(dtype=operand.dtype, shape=(operand.n, operand.n))
        self.limit = limit
        self.is_hermitian = is_hermitian
        self._operand = operand
        self._arrays = _arrays(operand.matrix) if sp.issparse(operand.matrix) else None
        self._found = None, None  # the number of entries then, and the table of the rows

    def into(self, x, out, sums, n_threads=None):
        """Write A x into `out` and Re x* A x, one per column, into `sums`.

        Parameters
        ----------
        x, out : ndarray, shape (n,) or (n, k)
            Of one type that A's can be cast to, C order; not the same.
        sums : ndarray of float64, shape (k,)
            One number for a vector.
        n_threads : int, optional
            Threads that share the rows; as many as pay by default. Without influence on
            the result.
        """
        n = x.shape[0]
        if n_threads is None:
            n_threads = self.threads_for(x)
        if not self._fits(x.dtype):
            from .kernels import cpu_cg  # Numba is imported where it is used

            out[...] = self._plain(x)
            form = cpu_cg.VECTOR if x.ndim == 1 else cpu_cg.BLOCK
            sums[...] = chunks.run(form.dot, n, sums.size, n_threads, x, out)
            return
        planes = x.dtype.kind == "c" and self.dtype.kind != "c"
        if planes:  # the real and imaginary parts are two columns in memory
            x, out = _as_planes(x), _as_planes(out)
        if x.ndim == 1:
            from .kernels import cpu_rows

            kernel, matrix = cpu_rows.product, (self._table(n_threads), *self._arrays)
        else:
            from .kernels import cpu_cg

            kernel, matrix = cpu_cg.BLOCK.product, self._arrays
        k = 1 if x.ndim == 1 else x.shape[1]
        weights = self._arrays[0] if n_threads > 1 else None
        parts = chunks.run(kernel, n, k, n_threads, *matrix, x, out, weights=weights)
        sums[...] = parts.reshape(-1, 2).sum(axis=1) if planes else parts

    def threads_for(self, x):
        """Return the number of threads that share a product.

        Parameters
        ----------
        x : ndarray, shape (n,) or (n, k)
            Vector or block.

        Returns
        -------
        int
            1 where A is not read by our kernels, or too small.
        """
        if self._arrays is None:
            return 1
        return chunks.threads_for(self.limit, self._n_bytes(x))

    def _n_bytes(self, x):
        """Count what a product reads and writes, entries once per column."""
        return self._arrays[2].nbytes * (x.size // x.shape[0]) + 2 * x.nbytes

    def _table(self, n_threads):
        """Return which rows repeat those before them, as `cpu_rows.find` tells."""
        from .kernels import cpu_rows

        indptr, indices, _ = self._arrays
        nnz, table = self._found
        if nnz != indptr[-1]:
            n = indptr.size - 1
            nnz, table = indptr[-1], cpu_rows.new_table(n)
            chunks.run(cpu_rows.find, n, 1, n_threads, indptr, indices, table)
            self._found = nnz, table
        return table

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
        x = alias(np.asarray(X, dtype))
        out = np.empty(x.shape, dtype)
        # Solvers call BLAS in between: as for an application of M (`blas`).
        n_threads = self.threads_for(x)
        if n_threads > 1 and not blas.hold():
            n_threads = 1
        self.into(x, out, np.empty(x.shape[1:] or 1), n_threads)
        if n_threads > 1:
            blas.hold()
        return out

    def _rmatvec(self, x):
        return self._adjoint() @ x

    def _rmatmat(self, X):
        return self._adjoint() @ X

    def _adjoint(self):
        if self.is_hermitian:
            return self
        return aslinearoperator(self._operand.operator).adjoint()

    def _fits(self, dtype):
        """Say whether the kernel takes A and vectors of this type."""
        return self._arrays is not None and dtype.char in "fdFD"

    def _scipy_is_faster(self, x):
        if x.ndim == 1 or x.shape[1] < 3 or self.dtype != x.dtype:
            return False
        # Not by the number of threads, which must not change a bit of the result.
        if self._n_bytes(x) >= chunks.WORTH_THREADS:
            return False
        short = self._operand.matrix.nnz < _LONG_ROWS * x.shape[0]
        return short or x.shape[1] >= _WIDE

    def _plain(self, x):
        A = self._operand.operator
        return np.asarray(by_columns(A.__matmul__, A, x)).reshape(x.shape)


def _arrays(matrix):
    return unsigned(matrix.indptr), unsigned(matrix.indices), alias(matrix.data)


def _as_planes(x):
    """View complex columns as pairs of real ones."""
    return x.view(x.real.dtype).reshape(x.shape[0], -1)
