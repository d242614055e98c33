"""Weights files come back as they were, and a damaged one says what is wrong with it."""

import dataclasses
import json

import numpy as np
import pytest
from problems import poisson1d
from safetensors.numpy import save as serialise

import autospec_precond as ap
from autospec_precond import checkpoint
from autospec_precond.engine import EngineConfig, init

PROVENANCE = {"seed": 7, "evaluation": {"geometric_mean": 0.9}}


@pytest.fixture
def written(tmp_path, rng):
    path = tmp_path / "engine.safetensors"
    params = {k: v.astype(np.float32) for k, v in init(EngineConfig(), rng).items()}
    checkpoint.save(path, EngineConfig(), params, PROVENANCE)
    return path, params


def foreign(path, params, **metadata):
    """Write a safetensors file with metadata of our own choice."""
    path.write_bytes(serialise(params, {"autospec_precond": json.dumps(metadata)}))


def refused(path, *, by_make=True):
    """Return what load says; `make` says the same."""
    with pytest.raises(ap.CheckpointError) as caught:
        checkpoint.load(path)
    text = str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert text.startswith("make: engine must ")
    assert text.endswith(".")
    if by_make:
        with pytest.raises(ap.CheckpointError) as again:
            ap.make(poisson1d(5), engine=path)
        assert str(again.value) == text
    return text


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_round_trip(written, kind):
    path, params = written
    engine = checkpoint.load(kind(path))
    assert engine.config == EngineConfig()
    assert engine.provenance == PROVENANCE
    assert engine.name == "engine.safetensors"
    assert engine.params.keys() == params.keys()
    assert all(np.array_equal(engine.params[k], params[k]) for k in params)
    M = ap.make(poisson1d(50), degree=4, engine=kind(path))
    assert M.report.engine == f"engine.safetensors {engine.digest}"


def test_same_content_same_bytes(written, tmp_path):
    path, params = written
    other = tmp_path / "other.safetensors"
    backwards = dict(reversed(params.items()))
    checkpoint.save(other, EngineConfig(), backwards, dict(reversed(PROVENANCE.items())))
    assert other.read_bytes() == path.read_bytes()
    assert checkpoint.load(other).digest == checkpoint.load(path).digest


def test_digest_tells_files_apart(written):
    path, params = written
    before = checkpoint.load(path).digest
    params["edge.b0"][0] += 1
    checkpoint.save(path, EngineConfig(), params, PROVENANCE)
    assert checkpoint.load(path).digest != before


def test_parameters_of_another_layout_are_stored_as_they_are(tmp_path, rng):
    params = init(EngineConfig(), rng)
    params["edge.w1"] = np.asfortranarray(params["edge.w1"])
    path = tmp_path / "fortran.safetensors"
    checkpoint.save(path, EngineConfig(), params, {})
    found = checkpoint.load(path).params["edge.w1"]
    assert np.array_equal(found, params["edge.w1"].astype(np.float32))


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.001, 0.05, 0.5, 0.999])
def test_truncated_file(written, share):
    path, _ = written
    blob = path.read_bytes()
    path.write_bytes(blob[: int(share * len(blob))])
    text = refused(path)
    assert "must be a whole safetensors file; got engine.safetensors, which is" in text
    assert "truncated or damaged" in text
    assert "Copy it again." in text


