"""Loops of `make`: each one pass over some rows of A, for what the setup needs of it.

S = D^(-1/2) A D^(-1/2) is never formed: products scale the vectors, and what is stored is
scaled while it is written. Loops are serial and release the GIL. Sums are made by blocks of
`BLOCK` rows, whose first and last row no range of rows divides: results do not depend on
the number of threads.
"""

import numpy as np

from .cpu import jit, long_row, short_row

__all__ = [
    "BLOCK",
    "BROKEN",
    "NOT_CANONICAL",
    "NOT_FINITE",
    "advance",
    "decode",
    "fill",
    "half",
    "magnify",
    "mark",
    "mirror",
    "pair",
    "ready",
    "spread",
    "step",
    "subtract",
    "survey",
    "values",
    "warmup",
]

BLOCK = 4096  # rows of one sum

NOT_FINITE, NOT_CANONICAL, BROKEN = 1, 2, 4

_NEAR = 1024  # rows that are written, and compared while they are in the cache
_SHORT = 8  # entries of a row that are looked at one by one
_LONG = 20  # entries of a row from which on it is summed in several chains

_TYPES = (np.float32, np.float64)
_WIDE = np.uint64  # indices are narrowed to 32 bits for all but the survey


def _survey(first, last, indptr, indices, data, diagonal):
    """Look at all there is once: write the diagonal, return what is wrong as bits."""
    lo, hi = indptr[first], indptr[last]
    if lo > hi or hi > indices.size or hi > data.size:
        return BROKEN
    n = indptr.size - 1
    starts, ends = indptr[first:last], indptr[first + 1 : last + 1]
    reversed_rows = 0
    for k in range(starts.size):
        reversed_rows += starts[k] > ends[k]
    if reversed_rows:
        return BROKEN
    # Flat loops, which the compiler makes vector instructions of: places where columns do
    # not rise must be those where rows begin.
    columns = indices[lo:hi]
    here, after = columns[:-1], columns[1:]
    highest, falls = columns.dtype.type(0), 0
    for k in range(here.size):
        falls += here[k] >= after[k]
    for k in range(columns.size):
        highest = max(highest, columns[k])
    if columns.size and highest >= n:
        return BROKEN
    result, strange = 0, 0
    entries = data[lo:hi]
    for k in range(entries.size):
        strange += (entries[k] - entries[k]) != 0
    if strange:
        result |= NOT_FINITE
    guess, one = lo - lo, indptr.dtype.type(1)
    zero = data.dtype.type(0)
    end = lo
    for i in range(np.uint64(first), np.uint64(last)):
        start, end = end, indptr[i + np.uint64(1)]
        if start > lo and start < end:
            falls -= indices[start - one] >= indices[start]
        if end - start < _SHORT:  # no branch depends on where it is
            value = zero
            for j in range(start, end):
                value = data[j] if indices[j] == i else value
            diagonal[i] = value
            continue
        # The diagonal is mostly where it was in the row before.
        j = start + guess
        if not (j < end and indices[j] == i):
            j = start
            while j < end and indices[j] != i:
                j += one
            if j < end:
                guess = j - start
        diagonal[i] = data[j] if j < end else zero
    return result | NOT_CANONICAL if falls else result


def _mark(first, last, indptr, indices, seen, limit):
    """Mark the diagonals that hold entries, until there are more than `limit` new ones."""
    n = np.int64(indptr.size - 1)
    count = 0
    for i in range(first, last):
        shift = n - 1 - i
        for j in range(indptr[i], indptr[i + 1]):
            place = np.uint64(shift + np.int64(indices[j]))
            if not seen[place]:
                seen[place] = True
                count += 1
        if count > limit:
            return


