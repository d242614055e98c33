"""A training small enough for a test: deterministic, and it learns."""

import dataclasses
import itertools
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from autospec_precond import checkpoint, features, spectra, unions
from autospec_precond.classical import chebyshev, chebyshev_roots
from autospec_precond.engine import Engine, EngineConfig, init
from autospec_precond.polynomial import Polynomial
from autospec_precond.retrain import data
from autospec_precond.retrain.counting import log_products, residual_polynomial
from autospec_precond.retrain.evaluation import compare, evaluate

torch = pytest.importorskip("torch", reason="torch is not installed")
training = pytest.importorskip("autospec_precond.retrain.training")
edge_head = pytest.importorskip("autospec_precond.retrain.edge_head")
judge_head = pytest.importorskip("autospec_precond.retrain.judge_head")

pytestmark = pytest.mark.train

CONFIG = EngineConfig()
SMALL = training.TrainConfig(
    n_samples=40, n_gap_samples=20, n_edge_steps=60, n_judge_steps=60
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Few products and few operators."""
    for module in (data, judge_head):
        monkeypatch.setattr(module, "MOST_PRODUCTS", 1_500)
    monkeypatch.setattr(
        training,
        "evaluate",
        lambda *args, **keywords: evaluate(*args, per_family=1, **keywords),
    )
    monkeypatch.setattr("autospec_precond.retrain.evaluation._MOST_PRODUCTS", 1_500)


@pytest.fixture(scope="module")
def samples():
    return data.draw_samples(11, 40, CONFIG.degrees)


def silent(*_):
    pass


def cg(eigenvalues, p, b, rtol=1e-8):
    """Return the iterations of textbook CG and the last two residual norms."""
    r = b.copy()
    z = p * r
    direction, norms = z, [np.linalg.norm(b)]
    while norms[-1] > rtol * norms[0]:
        step = (r @ z) / (direction @ (eigenvalues * direction))
        r, before = r - step * eigenvalues * direction, r @ z
        z = p * r
        direction = z + (r @ z) / before * direction
        norms.append(np.linalg.norm(r))
    return len(norms) - 1, norms


def test_same_seed_same_bytes(tmp_path):
    np.random.seed(1)  # noqa: NPY002 - what the global generators hold has no influence
    torch.manual_seed(1)
    files = []
    for k, seed in enumerate((3, 3, 4)):
        config = dataclasses.replace(SMALL, seed=seed)
        params, provenance = training.train(config)
        path = tmp_path / f"{k}.safetensors"
        checkpoint.save(path, CONFIG, params, provenance)
        files.append(path.read_bytes())
        assert checkpoint.load(path).provenance["training"]["seed"] == seed
    assert files[0] == files[1]
    assert files[0] != files[2]


@pytest.mark.parametrize("path", [None, "trained"])
def test_a_file_says_what_made_it(path, tmp_path):
    if path:
        path = tmp_path / "trained.safetensors"
        checkpoint.save(path, CONFIG, *training.train(SMALL))
    provenance = checkpoint.load(path).provenance
    assert set(provenance) == {"package_version", "modules", "training", "evaluation"}
    assert provenance["modules"] == training.digest_of_modules()
    text = json.dumps(provenance)
    assert not any(word in text for word in ("2026", "/home", "/tmp", "x86"))


def test_processes_change_nothing():
    one, two = (data.draw_samples(3, 60, (), ["uniform"], n_jobs=k) for k in (1, 2))
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a.eigenvalues, b.eigenvalues)
        assert a.probes == b.probes


def test_edges_learn(samples):
    start = init(CONFIG, np.random.default_rng(0))
    config = dataclasses.replace(SMALL, n_edge_steps=400)
    after = edge_head.fit_edges(start, CONFIG, samples, config, silent)
    costs = [mean_cost(params, samples) for params in (start, after)]
    assert costs[1] < costs[0] - 0.02
    assert all(np.array_equal(start[k], after[k]) for k in start if k.startswith("judge"))


def mean_cost(params, samples):
    """Return the mean logarithm of products over those of the best edge."""
    engine = Engine(CONFIG, params, {}, "", "")
    result = []
    for sample in samples:
        for degree, curve in zip(CONFIG.degrees, sample.curves, strict=True):
            log = np.log(engine.low(sample.probes[0], degree))
            result.append(np.interp(log, np.log(data.EDGES), curve) - curve.min())
    return np.mean(result)


def test_the_judge_learns():
    clustered = data.draw_samples(5, 60, (), ["clusters"])
    start = init(CONFIG, np.random.default_rng(0))
    inputs, savings = judge_head.judge_cases(clustered, start, CONFIG, 0)
    assert inputs.shape == (savings.size, features.size() + features.size_candidate())
    assert savings.min() < -0.1
    config = dataclasses.replace(SMALL, n_judge_steps=400)
    after = judge_head.fit_judge(start, (inputs, savings), config, silent)
    engines = [Engine(CONFIG, params, {}, "", "") for params in (start, after)]
    errors = [np.abs(forward_judge(engine, inputs) - savings).mean() for engine in engines]
    assert errors[1] < 0.7 * errors[0]
    assert all(np.array_equal(start[k], after[k]) for k in start if k.startswith("edge"))


def forward_judge(engine, inputs):
    from autospec_precond.engine import forward

    return forward(engine.params, "judge", inputs)[:, 0]


def test_cases_of_the_judge_are_what_production_reads():
    samples = data.draw_samples(8, 10, (), ["clusters"])
    params = init(CONFIG, np.random.default_rng(0))
    inputs, _ = judge_head.judge_cases(samples, params, CONFIG, 0, most=1000)
    engine = Engine(CONFIG, params, {}, "", "")
    rows = []
    for probe, degree in itertools.product((s.probes[0] for s in samples), CONFIG.degrees):
        low = engine.low(probe, degree)
        found = unions.candidates(probe, low, degree)
        x = features.extract(probe)
        if found:
            rows.extend(features.of_candidates(x, probe, low, degree, found))
    assert len(inputs)
    for row in inputs:
        assert min(np.abs(row - other).max() for other in rows) == 0


def test_progress_is_reported():
    seen = []
    config = dataclasses.replace(SMALL, n_edge_steps=500, n_judge_steps=500, batch=2)
    training.train(config, progress=lambda *args: seen.append(args))
    assert {stage for stage, *_ in seen} == {"measure", "edge", "judge"}
    assert all(done <= total for _, done, total, _ in seen)
    assert all(math.isfinite(loss) for stage, *_, loss in seen if stage != "measure")


def test_bounds_of_samples_are_of_both_kinds():
    drawn = data.draw_samples(0, 30, ())
    probes = [p for s in drawn for p in s.probes]
    rigorous = [p.high for p in probes if p.high_is_rigorous]
    assert 10 < len(rigorous) < 80
    assert min(rigorous) >= 1
    assert {s.family for s in drawn} == set(spectra.FAMILIES)
    assert min(p.n_steps for p in probes) < 12 == max(p.n_steps for p in probes)
    assert all(s.eigenvalues.max() == 1 for s in drawn)


def test_few_eigenvalues_are_kept(rng):
    eigenvalues = np.sort(rng.random(300))
    nodes, counts = data.thin_out(eigenvalues)
    assert np.array_equal(nodes, eigenvalues)
    assert (counts == 1).all()


@pytest.mark.parametrize("family", ["grid", "uniform", "clusters"])
def test_a_thinned_operator_costs_what_the_whole_costs(family, monkeypatch):
    monkeypatch.setattr(data, "MOST_PRODUCTS", 20_000)
    rng = np.random.default_rng(6)
    eigenvalues = spectra.draw_family(family, rng, 8_000, 1e3)
    nodes, counts = data.thin_out(eigenvalues)
    assert counts.sum() == 8_000
    assert nodes.size < 2_000
    assert np.average(nodes, weights=counts) == pytest.approx(eigenvalues.mean())
    assert (np.diff(nodes) > 0).all()
    whole = data.measure_curves(eigenvalues, rng.standard_normal(8_000), (8,))
    thin = data.measure_curves(nodes, np.sqrt(rng.chisquare(counts)), (8,))
    assert whole.min() < np.log(1_200)
    # As far as one right-hand side differs from another.
    assert np.abs(whole - thin)[:, 5:].max() < 0.12


@pytest.mark.parametrize("degree", [4, 8, 16])
def test_residual_polynomial_is_that_of_the_polynomial(degree, rng):
    roots = chebyshev_roots(degree, 0.01, 1.0) * np.exp(
        0.1 * rng.standard_normal((3, degree + 1))
    )
    x = np.linspace(0, 1, 40)
    phi = residual_polynomial(x, roots)
    for row, own in zip(phi, roots, strict=True):
        expected = Polynomial.from_roots(own, (0.01, 1.0)).residual(x)
        assert np.allclose(row, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("degree", [4, 16])
def test_products_are_those_of_textbook_cg(degree, rng):
    eigenvalues = np.sort(10 ** rng.uniform(-2, 0, 200))
    b = rng.standard_normal(200)
    polynomials = [chebyshev(degree, 1.0, low) for low in (0.3, 0.1, 0.03, 0.01)]
    q = np.array([eigenvalues * p(eigenvalues) for p in polynomials])
    found = np.exp(log_products(eigenvalues, q, degree + 1, b, 60_000)) / (degree + 1)
    for count, p in zip(found, polynomials, strict=True):
        iterations, norms = cg(eigenvalues, p(eigenvalues), b)
        last = np.log(norms[-2] / (1e-8 * norms[0])) / np.log(norms[-2] / norms[-1])
        assert count == pytest.approx(iterations - 1 + last, abs=0.02)


def test_slow_polynomials_are_given_up(rng):
    eigenvalues = np.geomspace(1e-4, 1, 300)
    b = rng.standard_normal(300)
    roots = np.array([chebyshev_roots(4, low, 1.05) for low in (1e-3, 1e-2, 0.5)])
    q = 1 - residual_polynomial(eigenvalues, roots)
    whole = np.exp(log_products(eigenvalues, q, 5, b, 60_000))
    assert whole[2] > 1.6 * whole.min()
    short = np.exp(log_products(eigenvalues, q, 5, b, 60_000, patience=1.2))
    assert np.allclose(short[:2], whole[:2], rtol=1e-9)
    assert 1.2 * whole.min() - 5 <= short[2] != whole[2]


def test_products_beyond_the_budget_are_extrapolated(rng):
    eigenvalues = np.geomspace(1e-6, 1, 300)
    b = rng.standard_normal(300)
    q = np.array([eigenvalues])
    (short,) = log_products(eigenvalues, q, 1, b, 100)
    assert np.log(100) < short <= np.log(1000)


def test_the_oracle_is_the_best_edge(samples):
    engine = Engine(CONFIG, init(CONFIG, np.random.default_rng(0)), {}, "", "")
    sample = samples[0]
    _, rival, oracle, _ = compare(engine, sample, 8)
    assert rival >= oracle
    high = sample.probes[0].high
    x = sample.eigenvalues
    q = np.array([x * chebyshev(8, high, high * low)(x) for low in data.EDGES])
    assert oracle == log_products(x, q, 9, sample.b, 1_500).min()


def test_evaluation_is_the_same_every_time(rng):
    engine = Engine(CONFIG, init(CONFIG, rng), {}, "", "")
    first = evaluate(engine, 5, per_family=1)
    assert evaluate(engine, 5, per_family=1) == first
    assert json.loads(json.dumps(first)) == first
    assert set(first["by_family"]) == set(spectra.FAMILIES)


def test_probe_of_a_diagonal_bounds_it(rng):
    for _ in range(50):
        eigenvalues = spectra.draw(rng, 100)
        high = data.probe_diagonal(eigenvalues, rng).high
        assert high >= eigenvalues.max() * (1 - 1e-12)


def test_command_trains_and_writes(tmp_path, capsys):
    from autospec_precond.retrain import __main__ as command

    path = tmp_path / "mine.safetensors"
    arguments = ["--seed", "5", "--scale", "0.003", "--jobs", "1", "--leave-out", "beta"]
    command.main(["--out", str(path), *arguments])
    provenance = checkpoint.load(path).provenance
    assert provenance["training"]["seed"] == 5
    assert "beta" not in provenance["training"]["families"]
    assert json.loads(capsys.readouterr().out) == provenance["evaluation"]


def test_command_leaves_each_family_out(tmp_path, capsys):
    from autospec_precond.retrain import __main__ as command

    others = [f for f in spectra.FAMILIES if f not in ("uniform", "clusters")]
    arguments = [word for name in others for word in ("--leave-out", name)]
    arguments += ["--scale", "0.003", "--jobs", "1", "--leave-each-out", str(tmp_path)]
    command.main(arguments)
    for left, stays in (("uniform", "clusters"), ("clusters", "uniform")):
        engine = checkpoint.load(tmp_path / f"left-out-{left}.safetensors")
        assert engine.provenance["training"]["families"] == [stays]


def test_operators_of_families_left_out_are_not_learned_from(samples):
    config = dataclasses.replace(SMALL, families=("uniform", "clusters"))
    kept = [s for s in samples if s.family in config.families]
    one, two = (training.train(config, measured=(m, m)) for m in (samples, kept))
    assert 0 < len(kept) < len(samples)
    assert one[1] == two[1]
    assert all(np.array_equal(one[0][k], two[0][k]) for k in one[0])


def test_command_explains_itself():
    command = [sys.executable, "-m", "autospec_precond.retrain", "--help"]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    for option in ("--out", "--seed", "--leave-out"):
        assert option in run.stdout
