"""BLAS is held to one thread while a parallel M is applied, and no longer."""

import ctypes
import os
import subprocess
import sys
import sysconfig
import threading
import time

import numpy as np
import pytest
import scipy.linalg._fblas  # noqa: F401
from problems import poisson2d

import autospec_precond as ap
from autospec_precond import blas


class Library:
    """A BLAS with eight threads."""

    def __init__(self, number=8, default=8):
        self.number = number
        self.default = default
        self.history = [number]

    def get(self):
        return self.number

    def set(self, number):
        self.number = number
        self.history.append(number)


@pytest.fixture(autouse=True)
def released():
    blas.release()
    wait_for(lambda: not watchers())
    yield
    blas.release()


@pytest.fixture
def library(monkeypatch):
    return given(monkeypatch, Library())


def given(monkeypatch, *libraries, known=True):
    monkeypatch.setattr(blas, "_libraries", lambda: (list(libraries), known))
    return libraries[0] if libraries else None


def for_ever(monkeypatch):
    """Let nothing but `release` end it."""
    monkeypatch.setattr(blas, "_KEEP", 1000.0)


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


def watchers():
    return [thread for thread in threading.enumerate() if thread.name == "blas"]


def test_holds_and_gives_back(library):
    assert blas.hold()
    assert library.number == 1
    assert wait_for(lambda: library.number == 8)
    assert blas.hold()
    assert wait_for(lambda: library.number == 8)
    assert library.history == [8, 1, 8, 1, 8]
    assert wait_for(lambda: not watchers())


def test_is_held_as_long_as_applications_follow_one_another(library, monkeypatch):
    """By a clock of our own, so that no other process has a say."""
    now, slept = 100.0, []

    class Clock:
        monotonic = staticmethod(lambda: now)

    class Over(threading.Event):
        def wait(self, seconds):
            nonlocal now, last
            if self.is_set():
                return True
            slept.append(seconds)
            now += 0.4 * seconds
            assert library.number == 1
            if len(slept) < 10:
                assert blas.hold()  # an application
                last = now
            now += 0.6 * seconds
            return False

    monkeypatch.setattr(blas.threading, "Thread", NoThread)
    monkeypatch.setattr(blas, "time", Clock)
    assert blas.hold()
    last = now
    blas._held.over = Over()
    blas._watch(blas._held)
    assert 10 <= len(slept) <= 12
    assert library.history == [8, 1, 8]
    assert now - last <= 0.1


class NoThread:
    def __init__(self, **_):
        pass

    def start(self):
        pass


def test_only_looks_at_the_clock_while_held(library, monkeypatch):
    for_ever(monkeypatch)
    assert blas.hold()
    monkeypatch.setattr(blas, "_libraries", None)
    before = blas._held.last
    time.sleep(0.001)
    assert blas.hold()
    assert blas._held.last > before
    assert len(watchers()) == 1


def test_every_library_that_can_be_held_is(monkeypatch):
    libraries = [Library(), Library(2, 2), Library(1, 1), Library(1, 4)]
    given(monkeypatch, *libraries)
    assert blas.hold()
    assert [library.number for library in libraries] == [1, 1, 1, 1]
    blas.release()
    assert [library.number for library in libraries] == [8, 2, 1, 1]
    assert len(libraries[3].history) == 1


@pytest.mark.parametrize(
    ("libraries", "known", "quiet"),
    [
        ([Library(1)], True, True),  # limited to 1 by the caller, or one processor
        ([Library(4)], True, False),  # limited by the caller
        ([Library(8), Library(4)], True, False),
        ([Library(16)], True, False),
        ([], True, True),
        ([], False, False),  # not OpenBLAS, or OpenMP
        ([Library(8)], False, False),
    ],
)
def test_is_left_alone(libraries, known, quiet, monkeypatch):
    given(monkeypatch, *libraries, known=known)
    before = [library.number for library in libraries]
    assert blas.hold() is quiet
    assert [library.number for library in libraries] == before
    assert all(len(library.history) <= 1 for library in libraries)
    assert not watchers()


def test_a_limit_set_meanwhile_stays(library, monkeypatch):
    for_ever(monkeypatch)
    blas.hold()
    library.number = 3
    blas.release()
    assert library.number == 3


