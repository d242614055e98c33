"""A training small enough for a test: deterministic, and it learns."""

import dataclasses
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from autospec_precond import certificate, checkpoint, spectra
from autospec_precond.classical import chebyshev, chebyshev_roots
from autospec_precond.engine import Engine, EngineConfig, decode, forward, init, roots_basis
from autospec_precond.polynomial import Polynomial
from autospec_precond.retrain.data import draw_samples, probe_diagonal
from autospec_precond.retrain.evaluation import count_products, evaluate

torch = pytest.importorskip("torch", reason="torch is not installed")
losses = pytest.importorskip("autospec_precond.retrain.losses")
training = pytest.importorskip("autospec_precond.retrain.training")

pytestmark = pytest.mark.train

SMALL = training.TrainConfig(n_unrolled=15, n_measured=15, n_samples=200, n_eigenvalues=100)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def quick(monkeypatch):
    """Judge on one operator per family, not on eight."""
    monkeypatch.setattr(training, "evaluate", lambda *args: evaluate(*args, per_family=1))


def problems(n_rows, n, rng):
    """Return eigenvalues up to one and right-hand sides, as tensors."""
    eigenvalues = np.array([spectra.draw(rng, n) for _ in range(n_rows)])
    return torch.from_numpy(eigenvalues), torch.from_numpy(rng.standard_normal((n_rows, n)))


@pytest.mark.usefixtures("quick")
def test_same_seed_same_bytes(tmp_path):
    np.random.seed(1)  # noqa: NPY002 - what the global generators hold has no influence
    torch.manual_seed(1)
    files = []
    for k, seed in enumerate((3, 3, 4)):
        config = dataclasses.replace(SMALL, seed=seed)
        params, provenance = training.train(config)
        path = tmp_path / f"{k}.safetensors"
        checkpoint.save(path, EngineConfig(), params, provenance)
        files.append(path.read_bytes())
        assert checkpoint.load(path).provenance["training"]["seed"] == seed
    assert files[0] == files[1]
    assert files[0] != files[2]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("n_unrolled", "n_measured"), [(80, 0), (0, 80)])
def test_training_lowers_the_products(n_unrolled, n_measured):
    config = dataclasses.replace(SMALL, n_unrolled=n_unrolled, n_measured=n_measured)
    # Before: the same start, since the samples are drawn from the same generator first.
    rng = np.random.default_rng(config.seed)
    draw_samples(rng, config.n_samples, config.n_eigenvalues)
    before = init(EngineConfig(), rng)
    after, _ = training.train(config)
    samples = draw_samples(np.random.default_rng(99), 70, config.n_eigenvalues)
    means = [mean_log_products(params, samples, degree=8) for params in (before, after)]
    assert means[1] < means[0] - 0.01


def mean_log_products(params, samples, degree):
    x = np.array([sample.features for sample in samples])
    x[:, -1] = math.log2(degree + 1) / 5
    outputs = forward(params, x)
    config = EngineConfig()
    _, roots = decode(config, outputs, degree, roots_basis(config, degree))
    eigenvalues = torch.from_numpy(np.array([s.eigenvalues for s in samples]))
    b = torch.from_numpy(np.random.default_rng(5).standard_normal(eigenvalues.shape))
    return losses.log_products(eigenvalues, torch.from_numpy(roots), b, 3000).mean().item()


@pytest.mark.usefixtures("quick")
def test_progress_is_reported():
    seen = []
    config = dataclasses.replace(SMALL, n_unrolled=500, n_measured=0, batch=1)
    training.train(config, progress=lambda *args: seen.append(args))
    ((step, loss, seconds),) = seen
    assert step == 500
    assert math.isfinite(loss)
    assert seconds > 0


def test_features_of_samples_are_those_of_production(rng):
    (sample,) = draw_samples(rng, 1, 300, families=["grid"])
    engine = Engine(EngineConfig(), init(EngineConfig(), rng), {}, "", "")
    x = sample.features.copy()
    x[-1] = math.log2(9) / 5
    config = EngineConfig()
    low, roots = decode(config, forward(engine.params, x), 8, roots_basis(config, 8))
    p = engine.predict(sample.probe, 8)
    high = sample.probe.high
    assert p.interval == pytest.approx((high * low[0], high))
    assert np.abs(p.residual(high * roots)).max() <= 1e-9
    assert sample.eigenvalues.max() * high == pytest.approx(1)


def test_bounds_of_samples_are_of_both_kinds():
    samples = draw_samples(np.random.default_rng(0), 100, 60)
    rigorous = [s.eigenvalues.max() for s in samples if s.probe.high_is_rigorous]
    assert 10 < len(rigorous) < 60
    assert max(rigorous) <= 1
    assert {s.family for s in samples} == set(spectra.FAMILIES)
    assert (
        min(s.probe.n_steps for s in samples) < 12 == max(s.probe.n_steps for s in samples)
    )


