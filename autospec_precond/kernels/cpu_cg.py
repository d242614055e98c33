"""Kernels of conjugate gradients: products of blocks, updates with norms, dot products.

Each exists for vectors and for blocks in C order, with the same arguments: scalars are
arrays, shape (k,), one number per column. A kernel takes the chunks of rows from `first`
to `last` and writes ``sums[first:last]``, one number per chunk and column (`chunks`):
serial, without the GIL. Sums are in double precision whatever the vectors are, so that the
square of a float32 fits. The product of a vector is in `cpu_rows`.
"""

from types import SimpleNamespace

import numba
import numpy as np

from .chunks import CHUNK

__all__ = ["BLOCK", "TYPES", "VECTOR", "compact", "warmup"]

_INDEX = (np.uint32, np.uint64)
_VECTORS = (np.float32, np.float64, np.complex64, np.complex128)

# Blocks with fewer columns keep the sums of a row in registers, four columns at a time,
# and read the row again for the next four: up to 3 times faster on 2 to 8 columns. Not
# "reassoc": the compiler would gather along the row, on some processors 4 times slower.
_WIDE = 12
_1, _2, _3, _4 = (np.uint64(k) for k in (1, 2, 3, 4))  # with an int they would be floats

# Types of values and vectors that the products are made for.
TYPES = (
    (np.float32, np.float32),
    (np.float32, np.float64),
    (np.float64, np.float64),
    (np.complex64, np.complex64),
    (np.complex64, np.complex128),
    (np.complex128, np.complex128),
)


def _jit(function, *flags):
    """Compile lazily, and keep the machine code on disk where there is a place."""
    # Not fastmath=True: a NaN that comes in must come out again.
    flags = {"contract", *flags}
    options = {"nogil": True, "fastmath": flags, "error_model": "numpy"}
    try:
        return numba.njit(function, cache=True, **options)
    except RuntimeError:  # no writable cache folder anywhere
        return numba.njit(function, **options)


def _inner(x, y):
    """Return the real part of conj(x) y, in double precision."""
    real = np.float64(x.real) * np.float64(y.real)
    return real + np.float64(x.imag) * np.float64(y.imag)


_pair = _jit(_inner, "reassoc", "nsz")  # nsz: no addition of the imaginary part of a real


def _narrow(first, last, indptr, indices, data, x, y, sums):
    """Set y <- A x on rows of a few columns, and add to the sums."""
    zero = y.dtype.type(0)
    width = np.uint64(y.shape[1])
    x, y = x.reshape(-1), y.reshape(-1)
    row = np.uint64(first) * width
    end = indptr[first]
    for i in range(first, last):
        start, end = end, indptr[i + 1]
        c = width - width
        while c + _4 <= width:
            s0 = s1 = s2 = s3 = zero
            for j in range(start, end):
                value = data[j]
                k = np.uint64(indices[j]) * width + c
                s0 += value * x[k]
                s1 += value * x[k + _1]
                s2 += value * x[k + _2]
                s3 += value * x[k + _3]
            k = row + c
            y[k] = s0
            y[k + _1] = s1
            y[k + _2] = s2
            y[k + _3] = s3
            c += _4
        if c + _2 <= width:
            s0 = s1 = zero
            for j in range(start, end):
                k = np.uint64(indices[j]) * width + c
                s0 += data[j] * x[k]
                s1 += data[j] * x[k + _1]
            y[row + c] = s0
            y[row + c + _1] = s1
            c += _2
        if c < width:
            s0 = zero
            for j in range(start, end):
                s0 += data[j] * x[np.uint64(indices[j]) * width + c]
            y[row + c] = s0
        for q in range(sums.size):
            k = row + np.uint64(q)
            sums[q] += _pair(x[k], y[k])
        row += width


def _wide(first, last, indptr, indices, data, x, y, sums):
    n_columns = y.shape[1]
    end = indptr[first]
    for i in range(first, last):
        start, end = end, indptr[i + 1]
        y[i] = 0
        for j in range(start, end):
            value = data[j]
            row = indices[j]
            for c in range(n_columns):
                y[i, c] += value * x[row, c]
        for c in range(n_columns):
            sums[c] += _pair(x[i, c], y[i, c])


_narrow_product = _jit(_narrow)
_wide_product = _jit(_wide, "reassoc")


def _block_product(first, last, indptr, indices, data, x, y, sums):
    """Set y <- A x and sums <- Re x* y, column by column."""
    for k in range(first, last):
        sums[k] = 0.0
        lo, hi = k * CHUNK, min((k + 1) * CHUNK, y.shape[0])
        if y.shape[1] < _WIDE:
            _narrow_product(lo, hi, indptr, indices, data, x, y, sums[k])
        else:
            _wide_product(lo, hi, indptr, indices, data, x, y, sums[k])


# The loops below run over slices: an index from `first` on may be negative for all that
# the compiler knows, and would cost a test per entry and all vectorisation.


def _update_rows(a, p, q, x, r):
    square = 0.0
    for i in range(r.size):
        x[i] += a * p[i]
        value = r[i] - a * q[i]
        r[i] = value
        square += _pair(value, value)
    return square


def _dot_rows(x, y):
    dot = 0.0
    for i in range(x.size):
        dot += _pair(x[i], y[i])
    return dot


def _residual_rows(b, q):
    square = 0.0
    for i in range(q.size):
        value = b[i] - q[i]
        q[i] = value
        square += _pair(value, value)
    return square


