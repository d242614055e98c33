"""Fine-tuning on a user's matrices: what it measures, refuses, keeps and writes."""

import copy
import dataclasses
import importlib.util
import math
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp
from problems import Product, complex_hermitian, poisson1d, poisson2d, with_spectrum

import autospec_precond as ap
from autospec_precond import checkpoint, cli, plot
from autospec_precond.classical import chebyshev_roots
from autospec_precond.engine import EngineConfig, init
from autospec_precond.probe import Probe
from autospec_precond.retrain import (
    FineTuneConfig,
    collect,
    data,
    fine_tune,
    surrogate,
    tuning,
)
from autospec_precond.retrain.clock import Clock
from autospec_precond.retrain.counting import log_products, residual_polynomial
from autospec_precond.retrain.matrices import take
from autospec_precond.retrain.state import State

torch = pytest.importorskip("torch", reason="torch is not installed")
rounds = pytest.importorskip("autospec_precond.retrain.rounds")
edge_head = pytest.importorskip("autospec_precond.retrain.edge_head")
judge_head = pytest.importorskip("autospec_precond.retrain.judge_head")

pytestmark = pytest.mark.train

SMALL = FineTuneConfig(
    n_starts=2, most_steps=200, n_synthetic=10, n_held_out=5, n_rounds=2, n_steps=40
)
DEGREES = EngineConfig().degrees


def diffusion(side, seed, contrast=100.0):
    """Five-point diffusion with a rough coefficient, Dirichlet on two sides."""
    k = contrast ** np.random.default_rng(seed).random(side * side)
    grid = np.arange(side * side).reshape(side, side)
    ends = [
        (grid[1:].ravel(), grid[:-1].ravel()),
        (grid[:, 1:].ravel(), grid[:, :-1].ravel()),
    ]
    i, j = (np.concatenate(part) for part in zip(*ends, strict=True))
    face = 2 / (1 / k[i] + 1 / k[j])
    A = sp.coo_array((-face, (i, j)), shape=(k.size, k.size)).tocsr()
    A = A + A.T
    border = np.where(np.arange(k.size) < side, k, 0.0)
    return sp.csr_array(sp.diags_array(border - A.sum(axis=1)) + A)


FAMILY = [diffusion(16, seed) for seed in range(3)]


def based(A):
    return take(A, 0).based


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """Weights whose edges are too high everywhere: there is something to gain."""
    engine = checkpoint.load()
    params = {**engine.params, "edge.b2": engine.params["edge.b2"] + 0.4}
    path = tmp_path_factory.mktemp("weights") / "parent.safetensors"
    checkpoint.save(path, engine.config, params, {})
    return path


def quicken(patch):
    """Let synthetic operators be small, and their solves short."""
    patch.setattr(data, "_SIZES", (2.0, 2.4))
    for module in (data, judge_head):
        patch.setattr(module, "MOST_PRODUCTS", 1_000)
    patch.setattr("autospec_precond.retrain.evaluation._MOST_PRODUCTS", 1_000)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    quicken(monkeypatch)


def run(out, parent, matrices=FAMILY, **keywords):
    return fine_tune(matrices, out=out, engine=parent, config=SMALL, **keywords)


@pytest.fixture(scope="module")
def finished(parent, tmp_path_factory):
    """One whole run, and the bytes that it wrote."""
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch)
        out = tmp_path_factory.mktemp("finished") / "mine.safetensors"
        seen = []
        result = run(out, parent, progress=lambda *told: seen.append(told))
    return result, out, out.read_bytes(), seen


# What stands for a matrix


def whole_curves(A, b):
    """Measure on all eigenvalues, with the components of b in the eigenvectors."""
    values, vectors = np.linalg.eigh(based(A).matrix.toarray())
    top = values[-1]
    curves = []
    for degree in DEGREES:
        roots = np.array([chebyshev_roots(degree, low, 1.05) for low in data.EDGES])
        q = 1 - residual_polynomial(values / top, roots)
        curves.append(log_products(values / top, q, degree + 1, vectors.T @ b, 4_000))
    return np.array(curves)


