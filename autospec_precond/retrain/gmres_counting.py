"""Products that restarted GMRES takes: what the training for general matrices measures."""

import numba
import numpy as np

__all__ = ["n_products"]

_jit = numba.njit(
    cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"}
)


def n_products(S, roots, b, most, rtol=1e-8, restart=30):
    """Count the products of SciPy's gmres with a polynomial, or without one.

    Parameters
    ----------
    S : csr_array, shape (n, n)
        The based operator, real.
    roots : array_like of complex
        Of the residual polynomial, conjugate pairs side by side; empty for none.
    b : ndarray, shape (n,)
        Right-hand side.
    most : int
        Products allowed.
    rtol : float, optional
        Of the true residual, which is looked at between cycles.
    restart : int, optional
        Steps of a cycle.

    Returns
    -------
    count : int
        Products with S.
    solved : bool
        Whether the tolerance was reached.
    """
    roots = np.asarray(roots, np.complex128).reshape(-1)
    return _gmres(
        S.indptr,
        S.indices,
        np.asarray(S.data, np.float64),
        roots.real.copy(),
        roots.imag.copy(),
        np.asarray(b, np.float64),
        min(restart, b.size),
        most,
        rtol,
    )


@_jit
def _product(indptr, indices, data, x, y):
    for i in range(indptr.size - 1):
        total = 0.0
        for j in range(indptr[i], indptr[i + 1]):
            total += data[j] * x[indices[j]]
        y[i] = total


@_jit
def _apply(indptr, indices, data, re, im, v, x, w, u):
    """Set x <- p(S) v; v, w and u are overwritten."""
    count = re.size
    if count == 0:
        x[:] = v
        return
    x[:] = 0.0
    k = 0
    while k < count:
        if im[k] == 0.0:
            x += v / re[k]
            if k + 1 < count:
                _product(indptr, indices, data, v, w)
                v -= w / re[k]
            k += 1
        else:
            size = re[k] ** 2 + im[k] ** 2
            _product(indptr, indices, data, v, w)
            x += (2 * re[k] / size) * v - w / size
            if k + 2 < count:
                _product(indptr, indices, data, w, u)
                v -= (2 * re[k] / size) * w - u / size
            k += 2


@_jit
def _gmres(indptr, indices, data, re, im, b, restart, most, rtol):
    # As SciPy 1.17 does it: left-preconditioned, the inner test on the preconditioned
    # residual, with a tolerance that learns from the true one between cycles.
    n, each = b.size, max(re.size - 1, 0)
    x, V, H = np.zeros(n), np.empty((restart + 1, n)), np.zeros((restart, restart + 1))
    cosines, sines = np.zeros(restart), np.zeros(restart)
    v, w, u, z = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    norm = np.linalg.norm(b)
    target, residual, now = rtol * norm, b.copy(), norm
    v[:] = b
    _apply(indptr, indices, data, re, im, v, z, w, u)
    count = each
    factor = 1.0
    inner = np.linalg.norm(z) * rtol
    best, stalled = np.inf, 0
    while count < most:
        v[:] = residual
        _apply(indptr, indices, data, re, im, v, z, w, u)
        count += each
        length = np.linalg.norm(z)
        if not 0.0 < length < 1e200:
            return count, False
        V[0] = z / length
        g = np.zeros(restart + 1)
        g[0] = length
        size, column, exact = length, 0, False
        for column in range(restart):
            _product(indptr, indices, data, V[column], v)
            _apply(indptr, indices, data, re, im, v, V[column + 1], w, u)
            count += each + 1
            z[:] = V[column + 1]
            before = np.linalg.norm(z)
            if not before < 1e200:
                return count, False
            for k in range(column + 1):
                h = V[k] @ z
                H[column, k] = h
                z -= h * V[k]
            after = np.linalg.norm(z)
            if after <= 2.2e-16 * before:
                after, exact = 0.0, True
            else:
                V[column + 1] = z / after
            H[column, column + 1] = after
            for k in range(column):
                a, c = H[column, k], H[column, k + 1]
                H[column, k] = cosines[k] * a + sines[k] * c
                H[column, k + 1] = cosines[k] * c - sines[k] * a
            radius = np.hypot(H[column, column], after)
            if radius == 0.0:
                cosines[column], sines[column] = 1.0, 0.0
            else:
                cosines[column] = H[column, column] / radius
                sines[column] = after / radius
            H[column, column] = radius
            g[column + 1] = -sines[column] * g[column]
            g[column] *= cosines[column]
            size = abs(g[column + 1])
            if size <= inner or exact or count >= most:
                break
        y = g[: column + 1].copy()
        for k in range(column, -1, -1):
            y[k] = y[k] / H[k, k] if H[k, k] != 0.0 else 0.0
            for j in range(k):
                y[j] -= y[k] * H[k, j]
        for k in range(column + 1):
            x += y[k] * V[k]
        _product(indptr, indices, data, x, v)
        count += 1
        residual = b - v
        now = np.linalg.norm(residual)
        if now <= target:
            return count, True
        # A cycle that gains nothing is repeated only so often: it will not change.
        stalled = 0 if now < 0.999 * best else stalled + 1
        best = min(best, now)
        if exact or stalled >= 12 or not now < 1e200:
            return count, False
        factor = max(2.2e-16, 0.25 * factor) if size <= inner else min(1.0, 1.5 * factor)
        inner = size * min(factor, target / now)
    return count, False
