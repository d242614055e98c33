"""Continue a training in rounds, and keep the round that does best on held-out operators.

The one module of fine-tuning that needs torch.
"""

import contextlib
import dataclasses
import functools
import math
from dataclasses import dataclass

import numpy as np
import torch

from autospec_precond.engine import forward

from .edge_head import Curves
from .fitting import minimise
from .judge_head import fit_judge, judge_cases
from .training import TrainConfig, digest_of_modules

__all__ = [
    "Split",
    "choose_margins",
    "digest_of_modules",
    "one_thread",
    "tune_edges",
    "tune_judge",
]

# How much worse the synthetic operators may become, natural logarithm of the products:
# three quarters of what refuses the weights in the end.
_SLACK = 0.0075
_LEAST_GAIN = 1e-4
_MOST_COPIES = 40  # of the user's cases


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
        the best of 39 lower edges: 'own' and 'synthetic', both held out.
    """
    head = _Edges(params, engine_config, split, settings)
    return _rounds("edge", params, head, settings, seed, state, tell)


class _Edges:
    """The edge network: its loss is the measured curve at the predicted edge."""

    def __init__(self, params, engine_config, split, settings):
        self.own = Curves(split.own, engine_config)
        self.synthetic = Curves(split.synthetic, engine_config)
        self.held = [
            Curves(samples, engine_config)
            for samples in (split.own_held, split.synthetic_held)
        ]
        self.share, self.pull = settings.share, settings.pull
        self.first = {k: torch.tensor(v) for k, v in params.items() if k.startswith("edge")}

    def fit(self, params, config, heard):
        n_own = round(self.share * config.batch)

        def loss(now, rng):
            losses = [
                part.losses(now, *part.draw(rng, count))
                for part, count in (
                    (self.own, n_own),
                    (self.synthetic, config.batch - n_own),
                )
            ]
            moved = sum(((now[k] - v) ** 2).sum() for k, v in self.first.items())
            return torch.cat(losses).mean() + self.pull * moved

        return minimise(params, "edge", loss, config.n_edge_steps, config, heard)

    def score(self, params):
        return [part.mean(params) for part in self.held]


def choose_margins(params, engine_config, split):
    """Let the network's edges stand where they are no longer those of pretraining.

    Parameters
    ----------
    params : dict of str to ndarray
        With the tuned edge network.
    engine_config : EngineConfig
        With margins within which a classical edge is taken instead.
    split : Split
        Samples.

    Returns
    -------
    EngineConfig
        Without margins where held-out operators of the user's gain by that and
        synthetic ones stay within what a round may cost them.
    """
    margins = engine_config.edge_margins
    held = [Curves(s, engine_config) for s in (split.own_held, split.synthetic_held)]
    (own, synthetic), (own_free, synthetic_free) = (
        [part.mean(params, some) for part in held] for some in (margins, (0.0, 0.0))
    )
    if own_free < own - _LEAST_GAIN and synthetic_free <= synthetic + _SLACK:
        return dataclasses.replace(engine_config, edge_margins=(0.0, 0.0))
    return engine_config


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
    cases = functools.partial(
        judge_cases, params=params, engine_config=engine_config, seed=seed
    )
    own = cases(split.own)
    held = [[cases([s]) for s in part] for part in (split.own_held, split.synthetic_held)]
    if not (len(own[1]) and any(len(savings) for _, savings in held[0])):
        return params, []
    synthetic = cases(split.synthetic, n_jobs=n_jobs)
    head = _Judge(engine_config, own, synthetic, held, settings)
    return _rounds("judge", params, head, settings, seed, state, tell)


class _Judge:
    """The judge: its loss is how far its savings are from those measured."""

    def __init__(self, engine_config, own, synthetic, held, settings):
        wanted = settings.share / (1 - settings.share) * len(synthetic[1]) / len(own[1])
        copies = int(np.clip(round(wanted), 1, _MOST_COPIES))
        self.cases = [
            np.concatenate([many, *[few] * copies])
            for many, few in zip(synthetic, own, strict=True)
        ]
        self.config = engine_config
        self.held = held

    def fit(self, params, config, heard):
        return fit_judge(params, self.cases, config, heard)

    def score(self, params):
        return [self.saved(params, part) for part in self.held]

    def saved(self, params, groups):
        """Return the mean logarithm saved by what would be chosen; one group a sample."""
        saved = [0.0]
        for inputs, savings in groups:
            judged = forward(params, "judge", inputs)[:, 0]
            degree = inputs[:, self.config.n_features]
            for value in np.unique(degree):
                of_one = np.flatnonzero(degree == value)
                best = of_one[judged[of_one].argmin()]
                taken = judged[best] < -self.config.gap_margin
                saved.append(savings[best] if taken else 0.0)
        return float(np.mean(saved))


def _rounds(stage, params, head, settings, seed, state, tell):
    """Train until held-out operators gain nothing more; go on where the state ends."""
    record = state.records.get(stage)
    if record is None:
        own, synthetic = head.score(params)
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
            TrainConfig(),
            seed=seed + k,
            n_edge_steps=settings.n_steps,
            n_judge_steps=settings.n_steps,
            learning_rate=settings.learning_rate * settings.cooling ** (k - 1),
        )
        now = head.fit(now, config, lambda *told, losses=losses: losses.append(told[-1]))
        own, synthetic = head.score(now)
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
