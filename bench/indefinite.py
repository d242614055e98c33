"""MINRES with and without M on Hermitian indefinite and singular problems; others with M.

    python -m bench indefinite FOLDER [--only TEXT] [--json FILE] [--limit SECONDS]
    python -m bench indefinite FOLDER --complex
    python -m bench indefinite FILE.jsonl    # the table of such a file

FOLDER holds NAME.npz files and their catalogue.csv. Each problem is driven, in its true
residual, to what MINRES without M reaches within the limit, at most 1e-8: the iterations
that takes are counted in a first run, and timed in further ones that end there. Seconds
with M include making it. Compilation is outside the clock.
"""

import argparse
import csv
import json
import time
import warnings
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import bicgstab, gmres, minres

import autospec_precond as ap

from .indefinite_problems import PROBLEMS, SINGULAR, complex_shifted

RTOL = 1e-8
_RUNS = 6  # of minres, each from where the one before has stopped
CLASSES = ("symmetric indefinite", "symmetric negative definite")
COMPLEX = ("complex symmetric", "hermitian", "complex")


class _ReachedError(Exception):
    """The true residual is as small as it was to become."""


def main(argv=None):
    """Run; return 1 where a problem is lost."""
    parser = argparse.ArgumentParser(prog="bench indefinite")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="texts, by commas, in names of problems")
    parser.add_argument("--json", type=Path, help="append one JSON line per problem here")
    parser.add_argument("--limit", type=float, default=3.0, help="seconds of none")
    parser.add_argument("--complex", action="store_true", help="gmres and bicgstab instead")
    options = parser.parse_args(argv)
    if options.folder.is_file():
        lines = options.folder.read_text().splitlines()
        print(table([json.loads(line) for line in lines]))
        return 0
    ap.warmup()
    source = complex_problems if options.complex else real_problems
    records = []
    for name, kind, make in source(options.folder):
        if not any(text in name or text == kind for text in options.only.split(",")):
            continue
        A, b = make()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = compare_complex(A, b) if options.complex else [compare(A, b, options)]
        for record in found:
            record = {
                "problem": name,
                "kind": kind,
                "n": A.shape[0],
                "nnz": A.nnz,
                **record,
            }
            records.append(record)
            print(
                " | ".join(f"{key} {_short(value)}" for key, value in record.items()),
                flush=True,
            )
            if options.json:
                with options.json.open("a") as file:
                    file.write(json.dumps(record) + "\n")
    return int(any(record.get("lost") for record in records))


def real_problems(folder):
    """Yield name, kind and a function that makes matrix and right-hand side."""
    for row in _catalogue(folder):
        if row["class"] in CLASSES:
            consistent = "singular" in row["notes"]
            yield row["name"], "collection", _loader(folder, row["name"], consistent)
    for name, make in PROBLEMS.items():
        yield name, "generated", lambda make=make: _with_random(make())
    for name, make in SINGULAR.items():
        yield name, "singular", lambda make=make: _consistent(make())


def complex_problems(folder):
    """Yield the complex matrices of the folder, and shifted complex Laplacians."""
    for row in _catalogue(folder):
        if row["class"] in COMPLEX:
            yield row["name"], "collection", _loader(folder, row["name"], False)
    for damping in (0.5, 0.1, 0.02):
        name = f"Laplacian 150² - 0.2 + {damping}i"
        yield (
            name,
            "generated",
            lambda damping=damping: _with_random(complex_shifted(150, 0.2, damping)),
        )


def table(records):
    """Return the records as a Markdown table."""
    if "solver" in records[0]:
        heads = "problem", "n", "solver", "degree"
        keys = heads
        both = "products", "s", "residual"
        heads += tuple(f"{what}, {who}" for what in both for who in ("none", "ours"))
        keys += tuple(f"{who} {what}" for what in both for who in ("none", "ours"))
    else:
        keys = "problem", "n", "base", "degree", "target", "iterations none", "iterations"
        heads = (*keys[:5], "products, none", "iterations, ours", "products, ours")
        keys += "products", "none s", "make s", "ours s", "gain"
        heads += "s, none", "s, making M", "s, ours", "gain"
    lines = [" | ".join(heads), " | ".join("---" for _ in heads)]
    for record in records:
        texts = [_short(record.get(key, "lost")) for key in keys]
        lines.append(" | ".join(texts))
    return "\n".join(f"| {line} |" for line in lines)


def _catalogue(folder):
    with (folder / "catalogue.csv").open() as file:
        return list(csv.DictReader(file))


def _loader(folder, name, consistent):
    def make():
        A = sp.csr_array(sp.load_npz(folder / f"{name}.npz"))
        return _consistent(A) if consistent else _with_random(A)

    return make


def _with_random(A):
    b = np.random.default_rng(0).standard_normal(A.shape[0])
    return A, b.astype(A.dtype)


