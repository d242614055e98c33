"""Unions of intervals: equilibrium measure, division of roots, what a probe shows."""

import numpy as np
import pytest

from autospec_precond import certificate, unions
from autospec_precond.classical import chebyshev_roots
from autospec_precond.polynomial import Polynomial
from autospec_precond.probe import Probe
from autospec_precond.probing import estimate_bound, lanczos, ritz

TWO = np.array([[0.01, 0.02], [0.5, 1.0]])


def probe_of(eigenvalues, seed=0, n_steps=12):
    start = np.random.default_rng(seed).standard_normal(eigenvalues.size)
    alpha, beta, _ = lanczos(lambda x: eigenvalues * x, start, n_steps)
    theta, weights, norms = ritz(alpha, beta)
    high = estimate_bound(theta, norms)
    return Probe(theta, weights, norms, high, False, n_steps)


def clusters(*ends, n=400):
    rng = np.random.default_rng(1)
    return np.sort(np.concatenate([rng.uniform(a, b, n) for a, b in ends]))


@pytest.mark.parametrize("degree", [4, 16, 32])
def test_one_interval_has_chebyshev_nodes(degree):
    interval = np.array([[0.03, 1.0]])
    masses = unions.equilibrium(interval)
    assert masses.sum() == pytest.approx(1, rel=1e-12)
    roots = unions.place_roots(interval, masses, (degree + 1,))
    assert np.allclose(roots[::-1], chebyshev_roots(degree, 0.03, 1.0), rtol=1e-12)


def test_masses_of_a_preimage_are_equal():
    # The union is where a polynomial of degree 2 lies in [-1, 1]: half the mass each.
    union = np.array([[1.0, 2.0], [3.0, 4.0]])
    share = unions.equilibrium(union).sum(1)
    assert np.allclose(share, 0.5, rtol=1e-9)


def test_masses_of_three_intervals_are_those_of_a_preimage():
    # Components of {|T| <= 1} for a cubic T with three real bands have a third each.
    def cubic(x):
        return 1.5 * (4 * x**3 - 3 * x)

    edges = np.sort([x.real for s in (1, -1) for x in np.roots([6, 0, -4.5, -s])])
    assert np.allclose(np.abs(cubic(edges)), 1)
    union = edges.reshape(3, 2) + 2
    assert np.allclose(unions.equilibrium(union).sum(1), 1 / 3, rtol=1e-6)


@pytest.mark.parametrize("gap", [1e-6, 1e-3, 0.3])
def test_masses_add_to_one(gap):
    union = np.array([[gap, 1.5 * gap], [0.5, 0.6], [0.9, 1.0]])
    assert unions.equilibrium(union).sum() == pytest.approx(1, rel=1e-4)


def test_many_unions_at_once_are_as_one_by_one():
    rng = np.random.default_rng(5)
    many = np.cumsum(rng.uniform(0.05, 1, (2, 3, 8)), -1).reshape(2, 3, 4, 2)
    masses = unions.equilibrium(many)
    counts = rng.multinomial(17, [0.25] * 4, (2, 3, 5))
    roots = unions.place_roots(many[:, :, None], masses[:, :, None], counts)
    for k in np.ndindex(2, 3):
        assert np.allclose(masses[k], unions.equilibrium(many[k]), rtol=1e-12)
        for split, found in zip(counts[k], roots[k], strict=True):
            one = unions.place_roots(many[k], masses[k], split)
            assert np.allclose(found, one, rtol=1e-12)


@pytest.mark.parametrize(
    ("degree", "sizes"), [(2, {2}), (4, {2}), (8, {2, 3}), (16, {2, 3}), (32, {2, 3, 4})]
)
def test_every_candidate_is_that_of_its_union_alone(degree, sizes):
    probe = probe_of(clusters((1e-3, 1.2e-3), (0.01, 0.012), (0.08, 0.1), (0.5, 1.0)))
    found = unions.candidates(probe, 5e-4, degree)
    assert {len(c.intervals) for c in found} == sizes
    assert not all(c.harmonic for c in found)
    for c in (c for c in found if not c.harmonic):
        union = c.intervals / probe.high
        roots = unions.place_roots(union, unions.equilibrium(union), c.counts)
        assert np.allclose(c.roots, probe.high * roots, rtol=1e-11)
        angles = np.linspace(0, np.pi, 17)
        x = union[:, :1] + (union[:, 1:] - union[:, :1]) * 0.5 * (1 - np.cos(angles))
        phi = (1 - x[..., None] / roots).prod(-1)
        assert c.level == pytest.approx(np.log(np.abs(phi).max()), abs=1e-9)
        assert c.level < 1
        x = np.linspace(roots[1:-1:2], roots[2::2], 101)
        assert (1 - x[..., None] / roots).prod(-1).max() < 1.01


