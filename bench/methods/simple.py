"""No preconditioner, and the diagonal."""

from scipy.sparse.linalg import LinearOperator

from .registry import Prepared, inverse_diagonal, method

__all__ = ["jacobi", "none"]


@method("none")
def none(context):
    """Nothing."""
    return Prepared(None, degree=0)


@method("jacobi")
def jacobi(context):
    """Division by the diagonal; rows whose diagonal is zero are left as they are."""
    A = context.A
    inverse = inverse_diagonal(A)
    column = inverse[:, None]
    M = LinearOperator(
        A.shape,
        matvec=lambda x: inverse * x,
        matmat=lambda X: column * X,
        dtype=A.dtype,
    )
    return Prepared(M, degree=0, work=A.shape[0] / A.nnz)
