"""The fused kernel for chunks of rows, several products per sweep.

As by diagonals (`cpu_dia`), rows take many products while they are in the cache: level k,
the k-th product, follows k times the reach of an entry behind the first. Rows are taken
from chunk to chunk, so that each is computed by the same instructions in whatever tile it
falls: neither the plan nor the number of threads changes a bit of the result.
"""

import functools
import itertools

import numpy as np
from numba.extending import overload

from autospec_precond import threads

from . import cpu_panel, plans, reference, slices
from .cpu import jit
from .cpu_chunk import OPTIONS, chunk_step

__all__ = ["apply", "warmup"]

_CHUNK, _SHIFT = slices.CHUNK, slices.SHIFT

# Bytes of a row of a block that is taken at once.
_COLUMN_BYTES = 16

# Rows of a chunk that a panel takes at once: as many sums are on their way.
_TOGETHER = (0,) * 4

_INDEX = (np.uint16, np.uint32)
_TYPES = ((np.float32, np.float32), (np.float32, np.float64), (np.float64, np.float64))


def _rest(table, r, start, data, indices, b1):  # pragma: no cover
    """Return the sum of the entries of a row in rest r, times those of b1."""


@overload(_rest, jit_options=OPTIONS)
def _rest_of(table, r, start, data, indices, b1):
    near = indices.dtype.bitwidth == 16

    def rest(table, r, start, data, indices, b1):
        row, entry, length = table[r, 0], table[r, 1], table[r, 2]
        base = np.uint64(start + row - _SHIFT) if near else np.uint64(start)
        total = b1.dtype.type(0)
        for e in range(np.uint64(entry), np.uint64(entry + length)):
            total += data[e] * b1[base + indices[e]]
        return total

    return rest


