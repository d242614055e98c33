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

from .. import threads
from . import plans, reference
from .cpu import jit

__all__ = ["apply", "warmup"]

# Diagonals of one pass for vectors, for blocks; more are taken in groups, for which y is
# read and written again while it is in the first-level cache.
_GROUP = {1: 32, 2: 9}
_STRIP = 8  # columns of a block that are computed together

_COMMON = (3, 5, 7, 9)  # numbers of diagonals that `warmup` compiles
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
    term = "c * x[{i}] + b * b1[{i}] - g * y[{i}] + a * ({sum})"
    return _loop(names, len(head), "", term, y.ndim)


@overload(_add, jit_options=_OPTIONS)
def _add_of(more, D, p, q, j, a, b1, y, start, size):
    """Generate `_add`; `more` is a tuple with one item per diagonal."""
    names = "more, D, p, q, j, a, b1, y, start, size"
    return _loop(names, len(more), "j + ", "y[{i}] + a * ({sum})", y.ndim)


def _loop(names, n_diagonals, first, term, ndim):
    """Write the loop over rows out for a number of diagonals.

    Unsigned numbers throughout: signed ones would get a wrap-around test per entry.
    """
    numbers = range(n_diagonals)
    lines = [f"def loop({names}):"]
    for j in numbers:
        lines += [f" p{j} = np.uint64(p[{first}{j}]); q{j} = np.uint64(q[{first}{j}])"]
    lines += [" s = np.uint64(start)", " for r in range(np.uint64(size)):", "  i = s + r"]
    if not n_diagonals:
        lines = [lines[0], " pass"]
    elif ndim == 1:
        total = " + ".join(f"D[p{j} + r] * b1[q{j} + r]" for j in numbers)
        lines += [f"  y[i] = {term.format(i='i', sum=total)}"]
    else:
        lines += [f"  d{j} = D[p{j} + r]; r{j} = q{j} + r" for j in numbers]

        def entry(column):
            total = " + ".join(f"d{j} * b1[r{j}, {column}]" for j in numbers)
            return term.format(i=f"i, {column}", sum=total)

        # All of a strip is computed before any is written: the compiler need not prove
        # that y and b1 are different arrays to compute its columns at once.
        lines += [
            "  n_columns = np.uint64(y.shape[1])",
            f"  full = n_columns - n_columns % np.uint64({_STRIP})",
            f"  for k in range(np.uint64(0), full, np.uint64({_STRIP})):",
            *(f"   k{e} = k + np.uint64({e})" for e in range(_STRIP)),
            *(f"   t{e} = {entry(f'k{e}')}" for e in range(_STRIP)),
            *(f"   y[i, k{e}] = t{e}" for e in range(_STRIP)),
            "  for k in range(full, n_columns):",
            f"   y[i, k] = {entry('k')}",
        ]
    space = {"np": np}
    exec("\n".join(lines), space)
    return space["loop"]


def _tile_levels(
    head, more, D, base, offset, mirror, factors, first, last, x, even, odd,
    lo, hi, left, right, reach, n_powers, n_rows,
):  # fmt: skip
    """Run levels first to last of the recurrence on a tile of rows.

    Level `first` computes rows lo to hi; at each further level the left edge moves right
    by left times `reach`, the right edge left by right times `reach`. `n_powers` levels
    follow each other through the tile, `n_rows` rows at a time.
    """
    n = x.shape[0]
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
                r = max(at, lo + left * moved)
                stop = min(at + n_rows, hi - right * moved)
                if r >= stop:
                    continue
                c, a, b, g = factors[k, 0], factors[k, 1], factors[k, 2], factors[k, 3]
                b1 = x if k == 0 else (even if k % 2 else odd)
                y = odd if k % 2 else even
                if k < 2:
                    y[r:stop] = 0  # scratch may hold a NaN, and 0 * NaN is not 0
                while r < stop:
                    # Up to the next row where a diagonal begins or ends. One that is
                    # outside the matrix reads zeros, and b1 where the row reads it anyway.
                    stretch = stop
                    for j in range(offset.size):
                        o = offset[j]
                        edge = -o if o < 0 else n - o
                        if r < edge < stretch:
                            stretch = edge
                        inside = 0 <= r + o < n
                        p[j] = base[j] + r
                        if mirror[j]:
                            p[j] += o if inside else n + o
                        q[j] = r + o if inside else r
                    size = stretch - r
                    _begin(head, D, p, q, c, a, b, g, x, b1, y, r, size)
                    for j in range(len(head), offset.size, max(1, len(more))):
                        _add(more, D, p, q, j, a, b1, y, r, size)
                    r = stretch


_tile = jit(_tile_levels, _FLAGS)


def apply(stored, coefficients, affine, x, work, n_threads=1):
    """Compute p(S) x; see `autospec_precond.kernels.reference.apply`."""
    even, odd = work
    n_levels = len(coefficients) - 1
    if n_levels == 0:
        np.multiply(x, x.dtype.type(coefficients[0]), out=even)
        return even
    factors = np.array(reference.steps(coefficients, affine), x.real.dtype)
    streams = _streams(stored)
    reach = plans.reach(stored)
    n_columns = 1 if x.ndim == 1 else x.shape[1]
    plan = plans.plan(
        len(x),
        n_levels,
        reach,
        plans.row_bytes(stored, len(x), x.itemsize * n_columns),
        n_threads,
    )
    groups = _groups(len(streams[0]), x.ndim)
    data = stored.data.reshape(-1)
    for first, last, phases in plan.rounds:
        for tiles in phases:
            threads.run(
                functools.partial(
                    _tile, *groups, data, *streams, factors, first, last, x, even, odd,
                    *tile, reach, plan.n_powers, plan.n_rows,
                )  # fmt: skip
                for tile in tiles
            )
    return odd if n_levels % 2 == 0 else even


def _groups(n_diagonals, ndim):
    """Return a tuple per pass over rows, of as many items as it takes diagonals."""
    n_groups = -(-n_diagonals // _GROUP[ndim])
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
    for n_diagonals in _COMMON:
        zeros = np.zeros(n_diagonals, np.int64)
        for values, vectors in _TYPES:
            x = np.ones(1, vectors)
            _tile(
                *_groups(n_diagonals, 1), np.zeros(1, values), zeros, zeros,
                zeros.astype(np.bool_), np.ones((1, 4), vectors), 0, 1, x, x.copy(),
                x.copy(), 0, 1, 0, 0, 0, 1, 1,
            )  # fmt: skip
