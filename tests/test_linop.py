"""M as a LinearOperator: types, shapes, memory orders, algebra, and writing in place."""

import numpy as np
import pytest
import scipy
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from problems import complex_hermitian, poisson2d, tolerance
from scipy.sparse.linalg import aslinearoperator

import autospec_precond as ap

N = 36
FLOATS = [np.float32, np.float64, np.complex64, np.complex128]
HAS_STACKS = tuple(int(part) for part in scipy.__version__.split(".")[:2]) >= (1, 18)


def matrix(dtype):
    if np.dtype(dtype).kind == "c":
        return complex_hermitian(N, dtype, shift=0.3)
    return poisson2d(6, dtype)


def operator(dtype=np.float64, degree=6, **keywords):
    return ap.make(matrix(dtype), degree=degree, **keywords)


# Made once: one per combination of storage, kernel and precision that applies.
OPERATORS = {
    "fused": operator(),
    "single": operator(precision="single"),
    "reference": operator(kernel="reference"),
    "complex": operator(np.complex128),
    "float32": operator(np.float32),
    "dense": ap.make(matrix(np.float64).toarray(), degree=6),
    "matrix_free": ap.make(aslinearoperator(matrix(np.float64)), degree=4),
    "degree_0": operator(degree=0),
    "user": ap.make(
        matrix(np.float64),
        base=aslinearoperator(sp.diags_array(np.linspace(0.2, 0.3, N))),
        degree=4,
    ),
}
each_operator = pytest.mark.parametrize("M", OPERATORS.values(), ids=OPERATORS)


def error_allowed(M):
    """Rounding of one application relative to max p and the scaling of the base."""
    dtype = np.float32 if M.precision != "double" else M.dtype
    scale = np.abs(M.polynomial.coefficients).sum()
    return 4 * tolerance(M.degree, dtype) * scale


def random_array(rng, shape, dtype=np.float64):
    x = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.standard_normal(shape)
    return (10 * x).astype(dtype)


@pytest.mark.parametrize("a", FLOATS)
@pytest.mark.parametrize("b", [bool, np.int8, np.int32, np.int64, np.uint64, *FLOATS])
@pytest.mark.parametrize("precision", ["single", "mixed", "double"])
def test_result_type(a, b, precision, rng):
    M = operator(a, degree=2, precision=precision)
    expected = np.result_type(a, b)
    assert M.dtype == a
    for shape in ((N,), (N, 1), (N, 3)):
        x = random_array(rng, shape, b)
        result = M @ x
        assert result.dtype == expected
        wide = M @ x.astype(np.result_type(b, np.float64))
        assert np.linalg.norm(result - wide) <= error_allowed(M) * np.linalg.norm(x)


@each_operator
def test_shapes(M, rng):
    n = M.shape[0]
    X = random_array(rng, (n, 4))
    x = X[:, 0]
    expected = M @ x
    assert expected.shape == (n,)
    for result in (M.matvec(x), M.rmatvec(x), M(x), M.dot(x), M @ list(x)):
        assert np.array_equal(result, expected)
    for result in (M @ x[:, None], M.matmat(x[:, None]), M._matvec(x[:, None])):
        assert result.shape == (n, 1)
        assert np.array_equal(result[:, 0], expected)
    block = M @ X
    assert block.shape == (n, 4)
    for result in (M.matmat(X), M.rmatmat(X), M.H @ X, M.adjoint() @ X):
        assert np.array_equal(result, block)
    for k in range(4):
        allowed = error_allowed(M) * np.linalg.norm(X[:, k])
        assert np.linalg.norm(block[:, k] - M @ X[:, k]) <= allowed
    for wrong in (np.ones(n + 1), np.ones((n + 1, 2))):
        with pytest.raises(ValueError, match=r"(?i)dimension mismatch|shape"):
            M @ wrong


@pytest.mark.skipif(HAS_STACKS, reason="newer SciPy warns of columns given to matvec")
def test_matvec_keeps_columns(rng):
    x = random_array(rng, (N, 1))
    M = OPERATORS["fused"]
    for result in (M.matvec(x), M.rmatvec(x)):
        assert np.array_equal(result, M @ x)


@each_operator
def test_matvec_takes_rows_as_vectors(M, rng):
    X = random_array(rng, (4, N))
    for rows in (X, X.reshape(2, 2, N)):
        expected = (M @ X.T).T.reshape(rows.shape)
        assert np.array_equal(M._matvec(rows), expected)
        assert np.array_equal(M._rmatvec(rows), expected)
        if HAS_STACKS:
            assert np.array_equal(M.matvec(rows), expected)


@each_operator
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_memory_order_does_not_matter(M, dtype, rng):
    X = random_array(rng, (N, 3), dtype)
    expected = M @ X
    frozen = X.copy()
    frozen.flags.writeable = False
    twice = np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)
    backward = np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1]
    swapped = X.astype(X.dtype.newbyteorder())
    for same in (np.asfortranarray(X), frozen, twice[::2, ::2], backward, swapped):
        before = same.copy()
        assert np.array_equal(M @ same, expected)
        assert np.array_equal(same, before)
    column = M @ np.ascontiguousarray(X[:, 1])
    for same in (X[:, 1], frozen[:, 1], twice[::2, 2], backward[:, 1]):
        assert np.array_equal(M @ same, column)


