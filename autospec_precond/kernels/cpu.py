"""The fused kernel: one pass over the rows of A per degree, no temporaries.

Memory traffic per degree and row: the entries once, b1 gathered, x and b2 read, y
written. NumPy after SciPy's product makes five more passes over vectors of length n.

The loops are serial and release the GIL: safe under every threading layer, in
several Python threads at once and after a fork. Threads of ours take ranges of rows.
"""

import functools
import itertools

import numba
import numpy as np

from autospec_precond import threads

from . import cpu_panel, reference

__all__ = ["apply", "default_threads", "jit", "long_row", "short_row", "warmup"]

# Rows shorter than this are summed in order, longer ones in four chains. Left to the
# compiler ("reassoc") a sum gathers, and there are processors where that is slow: 144 us
# per product with bcsstk14, 35 entries per row, 48 in order, 36 in four chains, SciPy 50.
# Rows of 5, the most common stencil, are written out: 3 to 7 % faster than the loop.
_SHORT = 8

_INDEX = (np.uint32, np.uint64)
_TYPES = (
    (np.float32, np.float32),
    (np.float32, np.float64),
    (np.float64, np.float64),
    (np.complex64, np.complex64),
    (np.complex64, np.complex128),
    (np.complex128, np.complex128),
)


def jit(function, flags):
    """Compile lazily, and keep the machine code on disk where there is a place.

    Parameters
    ----------
    function : function
        Serial loops.
    flags : set of str
        What the compiler may do to floating-point arithmetic.

    Returns
    -------
    Dispatcher
        Compiles at its first call with arguments of other types.
    """
    # Not fastmath=True: that also promises the compiler that no NaN will occur,
    # and a NaN that comes in must come out again.
    options = {"nogil": True, "fastmath": flags, "error_model": "numpy"}
    try:
        return numba.njit(function, cache=True, **options)
    except RuntimeError:  # no writable cache folder anywhere
        return numba.njit(function, **options)


def _short(start, end, indices, data, b1, acc):
    for j in range(start, end):
        acc += data[j] * b1[indices[j]]
    return acc


