"""Threads of our own for kernels that release the GIL.

Numba's threading layers abort when two Python threads meet in them, and may die after a
fork; a pool of Python threads does neither.

The pool is the one thing here that lives as long as the process. Its threads sleep between
calls, do not keep an interpreter from ending, and are made anew in a forked process.
"""

import collections
import contextlib
import os
import queue
import threading

__all__ = ["run"]


def run(tasks, n_threads):
    """Run functions at the same time, and return when all have ended.

    Parameters
    ----------
    tasks : iterable of callable
        Called without arguments.
    n_threads : int
        How many may run at the same time; the calling thread takes its share.

    Raises
    ------
    BaseException
        The first that a task has raised; tasks not begun by then are left out.

    Notes
    -----
    A fork and join of two tasks takes about 30 microseconds. Several Python threads may
    call this at once: none waits for a task that no thread has begun.
    """
    tasks = list(tasks)
    if min(len(tasks), n_threads) < 2:
        for task in tasks:
            task()
        return
    call = _Call(tasks)
    try:
        _POOL.offer(call, min(len(tasks), n_threads) - 1)
        call.work()
    finally:
        # Whatever happened here: no helper may still write when the caller goes on.
        call.tasks.clear()
        call.wait()
    if call.failures:
        raise call.failures[0]


class _Call:
    """Tasks that are taken one by one by the caller and by the helpers that are free.

    append and popleft of a deque are atomic. A helper counts itself in before it takes a
    task: once no task is left, all that run are counted.
    """

    def __init__(self, tasks):
        self.tasks = collections.deque(tasks)
        self.entered = collections.deque()
        self.left = collections.deque()
        self.failures = collections.deque()
        self.wake = queue.SimpleQueue()

    def work(self):
        while True:
            try:
                task = self.tasks.popleft()
            except IndexError:
                return
            task()

    def help(self):
        self.entered.append(None)
        try:
            self.work()
        except BaseException as error:
            self.failures.append(error)
            self.tasks.clear()
        finally:
            self.left.append(None)
            self.wake.put(None)

    def wait(self):
        interrupt = None
        while len(self.left) < len(self.entered):
            try:
                self.wake.get()
            except BaseException as error:  # the user's Ctrl-C
                interrupt = error
        if interrupt is not None:
            raise interrupt


class _Pool:
    """Helpers that wait for calls; as many as were ever needed at once by one call."""

    def __init__(self):
        self.calls = queue.SimpleQueue()
        self.helpers = []
        self.lock = threading.Lock()

    def offer(self, call, n_helpers):
        if len(self.helpers) < n_helpers:
            # Where no thread can be had, the caller does it all.
            with self.lock, contextlib.suppress(RuntimeError):
                self._grow(n_helpers)
        for _ in range(min(n_helpers, len(self.helpers))):
            self.calls.put(call)

    def _grow(self, n_helpers):
        while len(self.helpers) < n_helpers:
            helper = threading.Thread(
                target=_serve, args=(self.calls,), name="autospec_precond", daemon=True
            )
            helper.start()
            self.helpers.append(helper)


def _serve(calls):
    while True:
        calls.get().help()  # no name for the call: it would keep its arrays alive


def _renew():
    global _POOL
    _POOL = _Pool()


_renew()
if hasattr(os, "register_at_fork"):
    # Threads do not survive a fork, and a lock may be left locked.
    os.register_at_fork(after_in_child=_renew)
