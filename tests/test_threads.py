"""Threads, forks and compilation: each in a process of its own, that a hang cannot stop."""

import os
import subprocess
import sys

import pytest

LAYERS = ["workqueue", "omp", "tbb"]
UNAVAILABLE = 77  # what a program exits with where there is no such threading layer

# Starts the pool of Numba's threading layer, as another package in the process would.
POOL = """
import functools, os, sys, threading
import numba
import numpy as np
import scipy.sparse as sp

@numba.njit(parallel=True)
def fill(x):
    for i in numba.prange(x.size):
        x[i] = i

layer = os.environ["NUMBA_THREADING_LAYER"]
try:
    fill(np.empty(1000))
except ValueError as error:
    if "threading layer" not in str(error):
        raise
    print(error)
    sys.exit(77)
assert numba.threading_layer() == layer

import autospec_precond as ap

n_threads, storage = int(os.environ["THREADS"]), os.environ["STORAGE"]
make = functools.partial(ap.make, storage=storage, n_threads=n_threads)

def poisson2d(side):
    T = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(side, side))
    eye = sp.eye_array(side)
    return sp.csr_array(sp.kron(T, eye) + sp.kron(eye, T))

def check(condition, text):
    if not condition:
        print(text, flush=True)
        os._exit(1)
"""

TWO_THREADS = """
A = poisson2d(60)
rng = np.random.default_rng(0)
inputs = [rng.standard_normal(shape) for shape in ((3600,), (3600, 3), (3600,), (3600, 1))]
for precision in ("single", "double"):
    M = make(A, degree=16, precision=precision)
    serial = [M @ x for x in inputs]
    inside, ready = [0, 0], threading.Barrier(2)

    def work(index):
        ready.wait()
        for k in range(200):
            which = (index + k) % len(inputs)
            same = np.array_equal(M @ inputs[which], serial[which])
            check(same, "two threads disturb each other")
            inside[index] += 1

    threads = [threading.Thread(target=work, args=(index,)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(inside == [200, 200], f"a thread ended early: {inside}")
fill(np.empty(1000))
"""

# Threads that meet in the first application of all: one compiles, or loads, for both.
FIRST_CALLS = """
M = ap.make(poisson2d(10), base="none", degree=4, kernel="reference")
M = make(poisson2d(10), base="none", polynomial=M.state())  # no kernel has run so far
results, ready = [None, None], threading.Barrier(2)

def work(index):
    ready.wait()
    results[index] = M @ np.ones((100, 2), np.float32)

threads = [threading.Thread(target=work, args=(index,)) for index in (0, 1)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
check(np.array_equal(*results), "the first calls of two threads differ")
"""

FORK = """
M = make(poisson2d(60), degree=16)
X = np.random.default_rng(0).standard_normal((3600, 3))
x = X[:, 0].copy()
serial = M @ x, M @ X

def child():
    for _ in range(20):
        check(np.array_equal(M @ x, serial[0]), "wrong in the child")
        check(np.array_equal(M @ X, serial[1]), "wrong in the child, block")

stop = threading.Event()

def work():
    while not stop.is_set():
        check(np.array_equal(M @ X, serial[1]), "wrong in the parent")

def fork_and_wait():
    pid = os.fork()
    if pid == 0:
        try:
            child()
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(2)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    check(status == 0, f"a child ended with status {status}")

for _ in range(3):
    fork_and_wait()
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
for _ in range(15):
    fork_and_wait()
stop.set()
for thread in threads:
    thread.join()
"""

MULTIPROCESSING = """
import multiprocessing

M = make(poisson2d(20), degree=8)
inputs = list(np.random.default_rng(0).standard_normal((8, 400)))
serial = [M @ x for x in inputs]

def apply(x):
    return M @ x

with multiprocessing.get_context("fork").Pool(2) as pool:
    # M as it was inherited, and one that is pickled for every call.
    for forked in (pool.map(apply, inputs), pool.map(M.matvec, inputs)):
        for result, expected in zip(forked, serial, strict=True):
            check(np.array_equal(result, expected), "wrong in a worker")
"""

PROGRAMS = {
    "two_threads": TWO_THREADS,
    "first_calls": FIRST_CALLS,
    "fork": FORK,
    "multiprocessing": MULTIPROCESSING,
}


