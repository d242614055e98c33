"""The choice for general matrices: a base, and a polynomial for GMRES."""

import numpy as np

from . import kernels
from .bases import Based
from .kernels import layout
from .request import Choice
from .roots import RootPolynomial, with_added_roots

__all__ = ["choose"]

_DEGREE = 20


def choose(request):
    """Choose base, storage and polynomial for a general A.

    Parameters
    ----------
    request : Request
        What the caller asked for.

    Returns
    -------
    Choice
        Without a certificate: p need not be positive.
    """
    operand, state = request.operand, request.state
    dtype = np.dtype(np.complex128 if operand.dtype.kind == "c" else np.float64)
    left = None
    if operand.matrix is not None and request.base != "none":
        left = 1.0 / np.maximum(abs(operand.matrix).sum(axis=1).astype(float), 1e-300)
    name = "none" if left is None else "equilibrate"
    based = Based(name, operand.matrix, operand.operator, left, None, None, dtype)
    precision = request.precision or "mixed"
    stored = layout.store(based, operand.dtype, precision, request.storage)
    kernel, _ = kernels.select(stored.kind, request.kernel)
    kernels.check_threads(kernel, stored.kind, request.n_threads)
    n_products = 0
    if state:
        polynomial = state["polynomial"]
    else:
        degree = _DEGREE if request.degree is None else request.degree
        n_products = min(degree + 1, operand.n)
        roots = _harmonic_ritz(based.product, request.rng, operand.n, dtype, n_products)
        is_real = dtype.kind == "f"
        polynomial = RootPolynomial(tuple(with_added_roots(roots, is_real)))
    return Choice(
        solver=request.solver or "gmres",
        kind="gen",
        based=based,
        stored=stored,
        kernel=kernel,
        precision=precision,
        polynomial=polynomial,
        certificate=None,
        probe=None,
        engine="given" if state else "classical",
        candidates={},
        break_even=None,
        n_products=n_products,
    )


def _harmonic_ritz(product, rng, n, dtype, m):
    v = rng.standard_normal(n).astype(dtype)
    V, H = np.zeros((n, m + 1), dtype), np.zeros((m + 1, m), dtype)
    V[:, 0] = v / np.linalg.norm(v)
    for k in range(m):
        w = product(V[:, k])
        for _ in range(2):
            h = V[:, : k + 1].conj().T @ w
            w = w - V[:, : k + 1] @ h
            H[: k + 1, k] += h
        H[k + 1, k] = np.linalg.norm(w)
        V[:, k + 1] = w / H[k + 1, k]
    square = H[:m].copy()
    f = np.linalg.solve(square.conj().T, np.eye(m)[m - 1])
    square[:, m - 1] += abs(H[m, m - 1]) ** 2 * f
    return np.linalg.eigvals(square)
