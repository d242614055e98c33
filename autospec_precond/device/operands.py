"""The matrix on a device that a caller passed, or why we cannot compute with it."""

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from autospec_precond import arrays
from autospec_precond.errors import NotHermitianError, NotPositiveError

from .vectors import dot, scalar

__all__ = ["Operand", "as_operand", "check_diagonal", "check_hermitian"]

# As on the host: relative to the largest entry.
_HERMITIAN_TOL = {np.dtype("f4"): 1e-5, np.dtype("f8"): 1e-12}


@dataclass(frozen=True)
class Operand:
    """A on a device, ready to compute with.

    Attributes
    ----------
    xp : module
        Its array module.
    matrix : csr_matrix or array or None
        A where it is explicit, by rows where it is sparse; shares memory with the
        caller's where that is by rows already.
    operator : object with ``@``
        `matrix`, or the caller's operator.
    dtype : dtype
        float32, float64, complex64 or complex128.
    notes : tuple of str
        What was converted, for the report.
    """

    xp: Any
    matrix: Any
    operator: Any
    dtype: np.dtype
    notes: tuple = ()

    @property
    def n(self):
        """Number of rows."""
        return self.operator.shape[0]

    @property
    def is_sparse(self):
        """Whether A is stored by rows."""
        return hasattr(self.matrix, "indptr")

    @property
    def real_dtype(self):
        """Real type of the same precision: float32 or float64."""
        return np.empty(0, self.dtype).real.dtype

    @property
    def double(self):
        """The type that a probe is made in: float64 or complex128."""
        return np.dtype(np.complex128 if self.dtype.kind == "c" else np.float64)

    @property
    def nnz(self):
        """Number of entries; None where A is not explicit."""
        if self.matrix is None:
            return None
        return int(self.matrix.nnz) if self.is_sparse else self.n**2

    def diagonal(self):
        """Return the diagonal of an explicit A.

        Returns
        -------
        array, shape (n,)
            On the device.
        """
        return self.matrix.diagonal()


def as_operand(A, caller):
    """Return what a caller passed as an operand.

    Parameters
    ----------
    A : object
        Of CuPy: sparse matrix, array or operator.
    caller : str
        Name that the messages start with.

    Returns
    -------
    Operand
        Square, of floating-point numbers, and finite where it is explicit.

    Raises
    ------
    TypeError, ValueError
        If it is none.
    """
    xp = arrays.namespace(A)
    shape, dtype = getattr(A, "shape", None), getattr(A, "dtype", None)
    if shape is None or dtype is None or not hasattr(type(A), "__matmul__"):
        raise TypeError(
            f"{caller}: A must be a sparse matrix, array or LinearOperator of CuPy's, with "
            f"shape, dtype and @; got {type(A).__name__}."
        )
    shape, dtype = tuple(map(int, shape)), np.dtype(dtype)
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] == 0:
        raise ValueError(
            f"{caller}: A must be square with at least one row; got shape {shape}."
        )
    if dtype.kind not in "biufc":
        raise TypeError(f"{caller}: A must be numbers; got dtype {dtype}.")
    wanted = dtype if dtype.char in "fdFD" else np.dtype(np.float64)
    if dtype == np.float16:
        wanted = np.dtype(np.float32)
    notes = () if wanted == dtype else (f"A was converted from {dtype} to {wanted}",)
    sparse = hasattr(A, "tocsr")
    if not sparse and not isinstance(A, xp.ndarray):
        return Operand(xp, None, A, wanted, notes)
    if sparse:
        matrix, more = _by_rows(A)
        notes += more
        _check_indices(matrix, caller)
    else:
        matrix = A
    if matrix.dtype != wanted:
        matrix = matrix.astype(wanted)
    if sparse:
        matrix = _side_by_side(xp, matrix)
    entries = matrix.data if sparse else matrix
    if not scalar(xp.isfinite(entries).all()):
        bad = scalar((~xp.isfinite(entries)).sum())
        raise ValueError(f"{caller}: A must be finite; got {bad} non-finite entries.")
    return Operand(xp, matrix, matrix, wanted, notes)


def _by_rows(A):
    """Return A by rows without duplicates; nothing of the caller's is changed."""
    notes = () if A.format == "csr" else (f"A was converted from {A.format} to csr",)
    matrix = A.tocsr()
    if not matrix.has_canonical_format:
        if matrix is A or any(
            getattr(matrix, name) is getattr(A, name, None) for name in ("data", "indices")
        ):
            matrix = matrix.copy()
        matrix.sum_duplicates()
        notes += ("rows of A were sorted, duplicates summed",)
    return matrix, notes


