"""General matrices: the probe, the polynomial of GMRES, and M in SciPy's solvers."""

import numpy as np
import pytest
import scipy.sparse as sp
from problems import poisson1d
from scipy.sparse.linalg import (
    LinearOperator,
    bicg,
    bicgstab,
    cgs,
    gcrotmk,
    gmres,
    lgmres,
    qmr,
    tfqmr,
)

import autospec_precond as ap
from autospec_precond import arnoldi, gmres_engine, scaling
from autospec_precond.operands import as_operand
from autospec_precond.roots import RootPolynomial


def convection(n, is_complex=False, spread=3):
    """Return convection-diffusion on a line with rows of very different sizes."""
    rng = np.random.default_rng(5)
    middle = 2.05 + 0.2j if is_complex else 2.05
    A = sp.diags_array([-1.4, middle, -0.6], offsets=[-1, 0, 1], shape=(n, n))
    return sp.csr_array(sp.diags_array(10.0 ** rng.uniform(-spread, spread, n)) @ A)


def probe_of(A, m, is_complex=False):
    rng = np.random.default_rng(0)
    v = rng.standard_normal(len(A))
    v = v + 1j * rng.standard_normal(len(A)) if is_complex else v
    return arnoldi.Arnoldi(lambda x: A @ x, v, m).extend(m // 2).extend(m), v


@pytest.mark.parametrize("is_complex", [False, True])
def test_probe_is_gmres(is_complex):
    rng = np.random.default_rng(1)
    A = 2 * np.eye(40) + rng.standard_normal((40, 40)) / 8
    A = A + 1j * rng.standard_normal((40, 40)) / 8 if is_complex else A
    process, v = probe_of(A, 8, is_complex)
    K = np.stack([np.linalg.matrix_power(A, k) @ v for k in range(1, 9)], axis=1)
    best = v - K @ np.linalg.lstsq(K, v, rcond=None)[0]
    norms = arnoldi.residual_norms(process.hessenberg)
    assert norms[-1] == pytest.approx(np.linalg.norm(best) / np.linalg.norm(v), rel=1e-6)
    residual = v.astype(complex)
    for root in gmres_engine.harmonic_ritz(process.hessenberg):
        residual = residual - A @ residual / root
    assert np.linalg.norm(residual - best) <= 1e-5 * np.linalg.norm(best)


def test_harmonic_ritz_values_are_those_of_the_inverse():
    A = np.diag(np.linspace(1, 3, 30)) + np.diag(np.full(29, 0.3), 1)
    process, _ = probe_of(A, 6)
    W = A @ process._basis[:6].T
    Q, _ = np.linalg.qr(W)
    inverse = np.linalg.eigvals(Q.T @ np.linalg.solve(A, Q))
    found = gmres_engine.harmonic_ritz(process.hessenberg)
    assert np.sort_complex(1 / found) == pytest.approx(np.sort_complex(inverse), rel=1e-8)


def test_probe_ends_with_the_krylov_space():
    process, _ = probe_of(np.diag([1.0, 1, 2, 2, 3, 3]), 6)
    assert process.is_exhausted
    assert process.n_products == 3
    found = np.sort(gmres_engine.harmonic_ritz(process.hessenberg).real)
    assert found == pytest.approx([1, 2, 3])


def test_equilibrated_rows_and_columns_have_norm_one():
    A = convection(200)
    left, right = scaling.equilibrated(as_operand(A, "test"))
    S = sp.diags_array(left) @ A @ sp.diags_array(right)
    squares = S.multiply(S)
    for axis in (0, 1):
        assert np.sqrt(squares.sum(axis=axis)) == pytest.approx(1, rel=0.3)
    assert (right > 0).all()


def test_left_scales_have_the_sign_of_the_diagonal():
    A = sp.csr_array(np.array([[-2.0, 1, 0], [0.5, 4, 1], [1, 0, -3]]))
    operand = as_operand(A, "test")
    assert (scaling.signed_diagonal(operand) == [-0.5, 0.25, -1 / 3]).all()
    assert (np.sign(scaling.equilibrated(operand)[0]) == [-1, 1, -1]).all()


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("base", ["none", "jacobi", "equilibrate"])
def test_m_is_the_polynomial_between_its_scales(base, is_complex):
    A = convection(60, is_complex)
    M = ap.make(A, assume_a="gen", base=base, degree=5, precision="double")
    assert M.degree == 5
    operand = as_operand(A, "test")
    left = right = np.ones(60)
    if base == "jacobi":
        left = scaling.signed_diagonal(operand)
    elif base == "equilibrate":
        left, right = scaling.equilibrated(operand)
    S = left[:, None] * A.toarray() * right
    product = np.eye(60, dtype=complex)
    for root in M.polynomial.roots:
        product = product @ (np.eye(60) - S / root)
    dense = right[:, None] * np.linalg.solve(S, np.eye(60) - product) * left
    scale = np.abs(dense).max()
    assert np.abs(M @ np.eye(60) - dense).max() <= 1e-8 * scale
    assert np.abs(M.H @ np.eye(60) - dense.conj().T).max() <= 1e-8 * scale


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("degree", [None, 0, 1, 7, "measure"])
def test_gmres_reaches_the_true_residual(degree, is_complex):
    A = convection(400, is_complex)
    frozen = A.copy()
    b = A @ np.ones(400)
    M = ap.make(A, degree=degree)
    assert M.solver == "gmres"
    assert M.polynomial.residual(0.0) == 1
    if isinstance(degree, int):
        assert M.degree == degree
    x, info = gmres(A, b, M=M, rtol=1e-8, restart=30, maxiter=200)
    assert info == 0
    assert np.linalg.norm(b - A @ x) <= 1e-8 * np.linalg.norm(b)
    assert abs(A - frozen).nnz == 0


@pytest.mark.parametrize("solver", [bicgstab, bicg, cgs, qmr, tfqmr, lgmres, gcrotmk])
def test_drops_into_scipy_solvers(solver):
    A = sp.csr_array(convection(300, spread=0) + 0.3 * sp.eye_array(300))
    b = np.ones(300)
    M = ap.make(A, solver="bicgstab", degree=6)
    identity = LinearOperator(A.shape, matvec=np.copy, rmatvec=np.copy, dtype=A.dtype)
    given = {"M1": M, "M2": identity} if solver is qmr else {"M": M}
    _, info = solver(A, b, rtol=1e-6, maxiter=400, **given)
    assert info == 0


def test_two_calls_agree_and_states_come_back():
    A = convection(200)
    one, two = ap.make(A, degree=8), ap.make(A, degree=8)
    assert one.polynomial == two.polynomial
    again = ap.make(A, polynomial=one.state())
    x = np.ones(200)
    assert (again @ x == one @ x).all()


def test_float32_stays_float32():
    A = convection(200).astype(np.float32)
    M = ap.make(A, degree=6)
    assert (M @ np.ones(200, np.float32)).dtype == np.float32
    assert np.isnan(M @ np.full(200, np.nan, np.float32)).all()


def test_operator_without_entries():
    A = convection(200)
    given = LinearOperator(A.shape, matvec=lambda x: A @ x, dtype=A.dtype)
    M = ap.make(given, assume_a="gen", degree=6)
    assert M.report.base == "none"
    diagonal = ap.make(given, assume_a="gen", degree=6, diagonal=A.diagonal())
    assert diagonal.report.base == "jacobi"


def test_easy_matrix_gets_the_base_alone():
    A = sp.csr_array(sp.diags_array([0.1, 1.0, 0.05], offsets=[-1, 0, 1], shape=(300, 300)))
    M = ap.make(A)
    assert M.degree == 0
    assert "base alone" in str(M.report)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"base": "jacobi"}, "must have a diagonal without zeros; got 0 in row 1"),
        ({"diagonal": np.ones(3), "base": "none"}, "base='jacobi' only; got base 'none'"),
        ({"diagonal": np.ones(2)}, r"shape \(3,\); got float64 of shape \(2,\)"),
    ],
)
def test_says_what_does_not_suit(keywords, message):
    A = sp.csr_array(np.array([[1.0, 2, 0], [3, 0, 1], [0, 1, 2]]))
    with pytest.raises(ValueError, match=message):
        ap.make(A, assume_a="gen", **keywords)


