"""Products to a tolerance on operators held out of training."""

import numpy as np

from autospec_precond import certificate, classical, spectra

from .counting import log_products
from .data import EDGES, draw_samples

__all__ = ["compare", "evaluate"]

_MOST_PRODUCTS = 60_000
_SHORT = 8  # outer iterations of the oracle below which a case is left out


def evaluate(engine, seed, per_family=10, families=None, n_jobs=1):
    """Compare an engine with the best interval and with a classical one.

    Parameters
    ----------
    engine : Engine
        To be judged.
    seed : int
        Of the held-out operators; not the one of training.
    per_family : int, optional
        Operators per family.
    families : sequence of str, optional
        All by default.
    n_jobs : int, optional
        Processes that draw.

    Returns
    -------
    dict
        Geometric means of products over those of the oracle, the best of 39 lower
        edges on the same upper end: of the engine, by family and in all, of the
        Chebyshev polynomial on [high/30, high]; the worst case of the engine; the share
        of predictions certified without repair.
    """
    families = list(spectra.FAMILIES) if families is None else list(families)
    samples = draw_samples(seed, per_family * len(families), (), families, n_jobs)
    ratios = {name: [] for name in families}
    rivals, certified = [], []
    for sample in samples:
        for degree in engine.config.degrees:
            ours, rival, oracle, safe = compare(engine, sample, degree)
            certified.append(safe)
            if oracle >= np.log(_SHORT * (degree + 1)):
                ratios[sample.family].append(ours - oracle)
                rivals.append(rival - oracle)
    every = np.concatenate([np.array(r) for r in ratios.values()])
    return {
        "seed": seed,
        "over": "the best of 39 lower edges on the same upper end",
        "geometric_mean": _mean(every),
        "worst": round(float(np.exp(every.max())), 3),
        "by_family": {name: _mean(r) for name, r in ratios.items()},
        "chebyshev_30": _mean(rivals),
        "certified_without_repair": round(float(np.mean(certified)), 4),
    }


def compare(engine, sample, degree):
    """Measure an engine, a classical polynomial and the oracle on one operator.

    Parameters
    ----------
    engine : Engine
        To be judged.
    sample : Sample
        Operator; its first probe is used.
    degree : int
        Degree of p.

    Returns
    -------
    ours, rival, oracle : float
        Natural logarithms of products; the rival is Chebyshev on [high/30, high].
    safe : bool
        Whether the first prediction was certified.
    """
    probe, x = sample.probes[0], sample.eigenvalues
    proposals = engine.predict(probe, degree)
    certified = [p for p in proposals if certificate.certify(p).safe]
    safe = certified[:1] == proposals[:1]
    p = (certified or proposals[-1:])[0]
    lows = [classical.EDGE_RATIO, *EDGES]
    rivals = [classical.chebyshev(degree, probe.high, probe.high * low) for low in lows]
    q = np.array([x * polynomial(x) for polynomial in (p, *rivals)])
    logs = log_products(x, q, degree + 1, sample.b, _MOST_PRODUCTS)
    return logs[0], logs[1], logs[2:].min(), safe


def _mean(logs):
    return round(float(np.exp(np.mean(logs))), 3) if len(logs) else None
