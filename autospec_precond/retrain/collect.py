"""The samples of a fine-tuning: the user's and synthetic ones, kept as they come."""

import dataclasses
import logging

import numpy as np

from autospec_precond import spectra

from . import data, surrogate
from .matrices import take

__all__ = ["draw", "observe", "split"]

_LOG = logging.getLogger(__name__)
_PIECE = 200  # synthetic operators drawn between two states
_N_SHOWN = 2  # samples of a matrix learned from that the table measures
_ORDER = "order of the matrices"


def observe(matrices, degrees, settings, seed, state, tell):
    """Solve with each matrix, and measure the curves of what stands for it.

    Parameters
    ----------
    matrices : sequence
        As the user passed them.
    degrees : sequence of int
        Degrees of p to measure.
    settings : FineTuneConfig
        Numbers of solves and steps.
    seed : int
        Of the start vectors.
    state : State
        Where every matrix is kept, under the hash of its entries.
    tell : callable
        Called with (stage, done, total).

    Returns
    -------
    groups : list of list of Sample
        One list for each matrix that can be used.
    skipped, notes : list of str
        Sentences on the others, and on those that need more steps.

    Raises
    ------
    ValueError
        If no matrix can be used.
    """
    groups, digests, skipped, notes = [], [], [], []
    for place, item in enumerate(matrices):
        tell("solve", place, len(matrices))
        try:
            given = take(item, place)
            samples, n_short = _samples(given, degrees, settings, seed, state)
        except ValueError as error:
            skipped.append(f"{error} Left out.")
            _LOG.warning("fine_tune: %s", skipped[-1])
            continue
        if given.digest in digests:
            skipped.append(f"{given.name}: it is there twice. Left out.")
            _LOG.warning("fine_tune: %s", skipped[-1])
            continue
        if n_short:
            notes.append(
                f"{given.name}: conjugate gradients need more than "
                f"{settings.most_steps} steps, what comes after is extrapolated"
            )
            _LOG.warning("fine_tune: %s.", notes[-1])
        # The matrix may have had another name when its samples were kept.
        groups.append([dataclasses.replace(s, family=given.name) for s in samples])
        digests.append(given.digest)
    tell("solve", len(matrices), len(matrices))
    if not groups:
        raise ValueError(
            "fine_tune: at least one matrix must be Hermitian positive definite; got "
            f"none among {len(matrices)}. {' '.join(skipped)}"
        )
    if state.records.get(_ORDER) != digests:
        for stage in ("edge", "judge"):  # their rounds were those of other matrices
            state.records.pop(stage, None)
        state.records[_ORDER] = digests
    return groups, skipped, notes


def _samples(given, degrees, settings, seed, state):
    samples = state.samples(given.digest)
    if not samples:
        rng = np.random.default_rng([seed, int(given.digest[:15], 16)])
        samples, n_short = surrogate.observe(
            given.based, given.name, rng, settings.n_starts, settings.most_steps
        )
        # The upper end that production finds, in place of the usual one of pretraining.
        high = float(np.median([p.high for s in samples for p in s.probes]))
        samples = [
            dataclasses.replace(
                s, curves=data.measure_curves(s.eigenvalues, s.b, degrees, high=high)
            )
            for s in samples
        ]
        state.put_samples(given.digest, samples)
        state.records[given.digest] = n_short
        state.save()
    return samples, state.records[given.digest]


def draw(degrees, settings, seed, n_jobs, state, tell):
    """Draw and measure synthetic operators.

    Parameters
    ----------
    degrees : sequence of int
        Degrees of p to measure.
    settings : FineTuneConfig
        How many.
    seed : int
        Of all of them; not the one of pretraining.
    n_jobs : int
        Processes.
    state : State
        Where they are kept, piece by piece.
    tell : callable
        Called with (stage, done, total).

    Returns
    -------
    learned, held : list of Sample
        To learn from, and held out.
    """
    n_all = settings.n_synthetic + settings.n_held_out
    pieces = [
        (f"synthetic {k}", seed + 2_000_003 + k, min(_PIECE, settings.n_synthetic - k))
        for k in range(0, settings.n_synthetic, _PIECE)
    ]
    pieces.append(("held out", seed + 1_999_003, settings.n_held_out))
    lists, done = [], 0
    for name, source, count in pieces:
        samples = state.samples(name)
        if not samples:
            samples = data.draw_samples(
                source,
                count,
                degrees,
                n_jobs=n_jobs,
                progress=lambda now, done=done: tell("synthetic", done + now, n_all),
            )
            state.put_samples(name, samples)
            state.save()
        lists.append(samples)
        done += count
    return [s for samples in lists[:-1] for s in samples], lists[-1]


def split(groups, held):
    """Hold out every fourth matrix, the third first, or a quarter of all right-hand sides.

    Parameters
    ----------
    groups : list of list of Sample
        One list for each matrix of the user's.
    held : list of Sample
        Held-out synthetic operators.

    Returns
    -------
    own, own_held : list of Sample
        To learn from, and held out.
    table : list of tuple
        (samples, own, held_out) for each line of the table.
    """
    if len(groups) >= 3:
        own = [g for k, g in enumerate(groups) if k % 4 != 2]
        own_held = [g for k, g in enumerate(groups) if k % 4 == 2]
    else:
        n_held = max(1, len(groups[0]) // 4)
        own, own_held = [g[:-n_held] for g in groups], [g[-n_held:] for g in groups]
    families = [[s for s in held if s.family == name] for name in spectra.FAMILIES]
    table = [(g[:_N_SHOWN], True, False) for g in own]
    table += [(_each_probe(g), True, True) for g in own_held]
    table += [(g, False, True) for g in families if g]
    return [s for g in own for s in g], [s for g in own_held for s in g], table


def _each_probe(samples):
    """Repeat samples with every probe as the first: the one that is measured with."""
    return [
        dataclasses.replace(s, probes=s.probes[k:] + s.probes[:k])
        for s in samples
        for k in range(len(s.probes))
    ]
