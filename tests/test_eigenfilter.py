"""`filtered_eigsh`: eigenvalues of dense matrices, the promise, memory, refusals."""

import tracemalloc

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, aslinearoperator

from autospec_precond import eigenfilter
from autospec_precond.density import estimate
from autospec_precond.eigenfilter import filtered_eigsh
from autospec_precond.subspace import Filter


def laplacian(*sides):
    lines = [
        sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(s, s)) for s in sides
    ]
    eyes = [sp.eye_array(s) for s in sides]
    total = 0
    for axis in range(len(sides)):
        term = sp.eye_array(1)
        for other in range(len(sides)):
            term = sp.kron(term, lines[axis] if other == axis else eyes[other])
        total = total + term
    return sp.csr_array(total)


def complex_chain(n):
    side = np.exp(1j * np.arange(n - 1))
    return sp.csr_array(
        sp.diags_array([side.conj(), np.linspace(1, 3, n), side], offsets=[-1, 0, 1])
    )


def clustered(n):
    values = np.concatenate(
        [1 + 1e-9 * np.arange(5), np.full(6, 2.0), np.linspace(3, 50, n - 11)]
    )
    return sp.csr_array(sp.diags_array(values))


def arrow(n):
    A = laplacian(n).tolil()
    A[0, :] = A[:, 0] = 0.1
    return sp.csr_array(A)


CASES = {
    "cube": laplacian(9, 9, 9),  # eigenvalues of multiplicity 3 and 6
    "line": laplacian(700),
    "indefinite": sp.csr_array(laplacian(25, 24) - 2 * sp.eye_array(600)),
    "complex": complex_chain(600),
    "clusters": clustered(600),
    "arrow": arrow(500),
}


def residuals(A, w, v, M=None):
    R = A @ v - (v if M is None else M @ v) * w
    return np.linalg.norm(R, axis=0)


@pytest.mark.parametrize("which", ["SA", "LA"])
@pytest.mark.parametrize("k", [1, 6, 30])
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_dense_and_keeps_the_promise(name, k, which):
    A = CASES[name]
    expected = scipy.linalg.eigvalsh(A.toarray())
    norm = np.abs(expected).max()
    w, v = filtered_eigsh(A, k, which=which)
    wanted = expected[:k] if which == "SA" else expected[-k:]
    assert w.shape == (k,)
    assert v.shape == (A.shape[0], k)
    assert v.dtype == A.dtype
    allowed = 1000 * np.finfo(np.float64).eps * norm
    assert np.abs(w - wanted).max() <= allowed
    assert residuals(A, w, v).max() <= 1.01 * allowed
    assert np.abs(v.conj().T @ v - np.eye(k)).max() <= 1e-13 * k


@pytest.mark.parametrize("seed", range(5))
def test_finds_multiplicities_wider_than_a_block(seed):
    values = np.concatenate([np.full(12, 1.0), np.linspace(2, 40, 588)])
    w = filtered_eigsh(
        sp.csr_array(sp.diags_array(values)), 11, return_eigenvectors=False, rng=seed
    )
    assert np.abs(w - 1).max() <= 1e-11


@pytest.mark.parametrize("k", [1, 300, 599])
def test_small_matrices_and_many_pairs_are_handed_to_dense_routines(k, monkeypatch):
    monkeypatch.setattr(eigenfilter, "_Search", None)
    A = CASES["complex"] if k > 1 else laplacian(30)
    expected = scipy.linalg.eigvalsh(A.toarray())
    k = min(k, A.shape[0] - 1)
    assert np.allclose(filtered_eigsh(A, k)[0], expected[:k], atol=1e-12)


def test_gives_way_to_dense_routines_where_steps_are_in_vain():
    n = 600
    A = sp.csr_array(sp.diags_array(np.logspace(-14, 0, n)))
    w, v = filtered_eigsh(A, 4)
    assert np.abs(w - np.logspace(-14, 0, n)[:4]).max() <= 1e-12
    assert residuals(A, w, v).max() <= 1e-12


