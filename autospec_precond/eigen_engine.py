"""The engine for eigenproblems: one small network that reads a density of eigenvalues.

It says where, relative to the classical rule, the interval of unwanted eigenvalues begins
in M for LOBPCG, and how near to that end the shift may be. Output zero is the rule.
"""

import itertools
from dataclasses import asdict, dataclass

import numpy as np

from . import classical
from .gmres_engine import preferences

__all__ = ["BEYOND", "EigenConfig", "EigenEngine", "choices", "ends", "features", "init"]

BEYOND = 1.3  # times k eigenvalues are to lie below the interval
ABOVE = 1.01  # upper end of the interval over what the steps have seen
_LEAST = 1e-6  # lower end of the interval over the upper one
_MOST = 0.5
_COUNTS = (0.5, 1.0, 2.0, 4.0, 8.0)  # of k eigenvalues, at which the density is read
_LOWEST = 4  # Ritz values
_CLIP = 6.0  # of features


@dataclass(frozen=True)
class EigenConfig:
    """Shape of the network, and what it chooses from.

    Attributes
    ----------
    factors : tuple of float
        On the lower end of the classical interval; the first is 1.
    shares : tuple of float
        Shifts over the lower end; the first is the classical one.
    n_hidden : int
        Width of its two hidden layers.
    """

    factors: tuple[float, ...] = (1.0, 0.6, 1.4, 2.0)
    shares: tuple[float, ...] = (0.5, 0.0, 0.25, 0.65, 0.8, 0.9)
    n_hidden: int = 24

    def __post_init__(self):
        object.__setattr__(self, "factors", tuple(self.factors))
        object.__setattr__(self, "shares", tuple(self.shares))

    @property
    def n_features(self):
        """How many numbers the network reads."""
        return 5 + len(_COUNTS) + 3 * _LOWEST

    def to_dict(self):
        """Return the configuration as plain numbers.

        Returns
        -------
        dict
            Keyword arguments of `EigenConfig`.
        """
        return {k: list(v) if type(v) is tuple else v for k, v in asdict(self).items()}


def choices(config):
    """Return what the network chooses from.

    Parameters
    ----------
    config : EigenConfig
        With factors and shares.

    Returns
    -------
    list of (float, float)
        Factor on the lower end, shift over the lower end; the first is the rule.
    """
    return list(itertools.product(config.factors, config.shares))


def init(config, rng):
    """Draw parameters for training.

    Parameters
    ----------
    config : EigenConfig
        Shape of the network.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    dict of str to ndarray
        As `gmres_engine.forward` takes them; the last layer is zero: training starts at
        the rule. low, high, the range of each feature that training has met: not
        limited yet.
    """
    sizes = [config.n_features, config.n_hidden, config.n_hidden, len(choices(config))]
    params = {}
    for k, (n_in, n) in enumerate(itertools.pairwise(sizes)):
        scale = 0.0 if k == len(sizes) - 2 else 1 / np.sqrt(n_in)
        params[f"w{k}"] = scale * rng.standard_normal((n_in, n))
        params[f"b{k}"] = np.zeros(n)
    params["low"] = np.full(config.n_features, -_CLIP)
    params["high"] = np.full(config.n_features, _CLIP)
    return params


def ends(found, k, factor=1.0, share=0.5):
    """Return the interval of the unwanted eigenvalues, and the shift.

    Parameters
    ----------
    found : Density
        Of the eigenvalues of S.
    k : int
        Eigenvalues wanted, the smallest.
    factor, share : float, optional
        One of `choices`; the rule by default.

    Returns
    -------
    high, low, shift : float
        In the units of the eigenvalues.
    """
    high = ABOVE * found.high
    low = max(found.below(BEYOND * k), _LEAST * high)
    if factor != 1:
        low = max(min(factor * low, max(low, _MOST * high)), _LEAST * high)
    return high, low, share * low


def features(found, k, degree):
    """Turn a density of eigenvalues into what the network reads.

    Parameters
    ----------
    found : Density
        Of the eigenvalues of S.
    k : int
        Eigenvalues wanted, the smallest.
    degree : int
        Degree of p.

    Returns
    -------
    ndarray, shape (n_features,)
        Dimensionless: condition, k, steps, degree and how much it damps; where 0.5 k to
        8 k eigenvalues lie below; the lowest Ritz values, how many eigenvalues lie below
        them, and how far they have converged. n itself is not among them.
    """
    high, low, shift = ends(found, k)
    damped = classical.shifted_residual(degree, high, low, shift)
    theta, weights = found.values, found.weights
    counts = found.n * (np.cumsum(weights) - 0.5 * weights) / k
    # Where there are fewer steps the last one is read again.
    at = np.minimum(np.arange(_LOWEST), theta.size - 1)
    x = [
        np.log10(low / high),
        np.log10(k),
        np.log10(theta.size),
        np.log10(degree + 1),
        np.log10(np.arccosh(max(1 / damped, 1 + 1e-12))),
        *(_log(found.below(c * k) / low) for c in _COUNTS),
        *_log(theta[at] / low),
        *_log(counts[at]),
        *_log(found.probe.residual_norms[at] / low),
    ]
    return np.clip(np.nan_to_num(np.array(x, float)), -_CLIP, _CLIP)


def _log(x):
    return np.log10(np.maximum(x, 1e-6))


class EigenEngine:
    """A trained network with its configuration and provenance.

    Parameters
    ----------
    config : EigenConfig
        Shape of the network.
    params : dict of str to ndarray
        Parameters, float32 or float64.
    provenance : dict
        Whatever training recorded.
    name : str
        Shown in reports.
    digest : str
        Hash of the weights file, shown in reports.
    """

    def __init__(self, config, params, provenance, name, digest):
        self.config = config
        self.params = {k: np.asarray(v, dtype=np.float64) for k, v in params.items()}
        self.provenance = provenance
        self.name = name
        self.digest = digest

    def ends(self, found, k, degree):
        """Return the interval of the unwanted eigenvalues, and the shift.

        Parameters
        ----------
        found : Density
            Of the eigenvalues of S.
        k : int
            Eigenvalues wanted, the smallest.
        degree : int
            Degree of p.

        Returns
        -------
        high, low, shift : float
            In the units of the eigenvalues; those of the rule where a feature is outside
            of what training has met.
        """
        outputs = preferences(self.params, features(found, k, degree))
        return ends(found, k, *choices(self.config)[int(np.argmax(outputs))])
