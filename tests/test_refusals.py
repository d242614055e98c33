"""What `make` refuses: who says so, what must hold, and what came, in one sentence."""

import re

import numpy as np
import pytest
import scipy.sparse as sp
from problems import Product, complex_hermitian, poisson1d, refusal
from scipy.sparse.linalg import aslinearoperator

import autospec_precond as ap

A5 = poisson1d(5)


def changed(A, row, column, value):
    A = A.toarray()
    A[row, column] = value
    return A


def operator(function, dtype=float, n=5):
    class Given:
        shape = (n, n)

        def __matmul__(self, x):
            return function(x)

    Given.dtype = None if dtype is None else np.dtype(dtype)
    return Given()


@pytest.mark.parametrize(
    ("A", "message"),
    [
        (
            [[2.0, 1.0], [1.0, 2.0]],
            "A must be a sparse array, an ndarray or an operator",
        ),
        ([[2.0, 1.0], [1.0, 2.0]], r"got list\. Convert it with numpy\.asarray\(A\)\."),
        (((1.0,),), "got tuple"),
        ("bcsstk01.mtx", "got str"),
        (None, "got NoneType"),
        (3.0, "got float"),
        (np.eye(3).astype(object), "A must hold numbers; got dtype object"),
        (np.full((2, 2), "x"), "A must hold numbers; got dtype <U1"),
        (
            operator(lambda x: x, dtype=None),
            r"A must have shape, dtype and the operator @; got",
        ),
    ],
)
def test_refuses_what_is_no_matrix(A, message):
    assert re.search(message, refusal(TypeError, A))


@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_array, sp.coo_matrix])
def test_refuses_a_rectangle(wrap):
    text = refusal(ValueError, wrap(np.ones((3, 4))))
    assert "A must be square; got shape (3, 4)" in text


@pytest.mark.parametrize("A", [np.ones(3), np.float64(2.0), np.ones((2, 2, 2))])
def test_refuses_another_number_of_dimensions(A):
    assert f"A must be square; got shape {A.shape}." in refusal(ValueError, A)


@pytest.mark.parametrize(
    "A", [np.empty((0, 0)), sp.csr_array((0, 0)), sp.lil_array((0, 0))]
)
def test_refuses_an_empty_matrix(A):
    assert "A must not be empty; got shape (0, 0)" in refusal(ValueError, A)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_array, sp.csc_array, sp.lil_array])
@pytest.mark.parametrize("column", [0, 3, 8], ids=["row_start", "inside", "row_end"])
def test_refuses_entries_that_are_not_finite(value, wrap, column):
    dense = changed(poisson1d(9), 7, 2, value)
    dense[3, column] = np.nan
    text = refusal(ValueError, wrap(dense))
    assert (
        f"A must be finite; got 2 non-finite entries, the first at (3, {column})." in text
    )


def test_refuses_imaginary_parts_that_are_not_finite():
    A = changed(complex_hermitian(5), 1, 1, complex(2, np.nan))
    assert "got 1 non-finite entries, the first at (1, 1)" in refusal(ValueError, A)


@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_array])
@pytest.mark.parametrize(
    ("A", "where", "much"),
    [
        (changed(poisson1d(50), 30, 12, 0.5), (12, 30), "2.5e-01"),
        (changed(poisson1d(50), 0, 49, 4e-12), (0, 49), "2.0e-12"),
        (changed(poisson1d(50, np.float32), 6, 5, -1.5), (5, 6), "2.5e-01"),
        (changed(complex_hermitian(50), 8, 9, 1j), (8, 9), None),
        (changed(complex_hermitian(50), 8, 8, 2 + 1j), (8, 8), "8.9e-01"),
    ],
)
def test_refuses_a_matrix_that_is_not_hermitian(A, where, much, wrap):
    text = refusal(ValueError, wrap(A))
    i, j = where
    allowed = "1e-05" if A.dtype == np.float32 else "1e-12"
    assert f"A must be Hermitian; got entries ({i}, {j}) and ({j}, {i}) apart by" in text
    assert f"of the largest entry (allowed {allowed})" in text
    assert much is None or f"apart by {much}" in text
    assert "gmres" in text


@pytest.mark.parametrize(("dtype", "size"), [(np.float64, 1e-13), (np.float32, 1e-6)])
@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_array])
def test_takes_a_matrix_that_is_hermitian_up_to_rounding(dtype, size, wrap):
    A = changed(poisson1d(50, dtype), 30, 12, size)
    assert ap.make(wrap(A), degree=4).degree == 4


@pytest.mark.parametrize("wrap", [aslinearoperator, Product])
def test_refuses_an_operator_that_is_not_hermitian(wrap):
    text = refusal(ValueError, wrap(sp.csr_array(changed(poisson1d(50), 30, 12, 0.5))))
    assert "A must be Hermitian; got an operator with x* A y and (y* A x)* apart by" in text
    assert "gmres" in text


@pytest.mark.parametrize(
    ("row", "value", "what"), [(3, 0.0, "got 0 in row 3"), (0, -2.5, "got -2.5 in row 0")]
)
@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_array])
def test_refuses_a_diagonal_that_is_not_positive(row, value, what, wrap):
    text = refusal(ValueError, wrap(changed(A5, row, row, value)))
    assert f"the diagonal of A must be positive; {what} (1 such rows)" in text
    assert "A is not positive definite: use minres or gmres" in text


