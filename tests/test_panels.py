"""Panels, a few columns of a block side by side, against vectors and the reference."""

import functools

import numpy as np
import pytest
import scipy.sparse as sp
from problems import poisson2d

import autospec_precond as ap
from autospec_precond import kernels
from autospec_precond.kernels import cpu_panel, plans, reference
from autospec_precond.linop import _largest

KINDS = ("csr", "dia", "fields", "sell")
COLUMNS = (1, 2, 3, 7, 8, 16, 17, 64)
TYPES = (
    (np.float32, np.float32),
    (np.float32, np.float64),
    (np.float64, np.float64),
)  # values, vectors


def tolerance(degree, dtype):
    """Rounding allowed to a degree-d recurrence on a spectrum inside its interval."""
    return 8 * (degree + 1) ** 2 * np.finfo(dtype).eps


def matrix(n=615, dtype=np.float64):
    """Nodes of three unknowns, each with its neighbours' along a line and across one.

    In a corner a few entries more, which are rests of 'fields'; 615 rows end amid a chunk.
    """
    rng = np.random.default_rng(5)
    m = n // 3
    line = sp.diags_array(
        [1.0, 1.0, 3.0, 1.0, 1.0], offsets=[-20, -1, 0, 1, 20], shape=(m, m)
    )
    S = sp.kron(line, np.ones((3, 3))).tocoo()
    values = rng.standard_normal(S.nnz)
    S = sp.coo_array((values, (S.row, S.col)), shape=(n, n))
    extra = sp.coo_array(([1.0, 2.0, -1.0], ([0, 5, 9], [300, 45, 600])), shape=(n, n))
    S = sp.csr_array(S + extra)
    S = sp.csr_array(S + S.T)
    if np.dtype(dtype).kind == "c":
        S = sp.csr_array(S + 1j * (sp.triu(S, 1) - sp.tril(S, -1)))
    S = S / abs(S).sum(axis=1).max() + 1.1 * sp.eye_array(n)
    S = sp.csr_array(S.astype(dtype))
    S.sort_indices()
    return S


@functools.cache
def stored(kind, values):
    """Return the matrix in a storage, with values of a type."""
    dtype = np.dtype(values)
    precision = "double" if dtype.itemsize == 8 else "mixed"
    A = matrix()
    if kind == "dia":
        A = poisson2d(23).tocsr() / 8
    M = ap.make(
        A,
        base="none",
        degree=4,
        precision=precision,
        storage=kind,
        n_threads=1,
    )
    assert M.storage == kind
    return M._parts.stored


def factors(degree):
    """Return rows of factors that use all the terms."""
    rng = np.random.default_rng(degree)
    rows = rng.uniform(-0.5, 0.5, (degree, 4))
    rows[:2, 3] = 0
    return rows


def panel(x, width, value):
    """Return a panel of NaN that begins with x."""
    result = np.full((len(x), width), value, x.dtype)
    result[:, : x.shape[1]] = x
    return result


@pytest.mark.parametrize("n_columns", [*range(1, 40), 64])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cuts_hold_each_column_once(n_columns, kind, dtype):
    panels = cpu_panel.cut(n_columns, kind, dtype)
    assert [first for first, _, _ in panels] == [0, *(last for _, last, _ in panels[:-1])]
    assert panels[-1][1] == n_columns
    for first, last, width in panels:
        assert first < last
        if width is None:
            assert last == n_columns
            assert last - first < 6
        else:
            assert width in cpu_panel.widths(kind, dtype)
            assert last - first <= width <= 1.5 * (last - first)


