"""Continue a training in rounds, and keep the round that does best on held-out operators.

The only module of fine-tuning that needs torch.
"""

import contextlib
import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import torch

from autospec_precond import features
from autospec_precond.engine import edges, forward

from . import training
from .data import EDGES

__all__ = ["Split", "one_thread", "tune_edges", "tune_judge"]

# How much worse the synthetic operators may become, natural logarithm of the products:
# half of what refuses the weights in the end.
_SLACK = 0.005
_LEAST_GAIN = 1e-4
_MOST_COPIES = 40  # of the user's samples


@dataclass(frozen=True)
class Split:
    """What is learned from and what is chosen by.

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


@contextlib.contextmanager
def one_thread():
    """Let torch run on one thread, so that sums have one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def tune_edges(params, engine_config, split, settings, seed, state, tell):
    """Continue the training of the edge network.

    Parameters
    ----------
    params : dict of str to ndarray
        Where to start.
    engine_config : EngineConfig
        Shape of the networks.
    split : Split
        Samples, with curves.
    settings : FineTuneConfig
        Rounds and rates.
    seed : int
        Of the order.
    state : State
        Where every round is kept.
    tell : callable
        Called with (stage, done, total, loss).

    Returns
    -------
    params : dict of str to ndarray
        Of the best round; round 0 is the start.
    history : list of dict
        For every round the loss, and the geometric mean of the products over those of
        the best of 20 lower edges: 'own' and 'synthetic', both held out.
    """
    mixed = split.synthetic + split.own * _n_copies(split.own, split.synthetic, settings)

    def fit(now, config, heard):
        return training.fit_edges(now, engine_config, mixed, config, heard)

    def score(now):
        held = split.own_held, split.synthetic_held
        return [_edge_loss(now, engine_config, samples) for samples in held]

    return _rounds("edge", params, fit, score, settings, seed, state, tell)


def _edge_loss(params, engine_config, samples):
    """Return the mean loss of the predicted edges on measured curves, not smoothed."""
    grid = np.log10(EDGES)
    losses = []
    for sample in samples:
        curves = sample.curves - sample.curves.min(-1, keepdims=True)
        x = np.array([features.extract(p) for p in sample.probes])
        place = edges(engine_config, forward(params, "edge", x))
        place += np.log10([[p.high] for p in sample.probes])
        losses += [np.interp(place[:, k], grid, curve) for k, curve in enumerate(curves)]
    return float(np.mean(np.concatenate(losses)))


def tune_judge(params, engine_config, split, settings, seed, n_jobs, state, tell):
    """Continue the training of the judge, where the user's matrices have gaps.

    Parameters
    ----------
    params : dict of str to ndarray
        Where to start.
    engine_config : EngineConfig
        Shape of the networks.
    split : Split
        Samples.
    settings : FineTuneConfig
        Rounds and rates.
    seed : int
        Of the choice of cases and their order.
    n_jobs : int
        Processes that measure.
    state : State
        Where every round is kept.
    tell : callable
        Called with (stage, done, total, loss).

    Returns
    -------
    params : dict of str to ndarray
        Of the best round; round 0 is the start.
    history : list of dict
        For every round the loss, and the geometric mean of the products over those with
        the single interval: 'own' and 'synthetic', both held out; empty where no gap
        of the user's teaches anything.
    """

    def cases(samples):
        return training.judge_cases(samples, params, engine_config, seed, n_jobs)

    own = cases(split.own)
    held = [[cases([s]) for s in part] for part in (split.own_held, split.synthetic_held)]
    if not (len(own[1]) and any(len(savings) for _, savings in held[0])):
        return params, []
    synthetic = cases(split.synthetic)
    copies = _n_copies(own[1], synthetic[1], settings)
    mixed = [
        np.concatenate([few, *[many] * copies])
        for few, many in zip(synthetic, own, strict=True)
    ]

    def fit(now, config, heard):
        return training.fit_judge(now, mixed, config, heard)

    def score(now):
        return [_judge_loss(now, engine_config, part) for part in held]

    return _rounds("judge", params, fit, score, settings, seed, state, tell)


def _judge_loss(params, engine_config, groups):
    """Return the mean logarithm saved by what the judge would choose."""
    saved = [0.0]
    for inputs, savings in groups:
        judged = forward(params, "judge", inputs)[:, 0]
        degree = inputs[:, engine_config.n_features]
        for value in np.unique(degree):
            of_one = np.flatnonzero(degree == value)
            best = of_one[judged[of_one].argmin()]
            taken = judged[best] < -engine_config.gap_margin
            saved.append(savings[best] if taken else 0.0)
    return float(np.mean(saved))


def _n_copies(own, synthetic, settings):
    wanted = settings.share / (1 - settings.share) * len(synthetic) / len(own)
    return int(np.clip(round(wanted), 1, _MOST_COPIES))


def _rounds(stage, params, fit, score, settings, seed, state, tell):
    """Train until held-out operators gain nothing more; go on where the state ends."""
    record = state.records.get(stage)
    if record is None:
        own, synthetic = score(params)
        record = {
            "stale": 0,
            "best": own,
            "history": [_entry(stage, 0, None, own, synthetic)],
        }
        now = best = params
    else:
        now, best = state.params(f"{stage}/now"), state.params(f"{stage}/best")
    history = record["history"]
    allowed = math.log(history[0]["synthetic"]) + _SLACK
    for k in range(len(history), settings.n_rounds + 1):
        if record["stale"] >= settings.patience:
            break
        losses = []
        config = dataclasses.replace(
            training.TrainConfig(),
            seed=seed + k,
            n_edge_steps=settings.n_steps,
            n_judge_steps=settings.n_steps,
            learning_rate=settings.learning_rate * settings.cooling ** (k - 1),
        )
        now = fit(now, config, lambda *told, losses=losses: losses.append(told[-1]))
        own, synthetic = score(now)
        if synthetic <= allowed and own < record["best"] - _LEAST_GAIN:
            best, record["best"], record["stale"] = now, own, 0
        else:
            record["stale"] += 1
        loss = losses[-1] if losses else None
        history.append(_entry(stage, k, loss, own, synthetic))
        state.records[stage] = record
        state.put_params(f"{stage}/now", now)
        state.put_params(f"{stage}/best", best)
        state.save()
        tell(stage, k, settings.n_rounds, math.nan if loss is None else loss)
    return best, history


def _entry(stage, k, loss, own, synthetic):
    return {
        "stage": stage,
        "round": k,
        "loss": loss,
        "own": math.exp(own),
        "synthetic": math.exp(synthetic),
    }