@pytest.mark.parametrize("degree", [4, 8, 16, 32])
def test_candidates_have_odd_and_even_counts_and_are_positive(degree):
    probe = probe_of(clusters((0.01, 0.013), (0.5, 1.0)))
    found = unions.candidates(probe, 0.005, degree)
    assert found
    for candidate in found:
        assert sum(candidate.counts) == degree + 1 == candidate.roots.size
        assert candidate.counts[0] % 2 == 1
        assert all(c % 2 == 0 and c >= 2 for c in candidate.counts[1:])
        inside = candidate.intervals
        for (left, right), count in zip(inside, candidate.counts, strict=True):
            assert ((candidate.roots >= left) & (candidate.roots <= right)).sum() == count
        ends = inside.ravel()
        p = Polynomial.from_roots(
            candidate.roots, ends[[0, -1]], tuple(map(tuple, ends[1:-1].reshape(-1, 2)))
        )
        assert p.intervals == tuple(map(tuple, inside))
        if candidate.level < 0:
            assert certificate.certify(p).safe


def test_level_is_the_largest_phi_on_the_union():
    probe = probe_of(clusters((0.01, 0.013), (0.5, 1.0)))
    for candidate in unions.candidates(probe, 0.005, 8):
        x = np.concatenate([np.linspace(a, b, 2001) for a, b in candidate.intervals])
        phi = np.abs((1 - x[:, None] / candidate.roots).prod(1)).max()
        assert np.exp(candidate.level) <= phi * (1 + 1e-9)
        assert np.exp(candidate.level) >= 0.6 * phi


def test_clusters_are_found():
    eigenvalues = clusters((0.01, 0.013), (0.5, 1.0))
    found = unions.partitions(probe_of(eigenvalues), 0.002)
    best = min(np.abs(np.log(u[:, 0] / [0.01, 0.5])).max() for u in found if len(u) == 2)
    assert best < 0.1
    assert all(u[-1, 1] == probe_of(eigenvalues).high for u in found)
    assert all((np.diff(u.ravel()) > 0).all() for u in found)


def test_no_gap_no_candidate():
    probe = probe_of(np.linspace(0.2, 1, 500))
    assert unions.partitions(probe, 0.15) == []
    assert unions.candidates(probe, 0.15, 16) == []


def test_a_union_beats_the_interval_on_its_clusters():
    probe = probe_of(clusters((0.01, 0.013), (0.5, 1.0)))
    best = min(c.level for c in unions.candidates(probe, 0.005, 16))
    whole = chebyshev_roots(16, 0.01, probe.high)
    x = np.linspace(0.01, 1, 2000)
    assert best < np.log(np.abs((1 - x[:, None] / whole).prod(1)).max()) - 1


def test_candidates_have_no_units():
    one = probe_of(clusters((0.01, 0.013), (0.5, 1.0)))
    scaled = Probe(
        1e6 * one.ritz_values,
        one.weights,
        1e6 * one.residual_norms,
        1e6 * one.high,
        False,
        12,
    )
    a, b = unions.candidates(one, 0.005, 8), unions.candidates(scaled, 5e3, 8)
    assert len(a) == len(b) > 0
    for x, y in zip(a, b, strict=True):
        assert np.allclose(1e6 * x.roots, y.roots)
        assert x.counts == y.counts


def test_harmonic_ritz_values_are_zeros_of_the_best_residual(rng):
    eigenvalues = clusters((0.1, 0.3), (0.6, 1.0), n=30)
    b = rng.standard_normal(60)
    alpha, beta, _ = lanczos(lambda x: eigenvalues * x, b, 8)
    theta, weights, norms = ritz(alpha, beta)
    found = unions.harmonic_ritz(Probe(theta, weights, norms, 1.0, False, 8), 5)
    # ‖φ(S) b‖ over all φ of degree 5 with φ(0) = 1, in monomials.
    K = eigenvalues[:, None] ** np.arange(1, 6) * b[:, None]
    coefficients = np.linalg.lstsq(K, -b)[0]
    expected = np.sort(np.roots([*coefficients[::-1], 1.0]).real)
    assert np.allclose(found, expected, rtol=1e-7)


def test_no_harmonic_ritz_values_of_an_indefinite_matrix():
    theta = np.array([-1.0, 0.5, 1.0, 2.0])
    probe = Probe(theta, np.full(4, 0.25), np.full(4, 0.1), 2.1, False, 4)
    found = unions.harmonic_ritz(probe, 3)
    assert found is None or found.min() > 0


@pytest.mark.parametrize(("degree", "offered"), [(4, True), (16, False)])
def test_the_gmres_polynomial_is_offered_where_the_probe_has_it(degree, offered):
    probe = probe_of(clusters((0.01, 0.03), (0.3, 1.0)))
    found = unions.candidates(probe, 0.01, degree)
    harmonic = [c for c in found if c.harmonic]
    assert len(harmonic) == offered
    for c in harmonic:
        assert np.array_equal(c.roots, unions.harmonic_ritz(probe, degree + 1))
        assert c.counts == ((c.roots < 0.1).sum(), (c.roots > 0.1).sum())


@pytest.mark.parametrize("count", [1, 5, 11])
def test_fewer_steps_follow_from_the_probe(count, rng):
    eigenvalues = np.sort(10 ** rng.uniform(-4, 0, 300))
    start = rng.standard_normal(300)
    alpha, beta, _ = lanczos(lambda x: eigenvalues * x, start, 12)
    theta, weights, norms = ritz(alpha, beta)
    found = Probe(theta, weights, norms, 1.1, False, 12).first_steps(count)
    assert np.allclose(found[0], alpha[:count], rtol=1e-10)
    assert np.allclose(found[1], beta[:count], rtol=1e-10)
