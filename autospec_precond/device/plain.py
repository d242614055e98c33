"""The kernels of a device in plain array operations, one launch each.

The reference for those of our own, and what runs where an operator or a dense A multiplies.
"""

import numpy as np

from . import storage, vectors

__all__ = ["Plain"]


class Plain:
    """Array operations, one launch each.

    Parameters
    ----------
    xp : module
        Array module.
    """

    name = "reference"
    most_diagonals = 0

    def __init__(self, xp):
        self.xp = xp

    def applications(self, stored, factors):
        """Return p of the stored operator as a function of a vector and scratch.

        Parameters
        ----------
        stored : storage.Stored
            The operator.
        factors : ndarray, shape (degree, 4)
            As for `kernels.reference.apply`.

        Returns
        -------
        callable
            ``run(x, work)``.
        """
        return lambda x, work: storage.apply(stored, factors, x, work)

    def scale(self, x, weights, factor, out):
        """Set out <- x weights factor, computed in double precision.

        Parameters
        ----------
        x : array, shape (n,) or (n, k)
            On the device.
        weights : array, shape (n,), or None
            Real.
        factor : float
            Of the host's.
        out : array, shape of `x`
            Where the result goes.
        """
        y = x * np.float64(factor)
        if weights is not None:
            y = y * (weights if x.ndim == 1 else weights[:, None])
        out[...] = y

    def product(self, matrix):
        """Return ``into(x, y)``, which writes A x into y.

        Parameters
        ----------
        matrix : object with ``@``
            A, in its own precision.

        Returns
        -------
        callable
            Takes two vectors.
        """

        def _into(x, y):
            """Write A x into y."""
            y[...] = matrix @ x

        return _into

    def partials(self, like):
        """Return scratch for the sums over a vector.

        Parameters
        ----------
        like : array, shape (n,)
            Such a vector.

        Returns
        -------
        None
            Nothing here.
        """

    def dot(self, x, y, out, partial):
        """Set out[0] <- x* y.

        Parameters
        ----------
        x, y : array, shape (n,)
            Vectors.
        out : array, shape (1,)
            On the device.
        partial : object
            As `partials` returns it.
        """
        # In the type of the sum: squares of small numbers are zero in float32.
        x, y = x.astype(out.dtype, copy=False), y.astype(out.dtype, copy=False)
        x = x.conj() if x.dtype.kind == "c" else x
        out[0] = (x * y).sum()

    def update(self, rho, energy, p, q, x, r, rr, partial):
        """Make a step of conjugate gradients: x += alpha p, r -= alpha q, rr <- |r|².

        Parameters
        ----------
        rho, energy : array, shape (1,)
            Their quotient is alpha.
        p, q, x, r : array, shape (n,)
            Vectors.
        rr : array, shape (1,)
            Where the square goes.
        partial : object
            As `partials` returns it.
        """
        alpha = rho / energy
        x += (alpha * p).astype(x.dtype)
        r -= (alpha * q).astype(r.dtype)
        self.dot(r, r, rr, partial)

    def direction(self, rho, before, z, p):
        """Set p <- z + rho / before p.

        Parameters
        ----------
        rho, before : array, shape (1,)
            On the device.
        z, p : array, shape (n,)
            Vectors.
        """
        p *= (rho / before).astype(p.dtype)
        p += z

    def record(self, log):
        """Move the rows of a log down by one, so that the first is free.

        Parameters
        ----------
        log : array, shape (k, 3)
            The last row is lost.
        """
        log[1:] = log[:-1].copy()

    def repeated(self, kernels):
        """Return what starts some launches on the same arrays again and again.

        Parameters
        ----------
        kernels : callable
            Starts them on the current stream, and allocates nothing where it can.

        Returns
        -------
        callable
            Without arguments.
        """
        return kernels

    def uniform(self, seed, n):
        """Return random numbers; see `vectors.uniform`.

        Parameters
        ----------
        seed, n : int
            As there.

        Returns
        -------
        array, shape (n,)
            In double precision.
        """
        return vectors.uniform(self.xp, seed, n)

    def entries(self, matrix, left, right, dtype):
        """Return the entries of L A R, row by row.

        Parameters
        ----------
        matrix : csr_matrix
            A.
        left, right : array, shape (n,), or None
            The diagonals L and R.
        dtype : dtype
            Either float64 or complex128.

        Returns
        -------
        array, shape (nnz,)
            New ones.
        """
        data = matrix.data.astype(dtype)
        if left is not None:
            data *= left[self.rows(matrix)]
        if right is not None:
            data *= right[matrix.indices]
        return data

    def mark(self, matrix, seen):
        """Mark the diagonals that hold entries; see `kernels.gpu.setup.mark`.

        Parameters
        ----------
        matrix : csr_matrix
            A.
        seen : array of bool, shape (2 n - 1,)
            Changed.
        """
        seen[matrix.indices - self.rows(matrix) + (matrix.shape[0] - 1)] = True

    def rows(self, matrix):
        """Return the row of each entry.

        Parameters
        ----------
        matrix : csr_matrix
            On the device.

        Returns
        -------
        array, shape (nnz,)
            Of integers.
        """
        # `repeat` of CuPy takes no array of counts.
        places = self.xp.arange(matrix.nnz, dtype=matrix.indptr.dtype)
        return self.xp.searchsorted(matrix.indptr, places, side="right") - 1
