"""The matrix that a caller passed, as we compute with it, or why we cannot.

Nothing of the caller's is changed, not even the flags that SciPy caches on its matrices.
"""

import copy
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from .errors import NotHermitianError, NotPositiveError
from .kernels import scaled

__all__ = [
    "Operand",
    "as_operand",
    "check_diagonal",
    "check_hermitian",
    "check_inner",
    "decoded",
    "random_vector",
    "reopen",
]

# Relative to the largest entry; 8 of 41 positive definite matrices of public
# collections are Hermitian only up to rounding.
_HERMITIAN_TOL = {np.dtype("f4"): 1e-5, np.dtype("f8"): 1e-12}


@dataclass(frozen=True)
class Operand:
    """A, ready to compute with.

    Attributes
    ----------
    matrix : csr_array or ndarray or None
        A where it is explicit; shares memory with the caller's.
    operator : object with ``@``
        `matrix`, or the caller's operator.
    dtype : dtype
        float32, float64, complex64 or complex128.
    notes : tuple of str
        What was converted, for the report.
    known : ndarray, shape (n,), or None
        The diagonal of A where it was met on the way.
    """

    matrix: object
    operator: object
    dtype: np.dtype
    notes: tuple
    known: np.ndarray | None = None

    @property
    def n(self):
        """Number of rows."""
        return self.operator.shape[0]

    @property
    def real_dtype(self):
        """Real type of the same precision: float32 or float64."""
        return np.empty(0, self.dtype).real.dtype

    @property
    def nnz(self):
        """Number of stored entries, None where A is not explicit."""
        matrix = self.matrix
        return matrix.nnz if sp.issparse(matrix) else getattr(matrix, "size", None)

    def diagonal(self):
        """Return the diagonal of an explicit A.

        Returns
        -------
        ndarray, shape (n,)
            In the type of A.
        """
        return self.matrix.diagonal() if self.known is None else self.known


def as_operand(A, caller, n_threads=None):
    """Convert and check the matrix.

    Parameters
    ----------
    A : sparse array or matrix, ndarray, LinearOperator, or object with shape, dtype and @
        What the caller passed.
    caller : str
        Name that the messages start with.
    n_threads : int, optional
        Threads that look at a large sparse A; Numba's number by default.

    Returns
    -------
    Operand
        Square, not empty, finite where it is explicit.

    Raises
    ------
    TypeError, ValueError
        In one sentence, with what came.
    """
    if isinstance(A, (list, tuple, str, bytes)) or not hasattr(A, "shape"):
        raise TypeError(
            f"{caller}: A must be a sparse array, an ndarray or an operator with shape, "
            f"dtype and @; got {type(A).__name__}. Convert it with numpy.asarray(A)."
        )
    if len(A.shape) != 2 or A.shape[0] != A.shape[1]:
        raise ValueError(f"{caller}: A must be square; got shape {tuple(A.shape)}.")
    if A.shape[0] == 0:
        raise ValueError(f"{caller}: A must not be empty; got shape (0, 0).")
    if sp.issparse(A):
        # A shallow copy takes the flags that SciPy sets while it converts.
        csr = copy.copy(A).tocsr()
        # SciPy's constructor leaves out what arrays hold beyond the last row.
        longer = max(csr.data.size, csr.indices.size) > csr.nnz
        if type(csr) is not sp.csr_array or longer:
            csr = sp.csr_array((csr.data, csr.indices, csr.indptr), shape=csr.shape)
        if scaled.is_large(csr) or scaled.is_ready(csr):
            dtype, notes = _working_dtype(csr.dtype, caller)
            matrix = csr.astype(dtype, copy=False)
            diagonal = scaled.survey(matrix, n_threads)
            if diagonal is not None:
                return Operand(matrix, matrix, dtype, notes, diagonal)
        # Without the flags of the caller's, which may be wrong.
        csr = sp.csr_array((csr.data, csr.indices, csr.indptr), shape=csr.shape)
        matrix = _canonical(csr)
    elif isinstance(A, np.ndarray):
        matrix = np.asarray(A)
    else:
        return _from_operator(A, caller)
    dtype, notes = _working_dtype(matrix.dtype, caller)
    matrix = matrix.astype(dtype, copy=False)
    _check_finite(matrix, caller)
    return Operand(matrix, matrix, dtype, notes)


