"""On a real device only: against the host, in CuPy's own solvers."""

import copy
import importlib
import pickle

import numpy as np
import pytest
import scipy.sparse as sp

import autospec_precond as ap


def _why_not():
    try:
        import cupy

        if cupy.cuda.runtime.getDeviceCount() == 0:
            return "no CUDA device"
        importlib.import_module("cupyx.scipy.sparse.linalg")
    except (ImportError, RuntimeError) as error:
        return f"no CUDA device: {error}"
    return ""


_REASON = _why_not()
pytestmark = pytest.mark.skipif(bool(_REASON), reason=_REASON or "there is one")


def poisson2d(n, dtype=np.float64):
    T = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n))
    one = sp.eye_array(n)
    return sp.csr_array(sp.kron(T, one) + sp.kron(one, T), dtype=dtype)


def ragged(n, dtype):
    """A dominant matrix with rows of one to a hundred entries."""
    rng = np.random.default_rng(1)
    U = sp.random_array((n, n), density=4 / n, rng=rng, format="lil")
    U[0, : min(n, 100)] = 1.0
    U = sp.csr_array(sp.triu(U, 1))
    if np.dtype(dtype).kind == "c":
        U = U * np.exp(0.3j)
    A = U + U.conj().T
    return sp.csr_array(
        A + sp.diags_array(np.asarray(abs(A).sum(axis=1)) + 0.1), dtype=dtype
    )


def moved(A):
    import cupyx.scipy.sparse

    return cupyx.scipy.sparse.csr_matrix(sp.csr_matrix(A))


def tolerance(degree, dtype):
    return 8 * (degree + 1) ** 2 * np.finfo(dtype).eps


@pytest.mark.parametrize("columns", [(), (1,), (3,), (33,)])
@pytest.mark.parametrize("precision", ["single", "mixed", "double"])
@pytest.mark.parametrize("storage", ["csr", "dia", None])
@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16"])
@pytest.mark.parametrize("kind", [poisson2d, ragged])
def test_is_the_m_of_the_host(kind, dtype, storage, precision, columns):
    import cupy

    if kind is ragged and storage == "dia":
        pytest.skip("too many diagonals")
    A = kind(31 if kind is poisson2d else 257, dtype)
    M = ap.make(moved(A), degree=8, precision=precision, storage=storage)
    assert M.kernel == "fused"
    twin = ap.make(A, polynomial=M.state(), precision=precision, kernel="reference")
    x = np.random.default_rng(0).standard_normal((A.shape[0], *columns)).astype(dtype)
    found, expected = (M @ cupy.asarray(x)).get(), twin @ x
    rounding = tolerance(8, dtype if precision == "double" else "f4")
    assert found.dtype == expected.dtype
    assert np.linalg.norm(found - expected) <= rounding * np.linalg.norm(expected)


def test_an_application_is_one_graph_and_follows_the_stream():
    import cupy

    M = ap.make(moved(poisson2d(100)), degree=8)
    x = cupy.ones(10_000)
    out = cupy.empty_like(x)
    expected = (M @ x).get()
    with cupy.cuda.Stream(non_blocking=True) as stream:
        for _ in range(4):
            M.apply_into(x, out)
        stream.synchronize()
    assert M.core.graph.refusal is None
    assert np.array_equal(out.get(), expected)


@pytest.mark.parametrize("name", ["cg", "minres", "gmres"])
def test_drops_into_the_solvers_of_cupy(name):
    import cupy
    import cupyx.scipy.sparse.linalg as linalg

    solver = getattr(linalg, name)
    A = moved(poisson2d(60))
    b = cupy.ones(3600)
    M = ap.make(A, degree=8)
    # minres measures by the norms of A and x, which are large here.
    word, tol = ("rtol", 1e-8) if name != "minres" else ("tol", 1e-12)
    x, info = solver(A, b, M=M, maxiter=900, **{word: tol})
    assert info == 0
    assert float(cupy.linalg.norm(b - A @ x)) <= 1e-5 * 60


def test_lobpcg_finds_the_smallest():
    import cupy
    from cupyx.scipy.sparse.linalg import lobpcg

    A = poisson2d(40)
    given = moved(A)
    M = ap.make(given, solver="lobpcg", n_eigenpairs=4)
    X = cupy.asarray(np.random.default_rng(0).standard_normal((1600, 4)))
    values, _ = lobpcg(given, X, M=M, tol=1e-7, maxiter=200, largest=False)
    exact = np.linalg.eigvalsh(A.toarray())[:4]
    assert np.allclose(np.sort(values.get()), exact, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["f4", "f8", "c16"])
@pytest.mark.parametrize("columns", [(), (2,)])
def test_solve_keeps_its_promise(dtype, columns):
    import cupy

    A = poisson2d(50, dtype)
    b = np.random.default_rng(0).standard_normal((2500, *columns)).astype(dtype)
    rtol = 1e-5 if dtype == "f4" else 1e-9
    x, info = ap.make(moved(A)).solve(cupy.asarray(b), rtol=rtol)
    assert info == 0
    residual = np.linalg.norm(b - A @ x.get(), axis=0)
    assert (residual <= 1.01 * rtol * np.linalg.norm(b, axis=0)).all()


def test_serves_scipy_on_the_host():
    from scipy.sparse.linalg import cg

    A, b = poisson2d(60), np.ones(3600)
    M = ap.make(A, device="cuda", degree=8)
    _, info = cg(A, b, M=M, rtol=1e-8)
    assert info == 0
    twin = ap.make(A, polynomial=M.state())
    for X in (b, np.asfortranarray(np.ones((3600, 3))), 1j * b):
        assert np.allclose(M @ X, twin @ X, rtol=1e-4, atol=1e-4)


def test_survives_pickle_and_copy():
    import cupy

    M = ap.make(moved(poisson2d(20)), degree=4)
    x = cupy.ones(400)
    for again in (pickle.loads(pickle.dumps(M)), copy.copy(M)):
        assert cupy.array_equal(again @ x, M @ x)


def test_takes_all_formats_and_dense_arrays():
    import cupy
    from cupyx.scipy.sparse import dia_matrix
    from cupyx.scipy.sparse.linalg import aslinearoperator

    A = moved(poisson2d(20))
    x = cupy.ones(400)
    expected = ap.make(A, degree=4) @ x
    diagonals = dia_matrix(sp.dia_matrix(poisson2d(20)))
    for given in (A.tocsc(), A.tocoo(), diagonals, A.toarray()):
        assert cupy.allclose(ap.make(given, degree=4) @ x, expected, rtol=1e-3)
    M = ap.make(aslinearoperator(A), degree=4)
    assert M.storage == "operator"
    assert bool(cupy.isfinite(M @ x).all())
