"""`fine_tune`: from weights and a user's matrices to weights for such matrices."""

import dataclasses
import hashlib
import json
import operator
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from autospec_precond import checkpoint, checks, plot
from autospec_precond.engine import Engine
from autospec_precond.errors import CheckpointError
from autospec_precond.versions import __version__

from . import collect, tables
from .clock import Clock
from .outcome import FineTuneConfig, FineTuned
from .state import State

__all__ = ["fine_tune"]

_WORSE = 1.01  # what synthetic operators may cost more, held out


def fine_tune(
    matrices: Sequence[Any],
    *,
    out: str | os.PathLike,
    engine: str | os.PathLike | None = None,
    rng: int | np.random.Generator | None = 0,
    n_jobs: int = 1,
    progress: Callable | None = None,
    config: FineTuneConfig | None = None,
) -> FineTuned:
    """Continue the training of an engine on matrices like yours.

    Parameters
    ----------
    matrices : sequence of matrices or paths
        Hermitian positive definite, as `make` takes them, or files .mtx, .mtx.gz, .npz.
        What cannot be used is named and left out.
    out : str or path-like
        Weights to write, .safetensors, for ``make(A, engine=out)``; a table .md and a
        picture .png of the same name come beside it.
    engine : str or path-like, optional
        Weights to start from; those that ship with the package by default.
    rng : int, numpy.random.Generator or None, optional
        Source of start vectors, synthetic operators and order. The same int, matrices
        and weights give the same file, bit for bit on the same machine.
    n_jobs : int, optional
        Processes that measure; they change nothing in the result. A script that asks
        for more than one needs ``if __name__ == "__main__":``.
    progress : callable, optional
        Called with (stage, done, total, loss, seconds_left); loss is NaN where nothing
        is trained, the seconds are a guess.
    config : FineTuneConfig, optional
        Numbers that the result depends on; the defaults should do.

    Returns
    -------
    FineTuned
        Whether the weights were accepted, and what was measured. Weights that are not
        better on held-out data of yours, or more than 1 % worse on synthetic operators,
        are not written.

    Raises
    ------
    TypeError, ValueError
        If an argument is of no use, or no matrix is.
    CheckpointError
        If `engine` is not a weights file of this version.
    ImportError
        If torch is missing.
    OSError
        If the weights cannot be written; earlier ones stay as they are.

    See Also
    --------
    autospec_precond.make : Takes the weights.

    Notes
    -----
    Costs `config.n_starts` (8) solves with plain conjugate gradients per matrix, and some
    minutes for everything else. One of four matrices is held out, the third first; of
    fewer than three matrices, a quarter of the right-hand sides and probes.

    A file ``out + '.state'`` keeps what was measured while it runs. After an
    interruption the same call goes on where it stopped, with the same outcome.
    """
    rounds = _import_rounds()
    settings = config or FineTuneConfig()
    matrices = _check_matrices(matrices)
    out = _check_out(out)
    n_jobs = _check_jobs(n_jobs)
    generator = checks.as_rng(rng, "fine_tune")
    whole = hasattr(rng, "__index__")
    seed = operator.index(rng) if whole else int(generator.integers(2**31))
    parent = _load(engine)
    modules = rounds.digest_of_modules()
    # Not .npz: the same command with *.npz would take it for a matrix.
    state = State(Path(f"{out}.state"), _key(modules, parent, settings, seed))
    clock = Clock(
        [
            ("solve", len(matrices), 1.0),
            ("synthetic", settings.n_synthetic + settings.n_held_out, 0.1 / n_jobs),
            ("edge", settings.n_rounds, 2.5),
            ("judge", settings.n_rounds, 1.5),
            ("evaluate", settings.n_held_out // 3 + len(matrices), 1.2 / n_jobs),
        ],
        progress,
    )
    degrees = parent.config.degrees
    groups, skipped, notes = collect.observe(
        matrices, degrees, settings, seed, state, clock
    )
    synthetic, held = collect.draw(degrees, settings, seed, n_jobs, state, clock)
    own, own_held, table = collect.split(groups, held)
    split = rounds.Split(own, synthetic, own_held, held)
    with rounds.one_thread():
        params, history = rounds.tune_edges(
            parent.params, parent.config, split, settings, seed, state, clock
        )
        engine_config = rounds.choose_margins(params, parent.config, split)
        params, more = rounds.tune_judge(
            params, engine_config, split, settings, seed + 1_000, n_jobs, state, clock
        )
    if not more:
        notes.append("the judge stays as it was: no gaps in your spectra to learn from")
    # As they will be read from the file.
    params = {k: v.astype(np.float32) for k, v in params.items()}
    tuned = Engine(engine_config, params, {}, out.name, "")
    gains = tables.measure((parent, tuned), table, n_jobs, clock)
    found = tables.summary(gains)
    reason = _refusal(found)
    if not reason:
        provenance = {
            "package_version": __version__,
            "parent": parent.digest,
            "n_matrices": len(groups),
            "fine_tuning": {"seed": seed, **dataclasses.asdict(settings)},
            "evaluation": {
                **found,
                "by_family": {g.name: round(g.after, 3) for g in gains if not g.own},
            },
        }
        _write(out, engine_config, params, provenance)
    if state.trouble:
        notes.append(f"{state.trouble}: an interrupted run would have begun anew")
    if not reason:
        try:
            plot.training_curve(out.with_suffix(".png"), [*history, *more])
        except ImportError:
            notes.append(
                "no picture: matplotlib is missing, pip install autospec_precond[plot]"
            )
    result = FineTuned(
        accepted=not reason,
        reason=reason,
        out=out,
        summary=found,
        gains=tuple(gains),
        history=(*history, *more),
        skipped=tuple(skipped),
        notes=tuple(notes),
    )
    if not reason:
        out.with_suffix(".md").write_text(f"{result}\n", encoding="utf-8")
    state.remove()
    return result


def _import_rounds():
    try:
        from . import rounds
    except ImportError as error:
        raise ImportError(
            f"fine_tune: torch must be installed; got {error}. Run "
            "pip install autospec_precond[train]."
        ) from error
    return rounds


def _check_matrices(matrices):
    if (
        isinstance(matrices, (str, os.PathLike, np.ndarray))
        or sp.issparse(matrices)
        or not isinstance(matrices, Sequence)
    ):
        raise TypeError(
            "fine_tune: matrices must be a sequence of matrices or paths; got "
            f"{type(matrices).__name__}. Pass a list, [A] for a single one."
        )
    if not matrices:
        raise ValueError("fine_tune: matrices must not be empty; got none.")
    return matrices


def _check_out(out):
    if not isinstance(out, (str, os.PathLike)):
        raise TypeError(f"fine_tune: out must be a path; got {type(out).__name__}.")
    out = Path(out)
    if out.suffix != ".safetensors" or not os.access(out.parent, os.W_OK):
        raise ValueError(
            "fine_tune: out must be a .safetensors file in a folder that can be written; "
            f"got {os.fspath(out)!r}."
        )
    return out


def _check_jobs(n_jobs):
    whole = hasattr(n_jobs, "__index__") and not isinstance(n_jobs, (bool, np.bool_))
    if not whole or operator.index(n_jobs) < 1:
        raise ValueError(f"fine_tune: n_jobs must be an int from 1 on; got {n_jobs!r}.")
    return operator.index(n_jobs)


def _load(engine):
    if engine == "classical":
        raise ValueError(
            "fine_tune: engine must be a weights file; got 'classical', which has nothing "
            "to train. Leave it out for the shipped weights."
        )
    try:
        return checkpoint.load(engine)
    except (CheckpointError, TypeError) as error:
        raise type(error)(str(error).replace("make:", "fine_tune:", 1)) from error


def _key(modules, parent, settings, seed):
    """Name everything that measured samples and rounds depend on, but the matrices."""
    parts = [__version__, modules, parent.digest, dataclasses.asdict(settings), seed]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _refusal(found):
    own, synthetic = found["own"], found["synthetic"]
    if not own["after"] < own["before"]:
        what, two, limit = "your held-out data", own, "fewer"
    elif not synthetic["after"] <= _WORSE * synthetic["before"]:
        what, two, limit = "synthetic operators", synthetic, "at most 1 % more"
    else:
        return ""
    return (
        f"fine_tune: nothing was written: products on {what} must become {limit}; got "
        f"{two['after']:.4f} after {two['before']:.4f} times those of the oracle."
    )


def _write(out, config, params, provenance):
    try:
        checkpoint.save(out, config, params, provenance)
    except OSError:
        out.with_name(out.name + ".part").unlink(missing_ok=True)
        raise
