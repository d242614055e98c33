"""Training of the two networks: measured costs in, parameters out.

No solve is differentiated. The cost of an interval is measured for a range of lower
edges once, and interpolated: its derivative is exact, and each operator can be met
thousands of times, seen by other probes. The judge learns the measured cost of what
`unions` proposes, relative to that of the edge network's interval.
"""

import hashlib
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from autospec_precond import features, spectra, unions
from autospec_precond.classical import chebyshev_roots
from autospec_precond.engine import Engine, EngineConfig, edges, forward, init
from autospec_precond.versions import __version__

from .counting import log_products, residual_polynomial
from .data import EDGES, MOST_PRODUCTS, Pool, draw_samples
from .evaluation import evaluate

__all__ = [
    "TrainConfig",
    "digest_of_modules",
    "fit_edges",
    "fit_judge",
    "judge_cases",
    "train",
]

_CHUNK = 100  # samples per task of a process
_SHORT = 6  # outer iterations below which a case teaches the judge nothing
_SAVINGS = (-2.5, 2.0)  # what the logarithm of a saving is clipped to


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the outcome of a training.

    Attributes
    ----------
    seed : int
        Of data, start and order.
    n_samples : int
        Operators drawn.
    families : tuple of str
        Keys of `spectra.FAMILIES`.
    n_gap_samples : int
        Operators drawn besides for the judge, of `gap_families`.
    gap_families : tuple of str
        Those of `families` that have gaps.
    n_edge_steps, n_judge_steps : int
        Optimiser steps for either network.
    batch : int
        Operators per step.
    learning_rate : float
        At the start; falls to a hundredth along a cosine.
    weight_decay : float
        Of the judge.
    averaging : float
        Decay of the running mean of parameters that is kept.
    """

    seed: int = 0
    n_samples: int = 6_000
    families: tuple[str, ...] = tuple(spectra.FAMILIES)
    n_gap_samples: int = 3_000
    gap_families: tuple[str, ...] = ("clusters", "large_outliers")
    n_edge_steps: int = 20_000
    n_judge_steps: int = 20_000
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    averaging: float = 0.998


def train(config, engine_config=None, n_jobs=1, progress=None):
    """Train an engine from nothing.

    Parameters
    ----------
    config : TrainConfig
        What to do.
    engine_config : EngineConfig, optional
        Shape of the networks.
    n_jobs : int, optional
        Processes that measure; changes nothing in the result.
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
    The same seed on the same kind of machine gives the same bits: torch runs on one
    thread, and the processes draw from seeds of their own.
    """
    engine_config = engine_config or EngineConfig()
    tell = progress or (lambda *details: None)
    samples = draw_samples(
        config.seed,
        config.n_samples,
        engine_config.degrees,
        config.families,
        n_jobs,
        lambda done: tell("measure", done, config.n_samples, math.nan),
    )
    params = init(engine_config, np.random.default_rng(config.seed))
    params = fit_edges(params, engine_config, samples, config, tell)
    gap_families = [f for f in config.gap_families if f in config.families]
    if gap_families:
        count, seed = config.n_gap_samples, config.seed + 500_009
        samples = samples + draw_samples(seed, count, (), gap_families, n_jobs)
    cases = judge_cases(samples, params, engine_config, config.seed, n_jobs)
    if len(cases[1]):
        params = fit_judge(params, cases, config, tell)
    params = {k: v.astype(np.float32) for k, v in params.items()}
    engine = Engine(engine_config, params, {}, "trained", "")
    provenance = {
        "package_version": __version__,
        "modules": digest_of_modules(),
        "training": {k: _plain(v) for k, v in asdict(config).items()},
        "evaluation": evaluate(engine, config.seed + 1_000_003, n_jobs=n_jobs),
    }
    return params, provenance


def digest_of_modules():
    """Hash the modules that decide what comes out of a training.

    Returns
    -------
    str
        The first 12 digits of the SHA-256 of their sources.
    """
    package = Path(__file__).parents[1]
    names = [
        "retrain/counting.py",
        "retrain/data.py",
        "retrain/training.py",
        "engine.py",
        "equilibrium.py",
        "features.py",
        "probing.py",
        "spectra.py",
        "unions.py",
    ]
    parts = [(package / name).read_bytes() for name in names]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:12]


def _plain(value):
    return list(value) if isinstance(value, tuple) else value


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
        See `train`.

    Returns
    -------
    dict of str to ndarray
        `params` with other numbers for the edge network.
    """
    curves = np.array([s.curves for s in samples])
    curves = torch.tensor(_smooth(curves - curves.min(-1, keepdims=True)))
    inputs = torch.tensor(
        np.array([[features.extract(p) for p in s.probes] for s in samples])
    )
    bounds = torch.tensor(np.log10([[p.high for p in s.probes] for s in samples]))
    grid = np.log10(EDGES)
    outside = grid[[0, -1]]

    def loss(now, rng):
        which = torch.from_numpy(rng.integers(0, len(samples), config.batch))
        probe = torch.from_numpy(rng.integers(0, inputs.shape[1], config.batch))
        outputs = forward(now, "edge", inputs[which, probe], torch)
        edge = edges(engine_config, outputs) + bounds[which, probe, None]
        place = ((edge - grid[0]) / (grid[1] - grid[0])).clamp(0, grid.size - 1.001)
        k = place.long()
        left = curves[which].gather(-1, k[..., None])[..., 0]
        right = curves[which].gather(-1, k[..., None] + 1)[..., 0]
        beyond = torch.relu(outside[0] - edge) + torch.relu(edge - outside[1])
        return (left + (right - left) * (place - k)).mean() + 0.1 * beyond.mean()

    return _fit(params, "edge", loss, config.n_edge_steps, config, 0.0, tell)


