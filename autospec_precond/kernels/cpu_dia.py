"""The fused kernel for diagonals: one pass per product, several products per sweep.

The number of diagonals is fixed when the kernel is compiled, so that one pass takes all of
them: 2 to 3 times faster than a pass per diagonal. Between the products of a polynomial
there is no dot product, so rows may take many products while they are in the cache: a
skewed wavefront in which level k, the k-th product, follows k times the reach of the
diagonals behind the first. Two vectors are enough for all levels: what level k writes over
is what level k - 2 wrote, and level k - 1 has read it already.

Every row is computed by the same expression in whatever block or tile it falls: neither
the plan nor the number of threads changes a bit of the result.
"""

import functools

import numpy as np
from numba.extending import overload

from autospec_precond import threads

from . import cpu_panel, diagonals, plans, reference
from .cpu import jit

__all__ = ["apply", "warmup"]

# Diagonals of one pass; more are taken in groups of as many at most. 27 diagonals took
# 5.0 ns per row in two groups and 5.9 in one, and compile in less time.
_PASS = 16

# Bytes of a row of a block that is taken at once. Of 16 columns of float32, 4 or 8 at once
# took 0.5 ns per row, product and column, and all of them 0.9: they fill the cache.
_COLUMN_BYTES = 16

# Rows that a panel takes at once: as many sums are on their way.
_TOGETHER = (0,) * 4

_TYPES = ((np.float32, np.float32), (np.float32, np.float64), (np.float64, np.float64))

# Not "reassoc": the order of a sum could then depend on the block that a row falls into.
_FLAGS = {"contract"}
_OPTIONS = {"nogil": True, "fastmath": _FLAGS, "error_model": "numpy"}


def _begin(head, D, p, q, c, a, b, g, x, b1, y, start, size):  # pragma: no cover
    """Set y <- c x + a S b1 + b b1 - g y on rows, with the first diagonals of S."""


def _add(more, D, p, q, j, a, b1, y, start, size):  # pragma: no cover
    """Add a times diagonals j, j + 1, ... of S times b1 to the same rows of y."""


@overload(_begin, jit_options=_OPTIONS)
def _begin_of(head, D, p, q, c, a, b, g, x, b1, y, start, size):
    """Generate `_begin`; `head` is a tuple with one item per diagonal."""
    names = "head, D, p, q, c, a, b, g, x, b1, y, start, size"
    return _loop(names, len(head), "", "c * x[i] + b * b1[i] - g * y[i]")


@overload(_add, jit_options=_OPTIONS)
def _add_of(more, D, p, q, j, a, b1, y, start, size):
    """Generate `_add`; `more` is a tuple with one item per diagonal."""
    names = "more, D, p, q, j, a, b1, y, start, size"
    return _loop(names, len(more), "j + ", "y[i]")


def _loop(names, n_diagonals, first, rest):
    """Write the loop over rows out for a number of diagonals.

    Unsigned numbers throughout: signed ones would get a wrap-around test per entry.
    """
    lines = [f"def loop({names}):", " s = np.uint64(start)"]
    for j in range(n_diagonals):
        lines += [f" p{j} = np.uint64(p[{first}{j}]); q{j} = np.uint64(q[{first}{j}])"]
    if n_diagonals:
        total = " + ".join(f"D[p{j} + r] * b1[q{j} + r]" for j in range(n_diagonals))
        lines += [
            " for r in range(np.uint64(size)):",
            "  i = s + r",
            f"  y[i] = ({rest}) + a * ({total})",
        ]
    space = {"np": np}
    exec("\n".join(lines), space)
    return space["loop"]


