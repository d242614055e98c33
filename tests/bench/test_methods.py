"""The rivals' own mathematics."""

import numpy as np
import pytest
import scipy.sparse as sp
from problems import poisson2d

pytest.importorskip("bench.methods")

from bench import classify, solve
from bench.methods import METHODS, Context, gmres_polynomial
from bench.methods.polynomials import optimal_fourth_kind
from bench.problems import build

# J. Lottes, arXiv:2202.08830, table of weights.
WEIGHTS = {
    1: [1.125],
    2: [1.02387287570313, 1.26408905371085],
    4: [1.00391310427285, 1.04035811188593, 1.14863498546254, 1.38268869241000],
}


@pytest.mark.parametrize("k", WEIGHTS)
def test_optimal_fourth_kind_has_the_published_weights(k):
    roots = optimal_fourth_kind(k)
    x, z, r = np.zeros(k), np.zeros(k), np.ones(k)
    for j, weight in enumerate(WEIGHTS[k], 1):
        z = (2 * j - 3) / (2 * j + 1) * z + (8 * j - 4) / (2 * j + 1) * r
        x, r = x + weight * z, r - roots * z
    np.testing.assert_allclose(roots * x, 1.0, atol=1e-5)


@pytest.mark.parametrize("k", [3, 9, 17, 33, 65])
def test_optimal_fourth_kind_stays_inside(k):
    roots = optimal_fourth_kind(k)
    assert roots.size == k
    assert roots[0] > 0
    assert roots[-1] < 1
    x = np.linspace(1e-4, 1, 4000)
    phi = np.prod(1 - x[:, None] / roots, axis=1)
    assert np.abs(phi).max() < 1


@pytest.mark.parametrize("dtype", [float, complex])
def test_gmres_polynomial_is_what_gmres_builds(dtype, rng):
    n, k = 40, 7
    dense = np.eye(n) * 3 + rng.standard_normal((n, n)) / np.sqrt(n)
    if dtype is complex:
        dense = dense + 0.5j * rng.standard_normal((n, n)) / np.sqrt(n)
    A = sp.csr_array(dense)
    b = np.random.default_rng(0).standard_normal(n).astype(dtype)
    prepared = gmres_polynomial.general_polynomial(A, k - 1, scale_rows=False)
    assert prepared.degree == k - 1
    # The least residual over the Krylov space of dimension k from the same start.
    K = np.stack([np.linalg.matrix_power(dense, j) @ b for j in range(1, k + 1)], axis=1)
    least = np.linalg.norm(b - K @ np.linalg.lstsq(K, b, rcond=None)[0])
    found = np.linalg.norm(b - A @ (prepared.M @ b))
    assert found == pytest.approx(least, rel=1e-6)


def test_leja_order_keeps_pairs_together():
    roots = np.array([1, 2 + 1j, 2 - 1j, 5, 3 + 0.5j, 3 - 0.5j])
    ordered = gmres_polynomial.leja_order(roots)
    assert sorted(ordered, key=str) == sorted(roots.astype(complex), key=str)
    assert ordered[0] == 5
    k = 0
    while k < len(ordered):
        if ordered[k].imag:
            assert ordered[k + 1] == ordered[k].conjugate()
            k += 1
        k += 1


def test_roots_far_from_the_others_are_copied():
    roots = np.r_[np.linspace(1, 2, 12), 1e4]
    more = gmres_polynomial.with_copies(roots)
    assert (more == 1e4).sum() > 1
    assert len(gmres_polynomial.with_copies(np.linspace(1, 2, 5))) == 5


EASY = {"spd": "poisson2d:12", "general": "convdiff:12,peclet=20"}
PAIRS = [
    (name, text)
    for name, method in METHODS.items()
    for kind, text in EASY.items()
    if kind in method.classes and (kind == "spd" or not name.startswith("ours"))
]


@pytest.mark.parametrize(("name", "text"), PAIRS)
def test_every_method_solves_an_easy_problem(name, text):
    method, problem = METHODS[name], build(text)
    if not method.installed():
        pytest.skip(f"{method.package} is not installed")
    solver = "cg" if problem.kind == "spd" else "gmres"
    context = Context(problem.A, problem.kind, solver)
    prepared, _ = solve.prepare(method, context)
    b = np.random.default_rng(7).standard_normal(problem.A.shape[0])
    outcome = solve.solve(
        problem.A, b, prepared, solver, rtol=1e-8, budget=5000, seconds=30.0
    )
    assert outcome.status == "converged", outcome.reason


@pytest.mark.parametrize("solver", solve.SOLVERS)
def test_every_solver_is_judged_by_the_true_residual(solver):
    A = poisson2d(12)
    context = Context(A, "spd", solver)
    prepared, _ = solve.prepare(METHODS["jacobi"], context)
    b = np.random.default_rng(7).standard_normal(A.shape[0])
    outcome = solve.solve(A, b, prepared, solver, rtol=1e-8, budget=20_000, seconds=30.0)
    assert outcome.status == "converged", outcome.reason
    assert 0 < outcome.residual <= 1e-7
    assert outcome.meter.products >= outcome.iterations > 0


def test_a_budget_is_kept_to_the_product():
    A = poisson2d(30)
    context = Context(A, "spd", "cg")
    prepared, _ = solve.prepare(METHODS["none"], context)
    b = np.ones(A.shape[0])
    outcome = solve.solve(A, b, prepared, "cg", rtol=1e-8, budget=20, seconds=30.0)
    assert (outcome.status, outcome.meter.products) == ("not converged", 20)


def test_classes():
    A = poisson2d(8)
    assert classify.classify(A) == ("spd", "cholesky")
    assert classify.classify(sp.csr_array(-A)) == ("indefinite", "diagonal")
    assert classify.classify(sp.csr_array(A - sp.eye_array(64))) == (
        "indefinite",
        "cholesky",
    )
    assert classify.classify(sp.csr_array(sp.triu(A))) == ("general", "symmetry")
    assert classify.classify(poisson2d(60)) == ("spd", "inertia")
    assert classify.classify(poisson2d(60), factorise=False) == ("spd", "probe")
    assert classify.classify(sp.csr_array(poisson2d(60) - 0.5 * sp.eye_array(3600))) == (
        "indefinite",
        "inertia",
    )
