"""The fused kernel for diagonals of each unknown of a node, several products per sweep.

What `cpu_dia` does with rows is done with nodes: all unknowns of a block of nodes take a
product before the next block, and level k follows k times the reach behind the first.
Every row is computed by the same expression in whatever block or tile it falls.
"""

import functools

import numpy as np

from autospec_precond import threads

from . import cpu_panel, plans, reference
from .cpu import jit
from .cpu_dia import _COLUMN_BYTES, _FLAGS, _add, _begin, _groups, panel_stretch

__all__ = ["apply"]


def _tile_levels(
    head, more, D, table, rest_rows, rest_starts, rest_columns, rests, factors,
    first, last, m, n, x, even, odd, lo, hi, left, right, reach, n_powers, n_rows,
):  # fmt: skip
    """Run levels first to last of the recurrence on a tile of nodes, as `cpu_dia` does.

    Of n rows m belong to each unknown; `table` is `Stored.offsets`.
    """
    base, offset, column, mirror = table[0], table[1], table[2], table[3]
    n_fields, width = offset.shape
    p = np.empty(width, np.int64)
    q = np.empty(width, np.int64)
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
                top = max(at, lo + left * moved)
                stop = min(at + n_rows, hi - right * moved)
                if top >= stop:
                    continue
                c, a, b, g = factors[k, 0], factors[k, 1], factors[k, 2], factors[k, 3]
                b1 = x if k == 0 else (even if k % 2 else odd)
                y = odd if k % 2 else even
                for r in range(n_fields):
                    row = top
                    while row < stop:
                        # Up to the next node where a stream begins or ends, as `cpu_dia`.
                        edge = stop
                        for j in range(width):
                            o = offset[r, j]
                            turn = -o if o < 0 else m - o
                            if row < turn < edge:
                                edge = turn
                            inside = 0 <= row + o < m
                            p[j] = base[r, j] + row
                            if mirror[r, j]:
                                p[j] += o if inside else m + o
                            q[j] = column[r, j] + row + o if inside else r * m + row
                        size = edge - row
                        for start in range(r * m + row, x.size, n):  # column by column
                            if k < 2:  # scratch may hold a NaN, and 0 * NaN is not 0
                                y[start : start + size] = 0
                            _begin(head, D, p, q, c, a, b, g, x, b1, y, start, size)
                            for j in range(len(head), width, max(1, len(more))):
                                _add(more, D, p, q, j, a, b1, y, start, size)
                            q += n
                        row = edge
                    t0 = np.uint64(np.searchsorted(rest_rows, r * m + top))
                    t1 = np.uint64(np.searchsorted(rest_rows, r * m + stop))
                    for start in range(0, x.size, n):
                        corner = np.uint64(start)
                        for t in range(t0, t1):
                            total = y.dtype.type(0)
                            e0 = np.uint64(rest_starts[t])
                            e1 = np.uint64(rest_starts[t + np.uint64(1)])
                            for e in range(e0, e1):
                                total += rests[e] * b1[corner + rest_columns[e]]
                            y[corner + np.uint64(rest_rows[t])] += a * total


