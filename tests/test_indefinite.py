"""M for MINRES: identity, promise, contract, and what is refused."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.polynomial import chebyshev
from problems import Product, poisson1d, poisson2d, tolerance, with_spectrum
from scipy.sparse.linalg import minres

import autospec_precond as ap
from autospec_precond import signed, trials
from autospec_precond.minres_probe import estimate_iterations, minres_reduction
from autospec_precond.positivity import is_positive
from autospec_precond.row_scaling import row_norms
from autospec_precond.signed import SignedPolynomial
from autospec_precond.trials import certify

PRECISIONS = ["single", "mixed", "double"]


def saddle(n, scale=1.0):
    """Second differences, with n // 3 constraints whose rows are scaled."""
    rng = np.random.default_rng(1)
    B = sp.random_array((n // 3, n), density=0.1, rng=rng) + sp.eye_array(n // 3, n)
    return sp.csr_array(sp.block_array([[poisson1d(n), scale * B.T], [scale * B, None]]))


MATRICES = {
    "few negative": lambda: poisson2d(14, shift=-0.2137),
    "many negative": lambda: poisson2d(14, shift=-2.9137),
    "mostly negative": lambda: poisson2d(14, shift=-6.171),
    "negative definite": lambda: sp.csr_array(-poisson2d(14)),
    "saddle": lambda: saddle(150),
    "saddle, scaled": lambda: saddle(150, 100.0),
    "zero diagonal": lambda: sp.csr_array(poisson1d(200) - 2 * sp.eye_array(200)),
}
each_matrix = pytest.mark.parametrize("name", MATRICES)


def dense(M):
    return M @ np.eye(M.shape[0])


@each_matrix
@pytest.mark.parametrize("degree", [2, 8, 16, 32])
def test_m_is_the_polynomial_of_the_scaled_matrix(name, degree):
    A = MATRICES[name]()
    M = ap.make(A, solver="minres", degree=degree, precision="double", assume_a="her")
    scale = np.ones(A.shape[0])
    if M.report.base == "equilibrate":
        scale = 1 / np.sqrt(row_norms(A))
    values, V = np.linalg.eigh(scale[:, None] * A.toarray() * scale)
    expected = scale[:, None] * (V * M.polynomial(values)) @ V.T * scale
    error = np.linalg.norm(dense(M) - expected, 2)
    assert error <= tolerance(degree, np.float64) * np.linalg.norm(expected, 2)


@each_matrix
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("degree", [8, 16, 32])
def test_m_is_positive_definite_and_certified(name, precision, degree):
    A = MATRICES[name]()
    M = ap.make(A, solver="minres", degree=degree, precision=precision)
    assert M.certificate.safe
    D = dense(M)
    eps = np.finfo(np.float32 if precision == "single" else np.float64).eps
    assert np.abs(D - D.T).max() <= 100 * (degree + 1) * eps * np.abs(D).max()
    assert np.linalg.eigvalsh(0.5 * (D + D.T))[0] > 0


@each_matrix
@pytest.mark.parametrize("degree", [None, 0, 8, 16, 32])
def test_minres_reaches_the_true_residual(name, degree, rng):
    A = MATRICES[name]()
    b = rng.standard_normal(A.shape[0])
    M = ap.make(A, solver="minres", degree=degree)
    before = b.copy()
    x, info = minres(A, b, M=M, rtol=1e-12, maxiter=2000)
    assert info == 0
    assert np.array_equal(b, before)
    assert np.linalg.norm(b - A @ x) <= 1e-6 * np.linalg.norm(b)


@pytest.mark.parametrize("name", ["few negative", "many negative", "saddle"])
def test_a_polynomial_saves_iterations(name, rng):
    A = MATRICES[name]()
    b = rng.standard_normal(A.shape[0])

    def count(M):
        seen = []
        minres(A, b, M=M, rtol=1e-10, callback=lambda x: seen.append(1))
        return len(seen)

    plain = count(None)
    assert 2.5 * count(ap.make(A, solver="minres", degree=16)) < plain


@pytest.mark.parametrize("wrap", [np.asarray, Product])
def test_other_forms_of_a(wrap, rng):
    values = np.concatenate([np.linspace(-2, -0.1, 30), np.linspace(0.1, 5, 120)])
    A = with_spectrum(values, rng).toarray()
    M = ap.make(wrap(A), solver="minres", degree=8)
    b = rng.standard_normal(150)
    x, _ = minres(A, b, M=M, rtol=1e-12)
    assert np.linalg.norm(b - A @ x) <= 1e-6 * np.linalg.norm(b)
    assert np.linalg.eigvalsh(dense(M))[0] > 0


def test_a_positive_definite_matrix_gets_the_m_of_cg():
    A = poisson2d(30, shift=0.01)
    one, other = (ap.make(A, solver=solver, degree=8) for solver in ("cg", "minres"))
    assert one.polynomial == other.polynomial
    assert other.solver == "minres"
    assert other.certificate.safe


def test_a_small_system_gets_the_base_alone():
    M = ap.make(saddle(60), solver="minres")
    assert M.degree == 0
    assert M.storage == "none"
    assert "M is the base alone" in str(M.report)


def test_without_a_base_m_is_the_identity(rng):
    A = sp.csr_array(poisson1d(200) - 2 * sp.eye_array(200))
    M = ap.make(A, solver="minres", degree=0)
    x = rng.standard_normal(200)
    assert M.report.base == "none"
    assert np.array_equal(M @ x, x)
    assert np.isnan(M.matvec(np.full(200, np.nan))).all()


def test_two_calls_agree_and_leave_no_trace():
    A = poisson2d(14, shift=-2.9137)
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    one, other = (ap.make(A, solver="minres", degree=16) for _ in range(2))
    assert one.polynomial == other.polynomial
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002


def test_a_state_makes_the_same_m(rng):
    A = poisson2d(14, shift=-2.9137)
    M = ap.make(A, degree=16)
    again = ap.make(A, polynomial=M.state())
    x = rng.standard_normal(A.shape[0])
    assert again.solver == "minres"
    assert np.array_equal(M @ x, again @ x)


def test_refuses_a_polynomial_that_rounding_could_make_negative():
    A = poisson2d(14, shift=-2.9137)
    touching = SignedPolynomial((-8.0, 8.0), (1.0, 0.0, 1.0 - 1e-15))  # 0 at the origin
    with pytest.raises(ValueError, match="must be positive definite beyond rounding; got"):
        ap.make(A, solver="minres", polynomial=touching)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"degree": 7}, "degree must be even"),
        ({"base": "jacobi"}, "base must be 'none' or 'equilibrate' for a Hermitian A"),
    ],
)
def test_refuses_keywords_that_do_not_suit(keywords, message):
    with pytest.raises(ValueError, match=message):
        ap.make(poisson1d(50, shift=-1.0), solver="minres", assume_a="her", **keywords)


