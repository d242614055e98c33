"""Products that conjugate gradients take on diagonal operators: what training measures."""

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


def log_products(eigenvalues, q, cost, b, most, rtol=1e-8):
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

    Returns
    -------
    ndarray, shape (m,)
        Natural logarithm of the count, interpolated on the logarithm of the residual
        within the last iteration; extrapolated from the mean rate, but to at most ten
        times `most`, where `most` is not enough.
    """
    # Where p is not positive CG means nothing; tiny eigenvalues drown in rounding.
    p = np.maximum(q, 1e-14) / eigenvalues
    r = np.tile(b, (len(q), 1))
    z = p * r
    direction = z.copy()
    rz = np.einsum("ij,ij->i", r, z)
    start, target = 0.5 * np.log(b @ b), np.log(rtol)
    result = np.empty(len(q))
    which = np.arange(len(q))
    last = np.zeros(len(q))
    for k in range(1, most // cost + 1):
        product = eigenvalues * direction
        step = rz / np.einsum("ij,ij->i", direction, product)
        product *= step[:, None]
        r -= product
        np.multiply(p, r, out=z)
        before, rz = rz, np.einsum("ij,ij->i", r, z)
        direction *= (rz / before)[:, None]
        direction += z
        norms = 0.5 * np.log(np.einsum("ij,ij->i", r, r) + 1e-300) - start
        done = norms < target
        if done.any():
            share = (target - last[done]) / (norms[done] - last[done])
            result[which[done]] = np.log(cost * (k - 1 + share))
            keep = ~done
            if not keep.any():
                return result
            p, r, z, direction = (array[keep] for array in (p, r, z, direction))
            rz, which, norms = rz[keep], which[keep], norms[keep]
        last = norms
    result[which] = np.log(most * np.clip(target / np.minimum(last, -1e-3), 1, 10))
    return result
