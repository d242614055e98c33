"""Lanczos steps on rows that repeat those before them."""

import numpy as np
import pytest
import scipy.sparse as sp
from problems import poisson1d, poisson2d, sparse_random

from autospec_precond.kernels import cpu_repeats, scaled


def nodes(n, b, dtype):
    """Grid of n nodes with b unknowns, all coupled to those of neighbours."""
    blocks = np.arange(b * b).reshape(b, b) + 1.0
    return sp.csr_array(sp.kron(poisson1d(n), blocks + blocks.T)).astype(dtype)


MATRICES = {
    "five": lambda dtype, rng: poisson2d(100, dtype),
    "blocks": lambda dtype, rng: nodes(3000, 3, dtype),
    "long": lambda dtype, rng: nodes(1500, 6, dtype),
    "complex": lambda dtype, rng: (1 + 1j) * poisson2d(70, dtype),
    "short": lambda dtype, rng: poisson1d(100, dtype),
}


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", MATRICES)
def test_the_same_as_row_by_row(name, dtype, n_threads, rng):
    A = MATRICES[name](dtype, rng)
    n = A.shape[0]
    scale = rng.uniform(0.5, 2.0, n)
    operator = scaled.Scaled(A, scale, n_threads)
    operator.n_products = 100
    plain = scaled.Scaled(A, scale, 1)
    u, v, before = (rng.standard_normal(n).astype(operator.double) for _ in range(3))
    results = []
    for S in (plain, operator, operator):
        w = np.full(n, np.nan, operator.double)
        dot = S.multiply(u, v, before, 0.7, w)
        results.append((w, dot))
    assert operator.repeats
    assert plain.table is None
    size = np.abs(results[0][0]).max()
    assert np.abs(results[1][0] - results[0][0]).max() <= 1e-14 * size
    assert results[1][1] == pytest.approx(results[0][1], rel=1e-9)
    expected = scale * (A.astype(operator.double) @ u) - 0.7 * before
    assert np.abs(results[1][0] - expected).max() <= 1e-14 * size
    serial = scaled.Scaled(A, scale, 1)
    serial.n_products = 100
    w = np.empty_like(u)
    assert serial.multiply(u, v, before, 0.7, w) == results[1][1] == results[2][1]
    assert np.array_equal(w, results[1][0])


def test_not_where_no_row_repeats_another(rng):
    A = sparse_random(6000, rng, density=0.001)
    S = scaled.Scaled(A, None, 2)
    for _ in range(4):
        S(rng.standard_normal(6000))
    assert S.table is not None
    assert not S.repeats


def test_looked_for_after_some_products_only(rng):
    A = poisson2d(100)
    S = scaled.Scaled(A, None, 1)
    x = rng.standard_normal(A.shape[0])
    for _ in range(scaled._FEW):
        S(x)
    assert S.table is None
    assert np.abs(S(x) - A @ x).max() <= 1e-14 * np.abs(A @ x).max()
    assert S.repeats


def test_flags_of_the_compiled_kernel():
    options = cpu_repeats.step.targetoptions
    assert options["fastmath"] == {"contract"}
    assert options["nogil"] is True
