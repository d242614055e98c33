"""The engine for eigenproblems: what it falls back to, and what it is told."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

import autospec_precond as ap
from autospec_precond import checkpoint, density, eigen_engine
from autospec_precond.eigen_engine import EigenConfig, EigenEngine
from autospec_precond.errors import CheckpointError

CONFIG = EigenConfig()


def untrained():
    params = eigen_engine.init(CONFIG, np.random.default_rng(0))
    return EigenEngine(CONFIG, params, {}, "untrained", "")


def trained_to(place):
    """Return an engine that always prefers one output."""
    params = eigen_engine.init(CONFIG, np.random.default_rng(0))
    params["b2"] = np.eye(params["b2"].size)[place]
    return EigenEngine(CONFIG, params, {}, "stubborn", "")


def probe(values, n_steps=30, seed=0):
    based = SimpleNamespace(
        n=values.size,
        dtype=np.dtype(float),
        quick=None,
        inner=None,
        product=lambda x: values * x,
    )
    return density.estimate(based, n_steps, np.random.default_rng(seed))


def grid(side):
    line = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(side, side))
    eye = sp.eye_array(side)
    return sp.csr_array(sp.kron(line, eye) + sp.kron(eye, line))


@pytest.mark.parametrize("k", [1, 5, 20])
def test_output_zero_is_the_rule(k):
    found = probe(np.linspace(1e-3, 1, 400))
    high, low, shift = untrained().ends(found, k, 16)
    assert high == 1.01 * found.high
    assert low == found.below(1.3 * k)
    assert shift == 0.5 * low
    assert eigen_engine.choices(CONFIG)[0] == (1.0, 0.5)


def test_takes_what_it_prefers():
    found = probe(np.linspace(1e-3, 1, 400))
    high, low, _ = eigen_engine.ends(found, 5)
    for place, (factor, share) in enumerate(eigen_engine.choices(CONFIG)):
        wanted = high, factor * low, share * factor * low
        assert trained_to(place).ends(found, 5, 16) == pytest.approx(wanted)


def test_outside_of_training_the_rule():
    found = probe(np.linspace(1e-3, 1, 400))
    engine = trained_to(7)
    assert engine.ends(found, 5, 16) != eigen_engine.ends(found, 5)
    engine.params["high"][0] = -5  # a condition number above 1e5
    assert engine.ends(found, 5, 16) == eigen_engine.ends(found, 5)


@pytest.mark.parametrize(
    ("values", "n_steps", "k"),
    [
        (np.ones(50), 30, 4),
        (np.linspace(0.1, 1, 50), 1, 4),
        (np.linspace(0.1, 1, 50), 2, 1),
        (np.linspace(0.1, 1, 50), 30, 49),
        (np.repeat([1e-12, 1.0], 25), 30, 4),
        (np.geomspace(1e-300, 1e-290, 50), 30, 4),
        (np.geomspace(1e280, 1e290, 50), 30, 4),
    ],
    ids=["equal", "one step", "two steps", "k near n", "two values", "tiny", "huge"],
)
def test_degenerate_probes(values, n_steps, k):
    found = probe(values, n_steps)
    for degree in (2, 64, 192):
        x = eigen_engine.features(found, k, degree)
        assert x.shape == (CONFIG.n_features,)
        assert np.isfinite(x).all()
    for place in range(len(eigen_engine.choices(CONFIG))):
        high, low, shift = trained_to(place).ends(found, k, 16)
        assert 0 <= shift < low <= high


def test_features_do_not_depend_on_the_scale():
    values = np.geomspace(1e-4, 1, 300)
    one = eigen_engine.features(probe(values), 6, 24)
    other = eigen_engine.features(probe(1e7 * values), 6, 24)
    np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def test_make_takes_the_shipped_weights_or_the_rule():
    A = grid(30)
    M = ap.make(A, solver="lobpcg", n_eigenpairs=5)
    shipped = checkpoint.load_eigen()
    assert M.report.engine == f"eigen.safetensors {shipped.digest}"
    ruled = ap.make(A, solver="lobpcg", n_eigenpairs=5, engine="classical")
    assert ruled.report.engine == "classical"
    assert ruled.degree == M.degree
    path = f"{checkpoint.__file__[: -len('checkpoint.py')]}__init__.py"
    with pytest.raises(CheckpointError, match="whole safetensors file"):
        ap.make(A, solver="lobpcg", n_eigenpairs=5, engine=path)


@pytest.mark.parametrize("keywords", [{"largest": True}, {"B": sp.eye_array(144)}])
def test_the_rule_alone_for_the_largest_and_for_pencils(keywords):
    M = ap.make(grid(12), solver="lobpcg", n_eigenpairs=4, **keywords)
    assert M.report.engine == "classical"
    with pytest.raises(ValueError, match="engine must be 'classical' for the largest"):
        ap.make(grid(12), solver="lobpcg", n_eigenpairs=4, engine="x", **keywords)


def test_an_untrained_engine_makes_the_polynomial_of_the_rule(tmp_path):
    A = grid(30)
    path = tmp_path / "zero.safetensors"
    checkpoint.save(path, CONFIG, untrained().params, {})
    M = ap.make(A, solver="lobpcg", n_eigenpairs=5, engine=path)
    ruled = ap.make(A, solver="lobpcg", n_eigenpairs=5, engine="classical")
    assert M.report.engine.startswith("zero.safetensors ")
    assert np.array_equal(M @ np.ones(900), ruled @ np.ones(900))
