"""The polynomial p of a preconditioner: evaluate, build from roots, store as JSON."""

import dataclasses
import functools
import itertools
import json
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from numpy.polynomial import chebyshev

__all__ = ["ChebyshevSeries", "Polynomial", "clenshaw"]

_FORMAT = "autospec_precond.polynomial/1"


class ChebyshevSeries:
    """What real polynomials in a Chebyshev basis share: `domain` and `coefficients`."""

    @property
    def degree(self) -> int:
        """Degree of p, which is the number of products per application."""
        return len(self.coefficients) - 1

    @property
    def affine(self) -> tuple[float, float]:
        """Pair (alpha, beta) of t = alpha λ + beta, which maps the domain to [-1, 1]."""
        bottom, top = self.domain
        return 2.0 / (top - bottom), -(top + bottom) / (top - bottom)

    def conjugate(self) -> Self:
        """Return the polynomial with conjugate coefficients.

        Returns
        -------
        ChebyshevSeries
            Itself: they are real.
        """
        return self

    @property
    def constant(self) -> float:
        """The coefficient of degree 0: p itself where the degree is 0."""
        return self.coefficients[0]

    def factors(self, unit: float = 1.0) -> np.ndarray:
        """Return the factors of the recurrence that applies p.

        Parameters
        ----------
        unit : float, optional
            The operator is `unit` times what the kernel has stored.

        Returns
        -------
        ndarray, shape (degree, 4)
            Of `unit` times p(S), as `autospec_precond.kernels` takes them.
        """
        alpha, beta = self.affine
        return clenshaw(np.asarray(self.coefficients) * unit, (alpha * unit, beta))

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        """Evaluate p.

        Parameters
        ----------
        x : array_like of float
            Points, in the units of the eigenvalues.

        Returns
        -------
        ndarray, shape of `x`
            p(x).
        """
        alpha, beta = self.affine
        return chebyshev.chebval(alpha * np.asarray(x) + beta, self.coefficients)

    def residual(self, x: npt.ArrayLike) -> np.ndarray:
        """Evaluate the residual polynomial φ(x) = 1 - x p(x).

        Parameters
        ----------
        x : array_like of float
            Points, in the units of the eigenvalues.

        Returns
        -------
        ndarray, shape of `x`
            φ(x), dimensionless; φ(0) = 1.
        """
        x = np.asarray(x)
        return 1.0 - x * self(x)

    def rounded(self, dtype: npt.DTypeLike) -> Self:
        """Return the polynomial that arithmetic in `dtype` can hold.

        Parameters
        ----------
        dtype : dtype
            Real or complex floating type of the vectors of a kernel.

        Returns
        -------
        ChebyshevSeries
            The same, but for coefficients rounded to `dtype`.
        """
        real = np.empty(0, dtype).real.dtype
        coefficients = np.asarray(self.coefficients)
        # Kernels hold numbers of the order of one, whatever the units of A.
        unit = 2.0 ** np.floor(np.log2(np.abs(coefficients).max() or 1.0))
        rounded = (coefficients / unit).astype(real).astype(np.float64) * unit
        return dataclasses.replace(self, coefficients=tuple(rounded))