@pytest.mark.parametrize(
    ("keywords", "purpose"),
    [
        ({"solver": "cg"}, "solver='cg'"),
        ({"solver": "minres", "assume_a": "her"}, "solver='minres'"),
        ({"solver": "lobpcg", "n_eigenpairs": 4}, "solver='lobpcg'"),
        ({"assume_a": "pos"}, "assume_a='pos'"),
        ({"assume_a": "her"}, "assume_a='her'"),
    ],
)
def test_roots_are_refused_where_m_must_be_positive_definite(keywords, purpose):
    roots = RootPolynomial((1.0, 2.0))
    with pytest.raises(ValueError, match="polynomial must be positive on") as said:
        ap.make(poisson1d(300), polynomial=roots, **keywords)
    assert f"for {purpose}; got a RootPolynomial. Use solver='gmres'" in str(said.value)


@pytest.mark.parametrize("assume_a", [None, "pos", "her", "gen"])
def test_roots_serve_solvers_for_general_matrices_whatever_a_is(assume_a):
    roots = RootPolynomial((0.5, 1.5, 1.0))
    M = ap.make(poisson1d(300), polynomial=roots, assume_a=assume_a, solver="gmres")
    assert M.polynomial == roots


def test_structurally_singular_matrix_is_refused():
    A = sp.csr_array(np.array([[1.0, 2, 0], [0, 0, 0], [0, 1, 2]]))
    with pytest.raises(ValueError, match="no entry in row 1"):
        ap.make(A, assume_a="gen")


