"""Loops that bring the rows of a matrix into another order.

A breadth-first search from the first row: SciPy's reverse Cuthill-McKee also looks for a
row far out and sorts neighbours by their degree, takes several times as long, and gave no
faster products.
"""

import numpy as np

from .cpu import jit

__all__ = ["breadth_first", "gather", "mean_distance", "move", "scatter", "warmup"]

_TOGETHER = 1024  # rows of a block whose columns are taken in turn
_SAMPLE = 16  # one row of as many tells how far entries are from the diagonal


def _mean_distance(indptr, indices, places):
    """Return the mean of |column - row| of some rows, row i taken for row places[i]."""
    total, count = 0.0, 0
    for i in range(0, places.size, _SAMPLE):
        row = np.int64(places[i])
        for j in range(indptr[i], indptr[i + 1]):
            total += abs(np.int64(places[indices[j]]) - row)
            count += 1
    return total / max(count, 1)


def _breadth_first(indptr, indices, order):
    """Fill `order` with all rows, neighbours near each other."""
    seen = np.zeros(order.size, np.bool_)
    front, end = 0, 0
    for root in range(order.size):
        if seen[root]:
            continue
        seen[root] = True
        order[end] = root
        end += 1
        while front < end:
            row = order[front]
            front += 1
            for j in range(indptr[row], indptr[row + 1]):
                column = indices[j]
                if not seen[column]:
                    seen[column] = True
                    order[end] = column
                    end += 1


def _move(
    indptr, indices, values, order, places, table, chunk, shift, new_indices, new_values
):
    """Write the entries in the new order of rows; see `slices.to_slices`.

    Columns are relative to the row where `shift` is. Returns the largest
    |column - row|: relative columns may not have fitted.
    """
    least = most = np.int64(0)
    n_chunks = order.size // chunk
    # In the order given: rows are read one after the other, and nothing waits for a write.
    for i in range(order.size):
        row = np.int64(places[i])
        s = row // chunk
        if s == n_chunks:
            continue
        base = shift - row if shift else 0
        j, end = np.uint64(indptr[i]), np.uint64(indptr[i + 1])
        k = np.uint64(table[s, 0] + row % chunk)
        stop = k + np.uint64(chunk * table[s, 1])
        while k < stop and j < end:
            column = np.int64(places[indices[j]])
            new_values[k] = values[j]
            new_indices[k] = base + column
            least, most = min(least, column - row), max(most, column - row)
            j += np.uint64(1)
            k += np.uint64(chunk)
        while k < stop:
            new_values[k] = 0
            new_indices[k] = base + row
            k += np.uint64(chunk)
    for r in range(n_chunks + 1, table.shape[0]):
        row, k = table[r, 0], np.uint64(table[r, 1])
        base = shift - row if shift else 0
        end = np.uint64(indptr[order[row] + 1])
        for j in range(end - np.uint64(table[r, 2]), end):
            column = np.int64(places[indices[j]])
            new_values[k] = values[j]
            new_indices[k] = base + column
            least, most = min(least, column - row), max(most, column - row)
            k += np.uint64(1)
    return max(-least, most)


def _scatter(
    places, scale, factors, x, x_row, x_column, first, y, y_row, y_column, lo, hi
):  # fmt: skip
    """Put rows lo to hi of x, times scale and factors, into their places in y.

    Entry (i, q) of x is number (i - first) x_row + q x_column in memory, that of y alike;
    an empty scale is one.
    """
    scaled = scale.size > 0
    if x_column == 1 and y_column == 1:
        columns = range(np.uint64(factors.size))
        for i in range(lo, hi):
            weight = scale[i] if scaled else 1.0
            source = np.uint64((i - first) * x_row)
            target = np.uint64(places[i]) * np.uint64(y_row)
            for q in columns:
                y[target + q] = x[source + q] * (weight * factors[q])
        return
    for begin in range(lo, hi, _TOGETHER):
        rows = range(np.uint64(begin), np.uint64(min(begin + _TOGETHER, hi)))
        for q in range(factors.size):
            factor, own = factors[q], np.uint64(q * x_column - first * x_row)
            shift = np.uint64(q * y_column)
            for i in rows:
                weight = scale[i] * factor if scaled else factor
                place = np.uint64(places[i]) * np.uint64(y_row) + shift
                y[place] = x[i * np.uint64(x_row) + own] * weight


def _gather(
    places, scale, factors, x, x_row, x_column, first, y, y_row, y_column, lo, hi
):  # fmt: skip
    """Do the reverse: rows lo to hi of x from their places in y."""
    scaled = scale.size > 0
    if x_column == 1 and y_column == 1:
        columns = range(np.uint64(factors.size))
        for i in range(lo, hi):
            weight = scale[i] if scaled else 1.0
            source = np.uint64((i - first) * x_row)
            target = np.uint64(places[i]) * np.uint64(y_row)
            for q in columns:
                x[source + q] = y[target + q] * (weight * factors[q])
        return
    for begin in range(lo, hi, _TOGETHER):
        rows = range(np.uint64(begin), np.uint64(min(begin + _TOGETHER, hi)))
        for q in range(factors.size):
            factor, own = factors[q], np.uint64(q * x_column - first * x_row)
            shift = np.uint64(q * y_column)
            for i in rows:
                weight = scale[i] * factor if scaled else factor
                place = np.uint64(places[i]) * np.uint64(y_row) + shift
                x[i * np.uint64(x_row) + own] = y[place] * weight


breadth_first = jit(_breadth_first, set())
gather = jit(_gather, set())
mean_distance = jit(_mean_distance, set())
move = jit(_move, set())
scatter = jit(_scatter, set())


def warmup():
    """Compile for the values that are stored; see `autospec_precond.warmup`."""
    table = np.array([[0, 0, 1], [0, 0, 0]])
    rows = np.zeros(1, np.int32)
    for index in (np.uint32, np.uint64):
        indptr, none = np.zeros(2, index), np.zeros(0, index)
        breadth_first(indptr, none, rows)
        mean_distance(indptr, none, rows)
        for values in (np.float32, np.float64, np.complex64, np.complex128):
            for new in (np.uint16, np.uint32):
                move(
                    indptr, none, np.empty(0, values), rows, rows, table, 16, 0,
                    np.empty(0, new), np.empty(0, values),
                )  # fmt: skip
    for kinds in ((np.float32, np.float64), (np.complex64, np.complex128)):
        for given in kinds:
            for vectors in kinds:
                for loop in (scatter, gather):
                    loop(
                        rows, np.empty(0), np.ones(1), np.zeros(1, given), 1, 1, 0,
                        np.zeros(1, vectors), 1, 1, 0, 1,
                    )  # fmt: skip
