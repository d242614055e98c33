"""The judge: it learns the measured savings of what `unions` proposes."""

import numpy as np
import torch

from autospec_precond import features, unions
from autospec_precond.classical import chebyshev_roots
from autospec_precond.engine import Engine, forward

from .counting import log_products, residual_polynomial
from .data import MOST_PRODUCTS, Pool
from .fitting import minimise

__all__ = ["fit_judge", "judge_cases"]

_CHUNK = 100  # samples per task of a process
_SHORT = 6  # outer iterations below which a case teaches the judge nothing
_SAVINGS = (-2.5, 2.0)  # what the logarithm of a saving is clipped to


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
            inputs.append(features.of_candidates(x, probe, low, degree, found))
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
    steps = config.n_judge_steps
    fitted = minimise(start, "judge", loss, steps, config, tell, config.weight_decay)
    # The standardisation goes into the first layer.
    fitted["judge.w0"] = fitted["judge.w0"] / spread.numpy()[:, None]
    fitted["judge.b0"] = fitted["judge.b0"] - mean.numpy() @ fitted["judge.w0"]
    return fitted
