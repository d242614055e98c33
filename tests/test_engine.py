"""The networks under NumPy and under torch, and what becomes of their outputs."""

import dataclasses

import numpy as np
import pytest
from problems import dense_with_spectrum, poisson1d

import autospec_precond as ap
from autospec_precond import features, probing, unions
from autospec_precond.checkpoint import load
from autospec_precond.classical import chebyshev
from autospec_precond.engine import Engine, EngineConfig, forward, init, snap
from autospec_precond.probe import Probe

CONFIG = EngineConfig()
SIZES = {"edge": features.size(), "judge": features.size() + features.size_candidate()}
OUTPUTS = {"edge": 4, "judge": 1}


def random_engine(rng, scale=1.0):
    params = {k: scale * v for k, v in init(CONFIG, rng).items()}
    for name in ("edge.w2", "judge.w3"):
        params[name] = 100 * params[name]  # init keeps the last layers small
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
@pytest.mark.parametrize("head", ["edge", "judge"])
@pytest.mark.parametrize("shape", [(), (1,), (5, 7)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numpy_agrees_with_torch(head, shape, dtype, rng):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    params = {k: v.astype(dtype) for k, v in random_engine(rng).params.items()}
    x = rng.standard_normal((*shape, SIZES[head])).astype(dtype)
    ours = forward(params, head, x)
    tensors = {k: torch.from_numpy(v) for k, v in params.items()}
    theirs = forward(tensors, head, torch.from_numpy(x), torch)
    assert ours.dtype == theirs.numpy().dtype == dtype
    assert ours.shape == theirs.shape == (*shape, OUTPUTS[head])
    # Relative to the sums that an output is made of.
    last = max(k for k in params if k.startswith(f"{head}.w"))
    scale = np.abs(ours).max() + np.abs(params[last]).sum(axis=0).max()
    assert np.abs(ours - theirs.numpy()).max() <= 50 * np.finfo(dtype).eps * scale


def test_layers_of_equal_width_add_to_what_comes_in(rng):
    x = rng.standard_normal(SIZES["edge"])
    p = {k: v + 0.1 for k, v in random_engine(rng).params.items()}
    first = np.tanh(x @ p["edge.w0"] + p["edge.b0"])
    second = first + np.tanh(first @ p["edge.w1"] + p["edge.b1"])
    expected = second @ p["edge.w2"] + p["edge.b2"]
    assert np.allclose(forward(p, "edge", x), expected, rtol=1e-12)


def test_batches_are_rows(rng):
    engine = random_engine(rng)
    x = rng.standard_normal((5, 7, SIZES["judge"]))
    whole = forward(engine.params, "judge", x)
    assert np.allclose(whole[2, 3], forward(engine.params, "judge", x[2, 3]), rtol=1e-12)


def test_training_starts_at_the_single_interval(rng):
    engine = Engine(CONFIG, init(CONFIG, rng), {}, "untrained", "")
    probe = probe_of(12, rng)
    for degree, edge in zip(CONFIG.degrees, (-1.4, -1.7, -2.0, -2.3), strict=True):
        assert np.log10(engine.low(probe, degree)) == pytest.approx(edge, abs=0.3)
        assert engine.predict(probe, degree) == [
            chebyshev(degree, 1.0, engine.low(probe, degree))
        ]


@pytest.mark.parametrize(
    ("edge", "lowest", "expected"),
    [
        (-2.0, -2.15, -2.15),  # the least Ritz value is near
        (-2.0, -2.25, -2.0),
        (-2.0, -1.82, -1.82),
        (-1.4, -4.0, -np.log10(30)),  # and the classical edge of smoothers
        (-1.3, -4.0, -1.3),
        (-1.4, -1.45, -1.45),  # nearer, in units of the margins
        (-1.45, -1.6, -np.log10(30)),
        (-9.0, -4.0, -7.0),
        (-7.0, -7.1, -7.0),  # within the limits still
    ],
)
def test_classical_edges_are_taken_where_they_are_near(edge, lowest, expected, rng):
    params = {k: 0 * v for k, v in init(CONFIG, rng).items()}
    params["edge.b2"] += edge
    probe = probe_of(12, rng)
    theta = np.append(10**lowest, probe.ritz_values[1:])
    probe = dataclasses.replace(probe, ritz_values=theta)
    engine = Engine(CONFIG, params, {}, "", "")
    assert np.log10(engine.low(probe, 8)) == pytest.approx(expected, abs=1e-12)


def test_margins_shrink_with_the_degree_and_may_be_none(rng):
    probe = probe_of(12, rng)
    theta = np.append(10**-2.15, probe.ritz_values[1:])
    probe = dataclasses.replace(probe, ritz_values=theta)
    taken = {d: snap(-2.0, probe, d, (0.3, 0.15)) for d in (0, 4, 8, 16, 32)}
    assert taken == pytest.approx({0: -2.15, 4: -2.15, 8: -2.15, 16: -2.0, 32: -2.0})
    assert snap(-2.0, probe, 4, (0.0, 0.0)) == -2.0
    assert snap(-2.15, probe, 4, (0.0, 0.0)) == -2.15  # no division of 0 by 0


def test_edges_between_the_degrees_are_interpolated(rng):
    exact = dataclasses.replace(CONFIG, edge_margins=(0.0, 0.0))
    engine = Engine(exact, random_engine(rng, 0.3).params, {}, "random", "")
    probe = probe_of(12, rng)
    logs = {d: np.log10(engine.low(probe, d)) for d in range(2, 66, 2)}
    share = np.log(13 / 9) / np.log(17 / 9)
    assert logs[12] == pytest.approx((1 - share) * logs[8] + share * logs[16])
    slope = (logs[32] - logs[16]) / np.log(33 / 17)
    expected = np.clip(logs[32] + slope * np.log(65 / 33), -7, -0.1)
    assert logs[64] == pytest.approx(expected)


@pytest.mark.parametrize("degree", range(2, 41, 2))
@pytest.mark.parametrize("which", ["shipped", "random"])
def test_every_degree_gives_a_polynomial(degree, which, rng):
    engine = load() if which == "shipped" else random_engine(rng, 10)
    probe = probe_of(12, rng, high=7.0)
    for p in engine.predict(probe, degree):
        assert isinstance(p, ap.Polynomial)
        assert p.degree == degree
        assert p.interval[1] == 7.0
        assert p.residual(0.0) == 1.0


def test_the_last_proposal_is_chebyshev(rng):
    engine = random_engine(rng)
    probe = probe_of(12, rng, high=3.0)
    assert engine.predict(probe, 16)[-1] == chebyshev(16, 3.0, engine.low(probe, 16))


def clustered(rng):
    eigenvalues = np.sort(np.r_[rng.uniform(0.01, 0.013, 200), rng.uniform(0.5, 1, 300)])
    start = rng.standard_normal(500)
    theta, weights, norms = probing.ritz(
        *probing.lanczos(lambda x: eigenvalues * x, start, 12)[:2]
    )
    return Probe(theta, weights, norms, 1.05, False, 12)


def test_the_judge_decides_about_gaps(rng):
    probe = clustered(rng)
    engine = random_engine(rng)
    found = unions.candidates(probe, engine.low(probe, 16), 16)
    engine.params["judge.b3"][:] -= 100
    judged = engine.judge(probe, 16, found)
    proposals = engine.predict(probe, 16)
    assert len(proposals) == 4
    for p, k in zip(proposals, np.argsort(judged)[:3], strict=False):
        assert p.intervals == tuple(map(tuple, found[k].intervals))
        assert np.abs(p.residual(found[k].roots)).max() <= 1e-6
    engine.params["judge.b3"][:] += 200
    assert [p.gaps for p in engine.predict(probe, 16)] == [()]


def test_the_shipped_engine_uses_a_gap(rng):
    assert load().predict(clustered(rng), 16)[0].gaps


@pytest.mark.parametrize("high", [1e-9, 1e9])
def test_predictions_have_no_units(high, rng):
    one = probe_of(12, np.random.default_rng(1))
    scaled = Probe(
        one.ritz_values * high, one.weights, one.residual_norms * high, high, False, 12
    )
    engine = random_engine(rng)
    p, q = engine.predict(one, 8)[-1], engine.predict(scaled, 8)[-1]
    x = np.linspace(0, 1, 50)
    assert np.allclose(p.residual(x), q.residual(high * x), rtol=0, atol=1e-9)


def test_a_longer_probe_is_cut_to_its_first_steps():
    A = poisson1d(150)
    start = np.random.default_rng(3).standard_normal(150)
    probes = []
    for n_steps in (12, 13, 25):
        alpha, beta, _ = probing.lanczos(lambda x: A @ x, start, n_steps)
        probes.append(Probe(*probing.ritz(alpha, beta), 4.0, True, n_steps))
    short, *longer = (features.extract(probe) for probe in probes)
    assert short.shape == (features.size(),) == (CONFIG.n_features,)
    for x in longer:
        assert np.allclose(x, short, rtol=0, atol=1e-6)


@pytest.mark.parametrize("n_steps", [1, 2, 11])
def test_a_shorter_probe_is_padded_from_below(n_steps, rng):
    probe = probe_of(n_steps, rng)
    x = features.extract(probe)
    assert x.shape == (CONFIG.n_features,)
    assert np.isfinite(x).all()
    theta, weights, norms = x[:36].reshape(3, 12)
    assert np.allclose(10 ** theta[12 - n_steps :], probe.ritz_values)
    assert np.allclose(theta[: 12 - n_steps], theta[12 - n_steps])
    assert np.allclose(10 ** (2 * weights[12 - n_steps :]), probe.weights)
    assert np.allclose(10 ** norms[12 - n_steps :], probe.residual_norms)
    assert x[-2] == pytest.approx(n_steps / 12)


def test_features_of_a_singular_probe_are_finite():
    probe = Probe(np.array([-1e-17, 1.0]), np.array([0.0, 1.0]), np.zeros(2), 1.1, True, 2)
    assert np.isfinite(features.extract(probe)).all()


def test_candidates_are_compared_with_the_single_interval(rng):
    eigenvalues = np.r_[0.01, 0.011, 0.012, 0.6, 0.8, 1.0]  # all are found in six steps
    start = rng.standard_normal(6)
    start /= np.linalg.norm(start)
    alpha, beta, _ = probing.lanczos(lambda x: eigenvalues * x, start, 6)
    probe = Probe(*probing.ritz(alpha, beta), 1.05, False, 6)
    found, low = unions.candidates(probe, 0.009, 8), 0.009
    assert found
    rows = features.of_candidates(features.extract(probe), probe, low, 8, found)
    rows = rows[:, features.size() + 1 :]
    single = chebyshev(8, probe.high, low)
    grid = np.linspace(low, probe.high, 20_001)
    level = np.log(np.abs(single.residual(grid)).max())
    assert np.allclose(rows[:, 8], level, rtol=0, atol=1e-9)
    for row, candidate in zip(rows, found, strict=True):
        assert row[9] == pytest.approx(candidate.level - level)
        φ = (1 - eigenvalues[:, None] / candidate.roots).prod(1)
        kept = [
            0.5 * np.log((values * start) @ (values * start) + 1e-10)
            for values in (φ, single.residual(eigenvalues))
        ]
        assert row[10] == pytest.approx(kept[1], abs=1e-5)
        assert row[11] == pytest.approx(kept[0] - kept[1], abs=1e-5)
        logs = np.log(1 - φ)
        assert row[14] == pytest.approx(np.ptp(logs), abs=1e-6)
        assert row[15] == pytest.approx(np.sqrt(np.cov(logs, aweights=start**2, ddof=0)))


def test_comparisons_have_no_units_and_read_the_first_steps(rng):
    eigenvalues = np.sort(np.r_[rng.uniform(0.01, 0.013, 200), rng.uniform(0.5, 1, 300)])
    start = rng.standard_normal(500)
    probes = []
    for scale, n_steps in ((1.0, 12), (2.0**40, 12), (1.0, 16)):
        lanczos = probing.lanczos(lambda x, c=scale: c * eigenvalues * x, start, n_steps)
        probes.append(Probe(*probing.ritz(*lanczos[:2]), 1.05 * scale, False, n_steps))
    found = unions.candidates(probes[0], 0.009, 8)
    scaled = [
        dataclasses.replace(c, intervals=2.0**40 * c.intervals, roots=2.0**40 * c.roots)
        for c in found
    ]
    x = np.zeros(features.size())
    one = features.of_candidates(x, probes[0], 0.009, 8, found)
    other = features.of_candidates(x, probes[1], 0.009 * 2.0**40, 8, scaled)
    longer = features.of_candidates(x, probes[2], 0.009, 8, found)
    assert np.allclose(one, other, rtol=0, atol=1e-9)
    assert np.allclose(one, longer, rtol=0, atol=1e-5)