def _side_by_side(xp, matrix):
    """Return a matrix as kernels read it: CuPy's `A.real` is every other number of A."""
    parts = matrix.data, matrix.indices, matrix.indptr
    if all(part.flags.c_contiguous for part in parts):
        return matrix
    return type(matrix)(tuple(map(xp.ascontiguousarray, parts)), shape=matrix.shape)


def _check_indices(matrix, caller):
    """Refuse indices that point outside: on a device they end the whole process."""
    if matrix.nnz == 0:
        return
    low, high = scalar(matrix.indices.min()), scalar(matrix.indices.max())
    if low < 0 or high >= matrix.shape[1]:
        raise ValueError(
            f"{caller}: indices of A must be between 0 and {matrix.shape[1] - 1}; got "
            f"{low if low < 0 else high}."
        )


def check_diagonal(operand, diagonal, caller):
    """Return the positive diagonal that 'jacobi' scales with.

    Parameters
    ----------
    operand : Operand
        A.
    diagonal : array, shape (n,), or None
        The caller's, on the device; None for that of an explicit A.
    caller : str
        Name that the messages start with.

    Returns
    -------
    array, shape (n,), or None
        float64; None where it is not known.

    Raises
    ------
    ValueError
        If an entry is not positive.
    """
    xp, given = operand.xp, diagonal is not None
    if not given:
        if operand.matrix is None:
            return None
        diagonal = operand.diagonal()
    values = xp.asarray(diagonal)
    if values.shape != (operand.n,) or values.dtype.kind not in "biufc":
        raise ValueError(
            f"{caller}: diagonal must be numbers of shape ({operand.n},); got "
            f"{values.dtype} of shape {values.shape}."
        )
    values = values.real.astype(np.float64)
    bad = ~(xp.isfinite(values) & (values > 0))
    if scalar(bad.any()):
        row = int(scalar(bad.argmax()))
        what = "diagonal" if given else "the diagonal of A"
        hint = (
            "A is negative definite: pass -A and -b, or solver='minres'."
            if scalar((values < 0).all())
            else "A is not positive definite: use minres or gmres, as solver=."
        )
        error = ValueError if given else NotPositiveError
        raise error(
            f"{caller}: {what} must be positive; got {scalar(values[row]):g} in row {row} "
            f"({scalar(bad.sum())} such rows). {hint}"
        )
    return values


def check_hermitian(operand, based, random, caller, least=0.0):
    """Refuse a matrix that is not Hermitian, by two random products.

    Parameters
    ----------
    operand : Operand
        A.
    based : Based
        What the polynomial will stand on.
    random : vectors.Random
        Source of the two vectors.
    caller : str
        Name that the messages start with.
    least : float, optional
        What the largest entry of S is known to exceed or equal.

    Returns
    -------
    n_products : int
        Products with A spent: 2.
    x, image : array, shape (n,)
        One of the vectors, and S x.

    Raises
    ------
    NotHermitianError
        If x* S y and (y* S x)* differ by more than rounding.
    """
    x, y = (random.of_modulus_near_one(operand.n, operand.double) for _ in range(2))
    image, other = based.product(x), based.product(y)
    gap = abs(dot(y, image) - np.conj(dot(x, other)))
    tol = _HERMITIAN_TOL[operand.real_dtype]
    if operand.matrix is None:
        largest = max(scalar(abs(image).max()), scalar(abs(other).max()))
        if not np.isfinite(largest):
            raise ValueError(f"{caller}: the products of A must be finite; got {largest}.")
        allowed = tol * largest * np.sqrt(operand.n)
    else:
        n_terms = operand.n + (operand.nnz if operand.is_sparse else 0)
        largest = max(least, 1e-300)
        # Four times what two random sums of so many terms are apart: seldom is it more.
        allowed = max(0.1 * tol, 4 * np.finfo(np.float64).eps * np.sqrt(n_terms))
        if not gap <= allowed * largest:
            with contextlib.suppress(ValueError):  # of an empty matrix
                largest = max(largest, based.largest())
        allowed *= largest
        if allowed < gap < np.inf and based.asymmetry() <= tol * largest:
            return 2, x, image
    if not gap <= allowed:
        raise NotHermitianError(
            f"{caller}: A must be Hermitian; got x* A y and (y* A x)* apart by "
            f"{gap / largest:.1e} of its largest entry. For a general A pass "
            "solver='gmres' or 'bicgstab', or 0.5 * (A + A.T) where it is rounding of an "
            "assembly."
        )
    return 2, x, image
