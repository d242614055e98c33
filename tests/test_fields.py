"""Storage by diagonals of each unknown of a node: what is stored, twins, the same bits."""

import functools
import pickle
import re
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from problems import distance, poisson1d, poisson2d, refusal, tolerance
from scipy.sparse.linalg import aslinearoperator

import autospec_precond as ap
from autospec_precond import kernels
from autospec_precond.kernels import (
    cpu_dia,
    cpu_fields,
    cpu_order,
    fields,
    layout,
    plans,
    reference,
    scaled,
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
COLUMNS = [(), (1,), (3,), (17,)]
# Unknowns of a node; unknown of the row, that of the column, nodes further.
SYSTEMS = {
    "two": (2, [(0, 0, 0), (1, 1, 0), (0, 0, 1), (1, 1, 1), (0, 1, 7), (0, 1, -7)]),
    "three": (
        3,
        [(r, r, d) for r in range(3) for d in (0, 1, 9)]
        + [(0, 1, 8), (0, 1, -8), (1, 2, 10), (0, 2, -10)],
    ),
    # Unknown 0 has more streams than the others; 1 and 2 are not coupled at all.
    "uneven": (3, [(r, r, 0) for r in range(3)] + [(0, 0, 1), (0, 0, 4), (0, 2, 3)]),
    "far": (2, [(0, 0, 0), (1, 1, 0), (0, 0, 40), (1, 1, 41)]),
}


def system(n_nodes, name, dtype, rng, symmetric=True, n_rests=3):
    """Positive definite matrix of norm below two; some entries are in no stream."""
    b, streams = SYSTEMS[name]
    n = b * n_nodes
    rows, columns = [], []
    for r, s, d in streams:
        nodes = np.arange(max(0, -d), n_nodes - max(0, d))
        rows.append(b * nodes + r)
        columns.append(b * (nodes + d) + s)
    rows.append(rng.integers(0, n, n_rests))
    columns.append((rows[-1] + rng.integers(1, n, n_rests)) % n)
    rows, columns = np.concatenate(rows), np.concatenate(columns)
    values = rng.uniform(0.5, 1.0, rows.size)
    if np.dtype(dtype).kind == "c":
        values = values * np.exp(1j * (rows - columns))
    upper = sp.csr_array((values, (rows, columns)), shape=(n, n))
    A = upper + upper.conj().T
    if not symmetric:
        A = A + upper
    return sp.csr_array((sp.eye_array(n) + 0.4 / len(streams) * A).astype(dtype))


def stored_fields(S, limit=100):
    operator = scaled.Scaled(S, None, 1)
    streams = fields.find(operator, limit)
    parts, _ = fields.from_scaled(operator, streams, 1.0, S.dtype)
    return layout.Stored("fields", **parts)


def stored_csr(S):
    return layout.Stored("csr", S.data, S.indices, S.indptr)


def random_block(rng, shape, dtype, order="C"):
    x = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.standard_normal(shape)
    return np.asarray(x, dtype, order=order)


def scratch(x, value=np.nan):
    return np.full_like(x, value), np.full_like(x, value)


# What is found, and what is stored.


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("n_rests", [0, 20])
def test_holds_every_entry(name, dtype, symmetric, n_rests, rng):
    S = system(129, name, dtype, rng, symmetric, n_rests)
    stored = stored_fields(S)
    b, pairs = SYSTEMS[name]
    assert stored.n_fields == b
    on_main = sum(r == s and d == 0 for r, s, d in pairs)
    n_above = len(pairs) - on_main
    half = symmetric and np.dtype(dtype).kind != "c"
    uneven = name in ("three", "uneven")  # a stream of zeros
    assert len(stored.data) - uneven == on_main + (1 if half else 2) * n_above
    assert stored.rests.size <= 2 * n_rests
    assert (stored.rests.size > 0) == (n_rests > 0)
    n = S.shape[0]
    dense = stored.restored(stored.product(stored.arranged(np.eye(n, dtype=dtype))))
    assert dense.dtype == dtype
    assert np.abs(dense - S.toarray()).max() <= 4 * np.finfo(dtype).eps
    x = rng.standard_normal(n).astype(dtype)
    result = stored.restored(stored.product(stored.arranged(x)))
    assert np.abs(result - dense @ x).max() <= 100 * np.finfo(dtype).eps


def test_places_are_unknown_by_unknown(rng):
    stored = stored_fields(system(70, "three", np.float32, rng))
    x = np.arange(210)
    assert np.array_equal(stored.arranged(x), x.reshape(70, 3).T.reshape(-1))
    assert np.array_equal(stored.restored(stored.arranged(x)), x)


@pytest.mark.parametrize("n_threads", [1, 2, 3, 5])
@pytest.mark.parametrize("symmetric", [True, False])
def test_threads_store_the_same(n_threads, symmetric, rng):
    S = system(20_000, "three", np.float64, rng, symmetric, 100)
    scale = rng.uniform(0.5, 2.0, S.shape[0])
    serial, shared = (
        fields.from_scaled(operator, fields.find(operator, 100), 0.5, np.dtype("f4"))
        for operator in (scaled.Scaled(S, scale, 1), scaled.Scaled(S, scale, n_threads))
    )
    assert len(scaled.Scaled(S, scale, n_threads).ranges) >= n_threads
    assert serial[1] == shared[1]
    for name, part in serial[0].items():
        assert np.array_equal(part, shared[0][name])


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("place", [3, 6000, 8193, 14_000])
def test_one_side_only_where_both_agree_up_to_rounding(n_threads, place, rng):
    S = system(5000, "three", np.float64, rng, n_rests=0)
    row = place - place % 3
    n_half = len(stored_fields(S).data)
    for other in (row - 3, row - 27):  # both are below the main diagonal
        for change, half in ((1 + 2e-16, True), (1 + 1e-14, False), (0.0, False)):
            B = S.copy()
            if other >= 0:
                B[row, other] *= change
            operator = scaled.Scaled(B, None, n_threads)
            streams = fields.find(operator, 100)
            parts, _ = fields.from_scaled(operator, streams, 1.0, B.dtype)
            assert (len(parts["data"]) == n_half) == (half or other < 0)


def test_an_entry_without_its_mirror(rng):
    S = system(400, "two", np.float64, rng, n_rests=0)
    n_half = len(stored_fields(S).data)
    B = S.copy()
    B[6, 8] = 0.0  # above; what is left of it below is not zero
    assert len(stored_fields(B).data) > n_half
    B.eliminate_zeros()
    assert len(stored_fields(B).data) > n_half
    B = S.copy()
    B[8, 6] = 0.0  # below
    B.eliminate_zeros()
    assert len(stored_fields(B).data) > n_half


@pytest.mark.parametrize(
    ("A", "why"),
    [
        (poisson2d(40), "one unknown per node"),
        (sp.csr_array(np.ones((60, 60))), "all unknowns are coupled to all"),
        (sp.eye_array(60).tocsr(), "a diagonal"),
    ],
)
def test_not_where_plain_storage_is_as_good(A, why):
    assert fields.find(scaled.Scaled(A, None, 1), 128) is None, why


def test_not_where_nodes_are_not_whole_or_too_much_is_left(rng):
    S = system(200, "three", np.float64, rng)
    assert fields.guess(S, 100) == 3
    assert fields.guess(S, 3) is None
    assert fields.find(scaled.Scaled(S, None, 1), 4) is None
    B = sp.csr_array(S[:-1, :-1])
    assert fields.guess(B, 100) is None
    B = system(200, "three", np.float64, rng, n_rests=500)
    assert fields.find(scaled.Scaled(B, None, 1), 2000) is None


def test_bytes_are_counted_as_they_are_stored(rng):
    for dtype in (np.float32, np.complex64):
        S = system(301, "two", dtype, rng)
        streams = fields.find(scaled.Scaled(S, None, 1), 100)
        stored = stored_fields(S)
        counted = fields.n_bytes(602, streams, S.dtype.itemsize, S.dtype.kind == "c")
        small = stored.slices.nbytes + stored.indptr.nbytes + stored.offsets.nbytes
        assert stored.n_bytes == counted + small


def test_streams_do_not_start_at_one_offset_of_a_page(rng):
    S = system(1024, "two", np.float32, rng)
    assert stored_fields(S).data.shape[1] > 1024
    S = system(700, "two", np.float32, rng)
    assert stored_fields(S).data.shape[1] == 700


# Twins.


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("n_nodes", [65, 129, 301])
@each_type
def test_matches_the_reference(name, n_nodes, values, vectors, rng):
    for symmetric in (True, False):
        S = system(n_nodes, name, values, rng, symmetric)
        n = S.shape[0]
        stored = stored_fields(S)
        for degree in (1, 2, 3, 9):
            c = rng.standard_normal(degree + 1)
            for shape in COLUMNS:
                x = random_block(rng, (n, *shape), vectors)
                plain = reference.apply(stored_csr(S), clenshaw(c, AFFINE), x, scratch(x))
                scale = 3**degree * np.abs(c).sum() * np.linalg.norm(x)
                for order in "CF":
                    inside = np.asarray(stored.arranged(x), order=order)
                    before = inside.copy()
                    for n_threads in (1, 2, 3):
                        work = scratch(inside)
                        fused = cpu_fields.apply(
                            stored, clenshaw(c, AFFINE), inside, work, n_threads
                        )
                        assert fused is work[0] or fused is work[1]
                        assert fused.dtype == vectors
                        error = np.linalg.norm(stored.restored(fused) - plain)
                        assert error <= tolerance(degree, vectors) * scale
                    assert np.array_equal(inside, before)
                other = reference.apply(
                    stored, clenshaw(c, AFFINE), inside, scratch(inside)
                )
                error = np.linalg.norm(stored.restored(other) - plain)
                assert error <= tolerance(degree, vectors) * scale


@pytest.mark.parametrize("limit", [1, 3, 4])
def test_streams_in_groups(limit, rng, monkeypatch):
    monkeypatch.setattr(cpu_dia, "_PASS", limit)
    S = system(129, "uneven", np.float64, rng)
    stored = stored_fields(S)
    c, x = rng.standard_normal(8), rng.standard_normal((387, 3))
    plain = reference.apply(stored_csr(S), clenshaw(c, AFFINE), x, scratch(x))
    inside = stored.arranged(x)
    fused = cpu_fields.apply(stored, clenshaw(c, AFFINE), inside, scratch(inside))
    scale = 3**7 * np.abs(c).sum() * np.linalg.norm(x)
    error = np.linalg.norm(stored.restored(fused) - plain)
    assert error <= tolerance(7, np.float64) * scale


# The same bits.


@pytest.mark.parametrize("name", ["two", "uneven"])
@pytest.mark.parametrize(
    ("values", "vectors"), [(np.float32, np.float32), (np.float32, np.float64)]
)
@pytest.mark.parametrize("columns", [(), (3,)])
def test_no_plan_changes_a_bit(name, values, vectors, columns, rng, monkeypatch):
    S = system(5001, name, values, rng, n_rests=0)
    rows = rng.integers(0, S.shape[0] - 25, 300)
    near = sp.csr_array((np.full(300, 0.01), (rows, rows + 25)), shape=S.shape)
    S = sp.csr_array((S + near + near.T).astype(values))
    stored = stored_fields(S)
    assert 500 < stored.rests.size <= 600
    c = rng.standard_normal(12)
    x = random_block(rng, (S.shape[0], *columns), vectors, "F")
    run = functools.partial(cpu_fields.apply, stored, clenshaw(c, AFFINE), x)
    plans.plan.cache_clear()
    plain = run(scratch(x)).copy()
    assert np.isfinite(plain).all()
    deepest = 0
    for n_powers in (1, 2, 3, 11):
        for n_rows in (1, 64, 128, 5000):
            for n_threads in (1, 2, 3, 7):
                monkeypatch.setattr(plans, "powers_per_sweep", lambda *a, g=n_powers: g)
                monkeypatch.setattr(plans, "_block_rows", lambda *a, b=n_rows: b)
                plans.plan.cache_clear()
                result = run(scratch(x), n_threads)
                assert np.array_equal(result, plain), (n_powers, n_rows, n_threads)
                plan = plans.plan(5001, 11, stored.reach, 1, n_threads, fields.GRAIN)
                deepest = max(deepest, *(last - first for first, last, _ in plan.rounds))
    plans.plan.cache_clear()
    assert deepest == 11


@pytest.mark.parametrize("shape", [(903,), (903, 3)])
@pytest.mark.parametrize("degree", [1, 2, 3, 8])
def test_what_scratch_holds_has_no_influence(shape, degree, rng):
    stored = stored_fields(system(301, "uneven", np.float64, rng))
    c, x = rng.standard_normal(degree + 1), rng.standard_normal(shape)
    clean, *dirty = (
        cpu_fields.apply(stored, clenshaw(c, AFFINE), x, scratch(x, value), n_threads)
        for n_threads in (1, 2)
        for value in (0.0, np.nan, np.inf)
    )
    assert np.isfinite(clean).all()
    for result in dirty:
        assert np.array_equal(result, clean)


# M as users see it.


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("precision", ["single", "mixed", "double"])
@pytest.mark.parametrize("base", ["jacobi", "none"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
def test_the_order_does_not_show(n_threads, precision, base, dtype, rng):
    A = system(100, "three", dtype, rng)
    given = {"degree": 8, "precision": precision, "base": base}
    M = ap.make(A, storage="fields", n_threads=n_threads, **given)
    plain = ap.make(A, storage="csr", **given)
    assert (M.storage, M.kernel, plain.storage) == ("fields", "fused", "csr")
    double = precision == "double" and dtype(0).real.itemsize > 4
    bits = np.float64 if double else np.float32
    dense = M @ np.eye(300, dtype=dtype)
    size = np.abs(dense).max()
    assert np.abs(dense - dense.conj().T).max() <= tolerance(8, bits) * size
    shapes = ((300,), "C"), ((300, 5), "C"), ((300, 5), "F"), ((2, 300, 3), "C")
    for shape, order in shapes:
        for kind in (np.int64, np.float32, np.complex128):
            x = np.asarray(10 * random_block(rng, shape, np.complex128), order=order)
            x = (x if np.dtype(kind).kind == "c" else x.real).astype(kind)
            results = []
            for operator in (M, plain):
                out = np.empty_like(x, np.result_type(dtype, kind))
                operator.apply_into(x, out)
                results.append(out)
            error = np.linalg.norm(results[0] - results[1])
            assert error <= tolerance(8, bits) * size * np.linalg.norm(x)


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200])
def test_entries_of_any_size(size, rng):
    A = system(100, "two", np.float64, rng)
    M = ap.make(size * A, degree=8, storage="fields")
    plain = ap.make(size * A, degree=8, storage="csr")
    x = size * rng.standard_normal(200)
    assert distance(M, plain, x) <= tolerance(8, np.float32)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_large_matrices_are_stored_without_being_formed(dtype, n_threads, rng, monkeypatch):
    A = system(400, "three", dtype, rng)
    given = {"degree": 8, "storage": "fields", "n_threads": n_threads}
    formed = ap.make(A, **given)
    monkeypatch.setattr(scaled, "LARGE", 1)
    M = ap.make(A, **given)
    for name in ("data", "offsets", "rests", "slices", "places"):
        parts = (getattr(m._parts.stored, name) for m in (M, formed))
        assert np.allclose(*parts, rtol=1e-6, atol=0)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("columns", [(), (2,)])
def test_solves(n_threads, columns, rng):
    A = system(400, "three", np.float64, rng)
    M = ap.make(A, degree=4, storage="fields", n_threads=n_threads)
    b = rng.standard_normal((1200, *columns))
    x, info = M.solve(b, rtol=1e-10)
    assert info == 0
    assert np.linalg.norm(b - A @ x) <= 2e-10 * np.linalg.norm(b)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_in_is_non_finite_out(bad, rng):
    M = ap.make(system(100, "three", np.float64, rng), degree=4, storage="fields")
    x = rng.standard_normal((300, 9))
    clean = M @ x
    x[20, 1] = bad
    with np.errstate(invalid="ignore"):
        out, vector = M @ x, M @ x[:, 1]
    assert not np.isfinite(out[20, 1])
    assert not np.isfinite(vector[20])
    others = [k for k in range(9) if k != 1]
    assert np.array_equal(out[:, others], clean[:, others])


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_survives_pickling_and_read_only_memory(dtype, rng):
    M = ap.make(system(100, "two", dtype, rng), degree=8, storage="fields", n_threads=2)
    x = rng.standard_normal((200, 3))
    buffers = []
    text = pickle.dumps(M, protocol=5, buffer_callback=buffers.append)
    other = pickle.loads(text, buffers=[bytes(b) for b in buffers])
    assert (other.storage, other.n_threads) == ("fields", 2)
    expected = M @ x, M @ x[:, 0]
    loops = cpu_fields._tile, cpu_order.scatter, cpu_order.gather
    compiled = [len(loop.signatures) for loop in loops]
    assert np.array_equal(other @ x, expected[0])
    assert np.array_equal(other @ x[:, 0], expected[1])
    assert [len(loop.signatures) for loop in loops] == compiled


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_application_allocates_the_result_only(dtype, rng):
    A = system(250_000, "two", dtype, rng)
    n = A.shape[0]
    M = ap.make(A, degree=2, storage="fields")
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


def test_chosen_where_it_takes_fewer_bytes(rng, monkeypatch):
    A = system(400, "three", np.float64, rng)
    assert ap.make(A, degree=2).storage == "csr"  # not worth a compiler
    monkeypatch.setattr(layout, "_SMALL", 400)
    M = ap.make(A, degree=2)
    assert M.storage == "fields"
    seen = layout.foresee(A, A.dtype, "mixed")
    counted = M._parts.stored.n_bytes
    assert (seen.kind, seen.offsets) == ("fields", None)
    assert 0.8 * counted <= seen.n_bytes <= counted
    assert layout.store.__module__ == layout.__name__
    assert ap.make(A, degree=2, storage="dia").storage == "dia"
    assert ap.make(A * (1 + 0j), degree=2).storage != "fields"
    assert ap.make(poisson2d(20), degree=2).storage == "dia"
    report = M.report
    assert "fused, storage fields, precision mixed" in dict(report.rows())["kernel"]
    assert report.to_dict()["storage"] == "fields"


@pytest.mark.parametrize(
    ("A", "message"),
    [
        (
            aslinearoperator(poisson1d(6)),
            "storage='fields' needs .*; got storage 'operator'",
        ),
        (np.eye(4), "storage='fields' needs .*; got storage 'dense'. Leave"),
        (
            poisson2d(20),
            "'fields' needs several unknowns per node, .*; got a matrix without",
        ),
    ],
)
def test_refusals(A, message):
    assert re.search(message, refusal(ValueError, A, storage="fields"))


def test_runs_by_reference_too(rng):
    A = system(100, "three", np.float64, rng)
    M = ap.make(A, degree=8, storage="fields", kernel="reference")
    assert (M.storage, M.kernel) == ("fields", "reference")
    fused = ap.make(A, polynomial=M.state(), storage="fields")
    assert distance(M, fused, rng.standard_normal((300, 3))) <= tolerance(8, np.float32)
    assert kernels.select("fields") == ("fused", cpu_fields.apply)


def test_flags_of_the_compiled_kernel():
    options = cpu_fields._tile.targetoptions
    # As for diagonals: not True, not "reassoc".
    assert options["fastmath"] == {"contract"}
    assert options["nogil"] is True
    assert not options.get("parallel")


# General matrices.


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_the_adjoint_of_a_general_matrix(dtype, rng):
    A = system(150, "two", dtype, rng, symmetric=False)
    M = ap.make(A, assume_a="gen", degree=5, storage="fields")
    assert M.storage == "fields"
    plain = ap.make(A, polynomial=M.state(), storage="csr")
    x, y = (random_block(rng, (300,), dtype) for _ in range(2))
    size = np.linalg.norm(plain @ x)
    assert np.linalg.norm(M @ x - plain @ x) <= 1e-5 * size
    assert np.linalg.norm(M.H @ y - plain.H @ y) <= 1e-5 * np.linalg.norm(plain.H @ y)
    assert abs(np.vdot(y, M @ x) - np.vdot(M.H @ y, x)) <= 1e-5 * size * np.linalg.norm(y)


@pytest.mark.parametrize("symmetric", [True, False])
def test_as_a_matrix_again(symmetric, rng):
    S = system(150, "uneven", np.float64, rng, symmetric)
    assert abs(stored_fields(S).matrix(S.shape[0]) - S).max() <= 1e-15
