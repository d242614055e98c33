"""The command line: ``autospec-precond inspect | solve | demo | retrain``.

Exit codes: 0 converged (or nothing to converge), or weights written; 1 not converged, or
weights no better; 2 bad input; 130 interrupted.
"""

import argparse
import json
import sys
import time

import numpy as np
import scipy.sparse as sp

from . import compare, demo, files
from .build import make
from .kernels import warmup
from .versions import __version__

__all__ = ["main"]

CONVERGED, NOT_CONVERGED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


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
    commands = parser.add_subparsers(
        required=True, metavar="inspect | solve | demo | retrain"
    )

    look = commands.add_parser("inspect", help="probe a matrix and print the report")
    look.add_argument("matrix", help="Matrix Market (.mtx, .mtx.gz) or SciPy .npz")
    look.add_argument("--degree", type=int, help="products per application")
    look.add_argument("--json", action="store_true", help="print JSON")
    look.set_defaults(run=_inspect)

    solve = commands.add_parser("solve", help="solve A x = b with one of SciPy's solvers")
    solve.add_argument("matrix", help="Matrix Market (.mtx, .mtx.gz) or SciPy .npz")
    solve.add_argument("rhs", nargs="?", help="b as .mtx or .npy; random by default")
    solve.add_argument("-o", "--output", help="write x to this .npy file")
    solve.add_argument("--rtol", type=float, default=1e-8, help="default: 1e-8")
    solve.add_argument("--maxiter", type=int, help="iterations; default: 10 n")
    solve.add_argument("--degree", type=int, help="products per application")
    solve.add_argument("--json", action="store_true", help="print JSON")
    solve.add_argument("--compare", action="store_true", help="add none and Jacobi")
    for command in (look, solve):
        command.add_argument(
            "--solver", choices=compare.SOLVERS, help="default: what suits the class of A"
        )
    solve.set_defaults(run=_solve)

    show = commands.add_parser("demo", help="solve two systems, needs PyAMG")
    show.set_defaults(run=_demo)

    retrain = commands.add_parser(
        "retrain", help="continue the training on matrices like yours, needs torch"
    )
    retrain.add_argument("matrices", nargs="+", help="Matrix Market or SciPy .npz files")
    retrain.add_argument("--out", required=True, help="weights to write, .safetensors")
    retrain.add_argument("--engine", help="weights to start from; default: the shipped")
    retrain.add_argument("--seed", type=int, default=0, help="default: 0")
    retrain.add_argument("--jobs", type=int, default=1, help="processes; default: 1")
    retrain.set_defaults(run=_retrain)
    return parser


def _inspect(options):
    A = files.read_matrix(options.matrix, "inspect")
    M = make(A, solver=options.solver, degree=options.degree)
    print(M.report.to_json() if options.json else M.report)
    return CONVERGED


def _solve(options):
    A = files.read_matrix(options.matrix, "solve")
    b = _read_rhs(options.rhs, A)
    if not 0 < options.rtol < 1:
        raise ValueError(f"solve: --rtol must lie between 0 and 1; got {options.rtol}.")
    if options.maxiter is not None and options.maxiter < 1:
        raise ValueError(f"solve: --maxiter must be positive; got {options.maxiter}.")
    settings = {"rtol": options.rtol, "maxiter": options.maxiter}
    wanted = {"degree": options.degree, "solver": options.solver}
    if options.compare:
        x, M, rows = compare.compare(A, b, **wanted, **settings)
    else:
        warmup()  # compilation stays outside the clock
        M = make(A, **wanted)
        settings |= {"setup": (M.report.n_products, M.report.seconds), "solver": M.solver}
        x, row = compare.run(
            A, b, M, method="autospec", progress=_progress(A, b), **settings
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


def _retrain(options):
    # Not above: most commands need nothing of the training.
    from .retrain import fine_tune

    try:
        result = fine_tune(
            options.matrices,
            out=options.out,
            engine=options.engine,
            rng=options.seed,
            n_jobs=options.jobs,
            progress=_stage if sys.stderr.isatty() else None,
        )
    except KeyboardInterrupt:
        print("\nretrain: interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    print(result)
    return CONVERGED if result.accepted else NOT_CONVERGED


def _stage(stage, done, total, loss, seconds_left):
    shown = "" if loss != loss else f", loss {loss:.4f}"
    minutes, seconds = divmod(round(seconds_left), 60)
    print(
        f"\r{stage}: {done} of {total}{shown}, {minutes}:{seconds:02d} left\x1b[K",
        end="\n" if stage == "evaluate" and done == total else "",
        file=sys.stderr,
        flush=True,
    )


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


def _read_rhs(name, A):
    if name is None:
        b = np.random.default_rng(0).standard_normal(A.shape[0])
        return b.astype(np.result_type(A.dtype, np.float32))  # A may hold integers
    files.check_file(name, "solve")
    try:
        b = np.load(name) if name.endswith(".npy") else files.read_market(name)
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
