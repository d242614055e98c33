"""The network: features of a probe to the roots of a residual polynomial.

`forward` is written once and runs under NumPy here and under torch in training. Its
outputs are corrections: all zero gives the Chebyshev polynomial of a sane interval.
"""

import itertools
from dataclasses import asdict, dataclass

import numpy as np

from . import features
from .classical import chebyshev_roots
from .polynomial import Polynomial

__all__ = ["Engine", "EngineConfig", "decode", "forward", "init", "roots_basis"]


@dataclass(frozen=True)
class EngineConfig:
    """Shape of the network, and the scales of its outputs.

    Attributes
    ----------
    n_features : int
        Length of the input.
    n_hidden : int
        Width of the hidden layers.
    n_layers : int
        Number of hidden layers.
    n_corrections : int
        Number of Chebyshev modes that move the roots.
    edge_center, edge_scale : float
        log10(low/high) is ``edge_center - log10((degree + 1) / 9)`` plus `edge_scale`
        times the first output.
    root_scale : float
        Largest change of log(root) by one mode.
    """

    n_features: int = features.size()
    n_hidden: int = 64
    n_layers: int = 2
    n_corrections: int = 6
    edge_center: float = -1.7
    edge_scale: float = 1.5
    root_scale: float = 0.15

    def to_dict(self):
        """Return the configuration as plain numbers.

        Returns
        -------
        dict
            Keyword arguments of `EngineConfig`.
        """
        return asdict(self)


EDGE_LIMITS = (-7.0, -0.1)  # of log10(low/high)


def init(config, rng):
    """Draw parameters for training.

    Parameters
    ----------
    config : EngineConfig
        Shape of the network.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    dict of str to ndarray
        w0, b0, w1, b1, …; the last layer is small, so that training starts at the
        Chebyshev polynomial.
    """
    sizes = [
        config.n_features,
        *[config.n_hidden] * config.n_layers,
        1 + config.n_corrections,
    ]
    params = {}
    for k, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        scale = (0.01 if k == config.n_layers else 1.0) / np.sqrt(n_in)
        params[f"w{k}"] = scale * rng.standard_normal((n_in, n_out))
        params[f"b{k}"] = np.zeros(n_out)
    return params


def forward(params, x, xp=np):
    """Run the network.

    Parameters
    ----------
    params : dict of str to array
        As `init` makes them; arrays of the kind of `x`.
    x : array, shape (..., n_features)
        Features, dimensionless.
    xp : module, optional
        ``numpy`` or ``torch``.

    Returns
    -------
    array, shape (..., 1 + n_corrections)
        Raw outputs; `decode` says what they mean.
    """
    last = len(params) // 2 - 1
    for k in range(last):
        h = xp.tanh(x @ params[f"w{k}"] + params[f"b{k}"])
        x = x + h if h.shape == x.shape else h  # (..., n_hidden)
    return x @ params[f"w{last}"] + params[f"b{last}"]


def roots_basis(config, degree):
    """Return the Chebyshev modes at the nodes that the roots start from.

    Parameters
    ----------
    config : EngineConfig
        Number of modes.
    degree : int
        Degree of p.

    Returns
    -------
    nodes : ndarray, shape (degree + 1,)
        Nodes in (-1, 1), descending.
    modes : ndarray, shape (n_corrections, degree + 1)
        T_j(nodes), j from 0.
    """
    angle = np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1)
    return np.cos(angle), np.cos(np.outer(np.arange(config.n_corrections), angle))


def decode(config, outputs, degree, basis, xp=np):
    """Turn raw outputs into an interval and the roots of φ, as fractions of `high`.

    Parameters
    ----------
    config : EngineConfig
        Scales of the outputs.
    outputs : array, shape (..., 1 + n_corrections)
        What `forward` returns.
    degree : int
        Degree of p.
    basis : tuple of array
        As `roots_basis` returns it, arrays of the kind of `outputs`.
    xp : module, optional
        ``numpy`` or ``torch``.

    Returns
    -------
    low : array, shape (..., 1)
        Lower edge over `high`.
    roots : array, shape (..., degree + 1)
        Roots of the residual polynomial over `high`.
    """
    nodes, modes = basis
    center = config.edge_center - np.log10((degree + 1) / 9)
    edge = xp.clip(center + config.edge_scale * outputs[..., :1], *EDGE_LIMITS)
    low = 10.0**edge
    shift = config.root_scale * xp.tanh(outputs[..., 1:]) @ modes
    return low, (0.5 * (1 + low) + 0.5 * (1 - low) * nodes) * xp.exp(shift)


class Engine:
    """A trained network with its configuration and provenance.

    Parameters
    ----------
    config : EngineConfig
        Shape of the network.
    params : dict of str to ndarray
        Parameters, float32 or float64.
    provenance : dict
        Seed, families, evaluation, versions: whatever training recorded.
    name : str
        Shown in reports.
    digest : str
        Hash of the weights file, shown in reports.

    Examples
    --------
    >>> from autospec_precond.checkpoint import load
    >>> engine = load()
    >>> engine.config.n_features
    38
    """

    def __init__(self, config, params, provenance, name, digest):
        self.config = config
        self.params = {k: np.asarray(v, dtype=np.float64) for k, v in params.items()}
        self.provenance = provenance
        self.name = name
        self.digest = digest

    def predict(self, probe, degree, shrink=1.0):
        """Return the polynomial for a probe.

        Parameters
        ----------
        probe : Probe
            What was found about the based operator.
        degree : int
            Degree of p, even.
        shrink : float, optional
            Factor on the corrections of the roots; 0 leaves the Chebyshev polynomial of
            the predicted interval.

        Returns
        -------
        Polynomial
            Not certified yet.

        Notes
        -----
        Takes about 0.1 ms.
        """
        outputs = forward(self.params, features.extract(probe, degree))
        basis = roots_basis(self.config, degree)
        low, roots = decode(self.config, outputs, degree, basis)
        low = probe.high * float(low[0])
        plain = chebyshev_roots(degree, low, probe.high)
        roots = plain * (probe.high * roots / plain) ** shrink
        return Polynomial.from_roots(roots, (low, probe.high))
