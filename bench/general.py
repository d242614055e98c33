"""General matrices: gmres(30) to a true residual of 1e-8, with and without ours.

    python -m bench general FOLDER [--only NAME ...] [--rhs random|image] [--ways WAY ...]
                            [--convection N [PECLET ...]] [--winds WIND ...]
                            [--most-seconds S] [--json FILE] [--report FILE.md]

Ways: none, jacobi (inverse of the diagonal, zeros taken as ones), polynomial (GMRES
polynomial of degree 20), rows (the same on rows divided by their 1-norms), ours, and
for convection-diffusion spilu, with its default settings, and as spilu2 with drop_tol
1e-2. SciPy's gmres judges by ||b - A x|| <= 1e-8 ||b|| at each restart, whatever M. At
most 6000 inner iterations for none, jacobi and spilu; at most 20,000 products, those of
the probe included, for polynomials; for convection-diffusion, with any way, as many as go
into --most-seconds. Seconds include all setup; the least of a few repeats.
Each solve is a JSON line in FILE, and a line already there is not measured again.
--report makes the tables from FILE alone.
"""

import argparse
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, gmres, spilu

import autospec_precond as ap
from autospec_precond import arnoldi, gmres_engine
from autospec_precond.roots import RootPolynomial, with_added_roots
from bench import general_problems, general_report

__all__ = ["main"]

RTOL, RESTART = 1e-8, 30
ITERATIONS, PRODUCTS = 6000, 20_000
WAYS = ("none", "jacobi", "polynomial", "rows", "ours")
FILLS = {
    "spilu": {},
    "spilu2": {"drop_tol": 1e-2},
}
_SHORT, _REPEATS = 0.5, 3  # seconds up to which a solve is repeated, and how often


class _Enough(Exception):  # noqa: N818 - a verdict
    """Raised where a budget is spent."""


def main(argv=None):
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench general", description=__doc__.splitlines()[0]
    )
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--only", nargs="*", default=())
    parser.add_argument("--rhs", choices=("random", "image"), default="random")
    parser.add_argument("--ways", nargs="*", default=WAYS)
    parser.add_argument("--convection", nargs="*", type=int, default=())
    parser.add_argument("--winds", nargs="*", default=("recirculating", "constant"))
    parser.add_argument("--most-seconds", type=float, default=120.0, help="of one solve")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--report", type=Path)
    options = parser.parse_args(argv)
    if options.report:
        options.report.write_text(general_report.report(_records(options.json)))
        return 0
    ap.warmup()
    known = {(r["problem"], r["rhs"], r["way"]) for r in _records(options.json)}
    for name, field, A in _problems(options):
        b = general_problems.right_hand_side(A, options.rhs)
        for way in options.ways:
            if (name, options.rhs, way) in known:
                continue
            most = None if name.startswith("convection") else ITERATIONS
            record = measure(A, b, way, options.most_seconds, most)
            record = {
                "problem": name,
                "field": field,
                "rhs": options.rhs,
                "way": way,
                "n": A.shape[0],
                "nnz": int(A.nnz),
                **record,
            }
            print(general_report.line(record), flush=True)
            with options.json.open("a") as file:
                file.write(json.dumps(record) + "\n")
    return 0


def _records(path):
    if not path.exists():
        return []
    return [json.loads(text) for text in path.read_text().splitlines()]


def _problems(options):
    if options.folder:
        yield from general_problems.matrices(options.folder, options.only)
    if options.convection:
        n, *peclets = options.convection
        for peclet in peclets or general_problems.PECLETS:
            for wind in options.winds:
                A = general_problems.convection(n, peclet, wind)
                yield f"convection {n}², Pe {peclet}, {wind}", "real", A


def measure(A, b, way, most_seconds, iterations=ITERATIONS):
    """Solve with one way, several times where that is quick; return the quickest."""
    best = None
    for _ in range(_REPEATS):
        record = _solve(A, b, way, most_seconds, iterations)
        if best is None or record["seconds"] < best["seconds"]:
            best = record
        if record["seconds"] > _SHORT or not record["solved"]:
            break
    return best


