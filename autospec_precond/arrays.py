"""Where an array lives: told by the module of its type, so that nothing is imported."""

import sys

import numpy as np

__all__ = [
    "check_device",
    "check_together",
    "is_on_device",
    "name_of",
    "namespace",
    "where",
]

_ROOMS = ("cupy", "cupyx")


def is_on_device(x):
    """Tell whether an object belongs to CuPy.

    Parameters
    ----------
    x : object
        Array, sparse matrix, operator or anything else.

    Returns
    -------
    bool
        By the module of its type or of a type that it inherits from.
    """
    return any(kind.__module__.partition(".")[0] in _ROOMS for kind in type(x).__mro__)


def namespace(x):
    """Return the array module that an object belongs to.

    Parameters
    ----------
    x : object
        As for `is_on_device`.

    Returns
    -------
    module
        ``cupy``, which is loaded where such an object exists, or ``numpy``.
    """
    return sys.modules["cupy"] if is_on_device(x) else np


def name_of(x):
    """Return where an object of CuPy's lives.

    Parameters
    ----------
    x : object
        Array, sparse matrix or operator.

    Returns
    -------
    str
        'cuda' or, where the object tells, 'cuda:0', 'cuda:1', ...; 'cpu' for all others.
    """
    if not is_on_device(x):
        return "cpu"
    # The property `device` of CuPy's sparse matrices raises NotImplementedError.
    holder = x.data if hasattr(x, "nnz") and hasattr(x, "data") else x
    number = getattr(getattr(holder, "device", None), "id", None)
    return "cuda" if number is None else f"cuda:{number}"


def where(x):
    """Say where an object lives, for messages.

    Parameters
    ----------
    x : object
        As for `is_on_device`.

    Returns
    -------
    str
        With the name of its type.
    """
    name = name_of(x)
    place = "in host memory" if name == "cpu" else f"on device {name!r}"
    return f"{type(x).__name__} {place}"


def check_device(device, caller):
    """Return the number of the device that is asked for.

    Parameters
    ----------
    device : str or None
        What the caller passed.
    caller : str
        Name that the message starts with.

    Returns
    -------
    str or None
        'cpu', 'cuda', 'cuda:0', 'cuda:1', ... or None.

    Raises
    ------
    ValueError
        If it is none of those.
    """
    if device is None or (isinstance(device, str) and device in ("cpu", "cuda")):
        return device
    if isinstance(device, str) and device.startswith("cuda:"):
        number = device[5:]
        if number.isascii() and number.isdecimal():
            return f"cuda:{int(number)}"
    raise ValueError(
        f"{caller}: device must be one of 'cpu', 'cuda', 'cuda:0', 'cuda:1', ...; got "
        f"{device!r}."
    )


def check_together(caller, **given):
    """Refuse arguments of which some are in host memory and some on a device, or another.

    Parameters
    ----------
    caller : str
        Name that the message starts with.
    **given : object
        By name, the first as it should be; None and texts have no place.

    Raises
    ------
    TypeError
        Saying which one is where.
    """
    placed = {
        name: x for name, x in given.items() if x is not None and not isinstance(x, str)
    }
    if len(placed) < 2:
        return
    (first, reference), *others = placed.items()
    home = is_on_device(reference)
    apart = [name for name, x in others if _are_apart(reference, x)]
    if apart:
        name = apart[0]
        hint = f"Pass cupy.asarray({name})." if home else f"Pass cupy.asnumpy({name})."
        if home and is_on_device(placed[name]):
            hint = f"Copy {name} to the other device."
        raise TypeError(
            f"{caller}: {name} must be where {first} is; got {first} {where(reference)} "
            f"and {name} {where(placed[name])}. {hint}"
        )


def _are_apart(x, y):
    """Tell whether two objects are in different places, as far as they tell."""
    names = name_of(x), name_of(y)
    return is_on_device(x) != is_on_device(y) or (
        names[0] != names[1] and all(":" in name for name in names)
    )
