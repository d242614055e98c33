"""Kernels of conjugate gradients: products with their dot products, updates with norms.

Each exists for vectors and for blocks in C order, with the same arguments: scalars are
arrays, shape (k,), one number per column. A kernel takes the rows from `first` to `last`
and writes its part of the sums: serial, without the GIL. Sums are in double precision
whatever the vectors are, so that the square of a float32 fits.
"""

from types import SimpleNamespace

import numba
import numpy as np

__all__ = ["BLOCK", "TYPES", "VECTOR", "compact", "warmup"]

# A vectorised sum, with its prologue and its gathers, gains 25 % on rows of 81 and costs
# 30 to 50 % on rows of 7 to 27.
_LONG = 48

_INDEX = (np.uint32, np.uint64)
_VECTORS = (np.float32, np.float64, np.complex64, np.complex128)

# Blocks with fewer columns keep the sums of a row in registers, four columns at a time,
# and read the row again for the next four: up to 3 times faster on 2 to 8 columns.
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


def _in_order(start, end, indices, data, x, acc):
    for j in range(start, end):
        acc += data[j] * x[indices[j]]
    return acc


def _in_lanes(start, end, indices, data, x, acc):
    # A twin of `_in_order`: Numba's cache knows functions by name, not by flags.
    for j in range(start, end):
        acc += data[j] * x[indices[j]]
    return acc


def _inner(x, y):
    """Return the real part of conj(x) y, in double precision."""
    real = np.float64(x.real) * np.float64(y.real)
    return real + np.float64(x.imag) * np.float64(y.imag)


_ordered_row = _jit(_in_order)
_lane_row = _jit(_in_lanes, "reassoc")
_pair = _jit(_inner, "reassoc", "nsz")  # nsz: no addition of the imaginary part of a real


def _vector_product(first, last, indptr, indices, data, x, y, sums):
    """Set y <- A x and sums <- Re x* y."""
    zero = y.dtype.type(0)
    dot = 0.0
    end = indptr[first]
    for i in range(first, last):
        start, end = end, indptr[i + 1]
        if end - start < _LONG:
            value = _ordered_row(start, end, indices, data, x, zero)
        else:
            value = _lane_row(start, end, indices, data, x, zero)
        y[i] = value
        dot += _pair(x[i], value)
    sums[0] = dot


def _narrow(first, last, indptr, indices, data, x, y, sums):
    """Do so for a few columns, and add to the sums."""
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


_narrow_product = _jit(_narrow, "reassoc")
_wide_product = _jit(_wide, "reassoc")


def _block_product(first, last, indptr, indices, data, x, y, sums):
    sums[:] = 0.0
    if y.shape[1] < _WIDE:
        _narrow_product(first, last, indptr, indices, data, x, y, sums)
    else:
        _wide_product(first, last, indptr, indices, data, x, y, sums)


# The loops below run over slices: an index from `first` on may be negative for all that
# the compiler knows, and would cost a test per entry and all vectorisation.


def _vector_update(first, last, alpha, p, q, columns, x, r, sums):
    """Set x[columns] <- x + alpha p, r <- r - alpha q and sums <- ||r||²."""
    p, q, x, r = p[first:last], q[first:last], x[first:last], r[first:last]
    a = r.real.dtype.type(alpha[0])
    square = 0.0
    for i in range(r.size):
        x[i] += a * p[i]
        value = r[i] - a * q[i]
        r[i] = value
        square += _pair(value, value)
    sums[0] = square


def _block_update(first, last, alpha, p, q, columns, x, r, sums):
    sums[:] = 0.0
    p, q, x, r = p[first:last], q[first:last], x[first:last], r[first:last]
    a = alpha.astype(r.real.dtype)
    for i in range(r.shape[0]):
        for c in range(r.shape[1]):
            x[i, columns[c]] += a[c] * p[i, c]
        for c in range(r.shape[1]):
            value = r[i, c] - a[c] * q[i, c]
            r[i, c] = value
            sums[c] += _pair(value, value)


def _vector_dot(first, last, x, y, sums):
    """Set sums <- Re x* y."""
    x, y = x[first:last], y[first:last]
    dot = 0.0
    for i in range(x.size):
        dot += _pair(x[i], y[i])
    sums[0] = dot


def _block_dot(first, last, x, y, sums):
    sums[:] = 0.0
    x, y = x[first:last], y[first:last]
    for i in range(x.shape[0]):
        for c in range(x.shape[1]):
            sums[c] += _pair(x[i, c], y[i, c])


def _vector_direction(first, last, beta, z, p):
    """Set p <- z + beta p."""
    z, p = z[first:last], p[first:last]
    b = p.real.dtype.type(beta[0])
    for i in range(p.size):
        p[i] = z[i] + b * p[i]


def _block_direction(first, last, beta, z, p):
    z, p = z[first:last], p[first:last]
    b = beta.astype(p.real.dtype)
    for i in range(p.shape[0]):
        for c in range(p.shape[1]):
            p[i, c] = z[i, c] + b[c] * p[i, c]


def _vector_residual(first, last, b, columns, q, sums):
    """Set q <- b[columns] - q and sums <- ||q||²."""
    b, q = b[first:last], q[first:last]
    square = 0.0
    for i in range(q.size):
        value = b[i] - q[i]
        q[i] = value
        square += _pair(value, value)
    sums[0] = square


def _block_residual(first, last, b, columns, q, sums):
    sums[:] = 0.0
    b, q = b[first:last], q[first:last]
    for i in range(q.shape[0]):
        for c in range(q.shape[1]):
            value = b[i, columns[c]] - q[i, c]
            q[i, c] = value
            sums[c] += _pair(value, value)


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
    product=_jit(_vector_product, "reassoc"),
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
    ones, columns = np.ones(1), np.zeros(1, np.uint64)
    for kernels, shape in ((VECTOR, (1,)), (BLOCK, (1, 1))):
        for values, vectors in TYPES:
            for index in _INDEX:
                matrix = np.zeros(2, index), np.zeros(1, index), np.zeros(1, values)
                kernels.product(0, 1, *matrix, *_vectors(2, shape, vectors), ones)
        for vectors in _VECTORS:
            p, q, x, r = _vectors(4, shape, vectors)
            kernels.update(0, 1, ones, p, q, columns, x, r, ones)
            kernels.dot(0, 1, p, q, ones)
            kernels.direction(0, 1, ones, p, q)
            kernels.residual(0, 1, p, columns, q, ones)
            compact(1, columns, p.reshape(-1))


def _vectors(count, shape, dtype):
    return [np.ones(shape, dtype) for _ in range(count)]
