"""Everything `make` takes gives the M of the canonical CSR matrix, and stays as it was."""

import copy

import numpy as np
import pytest
import scipy.sparse as sp
from problems import (
    Product,
    complex_hermitian,
    distance,
    poisson1d,
    poisson2d,
    sparse_random,
)
from scipy.sparse.linalg import LinearOperator, aslinearoperator, cg

import autospec_precond as ap
from autospec_precond.kernels import scaled

FORMATS = ["csr", "csc", "coo", "bsr", "dia", "dok", "lil"]


def snapshot(A):
    """Return a deep copy of all that an object holds, flags that SciPy caches included."""
    if isinstance(A, np.ndarray):
        return A.copy(), A.flags.writeable
    entries = dict(A.items()) if sp.issparse(A) and A.format == "dok" else None
    return type(A), entries, copy.deepcopy(vars(A))


def same(a, b):
    """Compare snapshots: types, shapes, bits."""
    if isinstance(a, np.ndarray):
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        if a.dtype == object:
            return all(
                same(np.asarray(p), np.asarray(q)) for p, q in zip(a, b, strict=True)
            )
        return a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(same(p, q) for p, q in zip(a, b, strict=True))
    return type(a) is type(b) and a == b


def unsorted(A):
    """Return A with the entries of each row in descending order of columns."""
    order = np.lexsort((-A.indices, np.repeat(np.arange(A.shape[0]), np.diff(A.indptr))))
    return sp.csr_array((A.data[order], A.indices[order], A.indptr), shape=A.shape)


def duplicated(A):
    """Return A with every entry stored twice, each time half of it."""
    data, indices = np.repeat(0.5 * A.data, 2), np.repeat(A.indices, 2)
    return sp.csr_array((data, indices, 2 * A.indptr), shape=A.shape)


def read_only(A):
    A = A.copy()
    for array in (A.data, A.indices, A.indptr):
        array.flags.writeable = False
    return A


def wide_indices(A):
    A = A.copy()
    A.indices, A.indptr = A.indices.astype(np.int64), A.indptr.astype(np.int64)
    return A


def longer(A):
    """Return A with arrays that go on behind the last row."""
    A = A.copy()
    A.data = np.append(A.data, [np.nan, 0.0])
    A.indices = np.append(A.indices, [10**6, -1]).astype(A.indices.dtype)
    return A


def test_snapshots_tell_a_change():
    A = poisson1d(5)
    before = snapshot(A)
    assert same(before, snapshot(A))
    assert A.has_sorted_indices  # SciPy caches the answer
    assert not same(before, snapshot(A))


@pytest.mark.filterwarnings("ignore:Constructing a DIA matrix")
@pytest.mark.parametrize("kind", ["array", "matrix"])
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("known", [False, True], ids=["flags_unset", "flags_set"])
def test_every_format_gives_the_same_preconditioner(name, kind, known, rng):
    canonical = sparse_random(60, rng)
    A = (canonical if kind == "array" else sp.csr_matrix(canonical)).asformat(name)
    if known and hasattr(A, "has_canonical_format"):
        assert A.has_canonical_format
    before = snapshot(A)
    M = ap.make(A, degree=8)
    assert same(before, snapshot(A))
    assert distance(M, ap.make(canonical, degree=8), rng.standard_normal(60)) <= 1e-12
    assert M.report.nnz == canonical.nnz


@pytest.mark.parametrize("shift", [0.0, -3.0])
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("variant", [unsorted, duplicated, read_only, wide_indices, longer])
def test_every_csr_gives_the_same_preconditioner(
    variant, compiled, shift, rng, monkeypatch
):
    monkeypatch.setattr(scaled, "is_ready", lambda matrix: compiled)
    canonical = sp.csr_array(poisson2d(8) + shift * sp.eye_array(64))
    A = variant(canonical)
    before = snapshot(A)
    M = ap.make(A, degree=8)
    assert same(before, snapshot(A))
    assert distance(M, ap.make(canonical, degree=8), rng.standard_normal(64)) <= 1e-12


def test_coo_with_duplicates_is_summed_and_stays(rng):
    canonical = poisson2d(8)
    A = duplicated(canonical).tocoo()
    assert A.nnz == 2 * canonical.nnz
    before = snapshot(A)
    M = ap.make(A, degree=8)
    assert same(before, snapshot(A))
    assert distance(M, ap.make(canonical, degree=8), rng.standard_normal(64)) <= 1e-12


