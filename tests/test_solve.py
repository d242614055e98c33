"""M.solve: the solution, the promise about the residual, blocks, breakdowns, messages."""

import copy
import pickle
import threading

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import (
    Product,
    complex_hermitian,
    dense_with_spectrum,
    poisson1d,
    poisson2d,
    sparse_random,
    with_spectrum,
)

import autospec_precond as ap
from autospec_precond.classical import chebyshev

N = 144
DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
ASKED = {4: 1e-4, 8: 1e-10}

each_dtype = pytest.mark.parametrize("dtype", DTYPES)
each_precision = pytest.mark.parametrize("precision", ["single", "mixed", "double"])


def matrix(dtype):
    if np.dtype(dtype).kind == "c":
        return complex_hermitian(N, dtype, shift=0.05)
    return poisson2d(12, dtype)


def vectors(rng, shape, dtype):
    b = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        b = b + 1j * rng.standard_normal(shape)
    return b.astype(dtype)


def asked(dtype):
    return ASKED[np.empty(0, dtype).real.itemsize]


def excess(A, b, x, rtol, atol=0.0):
    """Return how far ||b - A x|| is above what was promised, columns apart.

    In units of the rounding of one product with A: at most one is equal.
    """
    exact = np.result_type(A.dtype, b.dtype, np.float64)
    A = (A.toarray() if sp.issparse(A) else A).astype(exact)
    B, X = (v.reshape(A.shape[0], -1).astype(exact) for v in (b, x))
    norm = np.linalg.norm
    goal = np.maximum(rtol * norm(B, axis=0), atol)
    size = norm(np.abs(A) @ np.abs(X), axis=0) + norm(B, axis=0)
    rounding = np.finfo(x.dtype).eps * np.sqrt(A.shape[0]) * size
    above = norm(B - A @ X, axis=0) - goal
    return float(np.max(above / np.where(rounding > 0, rounding, 1.0)))


# The solution.


@each_dtype
@each_precision
@pytest.mark.parametrize("shape", [(N,), (N, 1), (N, 5), (N, 17)])
@pytest.mark.parametrize("started", [False, True])
def test_is_the_dense_solution(dtype, precision, shape, started, rng):
    A, b = matrix(dtype), vectors(rng, shape, dtype)
    x0 = vectors(rng, shape, dtype) if started else None
    before = A.copy(), b.copy(), copy.copy(x0)
    M = ap.make(A, degree=8, precision=precision)
    x, info = M.solve(b, x0, rtol=asked(dtype))
    assert info == 0
    assert x.shape == shape
    assert x.dtype == dtype
    exact = np.linalg.solve(A.toarray().astype(np.complex128), b)
    condition = np.linalg.cond(A.toarray())
    error = np.linalg.norm(x - exact) / np.linalg.norm(exact)
    assert error <= 2 * condition * asked(dtype)
    assert excess(A, b, x, asked(dtype)) <= 1
    assert abs(A - before[0]).max() == 0
    assert np.array_equal(b, before[1])
    assert np.array_equal(x0, before[2]) or not started


FORMS = {
    "csc": sp.csc_matrix,
    "coo": sp.coo_array,
    "dense": sp.csr_array.toarray,
    "operator": spla.aslinearoperator,
    "product": Product,
    "long_indices": lambda A: with_indices(A, np.int64),
    "read_only": lambda A: frozen(A),
    "integers": lambda A: A.astype(np.int64),
}


def with_indices(A, dtype):
    A = A.copy()
    A.indices, A.indptr = A.indices.astype(dtype), A.indptr.astype(dtype)
    return A


def frozen(A):
    A = A.copy()
    for array in (A.data, A.indices, A.indptr):
        array.flags.writeable = False
    return A


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("columns", [None, 1, 3])
@pytest.mark.parametrize("dtype", [np.int64, *DTYPES])
def test_every_form_of_matrix_and_type_of_right_hand_side(form, columns, dtype, rng):
    A = poisson2d(12)
    shape = (N,) if columns is None else (N, columns)
    b = np.asfortranarray(
        vectors(rng, shape, dtype)
        if dtype is not np.int64
        else (rng.integers(-9, 9, shape))
    )
    b.flags.writeable = False
    x, info = ap.make(FORMS[form](A), degree=8).solve(b, rtol=1e-9)
    assert info == 0
    assert x.dtype == np.result_type(np.float64, dtype)
    assert excess(A, b, x, 1e-9) <= 1


