"""The self-check of large matrices: Lanczos steps with the matrix as it is stored."""

import numpy as np
import pytest
import scipy.sparse as sp
from problems import poisson1d, poisson2d

import autospec_precond as ap
from autospec_precond import kernels, probing
from autospec_precond.classical import chebyshev
from autospec_precond.kernels import layout, scaled
from autospec_precond.kernels.stored_steps import StoredProduct

KINDS = ["csr", "dia", "sell", "fields"]


def system(n_nodes):
    """Two unknowns per node, coupled to those of other nodes than their own ones."""
    coupled = sp.diags_array([-0.2, -0.2], offsets=[-8, 8], shape=(n_nodes, n_nodes))
    T = 0.5 * poisson1d(n_nodes) + sp.eye_array(n_nodes)
    return sp.csr_array(
        sp.kron(T, sp.eye_array(2)) + sp.kron(coupled, np.array([[0, 1], [1, 0]]))
    )


def made(kind, rng, monkeypatch, **given):
    monkeypatch.setattr(scaled, "LARGE", 1)
    return ap.make(system(4500), storage=kind, **given)


@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_those_of_lanczos(kind, rng, monkeypatch):
    A = system(4500)
    n = A.shape[0]
    stored = made(kind, rng, monkeypatch, degree=4, precision="double")._parts.stored
    scale = 1 / np.sqrt(A.diagonal())
    S = sp.csr_array(A * scale[:, None] * scale)
    start = rng.standard_normal(n)
    plain = probing.lanczos(lambda x: S @ x, start, 6)
    _, kernel = kernels.select(kind)
    found = []
    for n_threads in (1, 2, 3):
        quick = scaled.Scaled(A, scale, n_threads)
        product = StoredProduct(stored, kernel, quick, n_threads)
        inside = stored.arranged(start)
        assert np.allclose(stored.restored(product(inside)), S @ start, rtol=0, atol=1e-12)
        found.append(probing.lanczos(product, inside, 6))
    for alpha, beta, v in found:
        assert np.allclose(alpha, plain[0], rtol=1e-10)
        assert np.allclose(beta, plain[1], rtol=1e-10)
        assert np.allclose(stored.restored(v), plain[2], rtol=0, atol=1e-9)
        assert (alpha, beta) == found[0][:2]
        assert np.array_equal(v, found[0][2])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", ["single", "mixed", "double"])
def test_the_figure_is_that_of_small_matrices(kind, precision, rng, monkeypatch):
    polynomial = chebyshev(8, 2.4)
    given = {"polynomial": polynomial, "storage": kind, "precision": precision}
    A = system(4500)
    plain = ap.make(A, **given).certificate.self_check
    large = made(kind, rng, monkeypatch, polynomial=polynomial, precision=precision)
    assert plain is not None
    assert large.certificate.self_check == pytest.approx(plain, rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_entries_of_another_size(kind, monkeypatch):
    A = 1000.0 * system(4500)
    given = {"polynomial": chebyshev(8, 3500.0), "storage": kind, "base": "none"}
    plain = ap.make(A, **given).certificate.self_check
    monkeypatch.setattr(scaled, "LARGE", 1)
    large = ap.make(A, **given)
    assert large._parts.stored.unit > 2
    assert large.certificate.self_check == pytest.approx(plain, rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_sees_a_bound_that_is_too_low(kind, rng, monkeypatch):
    # The spectrum ends above 1.2: this polynomial is let through with a warning.
    with pytest.warns(ap.UncertifiedWarning):
        M = made(kind, rng, monkeypatch, polynomial=chebyshev(8, 1.2))
    assert M.certificate.self_check > 1


def test_of_five_points_as_well(rng, monkeypatch):
    monkeypatch.setattr(scaled, "LARGE", 1)
    polynomial = chebyshev(16, 1.98)
    figures = {
        ap.make(poisson2d(40), polynomial=polynomial, n_threads=k).certificate.self_check
        for k in (1, 2)
    }
    assert len(figures) == 1
    assert layout.STORAGES == ("csr", "dia", "sell", "fields")
