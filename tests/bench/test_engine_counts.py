"""The evaluation of the engine: products, oracle and rivals."""

import numpy as np
import pytest
import scipy.sparse as sp
from problems import complex_hermitian, dense_with_spectrum, poisson2d, with_spectrum

pytest.importorskip("bench.methods")

import autospec_precond as ap
from autospec_precond import Polynomial, classical
from autospec_precond.retrain.data import probe_diagonal
from bench import engine_count, engine_measure, engine_methods, engine_summary
from bench.engine_operators import N_RHS, Diagonal, Sparse

SPECTRUM = np.geomspace(0.1, 2.0, 90)


def plain_count(S, p, b, cost):
    """Products of textbook CG with dense matrices: shares nothing with the benchmark."""
    r, norms = b.copy(), [np.linalg.norm(b)]
    z = p @ r
    d = z
    while norms[-1] >= 1e-8 * norms[0]:
        alpha = (r @ z) / (d @ S @ d)
        new = r - alpha * (S @ d)
        z_new = p @ new
        d = z_new + (new @ z_new) / (r @ z) * d
        r, z = new, z_new
        norms.append(np.linalg.norm(r))
    h = np.log10(norms)
    return cost * (len(norms) - 2 + (h[0] - 8 - h[-2]) / (h[-1] - h[-2]))


def of_matrix(polynomial, S):
    values, V = np.linalg.eigh(S)
    return (V * polynomial(values)) @ V.conj().T


@pytest.mark.parametrize("degree", [0, 4, 16])
@pytest.mark.parametrize("kind", ["sparse", "diagonal"])
def test_counts_are_those_of_textbook_cg(kind, degree, rng):
    dense = dense_with_spectrum(SPECTRUM, rng) if kind == "sparse" else np.diag(SPECTRUM)
    operator = Sparse(sp.csr_array(dense)) if kind == "sparse" else Diagonal(SPECTRUM)
    p = classical.chebyshev(degree, 2.1) if degree else Polynomial((1.0, 2.1), (0.7,))
    B = rng.standard_normal((90, N_RHS))
    found, broke = engine_count.lockstep(
        operator.product, operator.apply(p), B, degree + 1, 5000
    )
    wanted = [plain_count(dense, of_matrix(p, dense), b, degree + 1) for b in B.T]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert not broke.any()


@pytest.mark.parametrize("make", [poisson2d, complex_hermitian])
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_blocks_get_p_of_s(make, index, rng):
    S = make(7)
    S = type(S)((S.data, S.indices.astype(index), S.indptr.astype(index)), shape=S.shape)
    B = rng.standard_normal((S.shape[0], N_RHS)).astype(S.dtype)
    for degree in (1, 2, 3, 8):
        p = classical.chebyshev(degree, 9.0)
        found = Sparse(S).apply(p)(B)
        np.testing.assert_allclose(found, of_matrix(p, S.toarray()) @ B, atol=1e-13)


def test_failures_are_told_apart(rng):
    operator = Diagonal(SPECTRUM)
    B = rng.standard_normal((90, N_RHS))
    # p changes its sign inside the spectrum.
    bad = Polynomial((0.01, 2.0), (0.5, 1.0))
    counts, broke = engine_count.lockstep(operator.product, operator.apply(bad), B, 2, 5000)
    assert np.isnan(counts).all()
    assert broke.all()
    good = classical.chebyshev(4, 2.0)
    counts, broke = engine_count.lockstep(operator.product, operator.apply(good), B, 5, 20)
    assert np.isnan(counts).all()
    assert not broke.any()


def full_scan(run, degree, high):
    """Products of every edge and right-hand side, nothing given up."""
    edges = [classical.chebyshev(degree, high, e * high) for e in engine_methods.EDGES]
    return np.array([run.products(p)[0] for p in edges])


@pytest.mark.parametrize(
    "operator",
    [
        Sparse(poisson2d(12)),
        Sparse(with_spectrum(np.geomspace(1e-3, 1.0, 110), np.random.default_rng(1))),
        Diagonal(np.geomspace(1e-4, 1.0, 200)),
        Diagonal(np.r_[np.linspace(0.01, 0.02, 150), np.linspace(0.5, 1.0, 150)]),
    ],
    ids=["poisson", "geometric", "diagonal", "clusters"],
)
def test_the_pruned_oracle_is_the_best_of_all_edges(operator):
    run = engine_measure._Runner(operator)
    high = 1.02 * operator.largest()
    counts = full_scan(run, 8, high)
    for starts in ([3], [20, 2], [33]):
        entry, best = engine_measure.oracle(run, 8, high, starts)
        assert best == np.nanargmin(counts.sum(axis=1))
        np.testing.assert_allclose(entry["products"], counts[best], rtol=1e-9)


def test_the_walk_saves_work_and_passes_small_bumps():
    values = np.abs(np.arange(36.0) - 20) + 30
    values[24] += 5  # one bad edge on the way
    asked = []

    def measure(position, best):
        asked.append((position, best))
        return values[position] if values[position] <= 1.1 * best else np.inf

    found = engine_count.walk(measure, 36, [27])
    assert min(found, key=found.get) == 20
    assert len(found) < 20
    assert asked[0] == (27, np.inf)
    nothing = engine_count.walk(lambda position, best: np.inf, 36, [10])
    assert len(nothing) == 7
    nothing = engine_count.walk(lambda position, best: np.inf, 36, [10, 1, 20, 30])
    assert len(nothing) == 4


def test_the_walk_starts_in_the_deeper_valley():
    x = np.arange(36.0)
    values = 30 + np.minimum(np.abs(x - 8), 3 + np.abs(x - 28)) * 2
    found = engine_count.walk(lambda k, best: values[k], 36, [28, 3, 10])
    assert min(found, key=found.get) == 8
    assert list(found)[:3] == [28, 3, 10]
    assert len(found) < 15


