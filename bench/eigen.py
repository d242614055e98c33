"""Eigenproblems: LOBPCG with M against its rivals, and `filtered_eigsh` against `eigsh`.

    python -m bench eigen FOLDER [--only NAME ...] [--part lobpcg|eigsh] [--output FILE]

FOLDER holds `NAME.npz` matrices; each run is a line of JSON in FILE. LOBPCG looks for the 8
smallest eigenvalues, tol is 1e-6 of the eighth, all start from the same block; seconds
include setup, the least of several runs where they are short. A run counts as converged
where LOBPCG's own residual norms are below 2 tol at the end (its last norms may lie just
above) and the eigenvalues are right to 1e-8. `eigsh` runs in a process of its own, whose
memory is the rise of its resident set while it looks for eigenpairs.
"""

import argparse
import json
import multiprocessing
import pathlib
import platform
import resource
import sys
import time
import warnings

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import eigsh, lobpcg

import autospec_precond as ap
from autospec_precond.eigenfilter import filtered_eigsh

from .problems import build

__all__ = ["main"]

PROBLEMS = ("poisson2d:300", "elasticity3d:20")
MATRICES = ("nos3", "gr_30_30", "662_bus", "pyamg_Airfoil", "pyamg_ldg_diffusion")
METHODS = ("none", "ours", "pyamg")
K, MAXITER = 8, 20000

LARGE = ("poisson3d:46", "lognormal3d:46,contrast=1000")
RUNS = {
    "filtered_eigsh": lambda A, k: filtered_eigsh(A, k),
    "filtered_eigsh, tol 1e-6": lambda A, k: filtered_eigsh(A, k, tol=1e-6),
    "eigsh, SA": lambda A, k: eigsh(A, k, which="SA"),
    "eigsh, SA, tol 1e-6": lambda A, k: eigsh(A, k, which="SA", tol=1e-6),
    "eigsh, sigma=0": lambda A, k: eigsh(sp.csc_array(A), k, sigma=0),
}


def load(name, folder):
    """Return a matrix; one of the folder is symmetric, and of norm one."""
    if ":" in name:
        return build(name).A
    A = sp.csr_array(sp.load_npz(pathlib.Path(folder) / f"{name}.npz"))
    A = sp.csr_array(0.5 * (A + A.T))
    return A / filtered_eigsh(A, 1, which="LA", return_eigenvectors=False)[0]


def preconditioner(method, A):
    """Return M of a method."""
    if method == "none":
        return None
    if method == "ours":
        return ap.make(A, solver="lobpcg", n_eigenpairs=K)
    import pyamg

    return pyamg.smoothed_aggregation_solver(sp.csr_matrix(A)).aspreconditioner()


def run_lobpcg(name, method, A, expected):
    """Run one method; return its line."""
    n, tol = A.shape[0], 1e-6 * expected[-1]
    X = np.random.default_rng(1).standard_normal((n, K))
    rounds, best = (1 if n > 5000 else 5), None
    for _ in range(rounds + (method != "none")):  # the first compiles
        began = time.perf_counter()
        M = preconditioner(method, A)
        setup = time.perf_counter() - began
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            w, _, norms = lobpcg(
                A,
                X.copy(),
                M=M,
                largest=False,
                tol=tol,
                maxiter=MAXITER,
                retResidualNormsHistory=True,
            )
        seconds = time.perf_counter() - began
        if best is None or seconds < best[0]:
            best = seconds, setup, len(norms), w, np.max(norms[-1])
    seconds, setup, iterations, w, norm = best
    error = float(np.abs(np.sort(w) - expected).max() / expected[-1])
    return {
        "part": "lobpcg", "problem": name, "n": n, "nnz": int(A.nnz), "method": method,
        "seconds": seconds, "setup": setup, "iterations": iterations,
        "norm_over_tol": float(norm / tol), "error": error,
        "converged": bool(norm <= 2 * tol and error <= 1e-8),
        "degree": getattr(M, "degree", None),
    }  # fmt: skip


def _child(name, method, k, results):
    A = build(name).A
    filtered_eigsh(build(name.partition(":")[0] + ":12").A, 4)  # compiles
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    w, v = RUNS[method](A, k)
    seconds = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    largest = filtered_eigsh(A, 1, which="LA", return_eigenvectors=False)[0]
    norms = np.linalg.norm(A @ v - v * w, axis=0)
    results.put((seconds, memory / 1024, float(norms.max() / largest), w.tolist()))


def run_eigsh(name, method, k, limit):
    """Run one method in a process of its own, for `limit` seconds at most."""
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    child = context.Process(target=_child, args=(name, method, k, results))
    child.start()
    child.join(limit)
    line = {"part": "eigsh", "problem": name, "method": method, "k": k, "limit": limit}
    if child.is_alive():
        child.kill()
        child.join()
        return {**line, "seconds": None}
    if child.exitcode:
        return {**line, "seconds": None, "failed": True}
    seconds, memory, residual, w = results.get()
    return {**line, "seconds": seconds, "megabytes": memory, "residual": residual, "w": w}


def main(argv=None):
    """Run what is asked for; print a line per run."""
    parser = argparse.ArgumentParser(prog="python -m bench eigen")
    parser.add_argument("folder")
    parser.add_argument("--only", nargs="+", help="problems")
    parser.add_argument("--methods", nargs="+")
    parser.add_argument("--part", choices=("lobpcg", "eigsh"))
    parser.add_argument("--output", default=None)
    parser.add_argument("--limit", type=float, default=90.0, help="seconds of one eigsh")
    options = parser.parse_args(argv)
    lines = []

    def keep(line):
        line["machine"] = platform.machine()
        lines.append(line)
        shown = {k: v for k, v in line.items() if k not in ("part", "machine", "w")}
        print(" ".join(f"{k}={_short(v)}" for k, v in shown.items()), flush=True)
        if options.output:
            with pathlib.Path(options.output).open("a") as file:
                file.write(json.dumps(line) + "\n")

    if options.part != "eigsh":
        for name in options.only or (*PROBLEMS, *MATRICES):
            A = load(name, options.folder)
            expected = filtered_eigsh(A, K, return_eigenvectors=False)
            for method in options.methods or METHODS:
                keep(run_lobpcg(name, method, A, expected))
        _summary(lines)
    if options.part != "lobpcg":
        for name in options.only or LARGE:
            for method in options.methods or RUNS:
                keep(run_eigsh(name, method, 50, options.limit))
    return 0


def _summary(lines):
    """Print geometric means of the rivals' seconds over ours, and losses."""
    times = {(line["problem"], line["method"]): line for line in lines}
    for rival in METHODS:
        pairs = [
            (times[problem, rival], times[problem, "ours"])
            for problem, method in times
            if method == rival != "ours" and (problem, "ours") in times
        ]
        if pairs:
            ratios = [theirs["seconds"] / ours["seconds"] for theirs, ours in pairs]
            lost = sum(t["converged"] and not o["converged"] for t, o in pairs)
            print(f"{rival}: {np.exp(np.mean(np.log(ratios))):.1f}x, {lost} lost")


def _short(value):
    return f"{value:.3g}" if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(main())
