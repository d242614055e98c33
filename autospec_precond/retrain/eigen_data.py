"""What the engine for eigenproblems learns from: iterations of SciPy's lobpcg."""

import warnings
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import lobpcg

from autospec_precond import classical, density, eigen_engine, spectra

__all__ = ["Sample", "draw_samples", "measure", "n_iterations"]

_DEGREES = np.array([8, 12, 16, 24, 32, 48, 64, 96, 128, 192])
_TOL = 1e-6  # of the last wanted eigenvalue
_MOST = 90  # iterations of the rule
_PATIENCE = 2.5  # a candidate that takes this many times the iterations of the rule


@dataclass(frozen=True)
class Sample:
    """One spectrum, degree and probe.

    Attributes
    ----------
    family : str
        Where the spectrum comes from.
    degree : int
        Of p.
    k : int
        Eigenvalues wanted.
    x : ndarray, shape (n_features,)
        Features.
    plain : float
        Iterations of the rule.
    gains : ndarray, shape (n_choices,)
        Natural logarithm of the iterations over those of the rule.
    """

    family: str
    degree: int
    k: int
    x: np.ndarray
    plain: float
    gains: np.ndarray


def n_iterations(values, X, p, most):
    """Count the iterations of SciPy's lobpcg on a diagonal operator.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Eigenvalues, ascending.
    X : ndarray, shape (n, k)
        Start block.
    p : callable
        M is p of the operator.
    most : int
        Iterations allowed.

    Returns
    -------
    float
        Where the logarithm of the largest residual norm, interpolated between
        iterations, falls below the tolerance; `most` where it does not.
    """
    A = sp.diags_array(values, format="csr")
    scale = p(values)[:, None]
    tol = _TOL * values[X.shape[1] - 1]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            *_, norms = lobpcg(
                A,
                X.copy(),
                M=lambda Y: scale * Y,
                largest=False,
                tol=tol,
                maxiter=most,
                retResidualNormsHistory=True,
            )
    except (ValueError, np.linalg.LinAlgError):
        return float(most)
    worst = np.max(np.reshape(norms, (len(norms), -1)), axis=1)
    worst = np.log(np.maximum(worst, 1e-300)) - np.log(tol)
    done = np.flatnonzero(worst <= 0)
    if not done.size:
        return float(most)
    j = int(done[0])
    return 1.0 if j == 0 else j + float(worst[j - 1] / (worst[j - 1] - worst[j]))


def measure(values, k, rng, config, family=""):
    """Probe a spectrum and count the iterations of every choice.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Eigenvalues, ascending, positive.
    k : int
        Eigenvalues wanted.
    rng : numpy.random.Generator
        Source of start vectors and the degree.
    config : EigenConfig
        With the choices.
    family : str, optional
        Name to keep.

    Returns
    -------
    Sample or None
        None where the rule takes too many iterations for any degree.
    """
    n = values.size
    # What `density.estimate` reads of a based operator.
    based = SimpleNamespace(
        n=n,
        dtype=np.dtype(float),
        quick=None,
        inner=None,
        product=lambda x: values * x,
    )
    # More rows get 60; so do a part of these, which stand for them.
    found = density.estimate(based, 30 if rng.random() < 0.7 else 60, rng)
    if found.values[0] <= 0:
        return None
    rule = eigen_engine.ends(found, k)
    damped = np.array([classical.shifted_residual(int(d), *rule) for d in _DEGREES])
    foreseen = 12 + 20 / np.arccosh(1 / np.minimum(damped, 1 - 1e-12))
    degree = int(_DEGREES[np.argmin(np.abs(foreseen - rng.uniform(14, 40)))])
    X = rng.standard_normal((n, k))
    counts, most = [], _MOST
    for choice in eigen_engine.choices(config):
        high, low, shift = eigen_engine.ends(found, k, *choice)
        # As `lobpcg.choose` makes it.
        p = classical.shifted(degree, high, low, shift, high)
        counts.append(n_iterations(values, X, p, most))
        if len(counts) == 1:
            if counts[0] >= _MOST:
                return None
            most = int(np.ceil(_PATIENCE * counts[0])) + 1
    counts = np.array(counts)
    x = eigen_engine.features(found, k, degree)
    return Sample(family, degree, k, x, counts[0], np.log(counts / counts[0]))


def draw_samples(seed, count, config, progress=None):
    """Draw and measure spectra.

    Parameters
    ----------
    seed : int
        Of all of them.
    count : int
        How many are drawn; some are of no use.
    config : EigenConfig
        With the choices.
    progress : callable, optional
        Called with the number drawn so far.

    Returns
    -------
    list of Sample
        Families by turns.
    """
    families = list(spectra.FAMILIES)
    result = []
    for j in range(count):
        rng = np.random.default_rng([seed, j])
        family = families[j % len(families)]
        n = int(np.exp(rng.uniform(np.log(300), np.log(2000))))
        k = int(np.exp(rng.uniform(0, np.log(20.99))))
        values = spectra.draw_family(family, rng, n)
        sample = measure(values, k, rng, config, family)
        if sample is not None:
            result.append(sample)
        if progress:
            progress(j + 1)
    return result