@pytest.mark.parametrize(
    ("A", "allowed"),
    [
        (diffusion(20, 5, 1e4), 0.02),
        (poisson2d(20), 0.02),
        # CG takes more steps than there are eigenvalues: rounding decides.
        (with_spectrum(np.geomspace(1e-4, 1, 120), np.random.default_rng(1)), 0.07),
    ],
    ids=["diffusion", "poisson", "log-uniform"],
)
def test_diagonal_operator_costs_what_the_matrix_costs(A, allowed, rng):
    b = rng.standard_normal(A.shape[0])
    found = surrogate.conjugate_gradients(based(A).product, b, 2_000)
    assert found.converged
    theta, components = surrogate.diagonal_operator(found)
    curves = data.measure_curves(theta / theta[-1], components, DEGREES, most=4_000)
    expected = whole_curves(A, b)
    near = expected < expected.min(-1, keepdims=True) + math.log(1.5)
    assert np.abs(curves - expected)[near].max() <= allowed


def test_steps_are_those_of_lanczos(rng):
    S, b = based(FAMILY[0]), rng.standard_normal(256)
    found = surrogate.conjugate_gradients(S.product, b, 12)
    assert not found.converged
    alpha, beta, _ = ap.probing.lanczos(S.product, b, 12)
    diagonal, beside = found.matrix()
    assert np.allclose(diagonal, alpha, rtol=1e-8)
    assert np.allclose(beside, beta[:-1], rtol=1e-8)


def test_what_is_continued_stays_in_the_spectrum(rng):
    S = based(FAMILY[0])
    top = np.linalg.eigvalsh(S.matrix.toarray())[-1]
    found = surrogate.conjugate_gradients(S.product, rng.standard_normal(256), 40)
    theta, components = surrogate.diagonal_operator(found)
    assert theta.size == 140
    assert theta[0] > 0
    assert theta[-1] <= top * (1 + 1e-12)
    assert np.linalg.norm(components) == pytest.approx(1)


@pytest.mark.parametrize(
    "A", [complex_hermitian(50), Product(poisson1d(50)), np.eye(3), np.array([[2.0]])]
)
def test_every_kind_of_matrix_gives_samples(A, rng):
    samples, n_short = surrogate.observe(based(A), "it", rng, 2, 100)
    assert n_short == 0
    assert len(samples) == 2
    for sample in samples:
        assert sample.family == "it"
        assert len(sample.probes) == 4
        assert sample.eigenvalues[-1] <= 1
        for probe in sample.probes:
            assert probe.n == np.shape(A)[0]
            assert 0.99 <= probe.high <= 1.5


# A whole run


def test_products_fall_on_held_out_matrices(finished):
    result, out, _, _ = finished
    assert result.accepted
    assert result.reason == ""
    own = result.summary["own"]
    assert own["after"] < own["before"] - 0.02
    held = [g for g in result.gains if g.own and g.held_out]
    assert [g.name for g in held] == ["matrices[2]"] * 4
    written = {p.name for p in out.parent.iterdir()}
    assert written - {"mine.png"} == {"mine.md", "mine.safetensors"}
    if importlib.util.find_spec("matplotlib"):
        assert out.with_suffix(".png").read_bytes()[:4] == b"\x89PNG"
    assert out.with_suffix(".md").read_text() == f"{result}\n"
    assert "| matrices[2] | yes | 8 |" in str(result)


def test_weights_are_those_of_make(finished, parent):
    result, out, _, _ = finished
    M = ap.make(FAMILY[0], engine=out, degree=8)
    low = checkpoint.load(out).low(M.probe, 8)
    assert M.polynomial.interval[0] == pytest.approx(low)
    assert low < 0.8 * checkpoint.load(parent).low(M.probe, 8)
    kept = checkpoint.load(out).provenance
    assert kept["parent"] == checkpoint.load(parent).digest
    assert kept["n_matrices"] == 3
    assert kept["fine_tuning"]["seed"] == 0
    assert kept["evaluation"]["own"] == result.summary["own"]
    assert str(out.parent) not in str(kept)


def test_progress_is_told(finished):
    seen = finished[-1]
    stages = list(dict.fromkeys(told[0] for told in seen))
    assert stages[:3] == ["solve", "synthetic", "edge"]
    assert stages[-1] == "evaluate"
    for _, done, total, _, left in seen:
        assert 0 <= done <= total
        assert left >= 0
    assert seen[-1][1] == seen[-1][2]
    assert seen[-1][-1] == 0


