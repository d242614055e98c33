"""A training for eigenproblems small enough for a test."""

import dataclasses
import json

import numpy as np
import pytest

from autospec_precond import checkpoint, classical, eigen_engine, gmres_engine
from autospec_precond.eigen_engine import EigenConfig
from autospec_precond.retrain import eigen_data

torch = pytest.importorskip("torch", reason="torch is not installed")
eigen_task = pytest.importorskip("autospec_precond.retrain.eigen_task")

pytestmark = pytest.mark.train

CONFIG = EigenConfig()
SMALL = eigen_task.EigenTrainConfig(n_samples=14, held_out=4, n_steps=30, batch=16)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_same_seed_same_bytes(tmp_path):
    files = []
    for j, seed in enumerate((3, 3, 4)):
        config = dataclasses.replace(SMALL, seed=seed)
        path = tmp_path / f"{j}.safetensors"
        checkpoint.save(path, CONFIG, *eigen_task.train(config))
        files.append(path.read_bytes())
        assert checkpoint.load_eigen(path).provenance["training"]["seed"] == seed
    assert files[0] == files[1]
    assert files[0] != files[2]


def test_the_shipped_file_says_what_made_it():
    provenance = checkpoint.load_eigen().provenance
    assert set(provenance) == {"package_version", "modules", "training", "evaluation"}
    assert provenance["modules"] == eigen_task.digest_of_modules()
    assert provenance["evaluation"]["iterations"] < 0.97
    text = json.dumps(provenance)
    assert not any(word in text for word in ("2026", "/home", "/tmp", "x86"))


def test_numpy_and_torch_agree(rng):
    params = eigen_engine.init(CONFIG, rng)
    params = {k: rng.standard_normal(v.shape) / 4 for k, v in params.items()}
    x = rng.standard_normal((7, CONFIG.n_features))
    one = gmres_engine.forward(params, x)
    tensors = {k: torch.tensor(v) for k, v in params.items()}
    other = gmres_engine.forward(tensors, torch.tensor(x), torch).numpy()
    assert one.shape == (7, len(eigen_engine.choices(CONFIG)))
    np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_iterations_fall_with_the_degree():
    values = np.linspace(0.001, 1, 400)
    X = np.random.default_rng(0).standard_normal((400, 3))
    counts = [
        eigen_data.n_iterations(values, X, classical.shifted(d, 1.01, 0.01, 0.005), 90)
        for d in (8, 16, 48)
    ]
    assert 90 > counts[0] > counts[1] > counts[2] > 3
    assert eigen_data.n_iterations(values, X, np.ones_like, 5) == 5


def test_the_rule_gains_nothing():
    values = np.sort(np.random.default_rng(1).uniform(1e-4, 1, 350))
    sample = eigen_data.measure(values, 3, np.random.default_rng(2), CONFIG)
    assert sample.x.shape == (CONFIG.n_features,)
    assert sample.gains.shape == (len(eigen_engine.choices(CONFIG)),)
    assert sample.gains[0] == 0
    assert sample.gains.min() < 0 < sample.gains.max()


def test_fit_finds_the_better_choice():
    rng = np.random.default_rng(0)
    gains = np.zeros((2, len(eigen_engine.choices(CONFIG))))
    gains[0, 3], gains[1, 5] = -0.5, -0.5
    samples = [
        eigen_data.Sample("", 8, 4, x, 20.0, gains[int(x[0] > 0)])
        for x in rng.uniform(-1, 1, (200, CONFIG.n_features))
    ]
    config = dataclasses.replace(SMALL, n_steps=400, batch=64)
    params = eigen_task.fit(samples, config, CONFIG, lambda *details: None)
    assert eigen_task.evaluate(params, samples)["iterations"] < 0.7
