"""General matrices on a device, with NumPy standing in for CuPy: the host's choice."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import standin
from scipy.sparse.linalg import LinearOperator, bicg, bicgstab, gmres
from test_general import convection

import autospec_precond as ap
from autospec_precond import general, scaling
from autospec_precond.errors import NotHermitianError
from autospec_precond.operands import as_operand


def host(x):
    return x.view(np.ndarray)


def hard(n):
    """Half of the diagonal is missing: equilibrated, and other bases are tried."""
    rng = np.random.default_rng(3)
    # Not rng=, which SciPy 1.14 does not know.
    A = sp.random_array((n, n), density=4 / n, random_state=rng) + 2 * sp.eye_array(n, k=1)
    A = sp.lil_array(A + sp.diags_array(np.where(np.arange(n) % 2, 3.0, 0.0)))
    A[n - 1, 0] = 2.0
    return sp.csr_array(A)


def uneven(n):
    """A diagonal entry is tiny, and every other one negative."""
    A = sp.lil_array(convection(n, spread=1))
    A[5, 5] *= 1e-7
    A = sp.csr_array(sp.diags_array((-1.0) ** np.arange(n)) @ A)
    A.sort_indices()
    return A


MATRICES = {
    "real": convection(400),
    "complex": convection(300, is_complex=True),
    "float32": convection(300).astype(np.float32),
    "hard": hard(500),
    "uneven": uneven(200),
    "dense": convection(120).toarray(),
}


@pytest.fixture
def cupy(monkeypatch):
    return standin.install(monkeypatch)


@pytest.fixture(params=["plain", "kernels"])
def either(request, monkeypatch):
    """NumPy in the place of CuPy, without kernels, and with those of the CUDA source."""
    kernels = None
    if request.param == "kernels":
        pytest.importorskip("gpu_emulation.device", reason="no kernels to emulate here")
        kernels = request.getfixturevalue("emulated_device")
    return standin.install(monkeypatch, kernels=kernels)


@pytest.fixture
def alike(cupy, monkeypatch):
    """The host draws the numbers that the device draws."""
    from autospec_precond.device.vectors import Random

    class Drawn:
        def __init__(self, rng):
            self.random = Random(cupy, rng)

        def standard_normal(self, n):
            return host(self.random.standard_normal(n))

    monkeypatch.setattr(general.Chooser, "_random", lambda self: Drawn(self.request.rng))
    return cupy


def exact(A, M, base):
    """Return R p(S) L as a dense matrix, in long arithmetic where roots need it."""
    n = A.shape[0]
    dense = A.toarray() if sp.issparse(A) else A
    operand = as_operand(sp.csr_array(A), "test")
    left = right = np.ones(n)
    if base == "jacobi":
        left = scaling.signed_diagonal(operand)
    elif base == "equilibrate":
        left, right = scaling.equilibrated(operand)
    S = left[:, None] * dense.astype(np.result_type(A.dtype, float)) * right
    total, product = np.zeros((n, n), complex), np.eye(n, dtype=complex)
    for root in M.polynomial.roots:
        total += product / root
        product = product - S @ product / root
    return right[:, None] * total * left


@pytest.mark.parametrize("keywords", [{}, {"degree": 7}, {"base": "equilibrate"}])
@pytest.mark.parametrize("name", MATRICES)
def test_chooses_what_the_host_chooses(alike, name, keywords):
    A = MATRICES[name]
    M = ap.make(standin.on_device(A), assume_a="gen", **keywords)
    twin = ap.make(A, assume_a="gen", **keywords)
    assert M.polynomial.roots == pytest.approx(twin.polynomial.roots, rel=1e-6)
    for word in ("degree", "solver", "precision", "certificate"):
        assert getattr(M, word) == getattr(twin, word)
    for word in ("base", "engine", "n_products", "seen"):
        assert getattr(M.report, word) == getattr(twin.report, word)
    assert len(M.report.notes) == len(twin.report.notes)
    assert M.probe.hessenberg == pytest.approx(twin.probe.hessenberg, abs=1e-7)
    assert M.state()["base"] == twin.state()["base"]


def test_a_large_matrix_gets_the_composite_of_the_host(alike):
    A = convection(20_000, spread=1)
    M, twin = ap.make(standin.on_device(A), assume_a="gen"), ap.make(A, assume_a="gen")
    assert M.degree == twin.degree >= 599
    assert M.report.n_products == twin.report.n_products
    x = np.sin(np.arange(20_000.0))
    assert np.allclose(host(M @ standin.as_device(x)), twin @ x, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("storage", ["csr", "dia"])
@pytest.mark.parametrize("base", ["none", "jacobi", "equilibrate"])
@pytest.mark.parametrize("is_complex", [False, True])
def test_m_is_the_polynomial_between_its_scales(either, base, is_complex, storage, rng):
    if storage == "dia" and either.cuda.get_current_stream is standin._Stream:
        pytest.skip("diagonals have a kernel only")
    A = convection(60, is_complex, spread=1)
    given = {"base": base, "degree": 5, "precision": "double", "storage": storage}
    M = ap.make(standin.on_device(A), assume_a="gen", **given)
    assert (M.degree, M.report.base, M.storage) == (5, base, storage)
    assert M.polynomial.is_real != is_complex
    assert is_complex or any(root.imag for root in M.polynomial.roots)
    dense = exact(A, M, base)
    scale = np.linalg.norm(dense)
    x = rng.standard_normal((60, 3)) + 1j * rng.standard_normal((60, 3))
    for X in (x, x[:, 0], x[:, 1].real, x[:, :1].real):
        Y = M @ standin.as_device(np.ascontiguousarray(X))
        assert np.linalg.norm(host(Y) - dense @ X) <= 1e-9 * scale * np.linalg.norm(X)
        Y = M.H @ standin.as_device(np.ascontiguousarray(X))
        other = dense.conj().T @ X
        assert np.linalg.norm(host(Y) - other) <= 1e-9 * scale * np.linalg.norm(X)
    assert M.H.H is M
    turned = dense.T if not is_complex else dense.conj().T
    y = (M.rmatvec if is_complex else M.T.matvec)(standin.as_device(x[:, 0].copy()))
    assert np.linalg.norm(host(y) - turned @ x[:, 0]) <= 1e-9 * scale * np.linalg.norm(x)


@pytest.mark.parametrize("precision", ["single", "mixed", "double"])
@pytest.mark.parametrize("name", MATRICES)
def test_applies_what_the_host_applies(either, name, precision, rng):
    A = MATRICES[name]
    M = ap.make(standin.on_device(A), assume_a="gen", degree=6, precision=precision)
    twin = ap.make(A, polynomial=M.state(), assume_a="gen", kernel="reference")
    assert twin.precision == precision
    x = rng.standard_normal((A.shape[0], 3)).astype(A.dtype)
    eps = np.finfo(np.float32 if precision != "double" else A.dtype).eps
    for one, other, X in ((M, twin, x), (M, twin, x[:, 0].copy()), (M.H, twin.H, x)):
        y, expected = one @ standin.as_device(X), other @ X
        assert y.dtype == expected.dtype
        assert np.linalg.norm(host(y) - expected) <= 500 * eps * np.linalg.norm(expected)


def test_only_a_few_numbers_cross(either):
    A = standin.on_device(hard(600))
    del either.crossings[:]
    M = ap.make(A, solver="gmres")
    assert M.report.n_products > 200  # trials
    longest = max(size for _, size, _ in either.crossings)
    assert longest <= 64 + 1  # coefficients of basis vectors
    ways = [way for way, *_ in either.crossings]
    assert 0 < ways.count("in") <= 20  # of solutions in a trial
    x = standin.as_device(np.ones(600))
    y = M @ x
    before = len(either.crossings)
    M.apply_into(x, y)
    assert len(either.crossings) == before


@pytest.mark.parametrize("solver", [None, "gmres", "bicgstab"])
def test_serves_the_solvers_of_the_host(cupy, solver, rng):
    A = sp.csr_array(convection(500, spread=0) + 0.05 * sp.eye_array(500))
    b = rng.standard_normal(500)
    M = ap.make(A, device="cuda", solver=solver, degree=12)
    assert (M.solver, M.device) == (solver or "gmres", "cuda:0")
    run = bicgstab if solver == "bicgstab" else gmres
    x, info = run(A, b, M=M, rtol=1e-8, maxiter=40)
    assert info == 0
    assert np.linalg.norm(b - A @ x) <= 1e-7 * np.linalg.norm(b)
    _, info = bicg(M.A, b, M=M, rtol=1e-6, maxiter=40)
    assert info == 0
    assert np.allclose(M.H.A @ b, A.T @ b)
    with pytest.raises(ValueError, match="M must be made for a positive definite A"):
        M.solve(b)


@pytest.mark.parametrize("name", ["real", "complex"])
def test_gmres_takes_fewer_iterations(cupy, name):
    A = MATRICES[name]
    n = A.shape[0]
    M = ap.make(standin.on_device(A))
    assert M.degree > 0
    there = LinearOperator(
        A.shape, lambda x: host(M @ standin.as_device(x)).copy(), dtype=A.dtype
    )
    b, seen = A @ np.ones(n), []
    x, info = gmres(
        A, b, M=there, rtol=1e-8, restart=30, maxiter=10, callback=seen.append,
        callback_type="pr_norm",
    )  # fmt: skip
    assert info == 0
    assert len(seen) <= 20
    assert np.linalg.norm(b - A @ x) <= 1e-8 * np.linalg.norm(b)
    # None at all, in as many products with A.
    _, info = gmres(A, b, rtol=1e-8, restart=30, maxiter=20)
    assert info != 0


def test_finds_the_class_out(cupy):
    n = 200
    A = convection(n, spread=1)
    for given in (A, -A, sp.csr_array(A + 1j * A.T)):
        M = ap.make(standin.on_device(given))
        assert (M.solver, M.probe.kind) == ("gmres", "gen")
        assert "differ" in M.report.seen
    symmetric = sp.csr_array(
        sp.diags_array([-1.0, 2.1, -1.0], offsets=[-1, 0, 1], shape=(n, n))
    )
    M = ap.make(standin.on_device(symmetric), solver="gmres")
    assert M.certificate.safe
    assert M.solver == "gmres"
    below = standin.on_device(symmetric - 2 * sp.eye_array(n))
    assert ap.make(below, solver="bicgstab").probe.kind == "gen"
    assert ap.make(below, assume_a="her", solver="gmres").probe.kind == "gen"
    for solver in ("cg", "minres"):
        with pytest.raises(NotHermitianError, match="pass solver='gmres' or 'bicgstab'"):
            ap.make(standin.on_device(A), solver=solver)
    with pytest.raises(NotHermitianError):
        ap.make(standin.on_device(-A), solver="minres")


def test_bases_are_those_of_the_host(either):
    from autospec_precond.device import kernels
    from autospec_precond.device import operands as there
    from autospec_precond.device import scaling as on_device

    library = kernels.select(either, None, "test")
    for name, A in MATRICES.items():
        operand, twin = there.as_operand(standin.on_device(A), "t"), as_operand(A, "t")
        if name != "hard":
            share = on_device.diagonal_share(operand, library)
            assert share == pytest.approx(scaling.diagonal_share(twin), rel=1e-9)
            signed = scaling.signed_diagonal(operand)
            assert np.array_equal(host(signed), scaling.signed_diagonal(twin))
        found = on_device.equilibrated(operand, library)
        for one, other in zip(found, scaling.equilibrated(twin), strict=True):
            assert host(one) == pytest.approx(other, rel=1e-9)


def _holed(row, column, explicit):
    A = sp.coo_array(convection(30, spread=0))
    holes = (A.coords[0] == row) | (A.coords[1] == column)
    A.data[holes] = 0
    A = sp.csr_array(A)
    if not explicit:
        A.eliminate_zeros()
    return A


@pytest.mark.parametrize("form", ["sparse", "explicit", "dense"])
@pytest.mark.parametrize(("row", "column"), [(4, None), (None, 7), (4, 7)])
def test_structurally_singular_matrix_is_refused(cupy, row, column, form):
    A = _holed(row, column, form == "explicit")
    A = A.toarray() if form == "dense" else A
    what = "row 4" if row is not None else "column 7"
    with pytest.raises(ValueError, match=f"got no entry in {what} .1 such"):
        ap.make(standin.on_device(A), assume_a="gen")


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"base": "jacobi"}, "must have a diagonal without zeros; got 0 in row 1"),
        ({"diagonal": 3, "base": "none"}, "base='jacobi' only; got base 'none'"),
        ({"diagonal": 2}, r"shape \(3,\); got float64 of shape \(2,\)"),
        ({"nullspace": 3}, "nullspace must not be given on a device"),
        ({"degree": "measure"}, "degree must be an int on a device; got 'measure'"),
        ({"n_threads": 2}, "n_threads must not be given on a device"),
        ({"storage": "sell"}, "storage must be 'csr' or 'dia' on a device"),
        ({"storage": "dia"}, "must have few diagonals and a kernel"),
        ({"kernel": "fused"}, "kernel='fused' must have CuPy's compiler"),
    ],
)
def test_says_what_does_not_suit(cupy, keywords, message):
    A = standin.on_device(sp.csr_array(np.array([[1.0, 2, 0], [3, 0, 1], [0, 1, 2]])))
    for name in ("diagonal", "nullspace"):
        if name in keywords:
            keywords = {**keywords, name: cupy.ones(keywords[name])}
    with pytest.raises(ValueError, match=message):
        ap.make(A, assume_a="gen", **{"degree": 1, **keywords})


def test_a_base_of_the_caller_s_is_refused(cupy):
    A = standin.on_device(convection(20))
    with pytest.raises(ValueError, match="must be 'none', 'jacobi' or 'equilibrate' on a"):
        ap.make(A, assume_a="gen", base=A)


def test_says_when_the_probe_finds_no_room(cupy, monkeypatch):
    from autospec_precond.kernels import gpu_runtime

    A = standin.on_device(convection(1000))
    monkeypatch.setattr(gpu_runtime, "free_bytes", lambda xp: 609_000)
    message = "70 vectors and the scaled entries, must fit .* 0.608 MB needed and 0.6 MB"
    assert ap.make(A, assume_a="gen", degree=24).degree == 24
    monkeypatch.setattr(gpu_runtime, "free_bytes", lambda xp: 600_000)
    with pytest.raises(MemoryError, match=message):
        ap.make(A, assume_a="gen", degree=24)


def test_an_operator_without_entries(cupy):
    A = convection(200, spread=1)
    given = standin._Wrapped(standin.on_device(A))
    M = ap.make(given, assume_a="gen", degree=6)
    assert (M.report.base, M.storage, M.kernel) == ("none", "operator", "reference")
    diagonal = standin.as_device(A.diagonal())
    M = ap.make(given, assume_a="gen", degree=6, diagonal=diagonal)
    dense = exact(A, M, M.report.base)
    assert M.report.base == "jacobi"
    x = np.ones(200)
    size = np.linalg.norm(dense)
    y = host(M @ standin.as_device(x))
    assert np.linalg.norm(y - dense @ x) <= 1e-6 * size * np.linalg.norm(x)
    y = host(M.H @ standin.as_device(x))
    assert np.linalg.norm(y - dense.T @ x) <= 1e-6 * size * np.linalg.norm(x)
    with pytest.raises(ValueError, match="must know the entries of A"):
        ap.make(given, assume_a="gen", base="equilibrate")


@pytest.mark.parametrize("where", ["device", "host"])
def test_survives_a_pickle(cupy, where):
    A = convection(100)
    given = standin.on_device(A) if where == "device" else A
    M = ap.make(given, degree=4, device="cuda")
    x = np.ones(100) if where == "host" else standin.as_device(np.ones(100))
    for one, again in (
        (M, pickle.loads(pickle.dumps(M))),
        (M.H, pickle.loads(pickle.dumps(M.H))),
    ):
        assert np.array_equal(host(one @ x), host(again @ x))
        assert again.report.to_json() == M.report.to_json()
        assert repr(again) == repr(M)
    assert np.array_equal(host(again.H @ x), host(M @ x))


def test_two_calls_agree_and_states_come_back(cupy):
    A = hard(300)
    one, two = (ap.make(standin.on_device(A), degree=8) for _ in range(2))
    assert one.polynomial == two.polynomial
    x = standin.as_device(np.ones(300))
    again = ap.make(standin.on_device(A), polynomial=one.state())
    assert np.array_equal(host(one @ x), host(again @ x))
    assert again.report.probe is None
    far = ap.make(A, polynomial=one.state()).state()
    assert far["polynomial"] == one.state()["polynomial"]


def test_an_easy_matrix_gets_the_base_alone(cupy):
    A = sp.csr_array(sp.diags_array([0.1, 1.0, 0.05], offsets=[-1, 0, 1], shape=(300, 300)))
    M = ap.make(standin.on_device(A))
    assert (M.degree, M.storage) == (0, "none")
    assert "base alone" in str(M.report)
    assert ap.make(standin.on_device(A), degree=0, storage="csr").storage == "none"
    x = standin.as_device(np.ones(300))
    assert np.array_equal(host(M @ x), host(M.H @ x))


def test_a_complex_constant(cupy):
    from autospec_precond.roots import RootPolynomial

    A = standin.on_device(sp.csr_array(2j * np.eye(5)))
    M = ap.make(A, polynomial=RootPolynomial((2j,)), base="none")
    assert np.allclose(host(M @ standin.as_device(np.ones(5))), -0.5j)
    assert np.allclose(host(M.H @ standin.as_device(np.ones(5))), 0.5j)


def test_roots_are_refused_where_m_must_be_positive_definite(cupy):
    from autospec_precond.roots import RootPolynomial

    A = standin.on_device(sp.csr_array(2.0 * np.eye(5)))
    with pytest.raises(ValueError, match="positive on the real line for solver='cg'"):
        ap.make(A, polynomial=RootPolynomial((1.0, 2.0)), solver="cg")


def test_nothing_of_the_caller_s_is_changed(cupy):
    A = standin.on_device(hard(300))
    kept = A.data.copy(), A.indices.copy(), A.indptr.copy()
    ap.make(A, solver="gmres")
    for a, b in zip((A.data, A.indices, A.indptr), kept, strict=True):
        assert np.array_equal(host(a), host(b))