def reopen(A, dtype, caller):
    """Convert a matrix that `as_operand` has taken before.

    Parameters
    ----------
    A : sparse array or matrix, ndarray, LinearOperator, or object with shape, dtype and @
        What the caller passed then.
    dtype : dtype
        Of the operand that it made.
    caller : str
        Name that the messages start with.

    Returns
    -------
    Operand
        As then, if A is the same; no product is spent.
    """
    if sp.issparse(A) or isinstance(A, np.ndarray):
        return as_operand(A, caller)
    return Operand(None, A, dtype, ())


def _canonical(csr):
    """Return rows sorted and without duplicates, sharing memory where they are."""
    csr.check_format(full_check=True)  # a kernel would read outside of its arrays
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    return csr


def _from_operator(A, caller):
    dtype = getattr(A, "dtype", None)
    if dtype is None or not hasattr(type(A), "__matmul__"):
        raise TypeError(
            f"{caller}: A must have shape, dtype and the operator @; got "
            f"{type(A).__name__}. Wrap it with scipy.sparse.linalg.aslinearoperator."
        )
    dtype, notes = _working_dtype(np.dtype(dtype), caller)
    x = np.ones(A.shape[0], dtype)
    y = A @ x
    if not isinstance(y, np.ndarray) or y.shape != x.shape:
        raise ValueError(
            f"{caller}: the product of A with a vector of shape {x.shape} must be an "
            f"ndarray of that shape; got {type(y).__name__} of shape {np.shape(y)}."
        )
    if y.dtype.kind not in "biufc" or (y.dtype.kind == "c" and dtype.kind != "c"):
        raise TypeError(
            f"{caller}: the product of A must have a type that A.dtype = {A.dtype} can "
            f"hold; got {y.dtype}. Give A the dtype of its products."
        )
    return Operand(None, A, dtype, (*notes, "matrix-free: entries unknown"))


def _working_dtype(dtype, caller):
    """Return the floating type we compute in, and a note where it is another one."""
    kind, size = dtype.kind, dtype.itemsize
    if kind not in "biufc":
        raise TypeError(
            f"{caller}: A must hold numbers; got dtype {dtype}. Convert it with "
            "A.astype(float)."
        )
    if kind in "biu":
        target = "f8"
    elif kind == "f":
        target = "f4" if size <= 4 else "f8"
    else:
        target = "c8" if size <= 8 else "c16"
    target = np.dtype(target)
    notes = () if target == dtype else (f"A converted from {dtype} to {target}",)
    return target, notes


def _check_finite(matrix, caller):
    data = matrix.data if sp.issparse(matrix) else matrix
    finite = np.isfinite(data)
    if finite.all():
        return
    first = int(np.argmin(finite)) if finite.ndim == 1 else np.argwhere(~finite)[0]
    if sp.issparse(matrix):
        row = int(np.searchsorted(matrix.indptr, first, side="right")) - 1
        column = int(matrix.indices[first])
    else:
        row, column = (int(i) for i in first)
    raise ValueError(
        f"{caller}: A must be finite; got {np.count_nonzero(~finite)} non-finite "
        f"entries, the first at ({row}, {column})."
    )


