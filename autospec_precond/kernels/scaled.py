"""S = D^(-1/2) A D^(-1/2), not formed: what the setup needs of it, in passes over A.

Forming S takes as many bytes as A and the time of several products. Large matrices are
always taken this way, in threads; small ones where the kernels are compiled already, and
only for what cannot depend on the way: rounding differs from SciPy's.
"""

import sys
from types import SimpleNamespace

import numpy as np
import scipy.sparse as sp

from . import arrays, ranges
from .steps import Steps, total

__all__ = ["LARGE", "Scaled", "is_large", "is_ready", "survey"]

# Entries from which on the kernels are worth loading for the setup alone.
LARGE = 1_000_000

# Products after which it is worth to look for rows that repeat others, which takes as long
# as one.
_FEW = 2


def is_large(matrix):
    """Tell whether the setup takes this way, whatever is compiled.

    Parameters
    ----------
    matrix : object
        A, of any kind.

    Returns
    -------
    bool
        False for what is not sparse.
    """
    return sp.issparse(matrix) and matrix.nnz >= LARGE and matrix.shape[0] < 2**31


def is_ready(matrix):
    """Tell whether it can be taken without waiting for Numba or for a compiler.

    Parameters
    ----------
    matrix : object
        A, of any kind.

    Returns
    -------
    bool
        True for a sparse, real one once `warmup` has been called.
    """
    library = sys.modules.get(f"{__package__}.cpu_setup")
    if library is None or not sp.issparse(matrix) or matrix.dtype.char not in "fd":
        return False
    return matrix.shape[0] < 2**31 and library.ready()


def default_threads():
    """Return Numba's number of threads.

    Returns
    -------
    int
        At least 1.
    """
    from .cpu import default_threads

    return default_threads()


def survey(matrix, n_threads=None):
    """Look at all that a matrix consists of, in one pass.

    Parameters
    ----------
    matrix : csr_array, shape (n, n)
        Not checked.
    n_threads : int, optional
        Numba's number by default, 1 for a small matrix.

    Returns
    -------
    ndarray, shape (n,), or None
        The diagonal; None where an index points outside, a row is not sorted or has
        duplicates, or a value is not finite.
    """
    from . import cpu_setup

    n = matrix.shape[0]
    if matrix.indices.dtype.kind != "i" or matrix.indptr.dtype.kind != "i":
        return None
    sizes = matrix.indices.size, matrix.data.size
    if matrix.indptr.size != n + 1 or matrix.indptr[0] != 0 or min(sizes) < matrix.nnz:
        return None
    if not 0 <= matrix.indptr[-1] <= min(sizes):
        return None
    parts = (
        arrays.unsigned(matrix.indptr),
        arrays.unsigned(matrix.indices),
        arrays.alias(matrix.data),
    )
    diagonal = np.empty(n, matrix.dtype)
    if not is_large(matrix):
        return None if cpu_setup.survey(0, n, *parts, diagonal) else diagonal
    n_threads = n_threads or default_threads()
    found = ranges.run(
        cpu_setup.survey, ranges.even(n, n_threads), n_threads, *parts, diagonal
    )
    return None if any(found) else diagonal


