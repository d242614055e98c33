"""Imports run one way, from the user's entry down to the arithmetic."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import autospec_precond

PACKAGE = "autospec_precond"
ROOT = Path(autospec_precond.__file__).parent

# Lowest first. An entry holds the module of that name and all below it, unless a longer
# entry claims them; modules of one entry may import each other.
LAYERS = [
    "errors",
    "versions",
    "arrays",
    "checks",
    "polynomial",
    "roots",
    "signed",
    "classical",
    "positivity",
    "certificate",
    "probe",
    "equilibrium",
    "unions",
    "features",
    "engine",
    "gmres_engine",
    "checkpoint",
    "spectra",
    "files",
    "plot",
    "blas",
    "threads",
    "sums",
    "kernels.reference",
    "kernels.cpu_panel",
    "kernels.cpu",
    "kernels.chunks",
    "kernels.cpu_order",
    "kernels.arrange",
    "kernels.cpu_rows",
    "kernels.cpu_repeats",
    "kernels.cpu_setup",
    "kernels.cpu_streams",
    "kernels.arrays",
    "kernels.ranges",
    "kernels.steps",
    "kernels.stored_steps",
    "kernels.scaled",
    "kernels.diagonals",
    "kernels.slices",
    "kernels.fields",
    "kernels.layout",
    "kernels.plans",
    "kernels.cpu_dia",
    "kernels.cpu_chunk",
    "kernels.cpu_sell",
    "kernels.cpu_fields",
    "kernels.gpu",
    "kernels.gpu_runtime",
    "kernels",
    "operands",
    "bases",
    "probing",
    "density",
    "tall",
    "subspace",
    "pencil",
    "calibration",
    "cost",
    "report",
    "nullspace",
    "classify",
    "request",
    "products",
    "solvers",
    "linop",
    "choice",
    "definite",
    "arnoldi",
    "scaling",
    "cycles",
    "composite",
    "general",
    "row_scaling",
    "minres_probe",
    "trials",
    "indefinite",
    "lobpcg",
    "classes",
    "device",
    "build",
    "eigenfilter",
    "retrain",
    "compare",
    "demo",
    "cli",
    "__main__",
    "",  # the package's own __init__
]

# What is heavy or optional, and the only modules that may import it.
HOMES = {
    "torch": "retrain",
    "numba": ("kernels.cpu", "retrain.counting", "retrain.gmres_counting"),
    "cupy": "kernels.gpu",
    "cupyx": "kernels.gpu",
    "matplotlib": "plot",
    "petsc4py": "petsc",
}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}

each_module = pytest.mark.parametrize(
    "name", MODULES, ids=[name or "__init__" for name in MODULES]
)


def layer(name):
    """Return the longest entry of LAYERS that holds the module, or None."""
    parts = name.split(".")
    prefixes = [".".join(parts[:k]) for k in range(len(parts), 0, -1)]
    return next((prefix for prefix in prefixes if prefix in LAYERS), None)


def imports(name, *, source=None, is_package=None):
    """Yield the absolute names that a module imports, at any depth of its code."""
    path = MODULES.get(name)
    source = path.read_text() if source is None else source
    is_package = path.name == "__init__.py" if is_package is None else is_package
    here = [PACKAGE, *name.split(".")] if name else [PACKAGE]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = node.level - is_package
            base = here[: len(here) - up] if node.level else []
            base = [*base, *(node.module.split(".") if node.module else [])]
            yield from (".".join([*base, alias.name]) for alias in node.names)


def own_imports(name, **given):
    """Yield the modules of this package among what a module imports."""
    for full in imports(name, **given):
        top, _, rest = full.partition(".")
        if top == PACKAGE:
            # The last part is a module, or something inside the module before it.
            yield rest if rest in MODULES else rest.rpartition(".")[0]


@pytest.mark.parametrize(
    ("name", "is_package", "source", "expected"),
    [
        ("linop", False, "from .errors import E", "autospec_precond.errors.E"),
        ("linop", False, "from . import errors", "autospec_precond.errors"),
        ("kernels", True, "from . import cpu", "autospec_precond.kernels.cpu"),
        ("kernels.cpu", False, "from ..errors import E", "autospec_precond.errors.E"),
        ("kernels.cpu", False, "from . import layout", "autospec_precond.kernels.layout"),
        ("", True, "from .linop import L", "autospec_precond.linop.L"),
        ("linop", False, "def f():\n    import numba.core", "numba.core"),
        ("linop", False, "from autospec_precond import errors", "autospec_precond.errors"),
    ],
)
def test_imports_are_read_as_python_reads_them(name, is_package, source, expected):
    assert list(imports(name, source=source, is_package=is_package)) == [expected]


@each_module
def test_imports_point_down(name):
    home = layer(name) if name else ""
    assert home is not None, f"{name} has no layer; add it to LAYERS"
    for target in own_imports(name):
        below = layer(target) if target else ""
        allowed = below == home or LAYERS.index(below) < LAYERS.index(home)
        assert allowed, f"{name} may not import {target or PACKAGE}"


@each_module
def test_heavy_packages_stay_in_their_rooms(name):
    for full in imports(name):
        home = HOMES.get(full.partition(".")[0])
        # By the start of the name: kernels.cpu may become a folder or kernels.cpu_blocked.
        assert home is None or name.startswith(home), f"{name} may not import {full}"


def test_import_is_light():
    code = f"import sys, autospec_precond; print(*(set({list(HOMES)}) & set(sys.modules)))"
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    assert run.stdout.split() == []
