"""The product with rows that read no indices where the rows before had the same.

Stencils and elements on grids repeat themselves: the columns of a row are those of the row
before, or of the row as many unknowns per node before, moved by as much. Where that is so
the indices of the first rows serve all: of 12 bytes per entry 8 are read, and the compiler
knows how long a row is. A itself is read, there is no second copy of it.

Rows are taken in chunks of `chunks.CHUNK`, and each has a table of its own; a row is
summed in the same order whatever threads there are.
"""

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .chunks import CHUNK
from .cpu import jit

__all__ = ["find", "new_table", "product", "warmup"]

# Segments of a chunk. With more of them it is taken as it is, row by row.
_SEGMENTS = CHUNK // 8

# Rows that repeat, at least, and how many times; unknowns of a node, at most. A segment
# costs 60 ns: grids of 38 points per line in the cache took 3.4 ns per row with segments
# and 2.7 without, of 58 points, in memory, 2.5 and 4.0.
_ROWS, _TIMES, _PERIOD = 48, 3, 6

# Where few of so many rows repeat the rest is not looked at: 7 ns per row without, 40 with.
_TRIED = 256

# Rows between two looks ahead, and how far. The processor alone asks for entries too late:
# the 5-point stencil took 1.9 ns per row without looks ahead and 1.2 with them, the 7-point
# one 4.1 and 1.9.
_BLOCK = 64
_AHEAD = 4096  # bytes

_LINE = 64  # bytes of a line of the cache

_INDEX = (np.uint32, np.uint64)
_TYPES = (
    (np.float32, np.float32),
    (np.float32, np.float64),
    (np.float64, np.float64),
    (np.complex64, np.complex64),
    (np.complex64, np.complex128),
    (np.complex128, np.complex128),
)