@pytest.mark.parametrize("a_dtype", [np.float32, np.complex64])
@each_dtype
@pytest.mark.parametrize("columns", [(), (3,)])
def test_vectors_longer_than_the_matrix(a_dtype, dtype, columns, rng):
    A, b = matrix(a_dtype), vectors(rng, (N, *columns), dtype)
    x, info = ap.make(A, degree=8, precision="double").solve(b, rtol=asked(dtype))
    assert info == 0
    assert x.dtype == np.result_type(a_dtype, dtype)
    assert excess(A, b, x, asked(dtype)) <= 1


@pytest.mark.parametrize("base", ["none", "jacobi", "operator", "solve"])
def test_every_base(base, rng):
    A, b = poisson2d(12), rng.standard_normal((N, 3))
    B = dense_with_spectrum(np.linspace(0.5, 2, N), rng)

    class Factors:
        shape = None
        solve = staticmethod(lambda x: B @ x)

    given = {"operator": spla.aslinearoperator(B), "solve": Factors()}.get(base, base)
    for right in (b, b[:, 0]):
        x, info = ap.make(A, base=given, degree=4).solve(right, rtol=1e-9)
        assert info == 0
        assert excess(A, right, x, 1e-9) <= 1


@pytest.mark.parametrize("degree", [0, 2, 16])
@pytest.mark.parametrize("columns", [(), (1,), (4,)])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_takes_the_iterations_of_scipys_cg(degree, columns, dtype, rng):
    A, b = matrix(dtype), vectors(rng, (N, *columns), dtype)
    M = ap.make(A, degree=degree)
    counts = []
    for column in b.reshape(N, -1).T:
        steps = []
        _, info = spla.cg(A, column, M=M, rtol=1e-9, callback=steps.append)
        assert info == 0
        counts.append(len(steps))
    steps = []
    x, info = M.solve(b, rtol=1e-9, callback=lambda x: steps.append(x.shape))
    assert info == 0
    assert abs(len(steps) - max(counts)) <= 1
    assert set(steps) == {b.shape}
    assert excess(A, b, x, 1e-9) <= 1


def test_spends_one_product_more_than_its_iterations(rng):
    A = Product(poisson2d(12))
    M = ap.make(A, degree=8)
    for b in (rng.standard_normal(N), rng.standard_normal((N, 3))):
        before, steps = A.n_products, []
        _, info = M.solve(b, rtol=1e-8, callback=lambda _, steps=steps: steps.append(1))
        assert info == 0
        columns = 1 if b.ndim == 1 else 3
        most = columns * (9 * len(steps) + 1) + 2 * columns  # columns end apart
        assert 9 * len(steps) + 1 <= A.n_products - before <= most


def test_two_calls_agree_in_every_bit(rng):
    M = ap.make(poisson2d(12), degree=8)
    for b in (rng.standard_normal(N), rng.standard_normal((N, 6))):
        assert np.array_equal(M.solve(b)[0], M.solve(b)[0])


def test_columns_do_not_disturb_each_other(rng):
    A = sparse_random(N, rng, scales=3)
    M = ap.make(A, degree=2)
    hard, easy = rng.standard_normal((N, 4)), A @ np.ones(N) * 1e-6
    zero = np.zeros(N)
    B = np.column_stack([hard[:, 0], easy, hard[:, 1], zero, hard[:, 2], easy, hard[:, 3]])
    X0 = rng.standard_normal(B.shape)
    X0[:, [1, 5]] = 1e-6  # solved before the first iteration
    X, info = M.solve(B, X0, rtol=1e-10)
    assert info == 0
    assert excess(A, B, X, 1e-10) <= 1
    assert np.array_equal(X[:, 3], zero)
    for k in (0, 2, 4, 6):
        x, _ = M.solve(B[:, k], X0[:, k], rtol=1e-10)
        assert np.linalg.norm(x - X[:, k]) <= 1e-8 * np.linalg.norm(x)


# The promise.


@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 40),
    columns=st.sampled_from([None, 1, 3]),
    dtype=st.sampled_from(DTYPES),
    condition=st.floats(0, 10),
    scale=st.floats(-6, 6),
    rtol=st.floats(-12, -2),
    atol=st.one_of(st.just(None), st.floats(-8, 2)),
    start=st.one_of(st.just(None), st.floats(-3, 6)),
)
def test_info_zero_is_the_inequality(
    seed, n, columns, dtype, condition, scale, rtol, atol, start
):
    rng = np.random.default_rng(seed)
    single = np.dtype(dtype).char in "fF"
    condition = min(condition, 4.0) if single else condition
    spectrum = 10.0 ** (scale + np.linspace(-condition, 0, n))
    A = with_spectrum(spectrum, rng, dtype)
    shape = (n,) if columns is None else (n, columns)
    b = vectors(rng, shape, dtype)
    x0 = None if start is None else vectors(rng, shape, dtype) * dtype(10.0**start)
    rtol, atol = 10.0**rtol, 0.0 if atol is None else 10.0**atol
    # Without a base, so that the diagonal of a rounded matrix does not matter.
    M = ap.make(A, polynomial=chebyshev(2, 1.1 * 10.0**scale), base="none")
    x, info = M.solve(b, x0, rtol=rtol, atol=atol)
    if info == 0:
        assert excess(A, b, x, rtol, atol) <= 1
    if condition < 1 and rtol > (1e-4 if single else 1e-11) and x0 is None:
        assert info == 0


