"""M for LOBPCG: the contract, what it gains, both ends, mass matrices, refusals."""

import warnings

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, aslinearoperator, lobpcg

import autospec_precond as ap
from autospec_precond import classical


def laplacian(side, dtype=float):
    line = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(side, side))
    eye = sp.eye_array(side)
    return sp.csr_array(sp.kron(line, eye) + sp.kron(eye, line)).astype(dtype)


def scaled(side):
    weights = np.random.default_rng(1).uniform(1, 30, side**2)
    return sp.csr_array(sp.diags_array(weights) @ laplacian(side) @ sp.diags_array(weights))


def complex_grid(side):
    phases = np.exp(1j * np.random.default_rng(1).uniform(0, 6, side**2))
    return sp.csr_array(
        sp.diags_array(phases.conj()) @ laplacian(side) @ sp.diags_array(phases)
    )


def run(A, M, k=6, **keywords):
    X = np.random.default_rng(0).standard_normal((A.shape[0], k)).astype(A.dtype)
    largest = keywords.pop("largest", False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        w, v, norms = lobpcg(
            A,
            X,
            M=M,
            largest=largest,
            maxiter=500,
            retResidualNormsHistory=True,
            **keywords,
        )
    return np.sort(w), v, len(norms)


@pytest.mark.parametrize("make", [laplacian, scaled, complex_grid])
def test_finds_the_smallest_in_fewer_iterations(make):
    A = make(40)
    expected = scipy.linalg.eigvalsh(A.toarray())[:6]
    tol = 1e-6 * expected[-1]
    M = ap.make(A, solver="lobpcg", n_eigenpairs=6)
    w, _, n_with = run(A, M, tol=tol)
    *_, n_without = run(A, None, tol=tol)
    assert np.abs(w - expected).max() <= 1e-9 * expected[-1]
    assert 3 * n_with < n_without
    assert (M.solver, M.report.solver) == ("lobpcg", "lobpcg")


def test_finds_the_largest_in_fewer_iterations():
    A = scaled(40)
    expected = scipy.linalg.eigvalsh(A.toarray())[-6:]
    tol = 1e-7 * expected[-1]
    M = ap.make(A, solver="lobpcg", n_eigenpairs=6, largest=True)
    w, _, n_with = run(A, M, tol=tol, largest=True)
    *_, n_without = run(A, None, tol=tol, largest=True)
    assert M.report.base == "none"
    assert np.abs(w - expected).max() <= 1e-9 * expected[-1]
    assert n_with < 0.7 * n_without


def test_mass_matrix():
    A = laplacian(30)
    n = A.shape[0]
    B = sp.csr_array(sp.diags_array([1.0, 4.0, 1.0], offsets=[-1, 0, 1], shape=(n, n)))
    expected = scipy.linalg.eigvalsh(A.toarray(), B.toarray())[:6]
    tol = 1e-6 * expected[-1]
    M = ap.make(A, solver="lobpcg", n_eigenpairs=6, B=B)
    w, _, n_with = run(A, M, tol=tol, B=B)
    *_, n_without = run(A, None, tol=tol, B=B)
    assert np.abs(w - expected).max() <= 1e-8 * expected[-1]
    assert 2 * n_with < n_without


def test_blocks_are_taken_whole_and_in_fortran_order():
    A = laplacian(30)
    M = ap.make(A, solver="lobpcg", n_eigenpairs=5)
    X = np.random.default_rng(0).standard_normal((900, 5))
    by_columns = np.stack([M @ x for x in X.T], axis=1)
    for block in (X, np.asfortranarray(X)):
        assert np.allclose(
            M @ block, by_columns, rtol=1e-6, atol=1e-6 * abs(by_columns).max()
        )
    widths = []

    def matmat(Y):
        widths.append(Y.shape[1])
        return A @ Y

    operator = LinearOperator(A.shape, matvec=A.__matmul__, matmat=matmat, dtype=A.dtype)
    free = ap.make(operator, solver="lobpcg", n_eigenpairs=5, diagonal=A.diagonal())
    widths.clear()
    free @ X
    assert set(widths) == {5}


@pytest.mark.parametrize("largest", [False, True])
def test_is_positive_definite_and_symmetric(largest):
    A = scaled(20)
    M = ap.make(A, solver="lobpcg", n_eigenpairs=4, largest=largest, precision="double")
    dense = M @ np.eye(400)
    assert np.allclose(dense, dense.T, atol=1e-12 * abs(dense).max())
    assert scipy.linalg.eigvalsh(dense)[0] > 0


def test_repeats_and_can_be_stored():
    A = laplacian(30)
    x = np.random.default_rng(0).standard_normal(900)
    M = ap.make(A, solver="lobpcg", n_eigenpairs=5)
    assert np.array_equal(M @ x, ap.make(A, solver="lobpcg", n_eigenpairs=5) @ x)
    again = ap.make(A, polynomial=M.state(), n_eigenpairs=5, solver="lobpcg")
    assert np.array_equal(M @ x, again @ x)
    assert "eigenvalues" in str(M.report)
    assert ap.make(A, solver="lobpcg", n_eigenpairs=5, degree=10).degree == 10
    assert ap.make(A, solver="lobpcg", n_eigenpairs=5, degree=0).degree == 0


@pytest.mark.parametrize("degree", [2, 8, 16, 64])
@pytest.mark.parametrize(("low", "shift"), [(0.1, 0.05), (0.1, 0.0), (0.01, 0.009)])
def test_shifted_polynomial_is_optimal_and_positive(degree, low, shift):
    p = classical.shifted(degree, 2.0, low, shift)
    x = np.linspace(low, 2.0, 4000)
    residual = 1 - (x - shift) * p(x)
    bound = classical.shifted_residual(degree, 2.0, low, shift)
    assert np.abs(residual).max() == pytest.approx(bound, rel=1e-3, abs=1e-8)
    assert p.degree == degree
    assert p(np.linspace(-0.05, 2.05, 4001)).min() > 0


def test_shift_above_the_interval():
    p = classical.shifted(8, 1.5, 0.0, 1.8, 2.0)
    x = np.linspace(0.0, 1.5, 1000)
    bound = classical.shifted_residual(8, 1.5, 0.0, 1.8)
    assert np.abs(1 - (1.8 - x) * p(x)).max() == pytest.approx(bound, rel=1e-3)
    assert p(np.linspace(0, 2, 1001)).min() > 0


GRID = laplacian(12)


@pytest.mark.parametrize(
    ("A", "keywords", "error", "message"),
    [
        (GRID, {}, ValueError, "n_eigenpairs must be given for solver='lobpcg'"),
        (
            GRID,
            {"n_eigenpairs": 144},
            ValueError,
            "n_eigenpairs must be below the 144 rows",
        ),
        (GRID, {"n_eigenpairs": 0}, ValueError, "n_eigenpairs must be"),
        (GRID, {"n_eigenpairs": 4, "B": -GRID}, ValueError, "B must be positive definite"),
        (GRID, {"n_eigenpairs": 4, "B": laplacian(9)}, ValueError, "B must have the shape"),
        (
            GRID,
            {"n_eigenpairs": 4, "B": aslinearoperator(-GRID)},
            ValueError,
            "B must be positive definite",
        ),
        (GRID, {"n_eigenpairs": 4, "degree": 3}, ValueError, "even"),
        (
            GRID,
            {"n_eigenpairs": 4, "degree": "measure"},
            ValueError,
            "degree must be an int",
        ),
        (
            GRID,
            {"n_eigenpairs": 4, "engine": "x"},
            ValueError,
            "engine must be 'classical'",
        ),
        (
            GRID,
            {"n_eigenpairs": 4, "largest": True, "base": "jacobi"},
            ValueError,
            "base must be 'none' for the largest",
        ),
        (
            sp.csr_array(GRID - 2.0 * sp.eye_array(144)),
            {"n_eigenpairs": 4},
            ValueError,
            "A must be positive definite for solver='lobpcg'; got a Ritz value",
        ),
    ],
)
def test_says_what_is_wrong(A, keywords, error, message):
    with pytest.raises(error, match=message):
        ap.make(A, solver="lobpcg", **keywords)
