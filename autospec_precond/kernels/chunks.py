"""Loops over chunks of rows that threads share, with sums that do not depend on them.

A kernel takes the chunks from `first` to `last` and writes one number per chunk and column.
These are added up here, in their order, whoever has written them.
"""

import functools
import itertools

import numpy as np

from autospec_precond import threads

__all__ = ["CHUNK", "WORTH_THREADS", "run", "threads_for"]

CHUNK = 4096  # rows; two vectors of so many fit the second-level cache

# Bytes of one pass from which on threads pay: a meeting takes 30 microseconds, one thread
# 80 to 150 for so many.
WORTH_THREADS = 4_000_000


def threads_for(limit, n_bytes):
    """Choose the number of threads of one pass.

    Parameters
    ----------
    limit : int or None
        Threads allowed; Numba's setting by default.
    n_bytes : int
        What the pass reads and writes.

    Returns
    -------
    int
        1 where the pass is over before threads have met.
    """
    if n_bytes < WORTH_THREADS or limit == 1:
        return 1
    if limit is not None:
        return limit
    from . import cpu

    return cpu.default_threads()


def run(kernel, n, n_columns, n_threads, *arguments, weights=None):
    """Run a kernel over all rows.

    Parameters
    ----------
    kernel : callable
        ``kernel(first, last, *arguments, sums)`` takes chunks first to last, and writes
        ``sums[first:last]``.
    n, n_columns, n_threads : int
        Rows; columns of the sums; threads that share the chunks.
    *arguments
        What the kernel takes.
    weights : ndarray, shape (n + 1,), optional
        Work before each row, in rising order; as much for each by default.

    Returns
    -------
    ndarray, shape (n_columns,)
        Sums over the chunks.
    """
    n_chunks = -(-n // CHUNK)
    sums = np.empty((n_chunks, n_columns))
    if min(n_threads, n_chunks) == 1:
        kernel(0, n_chunks, *arguments, sums)
    else:
        if weights is None:
            edges = [n_chunks * k // n_threads for k in range(n_threads + 1)]
        else:
            shares = np.arange(1, n_threads) * (int(weights[-1]) / n_threads)
            starts = weights[:-1:CHUNK]
            edges = [0, *np.searchsorted(starts, shares).tolist(), n_chunks]
        threads.run(
            (
                functools.partial(kernel, first, last, *arguments, sums)
                for first, last in itertools.pairwise(edges)
                if first < last
            ),
            n_threads,
        )
    return sums.sum(axis=0)