@pytest.mark.parametrize(
    "A",
    [
        1j * np.eye(30),
        np.array([[0.0, 1.0], [-1.0, 0.0]]),
        np.outer(np.arange(1.0, 41), np.ones(40)),
        np.array([[2j]]),
    ],
)
def test_a_degree_that_no_root_exists_for_gives_the_base(A):
    M = ap.make(A, degree=8)
    assert np.isfinite(M @ np.ones(A.shape[0])).all()


def test_equilibration_may_be_asked_for_before_the_class_is_known():
    n = 300
    A = sp.diags_array([-1.3, 2.2, -0.7], offsets=[-1, 0, 1], shape=(n, n)).tocsr()
    M = ap.make(A, base="equilibrate", degree=6)
    assert (M.report.base, M.solver) == ("equilibrate", "gmres")
    with pytest.raises(ValueError, match="base must be 'none' or 'jacobi'"):
        ap.make(A + A.T, base="equilibrate")


def test_an_easy_large_system_is_declined_by_the_first_steps(rng):
    n = 25_000
    rows = np.repeat(np.arange(n), 8)
    P = sp.csr_array(
        (np.full(8 * n, 1 / 8), (rows, rng.integers(0, n, 8 * n))), shape=(n, n)
    )
    M = ap.make(sp.csr_array(sp.eye_array(n) - 0.95 * P))
    assert M.degree == 0
    assert M.report.n_products <= 12


def test_where_every_polynomial_makes_the_residual_grow_m_is_the_identity(rng):
    # Half of the eigenvalues on either side of zero, and far from normal.
    n = 300
    A = sp.diags_array(
        [np.where(np.arange(n) % 2, 1.0, -1.0) * np.geomspace(1, 1e-6, n), np.ones(n - 1)],
        offsets=[0, 1],
    )
    A = sp.csr_array(A)
    b = rng.standard_normal(n)
    M = ap.make(A)
    x, _ = gmres(A, b, M=M, restart=30, rtol=1e-8, maxiter=5)
    assert np.linalg.norm(b - A @ x) <= 10 * np.linalg.norm(b)


def test_the_engine_is_asked_unless_told_otherwise(rng):
    n = 400
    A = sp.diags_array([-1.9, 2.0, -0.1], offsets=[-1, 0, 1], shape=(n, n)).tocsr()
    A = A + sp.random_array((n, n), density=2 / n, rng=rng)
    learned = ap.make(A, degree=24)
    plain = ap.make(A, degree=24, engine="classical")
    assert learned.report.engine.startswith("gmres.safetensors ")
    assert plain.report.engine == "classical"
    with pytest.raises(ap.CheckpointError):
        ap.make(A, degree=24, engine="no such file.safetensors")