_updated = _jit(_update_rows, "reassoc")
_dotted = _jit(_dot_rows, "reassoc")
_subtracted = _jit(_residual_rows, "reassoc")


def _vector_update(first, last, alpha, p, q, columns, x, r, sums):
    """Set x[columns] <- x + alpha p, r <- r - alpha q and sums <- ||r||²."""
    a = r.real.dtype.type(alpha[0])
    for k in range(first, last):
        rows = slice(k * CHUNK, (k + 1) * CHUNK)
        sums[k, 0] = _updated(a, p[rows], q[rows], x[rows], r[rows])


def _block_update(first, last, alpha, p, q, columns, x, r, sums):
    a = alpha.astype(r.real.dtype)
    for k in range(first, last):
        sums[k] = 0.0
        rows = slice(k * CHUNK, (k + 1) * CHUNK)
        pk, qk, xk, rk = p[rows], q[rows], x[rows], r[rows]
        for i in range(rk.shape[0]):
            for c in range(rk.shape[1]):
                xk[i, columns[c]] += a[c] * pk[i, c]
            for c in range(rk.shape[1]):
                value = rk[i, c] - a[c] * qk[i, c]
                rk[i, c] = value
                sums[k, c] += _pair(value, value)


def _vector_dot(first, last, x, y, sums):
    """Set sums <- Re x* y."""
    for k in range(first, last):
        rows = slice(k * CHUNK, (k + 1) * CHUNK)
        sums[k, 0] = _dotted(x[rows], y[rows])


def _block_dot(first, last, x, y, sums):
    for k in range(first, last):
        sums[k] = 0.0
        rows = slice(k * CHUNK, (k + 1) * CHUNK)
        xk, yk = x[rows], y[rows]
        for i in range(xk.shape[0]):
            for c in range(xk.shape[1]):
                sums[k, c] += _pair(xk[i, c], yk[i, c])


def _vector_direction(first, last, beta, z, p, sums):
    """Set p <- z + beta p; there are no sums."""
    rows = slice(first * CHUNK, last * CHUNK)
    z, p = z[rows], p[rows]
    b = p.real.dtype.type(beta[0])
    for i in range(p.size):
        p[i] = z[i] + b * p[i]


def _block_direction(first, last, beta, z, p, sums):
    rows = slice(first * CHUNK, last * CHUNK)
    z, p = z[rows], p[rows]
    b = beta.astype(p.real.dtype)
    for i in range(p.shape[0]):
        for c in range(p.shape[1]):
            p[i, c] = z[i, c] + b[c] * p[i, c]


def _vector_residual(first, last, b, columns, q, sums):
    """Set q <- b[columns] - q and sums <- ||q||²."""
    for k in range(first, last):
        rows = slice(k * CHUNK, (k + 1) * CHUNK)
        sums[k, 0] = _subtracted(b[rows], q[rows])


def _block_residual(first, last, b, columns, q, sums):
    for k in range(first, last):
        sums[k] = 0.0
        rows = slice(k * CHUNK, (k + 1) * CHUNK)
        bk, qk = b[rows], q[rows]
        for i in range(qk.shape[0]):
            for c in range(qk.shape[1]):
                value = bk[i, columns[c]] - qk[i, c]
                qk[i, c] = value
                sums[k, c] += _pair(value, value)


def _compact(n_columns, keep, flat):
    """Move the columns `keep`, ascending, of a block to the front of its memory."""
    target = np.uint64(0)
    source = np.uint64(0)
    for _ in range(flat.size // n_columns):
        for c in range(keep.size):
            # Never overtakes: what is overwritten has been read.
            flat[target] = flat[source + keep[c]]
            target += np.uint64(1)
        source += np.uint64(n_columns)


VECTOR = SimpleNamespace(
    update=_jit(_vector_update, "reassoc"),
    dot=_jit(_vector_dot, "reassoc"),
    direction=_jit(_vector_direction, "reassoc"),
    residual=_jit(_vector_residual, "reassoc"),
)
BLOCK = SimpleNamespace(
    product=_jit(_block_product, "reassoc"),
    update=_jit(_block_update, "reassoc"),
    dot=_jit(_block_dot, "reassoc"),
    direction=_jit(_block_direction, "reassoc"),
    residual=_jit(_block_residual, "reassoc"),
)
compact = _jit(_compact)


def warmup():
    """Compile every variant; see `autospec_precond.warmup`."""
    ones, columns, sums = np.ones(1), np.zeros(1, np.uint64), np.ones((1, 1))
    for values, vectors in TYPES:
        for index in _INDEX:
            matrix = np.zeros(2, index), np.zeros(1, index), np.zeros(1, values)
            BLOCK.product(0, 1, *matrix, *_vectors(2, (1, 1), vectors), sums)
    for kernels, shape in ((VECTOR, (1,)), (BLOCK, (1, 1))):
        for vectors in _VECTORS:
            p, q, x, r = _vectors(4, shape, vectors)
            kernels.update(0, 1, ones, p, q, columns, x, r, sums)
            kernels.dot(0, 1, p, q, sums)
            kernels.direction(0, 1, ones, p, q, sums)
            kernels.residual(0, 1, p, columns, q, sums)
            compact(1, columns, p.reshape(-1))


def _vectors(count, shape, dtype):
    return [np.ones(shape, dtype) for _ in range(count)]
