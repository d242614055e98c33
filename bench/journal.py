"""The results file: JSON lines, appended only, one writer at a time, never half a line."""

import fcntl
import json
import math
from pathlib import Path

__all__ = ["Journal", "read"]


class Journal:
    """An open results file.

    Parameters
    ----------
    path : path-like
        Made where it does not exist. A last line without its end, of a run that was
        killed, is cut off.

    Attributes
    ----------
    headers, rows : list of dict
        What stood in the file, and what has been appended since.

    Raises
    ------
    ValueError
        If a complete line is no JSON object, or another run is writing.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("ab+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise ValueError(f"run: {path} is being written by another run.") from None
        self._file.seek(0)
        text = self._file.read()
        whole = text.rfind(b"\n") + 1
        try:
            entries = _parse(text[:whole].decode(errors="replace"), path)
        except ValueError:
            self._file.close()
            raise
        if whole < len(text):
            self._file.truncate(whole)
        self.headers = [e for e in entries if e.get("kind") == "header"]
        self.rows = [e for e in entries if e.get("kind") == "row"]

    def append(self, entry):
        """Write one line and hand it to the operating system."""
        line = json.dumps(_plain(entry), allow_nan=False) + "\n"
        self._file.write(line.encode())
        self._file.flush()
        (self.headers if entry["kind"] == "header" else self.rows).append(entry)

    def done(self):
        """Return the row of each (problem, method, repeat) that is there."""
        return {(r["problem"], r["method"], r["repeat"]): r for r in self.rows}

    def check_same(self, settings, names):
        """Refuse to mix rows that were made under different rules.

        Parameters
        ----------
        settings : dict
            Of the run that begins.
        names : sequence of str
            Which of them must be those of the last header.

        Raises
        ------
        ValueError
            If one is not.
        """
        before = self.headers[-1]["settings"] if self.headers else settings
        for name in names:
            if before.get(name) != settings[name]:
                raise ValueError(
                    f"run: {name} must stay {before.get(name)!r}, with which {self.path} "
                    f"was made; got {settings[name]!r}. Give another --out."
                )

    def close(self):
        """Give the file back."""
        self._file.close()


def read(path):
    """Return the headers and rows of a results file; half a last line is left out.

    Parameters
    ----------
    path : path-like
        A file that `Journal` wrote.

    Returns
    -------
    headers, rows : list of dict
        In the order of the file.
    """
    text = Path(path).read_bytes()
    entries = _parse(text[: text.rfind(b"\n") + 1].decode(), path)
    rows = [e for e in entries if e.get("kind") == "row"]
    return [e for e in entries if e.get("kind") == "header"], rows


def _parse(text, path):
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            entry = None
        if not isinstance(entry, dict):
            raise ValueError(  # noqa: TRY004 - the file is wrong, not a type
                f"run: line {number} of {path} is no JSON object: it is not a results "
                "file. Give another --out."
            )
        entries.append(entry)
    return entries


def _plain(value):
    """Replace numbers that JSON does not know: not finite becomes null."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
