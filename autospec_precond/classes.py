"""Which class of matrices A belongs to, and who chooses for it."""

from dataclasses import replace

from . import classify, definite, general, indefinite, lobpcg, nullspace, row_scaling
from .errors import NotHermitianError, NotPositiveError
from .operands import check_hermitian
from .roots import RootPolynomial
from .signed import SignedPolynomial

__all__ = ["choose"]

# Solvers that take a Hermitian A only, and those that take a positive definite one only.
_HERMITIAN = ("cg", "minres", "lobpcg")
_POSITIVE = ("cg",)
_GENERAL = ("gmres", "bicgstab")


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
    solver, assumed = request.solver, request.assume_a
    classify.check_solver(solver, assumed, request.operand, "make")
    given = request.state.get("polynomial")
    classify.check_roots(given, solver, assumed, "make")
    if solver == "lobpcg":
        return lobpcg.choose(request)
    if assumed == "gen" or isinstance(given, RootPolynomial):
        return _general(request)
    null, note, spent = nullspace.find(request.operand, request.nullspace, "make")
    if null is not None:
        request = replace(request, null=null)
    choice = _hermitian(request)
    if choice.kind != "gen" and note:
        choice.notes = (*choice.notes, note)
    choice.n_products += spent
    return choice


def _hermitian(request):
    """Choose for a positive definite A; go on to other classes as they show."""
    solver, assumed = request.solver, request.assume_a
    if assumed == "her" or isinstance(request.state.get("polynomial"), SignedPolynomial):
        return _indefinite(request)
    try:
        return definite.choose(request)
    except NotHermitianError:
        if assumed or solver in _HERMITIAN:
            raise
    except NotPositiveError:
        if assumed or solver in _POSITIVE:
            raise
        return _indefinite(request)
    return _general(request)


def _indefinite(request):
    solver, operand = request.solver, request.operand
    # For a complex A, minres of SciPy is of no use before 1.18.
    if solver in _GENERAL or (solver is None and operand.dtype.kind == "c"):
        return _general(request)
    if request.assume_a is not None:
        return indefinite.choose(request)
    based = row_scaling.base_of(request)
    try:
        least = row_scaling.least_entry(based)
        spent, *seen = check_hermitian(operand, based, request.rng, "make", least)
    except NotHermitianError:
        if solver in _HERMITIAN:
            raise
        return _general(request)
    choice = indefinite.choose(request, based, seen)
    choice.n_products += spent
    return choice


def _general(request):
    if request.nullspace is not None:
        raise ValueError(
            "make: nullspace must be given for a Hermitian A with solver 'cg' or 'minres'; "
            f"got one for {request.solver or 'gmres'!r}. Leave it out."
        )
    return general.choose(replace(request, null=None))
