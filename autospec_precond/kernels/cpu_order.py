"""Loops that bring the rows of a matrix into another order.

SciPy's reverse Cuthill-McKee also sorts neighbours by their degree, and takes several times
as long; the levels of a breadth-first search are what the cache needs.
"""

import numpy as np

from .cpu import jit

__all__ = ["breadth_first", "distances", "move", "warmup"]


def _distances(indptr, indices, places):
    """Return mean and maximum of |column - row| once row i has become row places[i]."""
    total, largest = 0.0, 0
    for i in range(places.size):
        row = np.int64(places[i])
        for j in range(indptr[i], indptr[i + 1]):
            distance = abs(np.int64(places[indices[j]]) - row)
            total += distance
            largest = max(largest, distance)
    return total / max(indices.size, 1), largest


def _search(indptr, indices, root, mark, seen, order, end):
    """Append what can be reached from a row, in order of distance; return the new end."""
    seen[root] = mark
    order[end] = root
    front = end
    end += 1
    while front < end:
        row = order[front]
        front += 1
        for j in range(indptr[row], indptr[row + 1]):
            column = indices[j]
            if seen[column] != mark:
                seen[column] = mark
                order[end] = column
                end += 1
    return end


_search_from = jit(_search, set())


def _breadth_first(indptr, indices, order):
    """Fill `order` with all rows, neighbours near each other."""
    n = order.size
    seen = np.zeros(n, np.uint8)
    # From the row that a first search reaches last, far from the middle, levels are narrow.
    end = _search_from(indptr, indices, np.int64(0), np.uint8(1), seen, order, 0)
    root = np.int64(order[end - 1])
    end = _search_from(indptr, indices, root, np.uint8(2), seen, order, 0)
    for row in range(n):
        if seen[row] != 2:
            end = _search_from(indptr, indices, row, np.uint8(2), seen, order, end)


def _move(indptr, indices, values, order, places, starts, shift, new_indices, new_values):
    """Write the rows in their new order; columns relative to the row where `shift` is."""
    for i in range(order.size):
        row = order[i]
        base = shift - i if shift else 0
        k = starts[i]
        for j in range(indptr[row], indptr[row + 1]):
            new_values[k] = values[j]
            new_indices[k] = base + places[indices[j]]
            k += 1


breadth_first = jit(_breadth_first, set())
distances = jit(_distances, set())
move = jit(_move, set())


def warmup():
    """Compile for the values that are stored; see `autospec_precond.warmup`."""
    starts = np.zeros(2, np.int64)
    for index in (np.int32, np.int64):
        indptr, rows = np.zeros(2, index), np.zeros(1, index)
        none = rows[:0]
        breadth_first(indptr, none, rows)
        distances(indptr, none, rows)
        for values in (np.float32, np.float64, np.complex64, np.complex128):
            for new in (np.uint16, np.uint32):
                move(
                    indptr, none, np.empty(0, values), rows, rows, starts, 0,
                    np.empty(0, new), np.empty(0, values),
                )  # fmt: skip
