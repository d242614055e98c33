"""What a method is, and the list of those that are known."""

import importlib.util
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

__all__ = [
    "METHODS",
    "Context",
    "Method",
    "NotSupported",
    "Prepared",
    "as_csr_matrix",
    "inverse_diagonal",
    "method",
]

METHODS = {}
_CLASSES = ("spd", "indefinite", "general")


class NotSupported(Exception):  # noqa: N818 - a verdict
    """Raised by `prepare` where the method does not exist for this kind of matrix."""


@dataclass(frozen=True)
class Prepared:
    """A preconditioner, ready to be applied.

    Attributes
    ----------
    M : LinearOperator or None
        None for none.
    degree : int or None
        Products with A per application; None where M is no polynomial of A.
    setup_products : int
        Products with A that making M took.
    work : float
        Work of one application in units of one product with A (entries touched over
        entries of A), for the accounts of the protocol.
    note : str
        A remark for the row.
    """

    M: object
    degree: int | None = None
    setup_products: int = 0
    work: float = 0.0
    note: str = ""


@dataclass
class Context:
    """One problem as a method sees it.

    Attributes
    ----------
    A : csr_array, shape (n, n)
        The matrix, float64 or complex128.
    kind : str
        'spd', 'indefinite' or 'general'.
    solver : str
        Which solver M is for.
    nullspace : ndarray, shape (n, k), or None
        Near-nullspace, where the problem knows it.
    block : int
        Unknowns per node, where the problem knows it.
    """

    A: object
    kind: str
    solver: str
    nullspace: np.ndarray | None = None
    block: int = 1
    _cache: dict = field(default_factory=dict)

    def degree(self):
        """Degree that `ours` chooses, which the other polynomials take; 8 for none.

        Computed once per problem, outside every clock.
        """
        if "degree" not in self._cache:
            import autospec_precond as ap

            try:
                chosen = ap.make(self.A).degree
            except ValueError:
                chosen = 0
            self._cache["degree"] = chosen or 8
        return self._cache["degree"]


@dataclass(frozen=True)
class Method:
    """A named preconditioner.

    Attributes
    ----------
    name : str
        As in the rows.
    prepare : callable
        Takes a Context, returns a Prepared; this is what the setup clock times.
    classes : tuple of str
        Kinds of matrix that the method is run on unless it is asked for by name.
    package : str or None
        Optional package that it needs.
    before : callable or None
        Called with the Context before the clock starts.
    """

    name: str
    prepare: object
    classes: tuple = _CLASSES
    package: str | None = None
    before: object = None

    def installed(self):
        """Say whether the package that the method needs can be imported."""
        return self.package is None or importlib.util.find_spec(self.package) is not None


def method(name, *, classes=_CLASSES, package=None, before=None):
    """Register the decorated `prepare` under a name."""

    def register(prepare):
        METHODS[name] = Method(name, prepare, classes, package, before)
        return prepare

    return register


def inverse_diagonal(A):
    """Return 1 over the diagonal of A, 1 where it is zero."""
    diagonal = A.diagonal()
    zero = diagonal == 0
    return np.where(zero, 1.0, 1.0 / np.where(zero, 1.0, diagonal))


def as_csr_matrix(A):
    """Return A as the class and index type that compiled packages take."""
    return sp.csr_matrix(
        (A.data, A.indices.astype(np.int32), A.indptr.astype(np.int32)), shape=A.shape
    )