def test_processes_change_nothing(parent, tmp_path, monkeypatch):
    monkeypatch.undo()  # other processes know nothing of it
    monkeypatch.setattr(data, "_CHUNK", 4)
    config = dataclasses.replace(SMALL, n_synthetic=16, n_held_out=8)
    files = []
    for n_jobs in (1, 2):
        out = tmp_path / f"{n_jobs}.safetensors"
        fine_tune(FAMILY[:1], out=out, engine=parent, config=config, n_jobs=n_jobs)
        files.append(out.read_bytes())
    assert files[0] == files[1]


class InterruptionError(Exception):
    pass


@pytest.mark.parametrize(("stage", "place"), [("solve", 1), ("edge", 1), ("evaluate", 1)])
def test_what_was_interrupted_goes_on(
    stage, place, finished, parent, tmp_path, monkeypatch
):
    out = tmp_path / "mine.safetensors"
    out.write_bytes(b"the weights before")

    def interrupt(now, done, *_):
        if (now, done) == (stage, place):
            raise InterruptionError

    with pytest.raises(InterruptionError):
        run(out, parent, progress=interrupt)
    assert out.read_bytes() == b"the weights before"
    observed = []
    monkeypatch.setattr(
        surrogate,
        "observe",
        lambda *args, plain=surrogate.observe: observed.append(args[1]) or plain(*args),
    )
    if stage != "solve":
        monkeypatch.setattr(data, "draw_samples", None)
    run(out, parent)
    assert observed == (["matrices[1]", "matrices[2]"] if stage == "solve" else [])
    assert out.read_bytes() == finished[2]
    assert not list(tmp_path.glob("*.state*"))


def test_killed_run_leaves_the_weights(finished, parent, tmp_path):
    script = f"""
        import os, sys
        sys.path[:0] = {sys.path!r}
        import pytest, test_fine_tune as t
        t.quicken(pytest.MonkeyPatch())
        def progress(stage, done, *_):
            if stage == "edge":
                os.kill(os.getpid(), {int(signal.SIGKILL)})
        t.run("mine.safetensors", {str(parent)!r}, progress=progress)
    """
    out = tmp_path / "mine.safetensors"
    out.write_bytes(b"the weights before")
    command = [sys.executable, "-c", textwrap.dedent(script)]
    killed = subprocess.run(command, cwd=tmp_path, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert out.read_bytes() == b"the weights before"
    assert (tmp_path / "mine.safetensors.state").stat().st_size > 0
    run(out, parent)
    assert out.read_bytes() == finished[2]


def test_full_disk_leaves_the_weights(parent, tmp_path, monkeypatch):
    out = tmp_path / "mine.safetensors"
    out.write_bytes(b"the weights before")

    def full(path, *_):
        path.with_name(path.name + ".part").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", full)
        with pytest.raises(OSError, match="No space left"):
            run(out, parent)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "mine.safetensors",
        "mine.safetensors.state",
    ]
    assert out.read_bytes() == b"the weights before"


def test_state_that_cannot_be_written_is_no_reason_to_stop(tmp_path):
    (tmp_path / "it.npz").mkdir()
    state = State(tmp_path / "it.npz", "key")
    state.save()
    assert "could not be written" in state.trouble
    assert [p.name for p in tmp_path.iterdir()] == ["it.npz"]


def test_state_returns_what_was_kept(rng, tmp_path):
    samples = data.draw_samples(3, 12, (4, 8))
    state = State(tmp_path / "it.npz", "key")
    state.put_samples("some", samples)
    state.put_params("edge/now", {"w": rng.standard_normal(3)})
    state.records["edge"] = {"best": 1 / 3}
    state.save()
    again = State(tmp_path / "it.npz", "key")
    assert again.records == state.records
    assert np.array_equal(again.params("edge/now")["w"], state.params("edge/now")["w"])
    for one, two in zip(samples, again.samples("some"), strict=True):
        assert one.family == two.family
        assert one.probes == two.probes
        for name in ("eigenvalues", "b", "curves"):
            assert np.array_equal(getattr(one, name), getattr(two, name))
    assert State(tmp_path / "it.npz", "another").samples("some") == []
    (tmp_path / "it.npz").write_bytes(b"damaged")
    assert State(tmp_path / "it.npz", "key").samples("some") == []


