"""Pretraining from nothing: one loop, one configuration, deterministic for a seed."""

import math
import time
from dataclasses import asdict, dataclass

import numpy as np
import torch

from autospec_precond import spectra
from autospec_precond.engine import Engine, EngineConfig, decode, forward, init, roots_basis
from autospec_precond.versions import __version__

from .data import draw_samples
from .evaluation import evaluate
from .losses import log_products, positivity_penalty, unrolled_loss

__all__ = ["TrainConfig", "train"]


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the outcome of a training.

    Attributes
    ----------
    seed : int
        Of data, start and order.
    n_unrolled, n_measured : int
        Optimiser steps on the unrolled loss, then on the measured one.
    batch : int
        Operators per step.
    n_samples : int
        Operators drawn in all; each is met many times, with other right-hand sides,
        degrees and budgets.
    n_eigenvalues : int
        Of each operator.
    learning_rates : tuple of float
        At the start of each part; falls to a hundredth along a cosine.
    degrees : tuple of int
        Drawn at random.
    budgets : tuple of int
        Products that CG is unrolled for, drawn at random.
    most_products : int
        Budget of the measured loss.
    difference : float
        Step of the differences, in raw outputs.
    averaging : float
        Decay of the running mean of parameters that is kept.
    """

    seed: int = 0
    n_unrolled: int = 6_000
    n_measured: int = 12_000
    batch: int = 32
    n_samples: int = 14_000
    n_eigenvalues: int = 400
    learning_rates: tuple = (2e-3, 1e-3)
    degrees: tuple = (4, 8, 16, 32)
    budgets: tuple = (64, 96, 160, 200)
    most_products: int = 2_500
    difference: float = 0.1
    averaging: float = 0.999


def train(config, engine_config=None, progress=None):
    """Train an engine from nothing.

    Parameters
    ----------
    config : TrainConfig
        What to do.
    engine_config : EngineConfig, optional
        Shape of the network.
    progress : callable, optional
        Called with (step, loss, seconds) every 500 steps.

    Returns
    -------
    params : dict of str to ndarray
        The running mean of the parameters, float32.
    provenance : dict
        Configuration, version, families and evaluation on held-out operators.

    Notes
    -----
    Runs on one thread: the same seed on the same kind of machine gives the same bits.
    """
    engine_config = engine_config or EngineConfig()
    rng = np.random.default_rng(config.seed)
    samples = draw_samples(rng, config.n_samples, config.n_eigenvalues)
    task = _Task(config, engine_config, samples, rng)
    params = {k: torch.tensor(v) for k, v in init(engine_config, rng).items()}
    mean = {k: v.clone() for k, v in params.items()}
    for value in params.values():
        value.requires_grad_(True)
    began = time.perf_counter()
    done = 0
    parts = ((config.n_unrolled, task.unrolled), (config.n_measured, task.measured))
    for (n_steps, objective), rate in zip(parts, config.learning_rates, strict=True):
        optimiser = torch.optim.Adam(params.values(), lr=rate)
        for step in range(n_steps):
            loss = objective(params)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(params.values(), 1.0)
            share = 0.5 * (1 + math.cos(math.pi * step / n_steps))
            optimiser.param_groups[0]["lr"] = rate * (0.01 + 0.99 * share)
            optimiser.step()
            done += 1
            # The mean of the first steps would remember the start for a long time.
            decay = min(config.averaging, done / (10 + done))
            with torch.no_grad():
                for key, value in params.items():
                    mean[key].lerp_(value, 1 - decay)
            if progress is not None and done % 500 == 0:
                progress(done, task.last, time.perf_counter() - began)
    result = {k: v.numpy().astype(np.float32) for k, v in mean.items()}
    provenance = {
        "package_version": __version__,
        "training": asdict(config),
        "families": list(spectra.FAMILIES),
        "evaluation": evaluate(
            Engine(engine_config, result, {}, "trained", ""), config.seed + 1_000_003
        ),
    }
    return result, provenance


class _Task:
    """The two objectives, each on a fresh batch; `last` is the last value, to show."""

    def __init__(self, config, engine_config, samples, rng):
        self.config = config
        self.engine_config = engine_config
        self.rng = rng
        self.eigenvalues = torch.tensor(np.array([s.eigenvalues for s in samples]))
        self.inputs = torch.tensor(np.array([s.features for s in samples]))
        self.last = math.nan

    def unrolled(self, params):
        """Return the loss of CG differentiated through its iterations."""
        eigenvalues, b, degree, outputs = self._batch(params)
        roots = self._roots(outputs, degree)
        budget = int(self.rng.choice(self.config.budgets))
        n_iterations = max(4, budget // (degree + 1))
        loss = unrolled_loss(eigenvalues, roots, b, n_iterations)
        self.last = loss.item()
        return loss + 10 * positivity_penalty(roots).mean()

    def measured(self, params):
        """Return a loss whose gradient is that of the products CG really takes.

        Differences along one random direction in the space of outputs, both ways, for
        each operator; through the network the gradient is exact.
        """
        eigenvalues, b, degree, outputs = self._batch(params)
        penalty = positivity_penalty(self._roots(outputs, degree)).mean()
        size = tuple(outputs.shape)
        way = torch.from_numpy(self.rng.choice((-1.0, 1.0), size))
        shift = self.config.difference * way
        with torch.no_grad():
            both = [
                log_products(
                    eigenvalues,
                    self._roots(outputs + sign * shift, degree),
                    b,
                    self.config.most_products,
                )
                for sign in (1, -1)
            ]
        slope = (both[0] - both[1]) / (2 * self.config.difference)
        self.last = 0.5 * (both[0] + both[1]).mean().item()
        return (slope[:, None] * way * outputs).sum(1).mean() + 10 * penalty

    def _batch(self, params):
        config, rng = self.config, self.rng
        degree = int(rng.choice(config.degrees))
        chosen = torch.from_numpy(rng.integers(0, len(self.inputs), config.batch))
        b = torch.from_numpy(rng.standard_normal((config.batch, config.n_eigenvalues)))
        x = self.inputs[chosen].clone()
        x[:, -1] = math.log2(degree + 1) / 5
        return self.eigenvalues[chosen], b, degree, forward(params, x, torch)

    def _roots(self, outputs, degree):
        basis = [torch.from_numpy(part) for part in roots_basis(self.engine_config, degree)]
        return decode(self.engine_config, outputs, degree, basis, torch)[1]
