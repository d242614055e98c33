"""Which kernel of `polynomial.cu` suits which arrays, and the bytes that it moves."""

import functools
import importlib.resources

import numpy as np

__all__ = [
    "BLOCK",
    "BLOCK_SIZES",
    "KINDS",
    "N_DIAGONALS",
    "OPTIONS",
    "bare_bytes",
    "lanes",
    "polynomial_bytes",
    "scale",
    "setup",
    "step",
    "step_bytes",
    "text",
    "vectors",
]

BLOCK = 256  # threads, as in the source
KINDS = ("csr", "dia", "bsr")
BLOCK_SIZES = range(2, 7)  # of 'bsr'
N_DIAGONALS = 128  # most, stored ones; offsets are a parameter, of 4096 bytes at most
OPTIONS = ("--std=c++17",)

_NAMES = {
    np.dtype(np.float16): "Half",
    np.dtype(np.uint16): "BFloat16",  # its bits: NumPy has no such type
    np.dtype(np.float32): "float",
    np.dtype(np.float64): "double",
    np.dtype(np.complex64): "Complex<float>",
    np.dtype(np.complex128): "Complex<double>",
    np.dtype(np.int32): "int",
    np.dtype(np.int64): "long long",
}


@functools.cache
def text():
    """Return the source.

    Returns
    -------
    str
        CUDA C++.
    """
    return (
        importlib.resources.files(__package__)
        .joinpath("polynomial.cu")
        .read_text(encoding="utf-8")
    )


def lanes(mean_length):
    """Return how many threads share a row of 'csr'.

    Parameters
    ----------
    mean_length : float
        Entries per row.

    Returns
    -------
    int
        A power of two, up to 32. Rows of 7 entries were summed fastest by one thread, of 49
        by four and of 79 by eight.
    """
    count = 1
    while count < 32 and 13 * count < mean_length:
        count *= 2
    return count


def step(kind, values, indices, dtype, factors, block, *, form=(), second=False):
    """Name the kernel of one fused step.

    Parameters
    ----------
    kind : str
        'csr', 'dia' or 'bsr'.
    values, indices, dtype, factors : dtype
        Types of the values, the indices, the vectors and the factors.
    block : bool
        Whether it takes a block of columns.
    form : tuple
        Constants of the kernel: threads per row of 'csr' for a vector; number of diagonals
        stored, whether these are half of them, and rows per thread for a vector; size of
        the blocks.
    second : bool, optional
        Whether b2 is read.

    Returns
    -------
    str
        A template with its arguments.
    """
    name = f"{kind}_block_step" if block else f"{kind}_step"
    types = [_NAMES[np.dtype(t)] for t in (values, dtype, indices, factors)]
    constants = [str(int(c)) if type(c) is int else _word(c) for c in (*form, second)]
    return f"{name}<{', '.join([*types, *constants])}>"


def scale(dtype, result):
    """Name the kernel that scales vectors.

    Parameters
    ----------
    dtype, result : dtype
        Of what is read and what is written.

    Returns
    -------
    str
        A template with its arguments.
    """
    return f"scale<{_NAMES[np.dtype(dtype)]}, {_NAMES[np.dtype(result)]}>"


def vectors(dtype):
    """Name the kernels for the vectors of conjugate gradients.

    Parameters
    ----------
    dtype : dtype
        Of the vectors.

    Returns
    -------
    dict of str to str
        'dot', 'total', 'update', 'direction', 'record', 'subtract'.
    """
    name = _NAMES[np.dtype(dtype)]
    sums = _NAMES[np.result_type(dtype, np.float64)]
    pairs = {
        key: f"{key}<{name}, {sums}>" for key in ("dot", "update", "direction", "subtract")
    }
    return pairs | {key: f"{key}<{sums}>" for key in ("total", "record")}


def setup(kind, *dtypes):
    """Name a kernel that an M is made with.

    Parameters
    ----------
    kind : str
        'entries', 'mark', 'fill' or 'uniform'.
    *dtypes : dtype
        Of what it reads and writes, and of indices, as far as there are such.

    Returns
    -------
    str
        A template with its arguments.
    """
    return f"{kind}<{', '.join(_NAMES[np.dtype(t)] for t in dtypes)}>"


def bare_bytes(stored, n):
    """Count the bytes of what is stored that one product reads.

    Parameters
    ----------
    stored : Stored
        On the device or not.
    n : int
        Rows.

    Returns
    -------
    int
        Without the padding of diagonals.
    """
    if stored.kind == "dia":
        return len(stored.offsets) * n * stored.data.itemsize
    return stored.data.nbytes + stored.indices.nbytes + stored.indptr.nbytes


def step_bytes(stored, n, dtype, n_columns=1, n_vectors=4):
    """Count the bytes that one fused step moves if each is moved once.

    Parameters
    ----------
    stored : Stored
        On the device or not.
    n : int
        Rows.
    dtype : dtype
        Of the vectors.
    n_columns : int, optional
        Columns of a block.
    n_vectors : int, optional
        Vectors read and written: x, b1, b2 and y. The first step has x and y, the second
        no b2.

    Returns
    -------
    int
        What b1 takes for being read more than once is not counted: it is in the cache.
    """
    return bare_bytes(stored, n) + n_vectors * n * n_columns * np.dtype(dtype).itemsize


def polynomial_bytes(stored, n, degree, dtype, n_columns=1):
    """Count the bytes that all steps of one application move.

    Parameters
    ----------
    stored : Stored
        On the device or not.
    n, degree : int
        Rows, steps.
    dtype : dtype
        Of the vectors.
    n_columns : int, optional
        Columns of a block.

    Returns
    -------
    int
        As the sum of `step_bytes`.
    """
    return sum(
        step_bytes(stored, n, dtype, n_columns, min(k + 2, 4)) for k in range(degree)
    )


def _word(flag):
    return "true" if flag else "false"
