"""How the based operator is stored for the kernels: values, indices, or a function."""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from . import diagonals, fields, scaled, slices

__all__ = [
    "PRECISIONS",
    "STORAGES",
    "Foreseen",
    "Stored",
    "foresee",
    "power_of_two",
    "store",
    "vector_dtype",
]

PRECISIONS = ("single", "mixed", "double")
STORAGES = ("csr", "dia", "sell", "fields")

# Rows from which on it pays to compile for many diagonals.
_LARGE = 100_000

# Below so many rows a whole solve takes less time than to compile for one more number of
# diagonals: 1.7 s for 13 (nos3, 960 rows, solved in 10 ms).
_SMALL = 20_000

_ARRAYS = ("data", "indices", "indptr", "offsets", "slices", "rests", "places")

_SAMPLE = 128  # rows that are looked at before all are
# Rows from which on an order of short rows is looked for, in the time of 10 to 25 products
# of SciPy's: each product of the kernel then saves one half to one of these.
_UNORDERED = 50_000


@dataclass(frozen=True)
class Stored:
    """The based operator, ready for a kernel.

    Attributes
    ----------
    kind : str
        'csr', 'dia', 'sell', 'fields', 'dense' or 'operator'.
    data : ndarray or None
        Values: (nnz,) for 'csr' and 'sell', (n, n) for 'dense'; for 'dia' as
        `diagonals.to_diagonals` returns them, for 'fields' as `fields.from_scaled` does.
    indices : ndarray or None
        Of 'csr', in the width SciPy gave them; of 'sell', as `slices.to_slices` returns
        them; of 'fields', of the rests.
    indptr : ndarray or None
        Of 'csr', in the width SciPy gave it; of 'fields', of the rests.
    offsets : ndarray or None
        Of 'dia': column less row of the diagonals stored, in rising order. Of 'fields': as
        `fields.from_scaled` returns them.
    half : bool
        Of 'dia': whether diagonals above the main one stand for those below it, too.
    slices : ndarray or None
        Of 'sell': as `slices.to_slices` returns them. Of 'fields': rows of the rests.
    rests : ndarray or None
        Of 'fields': values of the rests.
    n_fields : int
        Of 'fields': unknowns of a node, else 1.
    reach : int
        Of 'fields': how far entries are from their row, in nodes.
    places : ndarray or None
        Of 'sell' and 'fields': row and column i of S is row and column places[i] of what
        is stored. Kernels and `product` take and return vectors in the order of what is
        stored.
    function, function_adjoint : callable or None
        The products of 'operator' and of its adjoint.
    unit : float
        A power of two; S is `unit` times what is stored, or what `product` applies.
    """

    kind: str
    data: np.ndarray | None = None
    indices: np.ndarray | None = None
    indptr: np.ndarray | None = None
    offsets: np.ndarray | None = None
    half: bool = False
    slices: np.ndarray | None = None
    rests: np.ndarray | None = None
    n_fields: int = 1
    reach: int = 0
    places: np.ndarray | None = None
    function: object = None
    function_adjoint: object = None
    unit: float = 1.0

    @property
    def n_bytes(self):
        """Number of bytes that a product reads of it; 0 for an operator."""
        arrays = (getattr(self, name) for name in _ARRAYS if name != "places")
        return sum(array.nbytes for array in arrays if array is not None)

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
        if self.kind == "dia":
            return diagonals.product(self.data, self.offsets, self.half, x)
        if self.kind == "sell":
            return slices.product(self.data, self.indices, self.slices, x)
        if self.kind == "fields":
            return fields.to_csr(self, len(x)) @ x
        return self.matrix(len(x)) @ x

    def adjoint(self, n):
        """Return the conjugate transpose, stored by rows where it was sparse.

        Parameters
        ----------
        n : int
            Rows.

        Returns
        -------
        Stored
            A copy.
        """
        if self.kind in ("operator", "none"):
            one, other = self.function, self.function_adjoint
            return replace(self, function=other, function_adjoint=one)
        if self.kind == "dense":
            return replace(self, data=self.data.conj().T.copy())
        matrix = self.matrix(n).conj().T.tocsr()
        matrix.sort_indices()
        return Stored("csr", matrix.data, matrix.indices, matrix.indptr, unit=self.unit)

    def matrix(self, n):
        """Return what is stored as a matrix, in the order of S.

        Parameters
        ----------
        n : int
            Rows.

        Returns
        -------
        csr_array, shape (n, n)
            Explicit zeros are kept.
        """
        if self.kind == "csr":
            return sp.csr_array((self.data, self.indices, self.indptr), shape=(n, n))
        if self.kind == "dia":
            return diagonals.to_csr(self.data, self.offsets, self.half, n)
        if self.kind == "fields":
            stored = fields.to_csr(self, n)
        else:
            stored = slices.to_csr(self.data, self.indices, self.slices, n)
        return stored[self.places][:, self.places]

    def arranged(self, x):
        """Return a vector of S in the order of what is stored.

        Parameters
        ----------
        x : ndarray, shape (n,) or (n, k)
            Vector or block.

        Returns
        -------
        ndarray, shape of `x`
            Itself where the order is the same.
        """
        if self.places is None:
            return x
        result = np.empty_like(x)
        result[self.places] = x
        return result

    def restored(self, x):
        """Return a vector in the order of S.

        Parameters
        ----------
        x : ndarray, shape (n,) or (n, k)
            As `arranged` returns it.

        Returns
        -------
        ndarray, shape of `x`
            Itself where the order is the same.
        """
        return x if self.places is None else x[self.places]

    def writeable(self):
        """Return the same with arrays that may be written.

        Returns
        -------
        Stored
            Itself, but for read-only arrays: shared memory hands such on, and Numba
            would compile the kernel again for them.
        """
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        copies = {k: a.copy() for k, a in arrays.items() if not _may_be_written(a)}
        return replace(self, **copies) if copies else self


