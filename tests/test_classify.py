"""Which class A is found to be, what the report says of it, and what is refused."""

import re

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy
import scipy.sparse as sp
from hypothesis import given, settings
from problems import Product, complex_hermitian, poisson1d, refusal, with_spectrum

import autospec_precond as ap

SCIPY = tuple(int(part) for part in scipy.__version__.split(".")[:2])


def sparse_part(n, seed):
    rng = np.random.default_rng(seed)
    return sp.random_array((n, n), density=0.2, rng=rng, data_sampler=rng.standard_normal)


@settings(max_examples=25)
@given(st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_a_diagonally_dominant_symmetric_matrix_is_positive_definite(n, seed):
    B = sparse_part(n, seed)
    B = B + B.T
    A = sp.csr_array(B + sp.diags_array(abs(B).sum(axis=1) + 1.0))
    M = ap.make(A)
    assert M.solver == "cg"
    assert "positive definite, as far as seen" in M.report.seen


@settings(max_examples=25)
@given(st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_a_symmetric_matrix_of_both_signs_is_indefinite(n, seed):
    B = sparse_part(n, seed)
    signs = np.where(np.arange(n) % 2, 1.0, -1.0)
    B = B + B.T
    A = sp.csr_array(B + sp.diags_array(signs * (abs(B).sum(axis=1) + 1.0)))
    M = ap.make(A)
    assert M.solver == "minres"
    assert "indefinite" in M.report.seen
    refusal(ValueError, A)


@settings(max_examples=25)
@given(st.integers(30, 60), st.integers(0, 2**32 - 1))
def test_a_matrix_that_is_not_symmetric_is_general(n, seed):
    A = sp.csr_array(sparse_part(n, seed) + 10 * sp.eye_array(n)).tolil()
    A[0, n - 1] = 3.0
    A[n - 1, 0] = -1.0
    A = sp.csr_array(A)
    M = ap.make(A)
    assert M.solver == "gmres"
    assert M.report.seen.startswith("general")
    for solver in ("cg", "minres"):
        with pytest.raises(ValueError, match="A must be Hermitian; got"):
            ap.make(A, solver=solver)


@pytest.mark.parametrize("wrap", [sp.csr_array, np.asarray, Product])
@pytest.mark.parametrize("signs", ["positive diagonal", "both"])
def test_finds_an_indefinite_matrix_in_any_form(wrap, signs, rng):
    values = np.concatenate([np.linspace(-1, -0.2, 20), np.linspace(0.1, 5, 60)])
    A = with_spectrum(values, rng).toarray()
    if signs == "both":
        A = A - np.diag(np.diag(A)) + np.diag(np.linspace(-1, 1, 80))
    M = ap.make(wrap(A))
    assert M.solver == "minres"
    assert (
        "Hermitian indefinite: symmetric in a random test, Ritz values -" in M.report.seen
    )


def test_says_what_was_seen_and_what_cannot_be_seen():
    text = str(ap.make(poisson1d(300, shift=0.5), degree=8).report)
    assert "no sign of indefiniteness in 12 steps" in text
    assert "a few negative eigenvalues among many, or one near zero, cannot be seen" in text
    text = str(ap.make(poisson1d(300, shift=-0.5), degree=8).report)
    assert re.search(r"about \d+ % of the eigenvalues negative", text)
    assert "how close to zero they come cannot be seen" in text
    text = str(ap.make(poisson1d(300, shift=-0.5), assume_a="her").report)
    assert "as told (assume_a='her'), not tested" in text


@pytest.mark.parametrize(
    ("solver", "assume_a", "named"),
    [("cg", "her", "minres or gmres or bicgstab"), ("minres", "gen", "gmres or bicgstab")],
)
def test_refuses_a_solver_that_does_not_suit_what_it_is_told(solver, assume_a, named):
    with pytest.raises(
        ValueError, match="solver must suit A, which is said to be"
    ) as caught:
        ap.make(poisson1d(20), solver=solver, assume_a=assume_a)
    assert f"(assume_a={assume_a!r}); got {solver!r}. Use {named}." in str(caught.value)


def test_a_negative_definite_matrix_is_for_minres():
    A = sp.csr_array(-poisson1d(300))
    assert "pass -A and -b, or solver='minres'" in refusal(ValueError, A)
    M = ap.make(A, degree=8)
    assert M.solver == "minres"
    assert "negative definite as far as seen" in M.report.seen
    assert "for cg pass -A and -b" in M.report.seen


@pytest.mark.skipif(SCIPY >= (1, 18), reason="minres takes complex matrices")
def test_refuses_complex_matrices_for_minres():
    with pytest.raises(ValueError, match="solver='minres' must have a real A") as caught:
        ap.make(complex_hermitian(30), solver="minres")
    assert "got complex128. Use solver='gmres'" in str(caught.value)


def test_a_complex_indefinite_matrix_is_for_gmres():
    A = complex_hermitian(100, shift=-1.0)
    M = ap.make(A)
    assert M.solver == "gmres"
    b = np.ones(100, complex)
    x, _ = scipy.sparse.linalg.gmres(A, b, M=M, rtol=1e-8, restart=60, maxiter=20)
    assert np.linalg.norm(b - A @ x) <= 1e-6 * np.linalg.norm(b)


@pytest.mark.parametrize("wrap", [sp.csr_array, np.asarray])
def test_names_an_empty_row(wrap):
    A = poisson1d(20, shift=-1.0).toarray()
    A[7] = A[:, 7] = 0
    with pytest.raises(ValueError, match="must not be structurally singular; got no entry"):
        ap.make(wrap(A), solver="minres")
    with pytest.raises(ValueError, match=r"in row 7 \(1 such rows\)"):
        ap.make(wrap(A), solver="minres")
