"""Which class A belongs to, as far as a few products tell, and which solvers suit it."""

import numpy as np
import scipy
import scipy.sparse as sp

from .roots import RootPolynomial

__all__ = [
    "SUITS",
    "check_roots",
    "check_solver",
    "check_structure",
    "refuse_empty",
    "seen",
]

_SCIPY = tuple(int(part) for part in scipy.__version__.split(".")[:2])

_NAMES = {
    "pos": "Hermitian positive definite",
    "her": "Hermitian indefinite",
    "gen": "general",
}

# Classes of A that each solver can take.
SUITS = {
    "cg": ("pos",),
    "minres": ("pos", "her"),
    "lobpcg": ("pos",),
    "gmres": ("pos", "her", "gen"),
    "bicgstab": ("pos", "her", "gen"),
}


def check_solver(solver, assume_a, operand, caller):
    """Refuse a solver that cannot take what A is said to be.

    Parameters
    ----------
    solver, assume_a : str or None
        What the caller of `make` passed.
    operand : Operand
        A.
    caller : str
        Name that the messages start with.

    Raises
    ------
    ValueError
        With the solvers that can.
    """
    if solver is not None and assume_a is not None and assume_a not in SUITS[solver]:
        others = [name for name, kinds in SUITS.items() if assume_a in kinds]
        raise ValueError(
            f"{caller}: solver must suit A, which is said to be {_NAMES[assume_a]} "
            f"(assume_a={assume_a!r}); got {solver!r}. Use {' or '.join(others)}."
        )
    if solver == "minres" and operand.dtype.kind == "c" and _SCIPY < (1, 18):
        raise ValueError(
            f"{caller}: solver='minres' must have a real A, because minres of SciPy "
            f"{scipy.__version__} forms products without conjugates; got {operand.dtype}. "
            "Use solver='gmres', or 'cg' for a positive definite A."
        )


def check_roots(polynomial, solver, assume_a, caller):
    """Refuse a polynomial of complex roots where M must be positive definite.

    Parameters
    ----------
    polynomial : object
        What the caller of `make` passed, or None.
    solver, assume_a : str or None
        As for `check_solver`.
    caller : str
        Name that the message starts with.

    Raises
    ------
    ValueError
        With the solvers that take one.
    """
    if not isinstance(polynomial, RootPolynomial):
        return
    if solver is None and assume_a in (None, "gen"):
        return
    if solver is None or "gen" not in SUITS[solver]:
        purpose = f"assume_a={assume_a!r}" if solver is None else f"solver={solver!r}"
        raise ValueError(
            f"{caller}: polynomial must be positive on the real line for {purpose}; got a "
            "RootPolynomial. Use solver='gmres' or 'bicgstab'."
        )


def check_structure(operand, caller):
    """Refuse an explicit matrix with an empty row or column.

    Parameters
    ----------
    operand : Operand
        A.
    caller : str
        Name that the message starts with.

    Raises
    ------
    ValueError
        With the number of the first such row or column.
    """
    matrix = operand.matrix
    if matrix is None:
        return
    if sp.issparse(matrix):
        empty = np.diff(matrix.indptr) == 0
        if not empty.any() and not matrix.data.all():
            used = np.zeros(operand.n, bool)
            rows = np.repeat(np.arange(operand.n), np.diff(matrix.indptr))
            used[rows[matrix.data != 0]] = True
            empty = ~used
        filled = np.zeros(operand.n, bool)
        filled[matrix.indices[matrix.data != 0]] = True
    else:
        empty, filled = ~matrix.any(axis=1), matrix.any(axis=0)
    refuse_empty(empty, ~filled, caller)


def refuse_empty(rows, columns, caller):
    """Refuse a matrix with a row or column without entries.

    Parameters
    ----------
    rows, columns : array of bool, shape (n,)
        Which are empty; of NumPy or CuPy.
    caller : str
        Name that the message starts with.

    Raises
    ------
    ValueError
        With the number of the first such row or column.
    """
    for what, missing in (("row", rows), ("column", columns)):
        if missing.any():
            raise ValueError(
                f"{caller}: A must not be structurally singular; got no entry in {what} "
                f"{missing.argmax().item()} ({missing.sum().item()} such {what}s). "
                "Take such unknowns out of the system."
            )


def seen(choice, told):
    """Say what is known of the class of A, and what cannot be.

    Parameters
    ----------
    choice : Choice
        What was chosen.
    told : str or None
        What the caller said of A.

    Returns
    -------
    str
        For the report.
    """
    name = _NAMES[choice.kind]
    if told is not None:
        return f"{name}: as told (assume_a={told!r}), not tested"
    theta = getattr(choice.probe, "ritz_values", None)
    if choice.kind == "gen":
        return f"{name}: x* A y and (y* A x)* differ"
    if theta is None or not np.isrealobj(theta):
        return f"{name}: symmetric in a random test; definiteness was not looked at"
    steps = theta.size
    if choice.kind == "pos":
        return (
            f"{name}, as far as seen: symmetric in a random test, no sign of "
            f"indefiniteness in {steps} steps; a few negative eigenvalues among many, or "
            "one near zero, cannot be seen"
        )
    below = float(choice.probe.weights[theta < 0].sum())
    if theta[0] >= 0:
        return (
            f"Hermitian: symmetric in a random test, not known to be positive definite; no "
            f"negative Ritz value in {steps} steps"
        )
    if theta[-1] <= 0:
        return (
            f"Hermitian, negative definite as far as seen: all Ritz values of {steps} "
            "steps are negative; for cg pass -A and -b"
        )
    return (
        f"{name}: symmetric in a random test, Ritz values {theta[0]:.3g} to "
        f"{theta[-1]:.3g}, about {100 * below:.2g} % of the eigenvalues negative; how "
        "close to zero they come cannot be seen"
    )