@dataclass(frozen=True)
class Foreseen:
    """What `store` will choose.

    Attributes
    ----------
    kind : str
        As `Stored.kind`.
    n_bytes : int
        Bytes of values and indices.
    offsets : ndarray or None
        Of the diagonals.
    streams : Streams or None
        Of 'fields'.
    """

    kind: str
    n_bytes: int
    offsets: np.ndarray | None = None
    streams: fields.Streams | None = None


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


def store(based, dtype, precision, storage=None, foreseen=None):
    """Store the based operator for the kernels.

    Parameters
    ----------
    based : Based
        The operator S.
    dtype : dtype
        Type of A.
    precision : str
        'single', 'mixed' or 'double'; float32 values but for 'double'.
    storage : str, optional
        'csr', 'dia', 'sell' or 'fields'. By default diagonals, of each unknown of a node
        where there are several, if they take fewer bytes than rows; else slices for many
        short rows, whose order is worth being looked for.
    foreseen : Foreseen, optional
        What `foresee` has found for this matrix.

    Returns
    -------
    Stored
        Own copies of values and indices.

    Raises
    ------
    ValueError
        If the operator cannot be stored in the way asked for.
    """
    matrix = based.source
    if storage is not None and not sp.issparse(matrix):
        kind = "operator" if matrix is None else "dense"
        raise ValueError(
            f"make: storage={storage!r} needs an explicit sparse A and no operator as "
            f"base; got storage {kind!r}. Leave storage out."
        )
    if matrix is None:
        return Stored(
            "operator", function=based.composed, function_adjoint=based.composed_adjoint
        )
    values = _value_dtype(dtype, precision)
    if based.quick is not None:
        return _store_quickly(based, values, storage, foreseen)
    matrix = based.matrix
    data = matrix.data if sp.issparse(matrix) else matrix
    # Entries of A may be far outside the range of float32; a power of two moves them
    # there without rounding.
    largest = float(np.abs(data).max(initial=0.0))
    unit = power_of_two(largest)
    data = (data / unit).astype(values)
    if not sp.issparse(matrix):
        return Stored("dense", data, unit=unit)
    streams, offsets = _diagonals_of(matrix, values, storage, foreseen)
    if streams is not None:
        parts, _ = fields.from_scaled(_unscaled(matrix), streams, unit, values)
        return Stored("fields", **parts, unit=unit)
    if offsets is not None:
        data, offsets, half = diagonals.to_diagonals(matrix, data, offsets)
        return Stored("dia", data, offsets=offsets, half=half, unit=unit)
    if storage == "sell" or (storage is None and _many_short_rows(matrix)):
        order = slices.order_rows(matrix)
        names = ("data", "indices", "slices", "places")
        parts = dict(zip(names, slices.to_slices(matrix, data, order), strict=True))
        return Stored("sell", **parts, unit=unit)
    return Stored("csr", data, matrix.indices, matrix.indptr, unit=unit)


def _store_quickly(based, values, storage, foreseen):
    """Do so for a large matrix: S is scaled while it is written."""
    matrix, S = based.source, based.quick
    streams, offsets = _diagonals_of(matrix, values, storage, foreseen, S)
    needed = power_of_two(S.largest())
    for _ in range(3):  # one round as a rule; the unit need only be near the largest entry
        unit = needed
        if streams is not None:
            parts, largest = fields.from_scaled(S, streams, unit, values)
        elif offsets is not None:
            data, kept, half, largest = diagonals.from_scaled(S, offsets, unit, values)
        else:
            data, largest = S.values(unit, values)
        needed = power_of_two(largest)
        if needed == unit:
            break
    if streams is not None:
        return Stored("fields", **parts, unit=unit)
    if offsets is not None:
        return Stored("dia", data, offsets=kept, half=half, unit=unit)
    pattern = S.pattern
    if storage == "sell" or (storage is None and _many_short_rows(matrix)):
        order = slices.order_rows(pattern)
        names = ("data", "indices", "slices", "places")
        parts = dict(zip(names, slices.to_slices(pattern, data, order), strict=True))
        return Stored("sell", **parts, unit=unit)
    return Stored("csr", data, pattern.indices.copy(), pattern.indptr.copy(), unit=unit)