class Scaled:
    """The based operator S of a sparse A, as passes over A.

    Parameters
    ----------
    matrix : csr_array, shape (n, n)
        A: sorted, without duplicates, finite.
    scale : ndarray, shape (n,), or None
        D^(-1/2).
    n_threads : int
        Threads of a pass.

    Attributes
    ----------
    shape : tuple of int
        (n, n).

    Notes
    -----
    Results do not depend on the number of threads.
    """

    def __init__(self, matrix, scale, n_threads):
        from . import cpu_setup

        self.library = cpu_setup
        self.shape = matrix.shape
        n = matrix.shape[0]
        self.scale = np.ones(n) if scale is None else scale
        self.plain = scale is None
        self.n_threads = n_threads
        self.double = np.dtype(np.complex128 if matrix.dtype.kind == "c" else np.float64)
        indices = matrix.indices
        if indices.itemsize > 4:  # half the bytes, in each of some twenty passes
            indices = ranges.narrowed(indices, n_threads)
        indptr = matrix.indptr
        if indptr.itemsize > 4 and matrix.nnz < 2**31:
            indptr = indptr.astype(np.int32)
        self.arrays = (
            arrays.unsigned(indptr), arrays.unsigned(indices), arrays.alias(matrix.data),
        )  # fmt: skip
        self.ranges = ranges.balanced(indptr, n_threads, cpu_setup.BLOCK)
        self.sums = np.empty(-(-n // cpu_setup.BLOCK))
        self.n_products, self.table, self.repeats = 0, None, False
        self._scratch = None

    def __call__(self, x):
        """Return S x for a vector in double precision."""
        x = np.ascontiguousarray(x, self.double)
        y = np.empty_like(x)
        self.multiply(self.scale * x, x, x, 0.0, y)
        return y

    def multiply(self, u, v, before, b, w):
        """Set w <- D^(-1/2) A u - b before.

        Parameters
        ----------
        u, v, before : ndarray, shape (n,)
            In double precision.
        b : float
            Factor.
        w : ndarray, shape (n,)
            Where the result goes.

        Returns
        -------
        float
            Re v* w.
        """
        given = *self.arrays, self.scale, u, v, before, b, w, self.sums
        self.n_products += 1
        if self.n_products > _FEW and self._repeats():
            from . import cpu_repeats

            scratch = np.empty((self.sums.size, 1))
            self.run(cpu_repeats.step, *given, self.table, scratch)
        else:
            self.run(self.library.step, *given)
        return total(self.sums)

    def _repeats(self):
        """Find, once, which rows repeat those before them; say whether most do."""
        if self.table is None:
            from . import cpu_rows

            n, block = self.shape[0], self.library.BLOCK
            self.table = cpu_rows.new_table(n)
            found = np.empty((self.sums.size, 1))
            chunks = [(first // block, -(-last // block)) for first, last in self.ranges]
            given = *self.arrays[:2], self.table, found
            ranges.run(cpu_rows.find, chunks, self.n_threads, *given)
            # One segment as long as the chunk: nothing repeats there.
            alone = self.table[:, 0, 1] == np.minimum(
                block, n - block * np.arange(len(found))
            )
            self.repeats = 2 * np.count_nonzero(alone) < alone.size
        return self.repeats

    def pair(self, x, y):
        """Multiply two vectors in one pass.

        Parameters
        ----------
        x, y : ndarray, shape (n,)
            In double precision.

        Returns
        -------
        image : ndarray, shape (n,)
            S x.
        gap : complex or float
            y* S x - (x* S y)*: zero for a Hermitian S, but for rounding.
        """
        X = np.empty((x.size, 2), self.double)
        np.multiply(x, self.scale, out=X[:, 0])
        np.multiply(y, self.scale, out=X[:, 1])
        return self._pair(X.reshape(-1))

    def pair_of_bits(self, bits):
        """Multiply two real vectors that are still random bits.

        Parameters
        ----------
        bits : ndarray of int16, shape (2, n)
            See `operands.decoded`.

        Returns
        -------
        x, image : ndarray, shape (n,)
            The first vector, and S x.
        gap : float
            As `pair` returns it.
        """
        x, X = np.empty(self.shape[0]), np.empty(2 * self.shape[0])
        self.run(self.library.decode, bits.reshape(-1), self.scale, x, X)
        return x, *self._pair(X)

    def _pair(self, X):
        n = self.shape[0]
        image, gaps = np.empty(n, self.double), np.empty(self.sums.size, self.double)
        self.run(self.library.pair, *self.arrays, self.scale, X, image, gaps)
        self._scratch = X
        return image, total(gaps)

    def scratch(self):
        """Return memory for two vectors: once that of `pair`, else new.

        Returns
        -------
        ndarray, shape (2, n)
            In double precision, with any content. To touch new pages takes as long as
            some products with a small matrix.
        """
        memory, self._scratch = self._scratch, None
        if memory is None:
            memory = np.empty(2 * self.shape[0], self.double)
        return memory.reshape(2, -1)

    @property
    def pattern(self):
        """Shape, nnz, signed `indptr` and `indices`, not to be written."""
        indptr, indices, _ = self.arrays
        return SimpleNamespace(
            shape=self.shape,
            nnz=indices.size,
            indptr=indptr.view(f"i{indptr.itemsize}"),
            indices=indices.view(f"i{indices.itemsize}"),
        )

    def steps(self, start, image=None):
        """Begin Lanczos steps; see `probing.lanczos`.

        Parameters
        ----------
        start : ndarray, shape (n,)
            Start vector.
        image : ndarray, shape (n,), optional
            S times it, where that is known; both are then written over.

        Returns
        -------
        Steps
            The vectors of these steps.
        """
        return Steps(self, start, image)

    def bounds(self):
        """Bound the spectral radius ever closer; see `probing.rigorous_bound`.

        Yields
        ------
        float
            The least quotient of Collatz and Wielandt, after one product with |S| more.
        """
        n = self.shape[0]
        x, y, u = np.ones(n), np.empty(n), self.scale.copy()
        bound = np.inf
        while True:
            self.run(self.library.magnify, *self.arrays, self.scale, u, x, y, self.sums)
            bound = min(bound, float(self.sums.max()))
            yield bound
            self.run(self.library.spread, bound, self.scale, x, y, u)

    def find_offsets(self, limit):
        """Return the offsets of the diagonals that hold entries.

        Parameters
        ----------
        limit : int
            Most diagonals to look for.

        Returns
        -------
        ndarray of int64
            As `diagonals.find_offsets` returns them.
        """
        n = self.shape[0]
        seen = np.zeros(2 * n - 1, np.bool_)
        self.run(self.library.mark, *self.arrays[:2], seen, limit)
        return np.flatnonzero(seen) - (n - 1)

    def largest(self):
        """Return the largest entry of S, roughly: what a unit is guessed from.

        Returns
        -------
        float
            1 where D is the diagonal: then no entry of a positive definite S is larger.
        """
        return float(np.abs(self.arrays[2]).max(initial=0.0)) if self.plain else 1.0

    def values(self, unit, dtype):
        """Return the entries of S / unit, row by row, and the largest of S.

        Parameters
        ----------
        unit : float
            A power of two.
        dtype : dtype
            Of the entries.

        Returns
        -------
        values : ndarray, shape (nnz,)
            In the order of A.
        largest : float
            Of S.
        """
        out = np.empty(self.arrays[1].size, dtype)
        found = self.run(self.library.values, *self.arrays, self.scale, 1.0 / unit, out)
        return out, max(found, default=0.0)

    def by_diagonals(self, offsets, length, unit, dtype):
        """Write the entries of S / unit, diagonal by diagonal.

        Parameters
        ----------
        offsets : ndarray of int64
            Of all diagonals.
        length : int
            Of a row of the result.
        unit : float
            A power of two.
        dtype : dtype
            Of the entries.

        Returns
        -------
        data : ndarray, shape (n_offsets, length)
            As `diagonals.to_diagonals` returns it.
        largest : float
            Of the entries of S.
        """
        data = np.zeros((offsets.size, length), dtype)
        where = 1.0 / unit, self._rows(offsets), length
        found = self.run(
            self.library.fill, *self.arrays, self.scale, *where, False, data.reshape(-1)
        )
        return data, max(largest for largest, _ in found)

    def half_by_diagonals(self, offsets, length, unit, dtype, allowed):
        """Do so for one side, and compare the other one with it.

        Parameters
        ----------
        offsets : ndarray of int64
            Of the diagonals from 0 on.
        length : int
            As for `by_diagonals`.
        unit : float
            As for `by_diagonals`.
        dtype : dtype
            As for `by_diagonals`.
        allowed : float
            Difference of mirrored entries, relative to the one above.

        Returns
        -------
        data : ndarray
            As for `by_diagonals`.
        largest : float
            As for `by_diagonals`.
        agrees : bool
            Whether every entry has its mirror.
        """
        data = np.zeros((offsets.size, length), dtype)
        rest = (
            *self.arrays, self.scale, 1.0 / unit, self._rows(offsets), length, allowed,
            data.reshape(-1),
        )  # fmt: skip
        found = self.run(self.library.half, *rest)
        largest, above, below = zip(*found, strict=True)
        # Now those whose mirror was written by the task before.
        reach = int(offsets.max(initial=0))
        borders = [
            (first, min(last, first + reach), 0, first) for first, last in self.ranges[1:]
        ]
        below += tuple(ranges.run(self.library.mirror, borders, self.n_threads, *rest))
        # As many below as above, and each has its mirror: then all above have theirs.
        return data, max(largest), min(below) >= 0 and sum(below) == sum(above)

    def count_by_fields(self, known, n_fields):
        """Count the entries of each unknown of a node on each diagonal.

        Parameters
        ----------
        known : ndarray of int64
            Offsets of all diagonals.
        n_fields : int
            Unknowns of a node.

        Returns
        -------
        ndarray of int64, shape (n_fields, n_known)
            Number of entries.
        """
        from . import cpu_streams

        rest = *self.arrays[:2], self._rows(known), n_fields, known.size
        return sum(self.run(cpu_streams.count, *rest))

    def by_fields(self, known, slots, length, unit, dtype, allowed):
        """Write the entries of S / unit, diagonal by diagonal of each unknown of a node.

        Parameters
        ----------
        known : ndarray of int64
            Offsets of all diagonals.
        slots : ndarray of int64, shape (n_fields, n_known)
            What becomes of an entry, see `fields`.
        length : int
            Of a row of the result.
        unit : float
            A power of two.
        dtype : dtype
            Of the entries.
        allowed : float
            Difference of mirrored entries, relative to the one above.

        Returns
        -------
        data : ndarray, shape (n_stored, length)
            Those that have a stream.
        rests : tuple of ndarray
            Those that have none: rows, where each begins, columns, values. Rows and columns
            unknown by unknown.
        largest : float
            Of the entries of S.
        agrees : bool
            Whether every entry stored has its mirror, where mirrors are not stored.
        """
        from . import cpu_streams

        n, n_fields = self.shape[0], len(slots)
        data = np.zeros((int(slots.max()) + 1, length), dtype)
        lengths = np.empty(n, np.int32)
        matrix = *self.arrays, self.scale, 1.0 / unit, self._rows(known), slots
        rest = *matrix, length, allowed, data.reshape(-1)
        found = self.run(cpu_streams.fill, *rest, lengths)
        largest, above, below = zip(*found, strict=True)
        if slots.min() < -1:
            # Now those whose mirror was written by the task before.
            reach = int(np.abs(known).max())
            borders = [(lo, min(hi, lo + reach)) for lo, hi in self.ranges[1:]]
            below += tuple(ranges.run(cpu_streams.compare, borders, self.n_threads, *rest))
            # As many below as above, and each has its mirror: then all above have theirs.
            if min(below) < 0 or sum(below) != sum(above):
                return data, None, max(largest), False
        rows = np.flatnonzero(lengths)
        rows = np.concatenate([rows[rows % n_fields == r] for r in range(n_fields)])
        starts = np.concatenate([[0], np.cumsum(lengths[rows], dtype=np.int64)])
        columns, values = np.empty(starts[-1], np.int64), np.empty(starts[-1], dtype)
        if rows.size:
            pieces = ranges.even(rows.size, self.n_threads)
            more = rows, starts, columns, values
            ranges.run(cpu_streams.rests, pieces, self.n_threads, *matrix, *more)
        places = rows % n_fields * (n // n_fields) + rows // n_fields
        return data, (places, starts, columns, values), max(largest), True

    def _rows(self, offsets):
        n = self.shape[0]
        row_of = np.full(2 * n - 1, -1, np.int16)
        row_of[offsets + (n - 1)] = np.arange(offsets.size)
        return row_of

    def run(self, kernel, *arguments):
        """Run a kernel on ranges of rows.

        Parameters
        ----------
        kernel : callable
            Of `library`.
        *arguments : object
            What it takes after first and last row.

        Returns
        -------
        list
            What it returned, in the order of the rows.
        """
        return ranges.run(kernel, self.ranges, self.n_threads, *arguments)
