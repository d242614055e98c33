"""Which class a matrix on a device belongs to, and who chooses for it."""

from autospec_precond import arrays, classify
from autospec_precond.errors import NotHermitianError, NotPositiveError
from autospec_precond.roots import RootPolynomial
from autospec_precond.signed import SignedPolynomial

from . import definite, general, indefinite

__all__ = ["choose"]

# As on the host: solvers that take a Hermitian A only, and those for a definite one.
_HERMITIAN = ("cg", "minres", "lobpcg")
_POSITIVE = ("cg", "lobpcg")
_GENERAL = ("gmres", "bicgstab")
_HOST = "Pass A in host memory for that."


def choose(request, make_csr):
    """Find the class of A, unless told, and choose for it; see `classes.choose`.

    Parameters
    ----------
    request : Request
        What the caller asked for; its operand is one of `operands.Operand`.
    make_csr : callable
        Makes a sparse matrix by rows on the device.

    Returns
    -------
    Choice
        What M is to be.

    Raises
    ------
    TypeError, ValueError
        If A does not suit the solver named, or a keyword does not suit the class.
    """
    refuse(request)
    solver, assumed = request.solver, request.assume_a
    given = request.state.get("polynomial")
    if solver == "lobpcg":
        return definite.choose(request, make_csr)
    if assumed == "gen" or isinstance(given, RootPolynomial):
        return general.choose(request, make_csr)
    if assumed == "her" or isinstance(given, SignedPolynomial):
        return _indefinite(request, make_csr)
    try:
        return definite.choose(request, make_csr)
    except NotHermitianError:
        if assumed or solver in _HERMITIAN:
            raise
        other = general.choose
    except NotPositiveError:
        if assumed or solver in _POSITIVE:
            raise
        other = _indefinite
    return other(request, make_csr)  # not above: an exception keeps what was stored


def refuse(request):
    """Refuse what does not exist on a device for any class of A, before any work.

    Parameters
    ----------
    request : Request
        What the caller asked for.

    Raises
    ------
    ValueError
        In one sentence.
    """
    if request.solver is not None:
        _check_minres(request)
        classify.check_solver(request.solver, request.assume_a, request.operand, "make")
    given = request.state.get("polynomial")
    classify.check_roots(given, request.solver, request.assume_a, "make")
    base = request.base
    if base is not None and not isinstance(base, str):
        raise ValueError(
            f"make: base must be 'none', 'jacobi' or 'equilibrate' on a device; got "
            f"{type(base).__name__}. {_HOST}"
        )
    absent = {
        "nullspace": request.nullspace,
        "B": request.B,
        "n_threads": request.n_threads,
    }
    for name, value in absent.items():
        if value is not None:
            raise ValueError(
                f"make: {name} must not be given on a device; got {type(value).__name__}. "
                f"{_HOST}"
            )
    if request.storage not in (None, "csr", "dia"):
        raise ValueError(
            f"make: storage must be 'csr' or 'dia' on a device; got {request.storage!r}. "
            "Leave it out."
        )
    if request.degree == "measure":
        raise ValueError(
            "make: degree must be an int on a device; got 'measure'. Leave it out."
        )


def _check_minres(request):
    """Refuse a complex A of CuPy's for its minres, whatever SciPy's can do."""
    dtype = request.operand.dtype
    if request.solver == "minres" and dtype.kind == "c" and arrays.is_on_device(request.A):
        raise ValueError(
            "make: solver='minres' must have a real A, because minres of CuPy forms "
            f"products without conjugates; got {dtype}. Use solver='gmres', or 'cg' for a "
            "positive definite A."
        )


def _indefinite(request, make_csr):
    """Choose for an A that is not positive definite, and may not be Hermitian either."""
    if not _takes_general(request):
        try:
            return indefinite.choose(request, make_csr)
        except NotHermitianError:
            if request.solver in _HERMITIAN:
                raise
    return general.choose(request, make_csr)


def _takes_general(request):
    """Tell whether an indefinite A is to be treated as a general one, as on the host."""
    is_complex = request.operand.dtype.kind == "c"
    return request.solver in _GENERAL or (request.solver is None and is_complex)
