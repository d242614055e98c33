"""How the roots of polynomials that are small on a union of intervals spread on it.

Everything takes many unions at once: for one of them NumPy's calls cost far more than
their arithmetic.
"""

import functools

import numpy as np

__all__ = ["N_CELLS", "equilibrium", "place_roots"]

# Nodes of the double exponential rule on (0, 1) and weights, over that of both ends:
# exact enough with singularities at and near them.
_T = np.linspace(-3.2, 3.2, 81)
_NODES = 1 / (1 + np.exp(-np.pi * np.sinh(_T)))
_WEIGHTS = np.cosh(_T) / np.cosh(0.5 * np.pi * np.sinh(_T))

N_CELLS = 64  # cells of every interval, equal in the Chebyshev angle
# Their middles, as shares of the interval. Those beyond 64 are there to have as many
# points as nodes, so that intervals and gaps are parts of one array.
_MIDDLES = 0.5 * (1 - np.cos(np.pi * (np.arange(_T.size) + 0.5) / N_CELLS))
_PARTS = np.stack([_MIDDLES, _NODES])


def equilibrium(intervals):
    """Return how the roots of minimal polynomials spread on unions of intervals.

    Parameters
    ----------
    intervals : ndarray, shape (..., K, 2)
        Ascending and apart, positive.

    Returns
    -------
    ndarray, shape (..., K, 64)
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
    *batch, count, _ = intervals.shape
    ends = intervals.reshape(*batch, 2 * count)
    # Between neighbouring ends lie intervals and gaps in turn; the axes of what follows
    # are (..., part, node).
    left, right = ends[..., :-1, None], ends[..., 1:, None]
    parts, others = _pattern(count)
    x = left + (right - left) * parts
    distances = x[..., None, :, :] - ends[..., others, None]
    density = 1 / np.sqrt(np.abs(distances.prod(-3)))
    # P = Π (x - zero) + Σ weight_j Π_{i≠j} (x - zero_i), one zero guessed per gap. With
    # this basis the condition of the system is harmless however far apart the gaps lie.
    zeros = np.sqrt(ends[..., 1:-1:2] * ends[..., 2::2])
    basis = np.ones((count, *x.shape))  # the last one is the whole product
    for j in range(count - 1):
        difference = x - zeros[..., j, None, None]
        basis[:j] *= difference
        basis[j + 1 :] *= difference
    inside = basis[..., ::2, :N_CELLS]
    size = inside[-1]
    if count > 1:
        integrals = (basis[..., 1::2, :] * (density[..., 1::2, :] * _WEIGHTS)).sum(-1)
        integrals = np.moveaxis(integrals, 0, -1)  # (..., gap, j)
        system, target = integrals[..., :-1], integrals[..., -1:]
        rows = np.abs(system).max(-1, keepdims=True)
        columns = np.abs(system / rows).max(-2, keepdims=True)
        scaled = np.linalg.solve(system / rows / columns, target / rows)
        for j in range(count - 1):
            weight = scaled[..., j, :] / columns[..., j]
            size = size - weight[..., None] * inside[j]
    return np.abs(size) * density[..., ::2, :N_CELLS] / N_CELLS


@functools.lru_cache
def _pattern(count):
    """Return the nodes of each part, and the ends that are not those of the part itself."""
    number = np.arange(2 * count - 1)
    others = np.arange(2 * count - 2)[:, None]
    return _PARTS[number % 2], others + 2 * (others >= number)


def place_roots(intervals, masses, counts):
    """Place roots at the quantiles of the equilibrium measure.

    Parameters
    ----------
    intervals : ndarray, shape (..., K, 2)
        The unions.
    masses : ndarray, shape (..., K, 64)
        As `equilibrium` returns them.
    counts : array_like of int, shape (..., K)
        Roots in each interval, the same sum for all; the unions are broadcast to
        these.

    Returns
    -------
    ndarray, shape (..., sum of counts)
        Ascending; Chebyshev nodes where there is one interval.
    """
    counts = np.asarray(counts)
    # All in one interpolation: interval number r takes shares from r to r + 1 and angles
    # from π r on.
    share = np.cumsum(masses.reshape(-1, N_CELLS), 1)
    share = share / share[:, -1:] + np.arange(len(share))[:, None]
    share = np.concatenate([[0.0], share.ravel()])
    grid = np.arange(share.size) * (np.pi / N_CELLS)
    number = np.arange(len(grid) // N_CELLS).reshape(masses.shape[:-1])
    number, flat = np.broadcast_to(number, counts.shape).ravel(), counts.ravel()
    first = np.repeat(np.cumsum(flat) - flat, flat)
    number, count = np.repeat(number, flat), np.repeat(flat, flat)
    quantile = (np.arange(count.size) - first + 0.5) / count
    angle = np.interp(number + quantile, share, grid) - np.pi * number
    left, right = intervals[..., 0].ravel()[number], intervals[..., 1].ravel()[number]
    roots = 0.5 * (left + right) - 0.5 * (right - left) * np.cos(angle)
    return roots.reshape(*counts.shape[:-1], -1)
