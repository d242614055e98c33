"""Storage by diagonals: what is stored, twins of the reference, always the same bits."""

import functools
import pickle
import re

import numpy as np
import pytest
import scipy.sparse as sp
from problems import complex_hermitian, poisson1d, poisson2d, refusal, tolerance
from scipy.sparse.linalg import aslinearoperator

import autospec_precond as ap
from autospec_precond import kernels, threads
from autospec_precond.kernels import cpu, cpu_dia, diagonals, layout, plans, reference
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
SIZES = [1, 2, 3, 31, 33, 257]
OFFSETS = {
    "main": [0],
    "three": [-1, 0, 1],
    "five": [-16, -1, 0, 1, 16],
    "no_main": [-3, -2, 2, 3],
    "above": [0, 1, 5],
    "below_only": [-7, -2],
    "far": [-250, -30, 0, 30, 250],
    "twenty": [*range(-9, 10), 20],
}
COLUMNS = [(), (1,), (2,), (3,), (17,)]


def by_offsets(n, offsets, dtype, rng):
    """Matrix of norm at most one, Hermitian where the offsets allow it."""
    S = np.zeros((n, n), dtype=np.complex128)
    for offset in offsets:
        if abs(offset) < n:
            S += np.diag(rng.standard_normal(n - abs(offset)), offset)
    if sorted(offsets) == sorted(-o for o in offsets):
        S = S + S.T
    if np.dtype(dtype).kind == "c":
        phase = np.exp(1j * np.arange(n))
        S = phase[:, None] * S * phase.conj()
    else:
        S = S.real
    S = S / max(abs(S).sum(axis=1).max(), abs(S).sum(axis=0).max(), 1e-300)
    return sp.csr_array(S.astype(dtype))


def stored_dia(S):
    offsets = diagonals.find_offsets(S, 1000)
    data, offsets, half = diagonals.to_diagonals(S, S.data, offsets)
    return layout.Stored("dia", data, offsets=offsets, half=half)


def stored_csr(S):
    return layout.Stored("csr", S.data, S.indices, S.indptr)


def random_block(rng, shape, dtype, order="C"):
    x = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.standard_normal(shape)
    return np.asarray(x, dtype, order=order)


def scratch(x, value=np.nan):
    return np.full_like(x, value), np.full_like(x, value)


# What is stored.


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", OFFSETS)
@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
@pytest.mark.parametrize("chunk", [7, 65536])
def test_holds_every_entry(n, name, dtype, chunk, rng, monkeypatch):
    monkeypatch.setattr(diagonals, "_CHUNK", chunk)
    S = by_offsets(n, OFFSETS[name], dtype, rng)
    if not S.nnz:
        assert diagonals.find_offsets(S, 10).size == 0
        return
    stored = stored_dia(S)
    symmetric = sorted(OFFSETS[name]) == sorted(-o for o in OFFSETS[name])
    if n > 20:
        assert stored.half == (symmetric and dtype == np.float32)
    dense = stored.product(np.eye(n, dtype=dtype))
    assert dense.dtype == dtype
    assert np.abs(dense - S.toarray()).max() <= 4 * np.finfo(dtype).eps
    row_sums = stored.product(np.ones(n, dtype))
    assert np.abs(row_sums - dense.sum(axis=1)).max() <= 100 * np.finfo(dtype).eps


def test_one_side_only_where_both_agree_up_to_rounding():
    A = poisson2d(8).tolil()
    for change, half in ((0.0, True), (2e-16, True), (1e-14, False), (-1.0, False)):
        B = A.copy()
        B[3, 11] *= 1 + change
        B = B.tocsr()
        B.eliminate_zeros()
        assert stored_dia(B).half == half
    B = A.copy()
    B[0, 30] = 1.0  # has no mirror
    assert not stored_dia(B.tocsr()).half


def test_rows_of_the_data_do_not_start_at_one_offset_of_a_page():
    # 1024 rows of float32 fill a page: all diagonals would be loaded from one place of it.
    for dtype, padded in ((np.float32, True), (np.float64, True)):
        A = poisson1d(1024, dtype)
        data, *_ = diagonals.to_diagonals(A, A.data, diagonals.find_offsets(A, 5))
        assert (data.shape[1] > 1024) == padded
        assert not data[:, 1024:].any()
    A = poisson1d(700, np.float32)
    assert diagonals.to_diagonals(A, A.data, np.array([-1, 0, 1]))[0].shape == (2, 700)


