"""Polynomials by the roots of their residual polynomial, anywhere in the complex plane."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["RootPolynomial", "leja", "with_added_roots"]

_FORMAT = "autospec_precond.roots/1"
_PAIR = 1e-12  # relative distance up to which two roots are conjugate

# Products of factors that reach 1e4 take a copy of their root per 14 further digits, so
# that no intermediate vector loses more than rounding can bear (Loe and Morgan).
_GROWTH, _DIGITS = 4.0, 14.0


@dataclass(frozen=True)
class RootPolynomial:
    """A polynomial p with 1 - λ p(λ) = Π (1 - λ/r), r in the complex plane.

    Parameters
    ----------
    roots : sequence of complex, length degree + 1
        Not zero, in the order in which they are applied, in the units of the eigenvalues
        of the based operator. `leja` gives a stable order.
    is_real : bool, optional
        Whether complex roots come as conjugate pairs, side by side: then p is real, and
        real vectors stay real. Found out by default.

    Raises
    ------
    ValueError
        If a root is zero or not finite, there is none, or `is_real` is asked for and a
        complex root has no conjugate beside it.

    Notes
    -----
    p(S) v is applied as Richardson's iteration: x <- x + (v - S x)/r for each root, from
    x = 0. A conjugate pair takes two products in real arithmetic: r = v - S x, then
    x <- x + (2 Re(θ) r - S r)/|θ|². The first root needs none, so that there are as many
    products as p has degrees, and no vector beside the two that every kernel keeps.

    References
    ----------
    .. [1] J. A. Loe and R. B. Morgan, "Toward efficient polynomial preconditioning for
       GMRES", Numerical Linear Algebra with Applications 29, 2022, e2427, section 2.

    Examples
    --------
    >>> from autospec_precond.roots import RootPolynomial
    >>> p = RootPolynomial((1 + 1j, 1 - 1j, 4.0))
    >>> p.degree, p.is_real
    (2, True)
    >>> float(abs(p.residual(4.0)))
    0.0
    """

    roots: tuple[complex, ...]
    is_real: bool | None = None

    def __post_init__(self):
        roots = np.asarray(self.roots, np.complex128).reshape(-1)
        if not roots.size or not np.isfinite(roots).all() or not roots.all():
            raise ValueError(
                "RootPolynomial: roots must be finite, not zero and at least one; got "
                f"{roots}."
            )
        paired = _is_paired(roots)
        if self.is_real and not paired:
            raise ValueError(
                "RootPolynomial: complex roots must stand beside their conjugates where p "
                f"is real; got {roots}. Order them with leja."
            )
        object.__setattr__(self, "roots", tuple(roots.tolist()))
        object.__setattr__(
            self, "is_real", paired if self.is_real is None else bool(self.is_real)
        )

    @property
    def degree(self) -> int:
        """Degree of p, which is the number of products per application."""
        return len(self.roots) - 1

    @property
    def constant(self) -> float | complex:
        """The value of p where the degree is 0."""
        value = 1.0 / self.roots[0]
        return value.real if self.is_real else value

    @property
    def span(self) -> str:
        """Where the roots are, in words."""
        sizes, count = np.abs(self.roots), len(self.roots)
        return f"with {count} roots of modulus {sizes.min():.3g} to {sizes.max():.3g}"

    def factors(self, unit: float = 1.0) -> np.ndarray:
        """Return the factors of the recurrence that applies p.

        Parameters
        ----------
        unit : float, optional
            The operator is `unit` times what the kernel has stored.

        Returns
        -------
        ndarray, shape (degree, 4)
            Of `unit` times p(S), as `autospec_precond.kernels` takes them; real where p
            is.
        """
        rows = []
        x = 0.0  # so far the iterate is this multiple of v, until the first product
        for root in self._steps():
            root = root / unit
            is_pair = self.is_real and root.imag != 0
            size, twice = abs(root) ** 2, 2 * root.real
            if rows:
                if is_pair:
                    rows += [(1, -1, 0, 0), (0, -1 / size, twice / size, -1)]
                else:
                    rows.append((1 / root, -1 / root, 1, 0))
            elif is_pair and x == 0:
                rows.append((0, -1 / size, twice / size, 0))
            elif is_pair:
                rows += [(1, -x, 0, 0), (x, -1 / size, twice / size, 0)]
            elif x == 0:
                x = 1 / root
            else:
                rows.append((1 / root, -x / root, x, 0))
        factors = np.array(rows, np.complex128).reshape(-1, 4)
        return factors.real.copy() if self.is_real else factors

    def _steps(self):
        """Yield the roots, of conjugate pairs of a real p the first."""
        roots = iter(self.roots)
        for root in roots:
            yield root
            if self.is_real and root.imag:
                next(roots)

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        """Evaluate p.

        Parameters
        ----------
        x : array_like
            Points, real or complex, in the units of the eigenvalues.

        Returns
        -------
        ndarray of complex128, shape of `x`
            p(x).
        """
        x = np.asarray(x)
        value, product = np.zeros(x.shape, complex), np.ones(x.shape, complex)
        for root in self.roots:
            value += product / root
            product *= 1 - x / root
        return value

    def residual(self, x: npt.ArrayLike) -> np.ndarray:
        """Evaluate the residual polynomial φ(x) = 1 - x p(x).

        Parameters
        ----------
        x : array_like
            Points, real or complex, in the units of the eigenvalues.

        Returns
        -------
        ndarray of complex128, shape of `x`
            φ(x), dimensionless; φ(0) = 1.
        """
        x = np.asarray(x)
        product = np.ones(x.shape, complex)
        for root in self.roots:
            product *= 1 - x / root
        return product

    def conjugate(self) -> "RootPolynomial":
        """Return the polynomial with conjugate roots: p(S)^H is it at S^H.

        Returns
        -------
        RootPolynomial
            Itself where p is real.
        """
        return self if self.is_real else RootPolynomial(tuple(np.conj(self.roots)), False)

    def to_dict(self) -> dict[str, Any]:
        """Return the polynomial as plain numbers.

        Returns
        -------
        dict
            What `from_dict` takes.
        """
        roots = [[root.real, root.imag] for root in self.roots]
        return {"format": _FORMAT, "roots": roots, "is_real": self.is_real}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "RootPolynomial":
        """Build a polynomial from what `to_dict` returned.

        Parameters
        ----------
        data : dict
            As `to_dict` returns it.

        Returns
        -------
        RootPolynomial
            Equal to the one stored.

        Raises
        ------
        ValueError
            If `data` is not such a dict.
        """
        if not isinstance(data, dict) or data.get("format") != _FORMAT:
            found = data.get("format") if isinstance(data, dict) else type(data).__name__
            raise ValueError(
                f"RootPolynomial: data must have format {_FORMAT!r}; got {found!r}."
            )
        return cls(tuple(complex(*pair) for pair in data["roots"]), data["is_real"])

    def to_json(self) -> str:
        """Return the polynomial as a JSON text.

        Returns
        -------
        str
            Of `to_dict`.
        """
        return json.dumps(self.to_dict())


def leja(roots, is_real=False):
    """Order roots so that products of factors stay small on the way.

    Parameters
    ----------
    roots : array_like of complex, shape (m,)
        Any; each may come several times.
    is_real : bool, optional
        Whether they come in conjugate pairs, which then stay together.

    Returns
    -------
    ndarray of complex128, shape (m,)
        The largest first; then always the one whose distances from those before have the
        largest product. Of a pair the one above the real axis comes first; roots that
        are nearly real are made real.

    References
    ----------
    .. [1] L. Reichel, "The application of Leja points to Richardson iteration and
       polynomial preconditioning", Linear Algebra and its Applications 154-156, 1991.
    """
    left = np.array(roots, np.complex128).reshape(-1)
    if is_real:
        left = _upper_half(left)
    size = float(np.abs(left).max(initial=0.0)) or 1.0
    gain = np.log(np.maximum(np.abs(left), 1e-300) / size)
    ordered = []
    first = True
    while left.size:
        k = int(np.argmax(gain))
        root = left[k]
        new = [root, root.conjugate()] if is_real and root.imag else [root]
        ordered += new
        left, gain = np.delete(left, k), np.delete(gain, k)
        if first:  # the modulus counts for the choice of the first only
            gain, first = np.zeros(left.size), False
        for point in new:
            # Copies of a root that has been taken come last, not never.
            gain += np.log(np.maximum(np.abs(left - point) / size, 1e-16))
    return np.array(ordered, np.complex128)


def with_added_roots(roots, is_real=False):
    """Repeat roots where the products of the other factors grow, in a stable order.

    Parameters
    ----------
    roots : array_like of complex, shape (m,)
        Distinct.
    is_real : bool, optional
        Whether they come in conjugate pairs.

    Returns
    -------
    ndarray of complex128, shape (at least m,)
        In Leja's order, with a copy of root k for the first 4 and each further 14 digits
        of Π |1 - r_k/r_j|, j other than k.

    References
    ----------
    .. [1] J. A. Loe and R. B. Morgan, "Toward efficient polynomial preconditioning for
       GMRES", Numerical Linear Algebra with Applications 29, 2022, e2427, algorithm 2.
    """
    ordered = leja(roots, is_real)
    quotients = np.abs(1 - ordered[:, None] / ordered)
    np.fill_diagonal(quotients, 1.0)
    growth = np.log10(np.maximum(quotients, 1e-300)).sum(axis=1)
    copies = np.ceil((growth - _GROWTH) / _DIGITS).clip(0).astype(int)
    if not copies.any():
        return ordered
    return leja(np.repeat(ordered, 1 + copies), is_real)


def _upper_half(roots):
    """Return the real roots, and of each conjugate pair the one above the real axis."""
    nearly = np.abs(roots.imag) <= _PAIR * np.abs(roots)
    real = roots[nearly].real + 0j
    return np.concatenate([real, roots[~nearly & (roots.imag > 0)]])


def _is_paired(roots):
    """Tell whether complex roots stand beside their conjugates."""
    k = 0
    while k < roots.size:
        if roots[k].imag:
            if k + 1 == roots.size or roots[k + 1] != roots[k].conjugate():
                return False
            k += 1
        k += 1
    return True
