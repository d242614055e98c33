"""Pretrain the engine.

``python -m autospec_precond.retrain --out weights/solve.safetensors``
"""

import argparse
import dataclasses
import json
import math
import sys

import torch

from autospec_precond import checkpoint, spectra
from autospec_precond.engine import EngineConfig

from .training import TrainConfig, train


def main(arguments=None):
    """Run the training that the command line describes.

    Parameters
    ----------
    arguments : list of str, optional
        ``sys.argv[1:]`` by default.
    """
    parser = argparse.ArgumentParser(
        prog="python -m autospec_precond.retrain", description="Pretrain the engine."
    )
    parser.add_argument("--out", required=True, help="weights file to write")
    parser.add_argument("--seed", type=int, default=TrainConfig.seed)
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of the data and steps"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes that measure")
    parser.add_argument(
        "--leave-out", action="append", default=[], choices=list(spectra.FAMILIES)
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    full = TrainConfig(seed=options.seed)
    config = dataclasses.replace(
        full,
        n_samples=round(options.scale * full.n_samples),
        n_gap_samples=round(options.scale * full.n_gap_samples),
        n_edge_steps=round(options.scale * full.n_edge_steps),
        n_judge_steps=round(options.scale * full.n_judge_steps),
        families=tuple(f for f in full.families if f not in options.leave_out),
    )
    params, provenance = train(config, n_jobs=options.jobs, progress=_show)
    checkpoint.save(options.out, EngineConfig(), params, provenance)
    print(file=sys.stderr)
    print(json.dumps(provenance["evaluation"], indent=2))


def _show(stage, done, total, loss):
    tail = f", loss {loss:.4f}" if math.isfinite(loss) else ""
    print(f"\r{stage}: {done} of {total}{tail}   ", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
