"""From a probe to the numbers that the network reads: fixed length, dimensionless."""

import numpy as np

from .classical import chebyshev_roots

__all__ = ["N_STEPS", "extract", "of_candidates", "size", "size_candidate"]

N_STEPS = 12  # Lanczos steps that the features describe

_SIZES = (1e2, 1e6)  # numbers of unknowns that training has met
_FLOOR = 1e-10  # of ratios, before their logarithm is taken
_VALUES = (1e-6, 1e13)  # that λp(λ) is clipped to at a Ritz value, before its logarithm


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
    return 17


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
    theta, weights, norms = _first(probe)
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


def of_candidates(x, probe, low, degree, found):
    """Append what describes polynomials on unions of intervals.

    Parameters
    ----------
    x : ndarray, shape (38,)
        Features of the probe.
    probe : Probe
        What they are features of.
    low : float
        Lower end of the single interval that is the alternative, in the units of the
        Ritz values.
    degree : int
        Their degree.
    found : list of Candidate
        The polynomials.

    Returns
    -------
    ndarray, shape (len(found), 55)
        For each the features of the probe, log2 of degree + 1 over 5, the level, the
        number of intervals, log10 of the ends of the lowest interval and of the
        beginning of the next over the bound, the share of the roots in the lowest and in
        the highest interval, 1 where the roots are harmonic Ritz values; then what
        compares it with the single interval: the level of that one and the difference,
        the same of what one application leaves of the start vector, the range and the
        spread of log λp(λ) over the Ritz values, and their differences.

    Notes
    -----
    Takes 0.1 ms. The comparisons are what carries over to spectra of a kind that training
    has not met.
    """
    high = probe.high
    result = np.empty((len(found), x.size + size_candidate()))
    result[:, : x.size] = x
    result[:, x.size] = np.log2(degree + 1) / 5
    rows = result[:, x.size + 1 :]
    rows[:, :8] = [
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
    z = (degree + 1) * np.arccosh((high + low) / (high - low))
    level = np.log(2.0) - np.logaddexp(z, -z)
    rows[:, 8], rows[:, 9] = level, rows[:, 0] - level
    roots = [c.roots for c in found]
    seen = _on_ritz_values(np.array([*roots, chebyshev_roots(degree, low, high)]), probe)
    rows[:, 10], rows[:, 11:14] = seen[-1, 0], seen[:-1] - seen[-1]
    rows[:, 14:] = seen[:-1, 1:]
    return result


def _on_ritz_values(roots, probe):
    """Return what residual polynomials do at the Ritz values, three numbers for each.

    log ‖φ(S)v‖ of the start vector v as the probe sees it, range and standard deviation
    of log λp(λ), the latter in the weights of the Ritz values.
    """
    theta, weights, _ = _first(probe)
    weights = np.maximum(weights, _FLOOR)
    weights = weights / weights.sum()
    φ = (1 - theta[:, None] / roots[:, None]).prod(-1)  # (m, n_steps)
    logs = np.log(np.clip(1 - φ, *_VALUES))
    spread = np.sqrt(((logs - (logs @ weights)[:, None]) ** 2) @ weights)
    left = np.minimum(np.abs(φ), _VALUES[1]) ** 2 @ weights
    return np.stack([0.5 * np.log(left + _FLOOR), np.ptp(logs, axis=1), spread], axis=1)


def _first(probe):
    """Return Ritz values, weights and residual norms of at most the first 12 steps."""
    if probe.ritz_values.size > N_STEPS:
        return _cut(probe)
    return probe.ritz_values, probe.weights, probe.residual_norms


def _cut(probe):
    """Return Ritz values, weights and residual norms after the first 12 steps."""
    alpha, beta = probe.first_steps(N_STEPS)
    T = np.diag(alpha) + np.diag(beta[:-1], 1) + np.diag(beta[:-1], -1)
    ritz_values, Y = np.linalg.eigh(T)
    return ritz_values, Y[0] ** 2, beta[-1] * np.abs(Y[-1])
