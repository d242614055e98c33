"""What a fine-tuning is told, and what comes of it."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from . import tables

__all__ = ["FineTuneConfig", "FineTuned"]


@dataclass(frozen=True)
class FineTuneConfig:
    """Numbers that decide the outcome, besides the matrices and the seed.

    Attributes
    ----------
    n_starts : int
        Solves, right-hand sides and groups of four probes per matrix.
    most_steps : int
        Products of one such solve at most.
    n_synthetic, n_held_out : int
        Synthetic operators to learn from, and to judge by.
    share : float
        Of the user's samples among all that are learned from.
    n_rounds, n_steps : int
        Rounds of either network at most, optimiser steps in each.
    patience : int
        Rounds without gain on held-out operators after which training stops.
    learning_rate, cooling : float
        At the start of the first round, and what each further round multiplies it by.
    pull : float
        What the squared distance from the first parameters counts in the loss of the
        edge network: without it matrices of other kinds pay, up to 6 %.
    """

    n_starts: int = 8
    most_steps: int = 2_000
    n_synthetic: int = 1_200
    n_held_out: int = 60
    share: float = 0.5
    n_rounds: int = 8
    n_steps: int = 500
    patience: int = 2
    learning_rate: float = 5e-4
    cooling: float = 0.7
    pull: float = 0.05

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            least = 2 if field.name == "n_starts" else 1
            if field.type is int and not value >= least:
                raise ValueError(
                    f"FineTuneConfig: {field.name} must be at least {least}; got {value!r}."
                )
        if not 0 < self.share < 1:
            raise ValueError(
                f"FineTuneConfig: share must lie between 0 and 1; got {self.share!r}."
            )


@dataclass(frozen=True)
class FineTuned:
    """What came of a fine-tuning; printing it shows the table.

    Attributes
    ----------
    accepted : bool
        Whether the weights were written.
    reason : str
        Why they were not; empty where they were.
    out : Path
        Where they are, or would be.
    summary : dict
        Products over those of the oracle on held-out operators, 'before' and 'after',
        for 'own' and 'synthetic' ones.
    gains : tuple of Gain
        The same for each matrix and degree, and for each synthetic family.
    history : tuple of dict
        One for each round: 'stage', 'round', 'loss', 'own', 'synthetic'.
    skipped : tuple of str
        Matrices left out, each with the reason.
    notes : tuple of str
        What else should be known.
    """

    accepted: bool
    reason: str
    out: Path
    summary: dict
    gains: tuple
    history: tuple
    skipped: tuple
    notes: tuple

    def __str__(self):
        verdict = f"written: {self.out.name}" if self.accepted else self.reason
        remarks = [f"- {text}" for text in (*self.skipped, *self.notes)]
        return "\n".join(
            [tables.markdown(self.gains), *remarks, *[""] * bool(remarks), verdict]
        )
