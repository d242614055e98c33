"""Generated problems against their formulas, classes, and what they are said to hold."""

import numpy as np
import pytest

pytest.importorskip("bench.problems")

from bench import classify
from bench.problems import PROBLEMS, build, parse

SMALL = [
    "poisson2d:6",
    "poisson3d:4",
    "anisotropic:6,eps=0.01",
    "anisotropic:6,eps=0.01,angle=30",
    "lognormal2d:7",
    "lognormal3d:4,contrast=1e4",
    "mass2d:5",
    "mass3d:4",
    "shifted2d:8,shift=0.3",
    "shifted3d:4,shift=0.01",
    "elasticity2d:4",
    "elasticity3d:2",
    "geograph:120",
    "delaunay2d:120",
    "convdiff:7,peclet=20",
    "convdiff:7,peclet=5,upwind=0",
    "recirculating:7,peclet=50",
    "stokes:5",
]


def test_every_problem_is_tried_here():
    assert {parse(text)[0] for text in SMALL} == set(PROBLEMS)


@pytest.mark.parametrize("text", SMALL)
def test_class_and_spectrum_are_as_said(text):
    problem = build(text)
    dense = problem.A.toarray()
    assert classify.classify(problem.A)[0] == problem.kind
    if problem.kind == "general":
        found = np.sort_complex(np.linalg.eigvals(dense))
    else:
        assert np.array_equal(dense, dense.T)
        found = np.linalg.eigvalsh(dense)
        assert (found[0] > 0) == (problem.kind == "spd")
    if problem.spectrum is not None:
        # Those of the not normal ones move by far more than rounding.
        atol = 1e-6 if problem.kind == "general" else 1e-13 * abs(found).max()
        np.testing.assert_allclose(found.real, problem.spectrum().real, atol=atol)


def test_formulas_exist_where_they_are_promised():
    for text in ("poisson2d:3", "poisson3d:3", "anisotropic:3", "mass2d:3", "shifted2d:3"):
        assert build(text).spectrum is not None


def test_contrast_is_exact():
    diagonal = {}
    for contrast in (1.0, 1e6):
        A = build(f"lognormal2d:40,contrast={contrast}").A
        diagonal[contrast] = A.diagonal()
    assert np.ptp(diagonal[1.0][diagonal[1.0] == 4.0]) == 0
    assert 1e5 < diagonal[1e6].max() / diagonal[1e6].min() < 1e7


@pytest.mark.parametrize(("text", "modes"), [("elasticity2d:4", 3), ("elasticity3d:3", 6)])
def test_rigid_bodies_cost_no_energy_away_from_the_clamp(text, modes):
    problem = build(text)
    forces = np.abs(problem.A @ problem.nullspace)
    assert problem.nullspace.shape[1] == modes
    assert np.linalg.matrix_rank(problem.nullspace) == modes
    assert forces[forces.shape[0] // 2 :].max() < 1e-14
    assert forces.max() > 1e-3


def test_smallest_eigenvalue_of_the_graph_is_the_shift():
    A = build("geograph:150,eps=0.01").A
    assert np.linalg.eigvalsh(A.toarray())[0] == pytest.approx(0.01)


def test_divergence_of_a_gradient_is_in_the_stokes_matrix():
    n = 6
    A = build(f"stokes:{n}").A
    velocities = 2 * n * (n - 1)
    assert A.shape[0] == velocities + n * n - 1
    B = A[velocities:, :velocities]
    # Constant pressure has no gradient, but in the cell that was left out.
    assert np.count_nonzero((B.T @ np.ones(n * n - 1)).round(12)) == 2
    assert not A[velocities:, velocities:].nnz
