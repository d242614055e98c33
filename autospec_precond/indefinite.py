"""The choice for Hermitian matrices that are not positive definite."""

import numpy as np

from . import certificate
from .bases import Based
from .kernels import layout
from .polynomial import Polynomial
from .request import Choice

__all__ = ["choose"]


def choose(request):
    """Choose a positive definite M for a Hermitian A: the row norms alone.

    Parameters
    ----------
    request : Request
        What the caller asked for.

    Returns
    -------
    Choice
        With a certified polynomial.
    """
    operand = request.operand
    dtype = np.dtype(np.complex128 if operand.dtype.kind == "c" else np.float64)
    scale = None
    if operand.matrix is not None and request.base != "none":
        norms = abs(operand.matrix).sum(axis=1).astype(float)
        scale = 1.0 / np.sqrt(np.where(norms > 0, norms, 1.0))
    name = "none" if scale is None else "equilibrate"
    based = Based(name, operand.matrix, operand.operator, scale, scale, None, dtype)
    precision = request.precision or "mixed"
    polynomial = Polynomial((0.5, 1.0), (1.0,))
    proof = certificate.of_constant(
        polynomial,
        dtype=layout.vector_dtype(operand.dtype, precision),
        high_is_rigorous=True,
    )
    return Choice(
        solver=request.solver or "minres",
        kind="her",
        based=based,
        stored=layout.Stored("none"),
        kernel="reference",
        precision=precision,
        polynomial=polynomial,
        certificate=proof,
        probe=None,
        engine="none",
        candidates={},
        break_even=None,
        n_products=0,
    )
