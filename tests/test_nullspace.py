"""Singular but consistent systems: null vectors are found, checked and projected out."""

import numpy as np
import pytest
import scipy.sparse as sp
from problems import Product, poisson1d, poisson2d, with_spectrum
from scipy.sparse.linalg import cg, minres

import autospec_precond as ap
from autospec_precond import nullspace

N = 300


def path(n):
    T = poisson1d(n).tolil()
    T[0, 0] = T[n - 1, n - 1] = 1.0
    return sp.csr_array(T)


def ring(n):
    T = poisson1d(n).tolil()
    T[0, n - 1] = T[n - 1, 0] = -1.0
    return sp.csr_array(T)


def neumann(side):
    T, eye = path(side), sp.eye_array(side)
    return sp.csr_array(sp.kron(T, eye) + sp.kron(eye, T))


def periodic(side):
    T, eye = ring(side), sp.eye_array(side)
    return sp.csr_array(sp.kron(T, eye) + sp.kron(eye, T))


def graph(n_components, n=N, seed=0):
    rng = np.random.default_rng(seed)
    i, j = rng.integers(n, size=(2, 4 * n))
    i[: n - n_components], j[: n - n_components] = (
        np.arange(n - n_components),
        np.arange(n - n_components) + n_components,
    )
    j = j - (j - i) % n_components  # stays in its component
    i, j = i[j >= 0], j[j >= 0]
    weights = rng.uniform(0.1, 10, i.size) * (i != j)
    W = sp.coo_array((weights, (i, j)), shape=(n, n)).tocsr()
    W = W + W.T
    return sp.csr_array(sp.diags_array(W.sum(axis=1)) - W)


MATRICES = {
    "path": lambda: path(N),
    "Neumann": lambda: neumann(17),
    "periodic": lambda: periodic(16),
    "graph": lambda: graph(1),
    "graph of three parts": lambda: graph(3),
}
each_matrix = pytest.mark.parametrize("name", MATRICES)
PARTS = {"graph of three parts": 3}


@each_matrix
@pytest.mark.parametrize("precision", ["single", "mixed", "double"])
@pytest.mark.parametrize("degree", [0, 8])
def test_constants_are_projected_out(name, precision, degree):
    A = MATRICES[name]()
    M = ap.make(A, degree=degree, precision=precision)
    n, k = A.shape[0], PARTS.get(name, 1)
    assert "constants are projected out" in str(M.report)
    assert k == 1 or f"A 1 = 0 on each of {k} components" in str(M.report)
    D = M @ np.eye(n)
    eps = np.finfo(np.float32 if precision == "single" else np.float64).eps
    size = np.linalg.norm(D, 2)
    assert np.linalg.norm(D @ np.ones(n)) <= 100 * eps * size * np.sqrt(n)
    values = np.linalg.eigvalsh(0.5 * (D + D.T))
    assert np.count_nonzero(values > 1e3 * np.finfo(float).eps * size) == n - k


@each_matrix
@pytest.mark.parametrize(("solver", "word"), [(cg, "cg"), (minres, "minres")])
@pytest.mark.parametrize("degree", [None, 0, 8, 16])
def test_solvers_solve_what_is_consistent(name, solver, word, degree, rng):
    A = MATRICES[name]()
    b = A @ rng.standard_normal(A.shape[0])
    M = ap.make(A, solver=word, degree=degree)
    x, info = solver(A, b, M=M, rtol=1e-10)
    assert info == 0
    assert np.linalg.norm(b - A @ x) <= 1e-7 * np.linalg.norm(b)


@each_matrix
def test_m_solves_what_is_consistent(name, rng):
    A = MATRICES[name]()
    b = A @ rng.standard_normal(A.shape[0])
    x, info = ap.make(A, degree=8).solve(b, rtol=1e-8)
    assert info == 0
    assert np.linalg.norm(b - A @ x) <= 1e-8 * np.linalg.norm(b)


def test_the_probe_starts_without_the_null_vector():
    assert ap.make(graph(3), degree=8).probe.ritz_values[0] > 1e-3


def test_a_matrix_that_is_not_singular_is_left_alone(rng):
    M = ap.make(poisson2d(17), degree=8)
    assert "projected" not in str(M.report)
    x = rng.standard_normal(17 * 17)
    assert np.linalg.norm(M @ np.ones(17 * 17)) > 0.1
    assert (M @ x).shape == x.shape


