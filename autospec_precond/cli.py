"""The command line: ``autospec-precond inspect | solve | demo``.

Exit codes: 0 converged (or nothing to converge), 1 not converged, 2 bad input.
"""

import argparse
import inspect
import json
import sys
import time
from pathlib import Path

import numpy as np
import scipy.io
import scipy.sparse as sp

from . import compare, demo
from .build import make
from .kernels import warmup
from .versions import __version__

__all__ = ["main"]

CONVERGED, NOT_CONVERGED, BAD_INPUT = 0, 1, 2


def main(arguments=None):
    """Run the command line.

    Parameters
    ----------
    arguments : list of str, optional
        ``sys.argv[1:]`` by default.

    Returns
    -------
    int
        The exit code.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"autospec-precond: {error}", file=sys.stderr)
        return BAD_INPUT


def _parser():
    parser = argparse.ArgumentParser(
        prog="autospec-precond",
        description="Learned polynomial preconditioners: look at a matrix, solve a system.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="inspect | solve | demo")

    look = commands.add_parser("inspect", help="probe a matrix and print the report")
    look.add_argument("matrix", help="Matrix Market (.mtx, .mtx.gz) or SciPy .npz")
    look.add_argument("--degree", type=int, help="products per application, even")
    look.add_argument("--json", action="store_true", help="print JSON")
    look.set_defaults(run=_inspect)

    solve = commands.add_parser("solve", help="solve A x = b with conjugate gradients")
    solve.add_argument("matrix", help="Matrix Market (.mtx, .mtx.gz) or SciPy .npz")
    solve.add_argument("rhs", nargs="?", help="b as .mtx or .npy; random by default")
    solve.add_argument("-o", "--output", help="write x to this .npy file")
    solve.add_argument("--rtol", type=float, default=1e-8, help="default: 1e-8")
    solve.add_argument("--maxiter", type=int, help="outer iterations; default: 10 n")
    solve.add_argument("--degree", type=int, help="products per application, even")
    solve.add_argument("--json", action="store_true", help="print JSON")
    solve.add_argument("--compare", action="store_true", help="add none and Jacobi")
    solve.set_defaults(run=_solve)

    show = commands.add_parser("demo", help="solve two systems, needs PyAMG")
    show.set_defaults(run=_demo)
    return parser


def _inspect(options):
    M = make(_read_matrix(options.matrix, "inspect"), degree=options.degree)
    print(M.report.to_json() if options.json else M.report)
    return CONVERGED


def _solve(options):
    A = _read_matrix(options.matrix, "solve")
    b = _read_rhs(options.rhs, A)
    if not 0 < options.rtol < 1:
        raise ValueError(f"solve: --rtol must lie between 0 and 1; got {options.rtol}.")
    if options.maxiter is not None and options.maxiter < 1:
        raise ValueError(f"solve: --maxiter must be positive; got {options.maxiter}.")
    settings = {"rtol": options.rtol, "maxiter": options.maxiter}
    if options.compare:
        x, M, rows = compare.compare(A, b, degree=options.degree, **settings)
    else:
        warmup()  # compilation stays outside the clock
        M = make(A, degree=options.degree)
        setup = M.report.n_products, M.report.seconds
        x, row = compare.run_cg(
            A, b, M, method="autospec", setup=setup, progress=_progress(A, b), **settings
        )
        rows = [row]
    if options.output:
        with open(options.output, "wb") as file:
            np.save(file, x)
    if options.json:
        result = {"rows": [row.to_dict() for row in rows], "report": M.report.to_dict()}
        print(json.dumps(result))
    else:
        print(M.report, compare.table(rows), sep="\n\n")
    # SciPy stops on a recursive residual, which can fall while the true one stalls.
    good = rows[-1].converged and rows[-1].residual <= 10 * options.rtol
    return CONVERGED if good else NOT_CONVERGED


def _demo(options):
    return CONVERGED if demo.run(print) else NOT_CONVERGED


def _progress(A, b, every=0.5):
    """Return a callback that shows the true residual twice a second on a terminal."""
    if not sys.stderr.isatty():
        return None
    norm = np.linalg.norm(b) or 1.0
    last = time.monotonic()

    def show(iteration, x):
        nonlocal last
        if time.monotonic() - last > every:
            residual = np.linalg.norm(b - A @ x) / norm
            print(
                f"\riteration {iteration}, residual {residual:.1e}  ",
                end="",
                file=sys.stderr,
                flush=True,
            )
            last = time.monotonic()

    return show


def _read_matrix(name, caller):
    _check_file(name, caller)
    try:
        A = sp.load_npz(name) if name.endswith(".npz") else _read_market(name)
    except Exception as error:  # the readers raise whatever meets them
        raise ValueError(
            f"{caller}: the matrix must be a Matrix Market or SciPy .npz file; got {name}, "
            f"which cannot be read ({error})."
        ) from error
    return sp.csr_array(A) if sp.issparse(A) else np.asarray(A)


def _read_rhs(name, A):
    if name is None:
        b = np.random.default_rng(0).standard_normal(A.shape[0])
        return b.astype(np.result_type(A.dtype, np.float32))  # A may hold integers
    _check_file(name, "solve")
    try:
        b = np.load(name) if name.endswith(".npy") else _read_market(name)
    except Exception as error:
        raise ValueError(
            f"solve: b must be a Matrix Market or .npy file; got {name}, which cannot be "
            f"read ({error})."
        ) from error
    b = b.toarray() if sp.issparse(b) else np.asarray(b)
    if b.size != A.shape[0]:
        raise ValueError(
            f"solve: b must have {A.shape[0]} entries; got shape {b.shape} in {name}."
        )
    if b.dtype.kind not in "biufc" or not np.isfinite(b).all():
        raise ValueError(f"solve: b must hold finite numbers; got {b.dtype} in {name}.")
    return b.ravel()


def _read_market(name):
    # Newer SciPy wants to be told that arrays are welcome; older does not know the word.
    known = inspect.signature(scipy.io.mmread).parameters
    return scipy.io.mmread(name, **({"spmatrix": False} if "spmatrix" in known else {}))


def _check_file(name, caller):
    if not Path(name).is_file():
        raise ValueError(f"{caller}: the file must exist; got {name!r}.")