def run(program, **environment):
    # Forks of a process with threads are what is tested here: Python 3.12 warns of them.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("storage", "n_threads"), [("csr", 1), ("csr", 2), ("dia", 2), ("sell", 2)]
)
def test_threads_and_forks_get_the_serial_bits(
    layer, program, storage, n_threads, tmp_path
):
    given = {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "2"}
    given |= {"STORAGE": storage, "THREADS": str(n_threads)}
    if program == "first_calls":
        given["NUMBA_CACHE_DIR"] = str(tmp_path)  # an empty one: the threads compile
    done = run(POOL + PROGRAMS[program], **given)
    if done.returncode == UNAVAILABLE and layer != "workqueue":
        pytest.skip(f"no threading layer {layer} here: {done.stdout.strip()}")
    assert done.returncode == 0, done.stdout + done.stderr


WARMUP = """
import copy, os, pickle
import numpy as np
import scipy.sparse as sp
import autospec_precond as ap

ap.warmup()
from autospec_precond.kernels import cpu, cpu_cg, cpu_dia, cpu_inside, cpu_rows, cpu_scale

compiled = {k: f for k, f in vars(cpu).items() if hasattr(f, "signatures")}
assert len(compiled) == 6, compiled
for name, where in (("VECTOR", vars(cpu_cg.VECTOR)), ("BLOCK", vars(cpu_cg.BLOCK))):
    compiled |= {f"{name}.{k}": f for k, f in where.items()}
for module in (cpu_inside, cpu_rows, cpu_scale):
    public = {k: vars(module)[k] for k in module.__all__}
    compiled |= {k: f for k, f in public.items() if hasattr(f, "signatures")}
compiled["compact"] = cpu_cg.compact
assert len(compiled) == 24, compiled
assert len(cpu_dia._tile.signatures) == 12, cpu_dia._tile.signatures

def count():
    return {name: len(f.signatures) for name, f in compiled.items()}

before = count()
assert before["_vector"] >= 12 and before["_block"] >= 12, before

def poisson(dtype, index):
    A = sp.diags_array([-1.0, 2.5, -1.0], offsets=[-1, 0, 1], shape=(60, 60)).tocsr()
    A = A.astype(dtype)
    A.indices, A.indptr = A.indices.astype(index), A.indptr.astype(index)
    for array in (A.data, A.indices, A.indptr):
        array.flags.writeable = False
    return A

def inputs():
    for dtype in (np.int64, np.float32, np.float64, np.complex64, np.complex128):
        X = np.ones((60, 4), dtype)
        frozen = X.copy()
        frozen.flags.writeable = False
        for block in (X, frozen, np.asfortranarray(X), X[:, ::2], X[::-1]):
            yield block
            yield block[:, :1]
            yield block[:, 0]

for dtype in (np.float32, np.float64, np.complex64, np.complex128):
    for index in (np.int32, np.int64):
        for precision in ("single", "mixed", "double"):
            A = poisson(dtype, index)
            M = ap.make(A, degree=4, precision=precision, storage="csr")
            buffers = []
            text = pickle.dumps(M, protocol=5, buffer_callback=buffers.append)
            operator = {
                "own": lambda: M,
                "copied": lambda: copy.deepcopy(M),
                "pickled": lambda: pickle.loads(pickle.dumps(M)),
                # As shared or mapped memory hands them on: not writeable.
                "shared": lambda: pickle.loads(text, buffers=[bytes(b) for b in buffers]),
            }[os.environ["OPERATOR"]]()
            for x in inputs():
                operator @ x
                operator.apply_into(x, np.empty(x.shape, np.complex128))
                operator.A @ x
                operator.solve(x, maxiter=2)
                new = {name: n for name, n in count().items() if n != before[name]}
                assert not new, (dtype, index, precision, x.dtype, x.flags, new)
            if np.dtype(dtype).kind != "c":
                # Real tridiagonal matrices are stored by diagonals otherwise.
                N = ap.make(A, polynomial=M.state())
                assert N.storage == "dia"
                N @ np.ones(60, dtype), N @ np.ones((60, 4))
                assert len(cpu_dia._tile.signatures) == 12, cpu_dia._tile.signatures
"""


@pytest.mark.parametrize("operator", ["own", "copied", "pickled", "shared"])
def test_nothing_compiles_after_warmup(operator):
    done = run(WARMUP, OPERATOR=operator)
    assert done.returncode == 0, done.stdout + done.stderr
