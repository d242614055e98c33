"""Keyword values of public functions: converted, or refused in one sentence.

Every public function starts here and in `operands`; below these nothing is checked twice.
"""

import operator

import numpy as np

__all__ = [
    "BASES",
    "as_right_hand_side",
    "as_rng",
    "as_start",
    "check_base",
    "check_choice",
    "check_count",
    "check_degree",
    "check_even",
    "check_pairs",
    "check_steps",
    "check_threads",
    "check_tolerance",
]

BASES = ("none", "jacobi", "equilibrate")


def check_base(base, operand, caller):
    """Return the name of a base, or the user's preconditioner.

    Parameters
    ----------
    base : str, LinearOperator, object with solve, or None
        What the caller passed.
    operand : Operand
        A.
    caller : str
        Name that the messages start with.

    Returns
    -------
    str, object or None
        An object has shape and ``@``, or solve.

    Raises
    ------
    TypeError, ValueError
        If it is none of those, or of another shape.
    """
    if base is None or isinstance(base, str):
        if base is not None:
            check_choice(base, "base", BASES, caller)
        return base
    if callable(getattr(base, "aspreconditioner", None)):
        base = base.aspreconditioner()  # one cycle; `solve` of PyAMG iterates
    if hasattr(base, "shape") and hasattr(type(base), "__matmul__"):
        if tuple(base.shape) != (operand.n, operand.n):
            raise ValueError(
                f"{caller}: base must have the shape of A, {(operand.n, operand.n)}; got "
                f"{tuple(base.shape)}."
            )
        return base
    if callable(getattr(base, "solve", None)):
        return base
    raise TypeError(
        f"{caller}: base must be 'none', 'jacobi', 'equilibrate', an operator with shape "
        f"and @, or an object with solve; got {type(base).__name__}."
    )


def check_choice(value, name, known, caller):
    """Refuse a keyword value that is not one of the known words.

    Parameters
    ----------
    value : object
        What the caller passed.
    name : str
        The keyword.
    known : sequence of str
        The words.
    caller : str
        Name that the message starts with.

    Raises
    ------
    ValueError
        With the known words.
    """
    if not isinstance(value, str) or value not in known:
        words = ", ".join(repr(word) for word in known)
        raise ValueError(f"{caller}: {name} must be one of {words}; got {value!r}.")


def check_degree(degree, caller):
    """Return a degree, at least 0, at most 64.

    Parameters
    ----------
    degree : int
        What the caller passed.
    caller : str
        Name that the messages start with.

    Returns
    -------
    int
        The degree.

    Raises
    ------
    TypeError, ValueError
        If it is not.
    """
    if isinstance(degree, (bool, np.bool_)) or not hasattr(degree, "__index__"):
        raise TypeError(f"{caller}: degree must be an int; got {degree!r}.")
    degree = operator.index(degree)
    if degree < 0 or degree > 64:
        raise ValueError(f"{caller}: degree must be between 0 and 64; got {degree}.")
    return degree


def check_even(degree, caller):
    """Refuse an odd degree: no such polynomial is positive everywhere.

    Parameters
    ----------
    degree : int
        As `check_degree` returns it.
    caller : str
        Name that the message starts with.

    Raises
    ------
    ValueError
        With the neighbours.
    """
    if degree % 2:
        raise ValueError(
            f"{caller}: degree must be even, or p would be negative somewhere; got "
            f"{degree}. Use {degree - 1} or {degree + 1}."
        )


def check_steps(n_probe, n, caller):
    """Return the number of Lanczos steps.

    Parameters
    ----------
    n_probe : int or None
        What the caller passed; None for 12.
    n : int
        Rows of A; more steps than that do not exist.
    caller : str
        Name that the messages start with.

    Returns
    -------
    int
        Between 1 and n.

    Raises
    ------
    TypeError, ValueError
        If it is not an int between 2 and 500.
    """
    if n_probe is None:
        return min(12, n)
    if isinstance(n_probe, (bool, np.bool_)) or not hasattr(n_probe, "__index__"):
        raise TypeError(f"{caller}: n_probe must be an int; got {n_probe!r}.")
    n_probe = operator.index(n_probe)
    if not 2 <= n_probe <= 500:
        raise ValueError(f"{caller}: n_probe must be between 2 and 500; got {n_probe}.")
    return min(n_probe, n)


