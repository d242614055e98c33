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

from autospec_precond import spectra
from autospec_precond.engine import Engine, EngineConfig, init
from autospec_precond.versions import __version__

from .data import draw_samples
from .edge_head import fit_edges
from .evaluation import evaluate
from .judge_head import fit_judge, judge_cases

__all__ = ["TrainConfig", "digest_of_modules", "measure", "train"]


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
    n_samples: int = 21_600
    families: tuple[str, ...] = tuple(spectra.FAMILIES)
    n_gap_samples: int = 12_000
    gap_families: tuple[str, ...] = ("clusters", "large_outliers", "near_kernel", "fields")
    n_edge_steps: int = 40_000
    n_judge_steps: int = 30_000
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    averaging: float = 0.998


def measure(config, engine_config=None, n_jobs=1, progress=None):
    """Draw and measure the operators of a training.

    Parameters
    ----------
    config : TrainConfig
        How many, and of which families.
    engine_config : EngineConfig, optional
        With the degrees to measure.
    n_jobs : int, optional
        Processes; they change nothing in the result.
    progress : callable, optional
        Called with (stage, done, total, loss).

    Returns
    -------
    samples, gap_samples : list of Sample
        For both networks, and for the judge besides.
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
    families = [f for f in config.gap_families if f in config.families]
    if not families:
        return samples, []
    seed = config.seed + 500_009
    return samples, draw_samples(seed, config.n_gap_samples, (), families, n_jobs)


def train(config, engine_config=None, n_jobs=1, progress=None, measured=None):
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
    measured : tuple of list of Sample, optional
        What `measure` returned, for several trainings on the same operators; those of
        families that `config` does not name are left out.

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
    measured = measured or measure(config, engine_config, n_jobs, tell)
    samples, more = ([s for s in m if s.family in config.families] for m in measured)
    params = init(engine_config, np.random.default_rng(config.seed))
    params = fit_edges(params, engine_config, samples, config, tell)
    cases = judge_cases(samples + more, params, engine_config, config.seed, n_jobs)
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
    own = ("counting", "data", "edge_head", "fitting", "judge_head", "training")
    above = ("engine", "equilibrium", "features", "probing", "spectra", "sums", "unions")
    names = [*(f"retrain/{name}" for name in own), *above]
    parts = [(package / f"{name}.py").read_bytes() for name in names]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:12]


def _plain(value):
    return list(value) if isinstance(value, tuple) else value
