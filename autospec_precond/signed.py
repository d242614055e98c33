"""Polynomials that are positive on the real line, for spectra on both sides of zero.

What MINRES needs of M = p(S): p positive, so that M is positive definite, and λ p(λ) of a
few sizes only, positive ones and negative ones.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev

from .polynomial import ChebyshevSeries

__all__ = ["SignedPolynomial", "even", "one_sided", "two_sided"]

_FORMAT = "autospec_precond.signed/1"
_POINTS = 400  # of a least squares fit


@dataclass(frozen=True)
class SignedPolynomial(ChebyshevSeries):
    """A real polynomial p in the Chebyshev basis of an interval around zero.

    Parameters
    ----------
    domain : tuple of float, (bottom, top)
        Interval of the basis, in the units of the eigenvalues of the based operator;
        either may be negative.
    coefficients : tuple of float, length degree + 1
        Lowest degree first, in units of 1/eigenvalue.

    Raises
    ------
    ValueError
        If the domain is empty or a coefficient is not finite.

    See Also
    --------
    autospec_precond.Polynomial : The same for positive definite operators.

    Examples
    --------
    >>> from autospec_precond.signed import SignedPolynomial
    >>> p = SignedPolynomial((-1.0, 1.0), (1.0, 0.0, 0.5))
    >>> p.degree, float(p(0.0)), float(p(1.0))
    (2, 0.5, 1.5)
    """

    domain: tuple[float, float]
    coefficients: tuple[float, ...]

    def __post_init__(self):
        bottom, top = (float(edge) for edge in self.domain)
        coefficients = tuple(np.asarray(self.coefficients, float).ravel().tolist())
        if not -np.inf < bottom < top < np.inf:
            raise ValueError(
                f"SignedPolynomial: domain must satisfy bottom < top; got ({bottom}, "
                f"{top})."
            )
        if not coefficients or not all(map(math.isfinite, coefficients)):
            raise ValueError(
                "SignedPolynomial: coefficients must be finite and at least one; got "
                f"{coefficients}."
            )
        object.__setattr__(self, "domain", (bottom, top))
        object.__setattr__(self, "coefficients", coefficients)

    @property
    def span(self) -> str:
        """Where p is meant to be used, in words."""
        bottom, top = self.domain
        return f"on [{bottom:.3g}, {top:.3g}]"

    def mirrored(self) -> "SignedPolynomial":
        """Return λ -> p(-λ).

        Returns
        -------
        SignedPolynomial
            On the mirrored domain.
        """
        bottom, top = self.domain
        signs = (-1.0) ** np.arange(self.degree + 1)
        return SignedPolynomial((-top, -bottom), tuple(signs * self.coefficients))

    def to_dict(self) -> dict[str, Any]:
        """Return the polynomial as plain numbers.

        Returns
        -------
        dict
            What `from_dict` takes.
        """
        return {
            "format": _FORMAT,
            "domain": list(self.domain),
            "coefficients": list(self.coefficients),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "SignedPolynomial":
        """Build a polynomial from what `to_dict` returned.

        Parameters
        ----------
        data : dict
            As `to_dict` returns it.

        Returns
        -------
        SignedPolynomial
            Equal to the one stored.

        Raises
        ------
        ValueError
            If `data` is not such a dict.
        """
        if not isinstance(data, dict) or data.get("format") != _FORMAT:
            found = data.get("format") if isinstance(data, dict) else type(data).__name__
            raise ValueError(
                f"SignedPolynomial: data must have format {_FORMAT!r}; got {found!r}."
            )
        return cls(tuple(data["domain"]), tuple(data["coefficients"]))


def one_sided(degree, bottom, top, low):
    """Return Chebyshev's p of [low, top], in the basis of the whole spectrum.

    Parameters
    ----------
    degree : int
        Even: p is then positive on the whole real line.
    bottom, top : float
        Ends of the spectrum, bottom < top.
    low : float
        Where the interval begins, 0 < low < top.

    Returns
    -------
    SignedPolynomial
        λ p(λ) is close to one on the interval and grows, to minus infinity, below zero:
        for few negative eigenvalues, which become few that are large.
    """
    n = degree + 1
    t = np.cos(np.pi * (np.arange(n) + 0.5) / n)
    roots = np.sort(0.5 * (top + low) + 0.5 * (top - low) * t)[::-1]
    x = 0.5 * (top + bottom) + 0.5 * (top - bottom) * t
    products = np.ones((n, n))  # row k: Π_{j<k}
    np.cumprod(1.0 - x / roots[:-1, None], axis=0, out=products[1:])
    return _through((bottom, top), t, (products / roots[:, None]).sum(0))


def two_sided(degree, bottom, top, gap, levels):
    """Return p with λ p(λ) close to one above zero and to a negative level below.

    Parameters
    ----------
    degree : int
        Even.
    bottom, top : float
        Ends of the spectrum, bottom < 0 < top.
    gap : float
        Half of the interval around zero that is left out of the fit.
    levels : sequence of float
        Positive; MINRES does not mind how far the level is from one.

    Returns
    -------
    list of SignedPolynomial
        One per level: least squares on Chebyshev's points of the domain, relative to the
        levels. They may be negative somewhere.
    """
    t = np.cos(np.pi * (np.arange(_POINTS) + 0.5) / _POINTS)
    x = 0.5 * (top + bottom) + 0.5 * (top - bottom) * t
    t, x = t[np.abs(x) > gap], x[np.abs(x) > gap]
    V = chebyshev.chebvander(t, degree) * x[:, None]
    above, below = V[x > 0], V[x < 0]
    # Normal equations: their parts serve all levels, and this basis bears it.
    grams = above.T @ above, below.T @ below
    sums = above.sum(axis=0), -below.sum(axis=0)
    parts = 1.0 / np.asarray(levels, float)[:, None, None]
    rows = np.linalg.solve(
        grams[0] + parts**2 * grams[1], (sums[0] + parts[..., 0] * sums[1])[..., None]
    )
    return [SignedPolynomial((bottom, top), tuple(c)) for c in rows[..., 0]]


def even(degree, bottom, top, gap):
    """Return an even p with λ p(λ) close to the sign of λ.

    Parameters
    ----------
    degree : int
        A multiple of 2.
    bottom, top : float
        Ends of the spectrum, bottom < 0 < top.
    gap : float
        Half of the interval around zero that is left out of the fit.

    Returns
    -------
    SignedPolynomial
        In λ², whatever the signs of the eigenvalues are. It may be negative somewhere.
    """
    size = max(-bottom, top)
    u = np.cos(np.pi * (np.arange(_POINTS) + 0.5) / _POINTS)
    squares = 0.5 * (size**2 + gap**2) + 0.5 * (size**2 - gap**2) * u
    x = np.sqrt(squares)
    V = chebyshev.chebvander(2 * squares / size**2 - 1, degree // 2) * x[:, None]
    c = np.zeros(degree + 1)
    # T_k of 2t² - 1 is T_2k of t.
    c[::2] = np.linalg.lstsq(V, np.ones_like(x), rcond=None)[0]
    return SignedPolynomial((-size, size), tuple(c))


def _through(domain, t, values):
    """Interpolate at Chebyshev's points t, in descending order."""
    n = t.size
    basis = np.cos(np.outer(np.arange(n), np.arccos(t)))
    coefficients = 2.0 / n * (basis @ values)
    coefficients[0] *= 0.5
    return SignedPolynomial(domain, tuple(coefficients))