def check_pairs(k, n, name, caller):
    """Return a number of eigenpairs.

    Parameters
    ----------
    k : int
        What the caller passed.
    n : int
        Number of rows of A.
    name : str
        The keyword.
    caller : str
        Name that the message starts with.

    Returns
    -------
    int
        Between 1 and n - 1.

    Raises
    ------
    TypeError, ValueError
        If it is no such int.
    """
    k = check_count(k, name, caller)
    if k >= n:
        raise ValueError(
            f"{caller}: {name} must be below the {n} rows of A; got {k}. For all "
            "eigenvalues use scipy.linalg.eigh."
        )
    return k


def check_threads(n_threads, caller):
    """Return the number of threads.

    Parameters
    ----------
    n_threads : int
        What the caller passed.
    caller : str
        Name that the messages start with.

    Returns
    -------
    int
        Between 1 and 256.

    Raises
    ------
    TypeError, ValueError
        If it is no such int.
    """
    if isinstance(n_threads, (bool, np.bool_)) or not hasattr(n_threads, "__index__"):
        raise TypeError(f"{caller}: n_threads must be an int; got {n_threads!r}.")
    n_threads = operator.index(n_threads)
    if not 1 <= n_threads <= 256:
        raise ValueError(f"{caller}: n_threads must be between 1 and 256; got {n_threads}.")
    return n_threads


def check_tolerance(value, name, caller):
    """Return a tolerance as a float.

    Parameters
    ----------
    value : float
        What the caller passed.
    name : str
        The keyword.
    caller : str
        Name that the messages start with.

    Returns
    -------
    float
        Finite, not negative.

    Raises
    ------
    TypeError, ValueError
        If it is not.
    """
    try:
        tolerance = float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{caller}: {name} must be a number; got {value!r}.") from error
    if not 0 <= tolerance < np.inf:
        raise ValueError(
            f"{caller}: {name} must be finite and not negative; got {tolerance}."
        )
    return tolerance


def check_count(value, name, caller):
    """Return a count, at least 1.

    Parameters
    ----------
    value : int
        What the caller passed.
    name : str
        The keyword.
    caller : str
        Name that the messages start with.

    Returns
    -------
    int
        The count.

    Raises
    ------
    TypeError, ValueError
        If it is not an int, or below 1.
    """
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        raise TypeError(f"{caller}: {name} must be an int; got {value!r}.")
    count = operator.index(value)
    if count < 1:
        raise ValueError(f"{caller}: {name} must be at least 1; got {count}.")
    return count


def as_right_hand_side(b, n, caller, name="b"):
    """Return a right-hand side, or a block of them, as an array.

    Parameters
    ----------
    b : array_like
        What the caller passed.
    n : int
        Rows of A.
    caller : str
        Name that the messages start with.
    name : str, optional
        What the caller calls it.

    Returns
    -------
    ndarray, shape (n,) or (n, k)
        Finite numbers; the caller's own where it was an array.

    Raises
    ------
    TypeError, ValueError
        If it is not such an array.
    """
    return _as_numbers(b, name, [f"({n},)", f"({n}, k)"], lambda s: s[:1] == (n,), caller)


def as_start(x0, b, caller):
    """Return a start of an iteration as an array.

    Parameters
    ----------
    x0 : array_like
        What the caller passed.
    b : ndarray
        The right-hand side.
    caller : str
        Name that the messages start with.

    Returns
    -------
    ndarray, shape of `b`
        Finite numbers; the caller's own where it was an array.

    Raises
    ------
    TypeError, ValueError
        If it is not such an array.
    """
    return _as_numbers(x0, "x0", [str(b.shape)], lambda shape: shape == b.shape, caller)


def _as_numbers(value, name, shapes, fits, caller):
    array = np.asarray(value)
    if array.dtype.kind not in "biufc":
        raise TypeError(
            f"{caller}: {name} must be an array of numbers; got {type(value).__name__} of "
            f"dtype {array.dtype}."
        )
    if not 1 <= array.ndim <= 2 or not fits(array.shape):
        raise ValueError(
            f"{caller}: {name} must have shape {' or '.join(shapes)}; got {array.shape}."
        )
    finite = np.isfinite(array)
    if not finite.all():
        raise ValueError(
            f"{caller}: {name} must be finite; got {np.count_nonzero(~finite)} non-finite "
            "entries."
        )
    return array


def as_rng(rng, caller):
    """Return a generator.

    Parameters
    ----------
    rng : int, numpy.random.Generator or None
        What the caller passed.
    caller : str
        Name that the message starts with.

    Returns
    -------
    numpy.random.Generator
        The caller's own where one was passed.

    Raises
    ------
    TypeError
        If it is none of those.
    """
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{caller}: rng must be a non-negative int, a numpy.random.Generator or None; "
            f"got {rng!r}."
        ) from error
