"""The training of the engine for general matrices: from a seed to weights."""

import hashlib
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from autospec_precond.gmres_engine import GmresConfig, forward, init, preferences
from autospec_precond.versions import __version__

from .gmres_data import draw_samples
from .gmres_operators import FAMILIES

__all__ = ["GmresTrainConfig", "choose", "digest_of_modules", "evaluate", "train"]

_MOST = math.log(4)  # gains and losses beyond a factor of 4 count as one


@dataclass(frozen=True)
class GmresTrainConfig:
    """Everything that decides the outcome of a training.

    Attributes
    ----------
    seed : int
        Of data, start and order.
    n_samples : int
        Operators drawn; some are of no use.
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
    worse : float
        What a proposal that takes more products than the GMRES polynomial costs besides.
    caution : float
        What more products weigh, fewer weighing 1: spectra that training has not met are
        foretold worse than those it has.
    averaging : float
        Decay of the running mean of parameters that is kept.
    """

    seed: int = 0
    n_samples: int = 1_800
    held_out: int = 8
    n_steps: int = 2_000
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    noise: float = 0.2
    worse: float = 0.1
    caution: float = 2.0
    averaging: float = 0.995


def train(config, engine_config=None, progress=None):
    """Train an engine for general matrices from nothing.

    Parameters
    ----------
    config : GmresTrainConfig
        What to do.
    engine_config : GmresConfig, optional
        Shape of the network.
    progress : callable, optional
        Called with (stage, done, total, loss).

    Returns
    -------
    params : dict of str to ndarray
        The running mean of the parameters, float32.
    provenance : dict
        Configuration, version, families and evaluation on held-out operators.

    Notes
    -----
    The network is a policy: at each stage of the probe it goes on or takes a candidate.
    The loss is the expected logarithm of the products, over those of the GMRES
    polynomial of the same degree, under the softmax of its preferences: products were
    counted for every stage and candidate before, so that the derivative is exact.
    """
    engine_config = engine_config or GmresConfig()
    tell = progress or (lambda *details: None)
    samples = draw_samples(
        config.seed,
        config.n_samples,
        engine_config,
        progress=lambda k: tell("measure", k, config.n_samples, math.nan),
    )
    held = samples[:: config.held_out]
    learned = [s for k, s in enumerate(samples) if k % config.held_out]
    params = _fit(learned, config, engine_config, tell)
    params = {k: v.astype(np.float32) for k, v in params.items()}
    provenance = {
        "package_version": __version__,
        "modules": digest_of_modules(),
        "training": {**asdict(config), "families": list(FAMILIES)},
        "evaluation": evaluate(params, held),
    }
    return params, provenance


def _fit(samples, config, engine_config, tell):
    x, costs, absent = _pack(samples, config.worse, config.caution)
    low, high = x[~absent].min(axis=0), x[~absent].max(axis=0)
    mean, spread = x[~absent].mean(axis=0), x[~absent].std(axis=0) + 1e-3
    x, costs = torch.tensor((x - mean) / spread), torch.tensor(costs)
    absent = torch.tensor(absent)
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
        noise = torch.tensor(rng.standard_normal((config.batch, *x.shape[1:])))
        outputs = forward(params, x[which] + config.noise * noise, torch)
        loss = _expected(outputs, costs[which], absent[which]).mean()
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
            tell("policy", step + 1, config.n_steps, loss.item())
    result = {k: v.numpy() for k, v in kept.items()}
    # The first layer takes over the normalisation, so that inference needs none.
    result["w0"] = result["w0"] / spread[:, None]
    result["b0"] = result["b0"] - mean @ result["w0"]
    return result | {"low": low, "high": high}


def _pack(samples, worse, caution):
    """Return arrays, stages aligned at the last; absent ones are passed through."""
    most = max(len(s.x) for s in samples)
    n_features, n_emphases = samples[0].x.shape[1], samples[0].gains.shape[1]
    x = np.zeros((len(samples), most, n_features))
    costs = np.zeros((len(samples), most, n_emphases))
    absent = np.ones((len(samples), most), bool)
    for k, s in enumerate(samples):
        x[k, -len(s.x) :] = s.x
        gains = np.clip(s.gains, -_MOST, _MOST)
        loss = caution * gains + worse
        costs[k, -len(s.x) :] = np.where(gains > 0, loss, gains)
        absent[k, -len(s.x) :] = False
    return x, costs, absent


def _expected(outputs, costs, absent):
    """Return the expected cost of each sample, shape (batch,)."""
    value = (torch.softmax(outputs[:, -1, 1:], -1) * costs[:, -1]).sum(-1)
    for k in range(outputs.shape[1] - 2, -1, -1):
        share = torch.softmax(outputs[:, k], -1)
        here = share[:, 0] * value + (share[:, 1:] * costs[:, k]).sum(-1)
        value = torch.where(absent[:, k], value, here)
    return value


def choose(params, sample):
    """Return what the engine takes for a sample.

    Parameters
    ----------
    params : dict of str to ndarray
        Of the network.
    sample : Sample
        With features at each stage.

    Returns
    -------
    stage, candidate : int
        Places in `sample.gains`.
    """
    outputs = preferences({k: np.float64(v) for k, v in params.items()}, sample.x)
    last = len(sample.x) - 1
    for k, now in enumerate(outputs):
        if k == last or np.argmax(now):
            return k, int(np.argmax(now[1:]))
    return None


def evaluate(params, samples):
    """Compare an engine with the GMRES polynomial.

    Parameters
    ----------
    params : dict of str to ndarray
        Of the network.
    samples : list of Sample
        Operators that it has not learned from.

    Returns
    -------
    dict
        Geometric mean of the products over those of the GMRES polynomial, of all and by
        family and degree; share of cases without more; the worst; the best that any
        choice could do.
    """
    gains = np.array([s.gains[choose(params, s)] for s in samples])

    def _mean(chosen):
        return round(float(np.exp(np.mean(gains[chosen]))), 4)

    def _by(key):
        values = np.array([getattr(s, key) for s in samples])
        return {str(v): _mean(values == v) for v in np.unique(values)}

    return {
        "n_cases": len(samples),
        "products": _mean(slice(None)),
        "no_more": round(float(np.mean(gains <= 0)), 4),
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
    own = ("counting", "data", "operators", "task")
    names = [*(f"retrain/gmres_{name}" for name in own), "gmres_engine", "roots"]
    parts = [(package / f"{name}.py").read_bytes() for name in names]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:12]
