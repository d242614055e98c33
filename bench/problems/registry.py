"""Named problems with parameters: ``name:size[,key=value...]``."""

import inspect
from dataclasses import dataclass

import numpy as np

__all__ = ["PROBLEMS", "Problem", "build", "parse", "problem"]

PROBLEMS = {}


@dataclass(frozen=True)
class Problem:
    """A matrix and what is known about it.

    Attributes
    ----------
    A : csr_array, shape (n, n)
        The matrix.
    kind : str or None
        'spd', 'indefinite' or 'general' where it is known.
    nullspace : ndarray, shape (n, k), or None
        Near-nullspace, for multigrid.
    block : int
        Unknowns per node, numbered one after the other.
    spectrum : callable or None
        Returns all eigenvalues, sorted, where there is a formula.
    """

    A: object
    kind: str | None = None
    nullspace: np.ndarray | None = None
    block: int = 1
    spectrum: object = None


def problem(function):
    """Register a generator under its name; its parameters are a size and numbers."""
    PROBLEMS[function.__name__] = function
    return function


def parse(text):
    """Return name and parameters of a specification, checked.

    Parameters
    ----------
    text : str
        Such as ``poisson2d:1000`` or ``convdiff:400,peclet=200``.

    Raises
    ------
    ValueError
        If there is no such problem or parameter; names those that there are.
    """
    name, _, rest = text.partition(":")
    if name not in PROBLEMS:
        raise ValueError(
            f"run: the problem must be one of {', '.join(sorted(PROBLEMS))}; got {name!r}."
        )
    known = list(inspect.signature(PROBLEMS[name]).parameters.values())
    values = {}
    for position, word in enumerate(filter(None, rest.split(","))):
        key, equals, value = word.partition("=")
        if not equals and position == 0:
            key, value = known[0].name, word
        names = [p.name for p in known]
        if key not in names:
            raise ValueError(
                f"run: parameters of {name} are {', '.join(names)}; got {word!r}."
            )
        kind = int if key == known[0].name else float
        try:
            values[key] = kind(value)
        except ValueError:
            raise ValueError(
                f"run: {key} of {name} must be a number; got {value!r}."
            ) from None
    if known[0].name not in values or values[known[0].name] < 2:
        raise ValueError(
            f"run: {name} must have a size of at least 2, {name}:100; got {text!r}."
        )
    return name, values


def build(text):
    """Return the `Problem` of a specification."""
    name, values = parse(text)
    return PROBLEMS[name](**values)
