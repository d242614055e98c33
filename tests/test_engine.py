"""The network under NumPy and under torch, and what becomes of its outputs."""

import numpy as np
import pytest
from problems import dense_with_spectrum, poisson1d

import autospec_precond as ap
from autospec_precond import features, probing
from autospec_precond.checkpoint import load
from autospec_precond.classical import chebyshev, chebyshev_roots
from autospec_precond.engine import Engine, EngineConfig, decode, forward, init, roots_basis
from autospec_precond.probe import Probe

CONFIG = EngineConfig()


def random_engine(rng, scale=1.0):
    params = {k: scale * v for k, v in init(CONFIG, rng).items()}
    params["w2"] = 100 * params["w2"]  # init keeps the last layer small
    return Engine(CONFIG, params, {}, "random", "")


def probe_of(n_steps, rng, high=1.0):
    """Probe a matrix with a spectrum between 1e-4 and 0.9 of high."""
    A = dense_with_spectrum(0.9 * high * 10 ** -np.linspace(0, 4, 120), rng)
    start = rng.standard_normal(120)
    theta, weights, norms = probing.ritz(
        *probing.lanczos(lambda x: A @ x, start, n_steps)[:2]
    )
    return Probe(theta, weights, norms, high, False, n_steps)


@pytest.mark.train
@pytest.mark.parametrize("shape", [(), (1,), (5, 7)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numpy_agrees_with_torch(shape, dtype, rng):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    params = {k: v.astype(dtype) for k, v in random_engine(rng).params.items()}
    x = rng.standard_normal((*shape, CONFIG.n_features)).astype(dtype)
    ours = forward(params, x)
    tensors = {k: torch.from_numpy(v) for k, v in params.items()}
    theirs = forward(tensors, torch.from_numpy(x), torch)
    assert ours.dtype == theirs.numpy().dtype == dtype
    assert ours.shape == theirs.shape == (*shape, 1 + CONFIG.n_corrections)
    # Relative to the sums that an output is made of.
    scale = np.abs(ours).max() + np.abs(params["w2"]).sum(axis=0).max()
    assert np.abs(ours - theirs.numpy()).max() <= 50 * np.finfo(dtype).eps * scale


@pytest.mark.train
@pytest.mark.parametrize("degree", [4, 32])
def test_decoding_agrees_with_torch(degree, rng):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    outputs = 3 * rng.standard_normal((5, 1 + CONFIG.n_corrections))
    basis = roots_basis(CONFIG, degree)
    ours = decode(CONFIG, outputs, degree, basis)
    tensors = [torch.from_numpy(part) for part in basis]
    theirs = decode(CONFIG, torch.from_numpy(outputs), degree, tensors, torch)
    for a, b in zip(ours, theirs, strict=True):
        assert np.allclose(a, b.numpy(), rtol=1e-13, atol=0)


def test_layers_of_equal_width_add_to_what_comes_in(rng):
    x = rng.standard_normal(CONFIG.n_features)
    p = {k: v + 0.1 for k, v in random_engine(rng).params.items()}
    first = np.tanh(x @ p["w0"] + p["b0"])
    second = first + np.tanh(first @ p["w1"] + p["b1"])
    assert np.allclose(forward(p, x), second @ p["w2"] + p["b2"], rtol=1e-12)


def test_batches_are_rows(rng):
    engine = random_engine(rng)
    x = rng.standard_normal((5, 7, CONFIG.n_features))
    whole = forward(engine.params, x)
    assert np.allclose(whole[2, 3], forward(engine.params, x[2, 3]), rtol=1e-12)


@pytest.mark.parametrize("shape", [(), (1,), (5, 7)])
@pytest.mark.parametrize("degree", [2, 8, 40])
def test_decode_gives_an_edge_and_roots(shape, degree, rng):
    outputs = 100 * rng.standard_normal((*shape, 1 + CONFIG.n_corrections))
    low, roots = decode(CONFIG, outputs, degree, roots_basis(CONFIG, degree))
    assert low.shape == (*shape, 1)
    assert roots.shape == (*shape, degree + 1)
    assert np.all((low > 0) & (low < 1))
    assert np.all((roots > 0) & (roots < np.exp(CONFIG.root_scale * CONFIG.n_corrections)))


@pytest.mark.parametrize("degree", [2, 8, 40])
def test_outputs_of_zero_are_a_chebyshev_polynomial(degree):
    outputs = np.zeros(1 + CONFIG.n_corrections)
    low, roots = decode(CONFIG, outputs, degree, roots_basis(CONFIG, degree))
    assert np.allclose(roots, chebyshev_roots(degree, low[0], 1.0), rtol=1e-14)


def test_training_starts_near_chebyshev(rng):
    engine = Engine(CONFIG, init(CONFIG, rng), {}, "untrained", "")
    probe = probe_of(12, rng)
    ours, plain = engine.predict(probe, 8), engine.predict(probe, 8, shrink=0.0)
    x = np.linspace(0, 1, 101)
    assert 0 < np.abs(ours(x) - plain(x)).max() <= 0.1 * plain(0.0)


@pytest.mark.parametrize("degree", range(2, 41, 2))
@pytest.mark.parametrize("which", ["shipped", "random"])
def test_every_degree_gives_a_polynomial(degree, which, rng):
    engine = load() if which == "shipped" else random_engine(rng, 10)
    p = engine.predict(probe_of(12, rng, high=7.0), degree)
    assert isinstance(p, ap.Polynomial)
    assert p.degree == degree
    assert p.interval[1] == 7.0
    assert p.residual(0.0) == 1.0


@pytest.mark.parametrize("degree", [2, 16])
def test_shrinking_to_nothing_leaves_chebyshev(degree, rng):
    engine = random_engine(rng)
    p = engine.predict(probe_of(12, rng, high=3.0), degree, shrink=0.0)
    plain = chebyshev(degree, 3.0, p.interval[0])
    assert np.allclose(p.coefficients, plain.coefficients, rtol=1e-10)
    whole = engine.predict(probe_of(12, rng, high=3.0), degree)
    assert not np.allclose(whole.coefficients, plain.coefficients, rtol=1e-3)


@pytest.mark.parametrize("high", [1e-9, 1e9])
def test_predictions_have_no_units(high, rng):
    one = probe_of(12, np.random.default_rng(1))
    scaled = Probe(
        one.ritz_values * high, one.weights, one.residual_norms * high, high, False, 12
    )
    engine = random_engine(rng)
    p, q = engine.predict(one, 8), engine.predict(scaled, 8)
    x = np.linspace(0, 1, 50)
    assert np.allclose(p.residual(x), q.residual(high * x), rtol=0, atol=1e-9)


def test_a_longer_probe_is_cut_to_its_first_steps():
    A = poisson1d(150)
    start = np.random.default_rng(3).standard_normal(150)
    probes = []
    for n_steps in (12, 13, 25):
        alpha, beta, _ = probing.lanczos(lambda x: A @ x, start, n_steps)
        probes.append(Probe(*probing.ritz(alpha, beta), 4.0, True, n_steps))
    short, *longer = (features.extract(probe, 8) for probe in probes)
    assert short.shape == (features.size(),) == (CONFIG.n_features,)
    for x in longer:
        assert np.allclose(x, short, rtol=0, atol=1e-6)


@pytest.mark.parametrize("n_steps", [1, 2, 11])
def test_a_shorter_probe_is_padded_from_below(n_steps, rng):
    probe = probe_of(n_steps, rng)
    x = features.extract(probe, 8)
    assert x.shape == (CONFIG.n_features,)
    assert np.isfinite(x).all()
    theta, weights, norms = x[:36].reshape(3, 12)
    assert np.allclose(10 ** theta[12 - n_steps :], probe.ritz_values)
    assert np.allclose(theta[: 12 - n_steps], theta[12 - n_steps])
    assert np.allclose(10 ** (2 * weights[12 - n_steps :]), probe.weights)
    assert np.allclose(10 ** norms[12 - n_steps :], probe.residual_norms)
    assert x[-2] == pytest.approx(n_steps / 12)
    assert x[-1] == pytest.approx(np.log2(9) / 5)


def test_features_of_a_singular_probe_are_finite():
    probe = Probe(np.array([-1e-17, 1.0]), np.array([0.0, 1.0]), np.zeros(2), 1.1, True, 2)
    assert np.isfinite(features.extract(probe, 4)).all()
