"""The demonstration, at a size that a test can afford."""

import sys

import numpy as np
import pytest
from problems import poisson2d

from autospec_precond import cli, compare, demo


@pytest.mark.parametrize("side", [2, 7, 20])
@pytest.mark.parametrize("sigma", [0.0, 1.5, 3.0])
def test_diffusion_is_symmetric_positive_definite(side, sigma, rng):
    A = demo.diffusion(side, rng, sigma)
    assert A.shape == (side * side, side * side)
    dense = A.toarray()
    assert np.array_equal(dense, dense.T)
    assert np.linalg.eigvalsh(dense)[0] > 0


def test_diffusion_without_a_coefficient_is_the_laplacian(rng):
    A = demo.diffusion(9, rng, sigma=0.0)
    assert abs(A - poisson2d(9)).max() <= 1e-15
    assert abs(demo.diffusion(9, rng) - A).max() > 0.1


def test_diffusion_has_row_sums_of_zero_inside(rng):
    sums = np.asarray(demo.diffusion(9, rng).sum(axis=1)).reshape(9, 9)
    assert np.abs(sums[1:-1, 1:-1]).max() <= 1e-12 * np.abs(sums).max()
    assert (sums[0] > 0).all()
    assert (sums[:, -1] > 0).all()


@pytest.mark.parametrize("code", [0, 1])
def test_demo_shows_two_systems(code, monkeypatch, capsys):
    pytest.importorskip("pyamg", reason="PyAMG is not installed")
    monkeypatch.setattr(demo, "_SIDE", 20)
    monkeypatch.setattr(compare, "warmup", lambda: None)
    if code:
        real = demo.compare
        monkeypatch.setattr(demo, "compare", lambda A, b: real(A, b, maxiter=1))
    assert cli.main(["demo"]) == code
    out = capsys.readouterr().out
    assert "PyAMG" in out
    assert "generated" in out
    assert "400 unknowns" in out
    for word in ("none", "Jacobi", "autospec", "certificate"):
        assert out.count(f"\n{word} ") == 2
    assert ("not converged" in out) == bool(code)


def test_demo_names_what_is_missing(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyamg", None)
    assert cli.main(["demo"]) == 2
    err = capsys.readouterr().err
    assert "demo: PyAMG must be installed; got no module pyamg." in err
    assert "pip install" in err