@intrinsic
def _prefetch(context, array, index):
    """Ask for the line of the cache that an entry is in."""

    def generate(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        byte = ir.IntType(8).as_pointer()
        number = ir.IntType(32)
        place = builder.bitcast(builder.gep(data, [args[1]]), byte)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", (byte,), kind)
        builder.call(function, [place, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, index), generate


def _are_alike(a, b, indptr, indices):
    """Say whether row b has the columns of row a, moved by b - a."""
    start, other = indptr[a], indptr[b]
    length = indptr[a + 1] - start
    if indptr[b + 1] - other != length:
        return False
    moved = np.uint64(b - a)
    alike = True
    for j in range(length):
        alike &= np.uint64(indices[other + j]) - np.uint64(indices[start + j]) == moved
    return alike


_alike = jit(_are_alike, set())


def _repeated(first, last, indptr, indices):
    """Return the period of the rows from `first` on, and where they end to repeat."""
    for period in range(1, _PERIOD + 1):
        stop = first + period
        while stop < last and _alike(stop - period, stop, indptr, indices):
            stop += 1
        times = (stop - first) // period
        if times >= _TIMES and times * period >= _ROWS:
            return period, first + times * period
    return 0, first


_repeats = jit(_repeated, set())


def _find(first, last, indptr, indices, table, sums):
    """Fill the table of some chunks, and count segments.

    Segment m of chunk k begins at row table[k, m, 0] of the chunk, and has the period
    table[k, m, 1]: as many rows as it has where nothing repeats; 0 behind the last.
    """
    n = indptr.size - 1
    for k in range(first, last):
        lo = k * CHUNK
        hi = min(lo + CHUNK, n)
        m = regular = 0
        i = begin = lo
        while i < hi:
            period, stop = _repeats(i, hi, indptr, indices)
            if stop == i:
                i += 1
                if i - lo >= _TRIED > 4 * regular:
                    m = _SEGMENTS
            else:
                if begin < i:
                    table[k, m, 0], table[k, m, 1] = begin - lo, i - begin
                    m += 1
                table[k, m, 0], table[k, m, 1] = i - lo, period
                m += 1
                regular += stop - i
                i = begin = stop
            if m > _SEGMENTS - 4:
                m, begin = 0, lo
                break
        if begin < hi:
            table[k, m, 0], table[k, m, 1] = begin - lo, hi - begin
            m += 1
        table[k, m, 0], table[k, m, 1] = hi - lo, 0
        sums[k, 0] = m


def _of_five(n_rows, e, o, i, moved, indices, data, x, y):
    """Write rows of five entries; the first is i, its entries begin at e."""
    a = np.uint64(indices[o]) + moved
    b = np.uint64(indices[o + np.uint64(1)]) + moved
    c = np.uint64(indices[o + np.uint64(2)]) + moved
    d = np.uint64(indices[o + np.uint64(3)]) + moved
    f = np.uint64(indices[o + np.uint64(4)]) + moved
    for r in range(n_rows):
        k = e + np.uint64(5) * r
        y[i + r] = (
            data[k] * x[a + r]
            + data[k + np.uint64(1)] * x[b + r]
            + data[k + np.uint64(2)] * x[c + r]
            + data[k + np.uint64(3)] * x[d + r]
            + data[k + np.uint64(4)] * x[f + r]
        )


def _of_seven(n_rows, e, o, i, moved, indices, data, x, y):
    a = np.uint64(indices[o]) + moved
    b = np.uint64(indices[o + np.uint64(1)]) + moved
    c = np.uint64(indices[o + np.uint64(2)]) + moved
    d = np.uint64(indices[o + np.uint64(3)]) + moved
    f = np.uint64(indices[o + np.uint64(4)]) + moved
    g = np.uint64(indices[o + np.uint64(5)]) + moved
    h = np.uint64(indices[o + np.uint64(6)]) + moved
    for r in range(n_rows):
        k = e + np.uint64(7) * r
        y[i + r] = (
            data[k] * x[a + r]
            + data[k + np.uint64(1)] * x[b + r]
            + data[k + np.uint64(2)] * x[c + r]
            + data[k + np.uint64(3)] * x[d + r]
            + data[k + np.uint64(4)] * x[f + r]
            + data[k + np.uint64(5)] * x[g + r]
            + data[k + np.uint64(6)] * x[h + r]
        )


_five = jit(_of_five, {"contract"})
_seven = jit(_of_seven, {"contract"})


def _of_stencil(row, n_rows, ahead, indptr, indices, data, x, y):
    """Write rows that have the columns of the first one, moved; 5 or 7 entries each.

    The compiler makes vector instructions of the loop over rows, but none that ask early:
    entries before `ahead` have been asked for; returns that of the rows that follow.
    """
    o = np.uint64(indptr[row])
    length = np.uint64(indptr[row + 1]) - o
    line = np.uint64(_LINE // data.itemsize)
    far = np.uint64(_AHEAD // data.itemsize)
    end = np.uint64(data.size)
    ahead = max(ahead, o)
    for done in range(0, n_rows, _BLOCK):
        size = np.uint64(min(_BLOCK, n_rows - done))
        moved = np.uint64(done)
        i = np.uint64(row) + moved
        e = o + moved * length
        stop = min(e + size * length + far, end)
        while ahead < stop:
            _prefetch(data, ahead)
            ahead += line
        if length == 5:
            _five(size, e, o, i, moved, indices, data, x, y)
        else:
            _seven(size, e, o, i, moved, indices, data, x, y)
    return ahead


def _of_any(row, n_rows, period, ahead, indptr, indices, data, x, y):
    """Write rows that have the columns of the first `period` ones, moved.

    Four sums side by side, as the processor adds four numbers at a time; gathers into
    vectors were 3 times slower on rows of 49.
    """
    zero = y.dtype.type(0)
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    line = np.uint64(_LINE // data.itemsize)
    far = np.uint64(_AHEAD // data.itemsize)
    end = np.uint64(data.size)
    i, e, moved = np.uint64(row), np.uint64(indptr[row]), np.uint64(0)
    ahead = max(ahead, e)
    first, last = i, i + np.uint64(period)
    for _ in range(np.uint64(n_rows // period)):
        if n_rows > period:
            stop = min(e + far, end)
            while ahead < stop:
                _prefetch(data, ahead)
                ahead += line
        o = np.uint64(indptr[first])
        for c in range(first, last):
            length = np.uint64(indptr[c + one]) - o
            s0 = s1 = s2 = s3 = zero
            for _ in range(length // four):
                s0 += data[e] * x[indices[o] + moved]
                s1 += data[e + one] * x[indices[o + one] + moved]
                s2 += data[e + two] * x[indices[o + two] + moved]
                s3 += data[e + three] * x[indices[o + three] + moved]
                e += four
                o += four
            for _ in range(length % four):
                s0 += data[e] * x[indices[o] + moved]
                e += one
                o += one
            y[i] = (s0 + s1) + (s2 + s3)
            i += one
        moved += np.uint64(period)
    return ahead


_stencil = jit(_of_stencil, {"contract"})
_any = jit(_of_any, {"contract"})


def _energy(x, y):
    """Return the real part of x* y, in double precision."""
    dot = 0.0
    for i in range(x.size):
        real = np.float64(x[i].real) * np.float64(y[i].real)
        dot += real + np.float64(x[i].imag) * np.float64(y[i].imag)
    return dot


_dot = jit(_energy, {"contract", "reassoc", "nsz"})


def _product(first, last, table, indptr, indices, data, x, y, sums):
    """Set y <- A x on the rows of some chunks, and sums[k, 0] <- Re x* y of chunk k."""
    for k in range(first, last):
        lo = k * CHUNK
        m = 0
        ahead = np.uint64(0)
        while table[k, m, 1] > 0:
            begin, period = np.int64(table[k, m, 0]), np.int64(table[k, m, 1])
            m += 1
            n_rows = np.int64(table[k, m, 0]) - begin
            row = lo + begin
            length = indptr[row + 1] - indptr[row]
            if n_rows > period == 1 and (length == 5 or length == 7):
                ahead = _stencil(row, n_rows, ahead, indptr, indices, data, x, y)
            else:
                ahead = _any(row, n_rows, period, ahead, indptr, indices, data, x, y)
        sums[k, 0] = _dot(x[lo : lo + CHUNK], y[lo : lo + CHUNK])


find = jit(_find, set())
product = jit(_product, {"contract"})


def new_table(n):
    """Return memory for the table that `find` fills.

    Parameters
    ----------
    n : int
        Rows.

    Returns
    -------
    ndarray of uint16, shape (n_chunks, n_segments, 2)
        Half a byte per row; what is not written takes no memory.
    """
    return np.empty((-(-n // CHUNK), _SEGMENTS, 2), np.uint16)


def warmup():
    """Compile every variant; see `autospec_precond.warmup`."""
    table = new_table(1)
    sums = np.empty((1, 1))
    for index in _INDEX:
        indptr = np.zeros(2, index)
        find(0, 1, indptr, np.zeros(1, index), table, sums)
        for values, vectors in _TYPES:
            matrix = indptr, np.zeros(1, index), np.zeros(1, values)
            product(0, 1, table, *matrix, np.ones(1, vectors), np.ones(1, vectors), sums)
