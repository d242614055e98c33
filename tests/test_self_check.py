"""An upper bound that is too low is found and mended; without the check it does harm."""

import dataclasses

import numpy as np
import pyamg
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla

import autospec_precond as ap
from autospec_precond import classical, demo, probing


def example(name):
    A = sp.csr_array(pyamg.gallery.load_example(name)["A"])
    return sp.csr_array(0.5 * (A + A.T))


def stencil(epsilon):
    S = pyamg.gallery.diffusion_stencil_2d(epsilon=epsilon, theta=np.pi / 6, type="FE")
    return sp.csr_array(pyamg.gallery.stencil_grid(S, (40, 40), format="csr"))


MATRICES = {
    "airfoil": lambda: example("airfoil"),
    "bar": lambda: example("bar"),
    "ldg": lambda: example("local_disc_galerkin_diffusion"),
    "poisson2d": lambda: sp.csr_array(pyamg.gallery.poisson((50, 50), format="csr")),
    "poisson3d": lambda: sp.csr_array(pyamg.gallery.poisson((13, 13, 13), format="csr")),
    "anisotropic": lambda: stencil(0.001),
    "elasticity": lambda: sp.csr_array(pyamg.gallery.linear_elasticity((25, 25))[0]),
    "lognormal": lambda: demo.diffusion(40, np.random.default_rng(0)),
}


@pytest.fixture(params=MATRICES, scope="module")
def problem(request):
    A = MATRICES[request.param]()
    scale = sp.diags_array(1 / np.sqrt(A.diagonal()))
    S = scale @ A @ scale
    highest = spla.eigsh(S, k=1, which="LA", return_eigenvectors=False, tol=1e-8)[0]
    return A, float(highest)


@pytest.fixture
def forced(monkeypatch):
    """Let the probe return the bound that `forced.high` holds, as an estimate."""
    true = probing.probe_operator

    class Forced:
        high = None

        def __call__(self, *args, **kwargs):
            found, last = true(*args, **kwargs)
            changed = dataclasses.replace(found, high=self.high, high_is_rigorous=False)
            return changed, last

    forced = Forced()
    monkeypatch.setattr(probing, "probe_operator", forced)
    return forced


def in_double(A, M):
    """Return the same polynomial in double precision.

    The bound is what is judged; float32 vectors alone make counts jump from 10 to 15
    between right-hand sides.
    """
    return ap.make(A, polynomial=M.polynomial, precision="double")


def iterations(A, M, most=5000):
    b = np.random.default_rng(3).standard_normal(A.shape[0])
    count = 0

    def step(_):
        nonlocal count
        count += 1

    spla.cg(A, b, M=M, rtol=1e-8, maxiter=most, callback=step)
    return count


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("degree", [4, 8, 16, 32])
def test_a_bound_too_low_is_repaired(problem, forced, degree, precision):
    A, highest = problem
    forced.high = 1.02 * highest
    right = iterations(A, in_double(A, ap.make(A, degree=degree, precision=precision)))
    for factor in (0.98, 0.95, 0.8):
        forced.high = factor * highest
        M = ap.make(A, degree=degree, precision=precision)
        assert M.certificate.high >= highest
        assert any("bound" in note for note in M.report.notes)
        # Iterations are whole numbers: one more is no failure where there are few.
        assert iterations(A, in_double(A, M)) <= max(1.1 * right, right + 1)


@pytest.mark.parametrize("degree", [8, 16, 32])
def test_without_the_check_the_damage_shows(problem, forced, monkeypatch, degree):
    A, highest = problem
    forced.high = 1.02 * highest
    right = iterations(A, ap.make(A, degree=degree))
    monkeypatch.setattr(probing, "self_check", lambda *a, **k: (0.5, 0.0))
    forced.high = 0.8 * highest
    M = ap.make(A, degree=degree)
    assert M.certificate.high < highest or M.certificate.high_is_rigorous
    if not M.certificate.high_is_rigorous:
        assert iterations(A, M, 4 * right + 20) > 1.5 * right


@pytest.mark.parametrize(("factor", "above", "weight"), [(0.8, 1, 0.1), (0.95, 25, 1.0)])
@pytest.mark.parametrize("degree", [4, 8, 16, 32])
def test_sees_eigenvalues_that_the_probe_missed(factor, above, weight, degree, rng):
    """Far above the interval one that is nearly absent; close to it a few."""
    top = np.linspace(factor, 1.0, above + 1)[1:]
    eigenvalues = np.concatenate([np.linspace(0.01, factor, 500), top])
    start = rng.standard_normal(eigenvalues.size)
    start[-above:] *= weight
    p = classical.chebyshev(degree, factor)
    figure, bound = probing.self_check(
        lambda x: eigenvalues * x, p, lambda x: p(eigenvalues) * x, start
    )
    assert figure > 1
    assert bound > 0.97


def test_no_alarm_at_a_right_bound(problem, forced):
    A, highest = problem
    forced.high = 1.03 * highest
    for degree in (2, 4, 8, 16):
        M = ap.make(A, degree=degree)
        assert M.certificate.high == forced.high
        assert M.certificate.self_check <= 1