def test_the_search_ends_where_there_are_too_many(monkeypatch):
    monkeypatch.setattr(diagonals, "_CHUNK", 4)
    A = sp.csr_array(np.ones((50, 50)))
    assert 10 < diagonals.find_offsets(A, 10).size < 99
    assert diagonals.find_offsets(A, 99).tolist() == list(range(-49, 50))


# Twins.


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", OFFSETS)
@each_type
def test_matches_the_reference(n, name, values, vectors, rng):
    S = by_offsets(n, OFFSETS[name], values, rng)
    if not S.nnz:
        return
    stored = stored_dia(S)
    for degree in (1, 2, 3, 9):
        c = rng.standard_normal(degree + 1)
        for shape in COLUMNS:
            for order in "CF":
                x = random_block(rng, (n, *shape), vectors, order)
                before = x.copy()
                plain = reference.apply(stored_csr(S), clenshaw(c, AFFINE), x, scratch(x))
                scale = np.abs(c).sum() * np.linalg.norm(x)
                for n_threads in (1, 2, 3):
                    work = scratch(x)
                    fused = cpu_dia.apply(stored, clenshaw(c, AFFINE), x, work, n_threads)
                    assert fused is work[0] or fused is work[1]
                    assert fused.dtype == vectors
                    error = np.linalg.norm(fused - plain)
                    assert error <= tolerance(degree, vectors) * scale
                assert np.array_equal(x, before)


@each_type
def test_reference_takes_diagonals_too(values, vectors, rng):
    S = by_offsets(33, OFFSETS["five"], values, rng)
    c = rng.standard_normal(7)
    for shape in COLUMNS:
        x = random_block(rng, (33, *shape), vectors)
        one, other = (
            reference.apply(stored, clenshaw(c, AFFINE), x, scratch(x))
            for stored in (stored_csr(S), stored_dia(S))
        )
        scale = np.abs(c).sum() * np.linalg.norm(x)
        assert np.linalg.norm(one - other) <= tolerance(6, vectors) * scale


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_diagonals_in_groups(limit, rng, monkeypatch):
    monkeypatch.setattr(cpu_dia, "_PASS", limit)
    for name in ("five", "twenty"):
        S = by_offsets(65, OFFSETS[name], np.float64, rng)
        assert len(cpu_dia._groups(5)[1]) == (0 if limit >= 5 else min(limit, 5))
        c, x = rng.standard_normal(8), rng.standard_normal((65, 3))
        plain = reference.apply(stored_csr(S), clenshaw(c, AFFINE), x, scratch(x))
        fused = cpu_dia.apply(stored_dia(S), clenshaw(c, AFFINE), x, scratch(x))
        scale = np.abs(c).sum() * np.linalg.norm(x)
        assert np.linalg.norm(fused - plain) <= tolerance(7, np.float64) * scale


# The same bits.


@pytest.mark.parametrize("name", ["main", "three", "five", "above", "twenty"])
@pytest.mark.parametrize(
    ("values", "vectors"), [(np.float32, np.float32), (np.float32, np.float64)]
)
@pytest.mark.parametrize("columns", [(), (3,)])
def test_no_plan_changes_a_bit(name, values, vectors, columns, rng, monkeypatch):
    n = 1001
    stored = stored_dia(by_offsets(n, OFFSETS[name], values, rng))
    c = rng.standard_normal(12)
    x = random_block(rng, (n, *columns), vectors, "F")
    run = functools.partial(cpu_dia.apply, stored, clenshaw(c, AFFINE), x)
    plans.plan.cache_clear()
    plain = run(scratch(x)).copy()
    assert np.isfinite(plain).all()
    deepest = 0
    for n_powers in (1, 2, 3, 5, 11):
        for n_rows in (1, 13, 128, 5000):
            for n_threads in (1, 2, 3, 7):
                monkeypatch.setattr(plans, "powers_per_sweep", lambda *a, g=n_powers: g)
                monkeypatch.setattr(plans, "_block_rows", lambda *a, b=n_rows: b)
                plans.plan.cache_clear()
                result = run(scratch(x), n_threads)
                assert np.array_equal(result, plain), (n_powers, n_rows, n_threads)
                plan = plans.plan(n, 11, plans.reach(stored), 1, n_threads)
                deepest = max(deepest, *(last - first for first, last, _ in plan.rounds))
    plans.plan.cache_clear()
    assert deepest == 11


@pytest.mark.parametrize("shape", [(257,), (257, 3)])
@pytest.mark.parametrize("degree", [1, 2, 3, 8])
def test_what_scratch_holds_has_no_influence(shape, degree, rng):
    stored = stored_dia(by_offsets(257, OFFSETS["five"], np.float64, rng))
    c, x = rng.standard_normal(degree + 1), rng.standard_normal(shape)
    clean, *dirty = (
        cpu_dia.apply(stored, clenshaw(c, AFFINE), x, scratch(x, value), n_threads)
        for n_threads in (1, 2)
        for value in (0.0, np.nan, np.inf)
    )
    assert np.isfinite(clean).all()
    for result in dirty:
        assert np.array_equal(result, clean)


