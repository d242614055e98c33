"""All positive definite matrices of a folder, side by side: does `make` ever hurt?

    python -m bench gate FOLDER [PROBLEM ...] [--repeats 9] [--json FILE]

Seconds of SciPy's cg with Jacobi against `make` and cg, setup included, in turn in one
process: the least of several repeats, or with --median their median. PROBLEM is a
generated one, such as poisson2d:400. Random right-hand side, rtol 1e-8, at most
max(20 n, 5000) products. Kernels are compiled before. Matrices that `make` refuses are
named and left out. Exit code 1 where ours takes more than 1.1 times what Jacobi takes,
and 1 ms more than that.
"""

import argparse
import json
import statistics
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.sparse.linalg import cg

import autospec_precond as ap
from autospec_precond.compare import jacobi
from bench import sources
from bench.spd_table import load

__all__ = ["allowed", "main"]

FACTOR = 1.1
SLACK = 1e-3  # seconds
RTOL = 1e-8
SECONDS = 2.0  # per matrix; at least three repeats


def main(argv=None):
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench gate", description=__doc__.splitlines()[0]
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("problems", nargs="*")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument(
        "--median", action="store_true", help="judge by medians: on an idle machine"
    )
    parser.add_argument("--json", type=Path, help="append one JSON line per matrix here")
    options = parser.parse_args(argv)
    ap.warmup()
    print(
        f"{'matrix':<24}{'n':>8}{'degree':>7}{'products':>9} | ms: {'make':>7}{'cg':>9}"
        f"{'Jacobi':>9}{'ratio':>7}"
    )
    records = []
    for name, A in problems(options):
        record = measure(
            name, A, options.repeats, statistics.median if options.median else min
        )
        if record is None:
            continue
        records.append(record)
        print(line(record), flush=True)
        if options.json:
            with options.json.open("a") as file:
                file.write(json.dumps(record) + "\n")
    return summary(records)


def problems(options):
    """Yield name and matrix: those of the folder, then the generated ones."""
    yield from load(options.folder)
    for source in sources.resolve(options.problems):
        yield source.problem, sources.load(source).A


def measure(name, A, repeats, typical):
    """Solve in turn with Jacobi and with ours; return what it took, or None."""
    b = np.random.default_rng(7).standard_normal(A.shape[0])
    budget = max(20 * A.shape[0], 5000)
    times = {"make": [], "cg": [], "jacobi": []}
    began = time.perf_counter()
    try:
        M = make(A)  # compiles what this matrix needs, and tells whether it can be done
        M @ b
    except ValueError as error:
        print(f"{name:<24} left out: {str(error)[:90]}")
        return None
    while len(times["cg"]) < repeats:
        start = time.perf_counter()
        _, info_jacobi = cg(A, b, M=jacobi(A), rtol=RTOL, maxiter=budget)
        middle = time.perf_counter()
        M = make(A)
        made = time.perf_counter()
        _, info = cg(A, b, M=M, rtol=RTOL, maxiter=budget // (M.degree + 1))
        end = time.perf_counter()
        for key, value in zip(
            times, (made - middle, end - made, middle - start), strict=True
        ):
            times[key].append(value)
        if end - began > SECONDS and len(times["cg"]) >= 3:
            break
    total = [a + b for a, b in zip(times["make"], times["cg"], strict=True)]
    return {
        "matrix": name,
        "n": A.shape[0],
        "nnz": int(A.nnz),
        "degree": M.degree,
        "setup_products": M.report.n_products,
        "converged": info == 0,
        "jacobi_converged": info_jacobi == 0,
        "total": typical(total),
        **{key: typical(values) for key, values in times.items()},
        "predicted": M.report.candidates,
    }


def make(A):
    """Make M; what it warns of is no matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ap.UncertifiedWarning)
        return ap.make(A, solver="cg")  # refuses what is not positive definite


def allowed(record):
    """Tell whether ours did no harm."""
    if not record["jacobi_converged"]:
        return True
    return record["converged"] and record["total"] <= FACTOR * record["jacobi"] + SLACK


def line(record):
    """Return one line of the table."""
    marks = "" if record["converged"] else " not converged"
    marks += "" if record["jacobi_converged"] else " (nor does Jacobi)"
    return (
        f"{record['matrix']:<24}{record['n']:>8}{record['degree']:>7}"
        f"{record['setup_products']:>9} | {1e3 * record['make']:>11.2f}"
        f"{1e3 * record['cg']:>9.2f}{1e3 * record['jacobi']:>9.2f}"
        f"{record['total'] / record['jacobi']:>7.2f}{marks}"
        f"{'' if allowed(record) else '  HURTS'}"
    )


def summary(records):
    """Print the figures over all; return the exit code."""
    if not records:
        print("python -m bench gate: no positive definite matrix found", file=sys.stderr)
        return 2
    both = [r for r in records if r["converged"] and r["jacobi_converged"]]
    mean = np.exp(np.mean([np.log(r["total"] / r["jacobi"]) for r in both]))
    wins = sum(r["total"] < r["jacobi"] / FACTOR for r in both)
    hurt = [r["matrix"] for r in records if not allowed(r)]
    print(
        f"{len(records)} matrices: geometric mean of ours over Jacobi {mean:.2f}, faster "
        f"by {FACTOR:g}x on {wins}, hurts on {len(hurt)} {' '.join(hurt)}"
    )
    return int(bool(hurt))


if __name__ == "__main__":
    sys.exit(main())
