"""Candidates for an M of MINRES, tried on synthetic eigenvalues, and what is proved.

The eigenvalues are spread as the weights of the probe's Ritz values are: no figure of the
caller's matrix is needed, and a trial costs a millisecond at most.
"""

import functools

import numpy as np
from numpy.polynomial import chebyshev

from . import certificate, positivity, signed

__all__ = ["best", "certify"]

_POINTS, _BUDGET = 300, 160  # of a trial: eigenvalues, and products that it may spend
_BELOW = 8  # eigenvalues below zero, where there are as many
_LOWS = (1 / 30, 1 / 100)  # of one-sided candidates, over the top of the spectrum
_LEVELS, _GAPS = 2.0 ** (0.5 * np.arange(11)), (1 / 100, 1 / 30)  # of two-sided ones


def best(found, seconds, vectors):
    """Return the certified candidate that does best in trials.

    Parameters
    ----------
    found : Probe
        Of kind 'her'.
    seconds : dict of int to float
        What an iteration takes with each degree to choose from, even ones.
    vectors : dtype
        Of the recurrence.

    Returns
    -------
    SignedPolynomial or None
        None where no candidate is certified.
    """
    ends = _ends(found)
    flipped = ends[1] < -ends[0] and _share_below(found) > 0.5
    spectrum = _synthetic(found, *ends)
    if flipped:  # the polynomials are made for more positive than negative ones
        ends, spectrum = (-ends[1], -ends[0]), -spectrum
    scored = []
    for degree, each in seconds.items():
        candidates = _candidates(degree, *ends)
        scores = _efficiencies(candidates, spectrum) * (degree + 1) / each
        scored += zip(scores, candidates, strict=True)
    for _, candidate in sorted(scored, key=lambda pair: -pair[0]):
        chosen = candidate.mirrored() if flipped else candidate
        if certify(chosen, vectors).safe:
            return chosen
    return None


def _ends(found):
    """Estimate the ends of the spectrum from the probe, with a margin."""
    theta, norms = found.ritz_values, found.residual_norms
    margin = 0.01 * found.high
    bottom = theta[0] - max(norms[0], 0.05 * abs(theta[0]), margin)
    top = theta[-1] + max(norms[-1], 0.05 * abs(theta[-1]), margin)
    return max(float(bottom), -found.high), min(float(top), found.high)


def _share_below(found):
    return float(found.weights[found.ritz_values < 0].sum())


def _synthetic(found, bottom, top):
    """Spread eigenvalues as the weights of the Ritz values are spread."""
    shares = np.cumsum(found.weights) - 0.5 * found.weights
    quantiles = (np.arange(_POINTS) + 0.5) / _POINTS
    spectrum = np.interp(quantiles, [0.0, *shares, 1.0], [bottom, *found.ritz_values, top])
    # The outermost ones, which carry little weight, are there all the same.
    spectrum[0] = min(spectrum[0], found.ritz_values[0])
    spectrum[-1] = max(spectrum[-1], found.ritz_values[-1])
    # Polynomials that grow below zero must show what many eigenvalues there cost.
    share = _share_below(found)
    n_below = int(min(_BELOW, np.ceil(share * (found.n or 0))))
    if theta_below := min(found.ritz_values[0], 0.0):
        extra = np.linspace(theta_below, 0.0, n_below + 2)[1:-1]
        spectrum[:n_below] = np.minimum(spectrum[:n_below], extra)
    return spectrum


def _candidates(degree, bottom, top):
    """List polynomials for a spectrum that is mostly positive."""
    lower = min(bottom, 0.0)
    made = [signed.one_sided(degree, lower, top, part * top) for part in _LOWS]
    if bottom < 0:
        size = max(-bottom, top)
        made.append(signed.even(degree, bottom, top, _GAPS[0] * size))
        for gap in _GAPS:
            made += signed.two_sided(degree, bottom, top, gap * size, _LEVELS)
    return [made[k] for k in np.flatnonzero(_are_promising(made))]


def _are_promising(polynomials):
    """Tell by samples which ones the proof would not refuse."""
    C = np.array([polynomial.coefficients for polynomial in polynomials])
    return (C[:, -1] > 0) & ((C @ _samples(C.shape[1])).min(axis=1) > 0)


@functools.lru_cache(maxsize=8)
def _samples(n):
    """Return n Chebyshev polynomials on their interval and around it, a row each."""
    t = np.concatenate([np.linspace(-1, 1, 400), np.linspace(-3, 3, 400)])
    return np.ascontiguousarray(chebyshev.chebvander(t, n - 1).T)