# What is refused


def test_worse_weights_are_not_written(parent, tmp_path, monkeypatch):
    def worse(params, *_):
        return {**params, "edge.b2": params["edge.b2"] + 0.5}, []

    monkeypatch.setattr(rounds, "tune_edges", worse)
    out = tmp_path / "mine.safetensors"
    result = run(out, parent, FAMILY[:1])
    assert not result.accepted
    assert result.reason.startswith(
        "fine_tune: nothing was written: products on your held-out data must become fewer"
    )
    assert result.summary["own"]["after"] > result.summary["own"]["before"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("own", "synthetic", "expected"),
    [
        ((1.05, 1.04), (1.02, 1.0299), ""),
        ((1.05, 1.05), (1.02, 1.01), "your held-out data must become fewer; got 1.0500"),
        ((1.05, 1.04), (1.02, 1.031), "synthetic operators must become at most 1 % more"),
    ],
)
def test_verdict(own, synthetic, expected):
    found = {
        name: dict(zip(("before", "after"), two, strict=True))
        for name, two in (("own", own), ("synthetic", synthetic))
    }
    reason = tuning._refusal(found)
    assert expected in reason
    assert bool(reason) == bool(expected)


ASYMMETRIC = sp.csr_array(np.array([[2.0, 1.0], [0.0, 2.0]]))
NEGATIVE = sp.csr_array(np.diag([2.0, -1.0]))
INDEFINITE = with_spectrum(np.append(np.linspace(1, 2, 30), -0.5), np.random.default_rng(2))


@pytest.mark.parametrize(
    ("A", "expected"),
    [
        (ASYMMETRIC, r"matrices\[0\]: A must be Hermitian; got entries"),
        (NEGATIVE, r"matrices\[0\]: the diagonal of A must be positive; got -1"),
        (INDEFINITE, r"matrices\[0\]: A must be positive definite; got a Ritz value of -0"),
        (sp.csr_array((2, 3)), r"matrices\[0\]: A must be square; got shape \(2, 3\)"),
        (
            Product(-poisson1d(40)),
            r"matrices\[0\]: A must be positive definite; got a Ritz",
        ),
        ("no/such.mtx", "such.mtx: the file must exist; got 'no/such.mtx'"),
    ],
)
def test_nothing_to_train_on(A, expected, tmp_path):
    with pytest.raises(ValueError, match="at least one matrix must be Hermitian") as error:
        fine_tune([A], out=tmp_path / "mine.safetensors", config=SMALL)
    assert error.match(expected)
    assert error.match("Left out.")


def test_direction_of_negative_energy_is_refused():
    with pytest.raises(ValueError, match="A must be positive definite; got a Rayleigh"):
        surrogate.conjugate_gradients(
            lambda x: np.array([1.0, -1.0]) * x, np.array([1.0, 2.0]), 5
        )
    with pytest.raises(ValueError, match="A must have finite products; got nan"):
        surrogate.conjugate_gradients(lambda x: np.nan * x, np.ones(2), 5)


def test_unusable_matrices_are_left_out(tmp_path, caplog):
    scipy.io.mmwrite(tmp_path / "good.mtx", FAMILY[0])
    sp.save_npz(tmp_path / "bad.npz", ASYMMETRIC)
    state = State(tmp_path / "state.npz", "key")
    given = [
        tmp_path / "bad.npz",
        str(tmp_path / "good.mtx"),
        FAMILY[0],
        NEGATIVE,
        FAMILY[1],
    ]
    config = dataclasses.replace(SMALL, most_steps=20)
    groups, skipped, notes = collect.observe(given, (4,), config, 0, state, lambda *_: None)
    assert [g[0].family for g in groups] == ["good.mtx", "matrices[4]"]
    assert [text.partition(":")[0] for text in skipped] == [
        "bad.npz",
        "matrices[2]",
        "matrices[3]",
    ]
    assert skipped[1] == "matrices[2]: it is there twice. Left out."
    assert notes[0] == (
        "good.mtx: conjugate gradients need more than 20 steps, what comes after is "
        "extrapolated"
    )
    assert all(text in caplog.text for text in skipped)


