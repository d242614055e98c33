"""How far a fine-tuning has come, and how long it may still take."""

import math
import time

__all__ = ["Clock"]


class Clock:
    """Calls the user's progress with an estimate of the seconds left.

    Parameters
    ----------
    stages : list of tuple
        (name, number of units, guess of the seconds per unit), in order.
    progress : callable or None
        Called with (stage, done, total, loss, seconds_left).
    """

    def __init__(self, stages, progress):
        self._stages = stages
        self._progress = progress
        self._stage = None
        self._began = self._from = 0.0

    def __call__(self, stage, done, total, loss=math.nan):
        """Tell that `done` units of a stage are behind.

        Parameters
        ----------
        stage : str
            One of `stages`.
        done, total : int
            Units.
        loss : float, optional
            Where there is one.
        """
        if self._progress is None:
            return
        now = time.monotonic()
        place = [name for name, _, _ in self._stages].index(stage)
        each = self._stages[place][2]
        if stage != self._stage:
            self._stage, self._began, self._from = stage, now, done
        elif done > self._from:
            each = (now - self._began) / (done - self._from)
        rest = sum(units * guess for _, units, guess in self._stages[place + 1 :])
        self._progress(stage, done, total, loss, each * (total - done) + rest)