def check_hermitian(operand, based, rng, caller, least=0.0):
    """Refuse a matrix that is not Hermitian, by two random products.

    Parameters
    ----------
    operand : Operand
        A.
    based : Based
        What the polynomial will stand on, A or its scaled form S.
    rng : numpy.random.Generator
        Source of the two vectors.
    caller : str
        Name that the messages start with.
    least : float, optional
        What the largest entry of S is known to exceed or equal.

    Returns
    -------
    n_products : int
        Products with A spent: 2.
    x, image : ndarray, shape (n,)
        One of the vectors, and S x, without the factor B where there is one.

    Raises
    ------
    ValueError
        If |s_ij - conj(s_ji)| exceeds 1e-12 (float32: 1e-5) of the largest entry.

    Notes
    -----
    Compares x* S y with the conjugate of y* S x. Only when they differ is the
    transpose formed, to name the entry: it may still be rounding. S and not A: next to
    one huge diagonal entry of A any asymmetry would look like rounding.
    """
    quick = based.ready
    if quick is not None and operand.dtype.kind != "c":
        x, Ax, gap = quick.pair_of_bits(_random_bits(rng, operand.n))
        gap = abs(gap)
    elif quick is not None:
        x, y = _probe_vectors(rng, operand)
        Ax, gap = quick.pair(x, y)
        gap = abs(gap)
    else:
        x, y = _probe_vectors(rng, operand)
        Ax, Ay = (np.array(based.product(v)) for v in (x, y))
        # Summed by halves: the rounding of a running sum of random terms grows like n.
        gap = abs(np.sum(y.conj() * Ax) - np.conj(np.sum(x.conj() * Ay)))
    spent = 2, x, Ax
    tol = _HERMITIAN_TOL[operand.real_dtype]
    if operand.matrix is None:
        largest = max(np.abs(Ax).max(), np.abs(Ay).max())
        if not np.isfinite(largest):
            raise ValueError(f"{caller}: the products of A must be finite; got {largest}.")
        if gap > tol * largest * np.sqrt(operand.n):
            raise NotHermitianError(
                f"{caller}: A must be Hermitian; got an operator with x* A y and "
                f"(y* A x)* apart by {gap / largest:.1e} of its largest product. For a "
                "general matrix pass solver='gmres' or 'bicgstab'."
            )
        return spent
    # A tenth: the weight of an entry in the gap, x_i y_j - y_i x_j, may be small. Less
    # than the rounding of so many terms no test of this kind can tell.
    n_terms = operand.n + (operand.matrix.nnz if sp.issparse(operand.matrix) else 0)
    allowed = max(0.1 * tol, np.finfo(np.float64).eps * np.sqrt(n_terms))
    if gap <= allowed * least:
        return spent
    matrix = operand.matrix if based.source is None else based.matrix
    largest = float(abs(matrix).max())
    if gap <= allowed * largest:
        return spent
    difference = abs(matrix - matrix.conj().T)
    worst = float(difference.max())
    if worst > tol * largest:
        if sp.issparse(difference):
            difference = difference.tocoo()
            k = int(np.argmax(difference.data))
            row, column = int(difference.row[k]), int(difference.col[k])
        else:
            row, column = map(int, np.unravel_index(np.argmax(difference), matrix.shape))
        row, column = sorted((row, column))
        raise NotHermitianError(
            f"{caller}: A must be Hermitian; got entries ({row}, {column}) and "
            f"({column}, {row}) apart by {worst / largest:.1e} of the largest entry "
            f"(allowed {tol:.0e}). Rounding of an assembly goes away with 0.5 * (A + A.T); "
            "for a general matrix pass solver='gmres' or 'bicgstab'."
        )
    return spent


def check_inner(inner, operand, rng, caller):
    """Refuse a preconditioner of the caller's that shows it is not positive definite.

    Parameters
    ----------
    inner : callable
        Takes x, returns B x.
    operand : Operand
        A.
    rng : numpy.random.Generator
        Source of two vectors.
    caller : str
        Name that the message starts with.

    Raises
    ------
    ValueError
        If x* B x is not positive, or x* B y and (y* B x)* differ by more than 1e-6.
    """
    x, y = _probe_vectors(rng, operand)
    Bx, By = inner(x), inner(y)
    energies = [np.vdot(x, Bx).real, np.vdot(y, By).real]
    gap = abs(np.vdot(y, Bx) - np.conj(np.vdot(x, By)))
    if not min(energies) > 0 or not gap <= 1e-6 * max(energies):
        raise ValueError(
            f"{caller}: base must be Hermitian positive definite; got x* B x = "
            f"{energies[0]:.2g} and {energies[1]:.2g} for two random vectors, and "
            f"x* B y and (y* B x)* apart by {gap:.1e}. Use a symmetric preconditioner, or "
            "'jacobi'."
        )


