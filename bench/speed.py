"""Seconds of whole solves, setup included, every way side by side in one process.

    python -m bench speed [PROBLEM ...] [--rounds 3] [--ways jacobi,cg] [--json FILE]

Six generated problems by default. Random right-hand side, rtol 1e-8, float64; SciPy's cg
but for `solve`. The ways take turns, rivals of one kind (incomplete Cholesky, multigrid) in
the first round alone but for the best of them; medians. BLAS and threads are as the
environment gives them, and kernels are compiled before. Exit code 1 where one of ours does
not converge.
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

from . import environment, problems
from .methods import METHODS, Context

__all__ = ["PROBLEMS", "WAYS", "main"]

PROBLEMS = (
    "poisson2d:1000",
    "poisson3d:100",
    "lognormal3d:80",
    "elasticity2d:400",
    "elasticity3d:46",
    "delaunay2d:500000",
)
RTOL = 1e-8
_MOST = 20_000  # iterations
_KINDS = {
    "cholesky": ("ic0", "ict5", "ict10", "ict20"),
    "multigrid": ("pyamg-sa", "pyamg-rs"),
}


def _by_scipy(prepare):
    """Return a way: SciPy's cg with what `prepare` makes of a problem."""

    def run(problem, b):
        began = time.perf_counter()
        A, M = prepare(problem)
        made = time.perf_counter()
        count = [0]

        def step(_):
            count[0] += 1

        x, info = cg(A, b, M=M, rtol=RTOL, maxiter=_MOST, callback=step)
        return x, info, count[0], getattr(M, "degree", None), made - began

    return run


def _ours(**keywords):
    def prepare(problem):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ap.UncertifiedWarning)
            return problem.A, ap.make(problem.A, **keywords)

    return prepare


def _own_solver(problem, b):
    began = time.perf_counter()
    _, M = _ours()(problem)
    made = time.perf_counter()
    count = [1]  # the last iteration ends without a call

    def step(_):
        count[0] += 1

    x, info = M.solve(b, rtol=RTOL, maxiter=_MOST, callback=step)
    return x, info, count[0], M.degree, made - began


def _rival(name):
    def prepare(problem):
        context = Context(problem.A, "spd", "cg", problem.nullspace, problem.block)
        return problem.A, METHODS[name].prepare(context).M

    return prepare


WAYS = {
    "jacobi": _by_scipy(lambda problem: (problem.A, jacobi(problem.A))),
    "product": _by_scipy(lambda p: (ap.make(p.A, degree=0).A, jacobi(p.A))),
    "cg": _by_scipy(_ours()),
    "one-thread": _by_scipy(_ours(n_threads=1)),
    "single": _by_scipy(_ours(precision="single")),
    "solve": _own_solver,
    **{name: _by_scipy(_rival(name)) for names in _KINDS.values() for name in names},
}
_OF_OURS = ("product", "cg", "one-thread", "single", "solve")


