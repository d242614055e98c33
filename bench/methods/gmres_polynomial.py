"""The GMRES polynomial of Loe and Morgan for general matrices.

The roots of its residual polynomial are the harmonic Ritz values of as many Arnoldi
steps. It is applied root by root in modified Leja order; complex pairs together, in real
arithmetic; roots that the others make grow too fast are taken more than once.

J. A. Loe and R. B. Morgan, "Toward efficient polynomial preconditioning for GMRES",
Numer. Linear Algebra Appl. 29, 2022; arXiv:1911.07065.
"""

import math

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator

from .registry import Prepared

__all__ = [
    "arnoldi",
    "general_polynomial",
    "harmonic_ritz",
    "leja_order",
    "with_copies",
]


def arnoldi(product, start, n_steps):
    """Run Arnoldi steps with Gram-Schmidt twice.

    Returns
    -------
    V : ndarray, shape (n, m + 1) or (n, m)
        Orthonormal basis; fewer steps m where the Krylov space ends.
    H : ndarray, shape (m + 1, m)
        Hessenberg matrix.
    """
    n_steps = min(n_steps, start.size)
    V = np.zeros((start.size, n_steps + 1), start.dtype, order="F")
    H = np.zeros((n_steps + 1, n_steps), start.dtype)
    V[:, 0] = start / np.linalg.norm(start)
    for k in range(n_steps):
        w = product(V[:, k])
        scale = np.linalg.norm(w)
        for _ in range(2):
            part = V[:, : k + 1].conj().T @ w
            H[: k + 1, k] += part
            w = w - V[:, : k + 1] @ part
        norm = np.linalg.norm(w)
        if norm <= 1e-12 * scale:
            return V[:, : k + 1], H[: k + 2, : k + 1]
        H[k + 1, k] = norm
        V[:, k + 1] = w / norm
    return V, H


def harmonic_ritz(H):
    """Return the harmonic Ritz values, roots of the GMRES residual polynomial."""
    m = H.shape[1]
    square = H[:m]
    last = np.zeros(m)
    last[-1] = 1.0
    f = np.linalg.solve(square.conj().T, last)
    return np.linalg.eigvals(square + abs(H[m, m - 1]) ** 2 * np.outer(f, last))


def leja_order(roots, pairs=True):
    """Order roots by Leja's rule; of a conjugate pair the second follows the first.

    Parameters
    ----------
    roots : ndarray of complex
        With both members of each pair where `pairs`.
    pairs : bool, optional
        Whether complex roots come in pairs.

    Returns
    -------
    ndarray
        The same roots: the largest first, then whichever is farthest from those
        before it (product of distances, in logarithms).
    """
    rest = list(np.asarray(roots, dtype=complex))
    # Copies of a root are moved apart a little, or their distance is zero.
    rest = [r * (1 + 1e-7 * j) if r in rest[:j] else r for j, r in enumerate(rest)]
    ordered = []
    while rest:
        if ordered:
            distance = [sum(math.log(abs(r - s) or 1e-300) for s in ordered) for r in rest]
        else:
            distance = [abs(r) for r in rest]
        r = rest.pop(int(np.argmax(distance)))
        ordered.append(r)
        if pairs and r.imag != 0:
            nearest = int(np.argmin([abs(s - r.conjugate()) for s in rest]))
            rest.pop(nearest)
            ordered.append(r.conjugate())
    return np.array(ordered)


def with_copies(roots):
    """Add copies of roots where the other factors are large.

    Loe and Morgan's rule: the product of |1 - r/s| over all other roots s, 1e4 and more,
    asks for a copy per 14 further decades.
    """
    extra = []
    for k, r in enumerate(roots):
        others = np.delete(roots, k)
        growth = np.log10(np.maximum(np.abs(1 - r / others), 1e-300)).sum()
        extra += [r] * max(0, math.ceil((growth - 4) / 14))
    return np.concatenate([roots, extra]) if extra else np.asarray(roots)


def general_polynomial(A, degree, *, scale_rows):
    """Make the GMRES polynomial of a matrix, or of the matrix with its rows scaled.

    Parameters
    ----------
    A : csr_array, shape (n, n)
        Any square matrix.
    degree : int
        Of p, before copies of roots are added.
    scale_rows : bool
        Divide every row by its 2-norm first; M is then p(R A) R.

    Returns
    -------
    Prepared
        The Arnoldi steps are its setup products.
    """
    R = None
    if scale_rows:
        norms = np.sqrt(np.asarray(abs(A).power(2).sum(axis=1)).ravel())
        R = 1.0 / np.where(norms > 0, norms, 1.0)
        A = sp.csr_array(sp.diags_array(R) @ A)
    start = np.random.default_rng(0).standard_normal(A.shape[0]).astype(A.dtype)
    _, H = arnoldi(lambda x: A @ x, start, degree + 1)
    n_products = H.shape[1]
    roots = harmonic_ritz(H)
    roots = roots[np.isfinite(roots) & (np.abs(roots) > 1e-14 * np.abs(roots).max())]
    real = A.dtype.kind != "c"
    if real:
        # Rounding of eigvals must not leave a pair that is no pair.
        roots = np.where(np.abs(roots.imag) < 1e-10 * np.abs(roots), roots.real, roots)
    roots = leja_order(with_copies(roots), pairs=real)
    steps = _steps(roots, real)
    M = LinearOperator(A.shape, matvec=lambda x: _apply(A, steps, R, x), dtype=A.dtype)
    n_per_application = len(roots) - 1
    return Prepared(M, n_per_application, n_products, work=float(n_per_application))


def _steps(roots, real):
    """Return (a, |r|²) for a pair a ± ib and (r, None) for a single root."""
    if not real:
        return [(r, None) for r in roots]
    steps, k = [], 0
    while k < len(roots):
        r = roots[k]
        pair = r.imag != 0
        steps.append((r.real, abs(r) ** 2) if pair else (r.real, None))
        k += 1 + pair
    return steps


def _apply(A, steps, R, x):
    """Sum the factors: (1 - φ(A)) A^-1 x; the last product is not needed."""
    rest = np.ravel(x) if R is None else R * np.ravel(x)
    y = np.zeros_like(rest)
    for k, (a, square) in enumerate(steps):
        last = k == len(steps) - 1
        if square is None:
            y = y + rest / a
            if not last:
                rest = rest - (A @ rest) / a
            continue
        t = 2.0 * a * rest - A @ rest
        y = y + t / square
        if not last:
            rest = rest - (A @ t) / square
    return y