def _magnitudes(start, end, indices, data, x, acc):
    # As `cpu.long_row`.
    one, two, three, four = np.uint32(1), np.uint32(2), np.uint32(3), np.uint32(4)
    s0 = s1 = s2 = s3 = acc
    j = start
    for _ in range((end - start) // four):
        s0 += abs(data[j]) * x[indices[j]]
        s1 += abs(data[j + one]) * x[indices[j + one]]
        s2 += abs(data[j + two]) * x[indices[j + two]]
        s3 += abs(data[j + three]) * x[indices[j + three]]
        j += four
    for _ in range((end - start) % four):
        s0 += abs(data[j]) * x[indices[j]]
        j += one
    return (s0 + s1) + (s2 + s3)


_magnitude_row = jit(_magnitudes, {"contract"})


def _pair(first, last, indptr, indices, data, scale, X, image, gaps):
    """Multiply two vectors, x and y, at once; image <- S x.

    X holds x and y in pairs, scaled already. For each block `gaps` gets y* S x - (x* S y)*,
    compensated: the rounding of a running sum of random terms grows with their number.
    """
    two, one = np.uint64(2), np.uint64(1)
    zero = image.dtype.type(0)
    end = indptr[first]
    for low in range(first, last, BLOCK):
        total = rest = zero
        for i in range(np.uint64(low), np.uint64(min(low + BLOCK, last))):
            start, end = end, indptr[i + one]
            s = t = zero
            for j in range(start, end):
                at = np.uint64(indices[j]) * two
                s += data[j] * X[at]
                t += data[j] * X[at + one]
            x, y = X[i * two], X[i * two + one]
            image[i] = scale[i] * s
            term = np.conj(y) * s - x * np.conj(t)
            before = total
            total = before + term
            added = total - before
            rest += (before - (total - added)) + (term - added)
        gaps[low // BLOCK] = total + rest


def _decode(first, last, bits, scale, x, X):
    """Turn random bits into two vectors: x, and both scaled, in pairs.

    As `operands` does it with NumPy, in a fifth of the time. The bits of the first vector
    come before those of the second.
    """
    n = x.size
    for i in range(np.uint64(first), np.uint64(last)):
        a, b = bits[i], bits[np.uint64(n) + i]
        own = scale[i]
        value = ((a >> 1) + ((a >> 15) << 14) + 8192) * 2.0**-14
        x[i] = value
        X[np.uint64(2) * i] = value * own
        value = ((b >> 1) + ((b >> 15) << 14) + 8192) * 2.0**-14
        X[np.uint64(2) * i + np.uint64(1)] = value * own


def _step(first, last, indptr, indices, data, scale, u, v, before, b, w, sums):
    """Set w <- D^(-1/2) A u - b before and sums <- Re v* w."""
    zero = w.dtype.type(0)
    end = indptr[first]
    for low in range(first, last, BLOCK):
        dot = 0.0
        for i in range(np.uint64(low), np.uint64(min(low + BLOCK, last))):
            start, end = end, indptr[i + np.uint64(1)]
            if end - start < _LONG:
                value = short_row(start, end, indices, data, u, zero)
            else:
                value = long_row(start, end, indices, data, u, zero)
            value = scale[i] * value - b * before[i]
            w[i] = value
            dot += v[i].real * value.real + v[i].imag * value.imag
        sums[low // BLOCK] = dot


def _subtract(first, last, a, v, w, sums):
    """Set w <- w - a v and sums <- |w|²."""
    for low in range(first, last, BLOCK):
        high = min(low + BLOCK, last)
        here, there = v[low:high], w[low:high]
        square = 0.0
        for i in range(there.size):
            value = there[i] - a * here[i]
            there[i] = value
            square += value.real * value.real + value.imag * value.imag
        sums[low // BLOCK] = square


def _advance(first, last, b, scale, w, u):
    """Set w <- w / b and u <- D^(-1/2) w."""
    scale, w, u = scale[first:last], w[first:last], u[first:last]
    for i in range(w.size):
        value = w[i] / b
        w[i] = value
        u[i] = scale[i] * value


def _magnify(first, last, indptr, indices, data, scale, u, x, y, quotients):
    """Set y <- D^(-1/2) |A| u, and quotients <- max y / x; NaN where one is NaN."""
    end = indptr[first]
    for low in range(first, last, BLOCK):
        largest = 0.0
        for i in range(np.uint64(low), np.uint64(min(low + BLOCK, last))):
            start, end = end, indptr[i + np.uint64(1)]
            value = scale[i] * _magnitude_row(start, end, indices, data, u, 0.0)
            y[i] = value
            quotient = value / x[i]
            if quotient > largest or quotient != quotient:
                largest = quotient
        quotients[low // BLOCK] = largest


def _spread(first, last, bound, scale, x, y, u):
    """Set x <- max(y / bound, 0.001 x) and u <- D^(-1/2) x."""
    scale, x, y, u = scale[first:last], x[first:last], y[first:last], u[first:last]
    for i in range(x.size):
        value = max(y[i] / bound, 1e-3 * x[i])
        x[i] = value
        u[i] = scale[i] * value


def _values(first, last, indptr, indices, data, scale, factor, out):
    """Write the entries of S times a factor, row by row; return the largest of S."""
    largest = 0.0
    for i in range(first, last):
        own = scale[i]
        for j in range(indptr[i], indptr[i + 1]):
            value = data[j] * own * scale[indices[j]]
            largest = max(largest, abs(value))
            out[j] = value * factor
    return largest


def _fill(first, last, indptr, indices, data, scale, factor, row_of, stride, upper, out):
    """Write the entries of S times a factor by diagonals, those that have a row of `out`.

    With `upper` all of these are on or above the main one. Returns the largest of S among
    them, and how many are not zero outside the main one.
    """
    n = np.int64(indptr.size - 1)
    one = indptr.dtype.type(1)
    largest, count = 0.0, 0
    guess = indptr[first] - indptr[first]
    for i in range(first, last):
        own, shift, at = scale[i], n - 1 - i, np.uint64(i)
        start, end = indptr[i], indptr[i + 1]
        if upper:
            j = start + guess
            while j < end and indices[j] < i:
                j += one
            while j > start and (j >= end or indices[j - one] >= i):
                j -= one
            guess, start = j - start, j
        for j in range(start, end):
            column = indices[j]
            row = row_of[np.uint64(shift + np.int64(column))]
            if row >= 0:
                value = data[j] * own * scale[column]
                largest = max(largest, abs(value))
                stored = out.dtype.type(value * factor)
                count += stored != 0 and column != i
                out[np.uint64(row) * stride + at] = stored
    return largest, count


def _mirror(
    first,
    last,
    least,
    most,
    indptr,
    indices,
    data,
    scale,
    factor,
    row_of,
    stride,
    allowed,
    out,
):
    """Compare entries below the main diagonal with the mirrored ones that are stored.

    Of columns from `least` to `most`. Returns how many are not zero; -1 where two differ by
    more than `allowed`, relative.
    """
    n = np.int64(indptr.size - 1)
    count = 0
    for i in range(first, last):
        own, shift, stop = scale[i], n - 1 + i, min(i, most)
        for j in range(indptr[i], indptr[i + 1]):
            column = indices[j]
            if column >= stop:
                break
            if column < least:
                continue
            row = row_of[np.uint64(shift - np.int64(column))]
            if row < 0:
                return -1
            below = out.dtype.type(data[j] * own * scale[column] * factor)
            above = out[np.uint64(row) * stride + np.uint64(column)]
            if not abs(above - below) <= allowed * abs(above):
                return -1
            count += below != 0
    return count


_SUM = {"contract", "reassoc"}
advance = jit(_advance, set())
fill = jit(_fill, set())
magnify = jit(_magnify, {"contract"})
mark = jit(_mark, set())
mirror = jit(_mirror, set())
pair = jit(_pair, {"contract"})
spread = jit(_spread, set())
step = jit(_step, {"contract"})
subtract = jit(_subtract, _SUM)
survey = jit(_survey, set())
values = jit(_values, set())


def _half(first, last, indptr, indices, data, scale, factor, row_of, stride, allowed, out):
    """Do both for some rows at a time, while these are in the cache.

    Entries whose mirror lies before row `first` are left out. Returns the largest entry,
    how many above are not zero, and what `mirror` returns.
    """
    largest, above, below = 0.0, 0, 0
    for low in range(first, last, _NEAR):
        high = min(low + _NEAR, last)
        found, count = fill(
            low, high, indptr, indices, data, scale, factor, row_of, stride, True, out
        )
        largest = max(largest, found)
        above += count
        count = mirror(
            low, high, first, last, indptr, indices, data, scale, factor, row_of, stride,
            allowed, out,
        )  # fmt: skip
        if count < 0:
            return largest, above, count
        below += count
    return largest, above, below


decode = jit(_decode, set())
half = jit(_half, set())


def ready():
    """Tell whether `warmup` has been called: nothing is compiled or loaded then."""
    return len(pair.overloads) >= len(_TYPES)


def warmup():
    """Compile for real values and indices of 32 bits; see `autospec_precond.warmup`."""
    one, sums = np.ones(1), np.ones(1)
    row_of = np.zeros(1, np.int16)
    decode(0, 1, np.zeros(2, np.int16), one, one.copy(), np.ones(2))
    indptr, indices = np.zeros(2, np.uint32), np.zeros(1, np.uint32)
    mark(0, 1, indptr, indices, np.zeros(1, np.bool_), 1)
    advance(0, 1, 1.0, one, one, one)
    subtract(0, 1, 0.0, one, one, sums)
    spread(0, 1, 1.0, one, one, one, one)
    for kind in _TYPES:
        data = np.ones(1, kind)
        matrix = indptr, indices, data
        survey(0, 1, *matrix, data.copy())
        survey(0, 1, *(a.astype(_WIDE) for a in matrix[:2]), data, data.copy())
        step(0, 1, *matrix, one, one, one, one, 0.0, one.copy(), sums)
        magnify(0, 1, *matrix, one, one, one, one.copy(), sums)
        for stored in _TYPES:
            out = np.ones(1, stored)
            values(0, 1, *matrix, one, 1.0, out)
            fill(0, 1, *matrix, one, 1.0, row_of, 1, False, out)
            mirror(0, 1, 0, 1, *matrix, one, 1.0, row_of, 1, 1.0, out)
            half(0, 1, *matrix, one, 1.0, row_of, 1, 1.0, out)
        pair(0, 1, *matrix, one, np.ones(2), one.copy(), sums)