def test_a_far_start_loses_no_digits(rng):
    """SciPy's recursive residual is small there long before the true one is."""
    A, b = poisson2d(12), rng.standard_normal(N)
    x0, M = 1e8 * rng.standard_normal(N), ap.make(A, degree=4)
    x, info = spla.cg(A, b, x0, M=M, rtol=1e-12)
    assert info == 0
    assert excess(A, b, x, 1e-12) > 100
    for right, start in ((b, x0), (b[:, None] * [1, 2], x0[:, None] * [1, 1e-8])):
        x, info = M.solve(right, start, rtol=1e-12)
        assert info == 0
        assert excess(A, right, x, 1e-12) <= 1


@pytest.mark.parametrize("rtol", [1e-17, 0.0])
@pytest.mark.parametrize("columns", [(), (2,)])
def test_what_rounding_does_not_allow_is_not_claimed(rtol, columns, rng):
    A, b = poisson2d(12), rng.standard_normal((N, *columns))
    M, steps = ap.make(A, degree=4), []
    x, info = M.solve(b, rtol=rtol, callback=lambda _: steps.append(1))
    assert info == len(steps)
    assert info < 100  # of 1440 allowed: it sees that it gets no further
    assert excess(A, b, x, 1e-14) <= 1


def test_atol_counts_where_it_is_larger(rng):
    A, b = poisson2d(12), rng.standard_normal(N)
    M = ap.make(A, degree=2)
    x, info = M.solve(b, rtol=0.0, atol=1e-3)
    assert info == 0
    assert 1e-6 < np.linalg.norm(b - A @ x) <= 1e-3 * (1 + 1e-9)
    x, info = M.solve(b, rtol=1e-8, atol=1e-30)
    assert info == 0
    assert excess(A, b, x, 1e-8) <= 1
    x, info = M.solve(b, atol=2 * np.linalg.norm(b))
    assert info == 0
    assert not x.any()


@pytest.mark.parametrize("size", [1e-290, 1.0, 1e290])
def test_atol_is_in_the_units_of_b(size, rng):
    A, b = poisson2d(12), rng.standard_normal(N) * size
    M = ap.make(A, degree=2)
    x, info = M.solve(b, rtol=0.0, atol=1e-3 * size)
    assert info == 0
    assert 1e-6 < np.linalg.norm((b - A @ x) / size) <= 1e-3 * (1 + 1e-9)


def test_of_several_columns_all_keep_it(rng):
    A = poisson2d(12)
    B = rng.standard_normal((N, 4)) * [1e-9, 1.0, 1e9, 1e4]
    X, info = ap.make(A, degree=4).solve(B, rtol=1e-8)
    assert info == 0
    assert excess(A, B, X, 1e-8) <= 1


@pytest.mark.parametrize("size", [1e-300, 1e-170, 1e170, 1e290])
def test_size_of_the_right_hand_side_does_not_matter(size, rng):
    A, B = poisson2d(12), rng.standard_normal((N, 2))
    M = ap.make(A, degree=4, precision="double")
    expected, _ = M.solve(B, rtol=1e-10)
    seen = []
    for right, like in ((B[:, 0], expected[:, 0]), (B, expected)):
        x, info = M.solve(right * size, rtol=1e-10, callback=lambda x: seen.append(x.max()))
        assert info == 0
        assert np.linalg.norm(x / size - like) <= 1e-8 * np.linalg.norm(like)
        assert 0.1 < seen[-1] / size / like.max() < 10
    X, info = M.solve(B * [size, 1.0], X0_of(expected, size), rtol=1e-9)
    assert info == 0
    assert np.linalg.norm(X / [size, 1.0] - expected) <= 1e-7 * np.linalg.norm(expected)


def X0_of(expected, size):  # noqa: N802
    return 0.5 * expected * [size, 1.0]


