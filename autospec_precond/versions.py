"""Versions of the package and of what it runs on, for bug reports."""

import importlib.metadata
import platform
import sys

__all__ = ["__version__", "show_versions"]

__version__ = "0.1.0"

_PACKAGES = ("numpy", "scipy", "numba", "safetensors", "torch", "cupy", "pyamg")


def show_versions() -> None:
    """Print the versions that a bug report should hold.

    Examples
    --------
    >>> import autospec_precond
    >>> autospec_precond.show_versions()
    autospec_precond ...
    """
    print(f"autospec_precond {__version__}")
    print(f"python {sys.version.split()[0]} on {platform.platform()}")
    for name in _PACKAGES:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            version = "not installed"
        print(f"{name} {version}")
