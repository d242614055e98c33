"""Measured curves as tensors, twice as fine as those of pretraining.

Between measured edges the loss is linear, so that its least always lies on one of them:
with 20 edges the predictions for matrices of one kind gather on the same, up to 2 % off.
"""

import numpy as np
import torch

from autospec_precond import features
from autospec_precond.engine import edges, forward

from . import training
from .collect import FINE_EDGES

__all__ = ["Curves", "refine"]

_OUTSIDE = 0.1  # slope of the loss beyond the measured edges, per decade
_SHORT = 8  # outer iterations below which a case is a matter of chance


class Curves:
    """What the edge network pays on samples.

    Parameters
    ----------
    samples : list of Sample
        With curves on `data.EDGES` or `collect.FINE_EDGES`.
    engine_config : EngineConfig
        Shape of the network.
    """

    def __init__(self, samples, engine_config):
        curves = np.array([refine(s.curves) for s in samples])
        least = np.log(_SHORT * (np.array(engine_config.degrees) + 1))
        is_long = curves.min(-1) >= least  # (n_samples, n_degrees)
        self._judged = is_long if is_long.any() else np.ones_like(is_long)
        curves = training._smooth(curves - curves.min(-1, keepdims=True))
        self._config = engine_config
        self._curves = torch.tensor(curves)  # (n_samples, n_degrees, n_edges)
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

    def mean(self, params):
        """Return the mean loss of all probes, where solves are not too short.

        Parameters
        ----------
        params : dict of str to ndarray
            Of the engine.

        Returns
        -------
        float
            Of cases with at least 8 outer iterations, or of all where there are none.
        """
        now = {k: torch.tensor(v) for k, v in params.items()}
        every = torch.meshgrid(*map(torch.arange, self._bounds.shape), indexing="ij")
        losses = self.losses(now, *every).mean(1)  # (n_samples, n_degrees)
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
        outputs = forward(params, "edge", self._inputs[which, probe], torch)
        edge = edges(self._config, outputs) + self._bounds[which, probe, None]
        grid = np.log10(FINE_EDGES)
        place = (edge - grid[0]) / (grid[1] - grid[0])
        inside = place.clamp(0, grid.size - 1.001)
        k = inside.long()
        curves = self._curves[which]
        left = curves.gather(-1, k[..., None])[..., 0]
        right = curves.gather(-1, k[..., None] + 1)[..., 0]
        beyond = (place - inside).abs() * (grid[1] - grid[0])
        return left + (right - left) * (inside - k) + _OUTSIDE * beyond


def refine(curves):
    """Bring curves onto `collect.FINE_EDGES`.

    Parameters
    ----------
    curves : ndarray, shape (..., 20) or (..., 39)
        On `data.EDGES`, or there already.

    Returns
    -------
    ndarray, shape (..., 39)
        With midpoints from cubic interpolation, linear at the ends.
    """
    if curves.shape[-1] == FINE_EDGES.size:
        return curves
    fine = np.empty((*curves.shape[:-1], FINE_EDGES.size))
    fine[..., ::2] = curves
    fine[..., 1::2] = 0.5 * (curves[..., 1:] + curves[..., :-1])
    inner = 9 * (curves[..., 1:-2] + curves[..., 2:-1]) - curves[..., :-3] - curves[..., 3:]
    fine[..., 3:-2:2] = inner / 16
    return fine
