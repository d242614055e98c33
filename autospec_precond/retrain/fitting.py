"""Minimise a loss over one of the networks; keep the running mean of the parameters."""

import math

import numpy as np
import torch

__all__ = ["minimise"]


def minimise(params, head, loss, n_steps, config, tell, weight_decay=0.0):
    """Fit one network.

    Parameters
    ----------
    params : dict of str to ndarray
        Where to start.
    head : {'edge', 'judge'}
        Which network; the parameters of the other stay.
    loss : callable
        Takes all parameters as tensors and a Generator to draw the batch with.
    n_steps : int
        Optimiser steps.
    config : TrainConfig
        Seed, rate and averaging.
    tell : callable
        Called with (stage, done, total, loss).
    weight_decay : float, optional
        Of the optimiser.

    Returns
    -------
    dict of str to ndarray
        `params` with other numbers for this network.
    """
    rng = np.random.default_rng([config.seed, len(head)])
    now = {k: torch.tensor(np.asarray(v, np.float64)) for k, v in params.items()}
    own = [v.requires_grad_(True) for k, v in now.items() if k.startswith(head)]
    mean = [v.detach().clone() for v in own]
    rate = config.learning_rate
    optimiser = torch.optim.AdamW(own, lr=rate, weight_decay=weight_decay)
    for step in range(n_steps):
        value = loss(now, rng)
        optimiser.zero_grad()
        value.backward()
        share = 0.5 * (1 + math.cos(math.pi * step / n_steps))
        optimiser.param_groups[0]["lr"] = rate * (0.01 + 0.99 * share)
        optimiser.step()
        # The mean of the first steps would remember the start for a long time.
        decay = min(config.averaging, (step + 1) / (11 + step))
        with torch.no_grad():
            for average, current in zip(mean, own, strict=True):
                average.lerp_(current, 1 - decay)
        if (step + 1) % 500 == 0:
            tell(head, step + 1, n_steps, value.item())
    with torch.no_grad():
        for average, current in zip(mean, own, strict=True):
            current.copy_(average)
    return {k: v.detach().numpy() for k, v in now.items()}
