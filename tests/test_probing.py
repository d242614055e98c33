"""The probe says what Lanczos with full orthogonalisation would, and its bound bounds."""

import json

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import (
    complex_hermitian,
    dense_with_spectrum,
    poisson1d,
    poisson2d,
    sparse_random,
)

import autospec_precond as ap
from autospec_precond import probing
from autospec_precond.probe import Probe


def full_lanczos(A, start, n_steps):
    """Return the basis, orthogonal to rounding, of the Krylov space."""
    V = [start / np.linalg.norm(start)]
    for _ in range(n_steps):
        w = A @ V[-1]
        for _ in range(2):
            Q = np.array(V).T
            w = w - Q @ (Q.conj().T @ w)
        V.append(w / np.linalg.norm(w))
    return np.array(V).T


def start_vector(n, rng, dtype=np.float64):
    x = rng.standard_normal(n)
    return x + 1j * rng.standard_normal(n) if np.dtype(dtype).kind == "c" else x


MATRICES = {
    "poisson1d": lambda rng: poisson1d(90),
    "poisson2d": lambda rng: poisson2d(10),
    "complex": lambda rng: complex_hermitian(90),
    "random": lambda rng: sparse_random(90, rng),
    "log_uniform": lambda rng: dense_with_spectrum(10 ** -np.linspace(0, 6, 90), rng),
    "indefinite": lambda rng: dense_with_spectrum(np.linspace(-1, 2, 90), rng),
}


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("n_steps", [1, 2, 12])
def test_ritz_pairs_are_those_of_the_krylov_space(name, n_steps, rng):
    A = MATRICES[name](rng)
    start = start_vector(A.shape[0], rng, A.dtype)
    alpha, beta, last = probing.lanczos(lambda x: A @ x, start, n_steps)
    theta, weights, norms = probing.ritz(alpha, beta)

    V = full_lanczos(A, start, n_steps)
    Q = V[:, :-1]
    values, Y = np.linalg.eigh(Q.conj().T @ (A @ Q))
    vectors = Q @ Y
    scale = abs(A).sum(axis=1).max()
    assert np.abs(theta - values).max() <= 1e-10 * scale
    assert np.abs(weights - np.abs(Y[0]) ** 2).max() <= 1e-9
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    true = np.linalg.norm(A @ vectors - vectors * values, axis=0)
    assert np.abs(norms - true).max() <= 1e-9 * scale
    assert abs(np.vdot(last, V[:, -1])) == pytest.approx(1, abs=1e-8)
    assert np.linalg.norm(last) == pytest.approx(1, abs=1e-12)


def test_start_vector_is_not_changed(rng):
    start = rng.standard_normal(40)
    before = start.copy()
    probing.lanczos(lambda x: poisson1d(40) @ x, start, 5)
    assert np.array_equal(start, before)


@pytest.mark.parametrize("name", [name for name in MATRICES if name != "indefinite"])
@pytest.mark.parametrize("n_steps", [2, 7, 12])
def test_cg_reduction_is_the_residual_of_cg(name, n_steps, rng):
    A = MATRICES[name](rng)
    b = start_vector(A.shape[0], rng, A.dtype)
    theta, weights, norms = probing.ritz(*probing.lanczos(lambda x: A @ x, b, n_steps)[:2])
    probe = Probe(theta, weights, norms, 1.0, False, n_steps)

    x, r, direction = np.zeros_like(b), b.copy(), b.copy()
    for _ in range(n_steps):
        product = A @ direction
        rr = np.vdot(r, r).real
        step = rr / np.vdot(direction, product).real
        x, r = x + step * direction, r - step * product
        direction = r + np.vdot(r, r).real / rr * direction
    residual = np.linalg.norm(b - A @ x) / np.linalg.norm(b)
    assert probe.cg_reduction == pytest.approx(residual, rel=1e-6)


@pytest.mark.parametrize("n_steps", [3, 12])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_a_base_gives_the_steps_of_its_symmetric_form(n_steps, dtype, rng):
    n = 60
    A = dense_with_spectrum(np.linspace(0.01, 3, n), rng, dtype)
    B = dense_with_spectrum(np.linspace(0.5, 2, n), rng, dtype)
    values, V = np.linalg.eigh(B)
    root = (V * np.sqrt(values)) @ V.conj().T
    symmetric = root @ A @ root
    start = start_vector(n, rng, dtype)
    alpha, beta, last = probing.lanczos(lambda x: A @ x, start, n_steps, lambda x: B @ x)
    # Start r of B A means start B^(1/2) r of B^(1/2) A B^(1/2).
    expected = probing.lanczos(lambda x: symmetric @ x, root @ start, n_steps)
    assert np.allclose(alpha, expected[0], rtol=1e-9)
    assert np.allclose(beta, expected[1], rtol=1e-8)
    assert np.vdot(last, B @ last) == pytest.approx(1, abs=1e-12)
    assert abs(np.vdot(root @ last, expected[2])) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("distinct", [1, 2, 3, 5])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_stops_where_the_krylov_space_ends(distinct, scale, rng):
    values = scale * np.linspace(1, 2, distinct)
    A = dense_with_spectrum(np.repeat(values, 20), rng)
    alpha, beta, last = probing.lanczos(lambda x: A @ x, rng.standard_normal(len(A)), 12)
    theta, weights, norms = probing.ritz(alpha, beta)
    assert len(alpha) == distinct
    assert np.allclose(theta, values, rtol=1e-10)
    assert beta[-1] == 0
    assert not norms.any()
    assert not last.any()
    assert weights.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_makes_no_more_steps_than_rows(n, rng):
    A = poisson1d(n)
    alpha, beta, _ = probing.lanczos(lambda x: A @ x, rng.standard_normal(n), 12)
    theta, _, _ = probing.ritz(alpha, beta)
    assert np.allclose(theta, np.linalg.eigvalsh(A.toarray()), rtol=1e-10)


