"""Continue training in rounds, and keep the round that does best on held-out operators."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch

from autospec_precond import features
from autospec_precond.engine import edges, forward

from . import training
from .data import EDGES

__all__ = ["Split", "tune_edges", "tune_judge"]


@dataclass(frozen=True)
class Split:
    """Samples to learn from and samples to choose by.

    Attributes
    ----------
    own, synthetic : list of Sample
        Of the user's matrices and of `spectra.FAMILIES`, to learn from.
    own_held, synthetic_held : list of Sample
        The same, held out.
    """

    own: list
    synthetic: list
    own_held: list
    synthetic_held: list


def edge_loss(params, engine_config, samples):
    grid = np.log10(EDGES)
    total = []
    for sample in samples:
        curves = sample.curves - sample.curves.min(-1, keepdims=True)
        x = np.array([features.extract(p) for p in sample.probes])
        places = edges(engine_config, forward(params, "edge", x))
        places += np.log10([[p.high] for p in sample.probes])
        total.append([np.interp(places[:, k], grid, curves[k]) for k in range(len(curves))])
    return float(np.mean(total))