def _tile_levels(
    table, data, indices, factors, first, last, n, x, even, odd,
    lo, hi, left, right, reach, n_powers, n_rows,
):  # fmt: skip
    """Run levels first to last of the recurrence on a tile of rows, as `cpu_dia` does.

    All rows and the reach are multiples of a chunk, but for the end of the last tile.
    """
    for k0 in range(first, last, n_powers):
        k1 = min(k0 + n_powers, last)
        done = (k0 - first) * reach
        behind = (k1 - 1 - k0) * reach
        begin = lo + left * done
        end = hi - right * done + (1 - right) * behind
        for front in range(begin, end, n_rows):
            for k in range(k0, k1):
                moved = (k - first) * reach
                at = front - (k - k0) * reach
                row = max(at, lo + left * moved)
                stop = min(at + n_rows, hi - right * moved)
                if row >= stop:
                    continue
                c, a, b, g = factors[k, 0], factors[k, 1], factors[k, 2], factors[k, 3]
                b1 = x if k == 0 else (even if k % 2 else odd)
                y = odd if k % 2 else even
                for start in range(0, x.size, n):  # column by column
                    if k < 2:  # scratch may hold a NaN, and 0 * NaN is not 0
                        y[start + row : start + stop] = 0
                    for s in range(row // _CHUNK, stop // _CHUNK):
                        chunk_step(
                            data, indices, table[s, 0], table[s, 1], s * _CHUNK, start,
                            (c, a, b, g), b1, x, y,
                        )  # fmt: skip
                        for r in range(table[s, 2], table[s + 1, 2]):
                            i = np.uint64(start + table[r, 0])
                            y[i] += a * _rest(table, r, start, data, indices, b1)
                    if stop % _CHUNK:  # the last rows of all, which fill no chunk
                        for r in range(table[stop // _CHUNK, 2], table.shape[0]):
                            i = np.uint64(start + table[r, 0])
                            rest = a * _rest(table, r, start, data, indices, b1)
                            y[i] = (c * x[i] + b * b1[i] - g * y[i]) + rest


def _panel_levels(
    columns, table, data, indices, factors, first, last, n, x, even, odd,
    lo, hi, left, right, reach, n_powers, n_rows,
):  # fmt: skip
    """Do the same for a panel; `columns` is a tuple with one item per column."""
    width = np.uint64(len(columns))
    for k0 in range(first, last, n_powers):
        k1 = min(k0 + n_powers, last)
        done = (k0 - first) * reach
        behind = (k1 - 1 - k0) * reach
        begin = lo + left * done
        end = hi - right * done + (1 - right) * behind
        for front in range(begin, end, n_rows):
            for k in range(k0, k1):
                moved = (k - first) * reach
                at = front - (k - k0) * reach
                row = max(at, lo + left * moved)
                stop = min(at + n_rows, hi - right * moved)
                if row >= stop:
                    continue
                four = factors[k, 0], factors[k, 1], factors[k, 2], factors[k, 3]
                b1 = x if k == 0 else (even if k % 2 else odd)
                y = odd if k % 2 else even
                if k < 2:  # scratch may hold a NaN, and 0 * NaN is not 0
                    y[np.uint64(row) * width : np.uint64(stop) * width] = 0
                for s in range(row // _CHUNK, stop // _CHUNK):
                    for lane in range(0, _CHUNK, len(_TOGETHER)):
                        cpu_panel.rows_set(
                            columns, _TOGETHER, data, indices, table[s, 0] + lane, _CHUNK,
                            table[s, 1], s * _CHUNK + lane, _SHIFT, four, b1, x, y,
                        )  # fmt: skip
                    for r in range(table[s, 2], table[s + 1, 2]):
                        cpu_panel.rows_add(
                            columns, (0,), data, indices, table[r, 1], 1, table[r, 2],
                            table[r, 0], _SHIFT, four, b1, x, y,
                        )  # fmt: skip
                if stop % _CHUNK:  # the last rows of all, which fill no chunk
                    for r in range(table[stop // _CHUNK, 2], table.shape[0]):
                        cpu_panel.rows_set(
                            columns, (0,), data, indices, table[r, 1], 1, table[r, 2],
                            table[r, 0], _SHIFT, four, b1, x, y,
                        )  # fmt: skip


_tile = jit(_tile_levels, {"contract"})
_panel_tile = jit(_panel_levels, {"contract"})


def apply(stored, factors, x, work, n_threads=1):
    """Compute p(S) x; see `autospec_precond.kernels.reference.apply`.

    Panels (`cpu_panel`) in C order; other blocks and scratch in F order, or they are
    copied: each column is then a vector.
    """
    if all(map(cpu_panel.is_panel, (x, *work))):
        return _apply_panel(stored, factors, x, work, n_threads)
    if x.ndim == 2 and not all(v.flags.f_contiguous for v in (x, *work)):
        block, *scratch = (np.asfortranarray(v) for v in (x, *work))
        work[0][...] = apply(stored, factors, block, scratch, n_threads)
        return work[0]
    n, n_levels = len(x), len(factors)
    factors = reference.typed(factors, x.dtype)
    matrix = stored.slices, stored.data, stored.indices
    columns = [v.T.reshape(-1, n) for v in (x, *work)]
    n_columns, widest = len(columns[0]), max(1, _COLUMN_BYTES // x.itemsize)
    # Columns in parts for each thread need to meet only once; rows where there are too few.
    by_columns = n_columns % n_threads == 0 or n_columns >= 4 * n_threads
    if by_columns:
        widest = min(widest, -(-n_columns // n_threads))
    reach, grain = plans.reach(stored), plans.grain(stored.kind)
    tasks = []
    for k in range(0, n_columns, widest):
        vectors = [v[k : k + widest].reshape(-1) for v in columns]
        row_bytes = plans.row_bytes(stored, n, vectors[0].nbytes // n)
        sharing = 1 if by_columns else n_threads
        plan = plans.plan(n, n_levels, reach, row_bytes, sharing, grain)
        way = (reach, plan.n_powers, plan.n_rows)
        for first, last, phases in plan.rounds:
            part = (*matrix, factors, first, last, n, *vectors)
            for tiles in phases:
                if last == first + 1:
                    tiles = _even(stored.slices, n, sharing)
                tasks += (functools.partial(_tile, *part, *tile, *way) for tile in tiles)
                if not by_columns:
                    threads.run(tasks, n_threads)
                    tasks.clear()
    threads.run(tasks, n_threads)
    return work[(n_levels - 1) % 2]


def _apply_panel(stored, factors, x, work, n_threads):
    """Do so for a panel: threads share the rows."""
    n = len(x)
    matrix = (0,) * x.shape[1], stored.slices, stored.data, stored.indices
    common = *matrix, reference.typed(factors, x.dtype)
    vectors = [v.reshape(-1) for v in (x, *work)]
    even = _even(stored.slices, n, n_threads)
    plans.run(_panel_tile, stored, n, len(factors), common, vectors, n_threads, even)
    return work[(len(factors) - 1) % 2]


def _even(table, n, n_threads):
    """Return tiles of about as many entries each."""
    n_chunks = n // _CHUNK
    shares = [table[n_chunks, 0] * k // n_threads for k in range(1, n_threads)]
    chunks = np.searchsorted(table[:n_chunks, 0], shares).tolist()
    edges = [0, *(_CHUNK * chunk for chunk in chunks), n]
    return [(lo, hi, 0, 0) for lo, hi in itertools.pairwise(edges) if lo < hi]


def warmup():
    """Compile for real values; see `autospec_precond.warmup`."""
    table = np.array([[0, 0, 1], [0, 0, 0]])
    for index in _INDEX:
        for values, vectors in _TYPES:
            x = np.ones(1, vectors)
            _tile(
                table, np.empty(0, values), np.empty(0, index), np.ones((1, 4), vectors),
                0, 1, 1, x, x.copy(), x.copy(), 0, 1, 0, 0, 0, 1, _CHUNK,
            )  # fmt: skip
            for width in cpu_panel.widths("sell", vectors):
                x = np.ones(width, vectors)
                _panel_tile(
                    (0,) * width, table, np.empty(0, values), np.empty(0, index),
                    np.ones((1, 4), vectors), 0, 1, 1, x, x.copy(), x.copy(), 0, 1, 0, 0,
                    0, 1, _CHUNK,
                )  # fmt: skip
