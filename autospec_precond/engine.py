"""The engine: two small networks that turn a probe into a residual polynomial.

The first, *edge*, says where the lower end of the interval should lie; the second,
*judge*, says what a polynomial on a union of intervals would save. `forward` is written
once and runs under NumPy here and under torch in training.
"""

import itertools
import math
from dataclasses import asdict, dataclass

import numpy as np

from . import features, unions
from .classical import EDGE_RATIO, chebyshev
from .polynomial import Polynomial

__all__ = ["Engine", "EngineConfig", "forward", "init", "snap"]

# Limits of log10(low/high): below, nothing is gained; above, φ is less than rounding.
EDGE_LIMITS = (-7.0, -0.1)
_MOST_PROPOSALS = 3  # with gaps; each may fail the certificate

# log10(low/high) by log10(degree + 1) before training: what smooth spectra want.
_FIRST_EDGE = (-0.64, -1.09)


@dataclass(frozen=True)
class EngineConfig:
    """Shape of the networks, and how far they are believed.

    Attributes
    ----------
    n_features : int
        What the edge network reads; the judge reads `features.size_candidate` more.
    n_hidden, n_layers : int
        Width and number of the hidden layers of the edge network.
    n_judge_hidden, n_judge_layers : int
        The same for the judge.
    degrees : tuple of int
        Degrees that the edge network has outputs for; others are interpolated on the
        logarithm of degree + 1.
    edge_margins : tuple of float
        Decades from the least Ritz value, and from 1/30 of the upper end, within which
        these classical edges are taken in place of the network's: at degree 4, less at
        higher ones. Zero for never.
    gap_margin : float
        A union of intervals is taken where the judge says that the logarithm of the
        products falls by more than this.
    """

    n_features: int = features.size()
    n_hidden: int = 64
    n_layers: int = 2
    n_judge_hidden: int = 64
    n_judge_layers: int = 3
    degrees: tuple[int, ...] = (4, 8, 16, 32)
    edge_margins: tuple[float, float] = (0.3, 0.15)
    gap_margin: float = 0.05

    def __post_init__(self):
        object.__setattr__(self, "degrees", tuple(self.degrees))
        object.__setattr__(self, "edge_margins", tuple(self.edge_margins))

    def to_dict(self):
        """Return the configuration as plain numbers.

        Returns
        -------
        dict
            Keyword arguments of `EngineConfig`.
        """
        return {k: list(v) if type(v) is tuple else v for k, v in asdict(self).items()}


def init(config, rng):
    """Draw parameters for training.

    Parameters
    ----------
    config : EngineConfig
        Shape of the networks.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    dict of str to ndarray
        edge.w0, edge.b0, …, judge.w0, …; the last layers are small, so that training
        starts at sensible edges and at the single interval.
    """
    n_judge = config.n_features + features.size_candidate()
    shapes = {
        "edge": [config.n_features, *[config.n_hidden] * config.n_layers],
        "judge": [n_judge, *[config.n_judge_hidden] * config.n_judge_layers],
    }
    shapes["edge"].append(len(config.degrees))
    shapes["judge"].append(1)
    params = {}
    for head, sizes in shapes.items():
        for k, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
            scale = (0.01 if k == len(sizes) - 2 else 1.0) / np.sqrt(n_in)
            params[f"{head}.w{k}"] = scale * rng.standard_normal((n_in, n_out))
            params[f"{head}.b{k}"] = np.zeros(n_out)
    first, slope = _FIRST_EDGE
    sizes = np.log10([d + 1.0 for d in config.degrees])
    params[f"edge.b{config.n_layers}"] += first + slope * sizes
    return params


def forward(params, head, x, xp=np):
    """Run one of the networks.

    Parameters
    ----------
    params : dict of str to array
        As `init` makes them; arrays of the kind of `x`.
    head : {'edge', 'judge'}
        Which network.
    x : array, shape (..., n)
        Features, dimensionless.
    xp : module, optional
        ``numpy`` or ``torch``.

    Returns
    -------
    array, shape (..., n_outputs)
        Of the edge network log10(low/high) for each degree, not limited; of the judge
        the predicted logarithm of products over those of the single interval.
    """
    last = sum(key.startswith(head) for key in params) // 2 - 1
    for k in range(last):
        h = xp.tanh(x @ params[f"{head}.w{k}"] + params[f"{head}.b{k}"])
        x = x + h if h.shape == x.shape else h  # (..., n_hidden)
    return x @ params[f"{head}.w{last}"] + params[f"{head}.b{last}"]


