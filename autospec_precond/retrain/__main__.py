"""Pretrain the engine.

``python -m autospec_precond.retrain --out weights/solve.safetensors``
"""

import argparse
import dataclasses
import json
import sys

import torch

from autospec_precond import checkpoint
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
        "--scale", type=float, default=1.0, help="share of the steps to make"
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    full = TrainConfig(seed=options.seed)
    config = dataclasses.replace(
        full,
        n_unrolled=round(options.scale * full.n_unrolled),
        n_measured=round(options.scale * full.n_measured),
    )
    n_steps = config.n_unrolled + config.n_measured
    params, provenance = train(config, progress=_progress(n_steps))
    checkpoint.save(options.out, EngineConfig(), params, provenance)
    print(json.dumps(provenance["evaluation"], indent=2))


def _progress(n_steps):
    def show(step, loss, seconds):
        left = seconds / step * (n_steps - step)
        print(
            f"\rstep {step} of {n_steps}, loss {loss:.4f}, {left:.0f} s left",
            end="",
            file=sys.stderr,
            flush=True,
        )

    return show


if __name__ == "__main__":
    main()