def test_solve_is_not_for_indefinite_matrices():
    A = poisson1d(50, shift=-1.0)
    with pytest.raises(ValueError, match="M must be made for a positive definite A"):
        ap.make(A).solve(np.ones(50))


@pytest.mark.parametrize("m", [1, 2, 5, 12])
def test_the_residual_of_minres_from_a_lanczos_matrix(m, rng):
    alpha, beta = rng.standard_normal(m), rng.uniform(0.1, 1, m)
    T = np.zeros((m + 1, m))
    T[:m] = np.diag(alpha) + np.diag(beta[:-1], 1)
    T[np.arange(1, m + 1), np.arange(m)] = beta
    first = np.eye(m + 1)[0]
    left = first - T @ np.linalg.lstsq(T, first, rcond=None)[0]
    assert abs(minres_reduction(alpha, beta) - np.linalg.norm(left)) <= 1e-13


def test_an_exhausted_krylov_space_ends_the_estimate():
    assert estimate_iterations([1.0, 1.0], [0.5, 0.0]) == 2


@pytest.mark.parametrize("degree", [2, 8, 16])
def test_one_sided_is_chebyshevs(degree):
    p = signed.one_sided(degree, -0.3, 1.0, 0.1)
    x = np.linspace(-0.3, 1.0, 50)
    t = lambda x: (2 * x - 1.1) / 0.9  # noqa: E731
    size = lambda x: chebyshev.chebval(t(x), np.eye(degree + 2)[-1])  # noqa: E731
    expected = size(x) / size(0.0)
    error = np.abs(p.residual(x) - expected).max()
    assert error <= tolerance(degree, np.float64) * np.abs(expected).max()
    assert is_positive(p.coefficients)


def test_two_sided_is_near_its_levels():
    (p,) = signed.two_sided(48, -1.0, 2.0, 0.05, [3.0])
    above, below = np.linspace(0.1, 2, 50), np.linspace(-1, -0.1, 50)
    assert np.abs(above * p(above) - 1).max() < 0.1
    assert np.abs(below * p(below) + 3).max() < 0.3


def test_even_is_even_and_mirrored_is_a_mirror():
    p = signed.even(8, -1.0, 2.0, 0.05)
    x = np.linspace(-2, 2, 21)
    assert np.abs(p(x) - p(-x)).max() <= 1e-13 * np.abs(p(x)).max()
    q = signed.one_sided(4, -0.3, 1.0, 0.1)
    assert np.abs(q(x) - q.mirrored()(-x)).max() <= 1e-12 * np.abs(q(x)).max()


def test_the_certificate_sees_a_root():
    safe = SignedPolynomial((-1.0, 1.0), (1.0, 0.0, 0.5))
    assert certify(safe, np.float64).safe
    assert not certify(SignedPolynomial((-1.0, 1.0), (1.0, 0.0, 1.5)), np.float64).safe
    outside = SignedPolynomial((-1.0, 1.0), (2.0, -1.0))  # a root at 2
    assert not certify(outside, np.float64).safe


