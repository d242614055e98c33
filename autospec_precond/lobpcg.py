"""The choice for LOBPCG."""

import dataclasses

from . import definite

__all__ = ["choose"]

_DEGREE = 16


def choose(request):
    """Choose a polynomial for the smallest eigenvalues of a positive definite A.

    Parameters
    ----------
    request : Request
        What the caller asked for.

    Returns
    -------
    Choice
        With a certified polynomial.

    Raises
    ------
    ValueError
        If n_eigenpairs is missing.
    """
    if request.n_eigenpairs is None:
        raise ValueError(
            "make: n_eigenpairs must be given for solver='lobpcg'; got None. Pass the "
            "number of columns of X."
        )
    degree = _DEGREE if request.degree is None else request.degree
    return definite.choose(dataclasses.replace(request, degree=degree))
