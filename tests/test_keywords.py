"""Keywords that do not exist or do not go together; what is said of things unproved."""

import re
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from problems import Product, poisson1d, refusal, sparse_random
from scipy.sparse.linalg import LinearOperator, aslinearoperator

import autospec_precond as ap
from autospec_precond import certificate, probing
from autospec_precond.classical import chebyshev

A5 = poisson1d(5)


@pytest.mark.parametrize(
    ("name", "value", "known"),
    [
        ("precision", "half", "'single', 'mixed', 'double'"),
        ("precision", 32, "'single', 'mixed', 'double'"),
        ("kernel", "gpu", "'reference', 'fused'"),
        ("kernel", ["fused"], "'reference', 'fused'"),
        ("base", "amg", "'none', 'jacobi', 'equilibrate'"),
    ],
)
def test_refuses_an_unknown_word_and_names_the_known(name, value, known):
    text = refusal(ValueError, A5, **{name: value})
    assert f"{name} must be one of {known}; got {value!r}." in text


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("degree", 7, ValueError, r"degree must be even, .*; got 7\. Use 6 or 8\."),
        ("degree", -1, ValueError, "degree must be between 0 and 64; got -1"),
        ("degree", -2, ValueError, "degree must be between 0 and 64; got -2"),
        ("degree", 130, ValueError, "degree must be between 0 and 64; got 130"),
        ("degree", 8.0, TypeError, r"degree must be an int; got 8\.0"),
        ("degree", True, TypeError, "degree must be an int; got True"),
        ("degree", "8", TypeError, "degree must be an int; got '8'"),
        ("n_probe", 1, ValueError, "n_probe must be between 2 and 500; got 1"),
        ("n_probe", 2.0, TypeError, r"n_probe must be an int; got 2\.0"),
        ("n_probe", False, TypeError, "n_probe must be an int; got False"),
        ("rng", -1, TypeError, "rng must be a non-negative int, .*; got -1"),
        ("rng", "seed", TypeError, "rng must be a non-negative int, .*; got 'seed'"),
        (
            "base",
            3,
            TypeError,
            "base must be 'none', 'jacobi', 'equilibrate', an .*; got int",
        ),
        (
            "base",
            np.eye(4),
            ValueError,
            r"base must have the shape of A, \(5, 5\); got",
        ),
        ("engine", 5, TypeError, "engine must be .*; got 5"),
        (
            "polynomial",
            5,
            TypeError,
            "polynomial must be a Polynomial or .*; got int",
        ),
        ("polynomial", {"format": "x"}, TypeError, "polynomial must be .*; got"),
        ("polynomial", "{", ValueError, "polynomial must be"),
        (
            "polynomial",
            '{"format": "autospec_precond.state/1"}',
            ValueError,
            "polynomial must",
        ),
    ],
)
def test_refuses_a_keyword_value(name, value, error, message):
    assert re.search(message, refusal(error, A5, **{name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [("degree", 8), ("degree", 0), ("engine", "classical"), ("n_probe", 5)],
)
@pytest.mark.parametrize("form", ["polynomial", "state", "json"])
def test_a_polynomial_leaves_nothing_to_choose(name, value, form):
    M = ap.make(A5, degree=4)
    polynomial = {"polynomial": M.polynomial, "state": M.state(), "json": None}[form]
    if form == "json":
        polynomial = M.polynomial.to_json()
    message = f"make: {name} must not be given together with polynomial; got {value!r}"
    with pytest.raises(ValueError, match=message):
        ap.make(A5, polynomial=polynomial, **{name: value})


def test_jacobi_needs_a_diagonal():
    message = "base='jacobi' must know the diagonal of A; got an operator without entries"
    with pytest.raises(ValueError, match=message):
        ap.make(Product(A5), base="jacobi")


@pytest.mark.parametrize(
    ("A", "base", "storage"),
    [
        (A5.toarray(), None, "dense"),
        (aslinearoperator(A5), None, "operator"),
        (A5, aslinearoperator(sp.eye_array(5)), "operator"),
    ],
)
def test_fused_needs_a_sparse_matrix(A, base, storage):
    message = f"kernel='fused' needs an explicit sparse A .*; got storage '{storage}'"
    with pytest.raises(ValueError, match=message):
        ap.make(A, base=base, kernel="fused")


@pytest.mark.parametrize("base", ["none", aslinearoperator(sp.eye_array(5))])
def test_a_diagonal_is_not_ignored(base):
    with pytest.raises(ValueError, match=r"make: .*diagonal"):
        ap.make(A5, base=base, diagonal=np.ones(5))


def test_keywords_have_names():
    with pytest.raises(TypeError, match="positional"):
        ap.make(A5, "none")
    with pytest.raises(TypeError, match="degre"):
        ap.make(A5, degre=8)


@pytest.mark.parametrize("sign", [-1.0, 0.0])
def test_a_base_must_be_positive_definite(sign):
    base = LinearOperator((50, 50), matvec=lambda x: sign * x, dtype=float)
    with pytest.raises(ValueError, match=r"make: .*base.* must be"):
        ap.make(poisson1d(50), base=base, degree=4)


def test_growth_beyond_an_estimated_bound_is_said(monkeypatch):
    monkeypatch.setitem(certificate.GROWTH_LIMIT, "double", 0.5)
    A = Product(poisson1d(400))
    with pytest.warns(
        ap.UncertifiedWarning, match="make: the upper bound .* estimate"
    ) as said:
        M = ap.make(A, degree=64)
    assert [warning.filename for warning in said] == [__file__]
    assert "UNPROVED" in str(M.report)
    assert not M.certificate.bound_proved
    assert M.certificate.safe


def test_the_default_degree_never_needs_a_proved_bound():
    M = ap.make(Product(poisson1d(2000)))
    assert M.certificate.bound_proved


def test_growth_beyond_an_estimate_calls_for_the_rigorous_bound(rng, monkeypatch):
    A = sparse_random(400, rng)
    assert not ap.make(A, degree=16).certificate.high_is_rigorous
    monkeypatch.setitem(certificate.GROWTH_LIMIT, "double", 0.5)
    M = ap.make(A, degree=16)
    assert "needs a proved bound" in str(M.report)
    assert M.certificate.high_is_rigorous
    assert M.certificate.bound_proved


def test_an_interval_below_the_spectrum_is_said():
    polynomial = chebyshev(8, 1.0)
    with pytest.warns(ap.UncertifiedWarning, match="reaches above the interval") as said:
        M = ap.make(poisson1d(100), base="none", polynomial=polynomial)
    assert [warning.filename for warning in said] == [__file__]
    assert not M.certificate.high_is_rigorous
    assert M.certificate.self_check > 1


def test_an_interval_above_the_spectrum_is_silent():
    M = ap.make(poisson1d(100), base="none", polynomial=chebyshev(8, 4.0))
    assert M.certificate.self_check <= 1
    assert "the spectrum was not probed" in str(M.report)


def test_the_state_of_another_matrix_proves_nothing():
    # A bound that was rigorous for A is none for 10 A.
    state = ap.make(poisson1d(100), base="none", degree=8).state()
    with pytest.warns(ap.UncertifiedWarning, match="reaches above"):
        M = ap.make(10.0 * poisson1d(100), polynomial=state)
    assert not M.certificate.high_is_rigorous


@pytest.mark.parametrize("wrap", [Product, lambda A: A], ids=["operator", "matrix"])
def test_a_self_check_that_never_passes_ends(wrap, monkeypatch):
    real = probing.self_check

    def failing(*args, **keywords):
        _, bound = real(*args, **keywords)
        return 2.0, bound

    monkeypatch.setattr(probing, "self_check", failing)
    monkeypatch.setattr(probing, "bound_near", lambda S, high: (100.0, 4))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        M = ap.make(wrap(poisson1d(100)), base="none", degree=8)
    assert M.certificate.safe
    if wrap is Product:
        assert [w.filename for w in said if w.category is ap.UncertifiedWarning] == [
            __file__
        ]
        assert not M.certificate.high_is_rigorous
    else:
        assert M.certificate.high_is_rigorous
        assert M.polynomial.interval[1] == 100.0


def test_a_polynomial_that_cannot_be_certified_becomes_the_base(monkeypatch):
    monkeypatch.setattr(certificate, "_is_positive", lambda c: len(c) == 1)
    with pytest.warns(ap.UncertifiedWarning, match="make: .* can be certified") as said:
        M = ap.make(poisson1d(400), degree=4, engine="classical", precision="single")
    assert [warning.filename for warning in said] == [__file__]
    assert M.degree == 0
    assert M.certificate.safe
