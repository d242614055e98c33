"""Unions of intervals that a probe suggests, and residual polynomials that use the gaps.

Where the spectrum falls into clusters, or has isolated large eigenvalues, a residual
polynomial that is small on the clusters alone does far better than one on the whole
interval. The positive ones have an odd number of roots below every gap: φ is negative
there, so that λp(λ) = 1 - φ is large but positive.
"""

import bisect
import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np

from .equilibrium import N_CELLS, equilibrium, place_roots

__all__ = [
    "Candidate",
    "candidates",
    "equilibrium",
    "harmonic_ritz",
    "partitions",
    "place_roots",
]

# Ratio of the ends of a gap from which on it counts, each giving one partition.
_RATIOS = (10.0, 4.0, 2.0, 1.3, 1.15)
_MOST_UNIONS = 16  # those of wide gaps; there may be 40
_MOST_INTERVALS = 5
_MOST_SPLITS = 6  # of the roots among the intervals, for each partition

# Largest Gauss-Legendre node by number of nodes: where the outermost Ritz values of a
# cluster of evenly spread eigenvalues lie.
_OUTERMOST = np.array([np.polynomial.legendre.leggauss(m)[0][-1] for m in range(2, 65)])

# Points of every interval where the level is looked for, denser towards its ends; and of
# the stretches between two roots.
_PARTS = 0.5 * (1 - np.cos(np.linspace(0.0, np.pi, 17)))
_BETWEEN = np.linspace(0.1, 0.9, 9)
# These points miss the largest |φ| by a factor of 0.6 at most; below this level there is
# no need to look between them.
_SURE_LEVEL = -0.6


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
    harmonic : bool
        Whether the roots are harmonic Ritz values, as in the GMRES polynomial.
    """

    intervals: np.ndarray
    roots: np.ndarray
    counts: tuple[int, ...]
    level: float
    harmonic: bool = False


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
        Empty where the probe shows no gap. None is certified, but where φ could reach 1
        on an interval a grid says that it does not.

    Notes
    -----
    Takes 6 µs where there is no gap, elsewhere 0.4 to 1.5 ms. All unions are worked on
    at once: NumPy's calls would cost far more than their arithmetic if each had its
    own.
    """
    fits = (union for union in _unions(probe, low) if 2 * len(union) <= degree + 2)
    unions = list(itertools.islice(fits, _MOST_UNIONS))
    if not unions:
        return []
    # A union of fewer intervals than others repeats its last one. The last repetition
    # holds its roots, the other ones none.
    lengths = [len(union) for union in unions]
    sizes, most = np.array(lengths), max(lengths)
    whole = np.array([u + [u[-1]] * (most - len(u)) for u in unions])
    fitting = [ends[:length] for ends, length in zip(whole, lengths, strict=True)]
    intervals = whole / probe.high  # products of differences stay in range
    masses = np.empty((*intervals.shape[:2], N_CELLS))
    for size in sorted(set(lengths)):
        same = np.flatnonzero(sizes == size)
        own = equilibrium(intervals[same, :size])
        masses[same, :size] = own
        masses[same, size:] = own[:, -1:]
    usable = np.isfinite(masses).all((1, 2)) & (masses.sum(-1) > 0).all(1)
    masses[~usable] = 1.0
    idle = np.arange(most - 1) >= sizes[:, None] - 1
    counts, exists = _splits(masses.sum(-1), idle, degree + 1)
    exists &= usable[:, None]
    roots = place_roots(intervals[:, None], masses[:, None], counts)[exists]
    which, counts = exists.nonzero()[0], counts[exists]
    kept, level = _sift(intervals, which, roots)
    return _adapted(probe, degree, intervals, fitting) + [
        Candidate(fitting[k], r, tuple(filter(None, c)), value)
        for k, r, c, value in zip(
            which[kept].tolist(),
            probe.high * roots[kept],
            counts[kept].tolist(),
            level.tolist(),
            strict=True,
        )
    ]