def _tile_levels(
    head, more, D, base, offset, mirror, factors, first, last, n, x, even, odd,
    lo, hi, left, right, reach, n_powers, n_rows,
):  # fmt: skip
    """Run levels first to last of the recurrence on a tile of rows, for all columns.

    Level `first` computes rows lo to hi; at each further level the left edge moves right
    by left times `reach`, the right edge left by right times `reach`. `n_powers` levels
    follow each other through the tile, `n_rows` rows at a time.
    """
    p = np.empty_like(base)
    q = np.empty_like(base)
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
                c, a, b, g = factors[k, 0], factors[k, 1], factors[k, 2], factors[k, 3]
                b1 = x if k == 0 else (even if k % 2 else odd)
                y = odd if k % 2 else even
                while row < stop:
                    # Up to the next row where a diagonal begins or ends. One that is
                    # outside the matrix reads zeros, and b1 where the row reads it anyway.
                    edge = stop
                    for j in range(offset.size):
                        o = offset[j]
                        turn = -o if o < 0 else n - o
                        if row < turn < edge:
                            edge = turn
                        inside = 0 <= row + o < n
                        p[j] = base[j] + row
                        if mirror[j]:
                            p[j] += o if inside else n + o
                        q[j] = row + o if inside else row
                    size = edge - row
                    for start in range(row, x.size, n):  # column by column
                        if k < 2:  # scratch may hold a NaN, and 0 * NaN is not 0
                            y[start : start + size] = 0
                        _begin(head, D, p, q, c, a, b, g, x, b1, y, start, size)
                        for j in range(len(head), offset.size, max(1, len(more))):
                            _add(more, D, p, q, j, a, b1, y, start, size)
                        q += n
                    row = edge


def _panel_levels(
    columns, D, base, offset, mirror, factors, first, last, n, x, even, odd,
    lo, hi, left, right, reach, n_powers, n_rows,
):  # fmt: skip
    """Do the same for a panel; `columns` is a tuple with one item per column."""
    width = np.uint64(len(columns))
    p = np.empty_like(base)
    q = np.empty_like(base)
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
                four = factors[k, 0], factors[k, 1], factors[k, 2], factors[k, 3]
                b1 = x if k == 0 else (even if k % 2 else odd)
                y = odd if k % 2 else even
                if k < 2 and row < stop:  # scratch may hold a NaN
                    y[np.uint64(row) * width : np.uint64(stop) * width] = 0
                while row < stop:
                    edge = stop
                    for j in range(offset.size):
                        o = offset[j]
                        turn = -o if o < 0 else n - o
                        if row < turn < edge:
                            edge = turn
                        inside = 0 <= row + o < n
                        p[j] = base[j] + row
                        if mirror[j]:
                            p[j] += o if inside else n + o
                        q[j] = row + o if inside else row
                    panel_stretch(columns, D, p, q, edge - row, row, four, b1, x, y)
                    row = edge


def _panel_stretch(columns, D, p, q, size, row, four, b1, x, y):
    """Set y <- c x + a S b1 + b b1 - g y on a stretch of rows of a panel."""
    whole = size - size % len(_TOGETHER)
    for r in range(0, whole, len(_TOGETHER)):
        cpu_panel.streams_set(
            columns, _TOGETHER, D, p, q, p.size, r, row + r, four, b1, x, y
        )
    for r in range(whole, size):
        cpu_panel.streams_set(columns, (0,), D, p, q, p.size, r, row + r, four, b1, x, y)


panel_stretch = jit(_panel_stretch, _FLAGS)
_tile = jit(_tile_levels, _FLAGS)
_panel_tile = jit(_panel_levels, _FLAGS)


