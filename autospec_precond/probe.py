"""What a probe has found: the dataclass alone, so that training needs no kernels."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Probe"]


@dataclass(frozen=True, eq=False)
class Probe:
    """Coarse spectral information from a few products with the based operator.

    Attributes
    ----------
    ritz_values : ndarray, shape (m,)
        Ascending, in the units of the eigenvalues of the based operator.
    weights : ndarray, shape (m,)
        Squared first components of the Ritz vectors; they sum to one.
    residual_norms : ndarray, shape (m,)
        ‖S y - θ y‖ for the Ritz pairs (θ, y), ‖y‖ = 1; in the units of θ.
    high : float
        Upper bound of the spectrum, in the units of θ.
    high_is_rigorous : bool
        Whether `high` is proved (but for rounding) or estimated.
    n_products : int
        Products with A spent, those for the bound included.
    kind : str
        The class found, 'pos' for positive definite.
    n : int, optional
        Number of unknowns.
    """

    ritz_values: np.ndarray
    weights: np.ndarray
    residual_norms: np.ndarray
    high: float
    high_is_rigorous: bool
    n_products: int
    kind: str = "pos"
    n: int | None = None

    def __eq__(self, other):
        return isinstance(other, Probe) and self.to_dict() == other.to_dict()

    def __hash__(self):
        return hash((self.high, self.n_products, self.ritz_values.tobytes()))

    @property
    def n_steps(self) -> int:
        """Number of Lanczos steps made."""
        return self.ritz_values.size

    @property
    def cg_reduction(self) -> float:
        """Residual norm of conjugate gradients after the steps of the probe.

        Relative to the norm of the right-hand side, which is the start vector: what
        CG without a polynomial (on this base) has reached at the same cost.
        """
        components = np.sqrt(self.weights)
        last = np.where(np.arange(self.n_steps) % 2, -1.0, 1.0) * self.residual_norms
        with np.errstate(divide="ignore", invalid="ignore"):
            value = abs(float(np.sum(components * last / self.ritz_values)))
        return value if np.isfinite(value) else np.inf

    def first_steps(self, count):
        """Return the Lanczos matrix after fewer steps than the probe has made.

        Parameters
        ----------
        count : int
            Steps, less than `n_steps`.

        Returns
        -------
        alpha, beta : ndarray, shape (count,)
            Diagonal, and what is beside and, last, below it; in the units of θ.

        Notes
        -----
        Ritz values and weights determine it: they are its Gauss quadrature.
        """
        basis, alpha, beta = [np.sqrt(self.weights)], [], []
        for _ in range(count):
            w = self.ritz_values * basis[-1]
            alpha.append(float(basis[-1] @ w))
            Q = np.array(basis)
            w -= Q.T @ (Q @ w)
            w -= Q.T @ (Q @ w)
            beta.append(float(np.linalg.norm(w)))
            basis.append(w / max(beta[-1], np.finfo(float).tiny))
        return np.array(alpha), np.array(beta)

    def to_dict(self):
        """Return the probe as plain numbers.

        Returns
        -------
        dict
            What `from_dict` takes.
        """
        return {
            "ritz_values": self.ritz_values.tolist(),
            "weights": self.weights.tolist(),
            "residual_norms": self.residual_norms.tolist(),
            "high": self.high,
            "high_is_rigorous": self.high_is_rigorous,
            "n_products": self.n_products,
            "kind": self.kind,
            "n": self.n,
        }

    @classmethod
    def from_dict(cls, data):
        """Build a probe from what `to_dict` returned.

        Parameters
        ----------
        data : dict
            As `to_dict` returns it.

        Returns
        -------
        Probe
            Equal to the one stored.
        """
        arrays = ("ritz_values", "weights", "residual_norms")
        return cls(**{k: np.array(v) if k in arrays else v for k, v in data.items()})
