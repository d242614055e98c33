"""Polynomials by roots: identity with products of factors, on every storage."""

import itertools
import json

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from problems import tolerance

from autospec_precond import bases
from autospec_precond.kernels import layout
from autospec_precond.linop import core
from autospec_precond.roots import RootPolynomial, leja, with_added_roots


def some_roots(rng, n_real, n_pairs, is_real=True):
    pairs = rng.uniform(0.5, 2, n_pairs) + 1j * rng.uniform(0.1, 1, n_pairs)
    roots = np.concatenate([rng.uniform(0.5, 2, n_real), pairs, pairs.conj()])
    return roots if is_real else roots * np.exp(1j * rng.uniform(0, 1, roots.size))


def operator(n, kind, rng):
    if kind == "dense":
        A = rng.standard_normal((n, n)) / np.sqrt(n)
        return A + 1.5 * np.eye(n)
    offsets = [-7, -1, 0, 1, 5] if kind == "dia" else [-1, 0]
    A = sp.diags_array(
        [rng.uniform(-0.3, 0.3, n - abs(k)) for k in offsets], offsets=offsets
    )
    if kind != "dia":
        A = A + sp.random_array((n, n), density=4 / n, rng=rng)
    return sp.csr_array(A + sp.eye_array(n))


@pytest.mark.parametrize("precision", ["single", "mixed", "double"])
@pytest.mark.parametrize("kind", ["dense", "dia", "csr", "sell"])
@pytest.mark.parametrize("is_complex", [False, True])
def test_kernels_apply_products_of_factors(kind, precision, is_complex, rng):
    n = 131
    A = operator(n, kind, rng)
    if is_complex:
        A = A * np.exp(0.3j)
    dtype = np.dtype(A.dtype)
    based = bases.Based("none", A, A, None, None, None, dtype)
    storage = None if kind == "dense" else kind
    stored = layout.store(based, dtype, precision, storage)
    assert stored.kind == kind
    dense = A if kind == "dense" else A.toarray()
    vectors = layout.vector_dtype(dtype, precision)
    coarse = np.float64 if precision == "double" else np.float32
    kernel = "reference" if kind == "dense" else "fused"
    for n_real, n_pairs in itertools.product(range(4), range(4)):
        if n_real + n_pairs == 0:
            continue
        roots = leja(some_roots(rng, n_real, n_pairs, not is_complex), not is_complex)
        for p in {RootPolynomial(tuple(roots)), RootPolynomial(tuple(roots[::-1]))}:
            for shape, n_threads in (((n,), 1), ((n, 3), 2)):
                x = rng.standard_normal(shape).astype(vectors)
                x = np.asfortranarray(x) if kind in ("dia", "sell") else x
                work = np.full_like(x, np.nan), np.full_like(x, np.nan)
                given = np.asfortranarray(stored.arranged(x)) if kind == "sell" else x
                threads = 1 if kind == "dense" else n_threads
                y = core(stored, p, kernel, threads)(given, work)
                y = stored.restored(y) / stored.unit
                expected, size = np.zeros(shape, complex), 0.0
                product = x.astype(complex)
                for root in p.roots:
                    expected += product / root
                    size += np.linalg.norm(product / root)
                    product = product - dense @ product / root
                assert y.dtype == vectors
                error = np.linalg.norm(y - expected)
                assert error <= 10 * tolerance(max(p.degree, 1), coarse) * size


def test_a_real_polynomial_takes_as_many_products_as_degrees(rng):
    for n_real, n_pairs in itertools.product(range(4), range(4)):
        if n_real + n_pairs:
            roots = leja(some_roots(rng, n_real, n_pairs), True)
            p = RootPolynomial(tuple(roots))
            assert p.is_real
            assert p.factors().shape == (n_real + 2 * n_pairs - 1, 4)
            assert p.factors().dtype == np.float64


@given(
    st.lists(
        st.complex_numbers(min_magnitude=1e-3, max_magnitude=1e3), min_size=1, max_size=9
    )
)
def test_the_residual_polynomial_is_one_at_zero_and_zero_at_roots(roots):
    p = RootPolynomial(tuple(roots))
    assert p.residual(0.0) == 1
    others = 1 + np.abs(np.divide.outer(roots, roots))
    assert (np.abs(p.residual(np.array(roots))) <= 1e-15 * others.prod(axis=1)).all()
    assert RootPolynomial.from_dict(json.loads(p.to_json())) == p


def test_leja_keeps_pairs_together_and_loses_none(rng):
    roots = some_roots(rng, 5, 4)
    ordered = leja(rng.permutation(roots), is_real=True)
    assert np.allclose(np.sort_complex(ordered), np.sort_complex(roots), atol=0)
    assert RootPolynomial(tuple(ordered), is_real=True).is_real
    assert np.abs(ordered[0]) == pytest.approx(np.abs(roots).max())


def test_copies_of_a_root_come_last(rng):
    ordered = leja([1.0, 1.0, 1.0, 2.0, 3.0])
    assert np.array_equal(np.sort(ordered.real[:3]), [1, 2, 3])


def test_roots_far_out_are_repeated():
    # |1 - 1e3/0.1| to the power of many roots: more digits than a float has.
    roots = np.concatenate([np.linspace(0.1, 1, 12), [1e3]])
    added = with_added_roots(roots, is_real=True)
    assert (added == 1e3).sum() > 1
    assert added.size == roots.size + (added == 1e3).sum() - 1
    assert np.array_equal(np.sort(with_added_roots(roots[:-1]).real), roots[:-1])


def test_added_roots_save_an_application_from_rounding(rng):
    # The vector along the far eigenvalue grows by all other factors before its own.
    eigenvalues = np.concatenate([np.linspace(0.1, 1, 60), [1e3]])
    roots = np.concatenate([np.linspace(0.1, 1, 12), [1e3]])
    S = np.diag(eigenvalues)
    stored = layout.Stored("dense", S)
    x = np.ones(61)
    errors = []
    for ordered in (np.sort(roots), with_added_roots(roots, True)):
        p = RootPolynomial(tuple(ordered))
        y = core(stored, p, "reference")(x, (np.empty(61), np.empty(61)))
        exact = (1 - p.residual(eigenvalues).real) / eigenvalues
        errors.append(np.abs(y - exact).max() / np.abs(exact).max())
    assert errors[1] < 1e-9 < errors[0]


@pytest.mark.parametrize("roots", [(), (0.0,), (1.0, np.nan), (np.inf,)])
def test_bad_roots(roots):
    with pytest.raises(ValueError, match="RootPolynomial: roots must be finite, not zero"):
        RootPolynomial(roots)


def test_a_real_polynomial_needs_pairs():
    with pytest.raises(ValueError, match="must stand beside their conjugates"):
        RootPolynomial((1 + 1j, 2.0, 1 - 1j), is_real=True)
    assert not RootPolynomial((1 + 1j, 2.0, 1 - 1j)).is_real