def test_entries_of_dia_outside_of_the_matrix_do_not_matter(rng):
    A = poisson1d(30).todia()
    inside = sp.dia_array((np.ones_like(A.data), A.offsets), shape=A.shape)
    data = A.data.copy()
    for row, offset in enumerate(inside.offsets):
        columns = np.arange(30)
        data[row, (columns - offset < 0) | (columns - offset >= 30)] = np.nan
    assert np.isnan(data).any()
    A = sp.dia_array((data, A.offsets), shape=A.shape)
    M = ap.make(A, degree=8)
    assert distance(M, ap.make(poisson1d(30), degree=8), rng.standard_normal(30)) <= 1e-12


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize(
    "view",
    [
        lambda A: A,
        np.asfortranarray,
        np.asmatrix,
        lambda A: np.kron(A, np.ones((2, 3)))[::2, ::3],
        lambda A: A.astype(">f8"),
    ],
    ids=["c", "fortran", "matrix", "strided", "big_endian"],
)
def test_every_ndarray_gives_the_same_preconditioner(view, rng):
    canonical = poisson2d(8, shift=0.1)
    A = view(canonical.toarray())
    A.flags.writeable = False
    before = snapshot(A)
    M = ap.make(A, degree=8)
    assert same(before, snapshot(A))
    assert M.storage == "dense"
    assert distance(M, ap.make(canonical, degree=8), rng.standard_normal(64)) <= 1e-6


@pytest.mark.parametrize("shape", ["csr", "dense"])
@pytest.mark.parametrize("precision", ["single", "mixed", "double"])
def test_holds_its_own_copy(shape, precision, rng):
    A = poisson2d(6) if shape == "csr" else poisson2d(6).toarray()
    M = ap.make(A, degree=4, base="none", precision=precision)
    x = rng.standard_normal(36)
    before = M @ x
    (A.data if shape == "csr" else A)[...] = np.nan
    if shape == "csr":
        A.indices[:] = 0
    assert np.array_equal(M @ x, before)


class Lazy(Product):
    """An operator that hands out the same array for every product."""

    def __matmul__(self, x):
        if not hasattr(self, "_out") or self._out.shape != x.shape:
            self._out = np.empty_like(x)
        self._out[...] = super().__matmul__(x)
        return self._out


@pytest.mark.parametrize("wrap", [aslinearoperator, Product, Lazy])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_operators_work(wrap, dtype, rng):
    A = complex_hermitian(200) if dtype is np.complex128 else poisson1d(200, dtype, 0.1)
    operator = wrap(A)
    M = ap.make(operator, degree=8, diagonal=A.diagonal())
    assert M.dtype == A.dtype
    assert M.report.nnz is None
    # The same polynomial on the explicit matrix, whose values are rounded to float32.
    N = ap.make(A, polynomial=M.state())
    assert distance(M, N, rng.standard_normal(200).astype(dtype)) <= 1e-5
    b = A @ rng.standard_normal(200).astype(dtype)
    x, info = cg(A, b, M=M, rtol=1e-4, maxiter=40)
    assert info == 0
    assert np.linalg.norm(b - A @ x) <= 2e-4 * np.linalg.norm(b)


def test_operator_without_a_diagonal_stands_on_nothing():
    M = ap.make(Product(poisson1d(100)), degree=4)
    assert M.report.base == "none"
    assert ap.make(poisson1d(100), degree=4).report.base == "jacobi"


def test_products_of_an_operator_are_counted():
    A = Product(poisson1d(300))
    M = ap.make(A, degree=8)
    assert M.report.n_products == A.n_products


def test_a_base_of_the_users_works(rng):
    A = poisson1d(200)
    d = rng.uniform(1, 2, 200)

    def product(x):
        return x / (d if x.ndim == 1 else d[:, None])

    class Solver:
        solve = staticmethod(product)

    operator = LinearOperator(A.shape, matvec=product, matmat=product, dtype=float)
    x = rng.standard_normal(200)
    first, second = (ap.make(A, degree=8, base=base) for base in (operator, Solver()))
    assert first.report.base == second.report.base == "user"
    assert distance(first, second, x) <= 1e-12
    third = ap.make(A, polynomial=first.polynomial, diagonal=d)
    assert distance(first, third, x) <= 1e-5
