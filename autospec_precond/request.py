"""What travels inside `make`: what the caller asked for, and what was chosen."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import checks
from .bases import Based
from .certificate import Certificate
from .kernels import layout
from .kernels.layout import Stored
from .operands import Operand
from .polynomial import Polynomial
from .probe import Probe
from .roots import RootPolynomial
from .signed import SignedPolynomial

__all__ = ["STATE_FORMAT", "Choice", "Request", "as_state"]

STATE_FORMAT = "autospec_precond.state/1"


@dataclass(frozen=True)
class Request:
    """What the caller of `make` asked for, checked as far as that needs no product with A.

    Attributes
    ----------
    A : object
        As passed.
    operand : Operand
        A, ready to compute with.
    solver, assume_a : str or None
        As passed.
    base : str, object or None
        As `checks.check_base` returns it; the one of a given state.
    degree : int, 'measure' or None
        Not negative.
    engine : str, path or None
        As passed.
    state : dict
        A given polynomial, as `as_state` returns it; else empty.
    precision, storage, kernel : str or None
        Known words; `precision` is that of a given state.
    n_threads : int or None
        As passed.
    n_probe : int or None
        As passed.
    diagonal, nullspace : array_like or None
        As passed.
    rng : numpy.random.Generator
        Source of random vectors.
    n_eigenpairs : int or None
        As passed.
    largest : bool
        As passed.
    B : object
        As passed.
    null : ndarray, shape (n, k), or None
        Orthonormal null vectors of A, given or found.
    """

    A: Any
    operand: Operand
    solver: str | None
    assume_a: str | None
    base: Any
    degree: Any
    engine: Any
    state: dict
    precision: str | None
    storage: str | None
    kernel: str | None
    n_threads: int | None
    n_probe: int | None
    diagonal: Any
    nullspace: Any
    rng: np.random.Generator
    n_eigenpairs: int | None = None
    largest: bool = False
    B: Any = None
    null: np.ndarray | None = None

    @property
    def storage_is_asked_for(self):
        """Whether the caller wants A stored in a way that he names."""
        return (self.storage, self.kernel, self.n_threads) != (None, None, None)


@dataclass
class Choice:
    """What `make` has chosen.

    Attributes
    ----------
    solver : str
        The solver that M is made for.
    kind : str
        Class of A: 'pos', 'her' or 'gen'.
    based : Based
        What the polynomial stands on.
    stored : Stored
        The same, for the kernel.
    kernel, precision : str
        That applies it.
    polynomial : Polynomial or RootPolynomial
        The p of M.
    certificate : Certificate or None
        None where p need not be positive.
    probe : object or None
        What the probe found; None where the polynomial was given.
    engine : str
        Name and hash of the weights, 'classical', 'given', or 'none' for degree 0.
    candidates : dict of int to float
        Predicted seconds per degree.
    break_even : int or None
        Right-hand sides from which on a polynomial pays.
    n_products : int
        Products with A spent.
    notes, unproved : tuple of str
        Sentences for the report; those of `unproved` are warned of.
    """

    solver: str
    kind: str
    based: Based
    stored: Stored
    kernel: str
    precision: str
    polynomial: Polynomial | SignedPolynomial | RootPolynomial
    certificate: Certificate | None
    probe: Probe | Any
    engine: str
    candidates: dict[int, float]
    break_even: int | None
    n_products: int
    notes: tuple[str, ...] = ()
    unproved: tuple[str, ...] = ()
    null: np.ndarray | None = None


def as_state(polynomial, degree, engine, n_probe):
    """Return what the caller gave as `polynomial` as a dict.

    Parameters
    ----------
    polynomial : Polynomial, RootPolynomial, dict, str or None
        What the caller passed: also a state, or its JSON text.
    degree, engine, n_probe : object
        What must not come with it.

    Returns
    -------
    dict
        The state, its polynomial as an object; empty for None.

    Raises
    ------
    TypeError, ValueError
        If it is none of those.
    """
    if polynomial is None:
        return {}
    for name, value in (("degree", degree), ("engine", engine), ("n_probe", n_probe)):
        if value is not None:
            raise ValueError(
                f"make: {name} must not be given together with polynomial; got {value!r}. "
                "A given polynomial is neither probed for nor chosen."
            )
    if isinstance(polynomial, str):
        try:
            polynomial = json.loads(polynomial)
        except ValueError as error:
            raise ValueError(
                f"make: polynomial must be JSON where it is a text; got "
                f"{polynomial[:40]!r} ({error}). Pass json.dumps(M.state())."
            ) from error
    if isinstance(polynomial, (Polynomial, SignedPolynomial, RootPolynomial)):
        return {"polynomial": polynomial}
    if not isinstance(polynomial, dict) or polynomial.get("format") != STATE_FORMAT:
        raise TypeError(
            "make: polynomial must be a Polynomial or the state of a preconditioner; got "
            f"{type(polynomial).__name__}."
        )
    missing = {"polynomial", "base", "precision", "engine"} - polynomial.keys()
    if missing:
        raise ValueError(
            f"make: polynomial must be a whole state; got one without {sorted(missing)}. "
            "Pass what M.state() returned."
        )
    checks.check_choice(polynomial["precision"], "precision", layout.PRECISIONS, "make")
    checks.check_choice(polynomial["base"], "base", (*checks.BASES, "user"), "make")
    stored = polynomial["polynomial"]
    kinds = {"roots": RootPolynomial, "domain": SignedPolynomial}
    kind = next((kinds[key] for key in kinds if key in stored), Polynomial)
    made = kind.from_dict(stored)
    return {**polynomial, "polynomial": made}