@pytest.mark.parametrize("A", [sp.csr_array((4, 4)), np.zeros((4, 4))])
def test_refuses_a_matrix_of_zeros(A):
    assert "must be positive; got 0 in row 0 (4 such rows)" in refusal(ValueError, A)


def test_tells_how_to_solve_with_a_negative_definite_matrix():
    assert "A is negative definite: pass -A and -b" in refusal(ValueError, -A5)


@pytest.mark.parametrize(
    ("diagonal", "message"),
    [
        (
            np.ones(4),
            r"must be numbers of shape \(5,\); got float64 of shape \(4,\)",
        ),
        ([1, 2, 0, 4, 5], r"diagonal must be positive; got 0 in row 2 \(1 such rows\)"),
        (
            [1, 2, np.nan, -4, 5],
            r"must be positive; got nan in row 2 \(2 such rows\)",
        ),
        (["1"] * 5, r"must be numbers of shape \(5,\); got <U1 of shape \(5,\)"),
    ],
)
def test_refuses_a_diagonal_that_does_not_fit(diagonal, message):
    assert re.search(message, refusal(ValueError, Product(A5), diagonal=diagonal))


@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_array, Product])
def test_refuses_a_negative_ritz_value(wrap):
    A = np.array([[1.0, 2.0], [2.0, 1.0]])
    text = refusal(ValueError, wrap(A))
    assert "A must be positive definite; got a Ritz value of -1 (the largest is 3)" in text
    assert "minres, or gmres" in text


@pytest.mark.parametrize("degree", [None, 0, 8])
def test_refuses_an_indefinite_matrix(degree):
    A = poisson1d(300) - 0.5 * sp.eye_array(300)
    text = refusal(ValueError, A, degree=degree)
    assert "A must be positive definite; got a Ritz value of -" in text


@pytest.mark.parametrize("function", [lambda x: -x, lambda x: 0 * x])
def test_refuses_an_operator_without_a_positive_ritz_value(function):
    text = refusal(ValueError, operator(function))
    assert re.search(r"A must be positive definite; got a Ritz value of (-1|0)\b", text)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (
            lambda x: x[:, None],
            ValueError,
            "must be an ndarray of that shape; got",
        ),
        (
            lambda x: x[:, None],
            ValueError,
            r"a vector of shape \(5,\).*shape \(5, 1\)",
        ),
        (lambda x: x[:4], ValueError, r"got ndarray of shape \(4,\)"),
        (lambda x: x.tolist(), ValueError, r"got list of shape \(5,\)"),
        (lambda x: x * 1j, TypeError, r"that A\.dtype = float64 can hold; got complex128"),
        (lambda x: x.astype(object), TypeError, r"can hold; got object\. Give A the dtype"),
        (lambda x: x * np.nan, ValueError, r"the products of A must be finite; got nan"),
    ],
)
def test_refuses_an_operator_with_other_products(function, error, message):
    assert re.search(message, refusal(error, operator(function)))


def test_asymmetry_beside_a_huge_entry_is_seen():
    """Against the largest entry it would look like rounding; M would not be symmetric."""
    B = sp.diags_array([-0.5, 1.0], offsets=[1, 0], shape=(60, 60))
    A = sp.block_diag([B, sp.csr_array([[1e12]])]).tocsr()
    assert "A must be Hermitian" in refusal(ValueError, A)


def test_a_state_on_a_base_of_ones_own_needs_that_base():
    A = poisson1d(50)
    base = sp.diags_array(np.full(50, 0.4)).tocsr()  # a matrix will do as base
    M = ap.make(A, base=base, degree=4)
    assert "base must be given" in refusal(ValueError, A, polynomial=M.state())
    x = np.ones(50)
    assert np.array_equal(ap.make(A, base=base, polynomial=M.state()) @ x, M @ x)


def test_columns_far_apart_in_size_keep_their_own_scale():
    M = ap.make(poisson1d(50), degree=4, precision="single")
    x = np.linspace(1, 2, 50)
    Y = M @ np.stack([1e30 * x, 1e-30 * x], axis=1)
    for column, size in ((0, 1e30), (1, 1e-30)):
        assert np.allclose(Y[:, column] / size, M @ x, rtol=1e-5)


class VectorsOnly:
    """An operator whose product knows vectors only; it would broadcast over a block."""

    shape, dtype = (50, 50), np.dtype("f8")

    def __matmul__(self, x):
        return np.linspace(1.0, 3.0, 50) * x


def test_operators_that_know_vectors_only_take_blocks():
    M = ap.make(VectorsOnly(), degree=4)
    X = np.random.default_rng(0).standard_normal((50, 50))
    assert np.allclose(M @ X, np.stack([M @ x for x in X.T], axis=1), rtol=1e-12)


def test_a_base_of_ones_own_uses_a_copy_of_the_matrix():
    A = poisson1d(50)
    M = ap.make(A, base=sp.eye_array(50).tocsr(), degree=4)
    before = M @ np.ones(50)
    A.data *= 1.5
    assert np.array_equal(M @ np.ones(50), before)
