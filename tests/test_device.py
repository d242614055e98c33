"""`make` on a device, with NumPy standing in for CuPy: results, traffic, refusals."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
import standin
from problems import poisson1d
from scipy.sparse.linalg import cg

import autospec_precond as ap
from autospec_precond import arrays, probing
from autospec_precond.errors import NotHermitianError


def poisson2d(n, dtype=np.float64):
    T = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n))
    one = sp.eye_array(n)
    return sp.csr_array(sp.kron(T, one) + sp.kron(one, T), dtype=dtype)


def hermitian(n):
    A = sp.csr_array(poisson1d(n), dtype=np.complex128)
    A.data = A.data * np.where(A.data.real < 0, 1.0, 1.1)
    phase = np.exp(1j * np.arange(n))
    return sp.csr_array(sp.diags_array(phase) @ A @ sp.diags_array(phase.conj()))


def host(x):
    return x.view(np.ndarray)


@pytest.fixture
def cupy(monkeypatch):
    return standin.install(monkeypatch)


MATRICES = {
    "poisson": poisson2d(24),
    "float32": poisson2d(24, np.float32),
    "complex": hermitian(300),
    "dense": poisson2d(12).toarray(),
}


def tolerance(degree, dtype):
    return 8 * (degree + 1) ** 2 * np.finfo(dtype).eps


@pytest.mark.parametrize("shape", [(), (1,), (3,)])
@pytest.mark.parametrize("precision", ["single", "mixed", "double"])
@pytest.mark.parametrize("name", MATRICES)
def test_is_the_m_of_the_host(cupy, name, precision, shape, rng):
    A = MATRICES[name]
    M = ap.make(standin.on_device(A), degree=8, precision=precision)
    twin = ap.make(A, polynomial=M.state(), precision=precision)
    x = rng.standard_normal((A.shape[0], *shape)).astype(A.dtype)
    y = M @ cupy.asarray(x)
    assert isinstance(y, cupy.ndarray)
    assert y.dtype == A.dtype
    assert y.shape == x.shape
    difference = np.linalg.norm(host(y) - twin @ x)
    rounding = tolerance(8, np.float32 if precision != "double" else A.dtype)
    assert difference <= rounding * np.linalg.norm(twin @ x)


def test_only_scalars_cross_while_m_is_made_and_applied(cupy, rng):
    A = standin.on_device(poisson2d(50))
    x = standin.as_device(rng.standard_normal(A.shape[0]))
    M = ap.make(A)
    assert M.degree > 0
    y = M @ x
    assert max(size for _, size, _ in cupy.crossings) == 1
    assert all(way == "out" for way, *_ in cupy.crossings)
    before = len(cupy.crossings)
    M.apply_into(x, y)
    assert len(cupy.crossings) == before  # an application waits for nothing


def test_a_solve_brings_back_a_few_numbers_per_look(cupy, rng):
    A = poisson2d(50)
    M = ap.make(standin.on_device(A), degree=4)
    b = rng.standard_normal(A.shape[0])
    given = cupy.asarray(b)
    del cupy.crossings[:]
    x, info = M.solve(given, rtol=1e-9)
    assert info == 0
    assert np.linalg.norm(b - A @ host(x)) <= 1e-9 * np.linalg.norm(b)
    assert max(size for _, size, _ in cupy.crossings) <= 24
    assert all(way == "out" for way, *_ in cupy.crossings)


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("columns", [(), (1,), (3,)])
def test_solve_keeps_its_promise(cupy, name, columns, rng):
    A = MATRICES[name]
    b = rng.standard_normal((A.shape[0], *columns)).astype(A.dtype)
    x0 = rng.standard_normal(b.shape).astype(A.dtype)
    M = ap.make(standin.on_device(A), degree=8)
    for start in (None, cupy.asarray(x0)):
        x, info = M.solve(cupy.asarray(b), start, rtol=1e-5)
        assert info == 0
        assert x.dtype == A.dtype
        assert x.shape == b.shape
        size = np.linalg.norm(b, axis=0)
        assert (np.linalg.norm(b - A @ host(x), axis=0) <= 1e-5 * size).all()


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_solves_whatever_the_size_of_b(cupy, scale):
    A = poisson2d(20)
    b = scale * np.ones(400)
    x, info = ap.make(standin.on_device(A), degree=4).solve(cupy.asarray(b), rtol=1e-8)
    assert info == 0
    residual = b / scale - A @ (host(x) / scale)
    assert np.linalg.norm(residual) <= 1e-8 * np.linalg.norm(b / scale)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
@pytest.mark.parametrize("scale", [1e-30, 1e-22, 1e20, 1e30])
def test_solves_whatever_the_size_of_b_in_single_precision(cupy, dtype, scale, rng):
    A = poisson2d(20, np.float32)
    b = (scale * rng.standard_normal(400)).astype(dtype)
    x, info = ap.make(standin.on_device(A), degree=4).solve(cupy.asarray(b), rtol=1e-4)
    assert info == 0
    wide = b.astype(np.complex128) / scale
    residual = wide - A @ (host(x).astype(np.complex128) / scale)
    assert np.linalg.norm(residual) <= 2e-4 * np.linalg.norm(wide)


def test_a_small_matrix_is_no_breakdown_in_single_precision(cupy):
    """The first r* M r, of b over A, is beyond float32."""
    A = poisson2d(20, np.float32)
    A.data *= np.float32(1e-25)
    b = np.full(400, 1e8, np.float32)
    x, info = ap.make(standin.on_device(A), degree=4).solve(cupy.asarray(b), rtol=1e-4)
    assert info == 0
    assert np.isfinite(host(x)).all()


def test_a_solve_leaves_no_vectors_behind(cupy):
    """A device fills up unseen where its arrays wait for the garbage collector."""
    import gc

    from autospec_precond.device.solvers import _Column

    def count():
        return sum(type(found) is _Column for found in gc.get_objects())

    M = ap.make(standin.on_device(poisson2d(12)), degree=4)
    gc.collect()
    gc.disable()
    try:
        before = count()
        M.solve(cupy.asarray(np.ones((144, 3))))
        assert count() == before
    finally:
        gc.enable()


def test_a_solve_that_ends_at_the_last_digit_gives_no_nan(cupy):
    A = sp.csr_array(sp.diags_array(np.array([1.0, 2.0, 4.0] * 40)))
    M = ap.make(standin.on_device(A), base="none", degree=0)
    x, _ = M.solve(cupy.asarray(np.ones(120)), rtol=0.0, maxiter=50)
    assert np.allclose(host(x), 1 / A.diagonal(), rtol=1e-14, atol=0)


def test_a_right_hand_side_of_zeros_has_the_solution_zero(cupy):
    M = ap.make(standin.on_device(poisson2d(10)), degree=4)
    x, info = M.solve(cupy.asarray(np.zeros(100)), cupy.asarray(np.ones(100)))
    assert info == 0
    assert not host(x).any()


def test_iterations_are_counted_and_shown(cupy, rng):
    M = ap.make(standin.on_device(poisson2d(30)), degree=4)
    b = cupy.asarray(rng.standard_normal(900))
    seen = []
    x, info = M.solve(b, rtol=1e-12, maxiter=9, callback=lambda x: seen.append(x.copy()))
    assert info == 9
    assert len(seen) == 9
    assert np.array_equal(host(seen[-1]), host(x))
    y, info = M.solve(b, rtol=1e-12, maxiter=9)
    assert info == 9
    assert np.array_equal(host(x), host(y))  # looked at less often, else the same


@pytest.mark.parametrize("shift", [0.1, 0.5, 1.5])
def test_an_indefinite_matrix_is_a_breakdown(cupy, shift):
    A = poisson2d(16)
    M = ap.make(standin.on_device(A), degree=4)
    wrong = A - shift * sp.eye_array(256)
    M.core.parts.A.data[...] = standin.on_device(sp.csr_array(wrong)).data
    x, info = M.solve(cupy.asarray(np.ones(256)), rtol=1e-10)
    assert info == -1
    assert np.isfinite(host(x)).all()


def test_serves_the_solvers_of_the_host_with_two_copies_each(cupy, rng):
    A = poisson2d(40)
    b = rng.standard_normal(1600)
    M = ap.make(A, device="cuda", degree=8)
    assert "moved to cuda:0 once" in str(M.report)
    assert (M.device, M.report.device) == ("cuda:0", "cuda:0")
    del cupy.crossings[:]
    count = [0]
    x, info = cg(A, b, M=M, rtol=1e-8, callback=lambda x: count.append(0))
    assert info == 0
    ways = [way for way, *_ in cupy.crossings]
    assert ways == ["in", "out"] * (len(ways) // 2)
    assert len(ways) == 2 * (len(count) - 1)
    twin = ap.make(A, polynomial=M.state())
    for X in (b, np.asfortranarray(rng.standard_normal((1600, 3))), 1j * b):
        del cupy.crossings[:]
        Y = M @ X
        assert len(cupy.crossings) == 2
        assert isinstance(Y, np.ndarray)
        assert np.linalg.norm(Y - twin @ X) <= tolerance(8, "f4") * np.linalg.norm(Y)
    x, info = M.solve(b, rtol=1e-9)
    assert info == 0
    assert type(x) is np.ndarray
    assert np.linalg.norm(b - M.A @ x) <= 1e-9 * np.linalg.norm(b)


@pytest.mark.parametrize("where", ["device", "host"])
def test_survives_a_pickle(cupy, where):
    A = poisson2d(12)
    given = standin.on_device(A) if where == "device" else A
    M = ap.make(given, degree=4, device="cuda")
    again = pickle.loads(pickle.dumps(M))
    x = np.ones(144) if where == "host" else cupy.asarray(np.ones(144))
    assert np.array_equal(np.asarray(host(M @ x)), np.asarray(host(again @ x)))
    assert again.report == M.report
    assert repr(again) == repr(M)


def test_a_filter_for_eigenvalues_lets_few_through(cupy):
    A = poisson2d(40)
    M = ap.make(standin.on_device(A), solver="lobpcg", n_eigenpairs=4, degree=16)
    twin = ap.make(A, solver="lobpcg", n_eigenpairs=4, degree=16)
    assert M.solver == "lobpcg"
    low, high = M.polynomial.interval
    assert low == pytest.approx(twin.polynomial.interval[0], rel=0.5)
    assert high == pytest.approx(twin.polynomial.interval[1], rel=0.02)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_a_filter_of_an_operator_far_from_one(cupy, scale):
    A = standin._Wrapped(standin.on_device(scale * poisson2d(12)))
    given = {"solver": "lobpcg", "n_eigenpairs": 2, "degree": 8, "precision": "single"}
    M = ap.make(A, **given)
    near = ap.make(standin._Wrapped(standin.on_device(poisson2d(12))), **given)
    x = cupy.asarray(np.ones(144))
    assert np.allclose(scale * host(M @ x), host(near @ x), rtol=1e-3, atol=1e-3)


@pytest.mark.filterwarnings("ignore:make")
def test_a_matrix_without_entries_is_stored_by_rows(both):
    """Of no diagonals there is no kernel."""
    state = ap.make(poisson2d(5), degree=4, base="none").state()
    M = ap.make(standin.on_device(sp.csr_array((25, 25))), base="none", polynomial=state)
    assert (M.kernel, M.storage) == ("fused", "csr")


def test_the_largest_eigenvalues_concern_filters_only(cupy):
    M = ap.make(standin.on_device(poisson2d(12)), degree=4, largest=True)
    assert M.report.base == "jacobi"


def test_takes_other_formats_operators_and_null_work(cupy):
    A = standin.on_device(poisson2d(20))
    M = ap.make(standin.dia_matrix(A), degree=4)
    assert any("from dia to csr" in note for note in M.report.notes)
    wrapped = standin._Wrapped(A)
    plain = ap.make(wrapped, degree=4)
    assert (plain.storage, plain.report.base) == ("operator", "none")
    based = ap.make(wrapped, degree=4, diagonal=A.diagonal())
    x = cupy.asarray(np.ones(400))
    twin = ap.make(A, polynomial=based.state(), precision="double")
    assert np.allclose(host(based @ x), host(twin @ x), rtol=1e-5)


def test_two_calls_agree_and_nothing_of_the_caller_s_is_changed(cupy):
    A = standin.on_device(poisson2d(20))
    kept = A.data.copy(), A.indices.copy(), A.indptr.copy()
    x = cupy.asarray(np.ones(400))
    one, two = ap.make(A, degree=8), ap.make(A, degree=8)
    assert one.polynomial == two.polynomial
    assert np.array_equal(host(one @ x), host(two @ x))
    for a, b in zip((A.data, A.indices, A.indptr), kept, strict=True):
        assert np.array_equal(host(a), host(b))
    assert np.array_equal(host(x), np.ones(400))


def test_duplicates_are_summed_in_a_copy(cupy):
    A = sp.csr_array(poisson2d(4))
    doubled = sp.csr_array(
        (np.repeat(A.data / 2, 2), np.repeat(A.indices, 2), 2 * A.indptr), shape=A.shape
    )
    given = standin.on_device(doubled)
    given.data, given.indices = standin.as_device(doubled.data), given.indices
    M = ap.make(given, degree=4)
    assert given.nnz == doubled.nnz
    x = cupy.asarray(np.ones(16))
    twin = ap.make(A, polynomial=M.state())
    assert np.allclose(host(M @ x), twin @ np.ones(16), rtol=1e-6)


@pytest.mark.parametrize("precision", ["mixed", "double"])
def test_complex_vectors_of_a_real_m(cupy, precision, rng):
    A = poisson2d(12)
    M = ap.make(standin.on_device(A), degree=4, precision=precision)
    twin = ap.make(A, polynomial=M.state(), precision=precision)
    x = rng.standard_normal((144, 2)) + 1j * rng.standard_normal((144, 2))
    y = M @ cupy.asarray(x)
    assert y.dtype == np.complex128
    assert np.linalg.norm(host(y) - twin @ x) <= tolerance(4, "f4") * np.linalg.norm(x)


def test_bound_and_self_check_are_those_of_the_host(cupy, rng):
    from autospec_precond import probing
    from autospec_precond.classical import chebyshev
    from autospec_precond.device.bases import Scaled
    from autospec_precond.device.chooser import self_check

    A = poisson2d(14)
    A = sp.csr_array(A + sp.diags_array(rng.uniform(0, 5, 196)))
    there = Scaled(standin.on_device(A), None, None, cupy, np.dtype(np.float64))
    bound = probing.rigorous_bound(A)
    assert probing.rigorous_bound(there) == pytest.approx(bound, rel=1e-12)
    for high in (bound, 0.9 * probing.rigorous_bound(A)):
        p = chebyshev(8, high)
        P = p(np.linalg.eigvalsh(A.toarray()))
        V = np.linalg.eigh(A.toarray())[1]
        M = V @ np.diag(P) @ V.T
        start = rng.standard_normal(196)
        expected = probing.self_check(lambda x: A @ x, p, M.__matmul__, start)
        found = self_check(there, p, standin.on_device(M).__matmul__, cupy.asarray(start))
        assert found == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("where", ["device", "host"])
def test_scratch_does_not_add_up(cupy, where):
    """LOBPCG applies M to blocks of ever fewer columns."""
    A = poisson2d(12)
    M = ap.make(standin.on_device(A) if where == "device" else A, degree=4, device="cuda")
    move = cupy.asarray if where == "device" else np.asarray
    for columns in range(40, 1, -1):
        M @ move(np.ones((144, columns)))
    spare = (M.core if where == "device" else M)._spare
    assert len(spare.kept) <= spare.kinds < 8
    assert spare.of("new") is spare.of("new")


def test_threads_whose_streams_share_an_address_share_no_scratch(cupy, monkeypatch):
    import threading

    from autospec_precond.kernels import gpu_runtime

    def keys():
        found = [gpu_runtime.stream_key(cupy)]
        thread = threading.Thread(target=lambda: found.append(gpu_runtime.stream_key(cupy)))
        thread.start()
        thread.join()
        return found

    here, there = keys()
    assert here == there
    monkeypatch.setattr(standin._Stream, "ptr", 2)  # of the default streams per thread
    here, there = keys()
    assert here != there


def test_nan_in_nan_out(cupy):
    M = ap.make(standin.on_device(poisson2d(10)), degree=4)
    x = np.ones(100)
    x[3] = np.nan
    assert np.isnan(host(M @ cupy.asarray(x))).any()


def test_random_numbers_are_normal(cupy):
    from autospec_precond.device.vectors import Random

    x = host(Random(cupy, np.random.default_rng(0)).standard_normal(100_000))
    assert abs(x.mean()) < 0.02
    assert abs(x.std() - 1) < 0.02
    assert abs(np.mean(x[1:] * x[:-1])) < 0.02


def _with(A, place, value):
    A = A.copy()
    A.data[place] = value
    return A


def refusal(error, A, **keywords):
    with pytest.raises(error) as caught:
        ap.make(A, **keywords)
    return str(caught.value)


@pytest.mark.parametrize("storage", ["csr", "dia"])
def test_a_dense_matrix_is_not_stored_otherwise(cupy, storage):
    text = refusal(ValueError, standin.on_device(MATRICES["dense"]), storage=storage)
    assert "must have an explicit sparse A; got storage 'dense'" in text


@pytest.mark.parametrize(
    ("A", "error", "text"),
    [
        (sp.csr_array(np.ones((3, 4))), ValueError, "must be square with at least one row"),
        (_with(poisson2d(5), 3, np.nan), ValueError, "must be finite; got 1 non-finite"),
        (-poisson2d(5), ValueError, "such rows). A is negative definite: pass -A and -b"),
        (
            poisson2d(5) - sp.diags_array(np.arange(25.0)),
            ValueError,
            "A must be positive; got 0 in row 4 (21 such rows). A is not positive definite",
        ),
        (
            poisson2d(5) - 3.9 * sp.eye_array(25),
            ValueError,
            "). For an indefinite A use minres, or gmres, as solver=.",
        ),
    ],
)
def test_says_what_is_wrong_with_the_matrix(cupy, A, error, text):
    assert text in refusal(error, standin.on_device(A), solver="cg")


def test_refuses_indices_that_point_outside(cupy):
    A = standin.on_device(poisson2d(5))
    A.indices[7] = 25
    text = refusal(ValueError, type(A)((A.data, A.indices, A.indptr), shape=A.shape))
    assert "indices of A must be between 0 and 24; got 25" in text


@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ({"base": "equilibrate"}, "base must be 'none' or 'jacobi' for a positive"),
        ({"n_threads": 2}, "n_threads must not be given on a device"),
        ({"storage": "sell"}, "storage must be 'csr' or 'dia' on a device"),
        ({"storage": "dia"}, "must have few diagonals and a kernel"),
        ({"degree": "measure"}, "degree must be an int on a device; got 'measure'"),
        ({"degree": 3}, "degree must be even"),
        ({"solver": "lobpcg"}, "n_eigenpairs must be given"),
        (
            {"solver": "lobpcg", "n_eigenpairs": 2, "engine": "w.npz"},
            "engine must be 'classical' for solver='lobpcg'",
        ),
        (
            {"solver": "lobpcg", "n_eigenpairs": 2, "largest": True, "base": "jacobi"},
            "base must be 'none' for the largest eigenvalues",
        ),
        ({"kernel": "fused"}, "kernel='fused' must have CuPy's compiler"),
        ({"device": "gpu"}, "device must be one of 'cpu', 'cuda', 'cuda:0'"),
        ({"device": "cuda:-1"}, "device must be one of 'cpu', 'cuda', 'cuda:0'"),
        ({"device": "cpu"}, "got csr_matrix on device 'cuda:0'. Pass A.get()"),
        ({"device": "cuda:1"}, "device must be where A is, 'cuda:0'; got 'cuda:1'"),
    ],
)
def test_refuses_what_does_not_exist_on_a_device(cupy, keywords, text):
    assert text in refusal(ValueError, standin.on_device(poisson2d(5)), **keywords)


def test_says_which_argument_is_where(cupy):
    A = poisson2d(5)
    there, ones = standin.on_device(A), np.ones(25)
    text = refusal(TypeError, there, diagonal=ones)
    assert "got A csr_matrix on device 'cuda:0' and diagonal ndarray in host memory" in text
    text = refusal(TypeError, A, diagonal=cupy.asarray(ones))
    assert "got A csr_array in host memory and diagonal ndarray on device 'cuda:0'" in text
    M = ap.make(there, degree=4)
    for call in (lambda: M @ ones, lambda: M.apply_into(ones, ones)):
        with pytest.raises(TypeError, match=r"x must be on device 'cuda:0' as M is; got"):
            call()
    with pytest.raises(TypeError, match="b must be where A is"):
        M.solve(ones)
    with pytest.raises(TypeError, match="b must be an array; got csr_matrix"):
        M.solve(there)


class _Elsewhere(standin.ndarray):
    """An array of another device."""

    @property
    def device(self):
        return standin._Device(1)


_Elsewhere.__module__ = "cupy"


def test_arrays_of_another_device_are_refused(cupy):
    """A kernel gets addresses: those of another device end the process."""
    A = standin.on_device(poisson2d(5))
    x = cupy.asarray(np.ones(25))
    other = x.view(_Elsewhere)
    M = ap.make(A, degree=4)
    text = r"must be on device 'cuda:0' as M is; got _Elsewhere on device 'cuda:1'. Take"
    for call in (
        lambda: M @ other,
        lambda: M.apply_into(x, other),
        lambda: M.apply_into(other, x),
    ):
        with pytest.raises(TypeError, match=text):
            call()
    for b, x0 in ((other, None), (x, other)):
        with pytest.raises(TypeError, match=r"and x?b?0? _Elsewhere on device 'cuda:1'"):
            M.solve(b, x0)
    text = refusal(TypeError, A, diagonal=other)
    assert "diagonal _Elsewhere on device 'cuda:1'. Copy diagonal" in text
    operator = standin._Wrapped(A)  # does not say where it is
    with pytest.raises(TypeError, match="solve: b must be on device 'cuda:0' as M is"):
        ap.make(operator, degree=4).solve(other)


def test_an_m_is_where_its_arrays_were_unpickled(cupy, monkeypatch):
    kept = pickle.dumps(ap.make(standin.on_device(poisson2d(5)), degree=4))
    there = property(lambda self: standin._Device(1))
    monkeypatch.setattr(standin.ndarray, "device", there)
    M = pickle.loads(kept)
    assert (M.device, M.report.device, M.core.number) == ("cuda:1", "cuda:1", 1)


def test_a_result_in_half_precision_is_refused(cupy):
    M = ap.make(standin.on_device(poisson2d(5)), degree=4)
    with pytest.raises(ValueError, match=r"out must hold float64; got .* and float16"):
        M.apply_into(cupy.asarray(np.ones(25)), cupy.asarray(np.ones(25, np.float16)))


def test_says_when_there_is_no_room(monkeypatch):
    cupy = standin.install(monkeypatch, free=10_000_000)
    A = poisson2d(300)
    for given in (standin.on_device(A), A):
        text = refusal(MemoryError, given, device="cuda")
        assert "must fit the memory of cuda:0; got" in text
        assert "and 10 MB free" in text
    assert not cupy.crossings or all(size == 1 for _, size, _ in cupy.crossings)


def test_a_limit_of_cupy_s_pool_is_room_as_well(cupy):
    cupy.get_default_memory_pool().get_limit = lambda: 3_000_000
    cupy.get_default_memory_pool().total_bytes = lambda: 1_000_000
    text = refusal(MemoryError, standin.on_device(poisson2d(100)))
    assert "and 2 MB free" in text


def test_an_operator_of_the_host_is_not_moved(cupy):
    from scipy.sparse.linalg import aslinearoperator

    text = refusal(TypeError, aslinearoperator(poisson2d(5)), device="cuda")
    assert "A must be explicit, or of CuPy's" in text


def _raises(error):
    def call(*args):
        raise error

    return call


@pytest.mark.parametrize(
    ("driver", "said", "text"),
    [
        (0, "cudaErrorInsufficientDriver: too old", "a CUDA device; got no driver"),
        (11020, "cudaErrorInsufficientDriver", "got one for CUDA 11.2. Update it"),
        (13020, "cudaErrorNoDevice: none", "a CUDA device; got cudaErrorNoDevice: none"),
    ],
)
def test_says_what_is_wrong_with_the_device(cupy, driver, said, text):
    cupy.cuda.runtime.getDeviceCount = _raises(RuntimeError(said))
    cupy.cuda.runtime.driverGetVersion = lambda: driver
    assert text in refusal(RuntimeError, poisson2d(5), device="cuda")


def test_says_that_there_are_fewer_devices(cupy):
    text = refusal(RuntimeError, poisson2d(5), device="cuda:3")
    assert "one of the 1 that CUDA sees (cuda:0 to cuda:0); got 'cuda:3'" in text
    cupy.cuda.runtime.getDeviceCount = lambda: 0
    assert "got none" in refusal(RuntimeError, poisson2d(5), device="cuda")


def test_says_how_to_install_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    text = refusal(ImportError, poisson2d(5), device="cuda")
    assert "pip install cupy-cuda13x" in text


def test_the_host_asks_for_no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert ap.make(poisson2d(5), device="cpu", degree=4).device == "cpu"
    code = (
        "import sys, numpy, scipy.sparse as sp, autospec_precond as ap\n"
        "ap.make(sp.csr_array(numpy.eye(5)))\n"
        "sys.exit(any(m == 'cupy' or '.device' in m for m in sys.modules\n"
        "    if m.startswith(('cupy', 'autospec_precond'))))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("x", [np.ones(3), [1.0], None, poisson2d(3), "cuda"])
def test_what_is_not_cupy_s_is_on_the_host(x):
    assert not arrays.is_on_device(x)
    assert arrays.name_of(x) == "cpu"
    assert arrays.namespace(x) is np


def test_the_device_of_an_array_is_told(cupy):
    assert arrays.namespace(cupy.asarray([1.0])) is cupy
    assert arrays.name_of(standin.on_device(poisson2d(3))) == "cuda:0"


@pytest.mark.parametrize("name", ["poisson", "complex", "dense"])
def test_rounding_is_no_asymmetry(cupy, monkeypatch, name):
    """Where two products leave a doubt the entries are asked."""
    from autospec_precond.device import operands

    exact = operands.dot
    monkeypatch.setattr(
        operands, "dot", lambda x, y: exact(x, y) * (1 + 1e-8 * (x[0] > y[0]))
    )
    assert ap.make(standin.on_device(MATRICES[name]), solver="cg", degree=4).degree == 4
    A = sp.csr_array(MATRICES[name], copy=True)
    A[3, 4] *= 1.001
    with pytest.raises(NotHermitianError, match="must be Hermitian"):
        ap.make(standin.on_device(A), solver="cg", degree=4)


@pytest.fixture
def both(monkeypatch, request):
    """NumPy in the place of CuPy, plain array operations, and kernels run on the host."""
    pytest.importorskip("gpu_emulation.device", reason="no kernels to emulate here")
    xp = standin.install(monkeypatch, kernels=request.getfixturevalue("emulated_device"))
    from autospec_precond.device import kernels

    return xp, kernels.Plain(xp), kernels.Fused(xp)


def test_random_numbers_are_the_same_everywhere(both):
    _, plain, fused = both
    for n in (1, 300, 5000):
        seed = np.uint64(2**63 - 1)
        assert np.array_equal(host(plain.uniform(seed, n)), host(fused.uniform(seed, n)))


@pytest.mark.parametrize("name", ["poisson", "float32", "complex"])
def test_entries_and_diagonals_are_the_same_by_kernels(both, name, rng):
    xp, plain, fused = both
    A = standin.on_device(MATRICES[name])
    n, double = A.shape[0], np.dtype("c16" if A.dtype.kind == "c" else "f8")
    scale = xp.asarray(rng.uniform(0.5, 2.0, n))
    other = xp.asarray(rng.uniform(-2.0, 2.0, n))
    for given in ((scale, other), (None, other), (scale, None), (None, None)):
        expected, found = (k.entries(A, *given, double) for k in (plain, fused))
        assert np.allclose(host(found), host(expected), rtol=1e-15, atol=0)
    seen = [xp.zeros(2 * n - 1, np.bool_) for _ in range(2)]
    plain.mark(A, seen[0])
    fused.mark(A, seen[1])
    assert np.array_equal(host(seen[0]), host(seen[1]))
    offsets = np.flatnonzero(host(seen[0])) - (n - 1)
    number = np.zeros(2 * n - 1, np.int16)
    kept = offsets[offsets >= 0]
    number[kept + n - 1] = np.arange(1, kept.size + 1)
    data = xp.zeros((kept.size, n), A.dtype)
    fused.fill(A, found, 0.5, xp.asarray(number), data)
    dense = MATRICES[name].toarray()
    for row, offset in zip(host(data), kept, strict=True):
        assert np.allclose(row[: n - offset], 0.5 * np.diagonal(dense, offset), rtol=1e-6)
        assert not row[n - offset :].any()


@pytest.mark.parametrize("name", ["poisson", "float32", "complex"])
def test_probe_is_the_same_by_kernels(both, name, rng):
    from autospec_precond.device import bases, operands

    _, plain, fused = both
    operand = operands.as_operand(standin.on_device(MATRICES[name]), "make")
    n = operand.n
    diagonal = operands.check_diagonal(operand, None, "make")
    start = standin.as_device(rng.standard_normal(n).astype(operand.double))
    found = []
    for library in (plain, fused):
        based = bases.build(operand, "jacobi", diagonal, library)
        alpha, beta, last = probing.lanczos(based.product, start, 9)
        image = based.product(start)
        again = probing.lanczos(based.product, start, 4, image=image)
        found.append(
            [alpha, beta, host(last), *again[:2], probing.bound_near(based.quick, 9)]
        )
    for a, b in zip(*found, strict=True):
        assert np.allclose(a, b, rtol=1e-9, atol=1e-12)


def test_probe_of_a_tiny_krylov_space_ends_by_kernels_too(both):
    from autospec_precond.device import bases, operands

    _, plain, fused = both
    for scale in (1.0, 1e-200):
        A = sp.csr_array(scale * sp.diags_array(np.repeat([1.0, 2.0, 5.0], 40)))
        operand = operands.as_operand(standin.on_device(A), "make")
        start = standin.as_device(np.ones(120))
        for library in (plain, fused):
            based = bases.build(operand, "none", None, library)
            alpha, beta, last = probing.lanczos(based.product, start, 9)
            assert len(alpha) == 3
            assert beta[-1] == 0
            assert not host(last).any()


def test_kernels_read_the_real_part_of_a_complex_matrix(both):
    """Its entries do not lie side by side; kernels get no more than an address."""
    A = poisson2d(12)
    apart = standin.on_device(sp.csr_array(A * (1 + 2j)))
    given = type(apart)((apart.data.real, apart.indices, apart.indptr), shape=A.shape)
    M = ap.make(given, degree=4, storage="csr")
    x, info = M.solve(standin.as_device(np.ones(144)), rtol=1e-8)
    assert M.kernel == "fused"
    assert info == 0
    assert np.linalg.norm(np.ones(144) - A @ host(x)) <= 1e-8 * 12


def test_scratch_of_a_graph_of_the_caller_s_is_its_own(both):
    xp, *_ = both
    M = ap.make(standin.on_device(poisson2d(12)), degree=4)
    x, out = xp.asarray(np.ones(144)), xp.zeros(144)
    expected = host(M @ x).copy()
    with xp.cuda.Stream() as stream:
        stream.begin_capture()
        M.apply_into(x, out)
        captured = stream.end_capture()
        M.apply_into(out, out)  # on the same stream, by other scratch
    (kept,) = M.core._captured
    spare = [a for pool in M.core._spare.kept.values() for one in pool for a in one]
    assert not {a.data.ptr for a in kept} & {a.data.ptr for a in spare}
    captured.launch()
    assert np.array_equal(host(out), expected)


@pytest.mark.parametrize("storage", ["csr", "dia"])
@pytest.mark.parametrize("name", ["poisson", "float32", "complex"])
def test_with_the_kernels_of_the_device(monkeypatch, request, name, storage, rng):
    """The CUDA source itself, run on the host: scaling, graph, solve."""
    pytest.importorskip("gpu_emulation.device", reason="no kernels to emulate here")
    kernels = request.getfixturevalue("emulated_device")
    cupy = standin.install(monkeypatch, kernels=kernels)
    A = MATRICES[name]
    M = ap.make(standin.on_device(A), degree=4, storage=storage)
    assert (M.kernel, M.storage) == ("fused", storage)
    twin = ap.make(A, polynomial=M.state())
    for shape in [(), (3,)]:
        x = rng.standard_normal((A.shape[0], *shape)).astype(A.dtype)
        y = M @ cupy.asarray(x)
        difference = np.linalg.norm(host(y) - twin @ x)
        assert difference <= tolerance(4, np.float32) * np.linalg.norm(twin @ x)
    b = rng.standard_normal(A.shape[0]).astype(A.dtype)
    x, info = M.solve(cupy.asarray(b), rtol=1e-5)
    assert info == 0
    assert np.linalg.norm(b - A @ host(x)) <= 1e-5 * np.linalg.norm(b)
    assert kernels.cuda.graph_launches > 0  # from the second application on
