"""The only module of the kernels that imports CuPy, and not before it is needed."""

import functools
import sys

from . import source

__all__ = ["cupy", "functions", "is_device_array"]

_stand_in = None  # a module that tests put in the place of CuPy


def cupy():
    """Return CuPy.

    Returns
    -------
    module
        As imported.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    if _stand_in is not None:
        return _stand_in
    try:
        import cupy as module
    except ImportError as error:
        raise ImportError(
            "device: arrays on a GPU need CuPy; got no module of that name. Install "
            "cupy-cuda13x, or cupy-cuda12x for older drivers: pip install cupy-cuda13x."
        ) from error
    return module


def is_device_array(x):
    """Tell whether an object is an array of CuPy's, without importing it.

    Parameters
    ----------
    x : object
        Anything.

    Returns
    -------
    bool
        False wherever CuPy has not been imported.
    """
    module = _stand_in or sys.modules.get("cupy")
    return module is not None and isinstance(x, module.ndarray)


def functions(names):
    """Return kernels, compiled once for each device.

    Parameters
    ----------
    names : tuple of str
        As `source` makes them.

    Returns
    -------
    tuple of callable
        To be called with grid, block and arguments; they start on the current stream.
    """
    module = cupy()
    return _functions(module, module.cuda.Device().id, names)


@functools.cache
def _functions(module, device_id, names):
    """Do so; CuPy itself keeps on disk what it compiles."""
    compiled = module.RawModule(
        code=source.text(), options=source.OPTIONS, name_expressions=names
    )
    return tuple(compiled.get_function(name) for name in names)
