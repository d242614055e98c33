"""What training draws: synthetic diagonal operators, probed as production probes them."""

import concurrent.futures
import multiprocessing
from dataclasses import dataclass

import numpy as np

from autospec_precond import classical, features, probing, spectra
from autospec_precond.probe import Probe

from .counting import log_products, residual_polynomial

__all__ = [
    "EDGES",
    "MOST_PRODUCTS",
    "Sample",
    "draw_samples",
    "measure_curves",
    "probe_diagonal",
]

# Lower edges over the largest eigenvalue, for which the products are measured.
EDGES = np.geomspace(1e-5, 0.6, 39)

# How often the bound is the rigorous one of an explicit matrix instead of the estimate,
# and how far that lies above the largest eigenvalue at most.
_SHARE_RIGOROUS, _MOST_ABOVE = 0.4, 0.25

# Edges that take this many times the products of the best are extrapolated.
_PATIENCE = 3
_SHARE_SHORT = 0.05  # of probes with fewer steps than usual
_BOUND = 1.05  # upper end of the intervals measured: the median of production
MOST_PRODUCTS = 20_000
# Unknowns, log10. Above some thousands a diagonal operator is thinned out: eigenvalues
# that conjugate gradients cannot tell apart become one, with the sum of their weights.
_SIZES = (2.0, 6.0)
_WHOLE = 2_500  # unknowns up to which every eigenvalue is kept
_N_ANGLES, _PER_DECADE = 1_500, 100  # cells: of the Chebyshev angle, and of the low end
_RESOLVED = 1_200  # products up to which what was thinned out behaves like the whole

_CHUNK = 50  # samples per seed, so that the number of processes changes nothing


@dataclass(frozen=True)
class Sample:
    """A diagonal operator, what probes saw of it, and what polynomials cost on it.

    Attributes
    ----------
    family : str
        Where it comes from.
    eigenvalues : ndarray, shape (n,)
        Over the largest; of a large operator fewer than its unknowns.
    b : ndarray, shape (n,)
        Right-hand side of the measurement: in each entry the length of a random
        vector's part in one eigenspace.
    probes : tuple of Probe
        From different start vectors.
    curves : ndarray, shape (n_degrees, 39)
        Natural logarithm of the products with the Chebyshev polynomials of `EDGES`; a
        row of zeros where they are not known.
    """

    family: str
    eigenvalues: np.ndarray
    b: np.ndarray
    probes: tuple[Probe, ...]
    curves: np.ndarray


def thin_out(eigenvalues):
    """Merge the eigenvalues of a large operator that CG cannot tell apart.

    Parameters
    ----------
    eigenvalues : ndarray, shape (n,)
        Ascending, the largest 1.

    Returns
    -------
    nodes : ndarray, shape (m,)
        Means of cells of equal Chebyshev angle, and of equal ratio at the low end; the
        eigenvalues themselves where they are few.
    counts : ndarray, shape (m,)
        Eigenvalues in each.
    """
    if eigenvalues.size <= _WHOLE:
        return eigenvalues, np.ones(eigenvalues.size)
    angles = np.arccos(np.clip(1 - 2 * eigenvalues, -1, 1)) * (_N_ANGLES / np.pi)
    decades = _PER_DECADE * np.log10(eigenvalues)
    # The finer of the two divisions: the ratio where a cell of the angle is wider.
    fine = decades < _PER_DECADE * np.log10((_PER_DECADE / _N_ANGLES) ** 2)
    cells = np.where(fine, np.floor(decades) - 1e6, np.floor(angles))
    _, start, counts = np.unique(cells, return_index=True, return_counts=True)
    order = np.argsort(start)
    start, counts = start[order], counts[order]
    return np.add.reduceat(eigenvalues, start) / counts, counts.astype(float)


def probe_diagonal(eigenvalues, rng, n_steps=features.N_STEPS, counts=None):
    """Probe a diagonal operator as `make` probes a matrix.

    Parameters
    ----------
    eigenvalues : ndarray, shape (n,)
        Positive.
    rng : numpy.random.Generator
        Source of the start vector, and of the kind of bound.
    n_steps : int, optional
        Lanczos steps.
    counts : ndarray, shape (n,), optional
        Multiplicity of each eigenvalue; 1 by default.

    Returns
    -------
    Probe
        Its bound is the estimate or one like the rigorous bound, at random: of a
        diagonal operator that would be exact.
    """
    counts = np.ones(eigenvalues.size) if counts is None else counts
    start = np.sqrt(rng.chisquare(counts))
    alpha, beta, _ = probing.lanczos(lambda x: eigenvalues * x, start, n_steps)
    theta, weights, norms = probing.ritz(alpha, beta)
    high, rigorous = probing.estimate_bound(theta, norms), False
    if rng.random() < _SHARE_RIGOROUS:
        bound = eigenvalues.max() * (1 + _MOST_ABOVE * rng.random() ** 2)
        high, rigorous = min(high, bound), bound <= high
    n = int(counts.sum())
    return Probe(theta, weights, norms, float(high), bool(rigorous), len(alpha), n=n)