@pytest.mark.parametrize("content", [b"hello", b"\x00" * 100, b"\xff" * 100, b"{}" * 50])
def test_file_of_something_else(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    assert "must be a whole safetensors file; got notes.txt" in refused(path)


@pytest.mark.parametrize("name", ["nowhere.safetensors", "clasical"])
def test_missing_file(tmp_path, name):
    text = refused(tmp_path / name)
    assert "must be a readable weights file; got" in text
    assert name in text
    assert "No such file" in text
    assert "'classical'" in text


def test_folder(tmp_path):
    assert "must be a readable weights file; got" in refused(tmp_path)


def test_safetensors_of_another_program(tmp_path, written):
    _, params = written
    path = tmp_path / "foreign.safetensors"
    for metadata in (None, {"format": "pt"}):
        path.write_bytes(serialise(params, metadata))
        text = refused(path)
        assert f"must have format {checkpoint.FORMAT!r}; got foreign.safetensors" in text


@pytest.mark.parametrize("value", ["[]", "3", '"x"', "null", "{"])
def test_metadata_of_another_kind(tmp_path, written, value):
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(serialise(written[1], {"autospec_precond": value}))
    assert "got foreign.safetensors" in refused(path)


def test_another_version(tmp_path, written):
    path = tmp_path / "former.safetensors"
    foreign(path, written[1], format="autospec_precond.engine/1", config={}, provenance={})
    text = refused(path)
    assert "got former.safetensors with 'autospec_precond.engine/1'" in text
    assert "Train it again with this version, or use the shipped weights." in text


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"config": {"n_hidden": 64}},
        {"config": {"n_layer": 2}, "provenance": {}},
        {"config": 3, "provenance": {}},
        {"provenance": {}},
    ],
)
def test_configuration_that_does_not_fit(tmp_path, written, metadata):
    path = tmp_path / "strange.safetensors"
    foreign(path, written[1], format=checkpoint.FORMAT, **metadata)
    assert "must describe its network; got strange.safetensors" in refused(path)


@pytest.mark.parametrize(
    "change", [{"n_hidden": 32}, {"n_layers": 3}, {"n_judge_layers": 2}, {"n_features": 20}]
)
def test_configuration_of_another_shape(tmp_path, written, change):
    # The arrays do not fit the configuration; both are shown.
    config = dataclasses.replace(EngineConfig(), **change)
    path = tmp_path / "other.safetensors"
    foreign(
        path, written[1], format=checkpoint.FORMAT, config=config.to_dict(), provenance={}
    )
    text = refused(path)
    assert "must fit this version, {" in text
    ((key, value),) = change.items()
    assert f"'{key}': {value}" in text
    assert f"'{key}': {getattr(EngineConfig(), key)}" in text


def test_number_of_features_of_another_version(tmp_path, rng):
    config = EngineConfig(n_features=20)
    path = tmp_path / "other.safetensors"
    checkpoint.save(path, config, init(config, rng), {})
    assert "must fit this version" in refused(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_parameters_that_are_not_finite(written, value):
    path, params = written
    params["edge.w1"][3, 4] = value
    checkpoint.save(path, EngineConfig(), params, {})
    assert "must be finite; got engine.safetensors" in refused(path)


@pytest.mark.parametrize("where", ["serialise", "write", "replace"])
def test_failure_while_writing_leaves_the_old_file(written, where, monkeypatch):
    path, params = written
    before = path.read_bytes()
    provenance = {}
    if where == "serialise":
        provenance = {"cannot": object()}
    elif where == "write":

        def half(self, blob):
            with self.open("wb") as file:
                file.write(blob[:100])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(type(path), "write_bytes", half)
    else:

        def fail(*_):
            raise OSError(13, "Permission denied")

        monkeypatch.setattr("os.replace", fail)
    params["edge.b0"][:] = 1
    with pytest.raises((OSError, TypeError)):
        checkpoint.save(path, EngineConfig(), params, provenance)
    monkeypatch.undo()
    assert path.read_bytes() == before
    checkpoint.load(path)


@pytest.mark.installed
def test_shipped_weights_say_where_they_come_from():
    engine = checkpoint.load()
    assert checkpoint.load() is engine
    assert engine.name == checkpoint.SHIPPED
    assert isinstance(engine.provenance["training"]["seed"], int)
    evaluation = engine.provenance["evaluation"]
    assert evaluation["seed"] != engine.provenance["training"]["seed"]
    # Products over those of the best interval: less is better, also than Chebyshev's.
    assert evaluation["geometric_mean"] < 1.05 < evaluation["chebyshev_30"]
    assert set(evaluation["by_family"]) == set(engine.provenance["training"]["families"])
    assert evaluation["certified_without_repair"] > 0.9


def test_default_is_the_shipped_engine():
    digest = checkpoint.load().digest
    M = ap.make(poisson1d(50), degree=4)
    assert M.report.engine == f"{checkpoint.SHIPPED} {digest}"
    assert ap.make(poisson1d(50), degree=4, engine="classical").report.engine == "classical"
