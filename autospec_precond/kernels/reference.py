"""The reference kernel: a recurrence of two terms on anything that has a product.

Slow and plain on purpose: every other kernel must agree with it.
"""

import numpy as np

__all__ = ["apply", "typed"]


def typed(factors, dtype):
    """Return factors in the type of the vectors, real where they are real.

    Parameters
    ----------
    factors : ndarray, shape (degree, 4)
        As for `apply`.
    dtype : dtype
        Of the vectors.

    Returns
    -------
    ndarray, shape (degree, 4)
        Real factors of complex vectors stay real: half the work.
    """
    factors = np.asarray(factors)
    if factors.dtype.kind == "c":
        return factors.astype(dtype)
    return factors.astype(np.empty(0, dtype).real.dtype)


def apply(stored, factors, x, work, n_threads=1):
    """Compute p(S) x.

    Parameters
    ----------
    stored : Stored
        The operator in the form that `layout.store` chose.
    factors : ndarray, shape (degree, 4)
        Rows (c, a, b, g), one per product and at least one: each product makes
        ``y = c x + a S b1 + b b1 - g b2`` of the results b1 and b2 of the two before. Of
        the first, b1 is x; the first two have no b2, and g = 0. Complex for complex
        vectors only.
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
    One product per row of `factors`, each an allocation of its own here.
    """
    y, spare = work
    b1 = b2 = x
    for c, a, b, g in typed(factors, x.dtype):
        product = np.asarray(stored.product(b1), dtype=x.dtype).reshape(x.shape)
        step = c * x + a * product + b * b1
        if g:
            step -= g * b2
        y[...] = step
        b2, b1 = b1, y
        y, spare = spare, y
    return b1