def _efficiencies(polynomials, spectrum):
    """Return how far MINRES comes per product, for the comparison of polynomials.

    Where it was tried on matrices, the products that it took went as the root of what
    eigenvalues as few as these promise.
    """
    if not polynomials:
        return np.empty(0)
    values, degree = np.empty((len(polynomials), spectrum.size)), polynomials[0].degree
    domains = [polynomial.domain for polynomial in polynomials]
    for domain in set(domains):
        rows = [k for k, other in enumerate(domains) if other == domain]
        C = np.array([polynomials[k].coefficients for k in rows])
        scale, shift = polynomials[rows[0]].affine
        values[rows] = C @ chebyshev.chebvander(scale * spectrum + shift, degree).T
    positive = values.min(axis=1) > 0
    scores, steps = np.zeros(len(polynomials)), max(2, _BUDGET // (degree + 1))
    left = _minres(spectrum, values[positive], steps)
    scores[positive] = np.sqrt(-np.log10(left) / (steps * (degree + 1)))
    return scores


def _minres(spectrum, P, steps):
    """Return the relative residual norms after so many steps of MINRES, one per row of P.

    The right-hand side is all ones, M is the diagonal matrix of a row. That of SciPy takes
    eight times as long for candidates one by one.
    """
    x, w, older_w, older = np.zeros((4, *P.shape))
    old = np.ones(P.shape)
    y = P.copy()
    beta = phi = np.sqrt(_dots(old, y))
    before, cosine, sine, dbar, epsilon = np.ones_like(beta), -1.0, 0.0, 0.0, 0.0
    for _ in range(steps):
        v = y / beta
        y = spectrum * v - (beta / before) * older
        alpha = _dots(v, y)
        y -= (alpha / beta) * old
        older, old = old, y
        y = P * old
        before, beta = beta, np.maximum(np.sqrt(_dots(old, y)), 1e-300)
        # The rotations of Paige and Saunders.
        delta, gbar = cosine * dbar + sine * alpha, sine * dbar - cosine * alpha
        last, epsilon, dbar = epsilon, sine * beta, -cosine * beta
        gamma = np.hypot(gbar, beta)
        cosine, sine = gbar / gamma, beta / gamma
        older_w, w = w, (v - last * older_w - delta * w) / gamma
        x += (cosine * phi) * w
        phi = sine * phi
    left = np.linalg.norm(1.0 - spectrum * x, axis=1) / np.sqrt(spectrum.size)
    return np.clip(left, 1e-16, 1.0)


def _dots(X, Y):
    """Return the scalar products of rows, as a column."""
    return np.einsum("ij,ij->i", X, Y)[:, None]


def certify(polynomial, vectors, rigorous=False):
    """Prove a polynomial positive on the real line, beyond rounding.

    Parameters
    ----------
    polynomial : SignedPolynomial
        The p of M.
    vectors : dtype
        Of the recurrence.
    rigorous : bool, optional
        Whether the spectrum is known to lie where p was made for.

    Returns
    -------
    Certificate
        `low` and `high` are the ends of the domain, `q_min` and `q_max` the extrema of
        λ p(λ) there.
    """
    if polynomial.degree == 0:
        return _of_constant(polynomial, vectors, rigorous)
    executed = polynomial.rounded(vectors)
    eps = np.finfo(np.empty(0, vectors).real.dtype).eps
    bottom, top = executed.domain
    n = 12 * executed.degree + 12
    x = 0.5 * (bottom + top) + 0.5 * (top - bottom) * np.cos(np.pi * np.arange(n + 1) / n)
    p = executed(x)
    scale = np.abs(p).max() or 1.0
    relative = 4 * (executed.degree + 1) * float(eps) / scale
    rounding = relative * float(np.abs(executed.coefficients).sum())
    first, *others = executed.coefficients
    growth = tuple(
        float(np.abs(ends * executed(ends)).max())
        for ends in (edge * np.array([bottom, top]) for edge in (1.01, 1.02, 1.05, 1.25))
    )
    return certificate.Certificate(
        positive=_is_positive((first - rounding * scale, *others)),
        margin=float(p.min() / scale),
        rounding=rounding,
        low=bottom,
        high=top,
        q_min=float((x * p).min()),
        q_max=float((x * p).max()),
        gap_max=0.0,
        growth=growth,
        high_is_rigorous=rigorous,
        self_check=None,
        bound_proved=True,
    )


def _of_constant(polynomial, vectors, rigorous):
    """Certify a constant without the arithmetic: small systems have no time for it."""
    (bottom, top), value = polynomial.domain, polynomial.constant
    size = max(abs(bottom), abs(top)) * value
    return certificate.Certificate(
        positive=value > 0,
        margin=1.0,
        rounding=4 * float(np.finfo(np.empty(0, vectors).real.dtype).eps),
        low=bottom,
        high=top,
        q_min=bottom * value,
        q_max=top * value,
        gap_max=0.0,
        growth=tuple(edge * size for edge in (1.01, 1.02, 1.05, 1.25)),
        high_is_rigorous=rigorous,
        self_check=None,
        bound_proved=True,
    )


_is_positive = functools.lru_cache(maxsize=64)(positivity.is_positive)
