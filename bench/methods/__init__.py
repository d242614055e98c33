"""The methods: ours and its rivals, by name."""

import importlib.util
from pathlib import Path

from . import direct, incomplete, multigrid, ours, polynomials, simple
from .registry import METHODS, Context, Method, NotSupported, Prepared, method

__all__ = [
    "METHODS",
    "Context",
    "Method",
    "NotSupported",
    "Prepared",
    "direct",
    "incomplete",
    "load_plugin",
    "method",
    "multigrid",
    "ours",
    "polynomials",
    "simple",
]


# First none, which sets the budget of the others, then as a reader expects them.
_ORDER = (
    *("none", "jacobi", "ours", "ours-classical"),
    *("cheb30", "chebritz", "cheb4", "gmrespoly", "gmrespoly-plain"),
    *("ic0", "ict5", "ict10", "ict20"),
    *("ilu0", "ilut10", "ilut50", "ilutp50", "ilupp"),
    *("spilu", "pyamg-sa", "pyamg-rs", "splu"),
)
for _name in _ORDER:
    METHODS[_name] = METHODS.pop(_name)


def load_plugin(path):
    """Run a Python file that registers methods of its own with `method`.

    Parameters
    ----------
    path : path-like
        The file.
    """
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
