"""What machine and which versions a results file was made with."""

import os
import platform
import subprocess
import time
from pathlib import Path

__all__ = ["commit", "cpu", "header"]

_ROOT = Path(__file__).resolve().parent.parent


def cpu():
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(x.split(":", 1)[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def commit():
    """Return the commit of the checkout, with + for changes on top; None outside git."""

    def git(*words):
        done = subprocess.run(
            ["git", "-C", str(_ROOT), *words], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else None

    try:
        head = git("rev-parse", "--short=12", "HEAD")
        return head and head + ("+" if git("status", "--porcelain") else "")
    except OSError:
        return None


def header(settings, ready):
    """Return the header line of a run.

    Parameters
    ----------
    settings : dict
        Of the run.
    ready : dict
        What the first worker said at its start.
    """
    versions = dict(ready["versions"])
    return {
        "kind": "header",
        "machine": {
            "cpu": cpu(),
            "cores": os.cpu_count(),
            "memory_gb": _memory_gb(),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        },
        "threads": settings["threads"],
        "versions": versions,
        "package_version": versions.get("autospec_precond"),
        "commit": commit(),
        "warmup_seconds": ready["warmup_seconds"],
        "compile_seconds": ready["compile_seconds"],
        "settings": settings,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _memory_gb():
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (ValueError, OSError):
        return None
