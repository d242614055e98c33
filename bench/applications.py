"""What single operations cost: applications of M, blocks, products with A, and memory.

    python -m bench applications [PROBLEM ...] [--rounds 9] [--degree 16] [--json FILE]

Milliseconds, least of several rounds in which the operations take turns, and what they are
times. `plain` is one step of the recurrence with SciPy's product and NumPy's updates in
float64; an application is divided by its degree, scaling and order of the vectors included.
`unswept` makes one product per sweep over the rows, on one thread; its share of the copy is
the rate of the bytes that it must move over that at which NumPy copies as many. Memory is
what M holds with its vectors, over 1.2 float32 copies of A by rows and 5 vectors.
"""

import argparse
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np

import autospec_precond as ap
from autospec_precond.classical import chebyshev
from autospec_precond.kernels import plans

from . import environment, problems
from .speed import PROBLEMS

__all__ = ["main"]

_COLUMNS = 16
_HEAD = (
    "problem", "plain", "single", "2 threads", "mixed", "2 threads", "swept/unswept",
    "copy %", "A @ x", "M.A", f"{_COLUMNS} columns", "memory",
)  # fmt: skip


def main(argv=None):
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench applications", description=__doc__.splitlines()[0]
    )
    parser.add_argument("problems", nargs="*", default=PROBLEMS)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--degree", type=int, default=16)
    parser.add_argument("--json", type=Path, help="append one JSON line per problem here")
    options = parser.parse_args(argv)
    ap.warmup()
    print(f"{environment.cpu()}, commit {environment.commit()}, degree {options.degree}\n")
    print("| " + " | ".join(_HEAD) + " |\n|---|" + "--:|" * (len(_HEAD) - 1), flush=True)
    for text in options.problems:
        record = {"problem": text, **measure(text, options.degree, options.rounds)}
        print(_line(record), flush=True)
        if options.json:
            with options.json.open("a") as file:
                file.write(json.dumps(record) + "\n")
    return 0


def measure(text, degree, n_rounds):
    """Return seconds of each operation on a problem, and bytes."""
    A = problems.build(text).A
    n = A.shape[0]
    rng = np.random.default_rng(7)
    x, B = rng.standard_normal(n), rng.standard_normal((n, _COLUMNS))
    out, outs = np.empty_like(x), np.empty_like(B)
    made = {
        (precision, k): _make(A, degree, precision, k)
        for precision in ("single", "mixed")
        for k in (1, 2)
    }
    mixed = made["mixed", 2]
    ways = {
        "plain": _plain(A, degree, x),
        "A @ x": lambda: A @ x,
        "M.A": lambda: mixed.A @ x,
        "block": lambda: mixed.apply_into(B, outs),
    }
    for (precision, k), M in made.items():
        ways[f"{precision} {k}"] = lambda M=M: M.apply_into(x, out)
        if k == 1:
            ways[f"{precision} unswept"] = _unswept(lambda M=M: M.apply_into(x, out))
    seconds = _turns(ways, n_rounds)
    stored = mixed._parts.stored
    for name in seconds:
        if name not in ("A @ x", "M.A"):
            seconds[name] /= degree
    moved = {
        p: made[p, 1]._parts.stored.n_bytes + 4 * n * (4 if p == "single" else 8)
        for p in ("single", "mixed")
    }
    return {
        "seconds": seconds,
        "copy": {p: _copy(size) / seconds[f"{p} unswept"] for p, size in moved.items()},
        "storage": mixed.storage,
        "n_powers": {p: made[p, 1].report.n_powers for p in ("single", "mixed")},
        # All that M keeps, and what a float32 copy of A by rows with 5 vectors would take.
        "bytes": stored.n_bytes + _size(stored.places) + _size(mixed._parts.left) + 24 * n,
        "allowed": 1.2 * (8 * A.nnz + 4 * n) + 40 * n,
    }


def _make(A, degree, precision, n_threads):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ap.UncertifiedWarning)
        return ap.make(A, degree=degree, precision=precision, n_threads=n_threads)


def _plain(A, degree, x):
    polynomial = chebyshev(degree, 2.0)
    coefficients, (alpha, beta) = polynomial.coefficients, polynomial.affine

    def run():
        """Clenshaw's recurrence as it is written down."""
        b1, b2 = coefficients[-1] * x, np.zeros_like(x)
        for k in range(degree - 1, -1, -1):
            gain = 1.0 if k == 0 else 2.0
            b1, b2 = coefficients[k] * x + gain * (alpha * (A @ b1) + beta * b1) - b2, b1
        return b1

    return run


def _unswept(call):
    def run():
        usual = plans.powers_per_sweep
        plans.plan.cache_clear()
        plans.powers_per_sweep = lambda *sizes: 1
        try:
            call()
        finally:
            plans.powers_per_sweep = usual
            plans.plan.cache_clear()

    return run


def _turns(ways, n_rounds):
    best = dict.fromkeys(ways, np.inf)
    for k in range(n_rounds + 1):  # the first one compiles
        for name, call in ways.items():
            began = time.perf_counter()
            call()
            if k:
                best[name] = min(best[name], time.perf_counter() - began)
    return best


def _copy(n_bytes):
    """Return the least time of copying that many bytes in all, read and written."""
    source = np.ones(n_bytes // 16)
    target = np.empty_like(source)
    return _turns({"copy": lambda: np.copyto(target, source)}, 15)["copy"]


def _size(array):
    return 0 if array is None else array.nbytes


def _line(record):
    seconds, copy = record["seconds"], record["copy"]
    plain = seconds["plain"]

    def cell(name, over):
        return f"{1e3 * seconds[name]:.3g} ({over / seconds[name]:.1f}x)"

    swept = (f"{seconds[f'{p} unswept'] / seconds[f'{p} 1']:.2f}x" for p in copy)
    block = _COLUMNS * seconds["mixed 2"]
    cells = [
        f"{record['problem']} ({record['storage']})",
        f"{1e3 * plain:.3g}",
        *(cell(f"{p} {k}", plain) for p in copy for k in (1, 2)),
        ", ".join(swept),
        ", ".join(f"{100 * share:.0f}" for share in copy.values()),
        f"{1e3 * seconds['A @ x']:.3g}",
        cell("M.A", seconds["A @ x"]),
        cell("block", block),
        f"{record['bytes'] / record['allowed']:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
