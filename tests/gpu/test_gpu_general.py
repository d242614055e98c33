"""On a real device only: general matrices, against the host and in CuPy's solvers."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from test_gpu import moved, pytestmark, tolerance  # noqa: F401

import autospec_precond as ap
from autospec_precond import general, scaling
from autospec_precond.operands import as_operand


def convection(n, dtype=np.float64, spread=2):
    """Convection-diffusion on a line, with rows of very different sizes."""
    rng = np.random.default_rng(5)
    middle = 2.05 + (0.2j if np.dtype(dtype).kind == "c" else 0)
    A = sp.diags_array([-1.4, middle, -0.6], offsets=[-1, 0, 1], shape=(n, n))
    return sp.csr_array(
        sp.diags_array(10.0 ** rng.uniform(-spread, spread, n)) @ A, dtype=dtype
    )


def scattered(n, dtype=np.float64):
    """Entries anywhere, and a diagonal of which half is missing."""
    rng = np.random.default_rng(3)
    # Not rng=, which SciPy 1.14 does not know.
    A = sp.random_array((n, n), density=5 / n, random_state=rng) + 3 * sp.eye_array(n, k=1)
    A = A + sp.coo_array(([2.0], ([n - 1], [0])), shape=(n, n))
    A = A + sp.diags_array(np.where(np.arange(n) % 2, 3.0, 0.0))
    return sp.csr_array(
        A * (np.exp(0.3j) if np.dtype(dtype).kind == "c" else 1), dtype=dtype
    )


@pytest.fixture
def alike(monkeypatch):
    """The host draws the numbers that the device draws."""
    import cupy

    from autospec_precond.device import kernels
    from autospec_precond.device.vectors import Random

    class Drawn:
        def __init__(self, rng):
            library = kernels.select(cupy, None, "test")
            self.random = Random(cupy, rng, library.uniform)

        def standard_normal(self, n):
            return self.random.standard_normal(n).get()

    monkeypatch.setattr(general.Chooser, "_random", lambda self: Drawn(self.request.rng))


@pytest.mark.parametrize(
    ("A", "keywords"),
    [
        (convection(3000), {}),
        (convection(3000, "c16"), {}),
        (convection(3000, "f4"), {"degree": 8}),
        (convection(20_000, spread=1), {}),  # a composite
        (scattered(2000), {"degree": 10}),
        (convection(200).toarray(), {"base": "equilibrate", "degree": 9}),
    ],
    ids=["real", "complex", "float32", "composite", "scattered", "dense"],
)
def test_chooses_what_the_host_chooses(alike, A, keywords):
    import cupy

    given = moved(A) if sp.issparse(A) else cupy.asarray(A)
    M = ap.make(given, assume_a="gen", **keywords)
    twin = ap.make(A, assume_a="gen", **keywords)
    assert M.degree == twin.degree > 0
    assert M.report.base == twin.report.base
    assert M.precision == twin.precision
    # Those of a composite are as sensitive as those of its second probe.
    rel = 1e-2 if M.degree > 100 else 1e-5
    roots = [np.sort_complex(m.polynomial.roots) for m in (M, twin)]
    assert roots[0] == pytest.approx(roots[1], rel=rel, abs=rel * abs(roots[1]).max())
    assert ap.make(given, assume_a="gen", **keywords).polynomial == M.polynomial


@pytest.mark.parametrize(
    ("dtype", "precision", "storage"),
    [
        # Few of the combinations: each is compiled.
        ("f4", "single", "csr"),
        ("f8", "mixed", "dia"),
        ("f8", "double", "csr"),
        ("c8", "single", "dia"),
        ("c16", "mixed", "csr"),
        ("c16", "double", "dia"),
    ],
)
def test_is_the_m_of_the_host(dtype, precision, storage):
    import cupy

    A = convection(257, dtype)
    keywords = {"assume_a": "gen", "base": "equilibrate", "precision": precision}
    M = ap.make(moved(A), degree=7, storage=storage, **keywords)
    assert (M.kernel, M.storage) == ("fused", storage)
    twin = ap.make(A, polynomial=M.state(), kernel="reference", **keywords)
    x = np.random.default_rng(0).standard_normal((257, 3)).astype(dtype)
    rounding = tolerance(7, dtype if precision == "double" else "f4")
    for one, other in ((M, twin), (M.H, twin.H)):
        for X in (x, x[:, 0].copy()):
            found, expected = (one @ cupy.asarray(X)).get(), other @ X
            assert found.dtype == expected.dtype
            assert np.linalg.norm(found - expected) <= rounding * np.linalg.norm(expected)


def test_scales_as_the_host_does():
    import cupy

    from autospec_precond.device import kernels, operands
    from autospec_precond.device import scaling as there

    library = kernels.select(cupy, None, "test")
    for A in (convection(2000), convection(2000, "c16"), scattered(2000)):
        operand, twin = operands.as_operand(moved(A), "test"), as_operand(A, "test")
        share = there.diagonal_share(operand, library)
        assert share == pytest.approx(scaling.diagonal_share(twin), rel=1e-9)
        found = there.equilibrated(operand, library)
        for one, other in zip(found, scaling.equilibrated(twin), strict=True):
            assert one.get() == pytest.approx(other, rel=1e-9)
    holed = sp.csr_array(A - A @ sp.coo_array(([1.0], ([3], [3])), shape=A.shape))
    with pytest.raises(ValueError, match="no entry in column 3"):
        ap.make(moved(holed), assume_a="gen")


@pytest.mark.parametrize("dtype", ["f8", "c16"])
@pytest.mark.parametrize("name", ["gmres", "cgs", "bicgstab"])
def test_drops_into_the_solvers_of_cupy(name, dtype):
    import cupy
    import cupyx.scipy.sparse.linalg as linalg

    solver = getattr(linalg, name, None)
    if solver is None:
        pytest.skip(f"this CuPy has no {name}")
    A = moved(convection(5000, dtype))
    b = A @ cupy.ones(5000, dtype)
    M = ap.make(A, solver=name if name == "bicgstab" else "gmres", degree=20)
    _, info = solver(A, b, rtol=1e-8, maxiter=40)
    assert info != 0
    x, info = solver(A, b, M=M, rtol=1e-8, maxiter=40)
    assert info == 0
    assert float(cupy.linalg.norm(b - A @ x)) <= 1e-7 * float(cupy.linalg.norm(b))
    assert M.core.graph.refusal is None


def test_serves_scipy_on_the_host():
    from scipy.sparse.linalg import gmres

    A = convection(5000)
    b = A @ np.ones(5000)
    M = ap.make(A, device="cuda")
    x, info = gmres(A, b, M=M, rtol=1e-8, restart=30, maxiter=10)
    assert info == 0
    assert np.linalg.norm(b - A @ x) <= 1e-8 * np.linalg.norm(b)
    twin = ap.make(A, polynomial=M.state())
    assert np.allclose(M.rmatvec(b), twin.rmatvec(b), rtol=1e-3, atol=1e-3 * abs(b).max())


def test_an_operator_and_a_pickle():
    import cupy
    from cupyx.scipy.sparse.linalg import aslinearoperator

    A = moved(convection(300, spread=1))
    x = cupy.ones(300)
    M = ap.make(aslinearoperator(A), assume_a="gen", degree=6)
    twin = ap.make(A, polynomial=M.state(), assume_a="gen")
    for one, other in ((M, twin), (M.H, twin.H)):
        assert cupy.allclose(one @ x, other @ x, rtol=1e-3, atol=1e-3)
    for one in (twin, twin.H):
        assert cupy.array_equal(pickle.loads(pickle.dumps(one)) @ x, one @ x)
