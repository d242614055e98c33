"""The reference kernel: Clenshaw's recurrence on anything that has a product.

Slow and plain on purpose: every other kernel must agree with it.
"""

import numpy as np

__all__ = ["apply", "steps"]


def steps(coefficients, affine):
    """List the steps of Clenshaw's recurrence for p(S), t = alpha S + beta.

    Parameters
    ----------
    coefficients : sequence of float, length degree + 1
        Chebyshev coefficients, lowest degree first; degree at least 1.
    affine : tuple of float
        (alpha, beta), the map of the domain to [-1, 1].

    Returns
    -------
    list of tuple (c, a, b, g)
        One per product, in order; each makes ``y = c x + a S b1 + b b1 - g b2``.

    Notes
    -----
    b1 of the first step is x itself, and b2 of the second one a multiple of x that is
    folded into its c: the recurrence needs no start vectors, and one vector less per
    step than the three-term recurrence with an accumulator.

    References
    ----------
    .. [1] C. W. Clenshaw, "A note on the summation of Chebyshev series", MTAC 9,
       1955, pp. 118-120.
    """
    alpha, beta = affine
    c = list(coefficients)
    degree = len(c) - 1
    result = []
    for k in range(degree - 1, -1, -1):
        factor = 2.0 if k else 1.0
        lead = c[degree] if k == degree - 1 else 1.0
        fold = c[degree] if k == degree - 2 else 0.0
        keep = 1.0 if k < degree - 2 else 0.0
        result.append((c[k] - fold, factor * alpha * lead, factor * beta * lead, keep))
    return result


def apply(stored, coefficients, affine, x, work, n_threads=1):
    """Compute p(S) x.

    Parameters
    ----------
    stored : Stored
        The operator in the form that `layout.store` chose.
    coefficients : sequence of float
        Chebyshev coefficients, lowest degree first.
    affine : tuple of float
        (alpha, beta), the map of the domain to [-1, 1].
    x : ndarray, shape (n,) or (n, k), C order, or F order for 'dia'
        Vector or block, in the precision of the vectors; not changed.
    work : tuple of two ndarray, shape and order of `x`
        Scratch; whatever it holds has no influence.
    n_threads : int, optional
        Threads that share the rows in the fused kernels; of no effect here.

    Returns
    -------
    ndarray, shape of `x`
        p(S) x; one of the arrays in `work`.

    Notes
    -----
    ``len(coefficients) - 1`` products, each an allocation of its own here.
    """
    y, spare = work
    if len(coefficients) == 1:
        np.multiply(x, x.dtype.type(coefficients[0]), out=y)
        return y
    b1 = b2 = x
    real = x.real.dtype.type
    for c, a, b, g in steps(coefficients, affine):
        product = np.asarray(stored.product(b1), dtype=x.dtype).reshape(x.shape)
        step = real(c) * x + real(a) * product + real(b) * b1
        if g:
            step -= b2
        y[...] = step
        b2, b1 = b1, y
        y, spare = spare, y
    return b1
