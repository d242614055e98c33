"""Which class of matrices A belongs to, and who chooses for it."""

from . import definite, general, indefinite, lobpcg
from .errors import NotHermitianError, NotPositiveError
from .roots import RootPolynomial

__all__ = ["choose"]

# Solvers that take a Hermitian A only, and those that take a positive definite one only.
_HERMITIAN = ("cg", "minres", "lobpcg")
_POSITIVE = ("cg",)


def choose(request):
    """Find the class of A, unless told, and choose for it.

    Parameters
    ----------
    request : Request
        What the caller asked for.

    Returns
    -------
    Choice
        What M is to be.

    Raises
    ------
    TypeError, ValueError
        If A does not suit the solver named, or a keyword does not suit the class.
    """
    if request.solver == "lobpcg":
        return lobpcg.choose(request)
    by_roots = isinstance(request.state.get("polynomial"), RootPolynomial)
    if request.assume_a == "gen" or (by_roots and request.assume_a is None):
        return general.choose(request)
    if request.assume_a == "her":
        return indefinite.choose(request)
    try:
        return definite.choose(request)
    except NotHermitianError:
        if request.assume_a or request.solver in _HERMITIAN:
            raise
        return general.choose(request)
    except NotPositiveError:
        if request.assume_a or request.solver in _POSITIVE:
            raise
        return indefinite.choose(request)
