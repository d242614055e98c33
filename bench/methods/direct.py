"""SciPy's SuperLU: complete and incomplete factors."""

from scipy.sparse import csc_array
from scipy.sparse.linalg import LinearOperator, spilu, splu

from .registry import Prepared, method

__all__ = ["incomplete_lu", "lu"]

# Pivots on the diagonal keep symmetry: SuperLU's "symmetric mode".
_SYMMETRIC = {
    "permc_spec": "MMD_AT_PLUS_A",
    "diag_pivot_thresh": 0.0,
    "options": {"SymmetricMode": True},
}


@method("spilu")
def incomplete_lu(context):
    """``spilu`` with its defaults (drop_tol 1e-4, fill_factor 10)."""
    return _factors(context, spilu)


@method("splu")
def lu(context):
    """``splu``: a direct solver in the place of M."""
    return _factors(context, splu)


def _factors(context, factorise):
    A = context.A
    keywords = _SYMMETRIC if context.kind == "spd" else {}
    factors = factorise(csc_array(A), **keywords)
    M = LinearOperator(A.shape, matvec=factors.solve, matmat=factors.solve, dtype=A.dtype)
    return Prepared(M, work=factors.nnz / A.nnz)