def main(argv=None):
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench speed", description=__doc__.splitlines()[0]
    )
    parser.add_argument("problems", nargs="*", default=PROBLEMS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", default=",".join(WAYS), help="default: %(default)s")
    parser.add_argument("--json", type=Path, help="append one JSON line per solve here")
    options = parser.parse_args(argv)
    ways = options.ways.split(",")
    unknown = [name for name in ways if name not in WAYS]
    if unknown:
        parser.error(f"--ways must be of {', '.join(WAYS)}; got {', '.join(unknown)}")
    ap.warmup()
    print(f"{environment.cpu()}, commit {environment.commit()}")
    rows = []
    for text in options.problems:
        rows += measure(text, ways, options.rounds, options.json)
    print(summary(rows))
    return int(any(not r["converged"] and r["way"] in _OF_OURS for r in rows))


def measure(text, ways, n_rounds, path):
    """Solve one problem in every way; return the rows, and print them as they come."""
    problem = problems.build(text)
    n = problem.A.shape[0]
    print(f"\n{text}: {n:,} unknowns, {problem.A.nnz:,} entries", flush=True)
    b = np.random.default_rng(7).standard_normal(n)
    _compile(problem, b)
    rows = []
    for k in range(n_rounds):
        for way in _repeated(rows, ways) if k else ways:
            row = {"problem": text, "way": way, "round": k, **_run(way, problem, b)}
            rows.append(row)
            print(
                f"  {way:<11}{row['iterations']:>6} iterations, degree "
                f"{'-' if row['degree'] is None else row['degree']}: "
                f"{row['setup']:8.3f} + {row['solve']:8.3f} s, residual "
                f"{row['residual']:.1e}{row['failure']}",
                flush=True,
            )
            if path:
                with path.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    return rows


def _compile(problem, b):
    """Let each kernel meet this matrix once: the clock is not for the compiler."""
    for precision in ("mixed", "single"):
        _, M = _ours(precision=precision)(problem)
        M @ b
    M.solve(b, rtol=0.5)
    M.A @ b


def _run(way, problem, b):
    began = time.perf_counter()
    try:
        x, info, iterations, degree, setup = WAYS[way](problem, b)
    except Exception as error:  # a rival may fail in any way
        return {
            "iterations": 0, "degree": None, "setup": time.perf_counter() - began,
            "solve": 0.0, "residual": float("nan"), "converged": False,
            "failure": f" {type(error).__name__}: {error}",
        }  # fmt: skip
    seconds = time.perf_counter() - began
    residual = float(np.linalg.norm(b - problem.A @ x) / np.linalg.norm(b))
    converged = info == 0 and residual <= 10 * RTOL
    return {
        "iterations": iterations,
        "degree": degree,
        "setup": setup,
        "solve": seconds - setup,
        "residual": residual,
        "converged": converged,
        "failure": "" if converged else " NOT CONVERGED",
    }


def _repeated(rows, ways):
    """Leave out rivals that are not the best of their kind, and what has failed."""
    seconds = {r["way"]: r["setup"] + r["solve"] for r in rows if r["converged"]}
    for names in _KINDS.values():
        best = min((n for n in names if n in seconds), key=seconds.get, default=None)
        ways = [way for way in ways if way == best or way not in names]
    return [way for way in ways if way in seconds]


def summary(rows):
    """Return the table of medians and of Jacobi's over them."""
    medians = {}
    for row in rows:
        if row["converged"]:
            key = row["problem"], row["way"]
            medians.setdefault(key, []).append(row["setup"] + row["solve"])
    medians = {key: statistics.median(values) for key, values in medians.items()}
    names = list(dict.fromkeys(row["problem"] for row in rows))
    shown = [w for w in ("jacobi", *_OF_OURS) if any((n, w) in medians for n in names)]
    for kind, ways in _KINDS.items():
        for name in names:
            found = [medians[name, w] for w in ways if (name, w) in medians]
            if found:
                medians[name, kind] = min(found)
        shown += [kind] if any((n, kind) in medians for n in names) else []
    lines = ["", "Seconds, setup included; in brackets Jacobi's over them.", ""]
    lines += ["| problem | " + " | ".join(shown) + " |", "|---|" + "--:|" * len(shown)]
    for name in names:
        lines.append(
            "| " + " | ".join([name, *(_cell(medians, name, w) for w in shown)]) + " |"
        )
    means = []
    for way in shown:
        both = [medians[n, "jacobi"] / medians[n, way] for n in names
                if (n, way) in medians and (n, "jacobi") in medians]  # fmt: skip
        means.append(f"{np.exp(np.mean(np.log(both))):.2f}x" if both else "–")
    lines.append("| **geometric mean** | " + " | ".join(means) + " |")
    return "\n".join(lines)


def _cell(medians, name, way):
    if (name, way) not in medians:
        return "–"
    seconds = medians[name, way]
    if way == "jacobi" or (name, "jacobi") not in medians:
        return f"{seconds:.3g}"
    return f"{seconds:.3g} ({medians[name, 'jacobi'] / seconds:.2f}x)"


if __name__ == "__main__":
    sys.exit(main())
