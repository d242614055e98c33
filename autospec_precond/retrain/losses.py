"""The losses: conjugate gradients with the polynomial, on diagonal operators.

Two of them. Unrolled, differentiated through the iteration: exact, but after some
dozens of iterations the gradient of CG is noise, and a budget that short rewards what
helps at the start of a solve. Measured, the logarithm of the products to a tolerance:
what the user pays, with a gradient from differences in the few outputs of the network.
"""

import math

import torch

__all__ = [
    "log_products",
    "positivity_penalty",
    "residual_polynomial",
    "unrolled_cg",
    "unrolled_loss",
]

_TINY = 1e-300


def residual_polynomial(eigenvalues, roots):
    """Evaluate φ(λ) = Π (1 - λ/r).

    Parameters
    ----------
    eigenvalues : Tensor, shape (batch, n)
        Over the upper bound.
    roots : Tensor, shape (batch, degree + 1)
        Over the upper bound.

    Returns
    -------
    Tensor, shape (batch, n)
        φ, dimensionless.
    """
    phi = torch.ones_like(eigenvalues)
    for k in range(roots.shape[1]):
        phi = phi * (1 - eigenvalues / roots[:, k : k + 1])
    return phi


def unrolled_cg(eigenvalues, q, b, n_iterations):
    """Run CG with M = q(λ)/λ, differentiable.

    Parameters
    ----------
    eigenvalues, q, b : Tensor, shape (batch, n)
        Diagonal operator, λp(λ) > 0 there, right-hand sides.
    n_iterations : int
        Outer iterations.

    Returns
    -------
    Tensor, shape (batch, n_iterations)
        log10 of the relative residual norm after each.
    """
    p = q / eigenvalues
    r = b
    z = p * r
    direction = z
    rz = (r * z).sum(1, keepdim=True)
    start = b.norm(dim=1)
    history = []
    for _ in range(n_iterations):
        product = eigenvalues * direction
        step = rz / ((direction * product).sum(1, keepdim=True) + _TINY)
        r = r - step * product
        z = p * r
        before, rz = rz, (r * z).sum(1, keepdim=True)
        direction = z + rz / (before + _TINY) * direction
        history.append(torch.log10(r.norm(dim=1) / start + 1e-11))
    return torch.stack(history, 1)


def positivity_penalty(roots):
    """Measure how far φ comes above 1 between its roots, where p would be negative.

    Parameters
    ----------
    roots : Tensor, shape (batch, degree + 1)
        Over the upper bound; an odd number, all positive.

    Returns
    -------
    Tensor, shape (batch,)
        0 where φ stays below 0.98 between every second pair of neighbours.
    """
    ordered = roots.sort(dim=1).values
    left, right = ordered[:, 1:-1:2], ordered[:, 2::2]
    points = torch.cat([left + f * (right - left) for f in (0.25, 0.5, 0.75)], 1)
    return torch.relu(residual_polynomial(points, ordered) - 0.98).sum(1)


def unrolled_loss(eigenvalues, roots, b, n_iterations):
    """Return the relative progress of a fixed number of outer iterations.

    Parameters
    ----------
    eigenvalues : Tensor, shape (batch, n)
        Operators over their upper bounds.
    roots : Tensor, shape (batch, degree + 1)
        Predicted roots over the upper bounds.
    b : Tensor, shape (batch, n)
        Right-hand sides.
    n_iterations : int
        Outer iterations that the budget of products allows.

    Returns
    -------
    Tensor, shape ()
        Mean over the batch.
    """
    q = 1 - residual_polynomial(eigenvalues, roots)
    # Where p is not positive CG means nothing; the penalty pulls it back.
    q = torch.where(q > 1e-12, q, 1e-12 + 0 * q)
    history = unrolled_cg(eigenvalues, q, b, n_iterations)
    h = history[:, -1] + 0.5 * history[:, n_iterations // 2]
    return h.mean() / (n_iterations * roots.shape[1] / 64)


@torch.no_grad()
def log_products(eigenvalues, roots, b, most, rtol=1e-8):
    """Measure the products that CG takes to a tolerance.

    Parameters
    ----------
    eigenvalues : Tensor, shape (batch, n)
        Operators over their upper bounds.
    roots : Tensor, shape (batch, degree + 1)
        Roots over the upper bounds.
    b : Tensor, shape (batch, n)
        Right-hand sides.
    most : int
        Products allowed.
    rtol : float, optional
        Relative residual norm to reach.

    Returns
    -------
    Tensor, shape (batch,)
        Natural logarithm of the count, interpolated on the logarithm of the residual;
        extrapolated from the mean rate where `most` is not enough, and e² times
        `most` where p is not positive.
    """
    cost = roots.shape[1]
    q = 1 - residual_polynomial(eigenvalues, roots)
    broken = (q <= 1e-12).any(1)
    p = q.clamp_min(1e-12) / eigenvalues
    r, z = b, p * b
    direction = z
    rz = (r * z).sum(1, keepdim=True)
    start = torch.log(b.norm(dim=1))
    target = math.log(rtol)
    result = torch.full_like(start, torch.nan)
    h = torch.zeros_like(start)
    for k in range(1, most // cost + 1):
        product = eigenvalues * direction
        step = rz / ((direction * product).sum(1, keepdim=True) + _TINY)
        r = r - step * product
        z = p * r
        before, rz = rz, (r * z).sum(1, keepdim=True)
        direction = z + rz / (before + _TINY) * direction
        last, h = h, torch.log(r.norm(dim=1) + _TINY) - start
        crossed = result.isnan() & (h < target)
        exact = torch.log(cost * (k - 1 + ((target - last) / (h - last)).clamp(0, 1)))
        result = torch.where(crossed, exact, result)
        if not result.isnan().any():
            break
    rest = math.log(most) + torch.log(target / h.clamp(target, -0.5))
    result = torch.where(result.isnan(), rest, result)
    return torch.where(broken, torch.full_like(result, math.log(most) + 2), result)