def _smooth(curves):
    """Average neighbours: counts jump from one right-hand side to the next."""
    padded = np.concatenate([curves[..., :1], curves, curves[..., -1:]], -1)
    return 0.25 * padded[..., :-2] + 0.5 * padded[..., 1:-1] + 0.25 * padded[..., 2:]


def judge_cases(samples, params, engine_config, seed, n_jobs=1, most=14):
    """Measure what polynomials on unions of intervals save.

    Parameters
    ----------
    samples : list of Sample
        Operators.
    params : dict of str to ndarray
        With a trained edge network.
    engine_config : EngineConfig
        Shape of the networks.
    seed : int
        Of the choice of degrees and candidates.
    n_jobs : int, optional
        Processes.
    most : int, optional
        Candidates measured per operator.

    Returns
    -------
    inputs : ndarray, shape (m, n_judge_features)
        What the judge reads.
    savings : ndarray, shape (m,)
        Natural logarithm of the products over those with the single interval.
    """
    engine = Engine(engine_config, params, {}, "in training", "")
    tasks = [
        (samples[k : k + _CHUNK], engine, (seed, k), most)
        for k in range(0, len(samples), _CHUNK)
    ]
    n_features = engine_config.n_features + features.size_candidate()
    inputs, savings = [np.empty((0, n_features))], [np.empty(0)]
    with Pool(n_jobs) as run:
        for x, y in run(_judge_chunk, tasks):
            inputs.extend(x)
            savings.extend(y)
    return np.concatenate(inputs), np.concatenate(savings)


def _judge_chunk(task):
    samples, engine, seed, most = task
    rng = np.random.default_rng(seed)
    inputs, savings = [], []
    for sample in samples:
        probe = sample.probes[0]
        for degree in map(int, rng.choice(engine.config.degrees, 2, replace=False)):
            low = engine.low(probe, degree)
            found = unions.candidates(probe, low, degree)
            if not found:
                continue
            if len(found) > most:
                found = [found[k] for k in rng.choice(len(found), most, replace=False)]
            plain = chebyshev_roots(degree, low, probe.high)[None]
            (whole,) = _measure(sample, plain, MOST_PRODUCTS)
            if whole < np.log(_SHORT * (degree + 1)):
                continue  # a matter of single iterations
            roots = np.array([c.roots for c in found])
            logs = _measure(sample, roots, min(MOST_PRODUCTS, int(8 * np.exp(whole))))
            x = features.extract(probe)
            inputs.append(features.of_candidates(x, probe.high, degree, found))
            savings.append(np.clip(logs - whole, *_SAVINGS))
    return inputs, savings


def _measure(sample, roots, most):
    q = 1 - residual_polynomial(sample.eigenvalues, roots)
    return log_products(sample.eigenvalues, q, roots.shape[1], sample.b, most)


def fit_judge(params, cases, config, tell):
    """Fit the judge to measured savings.

    Parameters
    ----------
    params : dict of str to ndarray
        Where to start.
    cases : tuple of ndarray
        As `judge_cases` returns them.
    config : TrainConfig
        Steps and rates.
    tell : callable
        See `train`.

    Returns
    -------
    dict of str to ndarray
        `params` with other numbers for the judge.
    """
    inputs, savings = (torch.tensor(part) for part in cases)
    mean, spread = inputs.mean(0), inputs.std(0) + 1e-3
    inputs = (inputs - mean) / spread

    def loss(now, rng):
        which = torch.from_numpy(rng.integers(0, len(inputs), config.batch))
        judged = forward(now, "judge", inputs[which], torch)[:, 0]
        return torch.nn.functional.smooth_l1_loss(judged, savings[which], beta=0.1)

    start = dict(params)
    start["judge.b0"] = params["judge.b0"] + mean.numpy() @ params["judge.w0"]
    start["judge.w0"] = params["judge.w0"] * spread.numpy()[:, None]
    fitted = _fit(
        start, "judge", loss, config.n_judge_steps, config, config.weight_decay, tell
    )
    # The standardisation goes into the first layer.
    fitted["judge.w0"] = fitted["judge.w0"] / spread.numpy()[:, None]
    fitted["judge.b0"] = fitted["judge.b0"] - mean.numpy() @ fitted["judge.w0"]
    return fitted


def _fit(params, head, objective, n_steps, config, weight_decay, tell):
    """Minimise an objective over one network; return the running mean of the steps."""
    rng = np.random.default_rng([config.seed, len(head)])
    now = {k: torch.tensor(np.asarray(v, np.float64)) for k, v in params.items()}
    own = [v.requires_grad_(True) for k, v in now.items() if k.startswith(head)]
    mean = [v.detach().clone() for v in own]
    rate = config.learning_rate
    optimiser = torch.optim.AdamW(own, lr=rate, weight_decay=weight_decay)
    for step in range(n_steps):
        loss = objective(now, rng)
        optimiser.zero_grad()
        loss.backward()
        share = 0.5 * (1 + math.cos(math.pi * step / n_steps))
        optimiser.param_groups[0]["lr"] = rate * (0.01 + 0.99 * share)
        optimiser.step()
        # The mean of the first steps would remember the start for a long time.
        decay = min(config.averaging, (step + 1) / (11 + step))
        with torch.no_grad():
            for average, value in zip(mean, own, strict=True):
                average.lerp_(value, 1 - decay)
        if (step + 1) % 500 == 0:
            tell(head, step + 1, n_steps, loss.item())
    with torch.no_grad():
        for average, value in zip(mean, own, strict=True):
            value.copy_(average)
    return {k: v.detach().numpy() for k, v in now.items()}
