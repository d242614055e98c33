"""Types that are converted, matrices that are tiny, easy, singular or far from one."""

import numpy as np
import pytest
import scipy.sparse as sp
from problems import distance, poisson1d
from scipy.sparse.linalg import aslinearoperator, cg

import autospec_precond as ap

TYPES = {
    np.float32: np.float32,
    np.float64: np.float64,
    np.float16: np.float32,
    np.longdouble: np.float64,
    np.int8: np.float64,
    np.int32: np.float64,
    np.int64: np.float64,
    np.complex64: np.complex64,
    np.complex128: np.complex128,
    np.clongdouble: np.complex128,
}


@pytest.mark.parametrize("given", TYPES)
def test_types_are_converted_and_said(given, rng):
    A = poisson1d(40).toarray().astype(given)
    M = ap.make(A, degree=4)
    assert M.dtype == TYPES[given]
    said = f"converted from {np.dtype(given)} to {np.dtype(TYPES[given])}" in str(M.report)
    assert said == (np.dtype(given) != TYPES[given])
    N = ap.make(poisson1d(40, TYPES[given]), degree=4)
    assert distance(M, N, rng.standard_normal(40).astype(np.float32)) <= 1e-5


@pytest.mark.parametrize(
    "given", [np.float32, np.int32, np.int64, np.complex64, np.longdouble]
)
def test_types_of_sparse_arrays_are_converted(given):
    M = ap.make(poisson1d(40, given), degree=4)
    assert M.dtype == TYPES[given]


def test_a_matrix_of_truth_values_is_one_of_ones():
    M = ap.make(np.eye(5, dtype=bool))
    assert M.dtype == np.float64
    assert cg(np.eye(5), np.ones(5), M=M)[1] == 0


@pytest.mark.parametrize("n", [1, 2, 3, 5, 11])
@pytest.mark.parametrize("degree", [None, 0, 4])
@pytest.mark.parametrize("wrap", [sp.csr_array, np.asarray, aslinearoperator])
def test_small_matrices_work(n, degree, wrap, rng):
    A = wrap(poisson1d(n, shift=0.5).toarray())
    b = rng.standard_normal(n)
    M = ap.make(A, degree=degree)
    assert M.probe.n_steps == n or (degree is None and M.probe.n_steps < n)
    assert "Krylov space ended" not in str(M.report)
    x, info = cg(A, b, M=M, rtol=1e-10)
    assert info == 0
    assert np.linalg.norm(b - A @ x) <= 1e-9 * np.linalg.norm(b)


@pytest.mark.parametrize("degree", [None, 0, 8])
@pytest.mark.parametrize("base", [None, "none"])
def test_diagonal_matrices_work(degree, base, rng):
    d = 10.0 ** rng.uniform(-2, 2, 100)
    A = sp.dia_array((d[None], [0]), shape=(100, 100))
    assert A.nnz == 100
    b = rng.standard_normal(100)
    M = ap.make(A, degree=degree, base=base)
    x, info = cg(A, b, M=M, rtol=1e-8, maxiter=2000)
    assert info == 0
    assert np.linalg.norm(b - A @ x) <= 1e-7 * np.linalg.norm(b)
    assert ("Krylov space ended after 1 of 12 steps" in str(M.report)) == (base is None)


def test_zero_right_hand_side_and_zero_vector():
    A = poisson1d(50)
    M = ap.make(A, degree=8)
    x, info = cg(A, np.zeros(50), M=M)
    assert info == 0
    assert not x.any()
    assert not (M @ np.zeros(50)).any()


def test_a_singular_matrix_is_not_taken_for_an_indefinite_one(rng):
    # Second differences on a circle: constants are in the kernel.
    n = 100
    A = sp.csr_array(np.roll(np.eye(n), 1, 0) + np.roll(np.eye(n), -1, 0))
    A = 2 * sp.eye_array(n) - A
    b = A @ rng.standard_normal(n)
    x, info = cg(A, b, M=ap.make(A), rtol=1e-8)
    assert info == 0
    assert np.linalg.norm(b - A @ x) <= 1e-7 * np.linalg.norm(b)


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
@pytest.mark.parametrize("base", ["none", "jacobi"])
def test_the_scale_of_a_matrix_does_not_matter(scale, base, rng):
    A = poisson1d(60)
    x = rng.standard_normal(60)
    M = ap.make(A, degree=8, base=base)
    N = ap.make(A * scale, degree=8, base=base)
    assert np.linalg.norm(scale * (N @ x) - M @ x) <= 1e-6 * np.linalg.norm(M @ x)
