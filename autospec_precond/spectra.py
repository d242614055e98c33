"""Synthetic spectra and diagonal problems: what the engine learns from.

Every family returns eigenvalues of a positive definite operator, scaled to a largest
one of 1. A polynomial method sees a Hermitian matrix through its spectrum and the
components of the start vector only, so a diagonal operator stands for all of them.
"""

import numpy as np

__all__ = ["FAMILIES", "draw", "draw_family"]

# Below this the smallest eigenvalue is drowned by rounding in any solve to 1e-8.
FLOOR = 1e-9


def _uniform(rng, n, kappa):
    """Evenly spread between 1/κ and 1."""
    return rng.uniform(1 / kappa, 1, n)


def _log_uniform(rng, n, kappa):
    """Evenly spread on a logarithmic scale."""
    return 10 ** rng.uniform(-np.log10(kappa), 0, n)


def _beta(rng, n, kappa):
    """Beta density with random exponents, from needle-like to bowl-like."""
    a, b = 10 ** rng.uniform(-0.5, 0.7, 2)
    return 1 / kappa + (1 - 1 / kappa) * rng.beta(a, b, n)


def _power(rng, n, kappa):
    """Return λ_k = (k/n)^s, cut at 1/κ: differential operators of many orders."""
    return np.maximum((np.arange(1, n + 1) / n) ** rng.uniform(0.5, 6), 1 / kappa)


def _grid(rng, n, kappa):
    """Return sums of sin²: Laplacians on grids in 1 to 3 dimensions, anisotropic."""
    dimension = int(rng.integers(1, 4))
    side = max(3, int(np.ceil(n ** (1 / dimension))))
    modes = np.sin(np.pi * np.arange(1, side + 1) / (2 * side + 2)) ** 2
    weights = 10 ** rng.uniform(-3, 0, dimension)
    total = np.zeros(1)
    for weight in weights / weights.sum():
        total = np.add.outer(total, weight * modes).ravel()
    chosen = rng.choice(total, n, replace=total.size < n)
    return np.maximum(chosen * (1 + 0.01 * rng.standard_normal(n)), 1 / kappa)


def _clusters(rng, n, kappa):
    """Two to five clusters of random width and size, one at the top; some with strays."""
    count = int(rng.integers(2, 6))
    centres = 10 ** rng.uniform(-np.log10(kappa), 0, count)
    centres[0] = 1.0
    widths = 10 ** rng.uniform(-2.5, -0.3, count)
    sizes = 10 ** rng.uniform(-1.2, 0, count)
    which = rng.choice(count, n, p=sizes / sizes.sum())
    values = centres[which] * (1 + widths[which] * rng.uniform(-1, 1, n))
    if rng.random() < 0.4:
        m = int(n * 10 ** rng.uniform(-3, -1.3))
        values[:m] = centres.min() ** rng.random(m)
    return values


def _bulk_and_tail(rng, n, kappa):
    """Most eigenvalues well conditioned, a share of them on a logarithmic tail."""
    values = rng.uniform(0.2, 1, n)
    m = max(1, int(n * 10 ** rng.uniform(-2, -0.3)))
    values[:m] = kappa ** -rng.random(m)
    return values


def _piecewise(rng, n, kappa):
    """Density constant on random pieces of the logarithmic scale."""
    m = int(rng.integers(2, 8))
    share, place = (
        np.concatenate([[0.0], np.sort(rng.random(m)), [1.0]]) for _ in range(2)
    )
    return kappa ** (np.interp(rng.random(n), share, place) - 1)


def _large_outliers(rng, n, kappa):
    """One to eight eigenvalues far above all others."""
    bulk = FAMILIES[str(rng.choice(_BULKS))](rng, n, kappa)
    m = min(n, int(rng.integers(1, 9)))
    bulk[:m] = bulk.max() * 10 ** rng.uniform(0.2, 1.6, m)
    return bulk


def _tiny_outliers(rng, n, kappa):
    """One to ten eigenvalues far below all others."""
    bulk = FAMILIES[str(rng.choice(_BULKS))](rng, n, kappa ** (3 / 8))
    m = min(n, int(rng.integers(1, 11)))
    bulk[:m] = bulk.min() * 10 ** -rng.uniform(0.5, 4, m)
    return bulk


def _near_kernel(rng, n, kappa):
    """Shift a large kernel: curl-curl and a mass, least squares with Tikhonov's term."""
    values = FAMILIES[str(rng.choice(_BULKS))](rng, n, kappa ** (3 / 8))
    m = int(n * 10 ** rng.uniform(-1.5, -0.2))
    centre = values.min() * kappa ** (-rng.uniform(0.1, 5 / 8))
    values[:m] = centre * 10 ** (rng.random() * rng.uniform(-0.5, 0.5, m))
    return values


def _fields(rng, n, kappa):
    """Two to four coupled fields of unlike scale, each with a smooth spectrum."""
    count = int(rng.integers(2, 5))
    scales = kappa ** -np.r_[0.0, rng.random(count - 1)]
    sizes = 10 ** rng.uniform(-1, 0, count)
    which = np.sort(rng.choice(count, n, p=sizes / sizes.sum()))
    values = np.empty(n)
    for k, scale in enumerate(scales):
        own = which == k
        if own.any():
            # Well conditioned each, or the gaps between them close.
            kappa_own = 10**10 ** rng.uniform(-1.5, 0.3)
            bulk = FAMILIES[str(rng.choice(_BULKS))]
            values[own] = scale * bulk(rng, int(own.sum()), kappa_own)
    return values


_BULKS = ("uniform", "log_uniform", "beta", "grid", "power")

FAMILIES = {
    "uniform": _uniform,
    "log_uniform": _log_uniform,
    "beta": _beta,
    "power": _power,
    "grid": _grid,
    "clusters": _clusters,
    "bulk_and_tail": _bulk_and_tail,
    "piecewise": _piecewise,
    "large_outliers": _large_outliers,
    "tiny_outliers": _tiny_outliers,
    "near_kernel": _near_kernel,
    "fields": _fields,
}


def draw_family(name, rng, n, most_kappa=1e8):
    """Draw one spectrum of a family, with outliers in some of the draws.

    Parameters
    ----------
    name : str
        A key of `FAMILIES`.
    rng : numpy.random.Generator
        Source of randomness.
    n : int
        Number of eigenvalues.
    most_kappa : float, optional
        Largest condition number aimed at, outliers aside.

    Returns
    -------
    ndarray, shape (n,)
        Eigenvalues in ascending order, the largest 1, dimensionless.
    """
    kappa = 10 ** rng.uniform(0.5, np.log10(most_kappa))
    values = FAMILIES[name](rng, n, kappa)
    if rng.random() < 0.3:
        m = min(n, int(rng.integers(1, 30)))
        values[:m] = values.min() * 10 ** rng.uniform(-3, 0, m)
    if rng.random() < 0.15:
        m = min(n, int(rng.integers(1, 8)))
        values[:m] = values.max() * 10 ** rng.uniform(0, 1.5, m)
    return np.sort(np.maximum(values / values.max(), FLOOR))


def draw(rng, n):
    """Draw one spectrum of a random family.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    n : int
        Number of eigenvalues.

    Returns
    -------
    ndarray, shape (n,)
        As `draw_family` returns it.
    """
    names = list(FAMILIES)
    return draw_family(names[int(rng.integers(len(names)))], rng, n)
