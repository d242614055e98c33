"""Pretrain the engine.

``python -m autospec_precond.retrain --out weights/solve.safetensors``; with
``--leave-each-out FOLDER`` in place of ``--out`` one engine for every family that is left
out, to see what the engine makes of spectra it has never met.
"""

import argparse
import dataclasses
import json
import math
import sys
from pathlib import Path

import torch

from autospec_precond import checkpoint, spectra
from autospec_precond.engine import EngineConfig
from autospec_precond.gmres_engine import GmresConfig

from .gmres_task import GmresTrainConfig
from .gmres_task import train as train_gmres
from .training import TrainConfig, measure, train


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
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", help="weights file to write")
    target.add_argument(
        "--leave-each-out", metavar="FOLDER", help="write left-out-FAMILY.safetensors"
    )
    parser.add_argument("--task", choices=["solve", "gmres"], default="solve")
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
    if options.task == "gmres":
        if not options.out or options.leave_out:
            parser.error("--task gmres takes --out, and leaves no family out")
        _train_gmres(options)
        return
    full = TrainConfig(seed=options.seed)
    config = dataclasses.replace(
        full,
        n_samples=round(options.scale * full.n_samples),
        n_gap_samples=round(options.scale * full.n_gap_samples),
        n_edge_steps=round(options.scale * full.n_edge_steps),
        n_judge_steps=round(options.scale * full.n_judge_steps),
        families=tuple(f for f in full.families if f not in options.leave_out),
    )
    measured = measure(config, n_jobs=options.jobs, progress=_show)
    for path, families in _targets(options, config.families):
        one = dataclasses.replace(config, families=families)
        params, provenance = train(one, None, options.jobs, _show, measured)
        checkpoint.save(path, EngineConfig(), params, provenance)
        print(file=sys.stderr)
        print(json.dumps(provenance["evaluation"], indent=2))


def _train_gmres(options):
    full = GmresTrainConfig(seed=options.seed)
    config = dataclasses.replace(
        full,
        n_samples=round(options.scale * full.n_samples),
        n_steps=round(options.scale * full.n_steps),
    )
    params, provenance = train_gmres(config, None, _show)
    checkpoint.save(options.out, GmresConfig(), params, provenance)
    print(file=sys.stderr)
    print(json.dumps(provenance["evaluation"], indent=2))


def _targets(options, families):
    """Return the files to write, with the families to train on."""
    if options.out:
        return [(options.out, families)]
    folder = Path(options.leave_each_out)
    folder.mkdir(parents=True, exist_ok=True)
    return [
        (folder / f"left-out-{left}.safetensors", tuple(f for f in families if f != left))
        for left in families
    ]


def _show(stage, done, total, loss):
    tail = f", loss {loss:.4f}" if math.isfinite(loss) else ""
    print(f"\r{stage}: {done} of {total}{tail}   ", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
