"""Storage by chunks: an order of the rows, twins of the reference, the same bits always."""

import functools
import pickle
import re
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from problems import complex_hermitian, distance, poisson2d, refusal, tolerance
from scipy.sparse.linalg import aslinearoperator

import autospec_precond as ap
from autospec_precond import kernels, threads
from autospec_precond.kernels import (
    arrange,
    cpu_chunk,
    cpu_order,
    cpu_sell,
    layout,
    plans,
    reference,
    slices,
)
from autospec_precond.polynomial import clenshaw

AFFINE = (0.9, -0.1)
TYPES = [  # of values and of vectors
    (np.float32, np.float32),
    (np.float32, np.float64),
    (np.float64, np.float64),
    (np.complex64, np.complex64),
    (np.complex64, np.complex128),
    (np.complex128, np.complex128),
]
each_type = pytest.mark.parametrize(
    ("values", "vectors"), TYPES, ids=[f"{a.__name__}-{b.__name__}" for a, b in TYPES]
)
each_index = pytest.mark.parametrize("index", [np.uint16, np.uint32])
SIZES = [1, 2, 3, 31, 65, 257]
COLUMNS = [(), (1,), (2,), (3,), (4,), (7,), (8,), (17,)]
STRUCTURES = ["graph", "arrow", "empty", "every_length", "nothing", "two_parts"]