def test_unrolled_cg_is_cg(rng):
    eigenvalues, b = problems(3, 50, rng)
    p = chebyshev(4, 1.0)
    q = torch.from_numpy(eigenvalues.numpy() * p(eigenvalues.numpy()))
    history = losses.unrolled_cg(eigenvalues, q, b, 6).numpy()
    for k in range(3):
        a, m = eigenvalues[k].numpy(), p(eigenvalues[k].numpy())
        r = b[k].numpy()
        z = m * r
        direction = z
        for i in range(6):
            step = (r @ z) / (direction @ (a * direction))
            r, before = r - step * a * direction, r @ z
            z = m * r
            direction = z + (r @ z) / before * direction
            expected = np.log10(np.linalg.norm(r) / np.linalg.norm(b[k].numpy()))
            assert history[k, i] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("degree", [4, 8, 16])
def test_residual_polynomial_is_that_of_the_polynomial(degree, rng):
    roots = chebyshev_roots(degree, 0.01, 1.0) * np.exp(
        0.1 * rng.standard_normal(degree + 1)
    )
    x = np.linspace(0, 1, 40)
    phi = losses.residual_polynomial(
        torch.from_numpy(x[None]), torch.from_numpy(roots[None])
    )
    expected = Polynomial.from_roots(roots, (0.01, 1.0)).residual(x)
    assert np.allclose(phi[0].numpy(), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("degree", [4, 16])
def test_log_products_agree_with_the_evaluation(degree, rng):
    eigenvalues, b = problems(8, 200, rng)
    roots = chebyshev_roots(degree, 0.01, 1.0)
    stacked = torch.from_numpy(np.tile(roots, (8, 1)))
    found = losses.log_products(eigenvalues, stacked, b, 60_000).numpy()
    p = Polynomial.from_roots(roots, (0.01, 1.0))
    pairs = zip(eigenvalues.numpy(), b.numpy(), strict=True)
    expected = [math.log(count_products(a, p, rhs)) for a, rhs in pairs]
    # Ill-conditioned ones feel rounding, and so do their counts.
    assert np.allclose(found, expected, rtol=0, atol=0.1)
    assert np.median(np.abs(found - expected)) <= 0.01


@pytest.mark.parametrize("degree", [2, 4, 8, 32])
@pytest.mark.parametrize("low", [0.01, 0.03, 0.5])
def test_no_penalty_for_chebyshev(degree, low):
    roots = torch.from_numpy(chebyshev_roots(degree, low, 1.0)[None])
    assert losses.positivity_penalty(roots).item() == 0


@pytest.mark.parametrize(
    "roots", [(0.1, 0.2, 5.0), (0.01, 0.5, 0.9), (0.1, 0.2, 0.3, 0.31, 2)]
)
def test_penalty_where_p_is_not_positive(roots, rng):
    p = Polynomial.from_roots(roots, (0.01, 1.0))
    assert not certificate.is_positive(p.coefficients)
    shuffled = torch.from_numpy(rng.permutation(roots)[None])
    shuffled.requires_grad_(True)
    penalty = losses.positivity_penalty(shuffled)
    assert penalty.item() > 0
    penalty.sum().backward()
    assert shuffled.grad.abs().max() > 0


def test_losses_of_a_bad_polynomial_are_finite(rng):
    eigenvalues, b = problems(4, 60, rng)
    roots = torch.tensor([[0.1, 0.2, 5.0]] * 4, dtype=torch.float64, requires_grad=True)
    loss = losses.unrolled_loss(eigenvalues, roots, b, 20)
    loss.backward()
    assert math.isfinite(loss.item())
    assert torch.isfinite(roots.grad).all()
    assert torch.isfinite(losses.log_products(eigenvalues, roots, b, 500)).all()


def test_evaluation_is_the_same_every_time(rng):
    engine = Engine(EngineConfig(), init(EngineConfig(), rng), {}, "", "")
    first = evaluate(engine, 5, per_family=1)
    assert evaluate(engine, 5, per_family=1) == first
    assert json.loads(json.dumps(first)) == first
    assert set(first["by_family"]) == set(spectra.FAMILIES)


def test_probe_of_a_diagonal_bounds_it(rng):
    for _ in range(50):
        eigenvalues = spectra.draw(rng, 100)
        assert probe_diagonal(eigenvalues, rng).high >= eigenvalues.max() * (1 - 1e-12)


def test_command_trains_and_writes(tmp_path, monkeypatch, capsys):
    from autospec_precond.retrain import __main__ as command

    def small(config, **keywords):
        return training.train(dataclasses.replace(config, n_samples=100), **keywords)

    monkeypatch.setattr(training, "evaluate", lambda *args: evaluate(*args, per_family=1))
    monkeypatch.setattr(command, "train", small)
    path = tmp_path / "mine.safetensors"
    command.main(["--out", str(path), "--seed", "5", "--scale", "0.0005"])
    engine = checkpoint.load(path)
    assert engine.provenance["training"]["seed"] == 5
    assert json.loads(capsys.readouterr().out) == engine.provenance["evaluation"]


def test_command_explains_itself():
    command = [sys.executable, "-m", "autospec_precond.retrain", "--help"]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "--out" in run.stdout
    assert "--seed" in run.stdout
