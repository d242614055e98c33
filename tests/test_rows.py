"""The product with rows that repeat, and M.solve with its residual inside of M."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from problems import poisson1d, poisson2d

import autospec_precond as ap
from autospec_precond import linop
from autospec_precond.kernels import chunks, cpu_inside, cpu_rows, cpu_scale
from autospec_precond.products import MatrixProduct

CHUNK = chunks.CHUNK


def stencil(n, offsets, rng, dtype=np.float64):
    """Symmetric, diagonally dominant, with random entries on these diagonals."""
    above = sp.csr_array((n, n))
    for o in offsets:
        if o > 0:
            data = -rng.uniform(0.5, 1.0, n - o)
            above = above + sp.diags_array([data], offsets=[o], shape=(n, n))
    A = above + above.T + 2.0 * len(offsets) * sp.eye_array(n)
    return sp.csr_array(A).astype(dtype)


def nodes(n, width, rng):
    """`width` unknowns per node; rows of one node have entries of their own places."""
    block = np.triu(rng.random((width, width)) < 0.5)
    block = (block | block.T | np.eye(width, dtype=bool)).astype(float)
    A = sp.kron(poisson1d(-(-n // width)), block).tocsr()[:n, :n]
    return sp.csr_array(A + 4.0 * width * sp.eye_array(n))


def scattered(n, rng):
    """Rows of about seven entries, none like the other."""
    above = sp.triu(sp.random_array((n, n), density=3 / n, rng=rng), 1)
    return sp.csr_array(above + above.T + 9.0 * sp.eye_array(n))


def kinked(n, rng):
    """Rows that differ in one column in the middle alone."""
    first = np.minimum(np.arange(n), n - 4)
    middle = first + 1 + rng.integers(0, 2, n)
    columns = np.stack([first, middle, first + 3], axis=1).ravel()
    shape = (n, n)
    return sp.csr_array((rng.random(3 * n), columns, np.arange(n + 1) * 3), shape=shape)


def mixture(n, rng):
    """Stretches that repeat between others that do not, and a row in between."""
    A = stencil(n, [0, 1, 30], rng).tolil()
    for i in (5, 6, 200 % n, (CHUNK - 1) % n, CHUNK % n):
        A[i, (7 * i + 3) % n] = A[(7 * i + 3) % n, i] = -0.25
    A[20, 21] = A[21, 20] = 0
    return sp.csr_array(A)


MATRICES = {
    "diagonal": lambda n, rng: stencil(n, [0], rng),
    "three": lambda n, rng: stencil(n, [0, 1], rng),
    "four": lambda n, rng: stencil(n, [0, 1, n - 1], rng),
    "five": lambda n, rng: stencil(n, [0, 1, 33], rng),
    "seven": lambda n, rng: stencil(n, [0, 1, 20, 31], rng),
    "nine": lambda n, rng: stencil(n, [0, 1, 2, 25, 31], rng),
    "two_unknowns": lambda n, rng: nodes(n, 2, rng),
    "three_unknowns": lambda n, rng: nodes(n, 3, rng),
    "seven_unknowns": lambda n, rng: nodes(n, 7, rng),
    "kinked": kinked,
    "mixture": mixture,
    "random": scattered,
    "full": lambda n, rng: sp.csr_array(np.ones((min(n, 200),) * 2)),
}
SIZES = [40, 64 + 33, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 77]


def table_of(A):
    """Return the segments of each chunk, as (first row, rows, period)."""
    table = MatrixProduct(Operand(A))._table(1)
    result = []
    for k, rows in enumerate(table):
        count = int(np.argmin(rows[:, 1] != 0))
        edges = rows[: count + 1, 0].astype(int) + k * CHUNK
        periods = rows[:count, 1].astype(int)
        pairs = itertools.pairwise(edges)
        result += [(lo, hi - lo, p) for (lo, hi), p in zip(pairs, periods, strict=True)]
    return result


class Operand:
    def __init__(self, A):
        self.matrix = self.operator = A
        self.dtype, self.n = A.dtype, A.shape[0]


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("n", SIZES)
def test_rows_that_repeat_have_the_columns_said(name, n, rng):
    A = MATRICES[name](n, rng)
    A.sort_indices()
    rows = 0
    for first, count, period in table_of(A):
        assert first == rows
        rows += count
        if count == period:
            continue
        assert count % period == 0
        assert first // CHUNK == (first + count - 1) // CHUNK
        for i in range(first + period, first + count):
            a, b = (A.indices[A.indptr[r] : A.indptr[r + 1]] for r in (i - period, i))
            assert np.array_equal(a + period, b)
    assert rows == A.shape[0]


FEW = {"three": 12, "five": 20, "seven": 30, "two_unknowns": 12, "three_unknowns": 12}


@pytest.mark.parametrize(("name", "most"), list(FEW.items()))
def test_it_finds_what_repeats(name, most, rng):
    n = 2 * CHUNK + 77
    found = table_of(MATRICES[name](n, rng))
    assert len(found) <= most
    assert sum(count for _, count, period in found if count > period) > 0.95 * n


def test_rows_that_do_not_repeat_are_left_alone(rng):
    n = 2 * CHUNK
    assert table_of(scattered(n, rng)) == [(0, CHUNK, CHUNK), (CHUNK, CHUNK, CHUNK)]


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("dtypes", ["ff", "fd", "dd", "FD", "DD"])
def test_the_product_is_scipys_with_any_threads(name, n, dtypes, rng, monkeypatch):
    monkeypatch.setattr(chunks, "WORTH_THREADS", 0)
    A = MATRICES[name](n, rng).astype(dtypes[0])
    A.sort_indices()
    x = rng.standard_normal(A.shape[0]).astype(dtypes[1])
    wide = np.result_type(dtypes[1], np.float64)
    expected = A.astype(wide) @ x.astype(wide)
    energy = np.vdot(x.astype(wide), expected).real
    allowed = 8 * np.finfo(x.dtype).eps * (abs(A) @ abs(x))
    seen = []
    for limit in (1, 2, 3, 7):
        out, sums = np.full_like(x, np.nan), np.full(1, np.nan)
        MatrixProduct(Operand(A), limit).into(x, out, sums)
        seen.append((out, sums))
        assert (np.abs(out - expected) <= allowed * A.shape[0] ** 0.5).all()
        assert abs(sums[0] - energy) <= (allowed * abs(x)).sum()
    for out, sums in seen[1:]:
        assert np.array_equal(out, seen[0][0])
        assert np.array_equal(sums, seen[0][1])


def test_entries_that_change_are_read_and_a_pattern_that_shrinks_is_seen(rng):
    A = stencil(CHUNK + 9, [0, 1, 33], rng)
    P, x = ap.make(A, base="none", degree=0).A, rng.standard_normal(A.shape[0])
    assert np.allclose(P @ x, A @ x, rtol=1e-12)
    A.data *= 3.0
    assert np.allclose(P @ x, A @ x, rtol=1e-12)
    A.data[[7, 5000]] = 0.0
    expected = A @ x
    A.eliminate_zeros()
    assert np.allclose(P @ x, expected, rtol=1e-12)


def test_a_nan_stays_where_it_belongs(rng):
    for name in ("five", "two_unknowns", "random"):
        A = MATRICES[name](CHUNK + 5, rng)
        x = rng.standard_normal(A.shape[0])
        x[777] = np.nan
        bad = np.isnan(ap.make(A, base="none", degree=0).A @ x)
        assert np.array_equal(bad, np.isnan(A @ x))


def test_a_pass_gets_threads_where_it_is_long_enough():
    assert chunks.threads_for(None, 1000) == chunks.threads_for(3, 1000) == 1
    assert chunks.threads_for(1, 10**9) == 1
    assert chunks.threads_for(3, 10**9) == 3


# M.solve.


@pytest.mark.parametrize("storage", ["csr", "dia", "sell"])
@pytest.mark.parametrize("columns", [(), (1,), (3,)])
def test_a_solve_does_not_depend_on_threads(storage, columns, rng, monkeypatch):
    monkeypatch.setattr(chunks, "WORTH_THREADS", 0)
    A = poisson2d(160)  # seven chunks: three and fewer are added in the same order
    b, seen = rng.standard_normal((A.shape[0], *columns)), []
    state = ap.make(A, degree=8).state()  # what is chosen may depend on threads
    for n_threads in (1, 2, 3):
        M = ap.make(A, polynomial=state, storage=storage, n_threads=n_threads)
        seen.append(M.solve(b, rtol=1e-9))
        seen[-1] += (M.A @ b, M @ b)
        assert seen[-1][1] == 0
    for x, _, product, image in seen[1:]:
        assert np.array_equal(x, seen[0][0])
        assert np.array_equal(product, seen[0][2])
        assert np.array_equal(image, seen[0][3])


@pytest.mark.parametrize("storage", ["csr", "dia", "sell"])
@pytest.mark.parametrize("share", [1.0, 0.1])  # the larger the entries of S, the unit
def test_the_iterates_inside_are_those_outside(storage, share, rng):
    scales = 10.0 ** rng.uniform(-3, 3, 900)
    A = sp.csr_array(sp.diags_array(scales) @ poisson2d(30) @ sp.diags_array(scales))
    M = ap.make(A, degree=4, storage=storage, diagonal=share * A.diagonal())
    assert (M._parts.stored.unit == 1) == (share == 1)
    b = rng.standard_normal(900)
    x0 = rng.standard_normal(900)
    with M._lend(b) as inside:
        assert inside is not None
    with M._lend(b[:, None]) as inside:
        assert inside is None
    within, without = [], []
    for seen, right, start in ((within, b, x0), (without, b[:, None], x0[:, None])):
        # Two columns are a block, whose residual is outside.
        if right.ndim > 1:
            right, start = np.hstack([right, right]), np.hstack([start, start])
        M.solve(
            right, start, rtol=1e-9, maxiter=6,
            callback=lambda x, seen=seen: seen.append(x.reshape(900, -1)[:, 0].copy()),
        )  # fmt: skip
    for one, other in zip(within, without, strict=True):
        assert np.linalg.norm(one - other) <= 1e-9 * np.linalg.norm(other)


def test_m_may_be_applied_while_its_inside_is_lent(rng):
    M, b = ap.make(poisson2d(30), degree=4), rng.standard_normal(900)
    expected, image, seen = M.solve(b)[0], M @ b, []

    def use(x):
        seen.append(np.array_equal(M @ b, image) and M.solve(b, maxiter=2)[1] == 2)

    assert np.array_equal(M.solve(b, callback=use)[0], expected)
    assert all(seen)
    assert len(seen) > 2


@pytest.mark.parametrize("kinds", ["ff", "fd", "df", "dd"])
def test_scaling_by_threads_has_numpys_bits(kinds, rng):
    n = 1000
    x, out = rng.standard_normal(n).astype(kinds[0]), np.empty(n, kinds[1])
    weights = rng.uniform(0.1, 9.0, n)
    cpu_scale.scale(0, n, x, weights, 3.7, out)
    assert np.array_equal(out, (x * (weights * 3.7)).astype(kinds[1]))


@pytest.mark.parametrize("orders", ["CC", "CF", "FC", "FF"])
@pytest.mark.parametrize("kinds", ["ff", "fd", "df", "dd"])
@pytest.mark.parametrize("shape", [(1, 1), (63, 3), (64, 2), (65, 1), (1000, 17)])
def test_scaling_of_blocks_by_threads_has_numpys_bits(shape, kinds, orders, rng):
    x = np.asarray(rng.standard_normal(shape), kinds[0], order=orders[0])
    out = np.full(shape, np.nan, kinds[1], order=orders[1])
    weights = rng.uniform(0.1, 9.0, (shape[0], 1))
    linop._scaled(x, weights, 3.7, out, 2)
    assert np.array_equal(out, (x * (weights * 3.7)).astype(kinds[1]))


def test_blocks_are_scaled_by_the_kernel(monkeypatch, rng):
    M = ap.make(poisson2d(30), degree=4, n_threads=2)
    X, sizes = rng.standard_normal((900, 5)), []
    usual = cpu_scale.scale_block

    def note(first, last, *rest):
        sizes.append(last - first)
        usual(first, last, *rest)

    expected = np.stack([M @ x for x in X.T], 1)
    monkeypatch.setattr(cpu_scale, "scale_block", note)
    assert np.allclose(M @ X, expected, rtol=1e-12, atol=0)
    assert sorted(sizes) == [450] * 4  # two threads, in and out
    X.flags.writeable = False
    assert np.allclose(M @ X, expected, rtol=1e-12, atol=0)
    assert np.allclose(M @ X[:, ::2], expected[:, ::2], rtol=1e-12, atol=0)
    assert len(sizes) == 4 * 3


@pytest.mark.parametrize("storage", ["csr", "dia", "sell"])
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("columns", [(), (4,)])
def test_other_byte_orders(columns, n_threads, storage, rng):
    A = poisson2d(102)  # a block of so many rows is scaled by a kernel on one thread, too
    M = ap.make(A, degree=4, storage=storage, n_threads=n_threads)
    x = rng.standard_normal((A.shape[0], *columns))
    expected = M @ x
    assert np.array_equal(M @ x.astype(">f8"), expected)
    out = np.empty(x.shape, ">f8")
    M.apply_into(x, out)
    assert np.array_equal(out, expected)


def test_flags_of_the_compiled_kernels():
    for module in (cpu_rows, cpu_inside, cpu_scale):
        for name, function in vars(module).items():
            if hasattr(function, "targetoptions"):
                options = function.targetoptions
                # Not True, and no "nnan": a NaN that comes in must come out again.
                assert set(options["fastmath"] or ()) <= {"contract", "reassoc", "nsz"}, (
                    name
                )
                assert options["nogil"] is True
                assert not options.get("parallel")
    # A row is summed as it is written: else its sum could depend on how many are at once.
    for function in (cpu_rows._five, cpu_rows._any, cpu_rows.product):
        assert "reassoc" not in function.targetoptions["fastmath"]