def pattern(n, structure, rng):
    """Symmetric pattern with rows of many lengths."""
    i, j = np.indices((n, n))
    P = np.zeros((n, n), bool)
    if structure == "graph":
        P = rng.random((n, n)) < 3 / n
        P |= i == j
    elif structure == "arrow":  # one row that holds a place in every column
        P = (i == j) | (i == n // 3)
    elif structure == "empty":
        P = (rng.random((n, n)) < 4 / n) & (i % 3 > 0) & (j % 3 > 0)
    elif structure == "every_length":  # row i has i + 1 entries in a triangle of 40 rows
        P = (i // 40 == j // 40) & (i % 40 + j % 40 < 40)
    elif structure == "two_parts":
        P = (rng.random((n, n)) < 4 / n) & (i % 2 == j % 2)
    return P | P.T


def hermitian(n, structure, dtype, rng):
    """Hermitian matrix of norm at most one."""
    S = rng.standard_normal((n, n)) * pattern(n, structure, rng)
    S = S + S.T
    S /= max(abs(S).sum(axis=1).max(), 1e-300)
    if np.dtype(dtype).kind == "c":
        phase = np.exp(1j * np.arange(n))
        S = phase[:, None] * S * phase.conj()
    return sp.csr_array(S.astype(dtype))


def stored_sell(S, index=np.uint16):
    parts = slices.to_slices(S, S.data, slices.order_rows(S))
    data, indices, table, places = parts
    assert indices.dtype == np.uint16
    if index == np.uint32:
        indices = absolute(indices, table).astype(np.uint32)
    return layout.Stored("sell", data, indices, slices=table, places=places)


def absolute(indices, table):
    """Return the column of each entry, from indices relative to the row."""
    return indices + rows_of(table, indices.size) - 2**15


def rows_of(table, n_entries):
    """Return the row of each entry, chunk by chunk and rest by rest."""
    rows = np.full(n_entries, -1)
    n_chunks = chunks_of(table)
    for s in range(n_chunks):
        for j in range(table[s, 1]):
            first = table[s, 0] + 16 * j
            assert (rows[first : first + 16] == -1).all()
            rows[first : first + 16] = np.arange(16 * s, 16 * s + 16)
    for row, first, length in table[n_chunks + 1 :]:
        assert (rows[first : first + length] == -1).all()
        rows[first : first + length] = row
    assert (rows >= 0).all()
    return rows


def chunks_of(table):
    """Return the number of chunks: the rests of the first one follow the chunks."""
    return int(table[0, 2]) - 1


def stored_csr(S):
    return layout.Stored("csr", S.data, S.indices, S.indptr)


def random_block(rng, shape, dtype, order="F"):
    x = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.standard_normal(shape)
    return np.asarray(x, dtype, order=order)


def scratch(x, value=np.nan):
    return np.full_like(x, value), np.full_like(x, value)


# What is stored.


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("window", [3, 50, 8192])
def test_holds_every_entry(n, structure, window, rng, monkeypatch):
    monkeypatch.setattr(slices, "WINDOW", window)
    S = hermitian(n, structure, np.complex64, rng)
    stored = stored_sell(S)
    table, places = stored.slices, stored.places
    assert sorted(places) == list(range(n))
    n_chunks = chunks_of(table)
    assert n_chunks == n // 16
    lengths = np.zeros(n, int)
    lengths[places] = np.diff(S.indptr)
    for start in range(0, n, window):
        assert (np.diff(lengths[start : start + window]) >= 0).all()
    # Half of a chunk is padding at most, and one entry more per row.
    padded = table[:n_chunks, 1] * 16
    if window % 16 == 0:
        held = lengths[: 16 * n_chunks].reshape(-1, 16).sum(axis=1)
        assert (padded <= 2 * held + 16).all()
    assert padded.sum() == table[n_chunks, 0]
    rests = table[n_chunks + 1 :]
    assert (np.diff(rests[:, 0]) > 0).all()
    assert set(range(16 * n_chunks, n)) <= set(rests[:, 0])
    for s, first in enumerate(table[: n_chunks + 1, 2]):
        assert first - n_chunks - 1 == (rests[:, 0] < 16 * s).sum()
    rows, columns = places[np.array(S.nonzero())]
    assert table[n_chunks, 1] == abs(rows - columns).max(initial=0)
    assert slices.reach(table, n) - table[n_chunks, 1] in range(16)
    assert slices.reach(table, n) % 16 == 0
    expected = np.zeros((n, n), np.complex64)
    expected[np.ix_(places, places)] = S.toarray()
    for index in (np.uint16, np.uint32):
        dense = stored_sell(S, index).product(np.eye(n, dtype=np.complex64))
        assert np.array_equal(dense, expected)
        vector = stored_sell(S, index).product(np.ones(n, np.complex64))
        assert np.abs(vector - expected.sum(axis=1)).max() <= 1e-5


def test_short_indices_where_all_columns_are_near():
    n = 2**15 + 1
    for far, index in ((n - 2, np.uint16), (n - 1, np.uint32)):
        A = sp.eye_array(n).tolil()
        A[0, far] = A[far, 0] = 0.25
        A = sp.csr_array(A)
        order = np.arange(n, dtype=np.int32)
        data, indices, table, places = slices.to_slices(A, A.data, order)
        assert indices.dtype == index
        stored = layout.Stored("sell", data, indices, slices=table, places=places)
        x = np.random.default_rng(0).standard_normal(n)
        c = [0.0, 1.0]
        assert np.array_equal(stored.product(x), A @ x)
        product = cpu_sell.apply(stored, clenshaw(c, (1.0, 0.0)), x, scratch(x))
        assert np.abs(product - A @ x).max() <= 4e-16 * abs(x).max()


def test_neighbours_come_near(rng):
    n = 2500
    A, shuffle = poisson2d(50), rng.permutation(n)
    B = sp.csr_array(A[shuffle][:, shuffle])
    order = slices.order_rows(B)
    assert sorted(order) == list(range(n))
    spread = abs(np.subtract(*B[order][:, order].nonzero())).mean()
    assert spread < 200 < 500 < abs(np.subtract(*B.nonzero())).mean()
    # Rows that are near already keep their order but for their lengths.
    windows = np.arange(n) // slices.WINDOW
    expected = np.lexsort([np.diff(A.indptr), windows])
    assert np.array_equal(slices.order_rows(A), expected)


def test_long_rows_are_sorted_as_far_as_16_bits_reach():
    n = 70_000
    A = sp.lil_array((n, n))
    A.setdiag(1.0)
    A[5, :] = 1.0
    A[6, : n - 1000] = 1.0
    A = sp.csr_array(A)
    lengths = np.diff(A.indptr)
    assert sorted(lengths[slices.order_rows(A)])[-2:] == [n - 1000, n]
    # Nor do they lengthen the others of their chunk.
    for order in (np.arange(n, dtype=np.int32), slices.order_rows(A)):
        data, indices, table, places = slices.to_slices(A, A.data, order)
        assert data.size == indices.size <= A.nnz + 2 * n
        assert np.array_equal(
            slices.product(data, indices, table, np.ones(n))[places], lengths
        )


# Twins.


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("structure", STRUCTURES)
@each_type
@each_index
def test_matches_the_reference(n, structure, values, vectors, index, rng, monkeypatch):
    monkeypatch.setattr(slices, "WINDOW", 60)
    S = hermitian(n, structure, values, rng)
    stored = stored_sell(S, index)
    for degree in (1, 2, 3, 9):
        c = rng.standard_normal(degree + 1)
        for shape in COLUMNS:
            x = random_block(rng, (n, *shape), vectors, "C" if shape == (3,) else "F")
            plain = reference.apply(stored_csr(S), clenshaw(c, AFFINE), x, scratch(x))
            scale = np.abs(c).sum() * np.linalg.norm(x)
            arranged = stored.arranged(x)
            before = arranged.copy()
            results = [reference.apply(stored, clenshaw(c, AFFINE), arranged, scratch(x))]
            for n_threads in (1, 2, 3):
                work = scratch(x)
                fused = cpu_sell.apply(
                    stored, clenshaw(c, AFFINE), arranged, work, n_threads
                )
                assert fused is work[0] or fused is work[1]
                results.append(fused)
            for result in results:
                assert result.dtype == vectors
                error = np.linalg.norm(stored.restored(result) - plain)
                assert error <= tolerance(degree, vectors) * scale
            assert np.array_equal(results[1], results[2])
            assert np.array_equal(results[1], results[3])
            assert np.array_equal(arranged, before)


def test_the_matrices_of_the_twins_have_the_rows_they_promise(rng):
    lengths = {
        name: set(np.diff(hermitian(257, name, np.float64, rng).indptr))
        for name in STRUCTURES
    }
    assert {0, 257} & lengths["arrow"] == {257}
    assert 0 in lengths["empty"]
    assert lengths["nothing"] == {0}
    assert set(range(1, 41)) <= lengths["every_length"]


@pytest.mark.parametrize("shape", [(257,), (257, 3), (257, 9)])
@pytest.mark.parametrize("degree", [1, 2, 3, 8])
def test_what_scratch_holds_has_no_influence(shape, degree, rng):
    stored = stored_sell(hermitian(257, "graph", np.float64, rng))
    c, x = rng.standard_normal(degree + 1), rng.standard_normal(shape)
    clean, *dirty = (
        cpu_sell.apply(stored, clenshaw(c, AFFINE), x, scratch(x, value), n_threads)
        for n_threads in (1, 2)
        for value in (0.0, np.nan, np.inf)
    )
    assert np.isfinite(clean).all()
    for result in dirty:
        assert np.array_equal(result, clean)


def banded(n, values, rng):
    """Symmetric matrix with rows of 1 to 40 entries, none further than 40 from it."""
    i, j = np.indices((n, n))
    P = (rng.random((n, n)) < np.where(i % 50 == 0, 0.4, 0.03)) & (abs(i - j) < 40)
    S = rng.standard_normal((n, n)) * (P | P.T) / 40
    return sp.csr_array(((S + S.T) / 2).astype(values))


@pytest.mark.parametrize(("values", "vectors"), [TYPES[0], TYPES[1], TYPES[4]])
@pytest.mark.parametrize("columns", [(), (3,)])
@each_index
def test_no_plan_changes_a_bit(values, vectors, columns, index, rng, monkeypatch):
    monkeypatch.setattr(slices, "WINDOW", 48)
    n = 3005
    stored = stored_sell(banded(n, values, rng), index)
    reach = plans.reach(stored)
    assert 32 <= reach <= 100
    c = rng.standard_normal(10)
    x = random_block(rng, (n, *columns), vectors)
    run = functools.partial(cpu_sell.apply, stored, clenshaw(c, AFFINE), x)
    plans.plan.cache_clear()
    plain = run(scratch(x)).copy()
    assert np.isfinite(plain).all()
    deepest = 0
    for n_powers in (1, 2, 5, 9):
        for n_rows in (1, 48, 5000):
            for n_threads in (1, 2, 3, 7):
                monkeypatch.setattr(plans, "powers_per_sweep", lambda *a, g=n_powers: g)
                monkeypatch.setattr(plans, "_block_rows", lambda *a, b=n_rows: b)
                plans.plan.cache_clear()
                result = run(scratch(x), n_threads)
                assert np.array_equal(result, plain), (n_powers, n_rows, n_threads)
                plan = plans.plan(n, 9, reach, 1, n_threads, 16)
                deepest = max(deepest, *(last - first for first, last, _ in plan.rounds))
    plans.plan.cache_clear()
    assert deepest == 9


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("n", [1, 2, 257])
@pytest.mark.parametrize("n_threads", [1, 2, 3, 7])
def test_tiles_hold_every_row_once(structure, n, n_threads, rng):
    table = stored_sell(hermitian(n, structure, np.float64, rng)).slices
    tiles = cpu_sell._even(table, n, n_threads)
    assert [lo for lo, *_ in tiles] == [0, *(hi for _, hi, *_ in tiles[:-1])]
    assert tiles[-1][1] == n
    assert len(tiles) <= n_threads
    for lo, hi, *sides in tiles:
        assert lo < hi
        assert lo % 16 == 0
        assert sides == [0, 0]
    if n > 200 and n_threads == 2 and structure in ("graph", "every_length"):
        rows = rows_of(table, table[-1, 1] + table[-1, 2])
        shares = [((rows >= lo) & (rows < hi)).sum() for lo, hi, *_ in tiles]
        assert max(shares) - min(shares) <= 32 * table[: n // 16, 1].max()


# M.


def shuffled(dtype, rng):
    """Irregular matrix that is diagonally dominant, in no order."""
    n = 300
    A = pattern(n, "graph", rng) * -1.0
    np.fill_diagonal(A, 0.0)
    A += np.diag(0.1 - A.sum(axis=1) + rng.random(n))
    if np.dtype(dtype).kind == "c":
        phase = np.exp(1j * np.arange(n))
        A = phase[:, None] * A * phase.conj()
    return sp.csr_array(A.astype(dtype))


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.complex64, np.complex128])
def test_arranged_on_every_way_alike(n_threads, order, kind, rng):
    n = 20_011
    places = rng.permutation(n).astype(np.int32)
    scale = rng.random(n)
    for columns in ((), (1,), (3,)):
        x = random_block(rng, (n, *columns), kind, order)
        factors = np.float64(0.5) * np.arange(1, 1 + x[0].size).reshape(columns)
        weights = (scale.reshape(n, *(1 for _ in columns)) * factors).reshape(n, -1)
        block = np.full((n, 2 * x[0].size), np.nan, kind, order=order)
        frozen = np.broadcast_to(x, x.shape)  # read-only: goes piece by piece
        wide = np.result_type(kind, np.float64)
        expected = np.full_like(block, np.nan)
        expected[places, x[0].size :] = x.reshape(n, -1).astype(wide) * weights
        back = expected[places, x[0].size :].astype(wide) * weights
        back = back.astype(kind).reshape(x.shape)
        for source in (x, frozen, np.repeat(x, 2, axis=0)[::2]):
            block[...] = np.nan
            arrange.scatter(source, scale, factors, block, 1, places, n_threads)
            assert np.array_equal(block, expected, equal_nan=True)
        spread = np.empty((2 * n, *columns), kind)
        for out in (np.empty_like(x), spread[::2]):
            arrange.gather(block, 1, scale, factors, out, places, n_threads)
            assert np.array_equal(out, back)
    assert n / n_threads > arrange._PIECE // 3


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("precision", ["single", "mixed", "double"])
@pytest.mark.parametrize("base", ["jacobi", "none"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
def test_the_order_does_not_show(n_threads, precision, base, dtype, rng):
    A = shuffled(dtype, rng)
    given = {"degree": 8, "precision": precision, "base": base}
    M = ap.make(A, storage="sell", n_threads=n_threads, **given)
    plain = ap.make(A, storage="csr", **given)
    assert (M.storage, M.kernel, plain.storage) == ("sell", "fused", "csr")
    assert not np.array_equal(M._parts.stored.places, np.arange(300))
    double = precision == "double" and dtype(0).real.itemsize > 4
    bits = np.float64 if double else np.float32
    dense = M @ np.eye(300, dtype=dtype)
    size = np.abs(dense).max()
    assert np.abs(dense - dense.conj().T).max() <= tolerance(8, bits) * size
    shapes = ((300,), "C"), ((300, 5), "C"), ((300, 5), "F"), ((2, 300, 3), "C")
    for shape, order in shapes:
        for kind in (np.int64, np.float32, np.float64, np.complex64, np.complex128):
            x = np.asarray(10 * random_block(rng, shape, np.complex128), order=order)
            x = (x if np.dtype(kind).kind == "c" else x.real).astype(kind)
            results = []
            for operator in (M, plain):
                out = np.empty_like(x, np.result_type(dtype, kind))
                operator.apply_into(x, out)
                results.append(out)
                if x.dtype == out.dtype:
                    operator.apply_into(x, x.copy())
            error = np.linalg.norm(results[0] - results[1])
            assert error <= tolerance(8, bits) * size * np.linalg.norm(x)


@pytest.mark.parametrize("size", [1e-35, 1e35])
def test_at_any_size(size, rng):
    A = shuffled(np.float64, rng)
    M, plain = (
        ap.make(A, degree=4, storage=storage, precision="single")
        for storage in ("sell", "csr")
    )
    x = size * rng.standard_normal((300, 3))
    assert distance(M, plain, x) <= tolerance(4, np.float32)
    assert distance(M, plain, x[:, 0] + 1j * x[:, 1]) <= tolerance(4, np.float32)


def test_in_place(rng):
    M = ap.make(shuffled(np.float64, rng), degree=4, storage="sell")
    for shape in ((300,), (300, 3)):
        x = rng.standard_normal(shape)
        expected = M @ x
        M.apply_into(x, x)
        assert np.array_equal(x, expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_in_is_non_finite_out(bad, rng):
    A = shuffled(np.float64, rng)
    M = ap.make(A, degree=4, storage="sell")
    x = rng.standard_normal((300, 9))
    clean = M @ x
    x[20, 1] = bad
    with np.errstate(invalid="ignore"):
        out, vector = M @ x, M @ x[:, 1]
    assert not np.isfinite(out[20, 1])
    assert not np.isfinite(vector[20])
    others = [k for k in range(9) if k != 1]
    assert np.array_equal(out[:, others], clean[:, others])


def test_the_self_check_is_the_same(rng):
    A = shuffled(np.float64, rng)
    state = ap.make(A, degree=8, storage="csr").state()
    figures = [
        ap.make(A, polynomial=state, storage=storage).certificate.self_check
        for storage in ("csr", "sell")
    ]
    assert figures[0] == pytest.approx(figures[1], rel=1e-5)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_survives_pickling_and_read_only_memory(dtype, rng):
    M = ap.make(shuffled(dtype, rng), degree=8, storage="sell", n_threads=2)
    x = rng.standard_normal((300, 3))
    buffers = []
    text = pickle.dumps(M, protocol=5, buffer_callback=buffers.append)
    other = pickle.loads(text, buffers=[bytes(b) for b in buffers])
    assert (other.storage, other.n_threads) == ("sell", 2)
    expected = M @ x, M @ x[:, 0]
    loops = cpu_sell._tile, cpu_order.scatter, cpu_order.gather
    compiled = [len(loop.signatures) for loop in loops]
    assert np.array_equal(other @ x, expected[0])
    assert np.array_equal(other @ x[:, 0], expected[1])
    assert [len(loop.signatures) for loop in loops] == compiled


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_an_application_allocates_the_result_only(dtype):
    n = 500_000
    A = sp.diags_array([-1.0, 2.5, -1.0], offsets=[-1, 0, 1], shape=(n, n))
    A = A.tocsr().astype(dtype)
    polynomial = ap.make(A[:100, :100], degree=2).polynomial
    M = ap.make(A, polynomial=polynomial, storage="sell")
    for shape in ((n,), (n, 2)):
        x = np.ones(shape, np.complex128)
        out = np.empty_like(x)
        M.apply_into(x, out)
        tracemalloc.start()
        M.apply_into(x, out)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < n


# The choice, the keyword, the report.


def test_chosen_for_many_short_rows_in_no_order(rng, monkeypatch):
    A = shuffled(np.float64, rng)
    assert ap.make(A, degree=2).storage == "csr"
    monkeypatch.setattr(layout, "_UNORDERED", 300)
    assert ap.make(A, degree=2).storage == "sell"
    assert ap.make(A, degree=2, storage="csr").storage == "csr"
    assert ap.make(poisson2d(20), degree=2).storage == "dia"
    full = sp.csr_array(np.eye(300) + 1e-3)
    assert ap.make(full, degree=2).storage == "csr"
    assert ap.make(full, degree=2, storage="sell").storage == "sell"
    report = ap.make(A, degree=2).report
    assert "fused, storage sell, precision mixed" in dict(report.rows())["kernel"]
    assert report.to_dict()["storage"] == "sell"
    assert report.n_powers == 1


def test_fewer_bytes_than_rows():
    A = sp.csr_array(poisson2d(50))
    sell, csr = stored_sell(A), stored_csr(A)
    assert sell.n_bytes < csr.n_bytes
    arrays = (sell.data, sell.indices, sell.slices)
    assert sell.n_bytes == sum(array.nbytes for array in arrays)


@pytest.mark.parametrize(
    ("A", "message"),
    [
        (aslinearoperator(poisson2d(3)), "storage='sell' needs .*; got storage 'operator'"),
        (np.eye(3), "storage='sell' needs .*; got storage 'dense'. Leave"),
    ],
)
def test_refusals(A, message):
    assert re.search(message, refusal(ValueError, A, storage="sell"))


@pytest.mark.parametrize("n_threads", [1, 2])
def test_n_threads_are_not_exceeded(n_threads, rng, monkeypatch):
    M = ap.make(shuffled(np.float64, rng), degree=8, storage="sell", n_threads=n_threads)
    offered = []
    offer = threads._POOL.offer
    monkeypatch.setattr(
        threads._POOL, "offer", lambda call, n: offered.append(n) or offer(call, n)
    )
    for shape in ((300,), (300, 2), (300, 33)):
        offered.clear()
        M @ rng.standard_normal(shape)
        assert set(offered) == ({1} if n_threads == 2 else set())


def test_runs_by_reference_too(rng):
    A = shuffled(np.float64, rng)
    M = ap.make(A, degree=8, storage="sell", kernel="reference")
    assert (M.storage, M.kernel) == ("sell", "reference")
    fused = ap.make(A, polynomial=M.state(), storage="sell")
    assert distance(M, fused, rng.standard_normal((300, 3))) <= tolerance(8, np.float32)
    assert kernels.select("sell") == ("fused", cpu_sell.apply)


def test_complex_matrices_in_a_band(rng):
    A = complex_hermitian(400)
    M = ap.make(A, degree=8, storage="sell")
    assert distance(M, ap.make(A, degree=8, storage="csr"), rng.random(400)) <= 1e-4


def test_flags_of_the_compiled_kernels():
    options = cpu_sell._tile.targetoptions
    # Not True: that would delete what a NaN needs to come through. Not "reassoc":
    # sums would depend on the range a row falls into.
    assert options["fastmath"] == {"contract"} == cpu_chunk.OPTIONS["fastmath"]
    assert options["nogil"] is cpu_chunk.OPTIONS["nogil"] is True
    assert not options.get("parallel")
