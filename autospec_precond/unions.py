"""Unions of intervals that a probe suggests, and residual polynomials that use the gaps.

Where the spectrum falls into clusters, or has isolated large eigenvalues, a residual
polynomial that is small on the clusters alone does far better than one on the whole
interval. The positive ones have an odd number of roots below every gap: φ is negative
there, so that λp(λ) = 1 - φ is large but positive.
"""

import itertools
from dataclasses import dataclass

import numpy as np

__all__ = ["Candidate", "candidates", "equilibrium", "partitions", "place_roots"]

# Ratio of the ends of a gap from which on it counts, each giving one partition.
_RATIOS = (1.15, 1.3, 2.0, 4.0, 10.0)
_MOST_INTERVALS = 5
_MOST_SPLITS = 6  # of the roots among the intervals, for each partition

# Largest Gauss-Legendre node by number of nodes: where the outermost Ritz values of a
# cluster of evenly spread eigenvalues lie.
_OUTERMOST = np.array([np.polynomial.legendre.leggauss(m)[0][-1] for m in range(2, 65)])

# Nodes of the double exponential rule on (0, 1), their distances from 1, and weights:
# exact enough with singularities at and near both ends.
_T = np.linspace(-3.2, 3.2, 81)
_FROM_LEFT = 1 / (1 + np.exp(-np.pi * np.sinh(_T)))
_FROM_RIGHT = 1 / (1 + np.exp(np.pi * np.sinh(_T)))
_WEIGHTS = np.pi * np.cosh(_T) * _FROM_LEFT * _FROM_RIGHT * (_T[1] - _T[0])

_N_ANGLES = 64  # cells of every interval, equal in the Chebyshev angle
_N_POINTS = 17  # of every interval, where the level is looked for


@dataclass(frozen=True)
class Candidate:
    """A residual polynomial on a union of intervals.

    Attributes
    ----------
    intervals : ndarray, shape (K, 2)
        Ascending and apart, in the units of the eigenvalues.
    roots : ndarray, shape (degree + 1,)
        Zeros of φ, in the same units.
    counts : tuple of int
        Roots in each interval: odd in the lowest, even in the others.
    level : float
        log max |φ| on the union, natural.
    """

    intervals: np.ndarray
    roots: np.ndarray
    counts: tuple[int, ...]
    level: float


def candidates(probe, low, degree):
    """Return the polynomials on unions of intervals that a probe suggests.

    Parameters
    ----------
    probe : Probe
        What was found.
    low : float
        Lower edge that a single interval would have, in the units of the Ritz values.
    degree : int
        Degree of p, even.

    Returns
    -------
    list of Candidate
        Empty where the probe shows no gap. None is certified, but all are positive on
        a grid.

    Notes
    -----
    Takes 0.1 ms where there is no gap, 1 to 5 ms elsewhere.
    """
    result = []
    for union in partitions(probe, low):
        intervals = union / probe.high  # products of differences stay in range
        masses = equilibrium(intervals)
        share = masses.sum(1)
        if not (np.isfinite(share).all() and share.min() > 0):
            continue
        points = _points(intervals)
        for counts in _splits(share / share.sum() * (degree + 1), degree + 1):
            roots = place_roots(intervals, masses, counts)
            with np.errstate(divide="ignore"):
                level = np.log(np.abs(1 - points[:, None] / roots)).sum(1).max()
            if level < 1.0 and _is_positive_between(roots):
                roots = probe.high * roots
                result.append(Candidate(union, roots, counts, float(level)))
    return result


def partitions(probe, low):
    """Group the Ritz values into intervals, in several ways.

    Parameters
    ----------
    probe : Probe
        What was found.
    low : float
        Lower edge that a single interval would have.

    Returns
    -------
    list of ndarray, shape (K, 2)
        Unions of 2 to 5 intervals, the last ending at `high`; without repetition. The
        lowest clusters are kept apart, joined, or left to the outer iteration.
    """
    result, seen = [], set()
    for ratio in _RATIOS:
        clusters = _clusters(probe, ratio)
        for k in range(len(clusters)):
            joined = np.vstack([[clusters[0, 0], clusters[k, 1]], clusters[k + 1 :]])
            extended = joined.copy()
            extended[0, 0] = low
            for union in (joined, extended, clusters[k:].copy()):
                union[0, 0] = min(union[0, 0], union[0, 1] / 1.01)
                apart = (union[1:, 0] > 1.02 * union[:-1, 1]).all()
                if not (2 <= len(union) <= _MOST_INTERVALS and apart):
                    continue
                key = tuple(np.round(np.log(union.ravel() / probe.high), 1))
                if key not in seen:
                    seen.add(key)
                    result.append(union)
    return result


def _clusters(probe, ratio):
    """Return the intervals that the Ritz values suggest, cut where a gap is wide.

    A single Ritz value is the mean of its cluster and its residual norm the standard
    deviation; several are like Gauss nodes. Both are exact for evenly spread
    eigenvalues far from all others.
    """
    theta = np.maximum(probe.ritz_values, 1e-14 * probe.high)
    norms = probe.residual_norms
    low, high = np.maximum(theta - norms, 0.02 * theta), theta + norms
    cuts = np.flatnonzero(low[1:] > ratio * high[:-1]) + 1
    result = []
    for part in np.split(np.arange(theta.size), cuts):
        first, last = theta[part[0]], theta[part[-1]]
        if part.size == 1:
            center, half = first, np.sqrt(3) * norms[part[0]]
        else:
            center = 0.5 * (first + last)
            half = 0.5 * (last - first) / _OUTERMOST[min(part.size, 64) - 2]
        result.append((max(center - half, 0.3 * first), center + half))
    result = np.array(result)
    middle = np.sqrt(result[:, 0]) * np.sqrt(result[:, 1])
    narrow = result[:, 1] < 1.01 * result[:, 0]
    result[narrow] = np.outer(middle[narrow], [1 / 1.005, 1.005])
    result[-1, 1] = probe.high
    return result


