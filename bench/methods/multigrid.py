"""PyAMG: smoothed aggregation and Ruge-Stuben, one V-cycle per application."""

import warnings

import numpy as np

from .registry import NotSupported, Prepared, as_csr_matrix, method

__all__ = ["aggregation", "ruge_stuben"]

# What pyamg.blackbox.solver_configuration recommends for a matrix that is not Hermitian.
_GENERAL = {
    "symmetry": "nonsymmetric",
    "smooth": ("energy", {"krylov": "gmres", "maxiter": 3, "degree": 2}),
    "presmoother": ("gauss_seidel_nr", {"sweep": "symmetric", "iterations": 2}),
    "postsmoother": ("gauss_seidel_nr", {"sweep": "symmetric", "iterations": 2}),
    "improve_candidates": None,
}


@method("pyamg-sa", package="pyamg")
def aggregation(context):
    """``smoothed_aggregation_solver``, with the near-nullspace where it is known."""
    import pyamg

    A = as_csr_matrix(context.A)
    if context.block > 1:
        A = A.tobsr((context.block, context.block))
    keywords = {} if context.kind == "spd" else _GENERAL
    return _solver(
        context, lambda: pyamg.smoothed_aggregation_solver(A, context.nullspace, **keywords)
    )


@method("pyamg-rs", package="pyamg")
def ruge_stuben(context):
    """``ruge_stuben_solver`` with its defaults."""
    import pyamg

    if context.A.dtype.kind == "c":
        raise NotSupported("pyamg-rs takes real matrices only")
    A = as_csr_matrix(context.A)
    return _solver(context, lambda: pyamg.ruge_stuben_solver(A))


def _solver(context, make):
    # PyAMG draws its start vectors from the global generator.
    np.random.seed(0)  # noqa: NPY002
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hierarchy = make()
    M = hierarchy.aspreconditioner(cycle="V")
    return Prepared(M, work=float(hierarchy.cycle_complexity()))
