"""A training for general matrices small enough for a test."""

import dataclasses
import json
from importlib import resources

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from autospec_precond import checkpoint, gmres_engine
from autospec_precond.errors import CheckpointError
from autospec_precond.gmres_engine import GmresConfig
from autospec_precond.retrain import gmres_data, gmres_operators
from autospec_precond.retrain.gmres_counting import n_products
from autospec_precond.roots import RootPolynomial, with_added_roots

torch = pytest.importorskip("torch", reason="torch is not installed")
gmres_task = pytest.importorskip("autospec_precond.retrain.gmres_task")

pytestmark = pytest.mark.train

CONFIG = GmresConfig()
SMALL = gmres_task.GmresTrainConfig(n_samples=21, held_out=4, n_steps=40, batch=16)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(gmres_data, "MOST_PRODUCTS", 1_000)
    yield
    torch.set_num_threads(before)


def test_same_seed_same_bytes(tmp_path):
    files = []
    for k, seed in enumerate((3, 3, 4)):
        config = dataclasses.replace(SMALL, seed=seed)
        path = tmp_path / f"{k}.safetensors"
        checkpoint.save(path, CONFIG, *gmres_task.train(config))
        files.append(path.read_bytes())
        assert checkpoint.load_gmres(path).provenance["training"]["seed"] == seed
    assert files[0] == files[1]
    assert files[0] != files[2]
    with pytest.raises(CheckpointError, match="must have format"):
        checkpoint.load(path)
    solve = resources.files("autospec_precond.weights_data") / checkpoint.SHIPPED
    with pytest.raises(CheckpointError, match="must have format"):
        checkpoint.load_gmres(solve)


def test_the_shipped_file_says_what_made_it():
    provenance = checkpoint.load_gmres().provenance
    assert set(provenance) == {"package_version", "modules", "training", "evaluation"}
    assert provenance["modules"] == gmres_task.digest_of_modules()
    assert provenance["evaluation"]["products"] < 0.97
    assert provenance["evaluation"]["no_more"] > 0.9
    text = json.dumps(provenance)
    assert not any(word in text for word in ("2026", "/home", "/tmp", "x86"))


def test_numpy_and_torch_agree(rng):
    params = gmres_engine.init(CONFIG, rng)
    params = {k: rng.standard_normal(v.shape) / 4 for k, v in params.items()}
    params["low"][:], params["high"][:] = -9, 9
    x = rng.standard_normal((5, 7, CONFIG.n_features))
    tensors = {k: torch.tensor(v) for k, v in params.items()}
    one = gmres_engine.forward(params, x)
    other = gmres_engine.forward(tensors, torch.tensor(x), torch).numpy()
    np.testing.assert_array_equal(gmres_engine.preferences(params, x), one)
    assert one.shape == (5, 7, len(CONFIG.emphases) + 1)
    np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_the_loss_is_the_expected_cost():
    costs = torch.tensor([[[9.0, 9, 9, 9], [1, 2, 3, 4], [5, 6, 7, 8]]])
    absent = torch.tensor([[True, False, False]])
    preferences = torch.full((1, 3, 5), -50.0)
    preferences[0, 0, 1] = 50  # a stage that is not there asks nobody
    preferences[0, 1, 0] = preferences[0, 2, 3] = 50
    assert gmres_task._expected(preferences, costs, absent).item() == pytest.approx(7)
    preferences[0, 1, 2] = 50  # half of the time the second candidate, early
    assert gmres_task._expected(preferences, costs, absent).item() == pytest.approx(4.5)


@pytest.mark.parametrize("family", gmres_operators.FAMILIES)
def test_operators_are_what_they_should_be(family):
    for seed in range(4):
        S = gmres_operators.draw(family, np.random.default_rng(seed))
        assert S.shape[0] == S.shape[1] >= 80
        assert S.dtype == np.float64
        assert np.isfinite(S.data).all()
        assert np.diff(S.indptr).min() > 0


@pytest.mark.parametrize("degree", [None, 1, 4, 9])
def test_counts_are_those_of_scipy(degree):
    rng = np.random.default_rng(2)
    n = 200
    A = sp.diags_array([-1.3, 2.6, -0.9], offsets=[-1, 0, 1], shape=(n, n)).tocsr()
    A = sp.csr_array(A + 0.2 * sp.random_array((n, n), density=0.01, rng=rng))
    b = rng.standard_normal(n)
    count = 0

    def product(x):
        nonlocal count
        count += 1
        return A @ x

    roots = []
    M = None
    if degree is not None:
        H = gmres_data.arnoldi(A, degree + 1, rng.standard_normal(n))
        roots = with_added_roots(gmres_engine.harmonic_ritz(H), True)
        p = RootPolynomial(tuple(roots))

        def apply(v):
            x, r = np.zeros(n, complex), v.astype(complex)
            for k, root in enumerate(p.roots):
                x += r / root
                if k < p.degree:
                    r = r - product(r) / root
            return x.real

        M = spla.LinearOperator((n, n), matvec=apply, dtype=float)
    A_counted = spla.LinearOperator((n, n), matvec=product, dtype=float)
    _, info = spla.gmres(A_counted, b, M=M, rtol=1e-8, restart=30, maxiter=200)
    assert info == 0
    found, solved = n_products(A, roots, b, 20_000)
    assert solved
    assert found == count


def test_measuring_charges_the_probe():
    S = gmres_operators.draw("grid", np.random.default_rng(5))
    sample = gmres_data.measure(S, 8, np.random.default_rng(6), CONFIG)
    assert sample.x.shape == (2, CONFIG.n_features)
    assert sample.gains.shape == (2, len(CONFIG.emphases))
    assert sample.gains[-1, 0] == 0
    rng = np.random.default_rng(6)
    start, b = rng.standard_normal((2, S.shape[0]))
    H = gmres_data.arnoldi(S, 9, start)
    values = with_added_roots(gmres_engine.harmonic_ritz(H), True)
    assert sample.plain == 9 + n_products(S, values, b, 20_000)[0]