def _consistent(A):
    x = np.random.default_rng(0).standard_normal(A.shape[0]).astype(A.dtype)
    return A, A @ x


def compare(A, b, options):
    """Drive MINRES without M and with it to the same true residual."""
    residuals, plain_runs = _residuals(A, b, None, 5 * A.shape[0], options.limit)
    target = max(RTOL, min(residuals)) * (1 + 1e-6)
    n_none = _first(residuals, target)
    M = ap.make(A, solver="minres")  # compiles
    budget = max(3 * n_none, 5 * A.shape[0])
    ours, runs = _residuals(A, b, M, budget, 3 * options.limit, target)
    n_ours = _first(ours, target)
    timed = [lambda: _run(A, b, None, plain_runs, n_none)]
    timed.append(lambda: ap.make(A, solver="minres"))
    if n_ours is not None:
        timed.append(lambda: _run(A, b, M, runs, n_ours))
    none_s, made, *solved = _least(timed)
    record = {
        "degree": M.degree,
        "base": M.report.base,
        "target": target,
        "iterations none": n_none,
        "iterations": n_ours,
        "products": None
        if n_ours is None
        else n_ours * (M.degree + 1) + M.report.n_products,
        "none s": none_s,
        "make s": made,
        "lost": n_ours is None,
    }
    if n_ours is not None:
        best = made + solved[0]
        record |= {"ours s": best, "gain": none_s / best}
    for word, M_used in (("none", None), ("ours", M)):
        x, info = minres(A, b, M=M_used, rtol=RTOL, maxiter=max(n_none, 1) * 2)
        record[f"true residual at rtol 1e-8, {word}"] = _relative(A, b, x)
        record[f"info {word}"] = info
    return record


def compare_complex(A, b):
    """Solve with GMRES and BiCGSTAB, without M and with it."""
    for solver, run in (("gmres", gmres), ("bicgstab", bicgstab)):
        ap.make(A, solver=solver)  # compiles
        record = {"solver": solver}
        for word in ("none", "ours"):
            began = time.perf_counter()
            M = None if word == "none" else ap.make(A, solver=solver)
            made = time.perf_counter() - began
            counter = [0]

            def product(x, A=A, counter=counter):
                counter[0] += 1
                return A @ x

            operator = sp.linalg.LinearOperator(A.shape, matvec=product, dtype=A.dtype)
            settings = (
                {"restart": 30, "maxiter": 200} if solver == "gmres" else {"maxiter": 3000}
            )
            x, info = run(operator, b, M=M, rtol=RTOL, **settings)
            seconds = time.perf_counter() - began
            per_iteration = 1 if M is None else M.degree + 1
            record |= {
                f"{word} s": seconds,
                f"{word} residual": _relative(A, b, x),
                f"{word} products": counter[0] * per_iteration
                + (0 if M is None else M.report.n_products),
                f"{word} info": info,
            }
            if M is not None:
                record |= {"degree": M.degree, "make s": made}
        yield record


def _residuals(A, b, M, maxiter, limit, target=RTOL):
    """Return true residuals after each iteration, and the iterations of each run.

    Until the target, the time limit or two runs without headway: minres also stops where
    it takes rounding to be reached, and goes on from there when it is called again.
    """
    result, runs, began, size = [1.0], [], time.perf_counter(), np.linalg.norm(b)

    def look(x):
        result.append(float(np.linalg.norm(b - A @ x) / size))
        if result[-1] <= target or time.perf_counter() - began > 2 * limit:
            raise _ReachedError

    x, best = None, np.inf
    for _ in range(_RUNS):
        start = len(result)
        try:
            x, _ = minres(A, b, x, M=M, rtol=1e-16, maxiter=maxiter, callback=look)
        except (_ReachedError, ValueError):
            break
        finally:
            runs.append(len(result) - start)
        if min(result) > 0.5 * best or len(result) > maxiter:
            break
        best = min(result)
    return result, runs


def _first(residuals, target):
    """Return the number of iterations after which the target is reached, or None."""
    reached = np.flatnonzero(np.array(residuals) <= target)
    return int(reached[0]) if reached.size else None


def _run(A, b, M, runs, count):
    """Make so many iterations, in runs as before."""
    x, left = None, count
    for run in runs:
        if left > 0:
            x, _ = minres(A, b, x, M=M, rtol=1e-16, maxiter=min(run, left))
            left -= run


def _least(calls):
    """Return the least seconds of each call; in turns, so that all meet the same noise."""
    times = [[] for _ in calls]
    began = time.perf_counter()
    while len(times[0]) < 100 and time.perf_counter() - began < 1.0:
        for call, own in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            own.append(time.perf_counter() - start)
    return [min(own) for own in times]


def _relative(A, b, x):
    return float(np.linalg.norm(b - A @ x) / np.linalg.norm(b))


def _short(value):
    return f"{value:.3g}" if isinstance(value, float) else str(value)
