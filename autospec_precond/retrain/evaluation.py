"""Products to a tolerance with a polynomial, measured on operators held out of training."""

import numpy as np

from autospec_precond import certificate, classical, spectra

from .data import draw_samples

__all__ = ["count_products", "evaluate"]

DEGREES = (4, 8, 16, 32)
_N_EIGENVALUES = 800
_MOST_PRODUCTS = 60_000


def count_products(eigenvalues, polynomial, b, rtol=1e-8):
    """Count the products CG takes on a diagonal operator.

    Parameters
    ----------
    eigenvalues : ndarray, shape (n,)
        The operator.
    polynomial : Polynomial
        Positive on the spectrum.
    b : ndarray, shape (n,)
        Right-hand side.
    rtol : float, optional
        Relative residual norm to reach.

    Returns
    -------
    float
        Products, interpolated on log10 of the residual in the last iteration; the
        probe not counted.
    """
    p = polynomial(eigenvalues)
    r = np.array(b)
    z = p * r
    direction = z.copy()
    rz = r @ z
    target = rtol * np.linalg.norm(b)
    norm = np.linalg.norm(r)
    n_iterations = 0
    cost = polynomial.degree + 1
    while norm > target and n_iterations * cost < _MOST_PRODUCTS:
        product = eigenvalues * direction
        r -= rz / (direction @ product) * product
        z = p * r
        rz, before = r @ z, rz
        direction = z + rz / before * direction
        norm, last = np.linalg.norm(r), norm
        n_iterations += 1
    if n_iterations and norm < target:
        n_iterations += np.log(target / norm) / np.log(norm / last)
    return cost * n_iterations


def evaluate(engine, seed, per_family=8):
    """Compare an engine with the Chebyshev polynomial on [high/30, high].

    Parameters
    ----------
    engine : Engine
        To be judged.
    seed : int
        Of the held-out operators; not the one of training.
    per_family : int, optional
        Operators per family.

    Returns
    -------
    dict
        Geometric mean of products over those of Chebyshev, for each family and for
        all; the worst case; the share of predictions certified without repair.
    """
    rng = np.random.default_rng(seed)
    ratios = {name: [] for name in spectra.FAMILIES}
    certified = []
    for sample in draw_samples(rng, per_family * len(ratios), _N_EIGENVALUES):
        b = rng.standard_normal(_N_EIGENVALUES)
        eigenvalues = sample.eigenvalues * sample.probe.high
        for degree in DEGREES:
            ours = engine.predict(sample.probe, degree)
            certified.append(certificate.certify(ours).safe)
            if not certified[-1]:
                ours = engine.predict(sample.probe, degree, shrink=0.0)
            rival = classical.chebyshev(degree, sample.probe.high)
            products = [count_products(eigenvalues, p, b) for p in (ours, rival)]
            ratios[sample.family].append(products[0] / products[1])
    every = np.concatenate([np.array(r) for r in ratios.values()])
    return {
        "rival": "Chebyshev on [high/30, high]",
        "seed": seed,
        "geometric_mean": _mean(every),
        "worst": round(float(every.max()), 3),
        "by_family": {name: _mean(r) for name, r in ratios.items()},
        "certified_without_repair": round(float(np.mean(certified)), 4),
    }


def _mean(ratios):
    return round(float(np.exp(np.mean(np.log(ratios)))), 3)