def _long(start, end, indices, data, x, acc):
    """Sum in four chains: one would wait for each addition to end."""
    one, two, three, four = np.uint32(1), np.uint32(2), np.uint32(3), np.uint32(4)
    s0 = s1 = s2 = s3 = acc
    j = start
    for _ in range((end - start) // four):
        s0 += data[j] * x[indices[j]]
        s1 += data[j + one] * x[indices[j + one]]
        s2 += data[j + two] * x[indices[j + two]]
        s3 += data[j + three] * x[indices[j + three]]
        j += four
    for _ in range((end - start) % four):
        s0 += data[j] * x[indices[j]]
        j += one
    return (s0 + s1) + (s2 + s3)


def _five(j, indices, data, b1):
    a, b, c, d = np.uint32(1), np.uint32(2), np.uint32(3), np.uint32(4)
    return (
        data[j] * b1[indices[j]]
        + data[j + a] * b1[indices[j + a]]
        + data[j + b] * b1[indices[j + b]]
        + data[j + c] * b1[indices[j + c]]
        + data[j + d] * b1[indices[j + d]]
    )


_five_row = jit(_five, {"contract", "reassoc"})
short_row = jit(_short, {"contract"})
long_row = jit(_long, {"contract"})


def _vector_step(indptr, indices, data, c, a, b, g, b1, x, own, b2, y):
    """Set y <- c x + a S b1 + b b1 - g b2; y may be b2.

    All but `indices`, `data` and `b1` hold some rows only, `own` is b1 on these. Row i
    reads and writes only entry i of y, so rows may run in any order.
    """
    zero = y.dtype.type(0)
    for i in range(indptr.size - 1):
        start, end = indptr[i], indptr[i + 1]
        if end - start == 5:
            acc = _five_row(start, indices, data, b1)
        elif end - start < _SHORT:
            acc = short_row(start, end, indices, data, b1, zero)
        else:
            acc = long_row(start, end, indices, data, b1, zero)
        y[i] = c * x[i] + a * acc + b * own[i] - g * b2[i]


def _block_step(indptr, indices, data, c, a, b, g, b1, x, own, b2, y):
    """Do the same for blocks in C order: each entry of S serves all columns."""
    for i in range(indptr.size - 1):
        for q in range(y.shape[1]):
            y[i, q] = c * x[i, q] + b * own[i, q] - g * b2[i, q]
        for j in range(indptr[i], indptr[i + 1]):
            factor = a * data[j]
            row = indices[j]
            for q in range(y.shape[1]):
                y[i, q] += factor * b1[row, q]


def _panel_step(columns, indptr, indices, data, c, a, b, g, first, b1, x, y):
    """Do the same for a panel, from row `first` on; y is b2."""
    for i in range(indptr.size - 1):
        start = np.int64(indptr[i])
        length = np.int64(indptr[i + 1]) - start
        cpu_panel.rows_set(
            columns, (0,), data, indices, start, 1, length, first + i, 0, (c, a, b, g),
            b1, x, y,
        )  # fmt: skip


_vector = jit(_vector_step, {"contract", "reassoc"})
_block = jit(_block_step, {"contract", "reassoc"})
_panel = jit(_panel_step, {"contract"})


def default_threads():
    """Return Numba's number of threads, which the user may have set.

    Returns
    -------
    int
        At least 1.
    """
    return numba.get_num_threads()


def apply(stored, factors, x, work, n_threads=1):
    """Compute p(S) x; see `autospec_precond.kernels.reference.apply`."""
    if all(map(cpu_panel.is_panel, (x, *work))):
        return _apply_panel(stored, factors, x, work, n_threads)
    y, spare = work
    # Signed indices would get a wrap-around test per entry: 2 to 3 times slower.
    unsigned = np.dtype(f"u{stored.indices.itemsize}")
    indptr, indices = stored.indptr.view(unsigned), stored.indices.view(unsigned)
    cuts = _cuts(stored.indptr, n_threads)
    step = _vector if x.ndim == 1 else _block
    b1 = b2 = x
    for c, a, b, g in reference.typed(factors, x.dtype):
        matrix = indices, stored.data, c, a, b, g, b1
        vectors = x, b1, b2 if g else x, y
        if len(cuts) == 1:
            step(indptr, *matrix, *vectors)
        else:
            threads.run(
                (
                    functools.partial(
                        step, indptr[lo : hi + 1], *matrix, *(v[lo:hi] for v in vectors)
                    )
                    for lo, hi in cuts
                ),
                n_threads,
            )
        b2, b1 = b1, y
        y, spare = spare, y
    return b1


def _apply_panel(stored, factors, x, work, n_threads):
    """Do so for a panel."""
    unsigned = np.dtype(f"u{stored.indices.itemsize}")
    indptr, indices = stored.indptr.view(unsigned), stored.indices.view(unsigned)
    cuts = _cuts(stored.indptr, n_threads)
    columns, (v, y, spare) = (0,) * x.shape[1], (array.reshape(-1) for array in (x, *work))
    b1 = v
    for k, (c, a, b, g) in enumerate(reference.typed(factors, x.dtype)):
        if k < 2:  # scratch may hold a NaN, and 0 * NaN is not 0
            y[...] = 0
        rest = indices, stored.data, c, a, b, g
        tasks = (
            functools.partial(_panel, columns, indptr[lo : hi + 1], *rest, lo, b1, v, y)
            for lo, hi in cuts
        )
        threads.run(tasks, n_threads)
        b1, y, spare = y, spare, y
    return work[(len(factors) - 1) % 2]


def _cuts(indptr, n_threads):
    """Return ranges of rows with as many entries, but for one row, in each."""
    n = indptr.size - 1
    shares = [indptr[-1] * k // n_threads for k in range(1, n_threads)]
    edges = [0, *np.searchsorted(indptr[:-1], shares).tolist(), n]
    return list(itertools.pairwise(edges))


def warmup():
    """Compile every variant; see `autospec_precond.warmup`."""
    for index in _INDEX:
        for values, vectors in _TYPES:
            matrix = np.zeros(2, index), np.zeros(1, index), np.zeros(1, values)
            factors = [np.empty(0, vectors).real.dtype.type(1)] * 4
            for step, shape in ((_vector, (1,)), (_block, (1, 1))):
                step(*matrix, *factors, *(np.ones(shape, vectors) for _ in range(5)))
            if factors[0].dtype != vectors:  # complex
                continue
            for width in cpu_panel.widths("csr", vectors):
                panels = (np.ones(width, vectors) for _ in range(3))
                _panel((0,) * width, *matrix, *factors, 0, *panels)
