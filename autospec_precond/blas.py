"""BLAS to one thread while a preconditioner with threads of its own is being applied.

SciPy's solvers call BLAS between two applications of M. The workers of OpenBLAS then spin
for tens of milliseconds, waiting for more, on the cores that the threads of M need: two
threads were slower than one. This is the one place where the package changes a setting of
the whole process, and it is changed back.
"""

import atexit
import ctypes
import functools
import os
import re
import sys
import threading
import time
from dataclasses import dataclass, field

__all__ = ["hold", "release"]

_KEEP = 0.08  # seconds after the last call of `hold`

# Modules that are linked to what NumPy and SciPy call; the two may be different libraries.
_CALLERS = ("numpy._core._multiarray_umath", "scipy.linalg._fblas")
_PTHREADS = 1  # what openblas_get_parallel says; 0 is serial, 2 is OpenMP


@dataclass
class _Held:
    """One time that BLAS is held."""

    last: float
    changed: list = field(default_factory=list)  # of (library, its number before)
    over: threading.Event = field(default_factory=threading.Event)


_held = None
# A signal handler may apply M, or fork, while the same thread is in here.
_lock = threading.RLock()


def hold() -> bool:
    """Hold BLAS to one thread for the next tenth of a second.

    Returns
    -------
    bool
        True where BLAS has one thread now. False where it has more and is left alone:
        threads of one's own would fight with its workers.

    Notes
    -----
    To be called before and after every application of a parallel M, and never for a
    serial one. While BLAS is held a call takes the time of a look at the clock.

    BLAS gets its threads back 0.08 s after the last call, from a daemon thread; so does a
    process that is interrupted, raises or simply stops calling. `release` does it at once,
    as do a fork, in parent and child, and the end of the interpreter.

    Left alone is a library whose number of threads is not its own default: the caller has
    limited it. So is one that cannot be set back from another thread (OpenMP), and one that
    is not OpenBLAS, whose settings are unknown. A limit that the caller sets while BLAS is
    held stays, unless it is 1, which cannot be told from ours.

    SciPy's `cg` on a 3-D Poisson matrix of 64³ rows, M of degree 16 in float32, two cores
    with other work on them, least of 8 runs: 0.93 s with one thread in M, 0.99 s with two,
    0.48 s with two while BLAS was held; of that inside M 0.62, 0.63 and 0.42 s.

    Examples
    --------
    >>> from autospec_precond import blas
    >>> quiet = blas.hold()
    >>> blas.release()
    """
    held = _held
    if held is None:
        return _begin()
    held.last = time.monotonic()
    return True


def release() -> None:
    """Give BLAS its threads back now, if they are held."""
    global _held
    with _lock:
        held, _held = _held, None
        if held is not None:
            for library, number in held.changed:
                if library.get() == 1:  # else the caller has set a limit since
                    library.set(number)
            held.over.set()


def _begin():
    global _held
    with _lock:
        if _held is not None:
            return True
        libraries, known = _libraries()
        several = [library for library in libraries if library.get() > 1]
        ours = [library for library in several if library.get() == library.default]
        quiet = known and len(ours) == len(several)
        if not ours or not quiet:
            return quiet
        # Whatever interrupts this, the thread that changes it back has begun before.
        held = _Held(time.monotonic())
        thread = threading.Thread(target=_watch, args=(held,), daemon=True, name="blas")
        _held = held
        try:
            thread.start()
        except (RuntimeError, MemoryError):  # no more threads, or the interpreter ends
            _held = None
            return False
        for library in ours:
            held.changed.append((library, library.get()))
            library.set(1)
        return True


def _watch(held):
    """Release when nothing has been heard for long enough."""
    while not held.over.wait(max(0.0, held.last + _KEEP - time.monotonic())):
        with _lock:
            if _held is held and time.monotonic() >= held.last + _KEEP:
                release()


class _OpenBLAS:
    """The number of threads of one OpenBLAS."""

    def __init__(self, get, set_, default):
        self.get = get
        self.set = set_
        self.default = default


def _libraries():
    """Return what can be held, and whether that is all there is."""
    found = {}
    known = True
    for name in _CALLERS:
        path = getattr(sys.modules.get(name), "__file__", None)
        if path is not None:
            address, library = _library(path)
            known = known and address is not None
            if library is not None:
                found[address] = library
    return list(found.values()), known


@functools.cache
def _library(path):
    """Return address and controls of the BLAS that an extension module is linked to.

    Symbols of a library that a module depends on are found through the module. Both are
    None where it is not OpenBLAS with threads that we know; the second is where it has
    none.
    """
    try:
        module = ctypes.CDLL(path)
    except OSError:
        return None, None
    for prefix in ("scipy_", ""):
        for suffix in ("", "64_", "_64"):
            name = f"{prefix}openblas_%s{suffix}"
            try:
                get = module[name % "get_num_threads"]
                set_ = module[name % "set_num_threads"]
                parallel = module[name % "get_parallel"]()
                processors = module[name % "get_num_procs"]()
                config = module[name % "get_config"]
            except AttributeError:
                continue
            address = ctypes.cast(get, ctypes.c_void_p).value
            set_.restype = None
            if parallel != _PTHREADS:
                return (address if parallel == 0 else None), None
            config.restype = ctypes.c_char_p
            most = re.search(rb"MAX_THREADS=(\d+)", config() or b"")
            default = min(processors, int(most[1])) if most else processors
            return address, _OpenBLAS(get, set_, default)
    return None, None


def _before_fork():
    _lock.acquire()
    release()


def _after_fork_in_child():
    global _lock
    _lock = threading.RLock()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=lambda: _lock.release(),
    after_in_child=_after_fork_in_child,
)
atexit.register(release)
