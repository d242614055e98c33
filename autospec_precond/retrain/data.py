"""What training draws: synthetic diagonal operators with the probes production makes."""

from dataclasses import dataclass

import numpy as np

from autospec_precond import features, probing, spectra
from autospec_precond.probe import Probe

__all__ = ["Sample", "draw_samples", "probe_diagonal"]

# How often the bound is the rigorous one of an explicit matrix instead of the estimate,
# and how far that lies above the largest eigenvalue at most.
_SHARE_RIGOROUS, _MOST_ABOVE = 0.4, 0.25


@dataclass(frozen=True)
class Sample:
    """A diagonal operator and what a probe saw of it.

    Attributes
    ----------
    family : str
        Key of `spectra.FAMILIES`.
    eigenvalues : ndarray, shape (n,)
        Over the upper bound that the probe found.
    probe : Probe
        In the units of the spectrum as drawn.
    features : ndarray, shape (n_features,)
        For degree 0; the last entry is to be set to the degree at hand.
    """

    family: str
    eigenvalues: np.ndarray
    probe: Probe
    features: np.ndarray


def probe_diagonal(eigenvalues, rng, n_steps=features.N_STEPS):
    """Probe a diagonal operator as `make` probes a matrix.

    Parameters
    ----------
    eigenvalues : ndarray, shape (n,)
        Positive.
    rng : numpy.random.Generator
        Source of the start vector, and of the kind of bound.
    n_steps : int, optional
        Lanczos steps.

    Returns
    -------
    Probe
        Its bound is the estimate or one like the rigorous bound, at random: of a
        diagonal operator that would be exact.
    """
    start = rng.standard_normal(eigenvalues.size)
    alpha, beta, _ = probing.lanczos(lambda x: eigenvalues * x, start, n_steps)
    theta, weights, norms = probing.ritz(alpha, beta)
    high, rigorous = probing.estimate_bound(theta, norms), False
    if rng.random() < _SHARE_RIGOROUS:
        bound = eigenvalues.max() * (1 + _MOST_ABOVE * rng.random() ** 2)
        high, rigorous = min(high, bound), bound <= high
    return Probe(theta, weights, norms, float(high), bool(rigorous), len(alpha))


def draw_samples(rng, count, n, families=None):
    """Draw operators of random families and probe them.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    count : int
        Number of samples.
    n : int
        Eigenvalues of each.
    families : sequence of str, optional
        All by default.

    Returns
    -------
    list of Sample
        Families in turn.
    """
    names = list(spectra.FAMILIES) if families is None else list(families)
    samples = []
    for k in range(count):
        family = names[k % len(names)]
        eigenvalues = spectra.draw_family(family, rng, n)
        n_steps = features.N_STEPS
        if rng.random() < 0.05:
            n_steps = int(rng.integers(2, n_steps))
        probe = probe_diagonal(eigenvalues, rng, n_steps)
        samples.append(
            Sample(family, eigenvalues / probe.high, probe, features.extract(probe, 0))
        )
    return samples