def _solve(A, b, way, most_seconds, iterations):
    began = time.perf_counter()
    facts = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            M, each, spent, facts = _preconditioner(A, way)
    except (RuntimeError, ValueError, np.linalg.LinAlgError) as error:
        return {
            "solved": False,
            "why": str(error)[:80],
            "seconds": time.perf_counter() - began,
        }
    setup = time.perf_counter() - began
    most, budget = np.inf, None
    if iterations is not None:
        most = iterations * (1 + 1 / RESTART) + 2
        if way in ("polynomial", "rows", "ours") and each:
            budget = PRODUCTS - spent
    count, applied, last = [0], [0], [None]

    def product(x):
        count[0] += 1
        over = (
            count[0] > most if budget is None else (count[0] + each * applied[0] > budget)
        )
        if over or time.perf_counter() - began > most_seconds:
            raise _Enough
        return A @ x

    def precondition(x):
        applied[0] += 1
        return M @ x

    op = LinearOperator(A.shape, matvec=product, dtype=A.dtype)
    given = (
        None if M is None else LinearOperator(A.shape, matvec=precondition, dtype=A.dtype)
    )

    def keep(x):
        last[0] = x.copy()

    why = ""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x, _ = gmres(
                op, b, M=given, rtol=RTOL, restart=RESTART, maxiter=10**6,
                callback=keep, callback_type="x",
            )  # fmt: skip
    except _Enough:
        x, why = last[0], "budget"
        if time.perf_counter() - began > most_seconds:
            why = "time"
    except (ValueError, FloatingPointError, np.linalg.LinAlgError) as error:
        x, why = None, str(error)[:80]
    seconds = time.perf_counter() - began
    residual = None
    if x is not None:
        with np.errstate(all="ignore"):
            residual = float(np.linalg.norm(b - A @ x) / np.linalg.norm(b))
    solved = not why and residual is not None and residual <= RTOL * (1 + 1e-6)
    return {
        "solved": bool(solved), "why": why or ("" if solved else "stagnated"),
        "residual": residual if residual is not None and np.isfinite(residual) else None,
        "products": spent + count[0] + each * applied[0], "iterations": count[0],
        "seconds": seconds, "setup": setup, **facts,
    }  # fmt: skip


def _preconditioner(A, way):
    """Return M, products per application, products of the setup, facts."""
    if way == "none":
        return None, 0, 0, {}
    if way == "jacobi":
        d = A.diagonal()
        return sp.diags_array(1 / np.where(d == 0, 1, d)), 0, 0, {}
    if way in FILLS:
        lu = spilu(A.tocsc(), **FILLS[way])
        return LinearOperator(A.shape, matvec=lu.solve, dtype=A.dtype), 0, 0, {}
    if way == "ours":
        M = ap.make(A, assume_a=None, solver="gmres")
        facts = {
            "base": M.report.base,
            "degree": M.degree,
            "precision": M.precision,
            "notes": list(M.report.notes),
        }
        return M, M.degree, M.report.n_products, facts
    left = np.ones(A.shape[0])
    if way == "rows":
        left = 1 / np.abs(A).sum(axis=1)
    rng = np.random.default_rng(0)
    start = rng.standard_normal(A.shape[0]).astype(A.dtype)
    process = arnoldi.Arnoldi(lambda x: left * (A @ x), start, 21).extend(21)
    roots = gmres_engine.harmonic_ritz(process.hessenberg)
    ordered = with_added_roots(roots, A.dtype.kind != "c")
    p = RootPolynomial(tuple(ordered), A.dtype.kind != "c" or None)
    S = sp.csr_array(sp.diags_array(left) @ A)
    M = ap.make(S, assume_a="gen", base="none", polynomial=p, precision="double")
    both = LinearOperator(A.shape, matvec=lambda x: M @ (left * x), dtype=A.dtype)
    return both, p.degree, process.n_products, {"degree": p.degree}


if __name__ == "__main__":
    sys.exit(main())
