"""Vectors into the order of the rows that is stored, scaled on the way, and back.

One pass with threads: half of the time of NumPy's products and a copy, and random accesses
are what threads share best.
"""

import functools
import itertools

import numpy as np

from autospec_precond import threads

__all__ = ["flat", "gather", "scatter"]

_PIECE = 8192  # numbers that are copied at once where the loops cannot take an array

_KINDS = ("ff", "cc")
_SIZES = {"f": (4, 8), "c": (8, 16)}


def scatter(x, scale, factors, block, part, places, n_threads):
    """Put x times scale and factors into a block, row i of it into row places[i].

    Parameters
    ----------
    x : ndarray, shape (n, ...)
        Rows of any type and memory order.
    scale : ndarray of float64, shape (n,), or None
        Factor of each row; contiguous, and may be written.
    factors : float or ndarray of x's shape but for the rows
        Factor of each column.
    block : ndarray, shape (n,) or (n, k)
        In C or F order; it consists of parts as wide as `x`.
    part : int
        Which of the parts is to be written.
    places : ndarray of int, shape (n,)
        Where each row goes.
    n_threads : int
        Threads that share the rows.
    """
    from . import cpu_order

    _run(cpu_order.scatter, x, scale, factors, block, part, places, n_threads, False)


def gather(block, part, scale, factors, out, places, n_threads):
    """Undo what `scatter` does: row i of `out` comes from row places[i] of a block.

    Parameters
    ----------
    block : ndarray, shape (n,) or (n, k)
        In C or F order; it consists of parts as wide as `out`.
    part : int
        Which of the parts is to be read.
    scale : ndarray of float64, shape (n,), or None
        Factor of each row; contiguous, and may be written.
    factors : float or ndarray of out's shape but for the rows
        Factor of each column.
    out : ndarray, shape (n, ...)
        Where the rows go, times scale and factors; of any type and memory order.
    places : ndarray of int, shape (n,)
        Where each row is.
    n_threads : int
        Threads that share the rows.
    """
    from . import cpu_order

    _run(cpu_order.gather, out, scale, factors, block, part, places, n_threads, True)


def _run(loop, rows, scale, factors, block, part, places, n_threads, back):
    """Run a loop over ranges of the rows, one for each thread."""
    n = rows.shape[0]
    factors = np.array(np.broadcast_to(factors, rows.shape[1:]), np.float64).reshape(-1)
    scale = np.empty(0) if scale is None else scale
    memory, *steps = flat(block)
    target = memory[part * factors.size * steps[1] :], *steps
    common = (loop, rows, (places, scale, factors), target, back)
    edges = [n * k // n_threads for k in range(n_threads + 1)]
    threads.run(
        (functools.partial(_range, *common, *ends) for ends in itertools.pairwise(edges)),
        n_threads,
    )


def _range(loop, rows, given, target, back, lo, hi):
    kind = rows.dtype.kind + target[0].dtype.kind
    usual = flat(rows) if kind in _KINDS and _is_usual(rows) else None
    if usual is not None:
        loop(*given, *usual, 0, *target, lo, hi)
        return
    # Numba would compile for each type, and again for strides and read-only memory.
    size = max(_PIECE // given[2].size, 64)
    double = np.result_type(target[0].dtype, np.float64)
    for first in range(lo, hi, size):
        last = min(first + size, hi)
        piece = np.empty((last - first, given[2].size), double)
        shaped = piece.reshape(-1, *rows.shape[1:])
        if not back:
            shaped[...] = rows[first:last]
        loop(*given, *flat(piece), first, *target, first, last)
        if back:
            np.copyto(rows[first:last], shaped, casting="same_kind")


def _is_usual(rows):
    sizes = _SIZES.get(rows.dtype.kind, ())
    return rows.dtype.isnative and rows.flags.writeable and rows.itemsize in sizes


def flat(rows):
    """Return memory in one piece, and the distances of rows and of columns in it.

    Parameters
    ----------
    rows : ndarray, shape (n, ...)
        A vector, or a block.

    Returns
    -------
    tuple of (ndarray, int, int), or None
        None where the array is neither in C order nor some rows and columns of a block
        that goes forward through memory.
    """
    n = rows.shape[0]
    if rows.flags.c_contiguous:
        return rows.reshape(-1), rows.size // n, 1
    if rows.ndim == 2 and rows.flags.f_contiguous:
        return rows.T.reshape(-1), 1, n
    if rows.ndim == 2 and rows.size and min(rows.strides) > 0:
        steps = [step // rows.itemsize for step in rows.strides]
        if [step * rows.itemsize for step in steps] == list(rows.strides):
            last = sum((m - 1) * step for m, step in zip(rows.shape, steps, strict=True))
            size, strides = (last + 1,), (rows.itemsize,)
            return np.lib.stride_tricks.as_strided(rows, size, strides), *steps
    return None
