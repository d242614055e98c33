"""A progress bar on the standard error; plain lines where that is no terminal."""

import sys
import time

__all__ = ["Progress"]

_WIDTH = 24


class Progress:
    """Says where a run is.

    Parameters
    ----------
    total : int
        Problems.
    stream : file, optional
        The standard error by default.
    """

    def __init__(self, total, stream=None):
        self.total = total
        self.stream = sys.stderr if stream is None else stream
        self.terminal = self.stream.isatty()
        self.done = -1
        self.skipped = 0
        self.counts = {}
        self.began = time.monotonic()
        self._name = ""

    def problem(self, source, skipped=False):
        """Begin a problem."""
        self.done += 1
        self.skipped += skipped
        self._name = source.problem
        if not self.terminal and not skipped:
            self._line(f"[{self.done + 1}/{self.total}] {source.problem} ({self._clock()})")
        self._draw("")

    def run(self, method, repeat):
        """Begin a run."""
        self._draw(f"{method} {repeat + 1}")

    def row(self, row):
        """Count a row."""
        self.counts[row["status"]] = self.counts.get(row["status"], 0) + 1

    def finish(self):
        """Say what came of it all."""
        if self.terminal:
            self.stream.write("\r\x1b[K")
        parts = ", ".join(f"{v} {k}" for k, v in sorted(self.counts.items())) or "no row"
        skipped = f"; {self.skipped} problems were complete" if self.skipped else ""
        self._line(f"{self.total} problems, {self._clock()}: {parts}{skipped}")

    def _draw(self, what):
        if not self.terminal:
            return
        filled = _WIDTH * self.done // max(1, self.total)
        bar = "#" * filled + "." * (_WIDTH - filled)
        text = f"[{bar}] {self.done}/{self.total} {self._clock()} {self._name} {what}"
        self.stream.write("\r\x1b[K" + text[:100])
        self.stream.flush()

    def _clock(self):
        seconds = int(time.monotonic() - self.began)
        return f"{seconds // 60}:{seconds % 60:02d}"

    def _line(self, text):
        self.stream.write(text + "\n")
        self.stream.flush()
