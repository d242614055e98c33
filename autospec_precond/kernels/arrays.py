"""Arrays of a caller's as the kernels take them: contiguous, unsigned, without a flag."""

import numpy as np

__all__ = ["alias", "unsigned"]


def alias(array):
    """Return the same memory as an array that the kernels were compiled for.

    Parameters
    ----------
    array : ndarray
        One-dimensional.

    Returns
    -------
    ndarray
        Itself, or one that may be written: Numba would compile again for arrays that are
        read-only. Nothing must be written there. A copy where it is not contiguous.
    """
    array = np.ascontiguousarray(array)
    return array if array.flags.writeable else np.asarray(_Memory(array))


def unsigned(indices):
    """Return indices as unsigned numbers: signed ones would get a test per entry.

    Parameters
    ----------
    indices : ndarray of int
        One-dimensional.

    Returns
    -------
    ndarray
        As `alias` returns it.
    """
    return alias(indices).view(f"u{indices.itemsize}")


class _Memory:
    """The memory of an array, without the flag that forbids to write there."""

    def __init__(self, array):
        address, _ = array.__array_interface__["data"]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}
        self.owner = array
