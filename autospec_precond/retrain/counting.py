"""Products that conjugate gradients take on diagonal operators: what training measures."""

import numba
import numpy as np

__all__ = ["log_products", "residual_polynomial"]


def residual_polynomial(eigenvalues, roots):
    """Evaluate φ(λ) = Π (1 - λ/r).

    Parameters
    ----------
    eigenvalues : ndarray, shape (n,)
        Points.
    roots : ndarray, shape (..., degree + 1)
        Zeros of φ, in the same units.

    Returns
    -------
    ndarray, shape (..., n)
        φ, dimensionless.
    """
    phi = np.ones((*roots.shape[:-1], eigenvalues.size))
    for root in np.moveaxis(roots, -1, 0):
        phi *= 1 - eigenvalues / root[..., None]
    return phi


def log_products(eigenvalues, q, cost, b, most, rtol=1e-8, patience=np.inf):
    """Measure the products that CG takes to a tolerance, for many polynomials at once.

    Parameters
    ----------
    eigenvalues : ndarray, shape (n,)
        The operator, positive.
    q : ndarray, shape (m, n)
        λp(λ) of each polynomial.
    cost : int
        Products of an iteration, degree + 1.
    b : ndarray, shape (n,)
        Right-hand side.
    most : int
        Products allowed.
    rtol : float, optional
        Relative residual norm to reach.
    patience : float, optional
        Polynomials that take this many times the products of the best are given up.

    Returns
    -------
    ndarray, shape (m,)
        Natural logarithm of the count, interpolated on the logarithm of the residual
        within the last iteration. Where a run ends before, extrapolated from the mean
        rate, but to at most ten times what it was given.
    """
    # Where p is not positive CG means nothing; tiny eigenvalues drown in rounding.
    p = np.maximum(q, 1e-14) / eigenvalues
    return _lockstep(eigenvalues, p, b, cost, most // cost, np.log(rtol), patience)


# Two passes over three short vectors per step: 5 times as fast as NumPy's temporaries.
@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _lockstep(eigenvalues, p, b, cost, limit, target, patience):
    m, n = p.shape
    r, direction = np.empty((m, n)), np.zeros((m, n))
    rz, beta, last = np.zeros(m), np.zeros(m), np.zeros(m)
    result, open_ = np.empty(m), np.ones(m, np.bool_)
    start = 0.0
    for j in range(n):
        start += b[j] * b[j]
    start = 0.5 * np.log(start)
    for i in range(m):
        for j in range(n):
            r[i, j] = b[j]
            rz[i] += p[i, j] * b[j] * b[j]
    k, n_open, limit = 0, m, float(limit)
    while k < limit and n_open:
        k += 1
        for i in range(m):
            if not open_[i]:
                continue
            curvature = 0.0
            for j in range(n):
                d = p[i, j] * r[i, j] + beta[i] * direction[i, j]
                direction[i, j] = d
                curvature += eigenvalues[j] * d * d
            step = rz[i] / curvature
            square = preconditioned = 0.0
            for j in range(n):
                t = r[i, j] - step * eigenvalues[j] * direction[i, j]
                r[i, j] = t
                square += t * t
                preconditioned += p[i, j] * t * t
            beta[i], rz[i] = preconditioned / rz[i], preconditioned
            norm = 0.5 * np.log(square + 1e-300) - start
            if norm < target:
                share = (target - last[i]) / (norm - last[i])
                result[i] = np.log(cost * (k - 1 + share))
                open_[i] = False
                n_open -= 1
                limit = min(limit, patience * k)
            last[i] = norm
    for i in range(m):
        if open_[i]:
            longer = min(max(target / min(last[i], -1e-3), 1.0), 10.0)
            result[i] = np.log(max(k, 1) * cost * longer)
    return result
