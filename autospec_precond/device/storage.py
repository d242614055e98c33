"""S as the kernels on a device read it, and the recurrence in plain array operations."""

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from autospec_precond.kernels.layout import power_of_two
from autospec_precond.kernels.reference import typed

from .vectors import scalar

__all__ = ["Stored", "apply", "store"]


@dataclass(frozen=True)
class Stored:
    """The based operator on a device, ready for a kernel.

    Attributes
    ----------
    kind : str
        'csr', 'dia', 'dense', 'operator' or 'none'.
    matrix : object or None
        What multiplies a vector with ``@``: of S / unit for 'csr' and 'dense', A itself for
        'operator'.
    data : array or None
        Values of 'csr', (nnz,); of 'dia', (n_offsets, n): row i of diagonal k is the entry
        in column i + offsets[k], zero outside the matrix.
    indices, indptr : array or None
        Of 'csr'.
    offsets : ndarray of int64, shape (n_offsets,), or None
        Of 'dia', on the host, rising.
    half : bool
        Of 'dia': whether diagonals above the main one stand for those below it, too: entry
        (i, i - o) is that of row i - o.
    left, right : array, shape (n,), or None
        L and R where they are not in the values: of 'operator'.
    unit : float
        A power of two; S is `unit` times what is stored.
    n : int
        Rows.
    xp : module
        Array module.
    """

    kind: str
    matrix: Any = None
    data: Any = None
    indices: Any = None
    indptr: Any = None
    offsets: np.ndarray | None = None
    half: bool = False
    left: Any = None
    right: Any = None
    unit: float = 1.0
    n: int = 0
    xp: Any = np

    @property
    def n_bytes(self):
        """Number of bytes that a product reads of it; 0 for an operator."""
        arrays = self.data, self.indices, self.indptr
        return sum(array.nbytes for array in arrays if array is not None)

    def product(self, x):
        """Return S x / unit.

        Parameters
        ----------
        x : array, shape (n,) or (n, k)
            Vector or block.

        Returns
        -------
        array, shape of `x`
            In the type of `x`, or a longer one.
        """
        if self.kind == "dia":
            return self._by_diagonals(x)
        if self.kind != "operator":
            return self.matrix @ x
        rows = (slice(None),) if x.ndim == 1 else (slice(None), None)
        x = x / self.unit
        y = self.matrix @ (x if self.right is None else self.right[rows] * x)
        return y if self.left is None else self.left[rows] * y

    def _by_diagonals(self, x):
        y = self.xp.zeros_like(x)
        for k, offset in enumerate(self.offsets.tolist()):
            first, last = max(0, -offset), self.n - max(0, offset)
            values = self.data[k, first:last]
            if x.ndim > 1:
                values = values[:, None]
            y[first:last] += values * x[first + offset : last + offset]
            if self.half and offset:
                y[first + offset : last + offset] += values * x[first:last]
        return y

    def __getstate__(self):
        return {**vars(self), "xp": self.xp.__name__}

    def __setstate__(self, state):
        vars(self).update({**state, "xp": importlib.import_module(state["xp"])})


def store(based, dtype, precision, make_csr, storage=None, hermitian=True):
    """Store S for the kernels.

    Parameters
    ----------
    based : bases.Based
        The operator.
    dtype : dtype
        Of A.
    precision : str
        'single', 'mixed' or 'double'.
    make_csr : callable
        Makes a sparse matrix by rows of (data, indices, indptr) and ``shape``.
    storage : str, optional
        'csr' or 'dia'; fewest bytes by default.
    hermitian : bool, optional
        Whether S is: half of its diagonals stand for all then.

    Returns
    -------
    Stored
        With values in float32 but for 'double'.
    """
    operand = based.operand
    xp, n = operand.xp, operand.n
    values = dtype if precision != "double" else operand.double
    if precision != "double":
        values = np.dtype(np.complex64 if dtype.kind == "c" else np.float32)
    if operand.matrix is None:
        scales = {"left": based.left, "right": based.right}
        return Stored("operator", operand.operator, **scales, n=n, xp=xp)
    if not operand.is_sparse:
        S = based.dense()
        unit = _unit(S)
        S = (S / unit).astype(values)
        return Stored("dense", S, data=S, unit=unit, n=n, xp=xp)
    S, matrix, most = based.values, operand.matrix, based.library.most_diagonals
    unit = _unit(S)
    if most and storage != "csr":
        places = _diagonals(based, most)
        if places is not None:
            half = hermitian and dtype.kind != "c"
            kept = places[places >= n - 1] if half else places
            rows = matrix.nnz * values.itemsize
            rows += matrix.indices.nbytes + matrix.indptr.nbytes
            if storage == "dia" or 0 < kept.size * n * values.itemsize < rows:
                return _to_diagonals(based, values, kept, half, unit)
    if storage == "dia":
        raise ValueError(
            "make: storage='dia' must have few diagonals and a kernel on the device; got "
            f"{'too many' if most else 'no such kernel'}. Leave storage out."
        )
    S = (S / unit).astype(values)
    indptr = matrix.indptr.astype(matrix.indices.dtype)
    made = make_csr((S, matrix.indices, matrix.indptr), shape=matrix.shape)
    return Stored("csr", made, S, matrix.indices, indptr, unit=unit, n=n, xp=xp)


def _unit(values):
    largest = scalar(abs(values).max()) if values.size else 1.0
    return power_of_two(float(largest)) if largest > 0 else 1.0


def _diagonals(based, most):
    """Return the numbers of the diagonals that hold entries, or None for too many."""
    xp, n = based.operand.xp, based.n
    seen = xp.zeros(2 * n - 1, np.bool_)
    based.library.mark(based.operand.matrix, seen)
    count = int(scalar(seen.sum()))
    return None if count > most else xp.flatnonzero(seen)


def _to_diagonals(based, values, places, half, unit):
    xp, n = based.operand.xp, based.n
    number = xp.zeros(2 * n - 1, np.int16)  # 0 for those that their mirror stands for
    number[places] = xp.arange(1, places.size + 1, dtype=np.int16)
    data = xp.zeros((places.size, n), values)
    based.library.fill(based.operand.matrix, based.values, 1 / unit, number, data)
    offsets = places.get().astype(np.int64) - (n - 1)  # a few numbers
    return Stored("dia", data=data, offsets=offsets, half=half, unit=unit, n=n, xp=xp)


def apply(stored, factors, x, work):
    """Compute p(S) x in array operations; see `kernels.reference.apply`.

    Parameters
    ----------
    stored : Stored
        The operator.
    factors : ndarray, shape (degree, 4)
        As there; on the host.
    x : array, shape (n,) or (n, k)
        On the device; not changed.
    work : tuple of two array, shape of `x`
        Scratch.

    Returns
    -------
    array, shape of `x`
        One of the arrays in `work`.
    """
    y, spare = work
    b1 = b2 = x
    for c, a, b, g in typed(factors, x.dtype):
        step = c * x + a * stored.product(b1).astype(x.dtype) + b * b1
        if g:
            step -= g * b2
        y[...] = step
        b2, b1 = b1, y
        y, spare = spare, y
    return b1