def _adapted(probe, degree, intervals, fitting):
    """Return the GMRES polynomial, where it is positive and has gaps between its roots."""
    roots = harmonic_ritz(probe, degree + 1) if degree + 1 < probe.n_steps else None
    if roots is None:
        return []
    fits, counts, values = [], [], roots.tolist()
    for k, union in enumerate(fitting):
        ends = union.tolist()
        middles = [math.sqrt(a[1] * b[0]) for a, b in itertools.pairwise(ends)]
        edges = [0, *(bisect.bisect_left(values, m) for m in middles), len(values)]
        own = tuple(b - a for a, b in itertools.pairwise(edges))
        if own[0] % 2 and min(own) > 0 and not any(count % 2 for count in own[1:]):
            fits.append(k)
            counts.append(own)
    if not fits:
        return []
    same = np.broadcast_to(roots / probe.high, (len(fits), roots.size))
    kept, level = _sift(intervals, np.array(fits), same)
    if not kept.size:
        return []
    first = int(kept[0])
    return [Candidate(fitting[fits[first]], roots, counts[first], float(level[0]), True)]


def harmonic_ritz(probe, count):
    """Return the harmonic Ritz values after the first steps of a probe.

    Parameters
    ----------
    probe : Probe
        What was found.
    count : int
        Steps, less than those of the probe.

    Returns
    -------
    ndarray, shape (count,), or None
        Ascending: the zeros of the residual polynomial that is best for the start
        vector. None where they are not all positive.

    References
    ----------
    .. [1] J. A. Loe and R. B. Morgan, "Toward efficient polynomial preconditioning for
       GMRES", Numer. Linear Algebra Appl. 29, 2022, e2427, section 2.
    """
    alpha, beta = probe.first_steps(count)
    T = np.diag(alpha) + np.diag(beta[:-1], 1) + np.diag(beta[:-1], -1)
    last = np.zeros(count)
    last[-1] = 1.0
    try:
        T[:, -1] += beta[-1] ** 2 * np.linalg.solve(T, last)
    except np.linalg.LinAlgError:
        return None
    values = np.linalg.eigvals(T)
    if np.iscomplexobj(values) or not values.min() > 0:
        return None
    return np.sort(values)


def _splits(share, idle, total):
    """Return the best divisions of the roots: odd below, even in the other intervals.

    `idle` says which intervals but the last have none. The shapes are (U, S, K), S at
    most 6, and (U, S): whether the division exists.
    """
    share[:, :-1][idle] = 0.0
    wanted = share / share.sum(-1, keepdims=True) * total
    lowest = _nearest(np.arange(1, total + 1, 2), wanted[:, :1])
    others = _nearest(np.arange(2, total + 1, 2), wanted[:, 1:-1])
    others[idle[:, 1:]] = [0, *[total] * (others.shape[-1] - 1)]  # none, or too many
    choice = _choices(lowest.shape[-1], *[others.shape[-1]] * others.shape[1])
    counts = np.empty((*share.shape, choice.shape[1]), dtype=int)
    counts[:, :1] = lowest[:, :, choice[0]]
    counts[:, 1:-1] = others[:, np.arange(others.shape[1])[:, None], choice[1:]]
    counts[:, -1] = total - counts[:, :-1].sum(1)
    distance = np.abs(counts - wanted[..., None]).sum(1)
    distance[counts[:, -1] < 2] = np.inf
    # Many are equally good, so that rounding must not decide which comes first.
    distance = np.round(distance, 6) + 1e-9 * np.arange(choice.shape[1])
    best = np.argsort(distance, 1)[:, :_MOST_SPLITS]
    unions = np.arange(len(share))[:, None]
    counts, exists = counts[unions, :, best], np.isfinite(distance[unions, best])
    counts[~exists] = [total, *[0] * (share.shape[1] - 1)]  # anything of this sum
    return counts, exists


@functools.lru_cache
def _choices(*numbers):
    return np.indices(numbers).reshape(len(numbers), -1)


def _nearest(allowed, wanted):
    """Return the four allowed numbers nearest to each wanted one, the nearest first."""
    distance = np.abs(allowed - wanted[..., None])
    return allowed[np.argsort(distance, -1, kind="stable")[..., :4]]


