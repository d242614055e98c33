"""Products and orthonormal bases of tall matrices, by pieces of rows in threads.

BLAS is held to one thread while kernels with threads of ours run (see `blas`), so threads
of ours run BLAS, too. Sums are made piece by piece, whatever the number of threads.
"""

import functools

import numpy as np

from . import blas, threads

__all__ = ["gram", "orthonormalise", "rotate", "subtract"]

_PIECE = 16384  # rows
_N_PASSES = 4


def _pieces(n):
    return [slice(k, min(k + _PIECE, n)) for k in range(0, n, _PIECE)]


def _run(function, n, n_threads):
    if n_threads > 1 and not blas.hold():
        n_threads = 1
    tasks = [functools.partial(function, k, rows) for k, rows in enumerate(_pieces(n))]
    threads.run(tasks, n_threads)


def gram(V, W, n_threads=1):
    """Return the products of the columns of V with those of W.

    Parameters
    ----------
    V : ndarray, shape (n, m)
        Any.
    W : ndarray, shape (n, k)
        Any.
    n_threads : int, optional
        Threads that share the rows.

    Returns
    -------
    ndarray, shape (m, k)
        V* W.
    """
    parts = [None] * len(_pieces(V.shape[0]))

    def _work(k, rows):
        parts[k] = V[rows].conj().T @ W[rows]

    _run(_work, V.shape[0], n_threads)
    return functools.reduce(np.add, parts)


def subtract(W, V, C, n_threads=1):
    """Set W <- W - V C.

    Parameters
    ----------
    W : ndarray, shape (n, k)
        Overwritten.
    V : ndarray, shape (n, m)
        Any.
    C : ndarray, shape (m, k)
        Any.
    n_threads : int, optional
        Threads that share the rows.
    """

    def _work(k, rows):
        W[rows] -= V[rows] @ C

    _run(_work, V.shape[0], n_threads)


def rotate(V, Y, out, n_threads=1):
    """Set out <- V Y; `out` may be the first columns of V.

    Parameters
    ----------
    V : ndarray, shape (n, m)
        Any.
    Y : ndarray, shape (m, k)
        Any.
    out : ndarray, shape (n, k)
        Overwritten.
    n_threads : int, optional
        Threads that share the rows.
    """

    def _work(k, rows):
        out[rows] = V[rows] @ Y

    _run(_work, V.shape[0], n_threads)


def orthonormalise(V, W, rng, weigh=None, n_threads=1):
    """Split W into its part in the span of V and an orthonormal rest.

    Parameters
    ----------
    V : ndarray, shape (n, m)
        Orthonormal columns; m may be 0.
    W : ndarray, shape (n, k)
        Any; overwritten by Q.
    rng : numpy.random.Generator
        Source of columns for those that lie in the span of the others.
    weigh : callable, optional
        Multiplies a block by the positive definite matrix of the inner product.
    n_threads : int, optional
        Threads that share the rows.

    Returns
    -------
    C : ndarray, shape (m, k)
        Of ``W = V C + Q R``, up to the rounding of W.
    R : ndarray, shape (k, k)
        Full.

    Notes
    -----
    Gram matrices and their eigenvectors: products of blocks only, at least two passes.

    References
    ----------
    .. [1] A. Stathopoulos and K. Wu, "A block orthogonalization procedure with constant
       synchronization requirements", SIAM J. Sci. Comput. 23(6), 2002, pp. 2165-2182.
    """
    n, m = V.shape
    k = W.shape[1]
    eps = np.finfo(W.dtype).eps
    C, R = np.zeros((m, k), W.dtype), np.eye(k, dtype=W.dtype)
    before = None
    for step in range(_N_PASSES):
        weighed = W if weigh is None else weigh(W)
        if before is None:
            before = np.sqrt(np.abs(np.diag(gram(W, weighed, n_threads))))
        if m:
            part = gram(V, weighed, n_threads)
            subtract(W, V, part, n_threads)
            C += part @ R
            weighed = W if weigh is None else weigh(W)
        G = gram(W, weighed, n_threads)
        sizes = np.sqrt(np.maximum(np.diag(G).real, 0.0))
        lost = ~(sizes > 10 * eps * np.maximum(before, np.finfo(W.dtype).tiny))
        if lost.any():
            # Nothing but rounding is left: any vector will do, with no part of W.
            W[:, lost] = rng.standard_normal((n, np.count_nonzero(lost)))
            R[lost] = 0
            before = None
            continue
        w, U = np.linalg.eigh(G / np.multiply.outer(sizes, sizes))
        w = np.maximum(w, 4 * eps * w[-1])
        rotate(W, U / sizes[:, None] / np.sqrt(w), W, n_threads)
        R = (np.sqrt(w)[:, None] * U.conj().T * sizes) @ R
        if step and w[0] > 0.5 and sizes.min() > 0.5 * before.min():
            break
        before = np.ones(k)
    return C, R
