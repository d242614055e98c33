"""The polynomial is what its roots say, φ(0) = 1, and JSON gives it back."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial import polynomial as powers

from autospec_precond import Polynomial
from autospec_precond.classical import chebyshev, chebyshev_roots


def product(roots, x):
    """Evaluate Π (1 - x/r)."""
    return np.prod(1 - np.asarray(x)[:, None] / np.asarray(roots), axis=1)


@given(
    roots=st.lists(st.floats(0.02, 1.5), min_size=1, max_size=17),
    high=st.sampled_from([1e-8, 1.0, 3e5]),
)
def test_from_roots_is_the_product(roots, high):
    p = Polynomial.from_roots(high * np.array(roots), (0.01 * high, high))
    x = np.linspace(0, 1, 101)
    expected = product(roots, x)
    assert p.degree == len(roots) - 1
    scale = np.abs(product(roots, np.linspace(0, 1, 1001))).max() + 1
    # p(0) is the sum of 1/r, and may be far above what x p(x) shows at large x.
    allowed = 1e-13 * (scale + sum(1 / r for r in roots))
    assert np.abs(p.residual(high * x) - expected).max() <= 100 * allowed


@pytest.mark.parametrize("degree", [0, 1, 2, 8, 40])
def test_roots_are_zeros_in_any_order(degree, rng):
    roots = chebyshev_roots(degree, 0.1, 2.0)
    p = Polynomial.from_roots(roots, (0.1, 2.0))
    assert np.abs(p.residual(roots)).max() <= 1e-12
    shuffled = Polynomial.from_roots(rng.permutation(roots), (0.1, 2.0))
    assert shuffled == p


@pytest.mark.parametrize("degree", [0, 1, 4, 17])
def test_residual_is_one_at_zero(degree, rng):
    p = Polynomial((0.5, 2.0), rng.standard_normal(degree + 1))
    assert p.residual(0.0) == 1.0
    x = np.linspace(-1, 3, 7)
    assert np.allclose(p.residual(x), 1 - x * p(x), rtol=0, atol=1e-12)


def test_coefficients_are_of_chebyshev_on_zero_to_high(rng):
    c = rng.standard_normal(6)
    p = Polynomial((0.5, 8.0), c)
    x = rng.uniform(0, 8, 20)
    t = x / 4 - 1
    assert np.allclose(p(x), c @ np.cos(np.outer(np.arange(6), np.arccos(t))))
    alpha, beta = p.affine
    assert (alpha * p.domain[0] + beta, alpha * p.domain[1] + beta) == (-1.0, 1.0)


def test_evaluates_any_shape(rng):
    p = chebyshev(4, 1.0)
    x = rng.random((2, 3))
    assert p(x).shape == p.residual(x).shape == (2, 3)
    assert p(x)[1, 2] == p(x[1, 2]) == p(x.tolist())[1, 2]


@pytest.mark.parametrize("degree", [1, 2, 9, 16])
@pytest.mark.parametrize("low", [1e-3, 0.2])
def test_chebyshev_is_the_least_maximum(degree, low):
    p = chebyshev(degree, 1.0, low)
    x = np.linspace(low, 1.0, 5001)
    residual = p.residual(x)
    bound = 1 / np.cosh((degree + 1) * np.arccosh((1 + low) / (1 - low)))
    assert np.abs(residual).max() == pytest.approx(bound, rel=1e-6)
    # The maximum is met with alternating signs degree + 2 times.
    peaks = residual[np.abs(residual) > 0.9 * bound]
    assert np.count_nonzero(np.diff(np.sign(peaks))) == degree + 1


def test_chebyshev_takes_a_thirtieth_by_default():
    assert chebyshev(4, 3.0).interval == (0.1, 3.0)
    assert chebyshev(4, 3.0) == chebyshev(4, 3.0, 0.1)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.float64, np.complex128])
def test_rounded_holds_what_the_type_can(dtype, rng):
    p = Polynomial((0.1, 1 / 3), rng.standard_normal(9))
    rounded = p.rounded(dtype)
    real = np.empty(0, dtype).real.dtype
    assert rounded.interval == p.interval
    assert np.array_equal(rounded.coefficients, np.array(p.coefficients).astype(real))
    assert (rounded == p) == (real == np.float64)
    assert rounded.rounded(dtype) == rounded


@pytest.mark.parametrize("degree", [0, 4, 33])
def test_json_gives_the_same_bits(degree, rng):
    p = Polynomial((0.1, 10 / 3), rng.standard_normal(degree + 1) * 1e-30)
    text = p.to_json()
    assert json.loads(text)["format"] == "autospec_precond.polynomial/1"
    assert Polynomial.from_json(text) == p
    assert Polynomial.from_dict(p.to_dict()) == p
    assert hash(Polynomial.from_json(text)) == hash(p)


def test_takes_any_sequence_of_numbers():
    p = Polynomial(np.array([1, 2]), np.array([1, 2], dtype=np.float32))
    assert p == Polynomial((1.0, 2.0), (1.0, 2.0))
    assert all(type(c) is float for c in (*p.interval, *p.coefficients))


@pytest.mark.parametrize(
    ("interval", "coefficients", "message"),
    [
        ((0.0, 1.0), (1.0,), r"interval must .*; got"),
        ((2.0, 1.0), (1.0,), r"interval must .*; got"),
        ((-1.0, 1.0), (1.0,), r"interval must .*; got"),
        ((1.0, np.inf), (1.0,), r"interval must .*; got"),
        ((np.nan, 1.0), (1.0,), r"interval must .*; got"),
        ((1.0, 2.0), (), r"coefficients must .*; got"),
        ((1.0, 2.0), (1.0, np.nan), r"coefficients must .*; got"),
        ((1.0, 2.0), (np.inf,), r"coefficients must .*; got"),
    ],
)
def test_says_what_is_wrong(interval, coefficients, message):
    with pytest.raises(ValueError, match=f"^Polynomial: {message}"):
        Polynomial(interval, coefficients)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({"format": "autospec_precond.polynomial/2"}, "'autospec_precond.polynomial/2'"),
        ({}, "None"),
        ([1.0], "'list'"),
    ],
)
def test_says_what_is_no_polynomial(data, found):
    message = (
        f"Polynomial: data must have format 'autospec_precond.polynomial/1'; got {found}"
    )
    with pytest.raises(ValueError, match=message):
        Polynomial.from_dict(data)
    with pytest.raises(ValueError, match=message):
        Polynomial.from_json(json.dumps(data))


def test_agrees_with_powers():
    # φ = (1 - x)(1 - x/2)(1 - x/4), so p = 7/4 - 7/8 x + x²/8.
    p = Polynomial.from_roots([1.0, 2.0, 4.0], (1.0, 4.0))
    x = np.linspace(-1, 5, 13)
    assert np.allclose(p(x), powers.polyval(x, [7 / 4, -7 / 8, 1 / 8]), rtol=1e-13)