def apply(stored, factors, x, work, n_threads=1):
    """Compute p(S) x; see `autospec_precond.kernels.reference.apply`.

    Panels (`cpu_panel`) in C order; other blocks and scratch in F order, or they are
    copied. Each column is then a vector, and
    while it is computed the rows of the matrix are in the cache for the next.
    """
    if all(map(cpu_panel.is_panel, (x, *work))):
        return _apply_panel(stored, factors, x, work, n_threads)
    if x.ndim == 2 and not all(v.flags.f_contiguous for v in (x, *work)):
        block, *scratch = (np.asfortranarray(v) for v in (x, *work))
        work[0][...] = apply(stored, factors, block, scratch, n_threads)
        return work[0]
    n, n_levels = len(x), len(factors)
    streams = _streams(stored)
    groups = _groups(len(streams[0]))
    factors = reference.typed(factors, x.dtype)
    columns = [v.T.reshape(-1, n) for v in (x, *work)]
    widest = max(1, _COLUMN_BYTES // x.itemsize)
    n_columns = len(columns[0])
    # Columns in parts for each thread need to meet only once; rows where there are too few.
    by_columns = n_columns % n_threads == 0 or n_columns >= 4 * n_threads
    if by_columns:
        widest = min(widest, -(-n_columns // n_threads))
    reach = plans.reach(stored)
    common = (*groups, stored.data.reshape(-1), *streams, factors)
    tasks = []
    for k in range(0, n_columns, widest):
        vectors = [v[k : k + widest].reshape(-1) for v in columns]
        row_bytes = plans.row_bytes(stored, n, vectors[0].nbytes // n)
        plan = plans.plan(n, n_levels, reach, row_bytes, 1 if by_columns else n_threads)
        way = (reach, plan.n_powers, plan.n_rows)
        for first, last, phases in plan.rounds:
            part = (first, last, n, *vectors)
            for tiles in phases:
                tasks += (
                    functools.partial(_tile, *common, *part, *tile, *way) for tile in tiles
                )
                if not by_columns:
                    threads.run(tasks, n_threads)
                    tasks.clear()
    threads.run(tasks, n_threads)
    return work[(n_levels - 1) % 2]


def _apply_panel(stored, factors, x, work, n_threads):
    """Do so for a panel: threads share the rows."""
    matrix = (0,) * x.shape[1], stored.data.reshape(-1), *_streams(stored)
    common = *matrix, reference.typed(factors, x.dtype)
    vectors = [v.reshape(-1) for v in (x, *work)]
    plans.run(_panel_tile, stored, len(x), len(factors), common, vectors, n_threads)
    return work[(len(factors) - 1) % 2]


def _groups(n_diagonals):
    """Return tuples of as many items as the first and each further pass has diagonals."""
    n_groups = -(-n_diagonals // _PASS)
    size = -(-n_diagonals // n_groups)
    head = n_diagonals - (n_groups - 1) * size
    return (0,) * head, (0,) * (size if n_groups > 1 else 0)


def _streams(stored):
    """Return where each diagonal begins in the data, its offset, and if it is a mirror.

    The mirror of a stored diagonal reads it as many rows earlier as its offset says.
    """
    length = stored.data.shape[1]
    base = np.arange(len(stored.offsets), dtype=np.int64) * length
    mirror = np.zeros(len(stored.offsets), np.bool_)
    if not stored.half:
        return base, stored.offsets, mirror
    upper = stored.offsets > 0
    return (
        np.concatenate([base[upper][::-1], base]),
        np.concatenate([-stored.offsets[upper][::-1], stored.offsets]),
        np.concatenate([np.ones(upper.sum(), np.bool_), mirror]),
    )


def warmup():
    """Compile for the common stencils; see `autospec_precond.warmup`."""
    for n_diagonals in diagonals.COMPILED:
        zeros = np.zeros(n_diagonals, np.int64)
        for values, vectors in _TYPES:
            x = np.ones(1, vectors)
            _tile(
                *_groups(n_diagonals), np.zeros(1, values), zeros, zeros,
                zeros.astype(np.bool_), np.ones((1, 4), vectors), 0, 1, 1, x, x.copy(),
                x.copy(), 0, 1, 0, 0, 0, 1, 1,
            )  # fmt: skip
    for values, vectors in _TYPES:
        for width in cpu_panel.widths("dia", vectors):
            x = np.ones(width, vectors)
            _panel_tile(
                (0,) * width, np.zeros(1, values), zeros, zeros, zeros.astype(np.bool_),
                np.ones((1, 4), vectors), 0, 1, 1, x, x.copy(), x.copy(), 0, 1, 0, 0, 0,
                1, 1,
            )  # fmt: skip