def test_release_without_hold_does_nothing(library):
    blas.release()
    assert library.history == [8]


def test_no_thread_no_hold(library, monkeypatch):
    def start(self):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert blas.hold() is False
    assert library.number == 8
    monkeypatch.undo()


@pytest.mark.parametrize("when", [0, 1])
def test_an_interrupt_inside_leaves_nothing_held(when, monkeypatch):
    class Interrupted(Library):
        def set(self, number):
            if number == 1 and when == 0:
                raise KeyboardInterrupt
            super().set(number)
            if number == 1:
                raise KeyboardInterrupt

    library = given(monkeypatch, Interrupted())
    with pytest.raises(KeyboardInterrupt):
        blas.hold()
    assert wait_for(lambda: library.number == 8 and not watchers())
    assert blas._lock.acquire(blocking=False)
    blas._lock.release()


def test_several_threads(library):
    ready = threading.Barrier(4)

    def work(seed):
        rng = np.random.default_rng(seed)
        ready.wait()
        for _ in range(30):
            assert blas.hold()
            time.sleep(rng.choice([0.0, 0.001, 0.1], p=[0.6, 0.3, 0.1]))
            if rng.random() < 0.1:
                blas.release()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wait_for(lambda: library.number == 8 and not watchers())
    # Never held twice, which would give back 1.
    assert library.history == [8, *[1, 8] * (len(library.history) // 2)]


# Who calls it.


@pytest.fixture
def calls(monkeypatch):
    found = []
    monkeypatch.setattr(blas, "hold", lambda: found.append(1) or True)
    return found


def test_a_serial_m_never_does(calls, rng):
    M = ap.make(poisson2d(12), degree=4)
    assert M.n_threads == 1
    M @ np.ones(144)
    M.solve(rng.standard_normal((144, 2)))
    assert calls == []


def test_a_parallel_m_does_before_and_after(calls):
    M = ap.make(poisson2d(12), degree=4, n_threads=2)
    run = M._run

    def count(*args):
        calls.append("run")
        return run(*args)

    M._run = count
    M @ np.ones(144)
    M @ np.ones((144, 3))
    M.apply_into(np.ones(144), np.empty(144))
    assert calls == [1, "run", 1] * 3


@pytest.mark.parametrize(("free", "expected"), [(True, 2), (False, 1)])
def test_where_blas_keeps_its_threads_m_has_one(free, expected, monkeypatch):
    monkeypatch.setattr(blas, "hold", lambda: free)
    M = ap.make(poisson2d(12), degree=4, n_threads=2)
    run, seen = M._run, []
    M._run = lambda x, work, threads: seen.append(threads) or run(x, work, threads)
    M @ np.ones(144)
    assert seen == [expected]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failing_application_leaves_nothing_held(error, library):
    def fail(*args):
        assert library.number == 1
        raise error

    M = ap.make(poisson2d(12), degree=4, n_threads=2)
    M._run = fail
    with pytest.raises(error):
        M @ np.ones(144)
    assert wait_for(lambda: library.number == 8)


# The library of this machine.


def real():
    libraries, known = blas._libraries()
    if not known or not libraries or max(one.get() for one in libraries) == 1:
        pytest.skip("BLAS has one thread here, or is not OpenBLAS with threads of its own")
    return libraries


def test_the_real_library(monkeypatch):
    libraries = real()
    for_ever(monkeypatch)
    before = [library.get() for library in libraries]
    if before != [library.default for library in libraries]:
        pytest.skip("BLAS is limited here")
    assert blas.hold()
    assert [library.get() for library in libraries] == [1] * len(libraries)
    control = pytest.importorskip("threadpoolctl")
    assert {
        d["num_threads"] for d in control.threadpool_info() if d["user_api"] == "blas"
    } == {1}
    blas.release()
    assert [library.get() for library in libraries] == before


def test_a_limit_of_threadpoolctl_is_respected():
    real()
    control = pytest.importorskip("threadpoolctl")
    with control.threadpool_limits(1):
        assert blas.hold()
        assert blas._held is None
    assert min(library.get() for library in blas._libraries()[0]) > 1


def test_other_libraries_are_not_mistaken_for_it():
    assert blas._library("/nowhere.so") == (None, None)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    other = os.path.join(os.path.dirname(np.__file__), "random", f"mtrand{suffix}")
    assert os.path.exists(other)
    assert blas._library(other) == (None, None)


@pytest.mark.parametrize(
    ("parallel", "known", "held"), [(0, True, False), (1, True, True), (2, False, False)]
)
@pytest.mark.parametrize("name", ["openblas_%s", "scipy_openblas_%s64_", "openblas_%s_64"])
@pytest.mark.parametrize(
    ("config", "default"), [(b"OpenBLAS 0.3 MAX_THREADS=4", 4), (b"OpenBLAS 0.3", 6)]
)
def test_kinds_of_openblas(parallel, known, held, name, config, default, monkeypatch):
    numbers, text = [6], ctypes.create_string_buffer(config)
    symbols = {
        "get_num_threads": ctypes.CFUNCTYPE(ctypes.c_int)(lambda: numbers[-1]),
        "set_num_threads": ctypes.CFUNCTYPE(None, ctypes.c_int)(numbers.append),
        "get_parallel": ctypes.CFUNCTYPE(ctypes.c_int)(lambda: parallel),
        "get_num_procs": ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 6),
        "get_config": ctypes.CFUNCTYPE(ctypes.c_void_p)(lambda: ctypes.addressof(text)),
    }

    class Module:
        def __init__(self, path):
            self.symbols = {name % key: symbol for key, symbol in symbols.items()}

        def __getitem__(self, key):
            if key not in self.symbols:
                raise AttributeError(key)
            return self.symbols[key]

    monkeypatch.setattr(blas.ctypes, "CDLL", Module)
    address, library = blas._library.__wrapped__("module.so")
    assert (address is not None) is known
    assert (library is not None) is held
    if held:
        assert (library.get(), library.default) == (6, default)
        library.set(1)
        assert numbers == [6, 1]


# What a process of its own is needed for.

START = """
import atexit, os, signal, sys, threading, time
import numpy as np

def number():
    return LIBRARY.number

if sys.argv[1] == "first":
    # Registered before, so it runs after what the package registers.
    atexit.register(lambda: print("at exit", number(), flush=True))

from autospec_precond import blas

class LIBRARY:
    number = default = 8
    get = staticmethod(lambda: LIBRARY.number)
    set = staticmethod(lambda n: setattr(LIBRARY, "number", n))

blas._libraries = lambda: ([LIBRARY], True)

def wait_for(condition):
    end = time.monotonic() + 30
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()
"""

AT_EXIT = """
blas._KEEP = 1000.0
assert blas.hold() and number() == 1
"""

INTERRUPT = """
signal.signal(signal.SIGALRM, signal.default_int_handler)
signal.setitimer(signal.ITIMER_REAL, 0.3)
try:
    while True:
        blas.hold()
        time.sleep(0.001)
except KeyboardInterrupt:
    pass
assert wait_for(lambda: number() == 8)
print("at exit", number())
"""

FORK = """
blas._KEEP = 1000.0
stop = threading.Event()

def work():
    while not stop.is_set():
        blas.hold()
        blas.release()

threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads[: int(sys.argv[2])]:
    thread.start()
for _ in range(20):
    blas.hold()
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        free = blas._lock.acquire(timeout=20)
        free and blas._lock.release()
        if not free or number() != 8 or blas._held is not None:
            os._exit(1)
        blas._KEEP = 0.02
        if not blas.hold() or number() != 1 or not wait_for(lambda: number() == 8):
            os._exit(2)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert status == 0, status
stop.set()
for thread in threads[: int(sys.argv[2])]:
    thread.join()
blas.release()
assert blas.hold() and number() == 1
blas.release()
print("at exit", number())
"""


def run(program, *arguments):
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", START + program]
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_the_end_of_the_interpreter():
    assert run(AT_EXIT, "first") == "at exit 8"


def test_a_real_interrupt():
    assert run(INTERRUPT, "-") == "at exit 8"


@pytest.mark.parametrize("threads", ["0", "2"])
def test_forks_inherit_neither_limit_nor_lock(threads):
    assert run(FORK, "-", threads) == "at exit 8"
