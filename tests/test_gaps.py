"""Gaps in the spectrum, from the matrix to the solve."""

import json
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import cg

import autospec_precond as ap
from autospec_precond import checkpoint
from autospec_precond.choice import Chooser
from autospec_precond.polynomial import Polynomial


def clustered(n=900, stray=None, share=0.001):
    """Return a diagonal matrix with a third of the eigenvalues 50 times smaller.

    A share of them, one at least, may be put elsewhere.
    """
    rng = np.random.default_rng(4)
    eigenvalues = np.r_[rng.uniform(0.01, 0.013, n // 3), rng.uniform(0.7, 1, n - n // 3)]
    if stray is not None:
        eigenvalues[: max(1, int(share * n))] = stray
    return sp.csr_array(sp.diags_array(np.sort(eigenvalues)))


def products(A, M):
    count = 0

    def one(_):
        nonlocal count
        count += 1

    b = np.random.default_rng(1).standard_normal(A.shape[0])
    x, info = cg(A, b, M=M, rtol=1e-8, callback=one)
    assert info == 0
    assert np.linalg.norm(b - A @ x) <= 1e-7 * np.linalg.norm(b)
    return count * (M.degree + 1)


@pytest.mark.parametrize("precision", ["single", "mixed", "double"])
def test_a_gap_is_used_and_saves_products(precision):
    A = clustered()
    M = ap.make(A, base="none", degree=16, precision=precision)
    assert M.polynomial.gaps
    assert M.certificate.safe
    assert M.certificate.self_check <= 1
    plain = checkpoint.load().predict(M.probe, 16)[-1]
    whole = ap.make(A, base="none", polynomial=plain, precision=precision)
    assert products(A, M) <= 0.8 * products(A, whole)


def test_no_eigenvalue_that_the_probe_has_seen_lies_in_a_gap():
    A = clustered(stray=0.3)
    M = ap.make(A, base="none", degree=16)
    assert not any(left < 0.3 < right for left, right in M.polynomial.gaps)
    products(A, M)


def test_a_gap_that_fails_the_self_check_is_given_up(monkeypatch):
    asked = []

    def alarm(self, polynomial, start):
        asked.append(polynomial.gaps)
        return (2.0 if polynomial.gaps else 0.9), 1.2 * polynomial.interval[1]

    monkeypatch.setattr(Chooser, "_self_check", alarm)
    M = ap.make(clustered(), base="none", degree=16)
    # The bound is proved here, so that the single interval needs no check.
    assert len(asked) == 1
    assert asked[0]
    assert M.polynomial.gaps == ()
    assert any("gap of the spectrum was not empty" in note for note in M.report.notes)
    assert M.certificate.safe


def test_a_given_polynomial_whose_gap_is_not_empty_is_warned_of():
    state = ap.make(clustered(), base="none", degree=16).state()
    assert state["polynomial"]["gaps"]
    with pytest.warns(ap.UncertifiedWarning, match="or into a gap"):
        ap.make(clustered(stray=0.3, share=0.1), polynomial=state, base="none")


def test_report_state_and_pickle_keep_the_gap():
    A = clustered()
    M = ap.make(A, base="none", degree=16)
    assert "without gaps (up to" in str(M.report)
    assert M.certificate.gap_max > 10 > M.certificate.q_max
    again = ap.make(A, polynomial=json.dumps(M.state()))
    assert again.polynomial == M.polynomial == pickle.loads(pickle.dumps(M)).polynomial
    assert Polynomial.from_json(M.polynomial.to_json()) == M.polynomial


def test_intervals_leave_the_gaps_out():
    p = Polynomial((1.0, 9.0), (1.0, 0.5), gaps=((2, 3), (5, 8)))
    assert p.intervals == ((1.0, 2.0), (3.0, 5.0), (8.0, 9.0))
    assert Polynomial((1.0, 9.0), (1.0, 0.5)).intervals == ((1.0, 9.0),)
    assert p.rounded(np.float32).gaps == p.gaps


@pytest.mark.parametrize(
    "gaps", [((0.5, 2),), ((2, 1.5),), ((2, 3), (3, 4)), ((4, 9.5),), ((2, np.nan),)]
)
def test_gaps_that_do_not_fit(gaps):
    with pytest.raises(ValueError, match="gaps must be ascending, apart and inside"):
        Polynomial((1.0, 9.0), (1.0, 0.5), gaps=gaps)


def test_a_polynomial_of_the_former_format_has_no_gaps():
    data = Polynomial((1.0, 9.0), (1.0, 0.5)).to_dict()
    del data["gaps"]
    assert Polynomial.from_dict(data).gaps == ()