def test_rounds_of_other_matrices_are_forgotten(tmp_path):
    state = State(tmp_path / "it.state", "key")
    for given, kept in ((FAMILY[:2], False), (FAMILY[:2], True), (FAMILY[1::-1], False)):
        state.records["edge"] = {"history": []}
        collect.observe(given, (4,), SMALL, 0, state, lambda *_: None)
        assert ("edge" in state.records) == kept


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        (
            {"matrices": FAMILY[0]},
            TypeError,
            "must be a sequence of matrices or paths; got csr",
        ),
        (
            {"matrices": "A.mtx"},
            TypeError,
            "must be a sequence of matrices or paths; got str",
        ),
        ({"matrices": []}, ValueError, "matrices must not be empty; got none"),
        ({"matrices": [3]}, TypeError, r"matrices\[0\]: A must be a sparse array"),
        ({"out": 3}, TypeError, "out must be a path; got int"),
        (
            {"out": "mine.npz"},
            ValueError,
            "out must be a .safetensors file .* got 'mine.npz'",
        ),
        (
            {"out": "no/mine.safetensors"},
            ValueError,
            "in a folder that can be written; got",
        ),
        ({"n_jobs": 0}, ValueError, "n_jobs must be an int from 1 on; got 0"),
        ({"n_jobs": 1.5}, ValueError, "n_jobs must be an int from 1 on; got 1.5"),
        ({"rng": "a"}, TypeError, "fine_tune: rng must be a non-negative int"),
        (
            {"engine": "classical"},
            ValueError,
            "engine must be a weights file; got 'classical'",
        ),
        (
            {"engine": "no"},
            ap.CheckpointError,
            "fine_tune: engine must be a readable weights",
        ),
        ({"engine": 3}, TypeError, "fine_tune: engine must be the path"),
    ],
)
def test_says_what_is_wrong(keywords, error, message, tmp_path):
    arguments = {"matrices": FAMILY, "out": tmp_path / "mine.safetensors", **keywords}
    with pytest.raises(error, match=message):
        fine_tune(arguments.pop("matrices"), config=SMALL, **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"n_starts": 1}, "n_starts must be at least 2; got 1"),
        ({"n_rounds": 0}, "n_rounds must be at least 1; got 0"),
        ({"share": 1.0}, "share must lie between 0 and 1; got 1.0"),
    ],
)
def test_says_what_is_wrong_with_the_numbers(setting, message):
    with pytest.raises(ValueError, match=f"FineTuneConfig: {message}"):
        FineTuneConfig(**setting)


def test_says_that_torch_is_missing(tmp_path):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import autospec_precond.retrain as r, autospec_precond.cli as c\n"
        "sys.exit(c.main(['retrain', 'A.mtx', '--out', sys.argv[1]]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "m.safetensors")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "fine_tune: torch must be installed" in done.stderr
    assert "pip install autospec_precond[train]" in done.stderr


# Parts


class Head:
    """Scores prepared, parameters that count the rounds."""

    scores = ((0.1, 0.1), (0.02, 0.2), (0.05, 0.105), (0.06, 0.1), (0.05, 0.0), (0.0, 0.0))

    def fit(self, params, config, heard):
        return {"w": params["w"] + 1}

    def score(self, params):
        return self.scores[int(params["w"])]


def test_best_round_is_kept(tmp_path):
    config = dataclasses.replace(SMALL, n_rounds=9, patience=2)
    state = State(tmp_path / "it.state", "key")
    params, history = rounds._rounds(
        "edge", {"w": np.array(0.0)}, Head(), config, 0, state, lambda *_: None
    )
    # Not round 1: synthetic operators lose more than 0.75 %. Not 5: two without gain.
    assert params["w"] == 2
    assert [h["round"] for h in history] == [0, 1, 2, 3, 4]
    assert history[1]["own"] == pytest.approx(math.exp(0.02))


def test_pull_holds_the_parameters(parent, tmp_path):
    engine = checkpoint.load(parent)
    samples = data.draw_samples(3, 10, DEGREES)
    moved = []
    for pull in (1e-9, 1.0):
        config = dataclasses.replace(SMALL, pull=pull, n_rounds=1)
        state = State(tmp_path / f"{pull}.state", "key")
        with rounds.one_thread():
            rounds.tune_edges(
                engine.params,
                engine.config,
                rounds.Split(*[samples] * 4),
                config,
                0,
                state,
                lambda *_: None,
            )
        now = state.params("edge/now")
        moved.append(sum(((now[k] - v) ** 2).sum() for k, v in engine.params.items()))
    assert 0 < moved[1] < 0.5 * moved[0]