@pytest.mark.parametrize("scale", [2.0**-600, 2.0**-100, 2.0**100, 2.0**600])
def test_scale_of_the_matrix_does_not_matter(scale, rng):
    A, b = poisson2d(12), rng.standard_normal(N)
    expected, _ = ap.make(A, degree=4).solve(b, rtol=1e-10)
    x, info = ap.make(A * scale, degree=4).solve(b, rtol=1e-10)
    assert info == 0
    assert np.linalg.norm(x * scale - expected) <= 1e-8 * np.linalg.norm(expected)


def test_zero_right_hand_side(rng):
    M = ap.make(poisson2d(12), degree=4)
    for shape in ((N,), (N, 1), (N, 3)):
        for x0 in (None, rng.standard_normal(shape)):
            x, info = M.solve(np.zeros(shape), x0)
            assert info == 0
            assert np.array_equal(x, np.zeros(shape))
    assert M.solve(np.zeros((N, 0)))[0].shape == (N, 0)


# What ends it early.


@pytest.mark.parametrize("columns", [(), (3,)])
def test_maxiter(columns, rng):
    A, b = poisson2d(12), rng.standard_normal((N, *columns))
    M, steps = ap.make(A, degree=2), []
    x, info = M.solve(b, rtol=1e-10, maxiter=3, callback=lambda x: steps.append(x.copy()))
    assert info == len(steps) == 3
    assert np.array_equal(x, steps[-1])
    assert np.linalg.norm(b - A @ x) < np.linalg.norm(b)
    assert not np.array_equal(steps[0], steps[1])


def test_maxiter_that_is_just_enough(rng):
    A, b = poisson2d(12), rng.standard_normal(N)
    M, steps = ap.make(A, degree=4), []
    M.solve(b, rtol=1e-9, callback=lambda _: steps.append(1))
    assert M.solve(b, rtol=1e-9, maxiter=len(steps))[1] == 0
    assert M.solve(b, rtol=1e-9, maxiter=len(steps) - 1)[1] == len(steps) - 1


@pytest.mark.filterwarnings("ignore::autospec_precond.UncertifiedWarning")
def test_an_indefinite_matrix_is_a_breakdown():
    A = sp.diags_array(np.linspace(1, 2, N)).tolil()
    A[:2, :2] = [[1, 2], [2, 1]]  # eigenvalues 3 and -1, the diagonal shows nothing
    A = A.tocsr()
    M = ap.make(A, base="none", polynomial=chebyshev(2, 3.3))
    good, bad = np.ones(N), np.zeros(N)
    good[:2], bad[:2] = 0.0, (1.0, -1.0)
    x, info = M.solve(bad)
    assert info == -1
    assert np.isfinite(x).all()
    X, info = M.solve(np.column_stack([good, bad]), rtol=1e-8)
    assert info == -1
    assert excess(A, good, X[:, 0], 1e-8) <= 1


@pytest.mark.parametrize("factor", [-1.0, 0.0, np.nan, np.inf])
def test_an_indefinite_base_is_a_breakdown(factor, rng):
    class Fickle:
        factor = 1.0

        def solve(self, x):
            return self.factor * x

    base = Fickle()
    M = ap.make(poisson2d(12), base=base, degree=2)
    base.factor = factor
    with np.errstate(all="ignore"):
        for b in (rng.standard_normal(N), rng.standard_normal((N, 2))):
            x, info = M.solve(b)
            assert info == -2
            assert np.array_equal(x, np.zeros_like(b))


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_a_product_that_goes_wrong_is_a_breakdown(value, rng):
    class Fickle(Product):
        factor = 1.0

        def __matmul__(self, x):
            return self.factor * super().__matmul__(x)

    A = Fickle(poisson2d(12))
    M = ap.make(A, degree=0)
    A.factor = value
    with np.errstate(all="ignore"):
        x, info = M.solve(rng.standard_normal(N))
    assert info == -1
    assert np.array_equal(x, np.zeros(N))


class Stop(Exception):  # noqa: N818
    pass


def test_an_exception_of_the_callback_comes_through(rng):
    def stop(x):
        raise Stop

    M = ap.make(poisson2d(12), degree=2)
    with pytest.raises(Stop):
        M.solve(rng.standard_normal(N), callback=stop)
    assert M.solve(rng.standard_normal(N))[1] == 0


# Bad input: one sentence, before any work.


