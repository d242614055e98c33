"""The kernels of the GPU, run on the host by an emulation, against the reference."""

from collections import OrderedDict

import numpy as np
import pytest
import scipy.sparse as sp

from autospec_precond.kernels import reference
from autospec_precond.kernels.gpu import graph, launch
from autospec_precond.kernels.layout import Stored

SIZES = [1, 2, 31, 33, 1000]  # around warps, and several blocks of threads

# Values, vectors: those of single, mixed and double precision.
TYPES = [
    ("f4", "f4"),
    ("f4", "f8"),
    ("f8", "f8"),
    ("c8", "c8"),
    ("c8", "c16"),
    ("c16", "c16"),
    ("f4", "c8"),
    ("f4", "c16"),
]
NARROW = [("f2", "f4"), ("u2", "f4"), ("f2", "f8"), ("u2", "f8")]


def tolerance(dtype, degree):
    return 30 * (degree + 1) * np.finfo(dtype).eps


def numbers(rng, shape, dtype):
    dtype = np.dtype(dtype)
    x = rng.uniform(-1, 1, shape)
    if dtype.kind == "c":
        x = x + 1j * rng.uniform(-1, 1, shape)
    return x.astype(dtype)


def random_rows(rng, n, mean, dtype, indices="i4"):
    """A matrix with empty rows, among them the last, and one that is full."""
    S = sp.random_array((n, n), density=min(1, mean / n), rng=rng, format="lil")
    S[n // 2] = 1
    S[n // 3] = 0
    S[n - 1] = 0
    S = S.tocsr()
    S.eliminate_zeros()
    S = sp.csr_array(
        (numbers(rng, S.nnz, dtype) / max(mean, 1), S.indices, S.indptr), shape=(n, n)
    )
    return Stored("csr", S.data, S.indices.astype(indices), S.indptr.astype(indices))


def random_diagonals(rng, n, offsets, dtype, half=False):
    offsets = np.array(sorted({o for o in offsets if abs(o) < n}), np.int64)
    if half:
        offsets = offsets[offsets >= 0]
    data = numbers(rng, (offsets.size, n + 5), dtype) / offsets.size
    data[:, n:] = np.nan  # padding has no influence
    return Stored("dia", data, offsets=offsets, half=half)


def random_blocks(rng, rows, size, dtype, indices="i4"):
    pattern = random_rows(rng, rows, min(rows, 6), "f4", indices)
    data = numbers(rng, (pattern.data.size, size, size), dtype) / (6 * size)
    return Stored("bsr", data, pattern.indices, pattern.indptr)


class Blocks:
    """A form that the CPU does not store, for the reference."""

    def __init__(self, stored, n):
        parts = stored.data, stored.indices, stored.indptr
        self.matrix = sp.bsr_array(parts, shape=(n, n)).tocsr()

    def product(self, x):
        return self.matrix @ x


def random_factors(rng, degree, dtype="f8"):
    factors = numbers(rng, (degree, 4), dtype)
    factors[:2, 3] = 0
    return factors


def moved(device, stored):
    names = ("data", "indices", "indptr")
    parts = {k: getattr(stored, k) for k in names if getattr(stored, k) is not None}
    parts = {k: device.asarray(v) for k, v in parts.items()}
    return Stored(stored.kind, offsets=stored.offsets, half=stored.half, **parts)


def check(device, stored, factors, x, plain=None):
    """Compare with the reference; scratch that is not a number has no influence."""
    plain = stored if plain is None else plain
    work = np.empty_like(x), np.empty_like(x)
    expected = reference.apply(plain, factors, x, work)
    x_there = device.asarray(x)
    work = tuple(device.asarray(np.full_like(x, np.nan)) for _ in range(2))
    result = launch.apply(moved(device, stored), factors, x_there, work)
    assert any(result is w for w in work)
    assert np.array_equal(x_there, x)
    error = np.abs(result.get() - expected).max(initial=0)
    size = np.abs(expected).max(initial=0)
    assert error <= tolerance(x.dtype, len(factors)) * max(size, 1)
    return result.get()


@pytest.mark.parametrize("columns", [None, 1, 3, 16, 40])
@pytest.mark.parametrize("n", SIZES)
def test_rows(emulated_device, rng, n, columns):
    shape = (n,) if columns is None else (n, columns)
    stored = random_rows(rng, n, 5, "f4")
    check(emulated_device, stored, random_factors(rng, 5), numbers(rng, shape, "f4"))


@pytest.mark.parametrize("mean", [0.5, 2, 4, 8, 16, 60])
def test_rows_of_all_lengths(emulated_device, rng, mean):
    stored = random_rows(rng, 133, mean, "f8")
    check(emulated_device, stored, random_factors(rng, 3), numbers(rng, 133, "f8"))


@pytest.mark.parametrize("columns", [None, 3])
@pytest.mark.parametrize("indices", ["i4", "i8"])
@pytest.mark.parametrize(("values", "dtype"), TYPES)
def test_rows_of_all_types(emulated_device, rng, values, dtype, indices, columns):
    shape = (45,) if columns is None else (45, columns)
    stored = random_rows(rng, 45, 4, values, indices)
    check(emulated_device, stored, random_factors(rng, 4), numbers(rng, shape, dtype))


@pytest.mark.parametrize("kind", ["csr", "dia", "bsr"])
def test_complex_factors(emulated_device, rng, kind):
    x, factors = numbers(rng, 42, "c16"), random_factors(rng, 4, "c16")
    if kind == "csr":
        stored = plain = random_rows(rng, 42, 4, "c8")
    elif kind == "dia":
        stored = plain = random_diagonals(rng, 42, [-7, 0, 2], "c8")
    else:
        stored = random_blocks(rng, 14, 3, "c8")
        plain = Blocks(stored, 42)
    check(emulated_device, stored, factors, x, plain)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("columns", [None, 1, 3, 16])
@pytest.mark.parametrize("n", SIZES)
def test_diagonals(emulated_device, rng, n, columns, half):
    shape = (n,) if columns is None else (n, columns)
    stored = random_diagonals(rng, n, [-100, -10, -1, 0, 1, 10, 100], "f4", half)
    check(emulated_device, stored, random_factors(rng, 5), numbers(rng, shape, "f4"))


@pytest.mark.parametrize("half", [False, True])
def test_diagonals_away_from_the_ends(emulated_device, rng, half):
    """A block of threads inside asks nothing; those at both ends ask for each entry."""
    n = 3 * 256 + 17
    stored = random_diagonals(rng, n, [-100, -10, 0, 1, 10, 256], "f4", half)
    check(emulated_device, stored, random_factors(rng, 3), numbers(rng, n, "f4"))


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("n", [40, 1024, 2 * 1024 + 33, 4 * 1024 + 17])
def test_diagonals_with_two_rows_for_a_thread(emulated_device, rng, monkeypatch, n, half):
    monkeypatch.setattr(launch, "_MANY_DIAGONALS", 0)
    monkeypatch.setattr(launch, "_MANY_ROWS", 0)
    stored = random_diagonals(rng, n, [-300, -10, 0, 1, 10, 256, 1000], "f4", half)
    x = numbers(rng, n, "f4")
    check(emulated_device, stored, random_factors(rng, 3), x)
    plan = launch.Plan(stored, random_factors(rng, 3), x.dtype, x.shape)
    assert plan.block == (512,)


def test_a_row_of_several_chunks(emulated_device, rng):
    """Rows of a thread block with more entries than it holds at a time; empty ones, too."""
    lengths = rng.integers(0, 4, 2100)
    lengths[[3, 700, 2099]] = 2100, 1500, 2000
    lengths[256:512] = 0
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    indices = np.concatenate([np.sort(rng.permutation(2100)[:k]) for k in lengths])
    data = numbers(rng, indices.size, "f4") / 8
    stored = Stored("csr", data, indices.astype(np.int32), indptr)
    check(emulated_device, stored, random_factors(rng, 3), numbers(rng, 2100, "f4"))


@pytest.mark.parametrize(("values", "dtype"), TYPES)
def test_diagonals_of_all_types(emulated_device, rng, values, dtype):
    stored = random_diagonals(rng, 45, [-30, -1, 2, 44], values)
    check(emulated_device, stored, random_factors(rng, 4), numbers(rng, 45, dtype))


def test_many_diagonals(emulated_device, rng):
    stored = random_diagonals(rng, 150, range(-25, 26), "f4")
    check(emulated_device, stored, random_factors(rng, 3), numbers(rng, 150, "f8"))


@pytest.mark.parametrize("columns", [None, 1, 3])
@pytest.mark.parametrize("rows", [1, 7, 40])
@pytest.mark.parametrize("size", [2, 3, 4, 5, 6])
def test_blocks(emulated_device, rng, size, rows, columns):
    n = size * rows
    stored = random_blocks(rng, rows, size, "f4")
    x = numbers(rng, (n,) if columns is None else (n, columns), "f8")
    check(emulated_device, stored, random_factors(rng, 4), x, Blocks(stored, n))


@pytest.mark.parametrize("columns", [None, 3])
@pytest.mark.parametrize("indices", ["i4", "i8"])
@pytest.mark.parametrize(("values", "dtype"), TYPES)
def test_blocks_of_all_types(emulated_device, rng, values, dtype, indices, columns):
    stored = random_blocks(rng, 11, 3, values, indices)
    x = numbers(rng, (33,) if columns is None else (33, columns), dtype)
    check(emulated_device, stored, random_factors(rng, 3), x, Blocks(stored, 33))


@pytest.mark.parametrize("kind", ["csr", "dia", "bsr"])
@pytest.mark.parametrize(("values", "dtype"), NARROW)
def test_values_of_16_bits(emulated_device, rng, values, dtype, kind):
    n = 36
    if kind == "csr":
        stored = random_rows(rng, n, 4, "f4")
    elif kind == "dia":
        stored = random_diagonals(rng, n, [-3, 0, 1], "f4")
        stored.data[:, n:] = 0
    else:
        stored = random_blocks(rng, 12, 3, "f4")
    if values == "f2":
        short = stored.data.astype("f2")
        wide = short.astype("f4")
    else:
        short = (stored.data.view("u4") >> 16).astype("u2")
        wide = (short.astype("u4") << 16).view("f4")
    parts = {k: getattr(stored, k) for k in ("indices", "indptr", "offsets")}
    plain, narrow = Stored(kind, wide, **parts), Stored(kind, short, **parts)
    plain = Blocks(plain, n) if kind == "bsr" else plain
    check(emulated_device, narrow, random_factors(rng, 3), numbers(rng, n, dtype), plain)


def test_every_number_of_16_bits(emulated_device):
    """One diagonal with all there are, tiny and infinite ones and NaN included."""
    every = np.arange(2**16, dtype=np.uint16)
    ones = np.ones(every.size, np.float32)
    factors = np.array([[0.0, 1.0, 0.0, 0.0]])
    expected = {
        "f2": every.view("f2").astype("f4"),
        "u2": (every.astype("u4") << 16).view("f4"),
    }
    for kind, wide in expected.items():
        data = emulated_device.asarray(every.view(kind)[None])
        stored = Stored("dia", data, offsets=np.zeros(1, np.int64))
        x, *work = (emulated_device.asarray(ones) for _ in range(3))
        result = launch.apply(stored, factors, x, work).get()
        assert np.array_equal(result, wide, equal_nan=True)


def test_nan_stays_where_it_is(emulated_device, rng):
    n = 300
    stored = random_diagonals(rng, n, [-1, 0, 1], "f4")
    x = numbers(rng, n, "f4")
    x[100] = np.nan
    work = tuple(emulated_device.asarray(x) for _ in range(2))
    given = emulated_device.asarray(x)
    factors = random_factors(rng, 3)
    result = launch.apply(moved(emulated_device, stored), factors, given, work).get()
    assert np.flatnonzero(np.isnan(result)).tolist() == list(range(97, 104))


def test_column_of_a_block_is_the_vector(emulated_device, rng):
    """By diagonals: the same sums in the same order."""
    stored = moved(emulated_device, random_diagonals(rng, 70, [-9, 0, 4], "f4"))
    factors, x = random_factors(rng, 4), numbers(rng, (70, 3), "f8")
    results = []
    for part in (x, np.ascontiguousarray(x[:, 1])):
        given, *work = (emulated_device.asarray(part) for _ in range(3))
        results.append(launch.apply(stored, factors, given, work).get())
    assert np.array_equal(results[0][:, 1], results[1])


def test_second_vector_is_read_from_the_third_step_on(emulated_device, rng):
    stored = moved(emulated_device, random_diagonals(rng, 9, [0, 1], "f4"))
    given, *work = (emulated_device.asarray(np.ones(9)) for _ in range(3))
    launch.apply(stored, random_factors(rng, 5), given, work)
    names = [name for name, _, _ in emulated_device.log]
    assert [name.endswith("true>") for name in names] == [False, False, True, True, True]


def test_no_rows(emulated_device, rng):
    stored = Stored("csr", np.zeros(0, "f4"), np.zeros(0, np.int32), np.zeros(1, np.int32))
    assert check(emulated_device, stored, random_factors(rng, 2), np.zeros(0)).size == 0


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("layout", ["vector", "C", "F", "real part"])
@pytest.mark.parametrize(
    ("dtype", "result"),
    [("f4", "f8"), ("f8", "f4"), ("f4", "f4"), ("f8", "f8"), ("c8", "c16"), ("f4", "c8")],
)
def test_scale(emulated_device, rng, dtype, result, layout, weighted):
    n, factor = 300, 0.37
    weights = emulated_device.asarray(rng.uniform(1, 2, n)) if weighted else None
    x = numbers(rng, n if layout == "vector" else (n, 5), dtype)
    x = emulated_device.asarray(x, order="F" if layout == "F" else "C")
    out = emulated_device.asarray(np.full(x.shape, np.nan, result))
    if layout == "real part" and out.dtype.kind == "f":
        out = emulated_device.asarray(np.zeros(x.shape, np.result_type(out, "c8"))).real
    launch.scale(x, weights, factor, out)
    ones = np.ones(n) if weights is None else weights.get()
    expected = (x.get().T * (ones * factor)).T.astype(out.dtype)
    assert np.allclose(out.get(), expected, rtol=2 * np.finfo(out.dtype).eps, atol=0)


@pytest.mark.parametrize("n", [1, 31, 257, 3000])
@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16"])
def test_vectors_of_conjugate_gradients(emulated_device, rng, dtype, n):
    vectors = [numbers(rng, n, dtype) for _ in range(4)]
    x, r, p, q = (emulated_device.asarray(v) for v in vectors)
    sums = np.result_type(dtype, "f8")
    rho, pq, rr = (emulated_device.asarray(np.full(1, np.nan, sums)) for _ in range(3))
    partial = launch.partials(x)
    launch.dot(x, r, rho, partial)
    launch.dot(p, p, pq, partial)
    launch.update(rho, pq, p, q, x, r, rr, partial)
    wide = [v.astype(sums) for v in vectors]
    alpha = np.vdot(wide[0], wide[1]) / np.vdot(wide[2], wide[2])
    close = {"rtol": 100 * np.finfo(dtype).eps, "atol": 100 * np.finfo(dtype).eps}
    assert np.allclose(rho, np.vdot(wide[0], wide[1]), rtol=1e-13, atol=1e-13)
    assert np.allclose(x, wide[0] + alpha * wide[2], **close)
    assert np.allclose(r, wide[1] - alpha * wide[3], **close)
    assert np.allclose(rr, np.vdot(r.get().astype(sums), r.get().astype(sums)), rtol=1e-13)
    launch.direction(rr, rho, q, p)
    beta = rr.get()[0] / rho.get()[0]
    close["atol"] *= max(1, abs(beta))
    assert np.allclose(p, wide[3] + beta * wide[2], **close)


@pytest.mark.parametrize("dtype", ["f8", "c16"])
@pytest.mark.parametrize("size", [1e-200, 1e200, 1e300])
def test_quotients_of_far_numbers(emulated_device, dtype, size):
    """As of sums over vectors that are far from one, which `solve` allows."""
    ones = [emulated_device.asarray(np.ones(3, dtype)) for _ in range(4)]
    rho, pq, rr = (
        emulated_device.asarray(np.full(1, v, dtype)) for v in (size, 2 * size, 0)
    )
    launch.update(rho, pq, *ones, rr, launch.partials(ones[0]))
    assert np.array_equal(ones[2], np.full(3, 1.5))
    launch.direction(rho, pq, *ones[:2])
    assert np.array_equal(ones[1], np.full(3, 1.5))


@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_rows_of_a_log_move_down(emulated_device, rng, dtype):
    log = numbers(rng, (9, 3), dtype)
    there = emulated_device.asarray(log.copy())
    launch.record(there)
    assert np.array_equal(there.get()[1:], log[:-1])


def test_launches_that_are_repeated_become_one(emulated_device, rng):
    x = emulated_device.asarray(np.ones(40))
    kernels = graph.Repeated(lambda: launch.scale(x, None, 2.0, x))
    for _ in range(3):
        kernels()
    assert np.array_equal(x.get(), np.full(40, 8.0))
    assert kernels.graph is not None


def test_launches_are_repeated_where_capturing_is_refused(emulated_device, monkeypatch):
    def refuse(self, *args):
        raise RuntimeError("not permitted")

    monkeypatch.setattr(type(emulated_device.cuda.Stream()), "begin_capture", refuse)
    x = emulated_device.asarray(np.ones(40))
    kernels = graph.Repeated(lambda: launch.scale(x, None, 2.0, x))
    for _ in range(3):
        kernels()
    assert np.array_equal(x.get(), np.full(40, 8.0))
    assert kernels.refusal == "not permitted"


def test_conjugate_gradients_with_scalars_on_the_device(emulated_device, rng):
    n = 200
    A = sp.diags_array([-1.0, 2.5, -1.0], offsets=[-1, 0, 1], shape=(n, n)).tocsr()
    stored = moved(emulated_device, Stored("csr", A.data, A.indices, A.indptr))
    b = numbers(rng, n, "f8")
    x, r, p = (emulated_device.asarray(v) for v in (np.zeros(n), b, b))
    rho, before, pq = (emulated_device.asarray(np.zeros(1)) for _ in range(3))
    partial, work = launch.partials(x), [emulated_device.asarray(x) for _ in range(2)]
    product = np.array([[0.0, 1.0, 0.0, 0.0]])
    launch.dot(r, r, rho, partial)
    for _ in range(40):
        q = launch.apply(stored, product, p, work)
        launch.dot(p, q, pq, partial)
        rho, before = before, rho
        launch.update(before, pq, p, q, x, r, rho, partial)
        launch.direction(rho, before, r, p)
    assert np.linalg.norm(b - A @ x.get()) <= 1e-9 * np.linalg.norm(b)
    assert emulated_device.cuda.n_synchronized == 0


def applications(device, rng, n=50, degree=4, columns=None):
    stored = random_rows(rng, n, 4, "f4")
    factors = random_factors(rng, degree)
    shape = (n,) if columns is None else (n, columns)
    x = numbers(rng, shape, "f8")
    expected = reference.apply(stored, factors, x, (np.empty_like(x), np.empty_like(x)))
    given = [device.asarray(v) for v in (x, np.zeros(shape), np.zeros(shape))]
    return graph.Applications(moved(device, stored), factors), given, expected


def test_second_application_is_one_launch(emulated_device, rng):
    M, (x, *work), expected = applications(emulated_device, rng)
    for k in range(4):
        for w in work:
            w[...] = np.nan
        before = len(emulated_device.log)
        result = M.run(x, work)
        assert np.allclose(result, expected, rtol=1e-12, atol=1e-12)
        assert len(emulated_device.log) - before == 4
        assert emulated_device.cuda.graph_launches == M.n_launched == k
    assert M.n_captured == 1
    x *= 2  # a graph holds addresses, no values
    assert np.allclose(M.run(x, work), 2 * expected, rtol=1e-12, atol=1e-12)
    assert emulated_device.cuda.graph_launches == 4


def test_other_arrays_get_a_graph_of_their_own(emulated_device, rng):
    M, (x, *work), expected = applications(emulated_device, rng)
    others = [emulated_device.asarray(v) for v in (x, *work)]
    for _ in range(3):
        M.run(x, work)
        y, *spare = others
        assert np.allclose(M.run(y, spare), expected, rtol=1e-12, atol=1e-12)
    assert M.n_captured == 2


def test_graphs_are_limited(emulated_device, rng):
    M, (x, *work), _ = applications(emulated_device, rng)
    M.limit = 4
    kept = [emulated_device.asarray(x) for _ in range(6)]
    for y in kept * 2:
        M.run(y, work)
    assert len(M._graphs) == M.limit


def test_a_graph_may_be_pushed_out_by_another_thread(emulated_device, rng):
    class Pushed(OrderedDict):
        def __contains__(self, key):
            found = super().__contains__(key)
            self.clear()  # what others do between a question and the next
            return found

    M, (x, *work), expected = applications(emulated_device, rng)
    M._graphs = Pushed()
    for _ in range(3):
        assert np.allclose(M.run(x, work), expected, rtol=1e-12, atol=1e-12)


def test_refused_capture_leaves_plain_launches(emulated_device, rng, monkeypatch):
    monkeypatch.setattr("gpu_emulation.device.Stream.refuses", True)
    M, (x, *work), expected = applications(emulated_device, rng)
    for _ in range(3):
        assert np.allclose(M.run(x, work), expected, rtol=1e-12, atol=1e-12)
    assert "cudaErrorStreamCaptureUnsupported" in M.refusal
    assert emulated_device.cuda.graph_launches == 0


def test_capture_of_the_caller_takes_plain_launches(emulated_device, rng):
    M, (x, *work), expected = applications(emulated_device, rng)
    M.run(x, work)
    stream = emulated_device.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        result = M.run(x, work)
        captured = stream.end_capture()
    result[...] = np.nan
    captured.launch()
    assert np.allclose(result, expected, rtol=1e-12, atol=1e-12)
    assert M.n_captured == 0


@pytest.mark.parametrize("columns", [None, 3])
def test_scaled_application_is_one_launch(emulated_device, rng, columns):
    n = 50
    M, (x, *work), _ = applications(emulated_device, rng, n, columns=columns)
    left, right = (emulated_device.asarray(rng.uniform(1, 2, n)) for _ in range(2))
    start, out = emulated_device.asarray(x), emulated_device.asarray(x)
    stored = Stored("csr", *(getattr(M.stored, k) for k in ("data", "indices", "indptr")))
    plain = (x.get().T * left.get() * 2).T
    spare = np.empty_like(plain), np.empty_like(plain)
    expected = reference.apply(stored, M.factors, plain, spare)
    expected = (np.asarray(expected).T * right.get() * 0.5).T
    before = x.get()
    for k in range(3):
        for array in (start, out, *work):
            array[...] = np.nan
        M.scaled(x, out, (left, 2.0, right, 0.5), start, work)
        assert np.allclose(out, expected, rtol=1e-12, atol=1e-12)
        assert emulated_device.cuda.graph_launches == k
    M.scaled(x, out, (left, 4.0, right, 0.5), start, work)  # another graph
    assert np.allclose(out, 2 * expected, rtol=1e-12, atol=1e-12)
    M.scaled(x, out, (None, 2.0, left, 0.5), start, work)
    M.scaled(x, out, (left, 2.0, None, 0.5), start, work)
    assert np.allclose((out.get().T * right.get()).T, expected, rtol=1e-12, atol=1e-12)
    assert np.array_equal(x, before)


def test_graphs_keep_the_arrays_that_they_read(emulated_device, rng):
    """What is not the caller's: values, indices and weights live as long as M does."""
    M, (x, *work), expected = applications(emulated_device, rng)
    for _ in range(2):
        M.run(x, work)
    (plan,) = M._plans.values()
    assert plan.stored is M.stored
    assert np.allclose(M.run(x, work), expected, rtol=1e-12, atol=1e-12)


BROKEN = """
__global__ void hangs(int *out) {
    if (threadIdx.x % 32 != 3) out[0] = __shfl_down_sync(0xffffffffu, 1, 1, 32);
}
__global__ void sums(float *out) {
    float v = float(threadIdx.x);
    for (int by = 4; by > 0; by /= 2) v += __shfl_down_sync(0xffffffffu, v, by, 8);
    __shared__ float parts[8];
    if (threadIdx.x % 8 == 0) parts[threadIdx.x / 8] = v;
    __syncthreads();
    out[threadIdx.x] = parts[7 - threadIdx.x / 8];
}
"""


def test_emulation_notices_what_would_hang(emulated_device):
    module = emulated_device.RawModule(code=BROKEN, name_expressions=["hangs", "sums"])
    out = emulated_device.asarray(np.zeros(64, np.float32))
    with pytest.raises(AssertionError, match="a barrier that not all threads reach"):
        module.get_function("hangs")((1,), (64,), (out,))
    module.get_function("sums")((1,), (64,), (out,))
    sums = np.arange(64).reshape(8, 8).sum(axis=1)[::-1].repeat(8)
    assert np.array_equal(out, sums)
    with pytest.raises(TypeError, match="an array of the host"):
        module.get_function("sums")((1,), (64,), (out.get(),))