@pytest.mark.parametrize("wrap", [sp.csr_array, np.asarray, Product])
@pytest.mark.parametrize("solver", ["cg", "minres"])
def test_a_nullspace_of_the_callers_is_projected_out(wrap, solver, rng):
    values = np.concatenate([[0.0, 0.0], np.linspace(0.1, 5, 98)])
    if solver == "minres":
        values[50:] *= -1
    A = with_spectrum(values, rng).toarray()
    null = np.linalg.eigh(A)[1][:, np.argsort(np.abs(np.linalg.eigvalsh(A)))[:2]]
    given = null @ np.array([[1.0, 2.0], [0.0, 3.0]])  # neither orthogonal nor normal
    before = given.copy()
    M = ap.make(wrap(A), solver=solver, degree=8, nullspace=given)
    assert np.array_equal(given, before)
    assert "nullspace of 2 vectors given: projected out" in str(M.report)
    image = M @ null
    assert np.abs(image).max() <= 1e-12 * np.linalg.norm(M @ np.eye(100), 2)
    b = A @ rng.standard_normal(100)
    x, _ = (cg if solver == "cg" else minres)(A, b, M=M, rtol=1e-10)
    assert np.linalg.norm(b - A @ x) <= 1e-6 * np.linalg.norm(b)


@pytest.mark.parametrize(
    ("nullspace", "error", "message"),
    [
        (
            np.arange(1.0, N + 1),
            ValueError,
            r"must hold null vectors of A; got \|\|A N\|\| = ",
        ),
        (np.ones(N - 1), TypeError, "must be numbers of shape"),
        (np.ones((N, 2)), ValueError, "must have independent columns; got a column within"),
        (np.full(N, np.nan), ValueError, "finite columns; got"),
        (np.ones(N, complex), TypeError, "must be real for a real A; got complex128"),
    ],
)
def test_refuses_what_is_no_nullspace(nullspace, error, message):
    with pytest.raises(error, match=message):
        ap.make(path(N), nullspace=nullspace)


def test_refuses_a_nullspace_for_a_general_matrix(rng):
    A = sp.csr_array(poisson1d(50) + sp.diags_array(np.ones(49), offsets=1))
    with pytest.raises(ValueError, match="nullspace must be given for a Hermitian A"):
        ap.make(A, solver="gmres", assume_a="gen", nullspace=np.ones(50))


@pytest.mark.parametrize("shape", [(N,), (N, 3), (N, 1)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_blocks_are_projected_like_vectors(shape, order, rng):
    M = ap.make(path(N), degree=8)
    X = np.asarray(rng.standard_normal(shape), order=order)
    before = X.copy()
    Y = M @ X
    assert np.array_equal(X, before)
    columns = X.reshape(N, -1)
    expected = np.stack([M @ column for column in columns.T], axis=-1).reshape(shape)
    assert np.abs(Y - expected).max() <= 1e-12 * np.abs(expected).max()
    out = X
    M.apply_into(X, out)
    assert np.abs(out - Y).max() <= 1e-12 * np.abs(Y).max()


def test_nan_in_nan_out():
    x = np.ones(N)
    x[5] = np.nan
    assert np.isnan(ap.make(path(N), degree=8) @ x).any()


@pytest.mark.parametrize("k", [1, 3, 12])
@pytest.mark.parametrize("kinds", ["dd", "dD", "DD"])
def test_the_base_alone_is_projected_on_both_sides(k, kinds, rng):
    null, x = (
        rng.standard_normal((N, columns))
        + (kind == "D") * 1j * rng.standard_normal((N, columns))
        for kind, columns in zip(kinds, (k, 1), strict=True)
    )
    null, x, d = np.linalg.qr(null)[0], x[:, 0], rng.uniform(0.1, 10, N)
    P = np.eye(N) - null @ null.conj().T
    assert np.allclose(nullspace.projected(x, null), P @ x, atol=1e-13)
    y = nullspace.Sandwiched(d, null, x.dtype)(x)
    assert y.dtype == x.dtype
    assert np.allclose(y, P @ (d * (P @ x)), atol=1e-12)


@pytest.mark.parametrize("n_components", [1, 3, 12])
def test_the_short_way_through_matvec_projects_too(n_components, rng):
    A = graph(n_components)
    M = ap.make(A, degree=0)
    x = rng.standard_normal(N)
    expected = (M @ x[:, None])[:, 0]
    assert np.allclose(M.matvec(x), expected, atol=1e-13)
    assert np.isnan(M.matvec(np.full(N, np.nan))).all()


def test_a_singular_system_is_found_whichever_rows_are_sampled(rng):
    for n in (200, 5000):
        A = path(n).tolil()
        A[n // 2 + 7, n // 2 + 7] += 1.0  # between the samples
        assert "projected" not in str(ap.make(sp.csr_array(A), solver="minres").report)
        assert "projected" in str(ap.make(path(n), solver="minres").report)