@each_operator
def test_stacks_and_empty_blocks(M, rng):
    stack = random_array(rng, (2, 5, N, 3))
    for X in (stack, stack[0], stack[:, :1], stack[..., :1], stack.swapaxes(0, 1)):
        result = M._matmat(X)
        assert result.shape == X.shape
        for index in np.ndindex(X.shape[:-2]):
            allowed = error_allowed(M) * np.linalg.norm(X[index])
            assert np.linalg.norm(result[index] - M @ X[index]) <= allowed
        if HAS_STACKS:
            assert np.array_equal(M @ X, result)
    for shape in ((N, 0), (0, N, 2), (3, N, 0)):
        assert M._matmat(np.ones(shape)).shape == shape
    assert (M @ np.ones((N, 0))).shape == (N, 0)


# Numbers of float32, in float64: no product of two of them is too small for that.
numbers = st.floats(-1000, 1000, width=32, allow_subnormal=False)
vectors = arrays(np.float64, N, elements=numbers)


@each_operator
@settings(deadline=None, max_examples=25, derandomize=True)
@given(x=vectors, y=vectors, a=numbers, b=numbers)
def test_linear_symmetric_positive(M, x, y, a, b):
    Mx, My = M @ x, M @ y
    size_x, size_y = np.linalg.norm(x), np.linalg.norm(y)
    rounding = error_allowed(M)
    combined = M @ (a * x + b * y) - (a * Mx + b * My)
    assert np.linalg.norm(combined) <= 3 * rounding * (abs(a) * size_x + abs(b) * size_y)
    assert abs(np.vdot(x, My) - np.vdot(Mx, y)) <= 2 * rounding * size_x * size_y
    if size_x > 0:
        assert np.vdot(x, Mx).real > 0


@each_operator
def test_adjoint_and_transpose(M, rng):
    x = random_array(rng, N, np.complex128)
    assert M.H is M
    assert M.adjoint() is M
    for transposed in (M.T, M.transpose()):
        # Of a Hermitian matrix it is the conjugate.
        error = transposed @ x - np.conj(M @ np.conj(x))
        assert np.linalg.norm(error) <= error_allowed(M) * np.linalg.norm(x)
        assert (transposed is M) == (M.dtype.kind != "c")


def test_complex_transpose_is_not_m_itself(rng):
    M, x = OPERATORS["complex"], random_array(rng, N, np.complex128)
    assert np.linalg.norm(M.T @ x - M @ x) > 0.01 * np.linalg.norm(M @ x)


def test_complex_vectors_on_a_real_matrix(rng):
    for M in (OPERATORS["fused"], OPERATORS["dense"], OPERATORS["user"]):
        X = random_array(rng, (N, 3), np.complex128)
        for x in (X, X[:, 0]):
            error = M @ x - ((M @ x.real) + 1j * (M @ x.imag))
            assert np.linalg.norm(error) <= error_allowed(M) * np.linalg.norm(x)


# Writing in place.


@each_operator
@pytest.mark.parametrize("shape", [(N,), (N, 1), (N, 3), (2, N, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_apply_into(M, shape, dtype, rng):
    x = random_array(rng, shape, dtype)
    expected = M._matmat(x)
    before = x.copy()
    large = np.full([2 * size for size in shape], 7, expected.dtype)
    every_second = large[tuple(slice(None, None, 2) for _ in shape)]
    for out in (np.empty_like(expected), np.empty_like(expected, order="F"), every_second):
        assert M.apply_into(x, out) is None
        assert np.array_equal(out, expected)
        assert np.array_equal(x, before)
    assert np.all(large[tuple(slice(1, None, 2) for _ in shape)] == 7)
    if x.dtype == expected.dtype:
        reversed_view = x[..., ::-1] if x.ndim == 1 else x[..., ::-1, :]
        turned = M._matmat(reversed_view.copy())
        M.apply_into(reversed_view, x)  # out overlaps x, in another order
        assert np.array_equal(x, turned)
        x[...] = before
        M.apply_into(x, x)
        assert np.array_equal(x, expected)
    wider = np.empty(shape, np.complex128)
    M.apply_into(before, wider)
    assert np.linalg.norm(wider - expected) <= error_allowed(M) * np.linalg.norm(before)


def read_only(array):
    array.flags.writeable = False
    return array


ONES = np.ones(N)


@pytest.mark.parametrize(
    ("x", "out", "message"),
    [
        (np.ones(37), ONES, r"x must have shape \(36,\) or \(\.\.\., 36, k\); got \(37,\)"),
        (np.ones((2, N)), ONES, r"x must have shape .* got \(2, 36\)"),
        (np.float64(1), ONES, r"x must have shape .* got \(\)"),
        (
            ONES,
            np.ones((N, 1)),
            r"array of shape \(36,\) .* got ndarray of shape \(36, 1\)",
        ),
        (ONES, np.ones(N, int), r"can hold float64; got .* type int64"),
        (ONES + 0j, np.ones(N), r"can hold complex128; got .* type float64"),
        (ONES, read_only(np.ones(N)), r"out must be a writeable array"),
        (ONES, [1.0] * N, r"got list of shape \(36,\) and type None"),
    ],
)
def test_apply_into_says_what_is_wrong(x, out, message):
    with pytest.raises(ValueError, match=message):
        OPERATORS["fused"].apply_into(x, out)