@pytest.mark.parametrize(
    ("b", "error", "message"),
    [
        (
            np.ones(N + 1),
            ValueError,
            rf"b must have shape \({N},\) or \({N}, k\); got \({N + 1},\)",
        ),
        (np.ones((1, N)), ValueError, rf"got \(1, {N}\)"),
        (np.ones((N, 1, 1)), ValueError, rf"got \({N}, 1, 1\)"),
        (1.0, ValueError, r"got \(\)"),
        (["one"] * N, TypeError, "b must be an array of numbers; got list of dtype <U3"),
        (sp.csr_array((N, 1)), TypeError, "b must be an array of numbers; got csr_array"),
        (np.full(N, np.nan), ValueError, f"b must be finite; got {N} non-finite entries"),
        (np.r_[np.inf, np.ones(N - 1)], ValueError, "got 1 non-finite entries"),
    ],
)
def test_bad_right_hand_sides(b, error, message):
    refuses(error, message, b)


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"x0": np.ones(3)}, ValueError, rf"x0 must have shape \({N},\); got \(3,\)"),
        ({"x0": np.ones((N, 1))}, ValueError, rf"x0 must have shape \({N},\); got"),
        ({"x0": np.full(N, np.nan)}, ValueError, "x0 must be finite"),
        ({"x0": "Mb"}, TypeError, "x0 must be an array of numbers; got str"),
        ({"x0": np.ones(N) * 1j}, TypeError, "x0 must be real where A and b are"),
        ({"rtol": -1e-5}, ValueError, "rtol must be finite and not negative; got -1e-05"),
        ({"rtol": np.nan}, ValueError, "rtol must be finite and not negative; got nan"),
        ({"rtol": "small"}, TypeError, "rtol must be a number; got 'small'"),
        ({"atol": np.inf}, ValueError, "atol must be finite and not negative; got inf"),
        ({"atol": None}, TypeError, "atol must be a number; got None"),
        ({"maxiter": 0}, ValueError, "maxiter must be at least 1; got 0"),
        ({"maxiter": 2.0}, TypeError, "maxiter must be an int; got 2.0"),
        ({"maxiter": True}, TypeError, "maxiter must be an int; got True"),
        ({"callback": 3}, TypeError, "callback must be callable or None; got int"),
    ],
)
def test_bad_keywords(keywords, error, message):
    refuses(error, message, np.ones(N), **keywords)


def refuses(error, message, *args, **keywords):
    A = Product(poisson2d(12))
    M = ap.make(A, degree=2)
    before = A.n_products
    with pytest.raises(error, match=message) as caught:
        M.solve(*args, **keywords)
    text = str(caught.value)
    assert type(caught.value) is error
    assert text.startswith("solve: ")
    assert text.endswith(".")
    assert "\n" not in text
    assert A.n_products == before


# The A that M keeps.


def test_keeps_a_reference_and_no_copy(rng):
    A = poisson2d(12)
    M = ap.make(A, degree=4)
    assert M._parts.A is A
    operand = M.A._operand
    for name in ("data", "indices", "indptr"):
        assert np.shares_memory(getattr(operand.matrix, name), getattr(A, name))
    b = rng.standard_normal(N)
    A.data *= 2.0  # solves with A as it is, with an M that fits it less well
    x, info = M.solve(b, rtol=1e-9)
    assert info == 0
    assert excess(A, b, x, 1e-9) <= 1


@pytest.mark.parametrize("form", FORMS)
def test_copies_and_pickles_take_it_along(form, rng):
    A, b = FORMS[form](poisson2d(12)), rng.standard_normal(N)
    M = ap.make(A, degree=4)
    expected = M.solve(b)[0]
    for other in (copy.copy(M), copy.deepcopy(M), pickle.loads(pickle.dumps(M))):
        assert np.array_equal(other.solve(b)[0], expected)
    again = ap.make(A, polynomial=M.state())
    assert np.array_equal(again.solve(b)[0], expected)


def test_a_matrix_that_turned_bad_is_refused():
    A = poisson2d(12)
    M = ap.make(A, degree=4)
    A.data[7] = np.nan
    with pytest.raises(ValueError, match=r"A must be finite; got 1 non-finite entries"):
        M.solve(np.ones(N))


def test_changes_no_global_state(rng):
    before = np.geterr(), np.random.get_state()[1].tolist(), threading.active_count()  # noqa: NPY002
    M = ap.make(poisson2d(12), degree=4)
    M.solve(rng.standard_normal((N, 3)), rtol=1e-12)
    after = np.geterr(), np.random.get_state()[1].tolist(), threading.active_count()  # noqa: NPY002
    assert before == after


def test_one_m_solves_in_several_threads(rng):
    A, B = poisson1d(400, shift=1e-3), rng.standard_normal((400, 4))
    M = ap.make(A, degree=8)
    expected = [M.solve(column)[0] for column in B.T]
    results = [None] * 4

    def work(k):
        results[k] = M.solve(B[:, k])[0]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result, one in zip(results, expected, strict=True):
        assert np.array_equal(result, one)
