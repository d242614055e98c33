"""The counted cost says no to a polynomial where none pays, and yes where one does."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from problems import poisson1d, poisson2d
from scipy.sparse.linalg import cg

import autospec_precond as ap
from autospec_precond import cost, probing
from autospec_precond.probe import Probe

SIZES = {"n": 10_000, "nnz": 50_000, "value_bytes": 4, "vector_bytes": 8, "fused": True}


def probe_of(eigenvalues, rng, n_steps=12):
    start = rng.standard_normal(len(eigenvalues))
    alpha, beta, _ = probing.lanczos(lambda x: eigenvalues * x, start, n_steps)
    return Probe(*probing.ritz(alpha, beta), float(max(eigenvalues)), True, n_steps)


def probe_with(reduction, low=0.1):
    """Return a probe whose cg_reduction is as given."""
    theta = np.array([low, 1.0])
    return Probe(theta, np.array([1.0, 0.0]), np.array([reduction * low, 0]), 1.0, True, 2)


def test_the_helper_makes_what_it_says():
    assert probe_with(0.25).cg_reduction == pytest.approx(0.25)


def test_nothing_pays_on_an_easy_problem(rng):
    B = sp.random_array((3000, 3000), density=1e-3, rng=rng)
    M = ap.make(sp.eye_array(3000) + 1e-3 * (B + B.T))
    assert M.degree == 0
    assert "no polynomial pays for itself" in str(M.report)
    assert M.report.candidates[0] == min(M.report.candidates.values())
    assert M.report.certificate.safe


@pytest.mark.parametrize("A", [poisson1d(4000), poisson2d(100)], ids=["1d", "2d"])
def test_a_polynomial_pays_on_a_hard_problem(A):
    M = ap.make(A)
    assert M.degree > 0
    assert M.degree % 2 == 0


def test_counting_is_deterministic():
    first, again = (ap.make(poisson2d(60)).report.candidates for _ in range(2))
    assert first == again


@given(
    n=st.integers(1, 10**7),
    per_row=st.integers(1, 100),
    values=st.sampled_from([4, 8, 16]),
    vectors=st.sampled_from([4, 8, 16]),
    fused=st.booleans(),
)
def test_counts_are_positive_and_monotone(n, per_row, values, vectors, fused):
    costs = cost.Costs(n, n * per_row, values, vectors, fused)
    assert costs.step() > 0
    assert costs.outer() > 0
    times = [costs.iteration(degree) for degree in (0, 2, 4, 16, 32)]
    assert np.all(np.diff(times) > 0)
    assert times[0] == costs.outer()
    larger = cost.Costs(n, n * (per_row + 1), values, vectors, fused)
    longer = cost.Costs(n + 1, n * per_row, values, vectors, fused)
    wider = cost.Costs(n, n * per_row, values, 2 * vectors, fused)
    heavier = cost.Costs(n, n * per_row, 2 * values, vectors, fused)
    for other in (larger, longer, wider, heavier):
        assert other.step() > costs.step()
        assert other.iteration(4) >= times[2]


@pytest.mark.parametrize("vectors", [4, 8])
def test_fused_is_cheaper(vectors):
    fused, plain = (
        cost.Costs(**{**SIZES, "vector_bytes": vectors, "fused": fused}, kind="dia")
        for fused in (True, False)
    )
    assert fused.step() < plain.step()
    assert fused.outer() == plain.outer()


def test_the_order_of_slices_is_counted_per_application():
    by_kind = {
        (kind, k): cost.Costs(**SIZES, matrix_bytes=300_000, kind=kind, n_threads=k)
        for kind in ("csr", "sell")
        for k in (1, 2)
    }
    one, two = by_kind["sell", 1], by_kind["sell", 2]
    assert one.edges() > by_kind["csr", 1].edges() == by_kind["csr", 2].edges()
    assert two.edges() < one.edges()  # rows are not shared by threads on the way in
    for costs in by_kind.values():
        inner = costs.outer() + costs.edges()
        assert costs.iteration(8) == pytest.approx(inner + 8 * costs.step())


@given(reduction=st.floats(0, 0.99), low=st.floats(1e-12, 1))
def test_estimate_is_a_number_of_iterations(reduction, low):
    iterations = cost.estimate_iterations(probe_with(reduction, low))
    assert 0 <= iterations < np.inf
    # As many as were made, and more, where the probe has not converged.
    assert iterations >= 2 or reduction <= 1e-8


@given(
    pair=st.tuples(st.floats(1e-12, 0.29), st.floats(1e-12, 0.29)),
    low=st.floats(1e-6, 1),
)
def test_less_reduction_means_more_iterations(pair, low):
    first, second = (cost.estimate_iterations(probe_with(r, low)) for r in sorted(pair))
    assert first <= second


def test_a_probe_that_has_converged_needs_no_more_steps():
    assert cost.estimate_iterations(probe_with(1e-9)) <= 2
    assert cost.estimate_iterations(probe_with(0.0)) <= 2


def test_a_probe_of_a_singular_operator_is_bounded():
    theta, weights = np.array([-1e-17, 1.0]), np.array([0.5, 0.5])
    probe = Probe(theta, weights, np.array([0.1, 0.1]), 1.0, True, 2)
    assert np.isfinite(cost.estimate_iterations(probe))


@pytest.mark.parametrize("low", [0.5, 0.1, 0.02])
def test_estimate_is_close_where_the_probe_sees_the_rate(low, rng):
    eigenvalues = np.linspace(low, 1, 1000)
    count = []
    A = sp.diags_array(eigenvalues)
    cg(A, rng.standard_normal(1000), rtol=1e-8, callback=count.append)
    estimate = cost.estimate_iterations(probe_of(eigenvalues, rng))
    assert 0.6 <= estimate / len(count) <= 1.7


def test_candidates_hold_none_and_charge_the_check(rng):
    probe = probe_of(10 ** -np.linspace(0, 4, 500), rng)
    costs = cost.Costs(**SIZES)
    free = cost.candidates(costs, probe, lambda degree: 0)
    charged = cost.candidates(costs, probe, lambda degree: 100)
    assert tuple(free) == cost.CANDIDATES
    assert charged[0] == free[0]
    for degree in cost.CANDIDATES[1:]:
        assert charged[degree] - free[degree] == pytest.approx(100 * costs.step())


@pytest.mark.parametrize("n", [1, 20, 63, 130, 1000])
def test_small_systems_get_low_degrees(n, rng):
    probe = probe_of(10 ** -np.linspace(0, 4, 500), rng)
    found = cost.candidates(cost.Costs(**{**SIZES, "n": n}), probe, lambda degree: 0)
    assert 0 in found
    assert max(found) <= n / 16
    assert ap.make(poisson1d(n)).degree <= n / 16


def test_an_iteration_that_costs_more_asks_for_a_higher_degree(rng):
    probe = probe_of(10 ** -np.linspace(0, 4, 500), rng)
    best = []
    for n, fused in ((100_000, False), (300, True)):
        # Few rows: calls dominate, so many products per call are cheap.
        sizes = {**SIZES, "n": n, "nnz": 5 * n, "fused": fused}
        found = cost.candidates(cost.Costs(**sizes), probe, lambda degree: 0)
        best.append(min(found, key=found.get))
    assert best[0] <= best[1]
    assert best[1] >= 16
