"""What the GMRES engine learns from: features and counted products, stage by stage."""

from dataclasses import dataclass

import numpy as np

from autospec_precond import gmres_engine
from autospec_precond.roots import with_added_roots

from . import gmres_operators
from .gmres_counting import n_products

__all__ = ["MOST_PRODUCTS", "Sample", "arnoldi", "draw_samples", "measure"]

MOST_PRODUCTS = 6_000
_DEGREES = (6, 8, 12, 16, 24, 32)
_PATIENCE = 4.0  # a candidate that takes this many times the products of the plain one


@dataclass(frozen=True)
class Sample:
    """One operator, degree and probe.

    Attributes
    ----------
    family : str
        Where the operator comes from.
    degree : int
        Of p.
    n : int
        Unknowns.
    plain : int
        Products of the GMRES polynomial, probe included.
    x : ndarray, shape (n_stages, n_features)
        Features at each stage.
    gains : ndarray, shape (n_stages, n_emphases)
        Natural logarithm of the products, probe included, over those of the plain one.
    """

    family: str
    degree: int
    n: int
    plain: int
    x: np.ndarray
    gains: np.ndarray


def arnoldi(S, m, v):
    """Run Arnoldi's process.

    Parameters
    ----------
    S : sparse array, shape (n, n)
        The operator.
    m : int
        Steps, below n.
    v : ndarray, shape (n,)
        Start vector.

    Returns
    -------
    ndarray, shape (m + 1, m)
        Hessenberg matrix; narrower, with a last row of zeros, after a breakdown.
    """
    V, H = np.empty((m + 1, v.size)), np.zeros((m + 1, m))
    V[0] = v / np.linalg.norm(v)
    for j in range(m):
        w = S @ V[j]
        size = np.linalg.norm(w)
        for _ in range(2):
            h = V[: j + 1] @ w
            w = w - h @ V[: j + 1]
            H[: j + 1, j] += h
        left = np.linalg.norm(w)
        if not left > 1e-13 * size:
            return H[: j + 2, : j + 1]
        H[j + 1, j] = left
        V[j + 1] = w / left
    return H


def measure(S, degree, rng, config, family="", most=MOST_PRODUCTS):
    """Probe an operator and count the products of every candidate.

    Parameters
    ----------
    S : csr_array, shape (n, n)
        The operator.
    degree : int
        Of p.
    rng : numpy.random.Generator
        Source of start vector and right-hand side.
    config : GmresConfig
        With the candidates.
    family : str, optional
        Name to keep.
    most : int, optional
        Products allowed.

    Returns
    -------
    Sample or None
        None where the GMRES polynomial and all candidates fail.
    """
    n = S.shape[0]
    start, b = rng.standard_normal((2, n))
    H = arnoldi(S, degree + 1, start)
    if H.shape[1] <= degree:
        return None
    steps = gmres_engine.stages(degree)
    rows, lists = [], []
    for m in steps:
        x, found = gmres_engine.features(H[: m + 1, :m], degree, config)
        rows.append(x)
        lists.append(found)
    counts = np.full((len(steps), len(config.emphases)), float(most))

    def _count(i, j, limit):
        values = lists[i][j]
        if not values.size:
            return float(limit)
        done, solved = n_products(S, with_added_roots(values, True), b, int(limit))
        return min(steps[i] + done, limit) if solved else float(limit)

    counts[-1, 0] = _count(-1, 0, most)
    for i in range(len(steps)):
        for j in range(len(config.emphases)):
            if (i, j) != (len(steps) - 1, 0):
                limit = min(most, _PATIENCE * counts[-1, 0])
                counts[i, j] = _count(i, j, limit)
    if counts.min() >= most:
        return None
    gains = np.log(counts / counts[-1, 0])
    return Sample(family, degree, n, int(counts[-1, 0]), np.array(rows), gains)


def draw_samples(seed, count, config, families=None, progress=None):
    """Draw and measure operators.

    Parameters
    ----------
    seed : int
        Of all of them.
    count : int
        How many are drawn; some are of no use.
    config : GmresConfig
        With the candidates.
    families : sequence of str, optional
        Keys of `gmres_operators.FAMILIES`; all by default.
    progress : callable, optional
        Called with the number of samples so far.

    Returns
    -------
    list of Sample
        Family by family.
    """
    families = list(families or gmres_operators.FAMILIES)
    result = []
    for place, family in enumerate(families):
        for k in range(place, count, len(families)):
            rng = np.random.default_rng([seed, k])
            S = gmres_operators.draw(family, rng)
            sample = measure(S, int(rng.choice(_DEGREES)), rng, config, family)
            if sample is not None:
                result.append(sample)
            if progress:
                progress(len(result))
    return result