@pytest.mark.parametrize("steps", [2, 5, 17])
def test_trials_run_the_minres_of_scipy(steps, rng):
    spectrum = np.concatenate([rng.uniform(-1, -0.2, 100), rng.uniform(0.1, 3, 200)])
    P = rng.uniform(0.1, 1.0, (7, 300))
    b = np.ones(300)
    expected = []
    for row in P:
        x, _ = minres(
            sp.diags_array(spectrum), b, M=sp.diags_array(row), rtol=1e-30, maxiter=steps
        )
        expected.append(np.linalg.norm(b - spectrum * x) / np.linalg.norm(b))
    np.testing.assert_allclose(trials._minres(spectrum, P, steps), expected, rtol=1e-10)


def test_trials_end_at_the_rounding_of_a_solution(rng):
    spectrum = rng.choice([-1.0, 2.0, 3.0], 300)  # three steps solve it
    left = trials._minres(spectrum, np.ones((2, 300)), 9)
    assert (left < 1e-14).all()


def test_a_polynomial_survives_json():
    p = SignedPolynomial((-1.0, 2.0), (1.0, 0.25, 0.5))
    assert SignedPolynomial.from_dict(p.to_dict()) == p
    with pytest.raises(ValueError, match="data must have format"):
        SignedPolynomial.from_dict({"format": "other"})
    with pytest.raises(ValueError, match="domain must satisfy bottom < top"):
        SignedPolynomial((1.0, 1.0), (1.0,))
    with pytest.raises(ValueError, match="coefficients must be finite"):
        SignedPolynomial((0.0, 1.0), (np.nan,))


def control(side):
    """Optimality system of a control problem: rows of very different norms."""
    K, eye = poisson2d(side), sp.eye_array(side * side)
    h2 = 1.0 / (side + 1) ** 2
    rows = [[h2 * eye, None, K], [None, 0.01 * h2 * eye, -h2 * eye], [K, -h2 * eye, None]]
    return sp.csr_array(sp.block_array(rows))


def test_rows_that_differ_much_are_equilibrated_again(rng):
    A = control(24)
    M = ap.make(A, degree=8)
    assert M.report.n_scalings == 4
    assert M.certificate.safe
    values = np.linalg.eigvalsh(A.toarray() * M._parts.left[:, None] * M._parts.left)
    assert np.abs(values).max() <= M.probe.high
    again = ap.make(A, polynomial=M.state())
    x = rng.standard_normal(A.shape[0])
    assert np.array_equal(M @ x, again @ x)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_the_scale_of_a_does_not_matter(scale):
    n = 60
    A = sp.diags_array([-1.0, 0.7, -1.0], offsets=[-1, 0, 1], shape=(n, n)).tocsr()
    M = ap.make(A * scale, degree=8)
    dense = scale * (M @ np.eye(n))
    assert np.abs(dense - dense.T).max() <= 1e-6 * np.abs(dense).max()
    assert np.linalg.eigvalsh(0.5 * (dense + dense.T)).min() > 0


def easy(n=600):
    """Of both signs, not symmetric to zero: MINRES makes headway in each step."""
    rng = np.random.default_rng(3)
    values = np.where(rng.random(n) < 0.1, -1.0, 1.0) * rng.uniform(1, 1.5, n)
    P = rng.permutation(n)
    A = sp.diags_array(values) + 0.1 * (poisson1d(n) - 2 * sp.eye_array(n))
    return sp.csr_array(sp.csr_array(A)[P][:, P])


def test_an_easy_system_is_declined_after_three_steps(rng):
    A = easy()
    M = ap.make(A, solver="minres")
    assert M.degree == 0
    assert M.probe.n_steps == 3
    assert M.report.n_products == 4  # two for symmetry, of which one is the first step
    told = ap.make(A, solver="minres", assume_a="her")
    assert (told.probe.n_steps, told.report.n_products) == (3, 3)
    b = rng.standard_normal(A.shape[0])
    x, _ = minres(A, b, M=M, rtol=1e-10)
    assert np.linalg.norm(b - A @ x) <= 1e-7 * np.linalg.norm(b)


def test_a_hard_system_is_not_declined_by_a_glance():
    A = poisson2d(150, shift=-0.5137)
    M = ap.make(A, solver="minres")
    assert M.degree > 0
    assert M.probe.n_steps == 12


@pytest.mark.parametrize("word", ["row", "column"])
def test_an_empty_row_is_refused_by_its_number(word):
    A = sp.csr_array(poisson1d(50) - 2 * sp.eye_array(50)).tolil()
    A[17, :] = 0
    if word == "column":
        A[17, 16] = 1.0
        A[:, 17] = 0
    with pytest.raises(ValueError, match=f"no entry in {word} 17"):
        ap.make(sp.csr_array(A))
