"""What the certificate says is true, and what it refuses would have done harm."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial import chebyshev as basis
from predictions import count_failures
from problems import poisson1d, refusal

import autospec_precond as ap
from autospec_precond import positivity
from autospec_precond.certificate import certify
from autospec_precond.classical import chebyshev
from autospec_precond.positivity import count_real_roots, is_positive

MOST = 12  # roots below are whole numbers up to this, over 8


def series(*factors):
    """Multiply polynomials in t with integer coefficients; return the Chebyshev series.

    Exactly: every number on the way is a fraction of two powers, and a float in the end.
    """
    result = [Fraction(1)]
    for factor in factors:
        power, total = result, [Fraction(0)] * (len(result) + len(factor) - 1)
        for c in factor:
            for k, value in enumerate(power):
                total[k] += c * value
            power = _times_t(power)
        result = total
    floats = [float(c) for c in result]
    assert [Fraction(c) for c in floats] == result
    return floats


def _times_t(c):
    result = [Fraction(0)] * (len(c) + 1)
    for k, value in enumerate(c):
        result[k + 1] += value if k == 0 else value / 2
        if k:
            result[k - 1] += value / 2
    return result


@given(
    roots=st.dictionaries(st.integers(-MOST, MOST), st.integers(1, 3), max_size=3),
    pairs=st.lists(st.tuples(st.integers(-MOST, MOST), st.integers(1, MOST)), max_size=2),
    sign=st.sampled_from([-1, 1]),
)
def test_real_roots_are_counted_exactly(roots, pairs, sign):
    real = [[-root, 8] for root, times in roots.items() for _ in range(times)]
    complex_pairs = [[a * a + b * b, -16 * a, 64] for a, b in pairs]
    coefficients = series([sign], *real[:6], *complex_pairs)
    assert count_real_roots(coefficients) == len({root for root, _ in real[:6]})
    assert is_positive(coefficients) == (sign > 0 and not roots)


@pytest.mark.parametrize(
    ("coefficients", "positive"),
    [
        ([1.0], True),
        ([-1.0], False),
        ([0.0], False),
        ([0.0, 0.0, 0.0], False),
        ([2.0, 0.0, 0.0], True),
        ([2.0, 1.0], False),
        ([2.0, 1.0, 0.0], False),
        ([1.0, 0.0, 1.0], False),  # 2 t²
        ([1.0 + 2**-52, 0.0, 1.0], True),
        ([1.0 - 2**-53, 0.0, 1.0], False),
        ([2.0, 0.0, 1e-300], True),
        ([2.0, 0.0, -1e-300], False),
    ],
)
def test_positivity_knows_no_rounding(coefficients, positive):
    assert is_positive(coefficients) is positive


@given(
    degree=st.integers(1, 16).map(lambda half: 2 * half),
    least=st.floats(-6, 0),
    sign=st.sampled_from([-1, 1]),
    seed=st.integers(0, 2**32 - 1),
)
def test_taylor_and_grid_never_contradict_sturm(degree, least, sign, seed):
    rng = np.random.default_rng(seed)
    c = rng.standard_normal(degree + 1) / (1 + np.arange(degree + 1)) ** rng.integers(3)
    c[-1] = abs(c[-1])
    t = np.linspace(-1, 1, 2001)
    values = basis.chebval(t, c)
    c[0] += sign * 10**least * np.ptp(values) - values.min()
    powers = positivity._powers(c)
    fast = positivity._decide(c, powers)
    exact = powers[0] > 0 and positivity._distinct_real_roots(powers) == 0
    assert fast in (None, exact)


@pytest.mark.parametrize("degree", [2, 8, 16, 32, 64])
@pytest.mark.parametrize("ratio", [1e-3, 1e-4, 1e-5])
def test_what_the_engine_makes_is_proved_without_sturm(monkeypatch, degree, ratio):
    monkeypatch.setattr(positivity, "_distinct_real_roots", lambda p: 1)
    assert is_positive(chebyshev(degree, 1.0, low=ratio).coefficients)


@pytest.mark.parametrize("beyond", [1e-3, 0.1, 0.6, 9.0])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_root_outside_the_interval_is_seen(beyond, side):
    """The factors are (t - 1 - beyond)² and, higher, that less a little."""
    root = 1 + beyond
    for lowered, positive in ((0.0, False), (-1e-9, True), (1e-9, False)):
        square = np.array([root**2 - lowered, -2 * side * root, 1.0])
        c = basis.poly2cheb(np.polynomial.polynomial.polymul(square, [1.3, 0.0, 1.0]))
        assert is_positive(c) is positive or lowered == 0.0


@pytest.mark.parametrize("scale", [2e-323, 1e-250, 1e250, 1.1e308])
def test_the_scale_does_not_matter(scale):
    assert is_positive(np.array([1.0, 0.0, 0.5]) * scale)
    assert not is_positive(np.array([1.0, 0.0, 1.5]) * scale)


def test_rounding_below_the_normal_numbers_is_not_trusted():
    """Multiples of the least positive number: a grid finds negative values here."""
    c = np.array([28, 0, -3, -2, -6, -6, -6, -4, 4, 2, 5, 0, 1, 6, 4.0])
    assert is_positive(c)
    assert is_positive(c * 5e-324)


def planted(degree, high, roots):
    """Multiply a positive polynomial by factors (λ - root), positive at high/3."""
    base = chebyshev(degree - len(roots), high)
    t = np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
    x = 0.5 * high * (1 + t)
    values = base(x) * np.prod([(x - root) / high for root in roots], axis=0)
    sign = np.sign(np.prod([high / 3 - root for root in roots]))
    return ap.Polynomial(base.interval, basis.chebfit(t, sign * values, degree))


HIGH = 4.0
PLANTED = {
    "inside": (0.5, 0.52),
    "inside, leading coefficient negative": (0.5, 3.0),
    "above": (1.3, 1.35),
    "above, far apart": (1.3, 7.0),
    "just above": (1.0001, 1.0002),
    "below": (-1e-7, -2e-7),
    "below, leading coefficient negative": (-1e-7, 3.0),
    "below and above": (-1e-7, -0.5),
    "double": (0.5, 0.5),
    "double elsewhere": (0.3137, 0.3137),
    "double at zero": (0.0, 0.0),
    "double pair": (0.3137, 0.3137, 0.71, 0.71),
}


@pytest.mark.parametrize("degree", [4, 8, 16])
@pytest.mark.parametrize("precision", ["single", "mixed", "double"])
@pytest.mark.parametrize("roots", PLANTED.values(), ids=PLANTED)
def test_planted_bad_polynomials_are_refused(roots, precision, degree):
    polynomial = planted(degree, HIGH, HIGH * np.array(roots))
    assert polynomial.degree == degree
    keywords = {"base": "none", "polynomial": polynomial, "precision": precision}
    text = refusal(ValueError, poisson1d(50), **keywords)
    assert "must be positive on the real line with a margin over rounding" in text
    assert f"got one of degree {degree} where" in text


def test_the_same_without_a_planted_root_is_taken():
    polynomial = planted(8, HIGH, [])
    assert ap.make(poisson1d(50), base="none", polynomial=polynomial).degree == 8


@pytest.mark.parametrize(
    "polynomial",
    [
        chebyshev(7, HIGH),
        chebyshev(1, HIGH),
        ap.Polynomial((0.1, HIGH), -np.array(chebyshev(8, HIGH).coefficients)),
        ap.Polynomial((0.1, HIGH), (0.0,)),
        ap.Polynomial((0.1, HIGH), (2.0, 0.0, -1e-12)),
    ],
    ids=["odd", "linear", "negative", "zero", "negative_leading"],
)
def test_other_bad_polynomials_are_refused(polynomial):
    text = refusal(ValueError, poisson1d(50), base="none", polynomial=polynomial)
    certificate = certify(polynomial)
    assert not certificate.safe
    # An odd degree has a sentence of its own.
    reason = "degree must be even" if polynomial.degree % 2 else certificate.reason()
    assert reason in text


def test_a_small_margin_is_refused_in_words():
    # t² + 1e-9: positive, but float32 could not tell it from zero.
    polynomial = ap.Polynomial((0.1, HIGH), (0.5 + 1e-9, 0.0, 0.5))
    assert certify(polynomial).safe
    certificate = certify(polynomial, dtype=np.float32)
    assert not certificate.safe
    text = refusal(
        ValueError, poisson1d(50), base="none", polynomial=polynomial, precision="single"
    )
    assert certificate.reason() in text


@pytest.mark.parametrize("degree", [2, 8, 16, 40, 64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_classical_polynomials_are_safe(degree, dtype):
    certificate = certify(chebyshev(degree, 3.0), dtype=dtype)
    assert certificate.safe
    assert certificate.reason() == ""


@pytest.mark.parametrize("precision", ["single", "double"])
def test_a_high_degree_is_repaired(precision):
    # The last coefficients of the first choice are smaller than rounding.
    keywords = {"engine": "classical", "precision": precision}
    M = ap.make(poisson1d(50), base="none", degree=64, **keywords)
    assert M.degree == 64
    assert M.certificate.safe


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64])
def test_judges_the_coefficients_that_run(dtype):
    p = chebyshev(8, 1.0)
    certificate = certify(p, dtype=dtype)
    assert certificate == certify(p.rounded(dtype), dtype=dtype)
    assert (certificate.q_min == certify(p).q_min) == (dtype is np.float64)


def test_rounding_to_float32_may_cost_positivity():
    # t² - 2 r t + r² and a bit: rounded, some of them reach zero.
    verdicts = {np.float32: [], np.float64: []}
    for r in np.linspace(-1, 1, 50):
        p = ap.Polynomial((0.1, 1.0), (0.5 + r * r + 1e-9, -2 * r, 0.5))
        for dtype, found in verdicts.items():
            found.append(certify(p, dtype=dtype).safe)
    assert all(verdicts[np.float64])
    assert not all(verdicts[np.float32])


@pytest.mark.parametrize("degree", [0, 2, 8, 16, 32])
@pytest.mark.parametrize("low", [1e-4, 0.03, 0.5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_figures_agree_with_dense_sampling(degree, low, dtype):
    p = chebyshev(degree, 3.0, 3.0 * low)
    certificate = certify(p, dtype=dtype)
    executed = p.rounded(dtype)
    whole, inside = np.linspace(0, 3, 20_001), np.linspace(3 * low, 3, 20_001)
    values, q = executed(whole), inside * executed(inside)
    assert certificate.margin == pytest.approx(values.min() / values.max(), rel=0.05)
    assert certificate.q_min == pytest.approx(q.min(), abs=0.01 * np.ptp(q) + 1e-6)
    assert certificate.q_max == pytest.approx(q.max(), abs=0.01 * np.ptp(q) + 1e-6)
    assert (certificate.low, certificate.high) == p.interval
    for figure, edge in zip(certificate.growth, (1.01, 1.02, 1.05, 1.25), strict=True):
        beyond = np.linspace(3, 3 * edge, 2001)
        assert figure == pytest.approx(np.abs(beyond * executed(beyond)).max(), rel=0.02)


@pytest.mark.parametrize(
    ("degree", "dtype", "rigorous", "proved"),
    [
        (16, np.float64, False, True),
        (40, np.float64, False, False),
        (40, np.float64, True, True),
        (24, np.float64, False, True),
        (24, np.float32, False, False),
    ],
)
def test_growth_beyond_an_estimate_limits_the_degree(degree, dtype, rigorous, proved):
    p = chebyshev(degree, 1.0, 1e-3)
    certificate = certify(p, dtype=dtype, high_is_rigorous=rigorous, self_check=0.5)
    assert certificate.bound_proved is proved
    assert certificate.high_is_rigorous is rigorous
    assert certificate.self_check == 0.5


def check(tally, count):
    assert tally["made"] == count
    assert tally["uncertified"] == 0
    assert tally["not_positive"] == 0
    # Several ways were taken, else nothing was tried.
    assert tally["repaired"] > 0.02 * count
    assert tally["kept"] > 0.1 * count


def test_a_thousand_predictions_are_certified():
    check(count_failures(seed=0, count=1000), 1000)


@pytest.mark.campaign
def test_a_hundred_thousand_predictions_are_certified():
    parts, each = 20, 5000
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        tallies = list(pool.map(count_failures, range(1, parts + 1), [each] * parts))
    check({key: sum(t[key] for t in tallies) for key in tallies[0]}, parts * each)