@dataclass(frozen=True)
class Polynomial(ChebyshevSeries):
    """A real polynomial p, meant to be close to 1/λ on an interval.

    Parameters
    ----------
    interval : tuple of float, (low, high)
        Where p was built to be close to 1/λ, in the units of the eigenvalues of the
        based operator; 0 < low < high.
    coefficients : tuple of float, length degree + 1
        Chebyshev coefficients, lowest degree first, on the domain ``[0, high]``, in
        units of 1/eigenvalue.
    gaps : tuple of (float, float), optional
        Parts of the interval that p leaves out, ascending and apart, because the
        spectrum seems to have no eigenvalue there; λ p(λ) may be large in them.

    Raises
    ------
    ValueError
        If the interval is empty or not positive, a gap is not inside what the others
        leave, or a coefficient is not finite.

    Notes
    -----
    The domain of the Chebyshev basis reaches down to zero, not to `low` only: the
    spectrum of a positive definite operator may go below `low`, and the basis
    stays bounded by one there. Evaluation costs ``degree`` operations per point.

    References
    ----------
    .. [1] Y. Saad, "Iterative Methods for Sparse Linear Systems", 2nd ed., SIAM,
       2003, section 12.3.

    Examples
    --------
    >>> from autospec_precond import Polynomial
    >>> p = Polynomial(interval=(1.0, 4.0), coefficients=(0.5, -0.25))
    >>> p.degree
    1
    >>> float(p(2.0)), float(p.residual(2.0))
    (0.5, 0.0)
    """

    interval: tuple[float, float]
    coefficients: tuple[float, ...]
    gaps: tuple[tuple[float, float], ...] = ()

    def __post_init__(self):
        low, high = (float(edge) for edge in self.interval)
        gaps = tuple((float(left), float(right)) for left, right in self.gaps)
        coefficients = tuple(float(c) for c in np.ravel(self.coefficients))
        if not 0 < low < high < np.inf:
            raise ValueError(
                f"Polynomial: interval must satisfy 0 < low < high; got ({low}, {high})."
            )
        if not coefficients or not np.isfinite(coefficients).all():
            raise ValueError(
                f"Polynomial: coefficients must be finite and at least one; "
                f"got {coefficients}."
            )
        ends = [low, *(end for gap in gaps for end in gap), high]
        if not all(left < right for left, right in itertools.pairwise(ends)):
            raise ValueError(
                f"Polynomial: gaps must be ascending, apart and inside the interval; "
                f"got {gaps} in ({low}, {high})."
            )
        object.__setattr__(self, "interval", (low, high))
        object.__setattr__(self, "coefficients", coefficients)
        object.__setattr__(self, "gaps", gaps)

    @property
    def intervals(self) -> tuple[tuple[float, float], ...]:
        """The interval without its gaps, in ascending order."""
        ends = [self.interval[0], *(end for gap in self.gaps for end in gap)]
        ends.append(self.interval[1])
        return tuple(zip(ends[::2], ends[1::2], strict=True))

    @property
    def domain(self) -> tuple[float, float]:
        """Interval of the Chebyshev basis, (0, high)."""
        return 0.0, self.interval[1]

    @property
    def span(self) -> str:
        """Where p is meant to be close to 1/λ, in words."""
        low, high = self.interval
        return f"on [{low:.3g}, {high:.3g}]"

    @classmethod
    def from_roots(
        cls,
        roots: npt.ArrayLike,
        interval: tuple[float, float],
        gaps: tuple[tuple[float, float], ...] = (),
    ) -> "Polynomial":
        """Build p with residual polynomial φ(λ) = Π (1 - λ/r).

        Parameters
        ----------
        roots : array_like, shape (degree + 1,)
            Zeros r of φ, not zero; in the units of the eigenvalues.
        interval : tuple of float, (low, high)
            The interval of the result.
        gaps : tuple of (float, float), optional
            The gaps of the result.

        Returns
        -------
        Polynomial
            Of degree ``len(roots) - 1``.

        Notes
        -----
        Interpolates at as many Chebyshev nodes as there are coefficients, which is
        exact but for rounding. The sum over k of 1/r_k Π_{j<k} (1 - λ/r_j), large
        roots first, is (1 - φ(λ))/λ without the cancellation of that quotient.
        """
        roots = np.sort(np.asarray(roots, dtype=np.float64))[::-1]
        n = roots.size
        t, basis = _nodes(n)
        x = 0.5 * float(interval[1]) * (1.0 + t)
        products = np.ones((n, n))  # row k: Π_{j<k}
        np.cumprod(1.0 - x / roots[:-1, None], axis=0, out=products[1:])
        values = (products / roots[:, None]).sum(0)
        coefficients = 2.0 / n * (basis @ values)
        coefficients[0] *= 0.5
        return cls(tuple(interval), tuple(coefficients.tolist()), gaps)

    def to_dict(self) -> dict[str, Any]:
        """Return the polynomial as plain numbers.

        Returns
        -------
        dict
            What `from_dict` takes.
        """
        return {
            "format": _FORMAT,
            "interval": list(self.interval),
            "coefficients": list(self.coefficients),
            "gaps": [list(gap) for gap in self.gaps],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Polynomial":
        """Build a polynomial from what `to_dict` returned.

        Parameters
        ----------
        data : dict
            As `to_dict` returns it.

        Returns
        -------
        Polynomial
            Equal to the one stored.

        Raises
        ------
        ValueError
            If `data` is not such a dict.
        """
        if not isinstance(data, dict) or data.get("format") != _FORMAT:
            found = data.get("format") if isinstance(data, dict) else type(data).__name__
            raise ValueError(
                f"Polynomial: data must have format {_FORMAT!r}; got {found!r}."
            )
        gaps = tuple(map(tuple, data.get("gaps", ())))
        return cls(tuple(data["interval"]), tuple(data["coefficients"]), gaps)

    def to_json(self) -> str:
        """Return the polynomial as a JSON text.

        Returns
        -------
        str
            What `from_json` takes; about 25 characters per coefficient.
        """
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> "Polynomial":
        """Build a polynomial from what `to_json` returned.

        Parameters
        ----------
        text : str
            As `to_json` returns it.

        Returns
        -------
        Polynomial
            Equal to the one stored.
        """
        return cls.from_dict(json.loads(text))


def clenshaw(coefficients, affine):
    """List the steps of Clenshaw's recurrence for p(S), t = alpha S + beta.

    Parameters
    ----------
    coefficients : sequence of float, length degree + 1
        Chebyshev coefficients, lowest degree first; degree at least 1.
    affine : tuple of float
        (alpha, beta), the map of the domain to [-1, 1].

    Returns
    -------
    ndarray, shape (degree, 4)
        Factors c, a, b, g of each product, in order, as kernels take them: ``y = c x
        + a S b1 + b b1 - g b2``, b1 and b2 the results of the two products before.

    Notes
    -----
    b1 of the first step is x itself, and b2 of the second one a multiple of x that is
    folded into its c: the recurrence needs no start vectors, and one vector less per
    step than the three-term recurrence with an accumulator.

    References
    ----------
    .. [1] C. W. Clenshaw, "A note on the summation of Chebyshev series", MTAC 9,
       1955, pp. 118-120.
    """
    alpha, beta = affine
    c = list(coefficients)
    degree = len(c) - 1
    result = []
    for k in range(degree - 1, -1, -1):
        factor = 2.0 if k else 1.0
        lead = c[degree] if k == degree - 1 else 1.0
        fold = c[degree] if k == degree - 2 else 0.0
        keep = 1.0 if k < degree - 2 else 0.0
        result.append((c[k] - fold, factor * alpha * lead, factor * beta * lead, keep))
    return np.array(result)


@functools.lru_cache(maxsize=8)
def _nodes(n):
    """Return n Chebyshev nodes, and row by row the n first polynomials there."""
    t = np.cos(np.pi * (np.arange(n) + 0.5) / n)
    return t, np.cos(np.outer(np.arange(n), np.arccos(t)))
