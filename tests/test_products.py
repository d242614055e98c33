"""M.A: the product with A in A's precision."""

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from problems import (
    complex_hermitian,
    dense_with_spectrum,
    poisson1d,
    poisson2d,
    sparse_random,
)

import autospec_precond as ap
from autospec_precond.kernels.arrays import alias
from autospec_precond.products import MatrixProduct

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]


def with_long_rows(n, rng):
    """Rows of every length up to n, around all thresholds of the kernels."""
    upper = sp.coo_array(np.triu(rng.standard_normal((n, n)), 1))
    keep = upper.col - upper.row <= (upper.row % n) / 2
    entries = (upper.data[keep], (upper.row[keep], upper.col[keep]))
    upper = sp.coo_array(entries, shape=(n, n)).tocsr()
    return sp.csr_array(upper + upper.T + n * sp.eye_array(n))


MATRICES = {
    "one": lambda rng: sp.csr_array([[2.0]]),
    "poisson": lambda rng: poisson2d(7),
    "empty_off_diagonal": lambda rng: sp.csr_array(sp.diags_array(np.arange(1.0, 34.0))),
    "random": lambda rng: sparse_random(65, rng),
    "long_rows": lambda rng: with_long_rows(150, rng),
    "complex": lambda rng: complex_hermitian(33),
    "dense": lambda rng: dense_with_spectrum(np.linspace(1, 2, 20), rng),
    "operator": lambda rng: spla.aslinearoperator(poisson2d(7)),
}
each_matrix = pytest.mark.parametrize("name", MATRICES)


def product(A):
    return ap.make(A, base="none", degree=0).A


def block(rng, shape, dtype):
    if np.dtype(dtype).kind in "iu":
        return rng.integers(-9, 9, shape).astype(dtype)
    x = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.standard_normal(shape)
    return x.astype(dtype)


def forms(X):
    """Yield the same numbers in every kind of memory."""
    yield X
    yield np.asfortranarray(X)
    yield np.repeat(X, 2, axis=0)[::2]
    frozen = X.copy()
    frozen.flags.writeable = False
    yield frozen


@each_matrix
@pytest.mark.parametrize("x_dtype", [np.int64, *DTYPES])
@pytest.mark.parametrize("columns", [(), (1,), (2,), (3,), (5,), (8,), (11,), (12,), (19,)])
def test_is_the_product(name, x_dtype, columns, rng):
    A = MATRICES[name](rng)
    check(A, x_dtype, columns, rng)
    if name not in ("dense", "operator"):
        check(A.astype("F" if A.dtype.kind == "c" else "f"), x_dtype, columns, rng)


def check(A, x_dtype, columns, rng):
    P = product(A)
    X = block(rng, (A.shape[0], *columns), x_dtype)
    dtype = np.result_type(A.dtype, x_dtype)
    wide = np.result_type(dtype, np.float64)
    dense = (A.toarray() if sp.issparse(A) else A @ np.eye(A.shape[0])).astype(wide)
    expected = dense @ X.astype(wide)
    allowed = 4 * A.shape[0] * np.finfo(dtype).eps * (np.abs(dense) @ np.abs(X)).max()
    for x in forms(X):
        before = x.copy()
        for result in (P @ x, P.H @ x, P.rmatvec(x) if x.ndim == 1 else P.rmatmat(x)):
            assert result.dtype == dtype
            assert result.shape == x.shape
            assert np.abs(result - expected).max() <= allowed
        assert np.array_equal(x, before)
    # What the solver uses: the product together with its energy.
    x = np.array(X, dtype, order="C")
    out, sums = np.full_like(x, np.nan), np.full(columns or 1, np.nan)
    P.into(x, out, sums)
    energy = np.sum(x.conj().astype(wide) * expected, axis=0).real
    assert np.abs(out - expected).max() <= allowed
    assert np.abs(sums - energy).max() <= allowed * np.abs(x).sum()


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_read_only_matrices_and_long_indices(index, rng):
    A, x = poisson2d(7), rng.standard_normal(49)
    expected = A @ x
    A.indices, A.indptr = A.indices.astype(index), A.indptr.astype(index)
    for array in (A.data, A.indices, A.indptr):
        array.flags.writeable = False
    assert np.allclose(product(A) @ x, expected, rtol=1e-14, atol=0)


def test_an_alias_is_the_same_memory_and_keeps_it_alive():
    x = np.arange(5.0)
    assert alias(x) is x
    x.flags.writeable = False
    y = alias(x)
    assert y.flags.writeable
    assert np.shares_memory(x, y)
    del x
    assert np.array_equal(y, np.arange(5.0))


@pytest.mark.parametrize("solver", [spla.cg, spla.minres, spla.gmres])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scipys_solvers_take_it(solver, dtype, rng):
    A, b = poisson2d(7, dtype), rng.standard_normal(49).astype(dtype)
    M = ap.make(A, degree=4)
    rtol = 1e-5 if dtype is np.float32 else 1e-10
    x, info = solver(M.A, b, M=M, rtol=rtol)
    assert info == 0
    assert np.linalg.norm(b - A @ x) <= 20 * rtol * np.linalg.norm(b)


def test_it_is_a_linear_operator(rng):
    A = poisson2d(7)
    P = product(A)
    assert isinstance(P, spla.LinearOperator)
    assert isinstance(P, MatrixProduct)
    assert spla.aslinearoperator(P) is P
    assert (P.shape, P.dtype) == (A.shape, A.dtype)
    x = rng.standard_normal(49)
    assert np.allclose((2 * P - P) @ x, A @ x)
    assert np.allclose(P.T @ x, A @ x)
    values = spla.eigsh(P, k=1, return_eigenvectors=False)
    assert np.isclose(values[0], np.linalg.eigvalsh(A.toarray())[-1])


def test_made_once():
    M = ap.make(poisson2d(7), degree=2)
    assert M.A is M.A


def test_a_nan_stays_where_it_belongs(rng):
    A = poisson2d(7)
    P, X = product(A), rng.standard_normal((49, 3))
    X[20, 1] = np.nan
    for x in (X[:, 1], X):
        bad = np.isnan(P @ x)
        assert np.array_equal(bad, np.isnan(A @ x))
        assert 0 < bad.sum() < 10


@pytest.mark.parametrize("change", ["rebound", "eliminated", "written"])
def test_products_are_those_of_a_as_it_is_now(change, rng):
    A = sp.csr_array(poisson1d(50))
    M = ap.make(A, degree=4)
    x = rng.standard_normal(50)
    assert np.allclose(M.A @ x, A @ x)
    if change == "rebound":
        A.data = 2 * A.data
    elif change == "eliminated":
        A.data[A.data < 0] = 0.0
        A.eliminate_zeros()
        A.data *= 3
    else:
        A.data *= 2
    assert np.allclose(M.A @ x, A @ x)
    solution, info = M.solve(x, rtol=1e-8)
    assert info == 0
    assert np.linalg.norm(x - A @ solution) <= 1e-8 * np.linalg.norm(x)


@pytest.mark.parametrize("form", ["csc", "coo", "dia", "lil", "dok"])
def test_other_formats_are_opened_once(form, rng):
    M = ap.make(poisson1d(50).asformat(form), degree=4)
    assert M.A is M.A
