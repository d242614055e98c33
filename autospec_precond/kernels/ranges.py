"""Ranges of rows that threads take, for passes that meet once."""

import functools
import itertools

import numpy as np

from autospec_precond import blas, threads

__all__ = ["balanced", "even", "narrowed", "run"]

_PIECES = 2  # ranges of rows per thread: one may be slower


def run(kernel, ranges, n_threads, *arguments):
    """Run a kernel on ranges of rows.

    Parameters
    ----------
    kernel : callable
        Takes first and last row, or whatever `ranges` hold, and the arguments.
    ranges : list of tuple
        One for each call.
    n_threads : int
        How many may run at the same time.
    *arguments : object
        The same for all.

    Returns
    -------
    list
        What the calls returned, in the order of `ranges`.
    """
    if n_threads == 1 or len(ranges) == 1:
        return [kernel(*rows, *arguments) for rows in ranges]
    results = [None] * len(ranges)

    def task(k):  # numpydoc ignore=GL08
        results[k] = kernel(*ranges[k], *arguments)

    # The workers of OpenBLAS would spin on the cores that our threads need.
    n_threads = n_threads if blas.hold() else 1
    threads.run((functools.partial(task, k) for k in range(len(ranges))), n_threads)
    return results


def even(n, n_threads):
    """Return ranges of as many rows each.

    Parameters
    ----------
    n, n_threads : int
        Rows, and threads to share them.

    Returns
    -------
    list of tuple of int
        First and last row.
    """
    edges = [n * k // (_PIECES * n_threads) for k in range(_PIECES * n_threads + 1)]
    return [pair for pair in itertools.pairwise(edges) if pair[0] < pair[1]]


def balanced(indptr, n_threads, block):
    """Return ranges of whole blocks of rows with about as many entries each.

    Parameters
    ----------
    indptr : ndarray of int, shape (n + 1,)
        Of the matrix.
    n_threads, block : int
        Threads to share the rows, and rows of a block.

    Returns
    -------
    list of tuple of int
        First and last row.
    """
    n = indptr.size - 1
    if n_threads == 1:
        return [(0, n)]
    pieces = _PIECES * n_threads
    shares = [int(indptr[-1]) * k // pieces for k in range(1, pieces)]
    edges = np.searchsorted(indptr, shares) // block * block
    edges = [0, *edges.tolist(), n]
    return [pair for pair in itertools.pairwise(edges) if pair[0] < pair[1]]


def narrowed(indices, n_threads):
    """Return indices of 64 bits in 32.

    Parameters
    ----------
    indices : ndarray of int64, shape (nnz,)
        All below 2**31.
    n_threads : int
        Threads that share the work.

    Returns
    -------
    ndarray of int32, shape (nnz,)
        The same numbers.
    """
    result = np.empty(indices.size, np.int32)

    def task(first, last):  # numpydoc ignore=GL08
        np.copyto(result[first:last], indices[first:last], casting="same_kind")

    run(task, even(indices.size, n_threads), n_threads)
    return result