@pytest.mark.parametrize(("values", "vectors"), TYPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", cpu_panel.WIDTHS)
@pytest.mark.parametrize("degree", [1, 2, 3, 8])
def test_twin_matches_reference(kind, values, vectors, width, degree, rng):
    S = stored(kind, values)
    n = 529 if kind == "dia" else 615
    _, apply = kernels.select(kind)
    x = rng.standard_normal((n, width)).astype(vectors)
    plain = reference.apply(S, factors(degree), x, [np.empty_like(x) for _ in range(2)])
    results = []
    for n_threads in (1, 2, 3):
        work = [np.full_like(x, np.nan) for _ in range(2)]
        results.append(apply(S, factors(degree), x, work, n_threads))
        assert any(results[-1] is part for part in work)
    scale = np.abs(factors(degree)).sum() * np.linalg.norm(x)
    assert np.linalg.norm(results[0] - plain) <= tolerance(degree, vectors) * scale
    assert all(np.array_equal(results[0], other) for other in results[1:])


@pytest.mark.parametrize("kind", KINDS)
def test_no_plan_changes_a_bit(kind, rng, monkeypatch):
    S = stored(kind, np.float32)
    n = 529 if kind == "dia" else 615
    _, apply = kernels.select(kind)
    x = rng.standard_normal((n, 8))
    results = []
    for powers, rows in ((1, 512), (3, 64), (8, 128)):
        monkeypatch.setattr(plans, "powers_per_sweep", lambda *sizes, k=powers: k)
        monkeypatch.setattr(plans, "_block_rows", lambda *sizes, k=rows: k)
        plans.plan.cache_clear()
        work = [np.full_like(x, np.nan) for _ in range(2)]
        results.append(apply(S, factors(8), x, work, 1).copy())
    plans.plan.cache_clear()
    assert np.isfinite(results[0]).all()
    assert all(np.array_equal(results[0], other) for other in results[1:])


def blocks(n, k, rng):
    """Yield blocks of k columns in every memory order and type."""
    x = rng.standard_normal((n, k))
    yield x
    yield np.asfortranarray(x)
    yield rng.standard_normal((n, k + 3))[:, 1:-2]
    yield np.asfortranarray(rng.standard_normal((2 * n, k)))[::2]
    yield x[::-1]
    yield x.astype(np.float32)
    yield x + 1j * rng.standard_normal((n, k))
    frozen = x.copy()
    frozen.flags.writeable = False
    yield frozen


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("precision", ["single", "mixed", "double"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_blocks_agree_with_vectors(kind, precision, n_threads, dtype, rng):
    A = poisson2d(23).tocsr().astype(dtype) if kind == "dia" else matrix(dtype=dtype)
    given = {"precision": precision, "storage": kind, "n_threads": n_threads}
    M = ap.make(A, degree=4, **given)
    bits = np.float64 if precision == "double" else np.float32
    n = A.shape[0]
    for k in COLUMNS:
        for x in blocks(n, k, rng):
            result = M @ x
            columns = np.stack([M @ x[:, j] for j in range(k)], axis=1)
            assert result.dtype == columns.dtype
            allowed = tolerance(4, bits) * np.linalg.norm(columns)
            assert np.linalg.norm(result - columns) <= allowed
            if x.dtype == result.dtype:
                same = x.copy(order="A")
                M.apply_into(same, same)
                assert np.array_equal(same, result)


@pytest.mark.parametrize("kind", KINDS)
def test_stacks_of_blocks(kind, rng):
    A = poisson2d(23).tocsr() if kind == "dia" else matrix()
    M = ap.make(A, degree=4, storage=kind, n_threads=1)
    x = rng.standard_normal((2, 3, A.shape[0], 7))
    out = np.empty_like(x)
    M.apply_into(x, out)
    for place in np.ndindex(2, 3):
        assert np.array_equal(out[place], M @ x[place])


@pytest.mark.parametrize("kind", KINDS)
def test_results_may_overlap_what_is_multiplied(kind, rng):
    A = poisson2d(23).tocsr() if kind == "dia" else matrix()
    M = ap.make(A, degree=4, storage=kind, n_threads=1)
    x = rng.standard_normal((A.shape[0], 35))
    expected = M @ x
    same, turned = x.copy(), x.copy()
    wide = np.concatenate([x, x[:, :1]], axis=1)
    for given, out in (
        (same, same[:]),
        (turned, turned[:, ::-1]),
        (wide[:, :-1], wide[:, 1:]),
    ):
        M.apply_into(given, out)
        assert np.array_equal(out, expected)
    stack = np.stack([x, -x])
    M.apply_into(stack, stack[::-1])
    assert np.array_equal(stack, [-expected, expected])


@pytest.mark.parametrize("k", [3, 7, 8, 17])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_finite_stays_in_its_column(kind, k, rng):
    A = poisson2d(23).tocsr() if kind == "dia" else matrix()
    M = ap.make(A, degree=4, storage=kind, n_threads=1)
    x = rng.standard_normal((A.shape[0], k))
    clean = M @ x
    dirty = x.copy()
    dirty[7, 1], dirty[9, k - 1] = np.nan, np.inf
    result = M @ dirty
    bad = np.zeros(k, bool)
    bad[[1, k - 1]] = True
    assert np.array_equal(~np.isfinite(result).all(axis=0), bad)
    assert np.array_equal(result[:, ~bad], clean[:, ~bad])


@pytest.mark.parametrize("kind", KINDS)
def test_scratch_is_that_of_a_panel(kind):
    A = poisson2d(23).tocsr() if kind == "dia" else matrix()
    M = ap.make(A, degree=4, storage=kind, precision="double")
    n, page = A.shape[0], 4096  # of padding between the vectors
    for k in COLUMNS:
        M @ np.ones((n, k))
        columns = max(min(k, 16), 1)
        assert M._pool[0].nbytes <= 5 * 8 * n * columns + page
        M._pool.clear()


def test_columns_far_from_one_are_scaled_on_their_own(rng):
    M = ap.make(matrix(), degree=4, storage="sell", precision="single")
    x = rng.standard_normal((615, 8))
    scales = np.array([1e-40, 1e-30, 1e-10, 1.0, 1e10, 1e30, 1e38, 1e100])
    plain, result = M @ x, M @ (x * scales)
    assert np.abs(result / scales - plain).max() <= 1e-5 * np.abs(plain).max()


@pytest.mark.parametrize("n", [100, 20_011])
@pytest.mark.parametrize("order", "CF")
def test_largest_of_each_column(n, order, rng):
    x = np.asarray(rng.standard_normal((n, 7)) * 10.0 ** np.arange(7), order=order)
    x[n - 1, 2], x[n // 3, 3], x[5, 4] = -1e9, np.nan, -np.inf
    assert np.array_equal(_largest(x), np.abs(x).max(axis=0), equal_nan=True)


def test_what_is_not_cut():
    A = poisson2d(23).tocsr()
    for given, dtype in (
        ({"kernel": "reference"}, np.float64),
        ({}, np.complex128),
        ({"degree": 0}, np.float64),
    ):
        M = ap.make(A.astype(dtype), **{"degree": 4, "storage": "csr", **given})
        assert not M._has_panels
    assert ap.make(A, degree=4, storage="csr")._has_panels


def test_diagonals_that_leave_the_cache_are_not_cut(monkeypatch):
    S, float64 = stored("dia", np.float32), np.dtype(np.float64)
    assert kernels.has_panels(S, "fused", 529, 16, float64)
    monkeypatch.setattr(plans, "cache_size", lambda level: 0)
    assert not kernels.has_panels(S, "fused", 529, 16, float64)
    assert kernels.has_panels(stored("sell", np.float32), "fused", 615, 16, float64)