@given(
    n=st.integers(1, 12),
    seed=st.integers(0, 2**32 - 1),
    decades=st.floats(0, 8),
    density=st.floats(0.1, 1),
)
@settings(max_examples=200)
def test_rigorous_bound_bounds(n, seed, decades, density):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, n)) * (rng.random((n, n)) < density)
    d = 10 ** rng.uniform(-decades / 2, decades / 2, n)
    A = d[:, None] * (X @ X.T + 1e-3 * np.eye(n)) * d
    A = 0.5 * (A + A.T)
    largest = np.linalg.eigvalsh(A)[-1]
    for S in (A, sp.csr_array(A)):
        bound = probing.rigorous_bound(S)
        assert bound >= largest * (1 - 1e-12)
        assert bound <= np.abs(A).sum(axis=1).max() * (1 + 1e-9)


@pytest.mark.parametrize("name", MATRICES)
def test_rigorous_bound_of_sparse_matrices(name, rng):
    A = MATRICES[name](rng)
    dense = A.toarray() if sp.issparse(A) else A
    largest = np.abs(np.linalg.eigvalsh(dense)).max()
    rows = np.abs(dense).sum(axis=1).max()
    assert largest * (1 - 1e-12) <= probing.rigorous_bound(A) <= rows * (1 + 1e-9)


def test_rigorous_bound_with_empty_rows():
    A = sp.csr_array(sp.block_diag([poisson1d(5), sp.csr_array((3, 3))]))
    assert 3.7 < probing.rigorous_bound(A) <= 4 * (1 + 1e-9)


def test_estimate_is_the_formula():
    theta, norms = np.array([1.0, 2.0]), np.array([9.0, 0.5])
    assert probing.estimate_bound(theta, norms) == pytest.approx(1.02 * 2.5)
    assert probing.estimate_bound(theta, 0 * norms) == pytest.approx(1.02 * 1.05 * 2)


@pytest.mark.parametrize("n_probe", [2, 5, 12, 30])
def test_make_probes_as_asked(n_probe):
    probe = ap.make(poisson2d(15), degree=4, n_probe=n_probe).probe
    assert probe.n_steps == n_probe
    assert np.all(np.diff(probe.ritz_values) > 0)
    assert probe.ritz_values[-1] <= probe.high


@pytest.mark.parametrize("seed", range(20))
def test_bound_lies_above_the_spectrum(seed):
    probe = ap.make(poisson2d(15), degree=8, rng=seed).probe
    assert 2 * np.sin(15 * np.pi / 32) ** 2 <= probe.high <= 2 * (1 + 1e-9)


def test_rng_decides_the_probe():
    A = poisson2d(15)
    first, again, other = (ap.make(A, degree=4, rng=rng).probe for rng in (0, 0, 1))
    default = ap.make(A, degree=4).probe
    assert np.array_equal(first.ritz_values, again.ritz_values)
    assert np.array_equal(first.ritz_values, default.ritz_values)
    assert not np.array_equal(first.ritz_values, other.ritz_values)
    generators = (np.random.default_rng(1), np.random.default_rng(1))
    assert np.array_equal(
        ap.make(A, degree=4, rng=generators[0]).probe.weights, other.weights
    )
    assert not np.array_equal(
        *(ap.make(A, degree=4, rng=None).probe.weights for _ in range(2))
    )


def test_a_probe_survives_json():
    probe = ap.make(poisson2d(15), degree=4).probe
    again = Probe.from_dict(json.loads(json.dumps(probe.to_dict())))
    assert vars(again).keys() == vars(probe).keys()
    assert all(np.array_equal(vars(again)[k], v) for k, v in vars(probe).items())
    assert again.cg_reduction == probe.cg_reduction


def test_a_bound_that_stays_far_above_is_left():
    A = ones_with_signs(200)
    full = probing.rigorous_bound(A)
    assert probing.bound_near(A, np.inf) == (full, probing.N_BOUND_PRODUCTS)
    assert probing.bound_near(A, full) == (full, probing.N_BOUND_PRODUCTS)
    bound, n_products = probing.bound_near(A, full / 1.5)
    assert n_products == 2
    assert bound >= full
    M = ap.make(A, degree=4)
    assert not M.certificate.high_is_rigorous
    assert M.report.n_products == 2 + 12 + 2 + probing.n_check_products(4)


def ones_with_signs(n):
    """Positive definite; of the moduli the spectrum reaches twice as far."""
    rng = np.random.default_rng(5)
    B = sp.csr_array(sp.random_array((n, n), density=0.04, rng=rng))
    B.data = np.sign(rng.standard_normal(B.data.size))
    return sp.csr_array(B @ B.T + sp.eye_array(n))