def test_single_precision_stays_single():
    A = laplacian(30, 29).astype(np.float32)
    w, v = filtered_eigsh(A, 5)
    expected = scipy.linalg.eigvalsh(A.toarray().astype(float))[:5]
    assert w.dtype == v.dtype == np.float32
    assert np.abs(w - expected).max() <= 1000 * np.finfo(np.float32).eps * 8


@pytest.mark.parametrize("form", ["diagonal", "sparse", "dense", "complex"])
@pytest.mark.parametrize("which", ["SA", "LA"])
def test_mass_matrix(form, which):
    n = 500
    A = laplacian(25, 20)
    line = sp.diags_array([1.0, 4.0, 1.0], offsets=[-1, 0, 1], shape=(n, n))
    M = sp.csr_array(sp.diags_array(np.linspace(1, 5, n)) if form == "diagonal" else line)
    if form == "complex":
        side = 0.5j * np.ones(n - 1)
        M = sp.csr_array(M + sp.diags_array([-side, side], offsets=[-1, 1]))
    given = M.toarray() if form == "dense" else M
    w, v = filtered_eigsh(A, 7, given, which=which)
    dense = M.toarray()
    expected = scipy.linalg.eigvalsh(A.toarray(), dense)
    wanted = expected[:7] if which == "SA" else expected[-7:]
    allowed = 1000 * np.finfo(np.float64).eps * np.abs(expected).max()
    assert np.abs(w - wanted).max() <= allowed
    assert np.abs(v.conj().T @ dense @ v - np.eye(7)).max() <= 1e-12
    R = A @ v - dense @ v * w
    norms = np.sqrt(np.abs(np.sum(R.conj() * np.linalg.solve(dense, R), axis=0)))
    assert norms.max() <= 1.1 * allowed


def test_tolerance_is_relative_to_each_eigenvalue():
    A = laplacian(40, 39)
    w, v = filtered_eigsh(A, 8, tol=1e-4)
    assert (residuals(A, w, v) <= 1e-4 * w).all()


def test_operators_start_vectors_and_repetition():
    A = laplacian(30, 31)
    before = A.copy()
    expected = scipy.linalg.eigvalsh(A.toarray())[:4]
    for given in (A, aslinearoperator(A), A.tocsc(), sp.coo_matrix(A), A.toarray()):
        w, v = filtered_eigsh(given, 4, v0=np.ones(930))
        again = filtered_eigsh(given, 4, v0=np.ones(930))
        assert np.allclose(w, expected, atol=1e-11)
        assert np.array_equal(w, again[0])
        assert np.array_equal(v, again[1])
    assert abs(A - before).nnz == 0


def test_blocks_are_not_applied_column_by_column():
    A = laplacian(30, 31)
    widths = []

    def matmat(X):
        widths.append(X.shape[1])
        return A @ X

    operator = LinearOperator(A.shape, matvec=A.__matmul__, matmat=matmat, dtype=A.dtype)
    filtered_eigsh(operator, 4)
    assert min(widths) == 4


def test_memory_is_what_the_notes_say():
    A, k = laplacian(110, 101), 10
    n = A.shape[0]
    filtered_eigsh(A, k)  # compile
    tracemalloc.start()
    filtered_eigsh(A, k)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    copies = 6 * (A.data.nbytes + A.indices.nbytes)
    assert peak <= (3 * k + 18 * 4) * n * 8 + copies


def test_failure_tells_what_was_found(monkeypatch):
    monkeypatch.setattr(eigenfilter, "_DENSE", 0)
    A = sp.csr_array(sp.diags_array(np.logspace(-14, 0, 600)))
    with pytest.raises(ArpackNoConvergence, match="of 20 pairs after 2") as caught:
        filtered_eigsh(A, 20, maxiter=2)
    assert caught.value.eigenvectors.shape == (600, caught.value.eigenvalues.size)


def test_random_vectors_find_what_the_basis_has_missed(monkeypatch):
    A = sp.csr_array(sp.diags_array(np.linspace(1, 40, 600)))
    drawn = eigenfilter._Search._random
    blocks = []

    def blind(search):
        block = drawn(search)
        if not blocks:
            block[2] = 0  # no part of the third eigenvector, which is a unit vector
        blocks.append(block)
        return block

    monkeypatch.setattr(eigenfilter._Search, "_random", blind)
    w = filtered_eigsh(A, 6, return_eigenvectors=False)
    assert np.abs(w - np.linspace(1, 40, 600)[:6]).max() <= 1e-11


