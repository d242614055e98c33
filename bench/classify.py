"""Which kind of matrix this is, as far as can be found out at this size."""

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from autospec_precond import probing

__all__ = ["classify"]

_TOLERANCE = 1e-12  # of Hermitian symmetry, relative to the largest entry
_DENSE = 3000  # rows up to which a dense Cholesky factorisation decides
_SPARSE = 2_000_000  # entries up to which sparse factors decide


def classify(A, known=None, factorise=True):
    """Return the class of a matrix and what it rests on.

    Parameters
    ----------
    A : csr_array, shape (n, n)
        Float64 or complex128.
    known : str, optional
        The class, where the generator of the problem knows it.
    factorise : bool, optional
        Whether sparse factors may be computed; a probe decides otherwise.

    Returns
    -------
    kind : {'spd', 'indefinite', 'general'}
        Hermitian positive definite; Hermitian otherwise; not Hermitian.
    evidence : str
        'known', 'symmetry', 'diagonal', 'cholesky', 'inertia' or, where only a probe of
        12 Lanczos steps says so, 'probe'.
    """
    if known:
        return known, "known"
    difference = abs(A - A.conj().T)
    if difference.nnz and difference.max() > _TOLERANCE * abs(A).max():
        return "general", "symmetry"
    diagonal = A.diagonal().real
    if not (diagonal > 0).all():
        return "indefinite", "diagonal"
    D = sp.diags_array(1.0 / np.sqrt(diagonal))
    S = sp.csr_array(D @ A @ D)
    S = sp.csr_array(0.5 * (S + S.conj().T))
    n = S.shape[0]
    if n <= _DENSE:
        try:
            scipy.linalg.cholesky(S.toarray(), overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError:
            return "indefinite", "cholesky"
        return "spd", "cholesky"
    if factorise and S.nnz <= _SPARSE:
        found = _inertia(S)
        if found:
            return found, "inertia"
    start = np.random.default_rng(0).standard_normal(n).astype(S.dtype)
    alpha, beta, _ = probing.lanczos(lambda x: S @ x, start, 12)
    return ("spd" if probing.ritz(alpha, beta)[0][0] > 0 else "indefinite"), "probe"


def _inertia(S):
    """Read the signs of the pivots, where SuperLU has kept to the diagonal."""
    try:
        factors = splu(
            sp.csc_array(S),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
    except (RuntimeError, MemoryError):
        return None
    if not np.array_equal(factors.perm_r, factors.perm_c):
        return None
    return "spd" if (factors.U.diagonal().real > 0).all() else "indefinite"
