"""The user's matrices: read, checked, on their base, and told apart."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from autospec_precond import bases, files, operands

__all__ = ["Given", "take"]


@dataclass(frozen=True)
class Given:
    """A matrix to train on.

    Attributes
    ----------
    name : str
        Of its file, or its place in the sequence.
    digest : str
        SHA-256 of its entries.
    based : Based
        The operator S on the Jacobi base, where the diagonal is known.
    """

    name: str
    digest: str
    based: bases.Based


def take(item, place):
    """Turn one item of the caller's into a matrix to train on.

    Parameters
    ----------
    item : str, path-like, or anything that `make` takes
        A file or a matrix.
    place : int
        Where it stood in the sequence.

    Returns
    -------
    Given
        Hermitian with a positive diagonal.

    Raises
    ------
    TypeError
        If it is neither a path nor a matrix.
    ValueError
        If it cannot be used; the sentence starts with its name.
    """
    if isinstance(item, (str, os.PathLike)):
        name = Path(item).name
        item = files.read_matrix(item, name)
    else:
        name = f"matrices[{place}]"
    operand = operands.as_operand(item, name)
    diagonal = operands.check_diagonal(operand, None, name)
    based = bases.build(operand, "none" if diagonal is None else "jacobi", diagonal)
    operands.check_hermitian(operand, based, np.random.default_rng(0), name)
    return Given(name, _digest(operand), based)


def _digest(operand):
    matrix = operand.matrix
    if sp.issparse(matrix):
        parts = matrix.data, matrix.indices.astype("i8"), matrix.indptr.astype("i8")
    elif matrix is not None:
        parts = (matrix,)
    else:  # the entries are not known: what it does to a vector
        x = np.random.default_rng(0).standard_normal(operand.n).astype(operand.dtype)
        parts = (operand.operator @ x,)
    found = hashlib.sha256(f"{operand.dtype} {operand.n} {len(parts)}".encode())
    for part in parts:
        found.update(np.ascontiguousarray(part).data)
    return found.hexdigest()
