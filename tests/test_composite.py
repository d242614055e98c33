"""Composite polynomials: their roots, and M of large general matrices."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import gmres

import autospec_precond as ap
from autospec_precond.composite import composite
from autospec_precond.roots import RootPolynomial

PAIRS = (0.3 + 0.4j, 0.3 - 0.4j, 1.7 + 0.1j, 1.7 - 0.1j)
REAL = (*PAIRS, 0.05, 0.9, 1.9)


def convection(n_side, wind):
    """Return convection-diffusion on a square, upwind in x; wind in units of a row."""
    line = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n_side, n_side))
    along = sp.diags_array([-wind, wind], offsets=[-1, 0], shape=(n_side, n_side))
    unit = sp.eye_array(n_side)
    return sp.csr_array(sp.kron(unit, line + along) + sp.kron(line, unit))


@pytest.mark.parametrize(
    ("inner", "outer", "is_real"),
    [
        (REAL, (0.2, 0.9 + 0.3j, 0.9 - 0.3j, 1.4), True),
        ((0.2 + 0.1j, 1.0, 1.8 - 0.3j), (0.3j + 0.5, 1.1), False),
    ],
    ids=["real", "complex"],
)
def test_residual_is_that_of_one_in_the_other(inner, outer, is_real):
    roots = composite(inner, outer, is_real)
    p = RootPolynomial(tuple(roots), is_real)
    assert p.degree == len(inner) * len(outer) - 1
    z = np.linspace(0, 2, 41) + 0.1j
    value = np.ones(z.shape, complex)
    for r in outer:
        value *= 1 - (1 - RootPolynomial(inner).residual(z)) / r
    np.testing.assert_allclose(p.residual(z), value, rtol=1e-8, atol=1e-12)


def test_composite_of_roots_without_solutions_is_none():
    # φ1(0) = 1: a root of φ2 at zero asks for a root of the composite there.
    assert composite(REAL, (1e-14, 1.0), True) is None
    assert composite(REAL, (np.nan, 1.0), True) is None


def test_large_matrix_gets_a_composite():
    A = convection(145, 0.2)
    b = np.random.default_rng(1).standard_normal(A.shape[0])
    M = ap.make(A, assume_a="gen")
    assert M.degree > 500
    assert any("composite" in note for note in M.report.notes)
    x, info = gmres(A, b, M=M, rtol=1e-8, restart=30, maxiter=2)
    assert info == 0
    assert np.linalg.norm(b - A @ x) <= 1.01e-8 * np.linalg.norm(b)
    again = ap.make(A, assume_a="gen")
    np.testing.assert_array_equal(again @ b, M @ b)


def test_large_complex_matrix_gets_a_composite():
    A = convection(145, 0.2) + 0.05j * sp.eye_array(145**2)
    b = np.random.default_rng(1).standard_normal(A.shape[0]) + 0j
    M = ap.make(A, assume_a="gen")
    assert M.degree > 500
    x, info = gmres(A, b, M=M, rtol=1e-8, restart=30, maxiter=2)
    assert info == 0
    assert np.linalg.norm(b - A @ x) <= 1.01e-8 * np.linalg.norm(b)


def test_small_or_asked_for_is_no_composite():
    A = convection(145, 0.2)
    assert ap.make(A, assume_a="gen", degree=16).degree == 16
    assert ap.make(A, assume_a="gen", solver="bicgstab").degree < 100
    assert ap.make(convection(100, 0.2), assume_a="gen").degree < 100