def _sift(intervals, which, roots):
    """Return which are small on their union and positive, and the levels of these."""
    # φ is nearly always largest at an end, so that the ends alone rule out most.
    ends = intervals.reshape(len(intervals), -1)
    kept = np.flatnonzero(_largest(ends[which], roots) < np.e)
    with np.errstate(divide="ignore"):
        level = np.log(_largest(_points(intervals)[which[kept]], roots[kept]))
    good = level < 1.0
    unsure = np.flatnonzero(good & (level > _SURE_LEVEL))
    if unsure.size:
        good[unsure] = _is_positive_between(roots[kept[unsure]])
    return kept[good], level[good]


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
    return [np.array(union) for union in _unions(probe, low)]


def _unions(probe, low):
    theta = np.maximum(probe.ritz_values, 1e-14 * probe.high)
    norms = probe.residual_norms
    below = np.maximum(theta - norms, 0.02 * theta)[1:].tolist()
    above = (theta + norms)[:-1].tolist()
    theta, norms = theta.tolist(), norms.tolist()
    seen, last_cuts = set(), []
    for ratio in _RATIOS:
        pairs = enumerate(zip(below, above, strict=True), 1)
        cuts = [k for k, (left, right) in pairs if left > ratio * right]
        if cuts == last_cuts:
            continue
        last_cuts = cuts
        clusters = _clusters(theta, norms, probe.high, cuts)
        for k in range(max(0, len(clusters) - _MOST_INTERVALS), len(clusters) - 1):
            if any(b[0] <= 1.02 * a[1] for a, b in itertools.pairwise(clusters[k:])):
                continue
            right, others = clusters[k][1], clusters[k + 1 :]
            ends = [right, *itertools.chain(*others)]
            key = tuple(round(10 * math.log(end / probe.high)) for end in ends)
            # Clusters 0 to k joined, the same from `low` on, cluster k alone.
            for left in (clusters[0][0], low, clusters[k][0]):
                left = min(left, right / 1.01)
                full_key = round(10 * math.log(left / probe.high)), *key
                if full_key not in seen:
                    seen.add(full_key)
                    yield [(left, right), *others]


def _clusters(theta, norms, high, cuts):
    """Return the intervals that the Ritz values suggest, cut where a gap is wide.

    A single Ritz value is the mean of its cluster and its residual norm the standard
    deviation; several are like Gauss nodes. Both are exact for evenly spread
    eigenvalues far from all others.
    """
    result = []
    for start, stop in itertools.pairwise([0, *cuts, len(theta)]):
        first, last = theta[start], theta[stop - 1]
        if stop - start == 1:
            center, half = first, math.sqrt(3) * norms[start]
        else:
            center = 0.5 * (first + last)
            half = 0.5 * (last - first) / _OUTERMOST[min(stop - start, 64) - 2]
        left, right = max(center - half, 0.3 * first), center + half
        if right < 1.01 * left:
            middle = math.sqrt(left) * math.sqrt(right)
            left, right = middle / 1.005, middle * 1.005
        result.append((left, right))
    result[-1] = result[-1][0], high
    return result


def _points(intervals):
    """Return points of all intervals, denser towards their ends."""
    points = intervals[..., :1] + (intervals[..., 1:] - intervals[..., :1]) * _PARTS
    return points.reshape(len(intervals), -1)


def _largest(points, roots):
    """Return max |φ| over the points of each row."""
    return np.abs(_phi(points, roots)).max(1)


def _phi(points, roots):
    # Roots first: NumPy multiplies along the first axis in whole rows. Of the others
    # the longer one last.
    inverse, flip = 1 / roots.T, points.shape[1] < points.shape[0]
    factors = points.T.copy() * inverse[:, None] if flip else points * inverse[:, :, None]
    np.subtract(1, factors, out=factors)
    with np.errstate(over="ignore"):  # far above 1 is all that matters then
        phi = factors.prod(0)
    return phi.T if flip else phi


def _is_positive_between(roots):
    """Check on a grid that φ < 1 where it is positive between roots."""
    left, right = roots[:, 1:-1:2, None], roots[:, 2::2, None]
    points = left + (right - left) * _BETWEEN
    return _phi(points.reshape(len(roots), -1), roots).max(1, initial=0.0) < 1