def _unscaled(matrix):
    return scaled.Scaled(matrix, None, 1)


def _diagonals_of(matrix, values, storage, foreseen, quick=None):
    """Return streams and offsets of diagonals, None where these are not the best."""
    if foreseen is not None:
        return foreseen.streams, foreseen.offsets
    streams = _streams(matrix, values, storage, quick)
    if streams is not None or storage not in ("dia", None):
        return streams, None
    return None, _offsets(matrix, values, storage, quick)


def _streams(matrix, values, storage, quick=None):
    """Return the streams of 'fields', or None where it is not to be used."""
    n = matrix.shape[0]
    if storage not in (None, "fields") or (storage is None and n < _SMALL):
        return None
    usual, most = diagonals.N_DIAGONALS
    limit = most if storage == "fields" or n >= _LARGE else usual
    streams = None
    if n < 2**31 and fields.guess(matrix, limit) is not None:
        streams = fields.find(quick or _unscaled(matrix), limit)
    if storage == "fields":
        if streams is None:
            raise ValueError(
                f"make: storage='fields' needs several unknowns per node, the same number "
                f"for each, coupled along up to {limit} diagonals each; got a matrix "
                f"without. Leave storage out."
            )
        return streams
    if streams is None or values.kind == "c":
        return None
    size = fields.n_bytes(n, streams, values.itemsize, False)
    return (
        streams if size < matrix.nnz * (values.itemsize + matrix.indices.itemsize) else None
    )


def _many_short_rows(matrix):
    n = matrix.shape[0]
    return n >= _UNORDERED and matrix.nnz < slices.MEAN_LENGTH * n


def foresee(matrix, dtype, precision, quick=None):
    """Tell how `store` will store a matrix by default, without storing it.

    Parameters
    ----------
    matrix : csr_array or ndarray
        The matrix, scaled or not.
    dtype : dtype
        Type of A.
    precision : str
        As for `store`.
    quick : Scaled, optional
        The same matrix, where it takes that way.

    Returns
    -------
    Foreseen
        Kind and size.
    """
    values = _value_dtype(dtype, precision)
    if not sp.issparse(matrix):
        return Foreseen("dense", matrix.size * values.itemsize)
    streams, offsets = _diagonals_of(matrix, values, None, None, quick)
    if streams is not None:
        size = fields.n_bytes(matrix.shape[0], streams, values.itemsize, False)
        return Foreseen("fields", size, streams=streams)
    if offsets is None:
        if _many_short_rows(matrix):  # indices of 16 bits where the order is good
            return Foreseen("sell", matrix.nnz * (values.itemsize + 2))
        return Foreseen("csr", matrix.nnz * (values.itemsize + matrix.indices.itemsize))
    n = matrix.shape[0]
    size = diagonals.dia_bytes(n, offsets.size, values.itemsize, values.kind == "c")
    return Foreseen("dia", size, offsets)


def _value_dtype(dtype, precision):
    values = np.dtype("f8" if precision == "double" else "f4")
    return np.result_type(values, np.complex64) if np.dtype(dtype).kind == "c" else values


def _offsets(matrix, values, storage, quick=None):
    """Return the offsets of the diagonals, or None where rows are the better storage."""
    n = matrix.shape[0]
    usual, most = diagonals.N_DIAGONALS
    limit = most if storage == "dia" or n >= _LARGE else usual
    rows_bytes = matrix.nnz * (values.itemsize + matrix.indices.itemsize)
    if quick is None:
        if storage is None and _scattered(matrix, limit):
            return None
        offsets = diagonals.find_offsets(matrix, limit)
    else:
        offsets = quick.find_offsets(limit)
    if storage == "dia":
        if offsets.size > limit:
            raise ValueError(
                f"make: storage='dia' holds up to {limit} diagonals; got a matrix with "
                f"more. Use storage='csr'."
            )
        return offsets
    is_complex = values.kind == "c"
    if n < _SMALL and (is_complex or offsets.size not in diagonals.COMPILED):
        return None
    bytes_needed = diagonals.dia_bytes(n, offsets.size, values.itemsize, is_complex)
    if not 0 < offsets.size <= limit or bytes_needed >= rows_bytes:
        return None
    return offsets


def _scattered(matrix, limit):
    """Tell from a few rows in the middle that there are too many diagonals."""
    n = matrix.shape[0]
    first = max(0, n // 2 - _SAMPLE // 2)
    indptr = matrix.indptr[first : first + _SAMPLE + 1]
    rows = np.repeat(np.arange(first, first + indptr.size - 1), np.diff(indptr))
    return np.unique(matrix.indices[indptr[0] : indptr[-1]] - rows).size > limit


def _may_be_written(array):
    return array is None or array.flags.writeable
