"""From a probe to the numbers that the network reads: fixed length, dimensionless."""

import numpy as np

__all__ = ["N_STEPS", "extract", "of_candidates", "size", "size_candidate"]

N_STEPS = 12  # Lanczos steps that the features describe

_SIZES = (1e2, 1e6)  # numbers of unknowns that training has met
_FLOOR = 1e-10  # of ratios, before their logarithm is taken


def size():
    """Return the number of features.

    Returns
    -------
    int
        Length of what `extract` returns.
    """
    return 3 * N_STEPS + 2


def size_candidate():
    """Return how many features the judge reads besides those of the probe.

    Returns
    -------
    int
        Number of columns that `of_candidates` appends.
    """
    return 9


def extract(probe):
    """Turn a probe into features.

    Parameters
    ----------
    probe : Probe
        Of any number of steps.

    Returns
    -------
    ndarray, shape (38,)
        log10 of Ritz values over the bound, half log10 of weights, log10 of residual
        norms over the bound, share of the steps made, log10 of the number of unknowns
        between 100 and a million: exact CG ends after as many products, so that few
        unknowns want other intervals than many.

    Notes
    -----
    A longer probe is cut to its first 12 steps, which the Ritz values and weights
    determine: they are the Gauss quadrature of the Lanczos matrix. A shorter one is
    padded from below with copies of the smallest Ritz value, weight zero.
    """
    theta, weights, norms = probe.ritz_values, probe.weights, probe.residual_norms
    if theta.size > N_STEPS:
        theta, weights, norms = _cut(probe)
    missing = N_STEPS - theta.size
    theta = np.concatenate([np.full(missing, theta[0]), theta])
    weights = np.concatenate([np.zeros(missing), weights])
    norms = np.concatenate([np.zeros(missing), norms])
    return np.concatenate(
        [
            np.log10(np.maximum(theta / probe.high, _FLOOR)),
            0.5 * np.log10(np.maximum(weights, _FLOOR)),
            np.log10(np.maximum(norms / probe.high, _FLOOR)),
            [1 - missing / N_STEPS, np.log10(np.clip(probe.n or np.inf, *_SIZES))],
        ]
    )


def of_candidates(x, high, degree, found):
    """Append what describes polynomials on unions of intervals.

    Parameters
    ----------
    x : ndarray, shape (38,)
        Features of the probe.
    high : float
        Upper bound of the spectrum.
    degree : int
        Their degree.
    found : list of Candidate
        The polynomials.

    Returns
    -------
    ndarray, shape (len(found), 47)
        For each the features of the probe, log2 of degree + 1 over 5, the level, the
        number of intervals, log10 of the ends of the lowest interval and of the
        beginning of the next over `high`, the share of the roots in the lowest and in
        the highest interval, 1 where the roots are harmonic Ritz values.
    """
    result = np.empty((len(found), x.size + size_candidate()))
    result[:, : x.size] = x
    result[:, x.size] = np.log2(degree + 1) / 5
    rows = result[:, x.size + 1 :]
    rows[:] = [
        (
            c.level,
            len(c.counts),
            c.intervals[0, 0],
            c.intervals[0, 1],
            c.intervals[1, 0],
            c.counts[0],
            c.counts[-1],
            c.harmonic,
        )
        for c in found
    ]
    rows[:, 2:5] = np.log10(rows[:, 2:5] / high)
    rows[:, 5:7] /= degree + 1
    return result


def _cut(probe):
    """Return Ritz values, weights and residual norms after the first 12 steps."""
    alpha, beta = probe.first_steps(N_STEPS)
    T = np.diag(alpha) + np.diag(beta[:-1], 1) + np.diag(beta[:-1], -1)
    ritz_values, Y = np.linalg.eigh(T)
    return ritz_values, Y[0] ** 2, beta[-1] * np.abs(Y[-1])
