"""The setup of a large matrix, in passes over A, is that of a small one, in NumPy."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from problems import complex_hermitian, poisson1d, poisson2d, refusal, sparse_random

import autospec_precond as ap
from autospec_precond import bases, operands, probing, sums
from autospec_precond.kernels import cpu_setup, diagonals, scaled


def wide(A):
    A = A.copy()
    A.indices, A.indptr = A.indices.astype(np.int64), A.indptr.astype(np.int64)
    return A


def read_only(A):
    A = A.copy()
    for array in (A.data, A.indices, A.indptr):
        array.flags.writeable = False
    return A


def banded(n, reach):
    offsets = range(-reach, reach + 1)
    values = [1.0 / (1 + k * k) if k else 4.0 for k in offsets]
    return sp.csr_array(sp.diags_array(values, offsets=list(offsets), shape=(n, n)))


MATRICES = {
    "stencil": lambda rng: poisson2d(24),
    "float32": lambda rng: poisson2d(24, np.float32),
    "long rows": lambda rng: banded(500, 30),
    "random": lambda rng: sparse_random(400, rng),
    "complex": lambda rng: complex_hermitian(300),
    "wide": lambda rng: wide(sparse_random(300, rng)),
    "read-only": lambda rng: read_only(poisson2d(20)),
    "far from one": lambda rng: 1e-30 * poisson2d(20),
}


@pytest.fixture
def large(monkeypatch):
    """Take every sparse matrix for a large one."""
    monkeypatch.setattr(scaled, "LARGE", 0)


@pytest.mark.parametrize("storage", [None, "csr", "sell"])
@pytest.mark.parametrize(
    "keywords", [{}, {"base": "none"}, {"precision": "double"}], ids=str
)
@pytest.mark.parametrize("name", MATRICES)
def test_the_same_is_made(name, keywords, storage, rng, monkeypatch):
    A = MATRICES[name](rng)
    plain = ap.make(A, degree=8, storage=storage, **keywords)
    monkeypatch.setattr(scaled, "LARGE", 0)
    quick = ap.make(A, degree=8, storage=storage, **keywords)
    assert quick.storage == plain.storage
    assert quick.report.n_products == plain.report.n_products
    assert np.allclose(quick.probe.ritz_values, plain.probe.ritz_values, rtol=1e-10)
    assert quick.probe.high == pytest.approx(plain.probe.high, rel=1e-12)
    assert quick.probe.high_is_rigorous == plain.probe.high_is_rigorous
    one, other = quick._parts.stored, plain._parts.stored
    assert one.unit == other.unit
    assert one.half == other.half
    for part in ("data", "indices", "indptr", "offsets", "slices", "places"):
        assert np.array_equal(getattr(one, part), getattr(other, part)), part


def test_results_do_not_depend_on_threads(large):
    A = poisson2d(150)  # several blocks of rows, and the last one is not whole
    assert A.shape[0] > 5 * cpu_setup.BLOCK
    one, *others = (ap.make(A, degree=4, n_threads=k) for k in (1, 2, 3))
    for M in others:
        assert np.array_equal(M.probe.ritz_values, one.probe.ritz_values)
        assert M.probe.high == one.probe.high
        assert np.array_equal(M._parts.stored.data, one._parts.stored.data)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("factor", [1.25, 1 + 1e-8, 1 + 2e-16])
@pytest.mark.parametrize("place", [(40, 60), (60, 40), (4100, 4090)])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_one_side_only_where_both_agree(place, factor, dtype, n_threads):
    A = banded(3 * 4096 + 50, 20).tolil()
    A[place] *= factor
    A = A.tocsr()
    S = scaled.Scaled(A, None, n_threads)
    offsets = S.find_offsets(100)
    data, kept, half, _ = diagonals.from_scaled(S, offsets, 1.0, np.dtype(dtype))
    expected = diagonals.to_diagonals(A, A.data.astype(dtype), offsets)
    assert half == expected[2] == (factor - 1 <= 4 * np.finfo(dtype).eps)
    assert np.array_equal(kept, expected[1])
    assert np.array_equal(data, expected[0])


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("row", [0, 4095, 4096, 8999])
def test_an_entry_without_a_mirror_is_seen_at_any_border(row, n_threads):
    A = banded(9000, 3).tolil()
    A[row, row - 3 if row > 3 else row + 3] = 0.0
    S = scaled.Scaled(A.tocsr(), None, n_threads)
    assert not diagonals.from_scaled(S, S.find_offsets(9), 1.0, np.dtype("f8"))[2]


@pytest.mark.parametrize("name", MATRICES)
def test_the_bound_and_products_are_those_of_the_matrix_formed(name, rng):
    A = MATRICES[name](rng)
    double = np.result_type(A.dtype, np.float64)
    scale = 1 / np.sqrt(A.diagonal().real)
    based = bases.Based("jacobi", A, A, scale, scale, None, double)
    S = scaled.Scaled(A, based.left, 1)
    bound = probing.rigorous_bound(based.matrix)
    assert probing.rigorous_bound(S) == pytest.approx(bound, rel=1e-13)
    x = rng.standard_normal(A.shape[0]).astype(based.dtype)
    y = rng.standard_normal(A.shape[0]).astype(based.dtype)
    assert np.allclose(S(x), based.matrix @ x, rtol=1e-13, atol=1e-14)
    image, gap = S.pair(x, y)
    assert np.allclose(image, S(x), rtol=1e-13, atol=1e-14)
    assert abs(gap) <= 1e-12 * A.shape[0]
    assert np.isnan(S(np.full_like(x, np.nan))).all()


@pytest.mark.parametrize("n", [1, 2, 63, 500])
def test_pair_of_bits_is_the_pair_of_their_numbers(n, rng):
    A = sp.diags_array([-1.0, 2.5, -1.0], offsets=[-1, 0, 1], shape=(n, n)).tocsr()
    bits = rng.integers(-(2**15), 2**15, (2, n)).astype(np.int16)
    bits.flat[:2] = -(2**15), 2**15 - 1
    S = scaled.Scaled(A, rng.uniform(0.5, 2.0, n), 1)
    x, image, gap = S.pair_of_bits(bits)
    expected = operands.decoded(bits)
    assert np.array_equal(x, expected[0])
    assert (abs(expected) >= 0.5).all()
    assert (abs(expected) <= 1.5).all()
    again, gap_again = S.pair(*expected)
    assert np.array_equal(image, again)
    assert gap == gap_again


def test_the_gap_of_the_two_products_is_the_asymmetry(rng):
    A = sparse_random(300, rng).tolil()
    A[7, 200] += 0.5
    A = A.tocsr()
    x, y = rng.standard_normal((2, 300))
    _, gap = scaled.Scaled(A, None, 1).pair(x, y)
    assert gap == pytest.approx(y @ (A @ x) - x @ (A @ y), rel=1e-9)


@pytest.mark.parametrize("breakdown", [False, True])
def test_lanczos_steps_are_those_of_numpy(breakdown, rng):
    few = sp.csr_array(sp.diags_array(np.tile([1.0, 2.0], 50)))
    A = few if breakdown else poisson2d(20)
    start = rng.standard_normal(A.shape[0])
    S = scaled.Scaled(A, None, 1)
    plain = probing.lanczos(lambda x: A @ x, start, 6)
    for image in (None, S(start)):
        alpha, beta, last = probing.lanczos(S, start.copy(), 6, image=image)
        assert len(alpha) == (2 if breakdown else 6)
        assert np.allclose(alpha, plain[0], rtol=1e-12)
        assert np.allclose(beta, plain[1], rtol=1e-11, atol=1e-13)
        assert np.allclose(last, plain[2], atol=1e-10)
    image = A @ start
    alpha, _, _ = probing.lanczos(lambda x: A @ x, start, 6, image=image)
    assert np.allclose(alpha, plain[0], rtol=1e-12)


def damaged(kind, n=9000):
    A = banded(n, 3)
    k = A.indptr[5000]
    if kind == "nan":
        A.data[k] = np.nan
    elif kind == "inf":
        A.data[-1] = -np.inf
    elif kind == "unsorted":
        A.indices[k : k + 2] = A.indices[k : k + 2][::-1].copy()
    elif kind == "duplicate":
        A.indices[k] = A.indices[k + 1]
    elif kind == "outside":
        A.indices[-1] = n
    elif kind == "negative":
        A.indices[k] = -1
    elif kind == "pointer":
        A.indptr[100] = A.indptr[200]
    elif kind == "last pointer":
        A.indptr[-2] = A.indptr[-1] + 1
    return A


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize(
    "kind",
    [
        "nan",
        "inf",
        "unsorted",
        "duplicate",
        "outside",
        "negative",
        "pointer",
        "last pointer",
    ],
)
def test_the_survey_sees_what_is_wrong(kind, index, n_threads, large):
    A = damaged(kind)
    if index is np.int64:
        A.indices, A.indptr = A.indices.astype(index), A.indptr.astype(index)
    assert scaled.survey(A, n_threads) is None


@pytest.mark.parametrize("name", [*MATRICES, "rows without a diagonal"])
def test_the_survey_finds_the_diagonal(name, rng, large):
    if name in MATRICES:
        A = MATRICES[name](rng)
    else:
        A = sp.csr_array(np.triu(rng.standard_normal((60, 60)), 1))
    for n_threads in (1, 2):
        assert np.array_equal(scaled.survey(A, n_threads), A.diagonal())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda A: A.data.__setitem__(3, np.nan), "got 1 non-finite entries, the first at"),
        (lambda A: A.data.__setitem__(1, -2.0), "A must be Hermitian; got entries (0, 1)"),
        (lambda A: A.indices.__setitem__(-1, 99), "indices must be < 50"),
    ],
)
def test_refusals_are_the_same(change, text, monkeypatch):
    texts = []
    for limit in (10**6, 0):
        A = poisson1d(50)
        change(A)
        monkeypatch.setattr(scaled, "LARGE", limit)
        texts.append(refusal(ValueError, A) if "indices" not in text else raised(A))
    assert texts[0] == texts[1]
    assert text in texts[0]


def raised(A):
    with pytest.raises(ValueError, match="indices") as error:
        ap.make(A)
    return str(error.value)


def test_vectors_of_the_symmetry_test_leave_the_start_vectors(rng):
    """What they are drawn from ends where it ended when they took six numbers a row."""
    operand = operands.as_operand(poisson1d(1001), "test")
    given, old = np.random.default_rng(5), np.random.default_rng(5)
    x, y = operands._probe_vectors(given, operand)
    for _ in range(2):
        old.uniform(0.5, 1.5, 1001)
        old.integers(0, 2, 1001)
    assert np.array_equal(given.standard_normal(9), old.standard_normal(9))
    for v in (x, y):
        assert (np.abs(v) >= 0.5).all()
        assert (np.abs(v) <= 1.5).all()
        assert 0.4 < np.mean(v > 0) < 0.6
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.15
    legacy = np.random.Generator(np.random.MT19937(1))  # cannot jump
    assert len(operands._probe_vectors(legacy, operand)) == 2


def test_the_base_alone_costs_a_probe_and_nothing_else(monkeypatch, large):
    def refuse(*args, **keywords):
        raise AssertionError("a bound was looked for")

    monkeypatch.setattr(probing, "rigorous_bound", refuse)
    M = ap.make(poisson2d(40), degree=0)
    assert M.report.n_products == 14
    assert M.storage == "none"


def test_a_large_matrix_is_never_formed(large):
    A = banded(20_000, 25)
    A.indices, A.indptr = A.indices.astype(np.int32), A.indptr.astype(np.int32)
    ap.make(A, degree=8)  # compiles
    tracemalloc.start()
    M = ap.make(A, degree=8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    vector = 8 * A.shape[0]
    assert peak <= M._parts.stored.n_bytes + 14 * vector < 2 * A.data.nbytes


@pytest.mark.parametrize("n", [20_000, 40_000])
def test_second_pass_of_a_step_knows_the_length_of_the_start(n, rng):
    pair = np.array([[1.0, 0.5], [0.5, 1.0]])
    A = sp.kron(sp.eye_array(n // 2), pair).tocsr()
    x = rng.uniform(0.5, 1.5, n)
    own, plain = (
        probing.lanczos(product, x.copy(), 6, image=A @ x)
        for product in (scaled.Scaled(A, None, 1), A.__matmul__)
    )
    assert own[0] == pytest.approx(plain[0], abs=1e-12)
    assert len(own[0]) == 2  # two eigenvalues: the Krylov space ends
    assert own[1][-1] == plain[1][-1] == 0


@pytest.mark.parametrize("n", [5, 8192, 8193, 30_000])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_long_sums_are_made_by_parts(n, dtype, monkeypatch, rng):
    x, y = rng.standard_normal((2, n, 2)).view(np.complex128)[..., 0]
    x, y = (x, y) if dtype is np.complex128 else (x.real.copy(), y.real.copy())
    usual, sizes = np.vdot, []

    def note(a, b):
        sizes.append(a.size)
        return usual(a, b)

    monkeypatch.setattr(np, "vdot", note)
    found = sums.dot(x, y)
    assert max(sizes) <= 8192  # OpenBLAS makes these on one thread
    assert sum(sizes) == n
    assert found == pytest.approx(usual(x, y), rel=1e-12, abs=1e-12 * n)
    assert sums.norm(x) == pytest.approx(np.sqrt(usual(x, x).real), rel=1e-13)


def test_steps_take_over_the_memory_of_the_test_of_symmetry(rng):
    A = poisson2d(20)
    S = scaled.Scaled(A, 1 / np.sqrt(A.diagonal()), 1)
    x, y = rng.standard_normal((2, A.shape[0]))
    image, _ = S.pair(x, y)
    expected = probing.lanczos(scaled.Scaled(A, S.scale, 1), x, 4)
    for _ in range(2):  # the second finds it gone
        found = probing.lanczos(S, x.copy(), 4, image=image.copy())
        assert np.allclose(found[0], expected[0], rtol=1e-12)
        assert np.allclose(found[2], expected[2], atol=1e-10)
    first, second = S.scratch(), S.scratch()
    assert not np.shares_memory(first, second)


def test_a_random_vector_has_no_small_entries():
    x = operands.random_vector(np.random.default_rng(1), 1001)
    assert x.shape == (1001,)
    assert 0.5 <= np.abs(x).min() <= np.abs(x).max() <= 1.5
    assert abs(x.mean()) < 0.1