@pytest.mark.parametrize("n_threads", [2, 3, 5])
@pytest.mark.parametrize("columns", [(), (2,), (3,)])
def test_threads_over_rows_of_csr_give_the_serial_bits(n_threads, columns, rng):
    for name in ("three", "twenty"):
        for n in (1, 2, 257):
            stored = stored_csr(by_offsets(n, OFFSETS[name], np.float64, rng))
            c, x = rng.standard_normal(8), rng.standard_normal((n, *columns))
            serial = cpu.apply(stored, clenshaw(c, AFFINE), x, scratch(x))
            shared = cpu.apply(stored, clenshaw(c, AFFINE), x, scratch(x), n_threads)
            assert np.array_equal(serial, shared)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("storage", ["csr", "dia"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_preconditioners_agree_with_the_reference(n_threads, storage, dtype, rng):
    A = complex_hermitian(400) if dtype == np.complex128 else poisson2d(20, dtype)
    M = ap.make(A, degree=8, storage=storage, n_threads=n_threads)
    plain = ap.make(A, polynomial=M.state(), kernel="reference", storage="csr")
    assert (M.storage, M.n_threads, M.kernel) == (storage, n_threads, "fused")
    assert (plain.storage, plain.n_threads, plain.kernel) == ("csr", 1, "reference")
    for shape in ((400,), (400, 1), (400, 5), (2, 400, 3)):
        x = random_block(rng, shape, np.complex128)
        if dtype == np.float32:
            x = x.real.astype(np.float32)
        scale = np.abs(M.polynomial.coefficients).sum() * np.linalg.norm(x)
        if len(shape) == 3:
            one, other = np.empty_like(x), np.empty_like(x)
            M.apply_into(x, one)
            plain.apply_into(x, other)
        else:
            one, other = M @ x, plain @ x
        assert np.linalg.norm(one - other) <= tolerance(8, np.float32) * scale


# The choice, the keyword, the report.


def few_entries(n_offsets, period):
    """Unit matrix and diagonals at even distances, one of `period` entries not zero."""
    offsets = [10 * k + 5 for k in range(n_offsets)]
    upper = [np.where(np.arange(400 - o) % period == 0, -0.01, 0.0) for o in offsets]
    A = sp.diags_array(upper, offsets=offsets, shape=(400, 400)).tocsr()
    A.eliminate_zeros()
    return sp.csr_array(A + A.T + sp.eye_array(400))


def test_fewest_bytes(monkeypatch):
    assert ap.make(poisson2d(20), degree=2).storage == "dia"
    # A small matrix is not worth a kernel that `warmup` has not compiled.
    assert ap.make(few_entries(12, 3), degree=2).storage == "csr"
    assert ap.make(poisson2d(20) * (1 + 0j), degree=2).storage == "csr"
    monkeypatch.setattr(layout, "_SMALL", 400)
    assert ap.make(few_entries(12, 3), degree=2).storage == "dia"
    assert ap.make(poisson2d(20) * (1 + 0j), degree=2).storage == "dia"
    # 12 diagonals of which every 7th entry is there: rows take fewer bytes.
    A = few_entries(12, 7)
    assert ap.make(A, degree=2).storage == "csr"
    assert ap.make(A, degree=2, storage="dia").storage == "dia"
    # 33 diagonals: compiling for them pays for a large matrix only.
    A = few_entries(16, 3)
    assert ap.make(A, degree=2).storage == "csr"
    assert ap.make(A, degree=2, storage="dia").storage == "dia"
    monkeypatch.setattr(layout, "_LARGE", 400)
    assert ap.make(A, degree=2).storage == "dia"


def test_bytes_are_counted_as_they_are_stored():
    for dtype in (np.float32, np.complex64):
        A = poisson2d(20).astype(dtype)
        stored = stored_dia(sp.csr_array(A))
        counted = diagonals.dia_bytes(400, 5, A.dtype.itemsize, A.dtype.kind == "c")
        assert stored.data.nbytes == counted
    M = ap.make(poisson2d(30), degree=2)
    assert M._parts.stored.indices is None
    assert M._parts.stored.n_bytes <= 3 * 900 * 4 + 24


@pytest.mark.parametrize(
    ("A", "given", "message"),
    [
        (
            poisson1d(5),
            {"storage": "bsr"},
            "one of 'csr', 'dia', 'sell', 'fields'; got 'bsr'",
        ),
        (
            sp.csr_array(np.eye(200) + 1e-3),
            {"storage": "dia"},
            "storage='dia' holds up to 128 diagonals; got a matrix with more. Use",
        ),
        (
            aslinearoperator(poisson1d(5)),
            {"storage": "dia"},
            "storage='dia' needs an explicit sparse A .*; got storage 'operator'",
        ),
        (np.eye(3), {"storage": "csr"}, "'csr' needs .*; got storage 'dense'. Leave"),
        (
            poisson1d(5),
            {"storage": "csr", "base": aslinearoperator(sp.eye_array(5))},
            "no operator as base; got storage 'operator'",
        ),
        (poisson1d(5), {"n_threads": 0}, "n_threads must be between 1 and 256; got 0"),
        (
            poisson1d(5),
            {"n_threads": 2, "kernel": "reference"},
            r"n_threads must be 1 where the reference kernel runs \(storage 'dia' here\); "
            "got 2",
        ),
    ],
)
def test_refusals(A, given, message):
    assert re.search(message, refusal(ValueError, A, **given))


@pytest.mark.parametrize("n_threads", [2.0, "2", True])
def test_threads_are_counted_in_whole_numbers(n_threads):
    text = refusal(TypeError, poisson1d(5), n_threads=n_threads)
    assert f"n_threads must be an int; got {n_threads!r}." in text


def test_the_report_says_what_runs(monkeypatch):
    monkeypatch.setattr(plans, "powers_per_sweep", lambda *a: 5)
    report = ap.make(poisson2d(20), degree=8, n_threads=2).report
    row = dict(report.rows())["kernel"]
    assert row == ("fused, storage dia, precision mixed, threads 2, products per sweep 5")
    data = report.to_dict()
    assert (data["storage"], data["n_threads"], data["n_powers"]) == ("dia", 2, 5)
    assert ap.make(poisson2d(20), degree=8, storage="csr").report.n_powers == 1


def test_threads_for_large_systems_only(monkeypatch):
    monkeypatch.setattr(cpu, "default_threads", lambda: 3)
    choose = kernels.choose_threads
    stored = stored_dia(poisson2d(20))
    assert choose(stored, "fused", 400, 16, 8) == 1
    monkeypatch.setattr(plans, "WORTH_THREADS", 1000)
    assert choose(stored, "fused", 400, 16, 8) == 3
    assert choose(stored, "fused", 400, 0, 8) == 1
    assert choose(stored, "reference", 400, 16, 8) == 1
    assert ap.make(poisson2d(20), degree=8).n_threads == 3
    assert ap.make(poisson2d(20), degree=8, n_threads=1).n_threads == 1


@pytest.mark.parametrize("storage", ["csr", "dia"])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_n_threads_are_not_exceeded(storage, n_threads, rng, monkeypatch):
    M = ap.make(poisson2d(20), degree=8, storage=storage, n_threads=n_threads)
    offered = []
    offer = threads._POOL.offer
    monkeypatch.setattr(
        threads._POOL, "offer", lambda call, n: offered.append(n) or offer(call, n)
    )
    for shape in ((400,), (400, 2), (400, 33)):
        offered.clear()
        M @ rng.standard_normal(shape)
        assert set(offered) == ({1} if n_threads == 2 else set())


@pytest.mark.parametrize("storage", ["csr", "dia"])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_survives_pickling_and_read_only_memory(storage, dtype, rng):
    A = complex_hermitian(400) if dtype == np.complex128 else poisson2d(20)
    M = ap.make(A, degree=8, storage=storage, n_threads=2)
    x = rng.standard_normal((400, 3))
    buffers = []
    text = pickle.dumps(M, protocol=5, buffer_callback=buffers.append)
    other = pickle.loads(text, buffers=[bytes(b) for b in buffers])
    assert (other.storage, other.n_threads) == (storage, 2)
    expected = M @ x, M @ x[:, 0]
    compiled = len(cpu_dia._tile.signatures)
    assert np.array_equal(other @ x, expected[0])
    assert np.array_equal(other @ x[:, 0], expected[1])
    assert len(cpu_dia._tile.signatures) == compiled


def test_flags_of_the_compiled_kernel():
    options = cpu_dia._tile.targetoptions
    # Not True: that would delete what a NaN needs to come through. Not "reassoc": sums
    # would depend on the block a row falls into.
    assert options["fastmath"] == {"contract"} == cpu_dia._OPTIONS["fastmath"]
    assert options["nogil"] is True
    assert not options.get("parallel")