def measure_curves(eigenvalues, b, degrees, most=None, high=_BOUND):
    """Measure the products of CG for a range of lower edges.

    Parameters
    ----------
    eigenvalues : ndarray, shape (n,)
        Over the largest.
    b : ndarray, shape (n,)
        Right-hand side.
    degrees : sequence of int
        Degrees of p.
    most : int, optional
        Products allowed; 20 n by default, between 5,000 and 20,000.
    high : float, optional
        Upper end of the intervals.

    Returns
    -------
    ndarray, shape (len(degrees), 39)
        Natural logarithms, see `Sample`.
    """
    if most is None:
        most = int(np.clip(20 * eigenvalues.size, 5_000, MOST_PRODUCTS))
    curves = []
    for degree in degrees:
        roots = [classical.chebyshev_roots(degree, low, high) for low in EDGES]
        q = 1 - residual_polynomial(eigenvalues, np.array(roots))
        curves.append(log_products(eigenvalues, q, degree + 1, b, most, patience=_PATIENCE))
    return np.array(curves)


def draw_samples(seed, count, degrees, families=None, n_jobs=1, progress=None):
    """Draw operators of random families, probe and measure them.

    Parameters
    ----------
    seed : int
        Of everything; the result does not depend on `n_jobs`.
    count : int
        Number of samples.
    degrees : sequence of int
        Degrees of p to measure.
    families : sequence of str, optional
        Keys of `spectra.FAMILIES`; all by default.
    n_jobs : int, optional
        Processes.
    progress : callable, optional
        Called with the number of samples done.

    Returns
    -------
    list of Sample
        Families in turn.
    """
    families = tuple(spectra.FAMILIES) if families is None else tuple(families)
    starts = range(0, count, _CHUNK)
    tasks = [
        ((seed, start), start, min(_CHUNK, count - start), tuple(degrees), families)
        for start in starts
    ]
    samples = []
    with Pool(n_jobs) as run:
        for chunk in run(_draw_chunk, tasks):
            samples.extend(chunk)
            if progress is not None:
                progress(len(samples))
    return samples


class Pool:
    """A `map` over processes, or the plain one for a single job.

    Parameters
    ----------
    n_jobs : int
        Processes.
    """

    def __init__(self, n_jobs):
        self.executor = None
        if n_jobs > 1:
            context = multiprocessing.get_context("spawn")
            self.executor = concurrent.futures.ProcessPoolExecutor(n_jobs, context)

    def __enter__(self):
        return map if self.executor is None else self.executor.map

    def __exit__(self, *details):
        if self.executor is not None:
            self.executor.shutdown(cancel_futures=True)


def _draw_chunk(task):
    seed, first, count, degrees, families = task
    rng = np.random.default_rng(seed)
    samples = []
    for k in range(first, first + count):
        family = families[k % len(families)]
        n = int(10 ** rng.uniform(*_SIZES))
        # Large operators of large condition need more products than can be measured.
        kappa = 1e8 if n <= _WHOLE else 1e5
        eigenvalues, counts = thin_out(spectra.draw_family(family, rng, n, kappa))
        b = np.sqrt(rng.chisquare(counts))
        probes = []
        for _ in range(4):
            short = rng.random() < _SHARE_SHORT
            n_steps = int(rng.integers(2, features.N_STEPS)) if short else features.N_STEPS
            probes.append(probe_diagonal(eigenvalues, rng, n_steps, counts))
        most = None if n <= _WHOLE else 4 * _RESOLVED
        curves = measure_curves(eigenvalues, b, degrees, most)
        if n > _WHOLE:
            # Where all need more products than the thinned operator can stand for,
            # nothing is learned from it.
            curves[curves.min(-1, initial=np.inf) > np.log(_RESOLVED)] = 0.0
        samples.append(Sample(family, eigenvalues, b, tuple(probes), curves))
    return samples
