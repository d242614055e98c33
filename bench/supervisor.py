"""The parent's side of a worker: start it, ask it, and end it when it hangs or dies."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .worker import memory_in_use

__all__ = ["Lost", "Worker"]

_GRACE = 1.0  # seconds beyond the time limit in which a worker may stop by itself
_START = 300.0  # seconds to start: the first one on a machine compiles
_POLL = 0.05
_ROOT = Path(__file__).resolve().parent.parent


class Lost(Exception):  # noqa: N818 - a verdict
    """The worker did not answer; it has been ended.

    Parameters
    ----------
    status, reason : str
        As in a row.
    """

    def __init__(self, status, reason):
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Worker:
    """One worker process.

    Parameters
    ----------
    settings : dict
        What `worker.main` reads first; also 'threads'.

    Attributes
    ----------
    ready : dict
        What the worker said at its start: versions and seconds of warming up.
    """

    def __init__(self, settings):
        self.settings = settings
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        environment = dict(os.environ)
        for name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB_MAXIMUM"):
            environment[f"{name}_NUM_THREADS"] = str(settings["threads"])
        # The checkout and nothing else: no package of the same name on the way.
        paths = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(p for p in paths if p)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
        )
        self._pending = b""
        self._send(settings)
        self.ready = self._answer(_START)

    def ask(self, seconds, **request):
        """Send a request and return the first answer to it.

        Raises
        ------
        Lost
            If there is none in time, or the worker dies or outgrows its memory.
        """
        self._send(request)
        return self._answer(seconds + _GRACE)

    def more(self, seconds):
        """Return a second answer to the last request; raises `Lost` as `ask`."""
        return self._answer(seconds + _GRACE)

    @property
    def alive(self):
        """Whether requests can be sent."""
        return self._process.poll() is None

    def end(self):
        """Kill the process, if it lives, and free what belongs to it."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(OSError):
                stream.close()

    def _send(self, request):
        with contextlib.suppress(OSError):  # a dead worker is found out by `_answer`
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()

    def _answer(self, seconds):
        deadline = time.monotonic() + seconds
        limit = self.settings["memory_gb"] * 1e9
        stream = self._process.stdout
        while b"\n" not in self._pending:
            if select.select([stream], [], [], _POLL)[0]:
                chunk = os.read(stream.fileno(), 1 << 16)
                if not chunk:
                    raise self._lost(*self._cause())
                self._pending += chunk
            elif time.monotonic() > deadline:
                raise self._lost("timeout", f"no answer within {seconds - _GRACE:.3g} s")
            elif memory_in_use(self._process.pid) > limit:
                raise self._lost("out of memory", f"over {limit / 1e9:.3g} GB")
        line, _, self._pending = self._pending.partition(b"\n")
        answer = json.loads(line)
        if answer["event"] == "out of memory":
            # Memory that C code has lost on the way stays lost: begin afresh.
            raise self._lost("out of memory", answer["reason"])
        return answer

    def _cause(self):
        """Say why the process has ended, in the words of a row."""
        code = self._process.wait()
        self._errors.seek(0)
        text = self._errors.read()[-4000:].decode(errors="replace").strip()
        last = text.splitlines()[-1].strip()[:200] if text else ""
        if "bad_alloc" in text or "MemoryError" in text or "allocate memory" in text:
            return "out of memory", last
        if code < 0:
            with contextlib.suppress(ValueError):
                code = signal.Signals(-code).name
            return "failed", f"the process died of {code}" + (f": {last}" if last else "")
        return "failed", f"the process ended with {code}" + (f": {last}" if last else "")

    def _lost(self, status, reason):
        self.end()
        return Lost(status, reason)
