"""The fused step against SciPy and NumPy, and against a plain copy of as many bytes.

    pytest bench/kernels.py --benchmark-only

One step of the recurrence is y = c x + a S v + b v - g y. Time per step by kind of matrix,
precision and block width; `plain` is SciPy's product in float64 with NumPy's updates.
Beside milliseconds each entry tells, in `extra_info` and in the table at the end (-s), the
bytes that a step must move (values and indices once, each vector once) over its time, as a
share of the rate of a NumPy copy that moves as many bytes in the same run, on one thread
as the kernels are. A share alone rewards superfluous bytes: read the milliseconds too.
"""

import time

import numpy as np
import pytest

from autospec_precond import bases, linop, operands
from autospec_precond.classical import chebyshev
from autospec_precond.kernels import layout
from bench import problems

DEGREE = 8
MATRICES = (
    "poisson2d:300",
    "poisson3d:45",
    "mass3d:40",
    "elasticity3d:20",
    "geograph:90000",
)
PRECISIONS = ("single", "mixed", "double")
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


def _n_bytes(based, values, vectors, width):
    """Bytes of one step: the matrix, and x, v, y read and y written."""
    matrix = based.matrix
    indices = matrix.indices.itemsize * (matrix.nnz + based.n + 1)
    return matrix.nnz * values + indices + 4 * based.n * width * vectors


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
    lines = [
        f"{'matrix':<18}{'kernel':<9}{'width':>5}{'ms/step':>10}{'MB':>8}{'copy %':>8}"
    ]
    for name, what, width, ms, megabytes, share in sorted(_RESULTS):
        lines.append(
            f"{name:<18}{what:<9}{width:>5}{ms:>10.3f}{megabytes:>8.1f}{share:>8.0f}"
        )
    print("\n" + "\n".join(lines))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", MATRICES)
def test_fused(benchmark, name, precision, width):
    based = _operand(name)
    stored = layout.store(based, based.dtype, precision)
    vectors = layout.vector_dtype(based.dtype, precision)
    run = linop.core(stored, chebyshev(DEGREE, 2.0), "fused")
    shape = (based.n,) if width == 1 else (based.n, width)
    x = np.ones(shape, vectors)
    work = (np.empty_like(x), np.empty_like(x))
    benchmark.group = f"{name} x {width}"
    benchmark(run, x, work)
    n_bytes = _n_bytes(based, stored.data.itemsize, vectors.itemsize, width)
    _finish(benchmark, name, precision, width, n_bytes)


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
    _finish(benchmark, name, "plain", width, _n_bytes(based, 8, 8, width))
