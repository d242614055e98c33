"""The edge network: its loss is the measured curve at the edge that it predicts."""

import numpy as np
import torch

from autospec_precond import features
from autospec_precond.engine import forward, snap

from .data import EDGES
from .fitting import minimise

__all__ = ["Curves", "fit_edges"]

_OUTSIDE = 0.1  # slope of the loss beyond the measured edges, per decade
_PASSES = 4  # of the smoothing; 1 to 8 make no difference of 0.3 %
_SHORT = 8  # outer iterations below which a case is a matter of chance


class Curves:
    """What the edge network pays on samples.

    Parameters
    ----------
    samples : list of Sample
        With curves on `data.EDGES`.
    engine_config : EngineConfig
        Shape of the network.
    """

    def __init__(self, samples, engine_config):
        curves = np.array([s.curves for s in samples])
        least = np.log(_SHORT * (np.array(engine_config.degrees) + 1))
        is_long = curves.min(-1) >= least  # (n_samples, n_degrees)
        self._judged = is_long if is_long.any() else np.ones_like(is_long)
        curves = _smooth(curves - curves.min(-1, keepdims=True))
        self._curves = torch.tensor(curves)  # (n_samples, n_degrees, n_edges)
        self._probes = [s.probes for s in samples]
        self._degrees = engine_config.degrees
        self._inputs = torch.tensor(
            np.array([[features.extract(p) for p in s.probes] for s in samples])
        )
        self._bounds = torch.tensor(
            np.log10([[p.high for p in s.probes] for s in samples])
        )  # (n_samples, n_probes)

    def draw(self, rng, count):
        """Choose samples and probes at random.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness.
        count : int
            How many.

        Returns
        -------
        list of tensor, shape (count,)
            Of a sample and of one of its probes.
        """
        return [torch.from_numpy(rng.integers(0, n, count)) for n in self._bounds.shape]

    def mean(self, params, margins=(0.0, 0.0)):
        """Return the mean loss of all probes, where solves are not too short.

        Parameters
        ----------
        params : dict of str to ndarray
            Of the engine.
        margins : tuple of float, optional
            As `EngineConfig.edge_margins`; no edge gives way by default.

        Returns
        -------
        float
            Of cases with at least 8 outer iterations, or of all where there are none.
        """
        now = {k: torch.tensor(v) for k, v in params.items()}
        every = torch.meshgrid(*map(torch.arange, self._bounds.shape), indexing="ij")
        edges = self._edges(now, *every)
        for (k, j, i), edge in np.ndenumerate(edges.numpy()) if any(margins) else ():
            edges[k, j, i] = snap(edge, self._probes[k][j], self._degrees[i], margins)
        losses = self._costs(edges, *every).mean(1)  # (n_samples, n_degrees)
        return losses[torch.tensor(self._judged)].mean().item()

    def losses(self, params, which, probe):
        """Interpolate the curves at the predicted edges.

        Parameters
        ----------
        params : dict of str to tensor
            Of the engine.
        which, probe : tensor, shape (...)
            Samples and probes.

        Returns
        -------
        tensor, shape (..., n_degrees)
            Natural logarithm of the products over the least of the curve.
        """
        return self._costs(self._edges(params, which, probe), which, probe)

    def _edges(self, params, which, probe):
        return forward(params, "edge", self._inputs[which, probe], torch)

    def _costs(self, edge, which, probe):
        edge = edge + self._bounds[which, probe, None]
        grid = np.log10(EDGES)
        place = (edge - grid[0]) / (grid[1] - grid[0])
        inside = place.clamp(0, grid.size - 1.001)
        k = inside.long()
        curves = self._curves[which]
        left = curves.gather(-1, k[..., None])[..., 0]
        right = curves.gather(-1, k[..., None] + 1)[..., 0]
        beyond = (place - inside).abs() * (grid[1] - grid[0])
        return left + (right - left) * (inside - k) + _OUTSIDE * beyond


def fit_edges(params, engine_config, samples, config, tell):
    """Fit the edge network to measured curves.

    Parameters
    ----------
    params : dict of str to ndarray
        Where to start.
    engine_config : EngineConfig
        Shape of the networks.
    samples : list of Sample
        With curves for the degrees of `engine_config`.
    config : TrainConfig
        Steps and rates.
    tell : callable
        See `training.train`.

    Returns
    -------
    dict of str to ndarray
        `params` with other numbers for the edge network.
    """
    curves = Curves(samples, engine_config)

    def loss(now, rng):
        return curves.losses(now, *curves.draw(rng, config.batch)).mean()

    return minimise(params, "edge", loss, config.n_edge_steps, config, tell)


def _smooth(curves):
    """Average over a quarter of a decade: counts jump from one b to the next."""
    for _ in range(_PASSES):
        padded = np.concatenate([curves[..., :1], curves, curves[..., -1:]], -1)
        curves = 0.25 * padded[..., :-2] + 0.5 * padded[..., 1:-1] + 0.25 * padded[..., 2:]
    return curves
