"""The engine for general matrices: what it falls back to, and what it refuses."""

import numpy as np
import pytest

from autospec_precond import gmres_engine
from autospec_precond.arnoldi import Arnoldi
from autospec_precond.gmres_engine import GmresConfig, GmresEngine
from autospec_precond.roots import with_added_roots

CONFIG = GmresConfig()


def untrained():
    params = gmres_engine.init(CONFIG, np.random.default_rng(0))
    return GmresEngine(CONFIG, params, {}, "untrained", "")


def trained_to(place):
    """Return an engine that always prefers one output."""
    params = gmres_engine.init(CONFIG, np.random.default_rng(0))
    params["b2"] = np.eye(len(CONFIG.emphases) + 1)[place]
    return GmresEngine(CONFIG, params, {}, "stubborn", "")


def probe(m, rng, dtype=np.float64, n=60):
    """Return the Hessenberg matrix of m steps for a random matrix around 1."""
    A = np.eye(n) + rng.standard_normal((n, n)) / (2 * np.sqrt(n))
    if np.dtype(dtype).kind == "c":
        A = A + 1j * rng.standard_normal((n, n)) / (4 * np.sqrt(n))
    V, H = np.zeros((m + 1, n), dtype), np.zeros((m + 1, m), dtype)
    V[0] = rng.standard_normal(n)
    V[0] /= np.linalg.norm(V[0])
    for j in range(m):
        w = A @ V[j]
        for _ in range(2):
            h = V[: j + 1].conj() @ w
            w = w - h @ V[: j + 1]
            H[: j + 1, j] += h
        H[j + 1, j] = np.linalg.norm(w)
        V[j + 1] = w / H[j + 1, j]
    return H


def same(a, b):
    a, b = (np.sort_complex(np.asarray(v)) for v in (a, b))
    return np.allclose(a, b, rtol=1e-8, atol=0)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("degree", [1, 4, 8, 16])
def test_output_zero_is_the_gmres_polynomial(degree, dtype, rng):
    H = probe(degree + 1, rng, dtype)
    engine = untrained()
    for m in gmres_engine.stages(degree):
        later = [s for s in gmres_engine.stages(degree) if s > m]
        wanted = engine.steps(H[: m + 1, :m], degree)
        assert wanted == (later[0] if later else m)
    p = engine.propose(H, degree)
    square = H[:-1]
    unit = np.eye(degree + 1)[degree]
    last = np.linalg.solve(square.conj().T, unit)
    square = square + abs(H[-1, -1]) ** 2 * np.outer(last, unit)
    values = with_added_roots(np.linalg.eigvals(square), p.is_real)
    assert same(p.roots, values)
    assert p.is_real == (H.dtype.kind == "f")


def test_its_residual_is_that_of_gmres(rng):
    H = probe(9, rng)
    p = untrained().propose(H, 8)
    first = np.eye(10)[0]
    least = np.linalg.lstsq(H, first, rcond=None)[0]
    residual = np.linalg.norm(first - H @ least)
    T = np.column_stack([H, np.zeros(10)])
    v = first.astype(complex)
    for root in p.roots:
        v = v - T @ v / root
    assert np.linalg.norm(v) == pytest.approx(residual, rel=1e-8)


@pytest.mark.parametrize("place", range(len(CONFIG.emphases) + 1))
@pytest.mark.parametrize("m", [1, 2, 3, 6, 8, 12, 17, 25])
@pytest.mark.parametrize("degree", [1, 8, 16, 32])
def test_any_probe_gives_a_finite_polynomial(m, degree, place, rng):
    p = trained_to(place).propose(probe(m, rng), degree)
    assert p.is_real
    assert 0 <= p.degree <= degree + 3
    assert np.isfinite(p.roots).all()
    assert np.isfinite(p.residual(np.linspace(0.5, 1.5, 9))).all()


def test_emphasis_weighs_large_eigenvalues(rng):
    values = np.concatenate([np.linspace(0.01, 0.1, 100), np.linspace(0.9, 1, 20)])
    H = probe_of(values, 7)
    residuals = [
        np.abs(trained_to(k + 1).propose(H, 6).residual(values[-20:])).max()
        for k in range(len(CONFIG.emphases))
    ]
    assert residuals[-1] < 0.5 * residuals[0]


def probe_of(values, m):
    n = values.size
    V, H = np.zeros((m + 1, n)), np.zeros((m + 1, m))
    V[0] = 1 / np.sqrt(n)
    for j in range(m):
        w = values * V[j]
        for _ in range(2):
            h = V[: j + 1] @ w
            w = w - h @ V[: j + 1]
            H[: j + 1, j] += h
        H[j + 1, j] = np.linalg.norm(w)
        V[j + 1] = w / H[j + 1, j]
    return H