def _panel_levels(
    columns, D, table, rest_rows, rest_starts, rest_columns, rests, factors,
    first, last, m, x, even, odd, lo, hi, left, right, reach, n_powers, n_rows,
):  # fmt: skip
    """Do the same for a panel; `columns` is a tuple with one item per column."""
    base, offset, column, mirror = table[0], table[1], table[2], table[3]
    n_fields, n_streams = offset.shape
    width = np.uint64(len(columns))
    p = np.empty(n_streams, np.int64)
    q = np.empty(n_streams, np.int64)
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
                top = max(at, lo + left * moved)
                stop = min(at + n_rows, hi - right * moved)
                if top >= stop:
                    continue
                four = factors[k, 0], factors[k, 1], factors[k, 2], factors[k, 3]
                b1 = x if k == 0 else (even if k % 2 else odd)
                y = odd if k % 2 else even
                for r in range(n_fields):
                    row = top
                    if k < 2:  # scratch may hold a NaN, and 0 * NaN is not 0
                        begins = np.uint64(r * m + top) * width
                        y[begins : np.uint64(r * m + stop) * width] = 0
                    while row < stop:
                        edge = stop
                        for j in range(n_streams):
                            o = offset[r, j]
                            turn = -o if o < 0 else m - o
                            if row < turn < edge:
                                edge = turn
                            inside = 0 <= row + o < m
                            p[j] = base[r, j] + row
                            if mirror[r, j]:
                                p[j] += o if inside else m + o
                            q[j] = column[r, j] + row + o if inside else r * m + row
                        size = edge - row
                        panel_stretch(columns, D, p, q, size, r * m + row, four, b1, x, y)
                        row = edge
                    t0 = np.searchsorted(rest_rows, r * m + top)
                    t1 = np.searchsorted(rest_rows, r * m + stop)
                    for t in range(t0, t1):
                        e0 = np.int64(rest_starts[t])
                        cpu_panel.rows_add(
                            columns, (0,), rests, rest_columns, e0, 1,
                            np.int64(rest_starts[t + 1]) - e0, np.int64(rest_rows[t]), 0,
                            four, b1, x, y,
                        )  # fmt: skip


_tile = jit(_tile_levels, _FLAGS)
_panel_tile = jit(_panel_levels, _FLAGS)


def apply(stored, factors, x, work, n_threads=1):
    """Compute p(S) x; see `autospec_precond.kernels.reference.apply`.

    Panels (`cpu_panel`) in C order; other blocks and scratch in F order, or they are
    copied.
    """
    if all(map(cpu_panel.is_panel, (x, *work))):
        return _apply_panel(stored, factors, x, work, n_threads)
    if x.ndim == 2 and not all(v.flags.f_contiguous for v in (x, *work)):
        block, *scratch = (np.asfortranarray(v) for v in (x, *work))
        work[0][...] = apply(stored, factors, block, scratch, n_threads)
        return work[0]
    n, n_levels = len(x), len(factors)
    factors = reference.typed(factors, x.dtype)
    groups = _groups(stored.offsets.shape[2])
    rests = stored.slices, stored.indptr, stored.indices, stored.rests
    common = (*groups, stored.data.reshape(-1), stored.offsets, *rests, factors)
    columns = [v.T.reshape(-1, n) for v in (x, *work)]
    n_columns, widest = len(columns[0]), max(1, _COLUMN_BYTES // x.itemsize)
    # Columns in parts for each thread need to meet only once; rows where there are too few.
    by_columns = n_columns % n_threads == 0 or n_columns >= 4 * n_threads
    if by_columns:
        widest = min(widest, -(-n_columns // n_threads))
    m, reach, grain = n // stored.n_fields, plans.reach(stored), plans.grain(stored.kind)
    tasks = []
    for k in range(0, n_columns, widest):
        vectors = [v[k : k + widest].reshape(-1) for v in columns]
        row_bytes = plans.row_bytes(stored, m, vectors[0].nbytes // m)
        sharing = 1 if by_columns else n_threads
        plan = plans.plan(m, n_levels, reach, row_bytes, sharing, grain)
        way = (reach, plan.n_powers, plan.n_rows)
        for first, last, phases in plan.rounds:
            part = (*common, first, last, m, n, *vectors)
            for tiles in phases:
                tasks += (functools.partial(_tile, *part, *tile, *way) for tile in tiles)
                if not by_columns:
                    threads.run(tasks, n_threads)
                    tasks.clear()
    threads.run(tasks, n_threads)
    return work[(n_levels - 1) % 2]


def _apply_panel(stored, factors, x, work, n_threads):
    """Do so for a panel: threads share the nodes."""
    rests = stored.slices, stored.indptr, stored.indices, stored.rests
    matrix = (0,) * x.shape[1], stored.data.reshape(-1), stored.offsets, *rests
    common = *matrix, reference.typed(factors, x.dtype)
    vectors = [v.reshape(-1) for v in (x, *work)]
    m = len(x) // stored.n_fields
    plans.run(_panel_tile, stored, m, len(factors), common, vectors, n_threads)
    return work[(len(factors) - 1) % 2]
