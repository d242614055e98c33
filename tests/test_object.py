"""M as an object: state, pickle, copies, determinism, and what it shows."""

import copy
import inspect
import json
import pickle
import re

import numpy as np
import pytest
import scipy.sparse as sp
from problems import complex_hermitian, poisson1d, poisson2d
from scipy.sparse.linalg import aslinearoperator

import autospec_precond as ap

PRECISIONS = ["single", "mixed", "double"]


def with_scaled_rows(decades=6):
    D = sp.diags_array(np.logspace(0, decades / 2, 49))
    return sp.csr_array(D @ poisson2d(7) @ D)


MATRICES = {
    "csr": poisson2d(7),
    "float32": poisson2d(7, np.float32),
    "complex": complex_hermitian(50),
    "dense": poisson2d(7).toarray(),
    "operator": aslinearoperator(poisson2d(7)),
    "scaled": with_scaled_rows(),
}
each_matrix = pytest.mark.parametrize("A", MATRICES.values(), ids=MATRICES)


def block(A, rng):
    return rng.standard_normal((A.shape[0], 3)).astype(A.dtype)


def same_bits(M, other, X):
    vectors = np.array_equal(M @ X[:, 0], other @ X[:, 0])
    return vectors and np.array_equal(M @ X, other @ X) and other.dtype == M.dtype


@pytest.mark.filterwarnings("ignore::autospec_precond.UncertifiedWarning")
@each_matrix
@pytest.mark.parametrize("degree", [0, 4, 32])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("base", ["none", "jacobi"])
def test_state_rebuilds_the_same(A, degree, precision, base, rng):
    given = {"diagonal": np.full(49, 4.0)} if not hasattr(A, "diagonal") else {}
    given = given if base == "jacobi" else {}
    M = ap.make(A, degree=degree, precision=precision, base=base, **given)
    state = M.state()
    text = json.dumps(state)
    assert len(text) < 4096
    assert json.loads(text) == state
    for way in (state, text, json.loads(text)):
        other = ap.make(A, polynomial=way, **given)
        assert same_bits(M, other, block(A, rng))
        assert other.state() == state
        assert other.probe is None
        for name in ("degree", "precision", "storage", "kernel"):
            assert getattr(other, name) == getattr(M, name)
        # What was known of the bound belonged to the matrix, which may be another one.
        for name in ("positive", "margin", "rounding", "low", "high", "growth"):
            assert getattr(other.certificate, name) == getattr(M.certificate, name)


def test_state_of_a_base_of_the_users(rng):
    A = poisson2d(7)
    base = aslinearoperator(sp.diags_array(np.linspace(0.2, 0.3, 49)))
    M = ap.make(A, base=base, degree=4)
    assert same_bits(M, ap.make(A, base=base, polynomial=M.state()), block(A, rng))


@each_matrix
@pytest.mark.parametrize(
    "clone",
    [
        copy.copy,
        copy.deepcopy,
        *(
            lambda M, k=k: pickle.loads(pickle.dumps(M, protocol=k))
            for k in range(2, pickle.HIGHEST_PROTOCOL + 1)
        ),
    ],
)
def test_pickle_and_copies(A, clone, rng):
    M = ap.make(A, degree=4)
    X = block(A, rng)
    M @ X
    other = clone(M)
    assert same_bits(M, other, X)
    assert str(other.report) == str(M.report)
    assert other.state() == M.state()
    assert same_bits(M, clone(other), X)


def test_pickle_of_a_base_of_the_users(rng):
    A = poisson2d(7)
    base = aslinearoperator(sp.diags_array(np.linspace(0.2, 0.3, 49)))
    M = ap.make(A, base=base, degree=4)
    assert same_bits(M, pickle.loads(pickle.dumps(M)), block(A, rng))


def test_scratch_is_not_pickled():
    M = ap.make(poisson2d(40), degree=4)
    before = len(pickle.dumps(M))
    M @ np.ones((1600, 50))
    assert sum(buffer.nbytes for buffer in M._pool) > 2 * before
    assert len(pickle.dumps(M)) == before