def _probe_vectors(rng, operand):
    """Draw two vectors whose entries have modulus 0.5 to 1.5.

    No entry of A can hide behind a small one.
    """
    n = operand.n
    if operand.dtype.kind == "c":
        return [
            rng.uniform(0.5, 1.5, n) * np.exp(2j * np.pi * rng.random(n)) for _ in range(2)
        ]
    return decoded(_random_bits(rng, n))


def _random_bits(rng, n):
    """Draw 16 bits for each entry of two vectors, shape (2, n).

    An entry takes a quarter of a random number, where sign and modulus of their own took as
    long as a product with A.
    """
    n_drawn = -(-n // 2)
    bits = rng.integers(0, 2**64 - 1, n_drawn, dtype=np.uint64, endpoint=True)
    if hasattr(rng.bit_generator, "advance"):
        # Probes start from the vectors that they started from before this was so.
        rng.bit_generator.advance(3 * n - n_drawn)
    return bits.view(np.int16)[: 2 * n].reshape(2, n)


def random_vector(rng, n):
    """Draw a vector whose entries have modulus 0.5 to 1.5, in a third of the normal's time.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source.
    n : int
        Entries.

    Returns
    -------
    ndarray, shape (n,)
        In double precision.
    """
    return decoded(_random_bits(rng, n)[0])


def decoded(bits):
    """Turn random bits into numbers of modulus 0.5 to 1.5.

    Parameters
    ----------
    bits : ndarray of int16, shape (...)
        Any.

    Returns
    -------
    ndarray, shape (...)
        Double precision, exact.
    """
    # In integers: 0.5 away from zero on either side, the sign being -1 or 0.
    return ((bits >> 1) + (((bits >> 15) << 14) + 2**13)) * 2.0**-14


def check_diagonal(operand, diagonal, caller):
    """Return the positive diagonal that 'jacobi' scales with.

    Parameters
    ----------
    operand : Operand
        A.
    diagonal : array_like, shape (n,), or None
        The caller's, or None for that of an explicit A.
    caller : str
        Name that the messages start with.

    Returns
    -------
    ndarray, shape (n,), or None
        None where it is not known; float64.

    Raises
    ------
    ValueError
        If an entry is not positive: no positive definite matrix has one.
    """
    given = diagonal is not None
    if not given:
        if operand.matrix is None:
            return None
        diagonal = operand.diagonal()
    values = np.asarray(diagonal)
    if values.shape != (operand.n,) or values.dtype.kind not in "biufc":
        raise ValueError(
            f"{caller}: diagonal must be numbers of shape ({operand.n},); got "
            f"{values.dtype} of shape {values.shape}."
        )
    values = values.real.astype(np.float64, copy=False)
    if not 0 < values.min() <= values.max() < np.inf:  # false for a NaN, too
        bad = ~(np.isfinite(values) & (values > 0))
        row = int(np.argmax(bad))
        what = "diagonal" if given else "the diagonal of A"
        hint = (
            "A is negative definite: pass -A and -b, or solver='minres'."
            if (values < 0).all()
            else "A is not positive definite: use minres or gmres, as solver=."
        )
        error = ValueError if given else NotPositiveError
        raise error(
            f"{caller}: {what} must be positive; got {values[row]:g} in row {row} "
            f"({np.count_nonzero(bad)} such rows). {hint}"
        )
    return values
