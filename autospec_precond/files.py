"""Matrices in files: Matrix Market and SciPy's .npz."""

import inspect
import os
from pathlib import Path

import numpy as np
import scipy.io
import scipy.sparse as sp

__all__ = ["check_file", "read_market", "read_matrix"]


def read_matrix(name, caller):
    """Read a matrix.

    Parameters
    ----------
    name : str or path-like
        A file .mtx, .mtx.gz, or .npz as ``scipy.sparse.save_npz`` writes it.
    caller : str
        Name that the messages start with.

    Returns
    -------
    csr_array or ndarray, shape (m, n)
        As stored.

    Raises
    ------
    ValueError
        If there is no such file, or it cannot be read.
    """
    name = os.fspath(name)
    check_file(name, caller)
    try:
        A = sp.load_npz(name) if name.endswith(".npz") else read_market(name)
    except Exception as error:  # the readers raise whatever meets them
        raise ValueError(
            f"{caller}: the matrix must be a Matrix Market or SciPy .npz file; got {name}, "
            f"which cannot be read ({error})."
        ) from error
    return sp.csr_array(A) if sp.issparse(A) else np.asarray(A)


def read_market(name):
    """Read a Matrix Market file.

    Parameters
    ----------
    name : str
        Path.

    Returns
    -------
    sparse array or ndarray
        As SciPy reads it.
    """
    # Newer SciPy wants to be told that arrays are welcome; older does not know the word.
    known = inspect.signature(scipy.io.mmread).parameters
    return scipy.io.mmread(name, **({"spmatrix": False} if "spmatrix" in known else {}))


def check_file(name, caller):
    """Refuse a file that does not exist.

    Parameters
    ----------
    name : str
        Path.
    caller : str
        Name that the message starts with.
    """
    if not Path(name).is_file():
        raise ValueError(f"{caller}: the file must exist; got {name!r}.")