def snap(edge, probe, degree, margins):
    """Take a classical edge in the place of one that is near it.

    Parameters
    ----------
    edge : float
        Logarithm of low/high to base 10.
    probe : Probe
        With the least Ritz value.
    degree : int
        Degree of p.
    margins : tuple of float
        As `EngineConfig.edge_margins`.

    Returns
    -------
    float
        Logarithm of low/high to base 10.

    Notes
    -----
    The margins fall with degree + 1 to the power 3/4: the higher the degree, the more
    steeply products rise with the distance from the best edge.
    """
    lowest = max(float(probe.ritz_values[0]) / probe.high, 1e-12)
    edges = np.log10([lowest, EDGE_RATIO]).tolist()
    shrunk = min(1.0, 5 / (degree + 1)) ** 0.75
    nearest, least = edge, 1.0
    for classical, margin in zip(edges, margins, strict=True):
        distance = abs(edge - classical) / (margin * shrunk) if margin else math.inf
        if distance < least:
            nearest, least = _limited(classical), distance
    return nearest


def _limited(edge):
    return min(max(edge, EDGE_LIMITS[0]), EDGE_LIMITS[1])


class Engine:
    """Trained networks with their configuration and provenance.

    Parameters
    ----------
    config : EngineConfig
        Shape of the networks.
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
    >>> engine.config.degrees
    (4, 8, 16, 32)
    """

    def __init__(self, config, params, provenance, name, digest):
        self.config = config
        self.params = {k: np.asarray(v, dtype=np.float64) for k, v in params.items()}
        self._sizes = np.log([d + 1.0 for d in config.degrees])
        self.provenance = provenance
        self.name = name
        self.digest = digest

    def low(self, probe, degree):
        """Return where the interval of a polynomial should begin.

        Parameters
        ----------
        probe : Probe
            What was found about the based operator.
        degree : int
            Degree of p.

        Returns
        -------
        float
            Lower edge, in the units of the Ritz values.

        Notes
        -----
        Between the degrees of the network, and beyond them, log10(low/high) is linear
        in log(degree + 1). Near a classical edge the costs differ by less than the
        network errs: there it is taken instead.
        """
        return self._low(probe, degree, features.extract(probe))

    def _low(self, probe, degree, x):
        logs, sizes = forward(self.params, "edge", x), self._sizes
        place = np.log(degree + 1)
        k = min(max(int(sizes.searchsorted(place)) - 1, 0), sizes.size - 2)
        share = (place - sizes[k]) / (sizes[k + 1] - sizes[k])
        edge = _limited(float(logs[k] + share * (logs[k + 1] - logs[k])))
        return probe.high * 10.0 ** snap(edge, probe, degree, self.config.edge_margins)

    def predict(self, probe, degree):
        """Return polynomials for a probe, the most promising first.

        Parameters
        ----------
        probe : Probe
            What was found about the based operator.
        degree : int
            Degree of p, even.

        Returns
        -------
        list of Polynomial
            Not certified yet: up to 3 that use gaps in the spectrum, and last the one
            on a single interval.

        Notes
        -----
        Takes about 0.1 ms, 0.3 to 1 ms where the probe shows gaps: the more unions of
        intervals fit, the longer.
        """
        x = features.extract(probe)  # once for both networks
        low = self._low(probe, degree, x)
        result = []
        found = unions.candidates(probe, low, degree)
        if found:
            judged = self._judge(probe, low, degree, found, x)
            for k in np.argsort(judged, kind="stable")[:_MOST_PROPOSALS]:
                if judged[k] < -self.config.gap_margin:
                    ends = found[k].intervals.ravel()
                    gaps = tuple(ends[1:-1].reshape(-1, 2))
                    whole = ends[[0, -1]]
                    result.append(Polynomial.from_roots(found[k].roots, whole, gaps))
        return [*result, chebyshev(degree, probe.high, low)]

    def judge(self, probe, degree, found):
        """Predict what polynomials on unions of intervals save.

        Parameters
        ----------
        probe : Probe
            What was found about the based operator.
        degree : int
            Degree of p.
        found : list of Candidate
            Polynomials of this degree.

        Returns
        -------
        ndarray, shape (len(found),)
            Natural logarithm of the products of CG to 1e-8, over those with the single
            interval.
        """
        x = features.extract(probe)
        return self._judge(probe, self._low(probe, degree, x), degree, found, x)

    def _judge(self, probe, low, degree, found, x):
        x = features.of_candidates(x, probe, low, degree, found)
        return forward(self.params, "judge", x)[:, 0]
