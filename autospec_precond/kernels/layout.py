"""How the based operator is stored for the kernels: values, indices, or a function."""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

__all__ = ["PRECISIONS", "Stored", "power_of_two", "store", "vector_dtype"]

PRECISIONS = ("single", "mixed", "double")


@dataclass(frozen=True)
class Stored:
    """The based operator, ready for a kernel.

    Attributes
    ----------
    kind : str
        'csr', 'dense' or 'operator'.
    data : ndarray or None
        Values: (nnz,) for 'csr', (n, n) for 'dense'.
    indices, indptr : ndarray or None
        Of 'csr', in the width SciPy gave them.
    function : callable or None
        The product of 'operator'.
    unit : float
        A power of two; S is `unit` times what is stored, or what `product` applies.
    """

    kind: str
    data: np.ndarray | None = None
    indices: np.ndarray | None = None
    indptr: np.ndarray | None = None
    function: object = None
    unit: float = 1.0

    def product(self, x):
        """Return the stored operator times x, for the reference kernel.

        Parameters
        ----------
        x : ndarray, shape (n,) or (n, k)
            Vector or block.

        Returns
        -------
        ndarray, shape of `x`
            S x / unit.
        """
        if self.kind == "operator":
            return self.function(x / np.float64(self.unit))
        if self.kind == "dense":
            return self.data @ x
        n = self.indptr.size - 1
        return sp.csr_array((self.data, self.indices, self.indptr), shape=(n, n)) @ x

    def writeable(self):
        """Return the same with arrays that may be written.

        Returns
        -------
        Stored
            Itself, but for read-only arrays: shared memory hands such on, and Numba
            would compile the kernel again for them.
        """
        names = ("data", "indices", "indptr")
        arrays = {name: getattr(self, name) for name in names}
        copies = {k: a.copy() for k, a in arrays.items() if not _may_be_written(a)}
        return replace(self, **copies) if copies else self


def vector_dtype(dtype, precision):
    """Return the type of the vectors in the recurrence.

    Parameters
    ----------
    dtype : dtype
        Type of A: float32, float64, complex64 or complex128.
    precision : str
        'single', 'mixed' or 'double'.

    Returns
    -------
    dtype
        Real or complex like `dtype`.
    """
    bits = {"single": 4, "double": 8, "mixed": np.dtype(dtype).type(0).real.itemsize}
    real = np.dtype(f"f{bits[precision]}")
    return np.result_type(real, np.complex64) if np.dtype(dtype).kind == "c" else real


def power_of_two(*factors):
    """Return the power of two nearest to a product: a scaling that rounds nothing.

    Parameters
    ----------
    *factors : float
        Not negative; a zero gives 1.

    Returns
    -------
    float
        Between 2^-1000 and 2^1000, so that its inverse is finite, too.
    """
    if not min(factors) > 0:
        return 1.0
    exponent = round(float(sum(np.log2(factor) for factor in factors)))
    return 2.0 ** min(max(exponent, -1000), 1000)


def store(based, dtype, precision):
    """Store the based operator for the kernels.

    Parameters
    ----------
    based : Based
        The operator S.
    dtype : dtype
        Type of A.
    precision : str
        'single', 'mixed' or 'double'; float32 values but for 'double'.

    Returns
    -------
    Stored
        Own copies of values and indices.
    """
    if based.matrix is None:
        return Stored("operator", function=based.composed)
    matrix = based.matrix
    values = np.dtype("f8" if precision == "double" else "f4")
    if np.dtype(dtype).kind == "c":
        values = np.result_type(values, np.complex64)
    data = matrix.data if sp.issparse(matrix) else matrix
    # Entries of A may be far outside the range of float32; a power of two moves them
    # there without rounding.
    largest = float(np.abs(data).max(initial=0.0))
    unit = power_of_two(largest)
    data = (data / unit).astype(values)
    if sp.issparse(matrix):
        return Stored("csr", data, matrix.indices, matrix.indptr, unit=unit)
    return Stored("dense", data, unit=unit)


def _may_be_written(array):
    return array is None or array.flags.writeable
