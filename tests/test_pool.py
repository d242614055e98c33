"""Threads of our own: all tasks done, failures told, nothing left running."""

import functools
import gc
import subprocess
import sys
import threading
import time
import weakref

import pytest

from autospec_precond import threads


def test_runs_every_task_once():
    for n_tasks in (0, 1, 2, 3, 8, 100):
        done = []
        threads.run([functools.partial(done.append, k) for k in range(n_tasks)], 4)
        assert sorted(done) == list(range(n_tasks))


def test_two_tasks_run_at_the_same_time():
    meeting = threading.Barrier(2, timeout=60)
    threads.run([meeting.wait, meeting.wait], 2)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_no_more_threads_than_asked_for(n_threads):
    threads.run([lambda: None] * 5, 5)  # there are helpers enough
    lock, now, most = threading.Lock(), [], []

    def task():
        with lock:
            now.append(1)
            most.append(len(now))
        time.sleep(0.002)
        with lock:
            now.pop()

    threads.run([task] * 30, n_threads)
    assert max(most) <= n_threads


def test_helpers_are_kept():
    threads.run([lambda: None] * 3, 3)
    count = threading.active_count()
    for _ in range(50):
        threads.run([lambda: None] * 3, 3)
    assert threading.active_count() == count


@pytest.mark.parametrize("who", ["caller", "helper"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_reaches_the_caller_after_all_have_ended(who, error):
    caller = threading.current_thread()
    both, ended = threading.Barrier(2, timeout=60), []

    def task():
        both.wait()
        if (threading.current_thread() is caller) == (who == "caller"):
            raise error("told")
        time.sleep(0.05)
        ended.append(True)

    with pytest.raises(error, match="told"):
        threads.run([task, task], 2)
    assert ended == [True]
    test_runs_every_task_once()


@pytest.mark.parametrize("who", ["caller", "helper"])
def test_tasks_not_begun_are_left_out_after_a_failure(who):
    caller = threading.current_thread()
    both, begun = threading.Barrier(2, timeout=60), []

    def first():
        both.wait()
        if (threading.current_thread() is caller) == (who == "caller"):
            raise ValueError("told")

    def later():
        begun.append(1)
        time.sleep(0.01)

    with pytest.raises(ValueError, match="told"):
        threads.run([first, first] + [later] * 100, 3)
    assert len(begun) < 100


def test_several_callers_at_once():
    totals = []

    def call():
        done = []
        for _ in range(200):
            threads.run([lambda: done.append(1)] * 3, 3)
        totals.append(len(done))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert totals == [600] * 4


def test_a_caller_never_waits_for_busy_helpers():
    threads.run([lambda: None] * 2, 2)
    n_helpers = len(threads._POOL.helpers)
    release, done = threading.Event(), []
    busy = threading.Barrier(n_helpers + 2, timeout=60)

    def block():
        busy.wait()
        release.wait(60)

    blocker = threading.Thread(
        target=threads.run, args=([block] * (n_helpers + 1), n_helpers + 1)
    )
    blocker.start()
    busy.wait()
    threads.run([lambda: done.append(1)] * 2, 2)
    assert done == [1, 1]
    release.set()
    blocker.join(60)


def test_no_threads_to_be_had(monkeypatch):
    monkeypatch.setattr(threads, "_POOL", threads._Pool())

    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    test_runs_every_task_once()


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_kept_alive(fails):
    class Large:
        pass

    def call():
        large = Large()
        both = threading.Barrier(2, timeout=60)

        def task(large=large):
            both.wait()
            if fails:
                raise ValueError("told")

        try:
            threads.run([task, task], 2)
        except ValueError:
            assert fails
        return weakref.ref(large)

    found = call()
    deadline = time.monotonic() + 10
    while found() is not None and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert found() is None


EXIT = """
import threading
from autospec_precond import threads
threads.run([lambda: None] * 4, 4)
assert all(t.daemon for t in threading.enumerate() if t is not threading.main_thread())
"""

FORK = """
import os, threading
from autospec_precond import threads
meeting = threading.Barrier(2, timeout=20)
threads.run([meeting.wait, meeting.wait], 2)
pid = os.fork()
meeting = threading.Barrier(2, timeout=20)
threads.run([meeting.wait, meeting.wait], 2)  # fails where there is no second thread
if pid == 0:
    os._exit(0)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.parametrize("program", [EXIT, FORK], ids=["exit", "fork"])
def test_in_a_process_of_its_own(program):
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program]
    subprocess.run(command, check=True, timeout=60)