@pytest.mark.parametrize("k", [4, 5, 6, 7])
def test_an_upper_end_that_was_too_low_is_found_out(k, monkeypatch):
    monkeypatch.setattr(eigenfilter, "_DENSE", 0)
    made = Filter.of_growth

    def even(*values):
        new = made(*values)
        return Filter(new.edge, new.high, new.degree + new.degree % 2)

    def short(based, n_steps, rng):
        found = estimate(based, n_steps, rng)
        high = 0.97 * found.high
        return type(found)(
            found.values, found.weights, found.n, found.low, high, found.probe
        )

    monkeypatch.setattr(eigenfilter.density, "estimate", short)
    monkeypatch.setattr(eigenfilter.Filter, "of_growth", even)
    A = laplacian(25, 24)
    w = filtered_eigsh(A, k, return_eigenvectors=False)
    assert np.abs(w - scipy.linalg.eigvalsh(A.toarray())[:k]).max() <= 1e-11


def test_filter_values_and_eigenvalues_are_inverse():
    f = Filter.of_growth(0.2, 8.0, 0.01, 9.0)
    x = np.array([0.01, 0.1, 0.2])
    t = (8.2 - 2 * x) / 7.8
    values = np.cosh(f.degree * np.arccosh(np.maximum(t, 1.0)))
    assert np.log(2 * values[0]) == pytest.approx(9.0, abs=0.2)
    assert np.allclose(f.eigenvalues(values), x)
    less = np.cosh(f.degree * np.arccosh(t[:2] - 1e-7))
    slope = (values[:2] - less) / 1e-7 * 2 / 7.8
    assert np.allclose(f.slopes(values)[:2], slope, rtol=1e-4)


SMALL = laplacian(20)


@pytest.mark.parametrize(
    ("A", "keywords", "error", "message"),
    [
        (SMALL, {"which": "SM"}, ValueError, "which must be one of 'SA', 'LA'|got 'SM'"),
        (SMALL, {"k": 20}, ValueError, "k must be below the 20 rows of A; got 20"),
        (SMALL, {"k": 0}, ValueError, "k must be"),
        (SMALL, {"tol": -1.0}, ValueError, "tol must be finite and not negative"),
        (SMALL, {"maxiter": 0}, ValueError, "maxiter must be"),
        (SMALL, {"M": -SMALL}, ValueError, "M must be positive definite"),
        (SMALL, {"M": -SMALL.toarray()}, ValueError, "M must be positive definite"),
        (
            SMALL,
            {"M": laplacian(19)},
            ValueError,
            r"M must have the shape of A, \(20, 20\)",
        ),
        (SMALL, {"M": aslinearoperator(SMALL)}, TypeError, "since it is factorised"),
        (SMALL, {"v0": np.ones(19)}, ValueError, "must have shape"),
        (sp.csr_array(np.triu(np.ones((9, 9)))), {}, ValueError, "A must be Hermitian"),
        (sp.csr_array((9, 8)), {}, ValueError, "A must be square"),
    ],
)
def test_says_what_is_wrong(A, keywords, error, message):
    with pytest.raises(error, match=message):
        filtered_eigsh(A, **keywords)


def test_finds_every_copy_of_a_multiple_eigenvalue():
    # Behind one that is missed the k-th found may be what it would be anyway.
    d = np.arange(2500) // 100 + 1.0
    w, v = filtered_eigsh(sp.diags_array(d).tocsr(), k=130)
    assert np.abs(w - np.sort(d)[:130]).max() <= 1e-10
    assert np.abs(v.T @ v - np.eye(130)).max() <= 1e-10


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
def test_all_eigenvalues_may_be_the_same(value):
    w, _ = filtered_eigsh(sp.csr_array(value * sp.eye_array(2500)), k=3)
    assert np.abs(w - value).max() <= 1e-12