def valley(lowest, best):
    """Return a sample with this least Ritz value whose products are least at `best`."""
    distance = np.log10(data.EDGES) - best
    curves = 6.0 + np.tile(distance**2, (4, 1))
    theta = np.append(10**lowest, np.linspace(0.3, 1, 11))
    probe = Probe(theta, np.full(12, 1 / 12), np.full(12, 0.01), 1.0, False, 12, n=900)
    return data.Sample("valley", np.ones(9), np.ones(9), (probe,) * 4, curves)


@pytest.mark.parametrize(
    ("own", "synthetic", "free"),
    [
        ((-1.85, -2.0), (-4.0, -2.0), True),  # a Ritz value beside the best edge
        ((-1.85, -1.85), (-4.0, -2.0), False),  # at the best edge
        ((-1.85, -2.0), (-1.8, -1.8), False),  # synthetic operators would pay
        ((-4.0, -2.0), (-4.0, -2.0), False),  # nothing near
    ],
)
def test_margins_go_where_they_cost(own, synthetic, free):
    config = EngineConfig()
    params = {k: 0 * v for k, v in init(config, np.random.default_rng(0)).items()}
    params["edge.b2"] -= 2.0
    parts = [valley(*own)] * 3, [valley(*synthetic)] * 3
    split = rounds.Split(*parts, *parts)
    found = rounds.choose_margins(params, config, split)
    assert found.edge_margins == ((0.0, 0.0) if free else config.edge_margins)
    assert dataclasses.replace(found, edge_margins=config.edge_margins) == config


@pytest.fixture(scope="module")
def clustered(tmp_path_factory):
    """Samples of matrices with three clusters of eigenvalues, one list each."""
    centres = np.repeat([1e-3, 3e-2, 1], [20, 40, 60])
    source, result = np.random.default_rng(4), []
    config = dataclasses.replace(SMALL, n_starts=4)
    for k in range(2):
        A = with_spectrum(centres * source.uniform(0.8, 1.2, centres.size), source)
        state = State(tmp_path_factory.mktemp("clustered") / "it.npz", "key")
        result += collect.observe([A], DEGREES, config, k, state, lambda *_: None)[0]
    return result


def tune_judge(engine, split, tmp_path):
    config = dataclasses.replace(SMALL, n_steps=100, learning_rate=3e-3)
    state = State(tmp_path / "judge.npz", "key")
    with rounds.one_thread():
        return rounds.tune_judge(
            engine.params, engine.config, split, config, 0, 1, state, lambda *_: None
        )


def test_judge_learns_from_gaps(clustered, tmp_path):
    engine = checkpoint.load()
    # A judge that always says that nothing is saved.
    engine = copy.copy(engine)  # the loaded one is shared by the whole process
    engine.params = {**engine.params, "judge.b3": engine.params["judge.b3"] + 3}
    synthetic = data.draw_samples(5, 10, DEGREES, ["clusters"])
    split = rounds.Split(clustered[0], synthetic, clustered[1], synthetic)
    params, history = tune_judge(engine, split, tmp_path)
    assert [h["round"] for h in history] == [0, 1, 2]
    assert history[0]["own"] == 1
    assert min(h["own"] for h in history) < 0.97
    changed = {k for k, v in params.items() if not np.array_equal(v, engine.params[k])}
    assert changed == {k for k in params if k.startswith("judge")}


def test_judge_stays_where_there_are_no_gaps(tmp_path):
    engine = checkpoint.load()
    smooth = data.draw_samples(5, 4, DEGREES, ["power"])
    smooth = [dataclasses.replace(s, probes=s.probes[:1]) for s in smooth[:1]] * 2
    easy = [dataclasses.replace(s, eigenvalues=0.5 + 0.5 * s.eigenvalues) for s in smooth]
    params, history = tune_judge(engine, rounds.Split(easy, smooth, easy, smooth), tmp_path)
    assert history == []
    assert params is engine.params