def test_copies_do_not_share_scratch():
    M = ap.make(poisson2d(7), degree=4)
    M @ np.ones(49)
    for other in (copy.copy(M), copy.deepcopy(M)):
        other @ np.ones(49)
        assert not any(np.shares_memory(a, b) for a in M._pool for b in other._pool)


@pytest.mark.parametrize("base", ["none", "jacobi"])
def test_m_keeps_its_own_copy_of_the_matrix(base, rng):
    x = rng.standard_normal(49)
    for A in (poisson2d(7), poisson2d(7).toarray()):
        M = ap.make(A, degree=4, base=base, precision="double")
        before = M @ x
        for array in (A.data, A.indices, A.indptr) if sp.issparse(A) else (A,):
            array[...] = 1
        assert np.array_equal(M @ x, before)


# Determinism.


@each_matrix
def test_two_calls_make_the_same(A, rng):
    M, X = ap.make(A, degree=6), block(A, rng)
    for other in (
        ap.make(A, degree=6),
        ap.make(A, degree=6, rng=0),
        ap.make(A, degree=6, rng=np.random.default_rng(0)),
    ):
        assert same_bits(M, other, X)
        assert other.state() == M.state()
    assert same_bits(M, M, X)


def test_rng_is_what_numpy_takes():
    A = with_scaled_rows()

    def ritz_values(rng):
        return ap.make(A, rng=rng).probe.ritz_values

    assert np.array_equal(ritz_values(7), ritz_values(np.random.default_rng(7)))
    assert not np.array_equal(ritz_values(7), ritz_values(8))
    assert not np.array_equal(ritz_values(None), ritz_values(None))
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    ritz_values(None)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


# What it shows.


def test_repr_is_one_line():
    M = ap.make(poisson2d(7), degree=4)
    low, high = (f"{edge:.3g}" for edge in M.polynomial.interval)
    what = f"PolynomialPreconditioner of degree 4 on [{low}, {high}], dtype=float64"
    assert repr(M) == str(M) == f"<49x49 {what}>"


def test_html_is_the_table_of_the_report():
    M = ap.make(poisson2d(7), degree=4)
    html = M._repr_html_()
    assert re.fullmatch(r"<table>(<tr><th>[^<]*</th><td>[^<]*</td></tr>)+</table>", html)
    assert html.count("<tr>") == len(M.report.rows()) >= 8


@each_matrix
def test_attributes(A):
    M = ap.make(A, degree=6, base="none")
    assert (M.degree, M.polynomial.degree, M.report.degree) == (6, 6, 6)
    assert (M.solver, M.precision, M.device, M.n_threads) == ("cg", "mixed", "cpu", 1)
    explicit = ["csr", "float32", "complex", "scaled"]
    storage = dict.fromkeys(explicit, "dia")
    # No kernel for small complex matrices is compiled ahead.
    storage |= {"complex": "csr", "dense": "dense", "operator": "operator"}
    name = next(name for name, value in MATRICES.items() if value is A)
    assert M.storage == M.report.storage == storage[name]
    fused = M.storage in ("csr", "dia")
    assert M.kernel == M.report.kernel == ("fused" if fused else "reference")
    assert M.shape == A.shape
    assert M.dtype == A.dtype
    assert isinstance(M.polynomial, ap.Polynomial)
    assert isinstance(M.report, ap.Report)
    assert M.certificate is M.report.certificate
    assert isinstance(M.certificate, ap.Certificate)
    assert M.certificate.safe
    assert M.probe is M.report.probe
    assert isinstance(M.probe, ap.Probe)


def test_shared_attributes_cannot_be_set_by_accident():
    M = ap.make(poisson1d(20), degree=4)
    for name, value in inspect.getmembers(type(M), lambda v: isinstance(v, property)):
        assert value.fset is None
        with pytest.raises(AttributeError):
            setattr(M, name, None)
