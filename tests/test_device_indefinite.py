"""Hermitian matrices of either sign on a device, with NumPy standing in for CuPy."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import standin
from problems import complex_hermitian, poisson1d, poisson2d, tolerance
from scipy.sparse.linalg import LinearOperator, minres
from test_indefinite import MATRICES, control, easy, saddle

import autospec_precond as ap
from autospec_precond import classify, indefinite
from autospec_precond.errors import NotHermitianError, NotPositiveError
from autospec_precond.row_scaling import row_norms
from autospec_precond.signed import SignedPolynomial

EASY = tuple(MATRICES)  # for minres to the last digits
MATRICES = {**MATRICES, "control": lambda: control(24)}
FORMS = {
    "real": lambda: saddle(90, 100.0),
    "float32": lambda: saddle(90).astype(np.float32),
    "complex": lambda: uneven(complex_hermitian(120, shift=-1.3)),
    "complex64": lambda: complex_hermitian(120, np.complex64, -1.3),
    "dense": lambda: saddle(60, 100.0).toarray(),
}


def uneven(A):
    D = sp.diags_array(np.linspace(1, 10, A.shape[0]))
    return sp.csr_array(D @ A @ D)


def host(x):
    return x.view(np.ndarray)


def of_scipy(M):
    """An M of the device for minres of SciPy."""
    apply = lambda x: host(M @ standin.as_device(x.copy())).copy()  # noqa: E731
    return LinearOperator(M.shape, apply, dtype=M.dtype)


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
def complex_minres(monkeypatch):
    """As with a SciPy whose minres takes complex matrices."""
    monkeypatch.setattr(classify, "_SCIPY", (1, 18))


@pytest.fixture
def alike(either, monkeypatch):
    """The device draws the numbers that the host draws, and counts its seconds."""
    from autospec_precond.device import indefinite as there
    from autospec_precond.device.vectors import Random

    for name in ("random", "standard_normal"):
        draw = lambda self, n, name=name: standin.as_device(  # noqa: E731
            getattr(self.rng, name)(n)
        )
        monkeypatch.setattr(Random, name, draw)
    seconds = 1e-4, lambda chooser, based: _Costs(chooser.operand.n)
    for module in (indefinite.Chooser, there._Chooser):
        monkeypatch.setattr(module, "outer", lambda chooser: seconds[0])
        monkeypatch.setattr(module, "costs", seconds[1])
    return either


class _Costs:
    """The same on a device and on the host."""

    def __init__(self, n):
        self.n = n

    def step(self):
        return 2e-6

    def edges(self):
        return 5e-6

    def setup(self, degree):
        return 1e-4


@pytest.mark.parametrize("degree", [None, 0, 8, 16, 32])
@pytest.mark.parametrize("name", MATRICES)
def test_chooses_what_the_host_chooses(alike, name, degree):
    A = MATRICES[name]()
    given = {"solver": "minres", "assume_a": "her", "degree": degree}
    M, twin = ap.make(standin.on_device(A), **given), ap.make(A, **given)
    p, q = M.polynomial, twin.polynomial
    assert (M.degree, p.domain) == (twin.degree, pytest.approx(q.domain, rel=1e-10))
    # Of a fit with normal equations, from ends of the spectrum that differ by rounding.
    size = np.abs(q.coefficients).max()
    assert p.coefficients == pytest.approx(q.coefficients, rel=0, abs=1e-9 * size)
    assert M.solver == twin.solver == "minres"
    assert M.certificate.safe
    for word in ("base", "engine", "n_products", "n_scalings", "seen", "notes"):
        assert getattr(M.report, word) == getattr(twin.report, word)
    assert M.report.candidates == pytest.approx(twin.report.candidates, rel=1e-6)
    assert M.probe.high == pytest.approx(twin.probe.high, rel=1e-9)
    assert M.probe.high_is_rigorous == twin.probe.high_is_rigorous
    assert M.probe.ritz_values == pytest.approx(twin.probe.ritz_values, abs=1e-6)


def test_declines_what_the_host_declines(alike):
    A = easy()
    for given in ({}, {"assume_a": "her"}):
        M = ap.make(standin.on_device(A), solver="minres", **given)
        twin = ap.make(A, solver="minres", **given)
        assert (M.degree, M.storage) == (twin.degree, twin.storage) == (0, "none")
        assert M.report.n_products == twin.report.n_products <= 4
        assert "no polynomial pays for itself: M is the base alone" in M.report.notes
    assert ap.make(standin.on_device(MATRICES["few negative"]()), degree=0).degree == 0


def test_a_hard_system_is_not_declined(cupy):
    A = standin.on_device(poisson2d(120, shift=-0.5137))
    M = ap.make(A)
    assert (M.solver, M.kernel) == ("minres", "reference")
    assert M.degree > 0
    assert M.report.candidates[M.degree] < M.report.candidates[0]


@pytest.mark.parametrize("precision", ["single", "mixed", "double"])
@pytest.mark.parametrize("base", ["none", "equilibrate"])
@pytest.mark.parametrize("name", FORMS)
def test_m_is_the_polynomial_of_the_scaled_matrix(
    either, complex_minres, name, base, precision, rng
):
    A, degree = FORMS[name](), 8
    n = A.shape[0]
    if np.iscomplexobj(A):  # minres of CuPy would take it for symmetric
        there, move = A, np.array
    else:
        there, move = standin.on_device(A), standin.as_device
    given = {"base": base, "degree": degree, "precision": precision, "device": "cuda"}
    M = ap.make(there, solver="minres", assume_a="her", **given)
    assert (M.report.base, M.degree, M.certificate.safe) == (base, degree, True)
    dense = A.toarray() if sp.issparse(A) else A
    dense, scale = dense.astype(np.result_type(A, "f8")), np.ones(n)
    for _ in range(M.report.n_scalings if base == "equilibrate" else 0):
        scale = scale / np.sqrt(scale * (np.abs(dense) @ scale))
    values, V = np.linalg.eigh(scale[:, None] * dense * scale)
    p = scale[:, None] * (V * M.polynomial(values)) @ V.conj().T * scale
    eps = "f4" if precision != "double" else np.empty(0, A.dtype).real.dtype
    allowed = tolerance(degree, eps) * np.linalg.norm(p, 2)
    X = rng.standard_normal((n, 3)).astype(A.dtype)
    for x in (X, X[:, 0].copy(), X[:, :1].copy()):
        y = host(M @ move(x)) if move is not np.array else M @ x
        assert (y.dtype, y.shape) == (A.dtype, x.shape)
        assert np.linalg.norm(y - p @ x) <= allowed * np.linalg.norm(x)


@pytest.mark.parametrize("degree", [None, 16])
@pytest.mark.parametrize("name", EASY)
def test_minres_converges(cupy, name, degree, rng):
    A = MATRICES[name]()
    b = rng.standard_normal(A.shape[0])
    for M in (
        of_scipy(ap.make(standin.on_device(A), solver="minres", degree=degree)),
        ap.make(A, solver="minres", degree=degree, device="cuda"),
    ):
        x, info = minres(A, b, M=M, rtol=1e-12, maxiter=4000)
        assert info == 0
        assert np.linalg.norm(b - A @ x) <= 1e-6 * np.linalg.norm(b)


@pytest.mark.parametrize("name", ["few negative", "many negative", "saddle"])
def test_a_polynomial_saves_iterations(cupy, name, rng):
    A = MATRICES[name]()
    b = rng.standard_normal(A.shape[0])

    def count(M):
        seen = []
        minres(A, b, M=M, rtol=1e-10, callback=lambda x: seen.append(1))
        return len(seen)

    M = ap.make(A, solver="minres", degree=16, device="cuda")
    assert 2.5 * count(M) < count(None)


@pytest.mark.parametrize("keywords", [{}, {"solver": "minres", "degree": 16}])
@pytest.mark.parametrize("name", ["many negative", "control"])
def test_only_scalars_cross(either, name, keywords, rng):
    A = standin.on_device(MATRICES[name]())
    x = standin.as_device(rng.standard_normal(A.shape[0]))
    del either.crossings[:]
    M = ap.make(A, **keywords)
    moved = [(way, size) for way, size, _ in either.crossings]
    offsets = M.core.parts.stored.offsets  # of diagonals, where there are kernels
    few = 1 if offsets is None else offsets.size
    assert {size for _, size in moved} <= {1, few}
    assert few <= 21
    assert [way for way, _ in moved].count("in") == 0
    assert len(moved) <= 100
    y = M @ x
    del either.crossings[:]
    M.apply_into(x, y)
    assert not either.crossings


def test_applications_for_the_host_cross_twice(cupy, rng):
    A = MATRICES["saddle"]()
    M = ap.make(A, solver="minres", degree=8, device="cuda")
    assert "A was moved to cuda:0 once" in str(M.report)
    twin = ap.make(A, polynomial=M.state())
    for X in (rng.standard_normal(200), rng.standard_normal((200, 3))):
        del cupy.crossings[:]
        Y = M @ X
        assert [way for way, *_ in cupy.crossings] == ["in", "out"]
        assert np.linalg.norm(Y - twin @ X) <= tolerance(8, "f4") * np.linalg.norm(Y)


@pytest.mark.parametrize("storage", ["csr", "dia"])
def test_kernels_apply_it_as_they_apply_others(either, storage, rng):
    if storage == "dia" and either.cuda.get_current_stream is standin._Stream:
        pytest.skip("diagonals have a kernel only")
    A = MATRICES["many negative"]()
    given = {"solver": "minres", "assume_a": "her", "degree": 16, "storage": storage}
    M = ap.make(standin.on_device(A), **given)
    assert M.storage == storage
    twin = ap.make(A, polynomial=M.state(), kernel="reference")
    for shape in [(), (3,)]:
        x = rng.standard_normal((196, *shape))
        y = host(M @ standin.as_device(x))
        assert np.linalg.norm(y - twin @ x) <= tolerance(16, "f4") * np.linalg.norm(y)


def test_rows_that_differ_much_are_equilibrated_again(either, rng):
    A = control(24)
    M = ap.make(standin.on_device(A), degree=8, precision="double")
    twin = ap.make(A, polynomial=M.state())
    assert (M.report.n_scalings, twin.report.n_scalings) == (4, 4)
    left = host(M.core.parts.left)
    assert left == pytest.approx(twin._parts.left, rel=1e-12)
    values = np.linalg.eigvalsh(A.toarray() * left[:, None] * left)
    assert np.abs(values).max() <= M.probe.high
    x = rng.standard_normal(A.shape[0])
    again = ap.make(standin.on_device(A), polynomial=M.state())
    y, z = (host(m @ standin.as_device(x)) for m in (M, again))
    assert np.array_equal(y, z)
    assert np.linalg.norm(y - twin @ x) <= tolerance(8, "f8") * np.linalg.norm(y)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_the_scale_of_a_does_not_matter(cupy, scale):
    A = sp.csr_array(poisson1d(60, shift=-1.3))
    M = ap.make(standin.on_device(A * scale), degree=8)
    assert M.report.base == "equilibrate"
    dense = scale * host(M @ standin.as_device(np.eye(60)))
    assert np.abs(dense - dense.T).max() <= 1e-6 * np.abs(dense).max()
    assert np.linalg.eigvalsh(0.5 * (dense + dense.T)).min() > 0


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e25])
def test_an_operator_without_entries(cupy, scale):
    A = MATRICES["many negative"]()
    given = standin._Wrapped(standin.on_device(A * scale))
    M = ap.make(given, solver="minres", degree=8, precision="single")
    assert (M.report.base, M.storage, M.kernel) == ("none", "operator", "reference")
    values, V = np.linalg.eigh(A.toarray())
    x = np.ones(196)
    expected = V @ (scale * M.polynomial(scale * values) * (V.T @ x))
    y = scale * host(M @ standin.as_device(x))
    assert np.linalg.norm(y - expected) <= tolerance(8, "f4") * np.linalg.norm(expected)
    z = scale * host(ap.make(given, polynomial=M.state()) @ standin.as_device(x))
    assert np.linalg.norm(z - expected) <= tolerance(8, "f4") * np.linalg.norm(expected)


@pytest.mark.parametrize("where", ["device", "host"])
def test_looks_as_on_the_host_and_survives_a_pickle(cupy, where, rng):
    A = MATRICES["saddle, scaled"]()
    given = standin.on_device(A) if where == "device" else A
    M = ap.make(given, degree=8, device="cuda")
    twin = ap.make(A, degree=8)
    assert M.solver == twin.solver == "minres"
    assert M.certificate.high_is_rigorous
    assert set(M.state()) == set(twin.state())
    assert set(M.report.to_dict()) == set(twin.report.to_dict())
    labels = [label for label, _ in M.report.rows() if label != "note"]
    assert labels == [label for label, _ in twin.report.rows() if label != "note"]
    assert "Hermitian indefinite: symmetric in a random test, Ritz values" in str(M.report)
    assert M.H is M
    x = rng.standard_normal(A.shape[0])
    x = standin.as_device(x) if where == "device" else x
    again = pickle.loads(pickle.dumps(M))
    assert np.array_equal(host(M @ x), host(again @ x))
    assert again.report == M.report
    assert repr(again) == repr(M)
    with pytest.raises(ValueError, match="M must be made for a positive definite A"):
        M.solve(x)


def test_two_calls_agree_and_nothing_of_the_caller_s_is_changed(cupy):
    A = standin.on_device(control(12))
    kept = A.data.copy(), A.indices.copy(), A.indptr.copy()
    one, two = ap.make(A, degree=8), ap.make(A, degree=8)
    assert one.polynomial == two.polynomial
    for a, b in zip((A.data, A.indices, A.indptr), kept, strict=True):
        assert np.array_equal(host(a), host(b))


def test_finds_the_class_out(cupy):
    A = poisson2d(14, shift=-2.9137)
    for given in (A, sp.csr_array(-A), sp.csr_array(-poisson2d(14))):
        M = ap.make(standin.on_device(given), degree=8)
        assert (M.solver, M.probe.kind) == ("minres", "her")
        assert M.report.seen.startswith("Hermitian")
    positive = ap.make(standin.on_device(poisson2d(14)), solver="minres", degree=8)
    assert positive.probe.kind == "pos"
    for solver in ("gmres", "bicgstab"):
        assert ap.make(standin.on_device(A), solver=solver, degree=8).probe.kind == "gen"
    skewed = A.copy()
    skewed.data[1] = 7.0
    assert ap.make(standin.on_device(skewed), degree=8).probe.kind == "gen"
    for given in (skewed, sp.csr_array(-skewed)):
        with pytest.raises(NotHermitianError):
            ap.make(standin.on_device(given), solver="minres", degree=8)
    for solver in ("cg", "lobpcg"):
        with pytest.raises(NotPositiveError, match="must be positive"):
            ap.make(standin.on_device(A), solver=solver, n_eigenpairs=2)


@pytest.mark.parametrize(("name", "degree"), [("saddle", 0), ("control", 32)])
def test_s_is_stored_once_and_given_up_where_nothing_pays(cupy, monkeypatch, name, degree):
    from autospec_precond.device import storage

    stored, exact = [], storage.store
    monkeypatch.setattr(storage, "store", lambda *a: stored.append(1) or exact(*a))
    A = standin.on_device(MATRICES[name]())
    M = ap.make(A, solver="minres", assume_a="her")
    assert len(stored) == 1  # for its bytes, which the seconds are counted from
    assert (M.degree, M.storage) == (degree, "csr" if degree else "none")


def test_nothing_of_the_attempt_as_positive_definite_is_kept(cupy, monkeypatch):
    """S was stored for it: an exception that is handled would keep that."""
    import gc

    from autospec_precond.device import indefinite as there
    from autospec_precond.device.chooser import DeviceChooser

    seen = []

    def choose(*args):
        seen.append(any(type(found) is DeviceChooser for found in gc.get_objects()))
        return exact(*args)

    exact = there.choose
    monkeypatch.setattr(there, "choose", choose)
    gc.collect()
    ap.make(standin.on_device(poisson2d(14, shift=-0.2137)), solver="minres", degree=8)
    assert seen == [False]


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"degree": 7}, "degree must be even"),
        ({"base": "jacobi"}, "base must be 'none' or 'equilibrate' for a Hermitian A"),
        ({"degree": "measure"}, "degree must be an int on a device; got 'measure'"),
        ({"storage": "dia", "degree": 8}, "must have few diagonals and a kernel"),
        ({"kernel": "fused"}, "kernel='fused' must have CuPy's compiler"),
        ({"solver": "cg"}, "solver must suit A, which is said to be Hermitian indefinite"),
        (
            {"polynomial": SignedPolynomial((-8.0, 8.0), (1.0, 0.0, 1.0 - 1e-15))},
            "must be positive definite beyond rounding; got a polynomial of degree 2",
        ),
    ],
)
def test_says_what_does_not_suit(cupy, keywords, message):
    A = standin.on_device(poisson1d(50, shift=-1.0))
    with pytest.raises(ValueError, match=message):
        ap.make(A, **{"solver": "minres", "assume_a": "her", **keywords})


@pytest.mark.parametrize("version", [(1, 17), (1, 18)])
@pytest.mark.parametrize("given", [{}, {"assume_a": "her"}])
def test_complex_matrices_of_cupy_are_not_for_its_minres(monkeypatch, cupy, given, version):
    monkeypatch.setattr(classify, "_SCIPY", version)
    A = standin.on_device(complex_hermitian(40, shift=-1.3))
    with pytest.raises(ValueError, match="minres of CuPy forms products without"):
        ap.make(A, solver="minres", **given)


def test_complex_matrices_of_scipy_are_for_a_new_minres(cupy, complex_minres):
    A = complex_hermitian(40, shift=-1.3)
    assert ap.make(standin.on_device(A), degree=4).solver == "gmres"
    assert ap.make(A, solver="minres", degree=4, device="cuda").probe.kind == "her"


@pytest.mark.parametrize("form", [sp.csr_array, lambda A: A.toarray()])
@pytest.mark.parametrize("keywords", [{}, {"assume_a": "her"}, {"base": "none"}])
def test_an_empty_row_is_refused_by_its_number(cupy, form, keywords):
    A = sp.lil_array(poisson1d(50) - 2 * sp.eye_array(50))
    A[17, :] = 0
    A[:, 17] = 0
    with pytest.raises(ValueError, match=r"no entry in row 17 \(1 such"):
        ap.make(standin.on_device(form(A)), solver="minres", **keywords)


@pytest.mark.parametrize("name", ["float32", "complex", "complex64", "dense"])
def test_row_norms_are_those_of_the_host(either, name):
    from autospec_precond.device import indefinite as there
    from autospec_precond.device import kernels
    from autospec_precond.device.bases import Based
    from autospec_precond.device.operands import as_operand

    A = FORMS[name]()
    operand = as_operand(standin.on_device(A), "test")
    library = kernels.select(either, None, "test")
    found = there._row_norms(Based(operand, "none", None, None, library))
    assert host(found) == pytest.approx(row_norms(A), rel=1e-6)
