"""The training of the engine for eigenproblems: from a seed to weights."""

import hashlib
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from autospec_precond import spectra
from autospec_precond.eigen_engine import EigenConfig, init
from autospec_precond.gmres_engine import forward, preferences
from autospec_precond.versions import __version__

from .eigen_data import draw_samples

__all__ = ["EigenTrainConfig", "digest_of_modules", "evaluate", "fit", "train"]

_LARGEST = math.log(2.5)  # gains and losses beyond this factor count as one


@dataclass(frozen=True)
class EigenTrainConfig:
    """Everything that decides the outcome of a training.

    Attributes
    ----------
    seed : int
        Of data, start and order.
    n_samples : int
        Spectra drawn; some are of no use.
    held_out : int
        Every so many-th sample is not learned from, but evaluated on.
    n_steps : int
        Optimiser steps.
    batch : int
        Samples per step.
    learning_rate : float
        At the start; falls to a hundredth along a cosine.
    weight_decay : float
        Of the optimiser.
    noise : float
        Standard deviation of what is added to the normalised features.
    caution : float
        What more iterations weigh, fewer weighing 1: spectra that training has not met
        are foretold worse than those it has.
    averaging : float
        Decay of the running mean of parameters that is kept.
    """

    seed: int = 0
    n_samples: int = 1_600
    held_out: int = 8
    n_steps: int = 2_000
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    noise: float = 0.2
    caution: float = 2.5
    averaging: float = 0.995


def train(config, engine_config=None, progress=None):
    """Train an engine for eigenproblems from nothing.

    Parameters
    ----------
    config : EigenTrainConfig
        What to do.
    engine_config : EigenConfig, optional
        Shape of the network.
    progress : callable, optional
        Called with (stage, done, total, loss).

    Returns
    -------
    params : dict of str to ndarray
        The running mean of the parameters, float32.
    provenance : dict
        Configuration, version, families and evaluation on held-out spectra.

    Notes
    -----
    The loss is the expected logarithm of the iterations, over those of the rule, under
    the softmax of the preferences: iterations were counted for every choice before, so
    that the derivative is exact.
    """
    engine_config = engine_config or EigenConfig()
    tell = progress or (lambda *details: None)
    samples = draw_samples(
        config.seed,
        config.n_samples,
        engine_config,
        lambda k: tell("measure", k, config.n_samples, math.nan),
    )
    learned = [s for k, s in enumerate(samples) if k % config.held_out]
    params = fit(learned, config, engine_config, tell)
    provenance = {
        "package_version": __version__,
        "modules": digest_of_modules(),
        "training": {**asdict(config), "families": list(spectra.FAMILIES)},
        "evaluation": evaluate(params, samples[:: config.held_out]),
    }
    return params, provenance


def fit(samples, config, engine_config, progress):
    """Fit the network to samples.

    Parameters
    ----------
    samples : list of Sample
        To learn from.
    config : EigenTrainConfig
        With the steps.
    engine_config : EigenConfig
        Shape of the network.
    progress : callable
        Called with (stage, done, total, loss).

    Returns
    -------
    dict of str to ndarray
        Parameters, float32.
    """
    x = np.array([s.x for s in samples])
    low, high = x.min(axis=0), x.max(axis=0)
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-3
    gains = np.clip([s.gains for s in samples], -_LARGEST, _LARGEST)
    x = torch.tensor((x - mean) / spread)
    costs = torch.tensor(np.where(gains > 0, config.caution * gains, gains))
    rng = np.random.default_rng([config.seed, 1])
    first = init(engine_config, rng)
    params = {
        k: torch.tensor(v, requires_grad=True) for k, v in first.items() if k[0] in "wb"
    }
    kept = {k: v.detach().clone() for k, v in params.items()}
    rate = config.learning_rate
    optimiser = torch.optim.AdamW(
        params.values(), lr=rate, weight_decay=config.weight_decay
    )
    for step in range(config.n_steps):
        which = torch.tensor(rng.integers(0, len(samples), config.batch))
        noise = torch.tensor(rng.standard_normal((config.batch, x.shape[1])))
        outputs = forward(params, x[which] + config.noise * noise, torch)
        loss = (torch.softmax(outputs, -1) * costs[which]).sum(-1).mean()
        optimiser.zero_grad()
        loss.backward()
        share = 0.5 * (1 + math.cos(math.pi * step / config.n_steps))
        optimiser.param_groups[0]["lr"] = rate * (0.01 + 0.99 * share)
        optimiser.step()
        decay = min(config.averaging, (step + 1) / (11 + step))
        with torch.no_grad():
            for k, value in params.items():
                kept[k].lerp_(value, 1 - decay)
        if (step + 1) % 500 == 0:
            progress("policy", step + 1, config.n_steps, loss.item())
    result = {k: v.numpy() for k, v in kept.items()}
    # The first layer takes over the normalisation, so that inference needs none.
    result["w0"] = result["w0"] / spread[:, None]
    result["b0"] = result["b0"] - mean @ result["w0"]
    result |= {"low": low, "high": high}
    return {k: v.astype(np.float32) for k, v in result.items()}


def evaluate(params, samples):
    """Compare an engine with the rule.

    Parameters
    ----------
    params : dict of str to ndarray
        Of the network.
    samples : list of Sample
        Spectra that it has not learned from.

    Returns
    -------
    dict
        Geometric mean of the iterations over those of the rule, of all and by family
        and degree; share of cases without more (by less than one in twenty); the worst;
        the best that any choice could do.
    """
    params = {k: np.float64(v) for k, v in params.items()}
    taken = [int(np.argmax(preferences(params, s.x))) for s in samples]
    gains = np.array([s.gains[j] for s, j in zip(samples, taken, strict=True)])

    def _mean(chosen):
        return round(float(np.exp(np.mean(gains[chosen]))), 4)

    def _by(key):
        values = np.array([getattr(s, key) for s in samples])
        return {str(v): _mean(values == v) for v in np.unique(values)}

    return {
        "n_cases": len(samples),
        "iterations": _mean(slice(None)),
        "no_more": round(float(np.mean(gains <= np.log(1.05))), 4),
        "worst": round(float(np.exp(gains.max())), 4),
        "oracle": round(float(np.exp(np.mean([s.gains.min() for s in samples]))), 4),
        "by_family": _by("family"),
        "by_degree": _by("degree"),
    }


def digest_of_modules():
    """Hash the modules that decide what comes out of a training.

    Returns
    -------
    str
        The first 12 digits of the SHA-256 of their sources.
    """
    package = Path(__file__).parents[1]
    names = ["retrain/eigen_data", "retrain/eigen_task", "eigen_engine", "gmres_engine"]
    names += ["density", "probing", "spectra", "classical"]
    parts = [(package / f"{name}.py").read_bytes() for name in names]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:12]
