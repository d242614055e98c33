"""Diagonal scalings of a general matrix on a device; see `autospec_precond.scaling`."""

import numpy as np

from autospec_precond import classify

from .vectors import scalar

__all__ = ["check_structure", "diagonal_share", "equilibrated"]

_ROUNDS, _TINY = 5, 1e-150  # as on the host


class _Squares:
    """Squared moduli of the entries over the largest one, summed by rows and columns.

    Sums over columns are those over the rows of a transpose, which is formed: adding them
    up where they fall would add them in another order in each run.
    """

    def __init__(self, operand, library):
        self.xp, matrix = operand.xp, operand.matrix
        sizes = abs(matrix.data if operand.is_sparse else matrix).astype(np.float64)
        self.largest = float(scalar(sizes.max())) if sizes.size else 1.0
        sizes /= self.largest or 1.0
        sizes = self.xp.maximum(sizes, _TINY)
        sizes *= sizes
        if operand.is_sparse:
            parts = sizes, matrix.indices, matrix.indptr
            squares = type(matrix)(parts, shape=matrix.shape)
            turned = squares.T.tocsr()
        else:
            squares, turned = sizes, sizes.T
        self._rows, self._columns = library.product(squares), library.product(turned)

    def rows(self, weights):
        """Return the sums over rows with weights of columns."""
        return self._sums(self._rows, weights)

    def columns(self, weights):
        """Return the sums over columns with weights of rows."""
        return self._sums(self._columns, weights)

    def _sums(self, product, weights):
        result = self.xp.empty(weights.size)
        product(weights, result)
        return result


def diagonal_share(operand, library):
    """Return how large diagonal entries are in their rows and columns.

    Parameters
    ----------
    operand : operands.Operand
        Explicit A, without empty rows and columns.
    library : kernels.Plain
        The kernels.

    Returns
    -------
    float
        As `autospec_precond.scaling.diagonal_share`.
    """
    xp, squares = operand.xp, _Squares(operand, library)
    ones = xp.ones(operand.n)
    sizes = xp.sqrt(squares.rows(ones)) * xp.sqrt(squares.columns(ones))
    share = abs(operand.diagonal()) / (squares.largest or 1.0) / xp.sqrt(sizes)
    return float(scalar(share.min()))


def equilibrated(operand, library):
    """Return diagonals L and R that bring rows and columns of L A R to norm one.

    Parameters
    ----------
    operand : operands.Operand
        Explicit A, without empty rows and columns.
    library : kernels.Plain
        The kernels.

    Returns
    -------
    left, right : array, shape (n,)
        As `autospec_precond.scaling.equilibrated`.
    """
    xp, squares = operand.xp, _Squares(operand, library)
    left, right = xp.ones(operand.n), xp.ones(operand.n)  # of these the squares
    for _ in range(_ROUNDS):
        left /= xp.sqrt(left * squares.rows(right))
        right /= xp.sqrt(right * squares.columns(left))
    left = xp.sqrt(left) / (squares.largest or 1.0)
    return xp.copysign(left, operand.diagonal().real), xp.sqrt(right)


def check_structure(operand, library, caller):
    """Refuse an explicit matrix with an empty row or column.

    Parameters
    ----------
    operand : operands.Operand
        A.
    library : kernels.Plain
        The kernels.
    caller : str
        Name that the message starts with.

    Raises
    ------
    ValueError
        With the number of the first such row or column.
    """
    xp, matrix = operand.xp, operand.matrix
    if matrix is None:
        return
    if not operand.is_sparse:
        filled = matrix != 0
        classify.refuse_empty(~filled.any(axis=1), ~filled.any(axis=0), caller)
        return
    filled, columns = matrix.data != 0, matrix.indices
    rows = matrix.indptr[1:] == matrix.indptr[:-1]
    if not scalar(filled.all()):
        used = xp.zeros(operand.n, np.bool_)
        used[library.rows(matrix)[filled]] = True
        rows, columns = ~used, columns[filled]
    used = xp.zeros(operand.n, np.bool_)
    used[columns] = True
    classify.refuse_empty(rows, ~used, caller)
