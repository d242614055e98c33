"""Incomplete factors of ilupp (ILU++), several levels of fill.

Incomplete Cholesky stands on the Jacobi-scaled matrix. Where it breaks down, a multiple
of the identity is added and it is made again (Manteuffel; Lin and Moré start at 1e-3 and
double, we go by factors of ten), all on the clock.
"""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator

from .registry import NotSupported, Prepared, as_csr_matrix, inverse_diagonal, method

__all__ = ["SHIFTS"]

SHIFTS = (0.0, 1e-3, 1e-2, 1e-1, 1.0)

# Entries per column beyond those of A, and threshold relative to the column.
_CHOLESKY = {"ict5": (5, 1e-3), "ict10": (10, 1e-3), "ict20": (20, 1e-4)}


def _cholesky(name, make):
    @method(name, classes=("spd",), package="ilupp")
    def prepare(context):
        import ilupp

        A = _real(context.A, "ilupp")
        if context.kind != "spd":
            raise NotSupported(f"{name}: incomplete Cholesky needs a definite matrix")
        scale = np.sqrt(np.abs(inverse_diagonal(A)))
        D = sp.diags_array(scale)
        S = as_csr_matrix(sp.csr_array(D @ A @ D))
        probe = np.random.default_rng(0).standard_normal(A.shape[0])
        for shift in SHIFTS:
            shifted = S + shift * sp.identity(S.shape[0], format="csr") if shift else S
            factor = make(ilupp, as_csr_matrix(shifted))
            y = factor @ probe
            if np.isfinite(y).all() and y @ probe > 0:
                break
        else:
            raise ArithmeticError(f"{name} breaks down with every shift up to {shift:g}")

        def apply(x):
            y = scale * np.ravel(x)  # ilupp refuses columns
            factor.apply(y)
            y *= scale
            return y

        M = LinearOperator(A.shape, matvec=apply, dtype=A.dtype)
        note = f"shift {shift:g}" if shift else ""
        return Prepared(M, work=2.0 * factor.total_nnz / A.nnz, note=note)

    return prepare


def _lu(name, make):
    @method(name, classes=("indefinite", "general"), package="ilupp")
    def prepare(context):
        import ilupp

        A = as_csr_matrix(_real(context.A, "ilupp"))
        factor = make(ilupp, A)
        M = LinearOperator(
            A.shape, matvec=lambda x: factor @ np.ravel(x).astype(float), dtype=A.dtype
        )
        return Prepared(M, work=factor.total_nnz / A.nnz)

    return prepare


def _real(A, who):
    if A.dtype.kind == "c":
        raise NotSupported(f"{who} takes real matrices only")
    return A


def _without_fill(ilupp, A):
    # ILU++ writes outside its arrays where the pattern lacks a diagonal entry.
    if not A.diagonal().all():
        raise ArithmeticError("ILU(0) needs a diagonal without zeros")
    return ilupp.ILU0Preconditioner(A)


def _multilevel(ilupp, A):
    parameters = ilupp.iluplusplus_precond_parameter()
    # "The best combination overall in terms of total calculation time" (its README).
    parameters.default_configuration(10)
    return ilupp.ILUppPreconditioner(A, params=parameters)


_cholesky("ic0", lambda ilupp, A: ilupp.IChol0Preconditioner(A))
for _name, (_fill, _threshold) in _CHOLESKY.items():
    _cholesky(
        _name,
        lambda ilupp, A, f=_fill, t=_threshold: ilupp.ICholTPreconditioner(
            A, add_fill_in=f, threshold=t
        ),
    )
_lu("ilu0", _without_fill)
_lu("ilut10", lambda ilupp, A: ilupp.ILUTPreconditioner(A, fill_in=10, threshold=1e-2))
_lu("ilut50", lambda ilupp, A: ilupp.ILUTPreconditioner(A, fill_in=50, threshold=1e-4))
_lu("ilutp50", lambda ilupp, A: ilupp.ILUTPPreconditioner(A, fill_in=50, threshold=1e-4))
_lu("ilupp", _multilevel)