def equilibrium(intervals):
    """Return how the roots of minimal polynomials spread on a union of intervals.

    Parameters
    ----------
    intervals : ndarray, shape (K, 2)
        Ascending and apart, positive.

    Returns
    -------
    ndarray, shape (K, 64)
        Mass of the equilibrium measure in cells of equal Chebyshev angle of each
        interval, ascending; not normalised.

    Notes
    -----
    The density is |P(x)| / (π sqrt Π |x - e|) over all ends e, with the monic P of
    degree K - 1 whose integral over each gap, with the same weight, is zero.

    References
    ----------
    .. [1] F. Peherstorfer, "Orthogonal and extremal polynomials on several intervals",
       J. Comput. Appl. Math. 48, 1993, pp. 187-205, section 2.
    """
    ends = intervals.ravel()
    count = len(intervals)
    zeros = np.sqrt(intervals[:-1, 1] * intervals[1:, 0])
    # P = Π (x - zero) + Σ weight_j Π_{i≠j} (x - zero_i), one zero guessed per gap.
    system = np.empty((count - 1, count - 1))
    target = np.empty(count - 1)
    for k in range(count - 1):
        left, right = intervals[k, 1], intervals[k + 1, 0]
        width = right - left
        x = left + width * _FROM_LEFT
        others = np.delete(ends, [2 * k + 1, 2 * k + 2])
        log_weight = -0.5 * (
            np.log(_FROM_LEFT * _FROM_RIGHT) + np.log(np.abs(x[:, None] - others)).sum(1)
        )
        weight = np.exp(log_weight - log_weight.max()) * _WEIGHTS
        factors, product = _factors(x, zeros)
        system[k], target[k] = weight @ factors, -(weight @ product)
    if count > 1:
        rows = np.abs(system).max(1, keepdims=True)
        columns = np.abs(system / rows).max(0)
        scaled = np.linalg.lstsq(system / rows / columns, target / rows[:, 0], rcond=1e-14)
        correction = scaled[0] / columns
    angles = np.pi * (np.arange(_N_ANGLES) + 0.5) / _N_ANGLES
    result = np.empty((count, _N_ANGLES))
    for k, (left, right) in enumerate(intervals):
        x = 0.5 * (left + right) - 0.5 * (right - left) * np.cos(angles)
        others = np.delete(ends, [2 * k, 2 * k + 1])
        density = np.exp(-0.5 * np.log(np.abs(x[:, None] - others)).sum(1))
        if count > 1:
            factors, product = _factors(x, zeros)
            density *= np.abs(factors @ correction + product)
        result[k] = density
    return result / _N_ANGLES


def _factors(x, zeros):
    """Return Π_{i≠j} (x - zero_i) for each j, and the whole product."""
    differences = x[:, None] - zeros
    factors = [np.delete(differences, j, 1).prod(1) for j in range(zeros.size)]
    return np.array(factors).reshape(zeros.size, x.size).T, differences.prod(1)


def place_roots(intervals, masses, counts):
    """Place roots at the quantiles of the equilibrium measure.

    Parameters
    ----------
    intervals : ndarray, shape (K, 2)
        The union.
    masses : ndarray, shape (K, 64)
        As `equilibrium` returns them.
    counts : sequence of int
        Roots in each interval.

    Returns
    -------
    ndarray, shape (sum of counts,)
        Ascending; Chebyshev nodes where there is one interval.
    """
    grid = np.linspace(0.0, np.pi, _N_ANGLES + 1)
    roots = []
    for (left, right), mass, count in zip(intervals, masses, counts, strict=True):
        share = np.concatenate([[0.0], np.cumsum(mass)]) / mass.sum()
        angle = np.interp((np.arange(count) + 0.5) / count, share, grid)
        roots.append(0.5 * (left + right) - 0.5 * (right - left) * np.cos(angle))
    return np.concatenate(roots)


def _splits(wanted, total):
    """Return the best divisions of the roots: odd below, even in the other intervals."""
    options = []
    for k, number in enumerate(wanted[:-1]):
        allowed = np.arange(1 if k == 0 else 2, total + 1, 2)
        options.append(allowed[np.argsort(np.abs(allowed - number), kind="stable")[:4]])
    splits = [(*c, total - sum(c)) for c in itertools.product(*options)]
    splits = [tuple(map(int, c)) for c in splits if c[-1] >= 2]
    return sorted(splits, key=lambda c: np.abs(c - wanted).sum())[:_MOST_SPLITS]


def _points(intervals):
    """Return points of all intervals, denser towards their ends."""
    part = 0.5 * (1 - np.cos(np.linspace(0.0, np.pi, _N_POINTS)))
    return (intervals[:, :1] + (intervals[:, 1:] - intervals[:, :1]) * part).ravel()


def _is_positive_between(roots):
    """Check on a grid that φ < 1 where it is positive between roots."""
    left, right = roots[1:-1:2], roots[2::2]
    points = (left[:, None] + (right - left)[:, None] * np.linspace(0.1, 0.9, 9)).ravel()
    return bool((1 - points[:, None] / roots).prod(1).max() < 1)