def test_clock_adds_what_is_left():
    told = []
    clock = Clock([("a", 2, 10.0), ("b", 3, 1.0)], lambda *args: told.append(args))
    clock("a", 0, 2)
    time.sleep(0.05)
    clock("a", 1, 2)
    clock("b", 3, 3, 0.5)
    assert told[0][-1] == 23
    assert 3.04 <= told[1][-1] <= 4
    assert told[2] == ("b", 3, 3, 0.5, 0.0)
    Clock([("a", 1, 1.0)], None)("a", 0, 1)


@pytest.mark.parametrize(
    ("count", "own", "held"), [(1, [3], [1]), (2, [3, 3], [1, 1]), (3, [4, 4], [4])]
)
def test_held_out(count, own, held):
    blank = data.Sample("", np.ones(1), np.ones(1), ("first", "second"), np.zeros(1))
    groups = [
        [dataclasses.replace(blank, family=f"{k} {j}") for j in range(4)]
        for k in range(count)
    ]
    learned, chosen, table = collect.split(groups, [])
    names = [{s.family for s in part} for part in (learned, chosen)]
    assert list(map(len, names)) == [sum(own), sum(held)]
    assert not names[0] & names[1]
    measured = [s.probes[0] for samples, _, is_held in table for s in samples if is_held]
    assert measured == ["first", "second"] * sum(held)


def test_every_fourth_matrix_is_held_out():
    groups = [[data.Sample(str(k), 1, 1, (), 1)] for k in range(8)]
    assert [s.family for s in collect.split(groups, [])[1]] == ["2", "6"]


def test_short_solves_do_not_decide(parent):
    engine = checkpoint.load(parent)
    samples = data.draw_samples(3, 10, DEGREES)
    least = np.log(8 * (np.array(DEGREES) + 1))
    curves = np.array([s.curves for s in samples])
    cases = curves.min(-1) >= least
    assert 0 < cases.mean() < 1
    # What is short becomes dear, but not dear enough to be long.
    dear = [
        dataclasses.replace(
            s, curves=np.where(k[:, None], s.curves, s.curves * np.linspace(0.1, 0.9, 39))
        )
        for s, k in zip(samples, cases, strict=True)
    ]
    means = [
        edge_head.Curves(part, engine.config).mean(engine.params)
        for part in (samples, dear)
    ]
    assert means[0] == pytest.approx(means[1], abs=1e-12)


def test_picture_needs_matplotlib(parent, tmp_path, monkeypatch):
    def missing(*_):
        raise ImportError("No module named 'matplotlib'")

    monkeypatch.setattr(plot, "training_curve", missing)
    result = run(tmp_path / "mine.safetensors", parent, FAMILY[:1])
    assert result.accepted
    assert any("matplotlib is missing" in note for note in result.notes)
    assert not (tmp_path / "mine.png").exists()


# The command line


def test_command(finished, parent, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tuning, "FineTuneConfig", lambda: SMALL)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    names = []
    for k, A in enumerate(FAMILY):
        names.append(str(tmp_path / f"{k}.npz"))
        sp.save_npz(names[-1], A)
    out = tmp_path / "mine.safetensors"
    arguments = ["retrain", *names, "--out", str(out), "--engine", str(parent)]
    assert cli.main(arguments) == 0
    told = capsys.readouterr()
    assert "| 2.npz | yes | 8 |" in told.out
    assert told.out.strip().endswith("written: mine.safetensors")
    assert "edge: 2 of 2" in told.err
    assert "left" in told.err
    assert out.read_bytes() == finished[2]
    monkeypatch.setattr(rounds, "tune_edges", lambda params, *_: (params, []))
    monkeypatch.setattr(rounds, "choose_margins", lambda params, config, split: config)
    assert cli.main([*arguments[:2], *arguments[4:], "--seed", "1"]) == 1
    assert "nothing was written" in capsys.readouterr().out
    assert out.read_bytes() == finished[2]
    assert cli.main(["retrain", "no.mtx", "--out", str(out)]) == 2
    assert "no.mtx: the file must exist" in capsys.readouterr().err


def test_interrupted_command_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("autospec_precond.retrain.fine_tune", interrupted)
    assert cli.main(["retrain", "A.mtx", "--out", str(tmp_path / "m.safetensors")]) == 130
    assert "the same command goes on from here" in capsys.readouterr().err
