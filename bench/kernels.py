"""The fused kernels against SciPy and NumPy, each other, and a copy of as many bytes.

    pytest bench/kernels.py --benchmark-only -s [-k "poisson2d and single"]

One step of the recurrence is y = c x + a S v + b v - g y. Time per step within p(S) by kind
of matrix, precision and block width; `plain` is SciPy's product in float64 with NumPy's
updates. The ways: rows ('csr'), diagonals ('dia'), of each unknown of a node ('fields'), or
slices ('sell'), the vectors in its order already, on 1 or 2 threads; 'dia swept' makes one
product per sweep over the rows, where 'dia' makes as many as the cache allows. The
table at the end (-s) and `extra_info` hold the ratio to `plain`, and the bytes that a step
must move (the matrix and each vector once) over its time, as a share of the rate of a
NumPy copy that moves as many bytes in the same run on one thread. Several products per
sweep may exceed it. A share alone rewards superfluous bytes: read the times too.
"""

import time

import numpy as np
import pytest

from autospec_precond import bases, kernels, linop, operands
from autospec_precond.classical import chebyshev
from autospec_precond.kernels import layout, plans
from bench import problems

DEGREE = 16
MATRICES = (
    "poisson2d:300",
    "poisson2d:1000",
    "poisson3d:45",
    "poisson3d:100",
    "mass3d:40",
    "elasticity3d:20",
    "geograph:90000",
    "delaunay2d:500000",
)
PRECISIONS = ("single", "mixed", "double")
WAYS = {  # storage, several products per sweep, threads
    "csr": ("csr", True, 1),
    "csr, 2 threads": ("csr", True, 2),
    "sell": ("sell", True, 1),
    "sell, 2 threads": ("sell", True, 2),
    "fields": ("fields", True, 1),
    "fields, 2 threads": ("fields", True, 2),
    "dia swept": ("dia", False, 1),
    "dia": ("dia", True, 1),
    "dia, 2 threads": ("dia", True, 2),
}
WIDTHS = (1, 8)
_RESULTS = []
_CACHE = {}


def _operand(name):
    if name not in _CACHE:
        _CACHE.clear()  # one matrix at a time
        operand = operands.as_operand(problems.build(name).A, "bench")
        diagonal = operand.matrix.diagonal()
        _CACHE[name] = bases.build(operand, "jacobi", diagonal)
    return _CACHE[name]


def _n_bytes(matrix_bytes, n, width, vectors):
    """Bytes of one step: the matrix, and x, v, y read and y written."""
    return matrix_bytes + 4 * n * width * vectors


def _copy_seconds(n_bytes):
    """Least time of copying that many bytes in all: half is read, half written."""
    source = np.ones(max(1, n_bytes // 16))
    target = np.empty_like(source)
    best = np.inf
    for _ in range(15):
        began = time.perf_counter()
        np.copyto(target, source)
        best = min(best, time.perf_counter() - began)
    return best


def _finish(benchmark, name, what, width, n_bytes):
    """Put milliseconds per step and the share of the copy's rate beside the entry."""
    step = benchmark.stats.stats.min / DEGREE
    share = _copy_seconds(n_bytes) / step
    benchmark.extra_info |= {
        "ms_per_step": step * 1e3,
        "bytes_per_step": n_bytes,
        "share_of_copy": share,
    }
    _RESULTS.append((name, what, width, step * 1e3, n_bytes / 1e6, 100 * share))


@pytest.fixture(scope="module", autouse=True)
def _table():
    yield
    plain = {(row[0], row[2]): row[3] for row in _RESULTS if row[1] == "plain"}
    head = f"{'matrix':<18}{'kernel':<24}{'width':>5}{'ms/step':>10}{'x plain':>9}"
    lines = [f"{head}{'MB':>8}{'copy %':>8}"]
    for name, what, width, ms, megabytes, share in sorted(_RESULTS):
        ratio = plain.get((name, width), np.nan) / ms
        lines.append(
            f"{name:<18}{what:<24}{width:>5}{ms:>10.3f}{ratio:>9.1f}{megabytes:>8.1f}"
            f"{share:>8.0f}"
        )
    print("\n" + "\n".join(lines))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MATRICES)
def test_fused(benchmark, name, way, precision, width, monkeypatch):
    based = _operand(name)
    storage, blocked, n_threads = WAYS[way]
    try:
        stored = layout.store(based, based.dtype, precision, storage)
    except ValueError as error:
        pytest.skip(str(error))
    if not blocked:
        monkeypatch.setattr(plans, "powers_per_sweep", lambda *sizes: 1)
    plans.plan.cache_clear()
    vectors = layout.vector_dtype(based.dtype, precision)
    run = linop.core(stored, chebyshev(DEGREE, 2.0), "fused", n_threads)
    shape = (based.n,) if width == 1 else (based.n, width)
    x = np.ones(shape, vectors, order=kernels.block_order(storage, "fused"))
    work = (np.empty_like(x), np.empty_like(x))
    benchmark.group = f"{name} x {width}"
    benchmark(run, x, work)
    plans.plan.cache_clear()
    n_bytes = _n_bytes(stored.n_bytes, based.n, width, vectors.itemsize)
    _finish(benchmark, name, f"{way}, {precision}", width, n_bytes)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", MATRICES)
def test_plain(benchmark, name, width):
    based = _operand(name)
    S = based.matrix
    polynomial = chebyshev(DEGREE, 2.0)
    coefficients = polynomial.coefficients
    alpha, beta = polynomial.affine

    def run(x):
        """Clenshaw's recurrence as it is written down."""
        b1, b2 = coefficients[-1] * x, np.zeros_like(x)
        for k in range(DEGREE - 1, -1, -1):
            gain = 1.0 if k == 0 else 2.0
            b1, b2 = coefficients[k] * x + gain * (alpha * (S @ b1) + beta * b1) - b2, b1
        return b1

    x = np.ones((based.n,) if width == 1 else (based.n, width))
    benchmark.group = f"{name} x {width}"
    benchmark(run, x)
    matrix_bytes = S.data.nbytes + S.indices.nbytes + S.indptr.nbytes
    _finish(benchmark, name, "plain", width, _n_bytes(matrix_bytes, based.n, width, 8))
