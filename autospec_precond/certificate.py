"""What is proved about a polynomial before it becomes a preconditioner.

If p has no zero on the real line and is positive at one point, p(S) is positive
definite for every Hermitian S, whatever its spectrum: also for the float32 rounding
of S, which may be indefinite. The proof takes the coefficients in the precision of
the kernel, less a margin for its rounding.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np

from . import positivity

__all__ = ["Certificate", "certify", "of_constant"]

# Growth of λp(λ) at 1.02 high above which a bound that is a little too low would
# cost more than the polynomial gains; a rigorous bound lifts the limit.
GROWTH_LIMIT = {"single": 1e2, "double": 1e3}


@dataclass(frozen=True)
class Certificate:
    """What is known about a preconditioner p(S), and whether it is proved.

    Attributes
    ----------
    positive : bool
        p > `rounding` max p on the whole real line, proved in exact arithmetic.
    margin : float
        min p over [0, high] divided by max p there, dimensionless.
    rounding : float
        Estimate from above of the rounding of one application, relative to max p on
        [0, high].
    low, high : float
        The interval, in the units of the eigenvalues of the based operator.
    q_min, q_max : float
        Smallest and largest λp(λ) on [low, high] without the gaps, dimensionless;
        `q_max` / `q_min` is the condition number that the preconditioned operator has
        there.
    gap_max : float
        Largest λp(λ) in the gaps; 0 where there are none.
    growth : tuple of float
        Largest |λp(λ)| up to 1.01, 1.02, 1.05 and 1.25 times `high`.
    high_is_rigorous : bool
        `high` is a proved upper bound of the spectrum, up to rounding.
    self_check : float or None
        Figure of `probing.self_check`: at most 1 when the check was passed, None where
        none was needed.
    bound_proved : bool
        The growth beyond `high` is harmless: `high` is rigorous or the growth small.
    """

    positive: bool
    margin: float
    rounding: float
    low: float
    high: float
    q_min: float
    q_max: float
    gap_max: float
    growth: tuple[float, ...]
    high_is_rigorous: bool
    self_check: float | None
    bound_proved: bool

    @property
    def safe(self) -> bool:
        """Whether p(S) is positive definite, proved, also after rounding."""
        return self.positive

    def reason(self) -> str:
        """Say in words why the certificate is not `safe`.

        Returns
        -------
        str
            One clause, or an empty text for a safe polynomial.
        """
        if self.positive:
            return ""
        return (
            f"p is not above rounding, {self.rounding:.1e} of its maximum, on the whole "
            f"real line (min p / max p is {self.margin:.1e} on [0, high])"
        )


def certify(
    polynomial,
    *,
    dtype=np.float64,
    high_is_rigorous=False,
    self_check=None,
    spectrum_low=0.0,
):
    """Examine a polynomial as the kernels will apply it.

    Parameters
    ----------
    polynomial : Polynomial
        Any polynomial, from the engine or not.
    dtype : dtype, optional
        Floating type of the vectors that the recurrence runs in.
    high_is_rigorous : bool, optional
        Whether the upper end of the interval is a proved bound.
    self_check : float, optional
        Figure of the self-check, see `Certificate`.
    spectrum_low : float, optional
        Where the part of the domain begins that `margin` is taken over.

    Returns
    -------
    Certificate
        What holds and what does not; nothing is raised or repaired here.

    Notes
    -----
    Positivity is exact. The figures on intervals are taken on a grid of Chebyshev
    points fine enough that the polynomial moves by less than 1 % of its range
    between them (Ehlich and Zeller's bound); they inform, the proof does not rest
    on them. Costs 0.5 ms at degree 16, 0.8 ms at 32, 2 ms at 64; more where the proof is
    hard, see `positivity.is_positive`.

    References
    ----------
    .. [1] H. Ehlich and K. Zeller, "Schwankung von Polynomen zwischen
       Gitterpunkten", Math. Z. 86, 1964, pp. 41-44.

    Examples
    --------
    >>> from autospec_precond.classical import chebyshev
    >>> from autospec_precond.certificate import certify
    >>> certify(chebyshev(8, 1.0)).safe
    True
    """
    executed = polynomial.rounded(dtype)
    real = np.finfo(np.empty(0, dtype).real.dtype)
    low, high = executed.interval
    t = np.cos(np.pi * np.arange(12 * executed.degree + 13) / (12 * executed.degree + 12))
    domain = spectrum_low + 0.5 * (high - spectrum_low) * (1.0 + t)
    intervals = np.array(executed.intervals)
    inside = (intervals[:, :1] + 0.5 * np.diff(intervals) * (1.0 + t)).ravel()
    gaps = np.array(executed.gaps).reshape(-1, 2)
    between = (gaps[:, :1] + 0.5 * np.diff(gaps) * (1.0 + t)).ravel()
    p = executed(domain)
    q = inside * executed(inside)
    scale = np.abs(p).max() or 1.0
    relative = 4 * (executed.degree + 1) * real.eps / scale
    rounding = float(relative * np.abs(executed.coefficients).sum())
    growth = tuple(
        float(np.abs(x * executed(x)).max())
        for x in (high * np.linspace(1.0, edge, 33) for edge in (1.01, 1.02, 1.05, 1.25))
    )
    first, *others = executed.coefficients
    limit = GROWTH_LIMIT["single" if real.bits == 32 else "double"]
    return Certificate(
        positive=_is_positive((first - rounding * scale, *others)),
        margin=float(p.min() / scale),
        rounding=rounding,
        low=low,
        high=high,
        q_min=float(q.min()),
        q_max=float(q.max()),
        gap_max=float((between * executed(between)).max(initial=0.0)),
        growth=growth,
        high_is_rigorous=bool(high_is_rigorous),
        self_check=self_check,
        bound_proved=bool(high_is_rigorous or growth[1] < limit),
    )


def of_constant(polynomial, *, dtype=np.float64, high_is_rigorous=False):
    """Certify a positive constant, as `certify` does, in no time.

    Parameters
    ----------
    polynomial : Polynomial
        Of degree 0, positive.
    dtype : dtype, optional
        As for `certify`.
    high_is_rigorous : bool, optional
        As for `certify`.

    Returns
    -------
    Certificate
        Equal to that of `certify`.
    """
    real = np.finfo(np.empty(0, dtype).real.dtype)
    (low, high), (value,) = polynomial.interval, polynomial.coefficients
    if math.frexp(value)[0] != 0.5:  # a power of two is exact, and small systems in haste
        (value,) = polynomial.rounded(dtype).coefficients
    growth = tuple(float(high * edge * value) for edge in (1.01, 1.02, 1.05, 1.25))
    limit = GROWTH_LIMIT["single" if real.bits == 32 else "double"]
    return Certificate(
        positive=value > 0,
        margin=1.0,
        rounding=4 * float(real.eps),
        low=low,
        high=high,
        q_min=low * value,
        q_max=high * value,
        gap_max=0.0,
        growth=growth,
        high_is_rigorous=bool(high_is_rigorous),
        self_check=None,
        bound_proved=bool(high_is_rigorous or growth[1] < limit),
    )


# One polynomial is certified several times: as a candidate, then with its figures.
_is_positive = functools.lru_cache(maxsize=64)(positivity.is_positive)
