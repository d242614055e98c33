"""On a real device only: Hermitian matrices of either sign, for minres."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from test_gpu import moved, poisson2d, pytestmark, tolerance  # noqa: F401

import autospec_precond as ap
from autospec_precond import indefinite


def shifted(n, shift, dtype=np.float64):
    return sp.csr_array(poisson2d(n) - shift * sp.eye_array(n * n), dtype=dtype)


def saddle(n, scale=1.0, dtype=np.float64):
    """Second differences, with n // 3 constraints whose rows are scaled."""
    rng = np.random.default_rng(1)
    T = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n))
    # Not rng=, which SciPy 1.14 does not know.
    B = sp.random_array((n // 3, n), density=5 / n, random_state=rng)
    B = B + sp.eye_array(n // 3, n)
    A = sp.block_array([[T, scale * B.T], [scale * B, None]])
    return sp.csr_array(A, dtype=dtype)


def control(n):
    """Optimality system of a control problem: rows of very different norms."""
    K, eye, h2 = poisson2d(n), sp.eye_array(n * n), 1.0 / (n + 1) ** 2
    rows = [[h2 * eye, None, K], [None, 0.01 * h2 * eye, -h2 * eye], [K, -h2 * eye, None]]
    return sp.csr_array(sp.block_array(rows))


@pytest.fixture
def alike(monkeypatch):
    """The device draws the numbers that the host draws, and counts its seconds."""
    import cupy

    from autospec_precond.device import indefinite as there
    from autospec_precond.device.vectors import Random

    draw = lambda self, n: cupy.asarray(self.rng.standard_normal(n))  # noqa: E731
    monkeypatch.setattr(Random, "standard_normal", draw)
    for module in (indefinite.Chooser, there._Chooser):
        monkeypatch.setattr(module, "outer", lambda chooser: 1e-4)


@pytest.mark.parametrize("degree", [0, 8, 32])
@pytest.mark.parametrize(
    "A",
    [
        shifted(60, 0.2137),
        shifted(60, 6.171),
        saddle(900, 100.0),
        control(24),
        saddle(150, 100.0).toarray(),
    ],
    ids=["few negative", "mostly negative", "saddle", "control", "dense"],
)
def test_chooses_what_the_host_chooses(alike, A, degree):
    import cupy

    given = moved(A) if sp.issparse(A) else cupy.asarray(A)
    keywords = {"solver": "minres", "assume_a": "her", "degree": degree}
    M, twin = ap.make(given, **keywords), ap.make(A, **keywords)
    p, q = M.polynomial, twin.polynomial
    assert (M.degree, M.certificate.safe) == (degree, True)
    assert p.domain == pytest.approx(q.domain, rel=1e-8)
    size = np.abs(q.coefficients).max()
    assert p.coefficients == pytest.approx(q.coefficients, rel=0, abs=1e-6 * size)
    for word in ("base", "n_products", "n_scalings", "notes"):
        assert getattr(M.report, word) == getattr(twin.report, word)
    assert ap.make(given, **keywords).polynomial == p


@pytest.mark.parametrize(
    ("dtype", "precision", "storage"),
    [
        # Few of the combinations: each is compiled.
        ("f4", "single", "csr"),
        ("f8", "mixed", "dia"),
        ("f8", "double", "csr"),
    ],
)
def test_m_is_the_polynomial_of_the_scaled_matrix(dtype, precision, storage):
    import cupy

    A = shifted(16, 2.9137, dtype)
    keywords = {"base": "equilibrate", "degree": 16, "precision": precision}
    M = ap.make(moved(A), solver="minres", assume_a="her", storage=storage, **keywords)
    assert (M.kernel, M.storage, M.report.base) == ("fused", storage, "equilibrate")
    dense, scale = A.toarray().astype("f8"), np.ones(256)
    for _ in range(M.report.n_scalings):
        scale = scale / np.sqrt(scale * (np.abs(dense) @ scale))
    values, V = np.linalg.eigh(scale[:, None] * dense * scale)
    p = scale[:, None] * (V * M.polynomial(values)) @ V.T * scale
    rounding = tolerance(16, "f8" if precision == "double" else "f4")
    X = np.random.default_rng(0).standard_normal((256, 3)).astype(dtype)
    for x in (X, X[:, 0].copy()):
        y = (M @ cupy.asarray(x)).get()
        assert y.dtype == dtype
        size = np.linalg.norm(p, 2) * np.linalg.norm(x)
        assert np.linalg.norm(y - p @ x) <= rounding * size


@pytest.mark.parametrize("degree", [None, 16])
@pytest.mark.parametrize(
    "A", [shifted(150, 0.5137), saddle(3000)], ids=["shifted", "saddle"]
)
def test_drops_into_minres_of_cupy(A, degree):
    import cupy
    from cupyx.scipy.sparse.linalg import minres

    given = moved(A)
    b = cupy.asarray(np.random.default_rng(0).standard_normal(A.shape[0]))
    seen = {"none": 0, "ours": 0}

    def count(name, M):
        def more(x):
            seen[name] += 1

        x, _ = minres(given, b, M=M, tol=1e-12, maxiter=20_000, callback=more)
        return float(cupy.linalg.norm(b - given @ x) / cupy.linalg.norm(b))

    M = ap.make(given, degree=degree, solver="minres")
    assert M.probe.kind == "her"
    plain, ours = count("none", None), count("ours", M)
    assert ours <= max(1e-6, 10 * plain)
    if M.degree:
        assert 2.5 * seen["ours"] < seen["none"]
        assert M.core.graph.refusal is None


def test_finds_the_class_out_and_declines():
    import cupy

    A = shifted(150, 0.5137)
    M = ap.make(moved(A))
    assert (M.solver, M.probe.kind) == ("minres", "her")
    assert M.degree > 0
    n = 3000
    values = np.where(np.arange(n) % 10, 1.0, -1.0) * np.linspace(1, 1.2, n)
    easy = ap.make(moved(sp.csr_array(sp.diags_array(values))))
    assert (easy.solver, easy.degree, easy.storage) == ("minres", 0, "none")
    with pytest.raises(ValueError, match="M must be made for a positive definite A"):
        M.solve(cupy.ones(A.shape[0]))
    with pytest.raises(ValueError, match="minres of CuPy forms products without"):
        ap.make(moved(A * (1 + 0j)), solver="minres")
    holed = A.tolil()
    holed[17, :] = 0
    holed[:, 17] = 0
    with pytest.raises(ValueError, match="no entry in row 17"):
        ap.make(moved(holed.tocsr()), solver="minres")


def test_serves_minres_of_scipy_on_the_host():
    from scipy.sparse.linalg import minres

    A = saddle(3000)
    b = np.random.default_rng(0).standard_normal(A.shape[0])
    M = ap.make(A, device="cuda", solver="minres", degree=16)
    x, info = minres(A, b, M=M, rtol=1e-12, maxiter=20_000)
    assert info == 0
    assert np.linalg.norm(b - A @ x) <= 1e-5 * np.linalg.norm(b)
    twin = ap.make(A, polynomial=M.state())
    assert twin.report.n_scalings == M.report.n_scalings
    assert np.allclose(M @ b, twin @ b, rtol=1e-4, atol=1e-4 * np.abs(twin @ b).max())


def test_an_operator_and_a_pickle():
    import cupy
    from cupyx.scipy.sparse.linalg import aslinearoperator

    A = moved(shifted(20, 2.9137))
    x = cupy.ones(400)
    M = ap.make(aslinearoperator(A), solver="minres", degree=8)
    assert (M.storage, M.probe.kind) == ("operator", "her")
    twin = ap.make(A, polynomial=M.state())
    assert cupy.allclose(M @ x, twin @ x, rtol=1e-4, atol=1e-4 * float(abs(M @ x).max()))
    assert cupy.array_equal(pickle.loads(pickle.dumps(twin)) @ x, twin @ x)