def test_a_scan_gives_up_the_bad_edges_only(rng):
    operator = Diagonal(np.geomspace(1e-4, 1.0, 200))
    B = rng.standard_normal((200, N_RHS))
    family = [classical.chebyshev(8, 1.0, edge) for edge in (1e-6, 1e-3, 8e-3, 0.5)]
    counts = engine_count.scan(operator, family, B, 5000)
    assert np.isnan(counts[[0, 3]]).any(axis=1).all()
    # The two in the middle are as good as alone, though columns are taken out between.
    alone = [
        engine_count.lockstep(operator.product, operator.apply(p), B, 9, 5000)[0]
        for p in family[1:3]
    ]
    assert 9 < np.ptp(np.max(alone, axis=1)) < 0.1 * np.sum(alone, axis=1).min()
    np.testing.assert_allclose(counts[1:3], alone, rtol=1e-6)


@pytest.mark.parametrize("side", [12, 45])
def test_largest_eigenvalue(side):
    wanted = 4 + 4 * np.cos(np.pi / (side + 1))
    assert Sparse(poisson2d(side)).largest() == pytest.approx(wanted, rel=1e-5)


def test_a_row_has_every_method_on_its_own_upper_end(rng):
    operator = Diagonal(np.linspace(0.01, 1.0, 200))
    ours = classical.chebyshev(8, 2.0)  # twice too high
    probe = probe_diagonal(operator.eigenvalues, rng)
    row = engine_measure.measure(operator, lambda degree: (ours, probe), [8])[0]
    totals = {name: engine_summary.total(row, name) for name in row["methods"]}
    assert set(totals) == set(engine_methods.LABELS)
    assert (row["high"], row["largest"]) == (2.0, 1.0)
    assert totals["ours"] == totals["cheb30"]  # the same polynomial
    assert totals["oracle-exact"] < 0.9 * totals["oracle"]
    plain = [
        plain_count(np.diag(operator.eigenvalues), np.eye(200), b, 1) for b in run_b(200)
    ]
    np.testing.assert_allclose(row["methods"]["cg"]["products"], plain, rtol=1e-3)


def run_b(n):
    return engine_measure._Runner(Diagonal(np.ones(n))).B.T


def test_a_hard_case_does_not_spend_its_budget_on_every_rival(monkeypatch, rng):
    monkeypatch.setattr(engine_measure, "budget", lambda n: 30)
    operator = Diagonal(np.geomspace(1e-4, 1.0, 200))
    probe = probe_diagonal(operator.eigenvalues, rng)
    ours = classical.chebyshev(4, probe.high)
    row = engine_measure.measure(operator, lambda degree: (ours, probe), [4])[0]
    assert engine_summary.kind(row) == "hard"
    assert set(row["methods"]) == {"ours", "cg", "cheb30", "chebritz", "oracle"}
    assert engine_summary.total(row, "ours") == 30


def test_the_budget_grows_with_the_rows():
    found = [engine_count.budget(n) for n in (100, 1000, 10**6)]
    assert found == [5_000, 20_000, 100_000]


# Saad's least-squares polynomials on [0, 4], α = 1/2, β = -1/2, scaled to integers.
SAAD = {1: [5, -1], 2: [14, -7, 1], 3: [30, -27, 9, -1], 4: [55, -77, 44, -11, 1]}


@pytest.mark.parametrize("degree", SAAD)
def test_least_squares_polynomial_is_the_published_one(degree):
    operator = Diagonal(np.linspace(0.1, 4, 50))
    p = engine_methods.rival("leastsquares", degree, 4.0, operator, 0.1)
    x = np.linspace(0, 4, 30)
    wanted = np.polynomial.polynomial.polyval(x, SAAD[degree])
    np.testing.assert_allclose(p(x) / p(0.0), wanted / wanted[0], atol=1e-12)
    assert p.residual(0.0) == 1.0


def test_the_gmres_rival_has_the_least_residual_of_its_degree():
    operator = Sparse(poisson2d(9))
    b = np.random.default_rng(0).standard_normal(81)
    dense = operator.S.toarray()
    p = engine_methods.rival("gmrespoly", 6, 7.9, operator, 0.1)
    K = np.stack([np.linalg.matrix_power(dense, j) @ b for j in range(1, 8)], axis=1)
    least = np.linalg.norm(b - K @ np.linalg.lstsq(K, b, rcond=None)[0])
    found = np.linalg.norm(b - dense @ (of_matrix(p, dense) @ b))
    assert p.degree == 6
    assert found == pytest.approx(least, rel=1e-6)


def test_every_rival_has_the_degree_and_the_upper_end_of_ours():
    operator = Diagonal(np.geomspace(1e-3, 1.0, 200))
    for name in engine_methods.RIVALS:
        p = engine_methods.rival(name, 16, 1.1, operator, 1e-2)
        assert p.degree == 16
        assert p.interval[1] == 1.1
    ritz = engine_methods.rival("chebritz", 16, 1.1, operator, 1e-2)
    assert ritz.interval[0] == 1e-2


def test_ours_is_what_make_chooses():
    A = poisson2d(20)
    p, probe = engine_methods.ours_matrix(A, 8)
    M = ap.make(A, degree=8)
    assert (p, probe) == (M.polynomial, M.probe)
    assert engine_methods.ours_matrix(A, 8, rng=3)[1] != probe
    ours = engine_methods.ours_diagonal(None, probe, 8)
    assert engine_methods.certified(ours)
    assert ours == p