def test_an_early_stop_is_believed():
    H = probe_of(np.linspace(0.2, 1, 50), 6)
    assert trained_to(1).steps(H, 32) == 6
    assert trained_to(0).steps(H, 32) == 8
    assert trained_to(1).propose(H, 32).degree >= 32


@pytest.mark.parametrize("side", ["low", "high"])
def test_what_training_has_not_met_gets_the_gmres_polynomial(side, rng):
    H = probe(9, rng)
    x, _ = gmres_engine.features(H[:7, :6], 8, CONFIG)
    for edge in (1.0, -1.0):
        engine = trained_to(3)
        engine.params[side][11] = x[11] + (edge if side == "high" else -edge) * 0.01
        assert engine.steps(H[:7, :6], 8) == (6 if edge > 0 else 9)
    for name in ("low", "high"):
        engine.params[name][:] = 9 if name == "low" else -9
    assert engine.propose(H, 8) == untrained().propose(H, 8)


@pytest.mark.parametrize(("place", "steps"), [(0, 9), (1, 6), (3, 6)])
def test_probes_as_long_as_it_wants(place, steps, rng):
    engine = trained_to(place)
    arnoldi = Arnoldi(lambda v: np.linspace(0.2, 1, 50) * v, rng.standard_normal(50), 40)
    p = engine.probe(arnoldi, 8)
    assert arnoldi.n_products == steps
    assert p == engine.propose(arnoldi.hessenberg, 8)


def test_a_probe_ends_where_the_krylov_space_does():
    arnoldi = Arnoldi(lambda v: np.repeat([1.0, 2.0, 4.0], 5) * v, np.ones(15), 15)
    p = trained_to(0).probe(arnoldi, 8)
    assert arnoldi.n_products == 3
    assert same(p.roots, [1.0, 2.0, 4.0])


@pytest.mark.parametrize("engine", [untrained(), trained_to(2)])
@pytest.mark.parametrize(
    "H",
    [
        [[3.0], [0.0]],  # breakdown after one step
        [[2.0, 1.0], [1.0, 2.0], [0.0, 0.0]],
        [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]],  # singular, no information
        [[1.0, 2.0, 1.0], [1.0, 2.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1e-3]],
        [[1e-200], [1e-200]],
        [[1e150], [1e150]],
    ],
)
def test_degenerate_probes(H, engine):
    H = np.array(H)
    for degree in (1, 8, 32):
        assert engine.steps(H, degree) >= H.shape[1]
        try:
            p = engine.propose(H, degree)
        except ValueError as error:
            assert "Precondition by the base alone" in str(error)  # noqa: PT017
        else:
            assert np.isfinite(p.roots).all()


def test_a_breakdown_gives_the_exact_polynomial():
    p = untrained().propose(np.array([[2.0, 1.0], [1.0, 2.0], [0.0, 0.0]]), 8)
    assert same(p.roots, [1.0, 3.0])
    assert untrained().steps(np.array([[3.0], [0.0]]), 8) == 1


@pytest.mark.parametrize(
    ("H", "message"),
    [
        (np.zeros((3, 2)), "must have a harmonic Ritz value other than zero; got none"),
        (np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]), "other than zero; got none of 2"),
        (np.eye(3), r"must have shape \(m \+ 1, m\); got \(3, 3\)"),
        (np.zeros((1, 0)), r"must have shape \(m \+ 1, m\); got \(1, 0\)"),
        (np.array([[1.0], [np.nan]]), "must be finite; got 1 entries that are not"),
    ],
)
def test_refuses_what_is_no_probe(H, message):
    with pytest.raises(ValueError, match=message):
        untrained().propose(H, 8)


def test_features_do_not_depend_on_the_unit(rng):
    H = probe(8, rng)
    one, _ = gmres_engine.features(H, 16, CONFIG)
    other, _ = gmres_engine.features(1e3 * H, 16, CONFIG)
    assert one.shape == (CONFIG.n_features,)
    np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_a_continued_matrix_keeps_what_is_known(rng):
    H = probe(6, rng)
    T = gmres_engine.extend(H, 12)
    assert T.shape == (12, 12)
    assert np.array_equal(T[:7, :6], H)
    assert T[9, 8] == pytest.approx(np.diagonal(H, -1).mean())
    assert np.array_equal(gmres_engine.extend(H, 4), H[:4, :4])
