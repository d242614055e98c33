"""Measure what the cost model counts with, and write it into the package.

    python -m bench calibrate [--out autospec_precond/calibration.py]

One thread; OPENBLAS_NUM_THREADS=1 is asked for. The least of many repeats, the median of
three rounds. Stencils of 5 points on 10² to 1000² points, random rows of 9, and
elasticity. Run it again after a change to kernels.
"""

import argparse
import datetime
import platform
import statistics
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import scipy
import scipy.sparse as sp
from scipy.sparse.linalg import cg

import autospec_precond as ap
from autospec_precond import cost
from autospec_precond.compare import jacobi
from autospec_precond.kernels import arrange
from autospec_precond.probing import n_check_products
from bench import problems
from bench.environment import cpu

__all__ = ["main", "measure"]

ROUNDS = 3
OUT = Path(ap.__file__).parent / "calibration.py"


def main(argv=None):
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench calibrate", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(argv)
    ap.warmup()
    times = middle([measure() for _ in range(ROUNDS)])
    facts = (
        f"{cpu()}, Python {platform.python_version()}, NumPy "
        f"{np.__version__}, SciPy {scipy.__version__}, {datetime.date.today()}"
    )
    body = literal(times)
    options.out.write_text(
        '"""Times that the cost model counts with, by `python -m bench calibrate`.\n\n'
        "Seconds per call; seconds per byte for sizes in the cache and far outside.\n"
        f'Measured on {facts}.\n"""\n\n__all__ = ["TIMES"]\n\nTIMES = {body}\n'
    )
    print(options.out.read_text())
    return 0


def literal(values, indent=""):
    """Return nested dicts as the formatter of the repository writes them."""
    inner = indent + "    "
    lines = [
        f'{inner}"{key}": {literal(v, inner) if isinstance(v, dict) else v},'
        for key, v in values.items()
    ]
    return "\n".join(["{", *lines, f"{indent}}}"])


def measure():
    """Return the times, a dict as `cost` reads it."""
    small, large = poisson(100), poisson(1000)
    tiny, rows = poisson(10), [scattered(8_000), scattered(1_000_000)]
    times = {}
    x = {A.shape[0]: np.ones(A.shape[0]) for A in (tiny, small, large, *rows)}
    times["call"] = least(lambda: np.add(x[100], x[100]))
    times["product_call"] = least(lambda: tiny @ x[100])
    iteration = per_iteration(tiny, jacobi(tiny))
    times["iteration_call"] = max(iteration - times["product_call"], 0.0)
    times["product"] = [
        rate(
            least(lambda A=A: A @ x[A.shape[0]]) - times["product_call"],
            12 * A.nnz + 20 * A.shape[0],
        )
        for A in (rows[0], rows[1])
    ]
    times["vectors"] = []
    for A in (small, large):
        product = least(lambda A=A: A @ x[A.shape[0]])
        outer = per_iteration(A, jacobi(A)) - product - times["iteration_call"]
        times["vectors"].append(rate(outer, cost._OUTER_PASSES * 8 * A.shape[0]))
    ones = x[100]
    apply = {}
    for degree in (4, 16):
        M = made(tiny, degree)
        apply[degree] = least(lambda M=M: M @ ones)
    times["step_call"] = (apply[16] - apply[4]) / 12
    M = jacobi(tiny)
    base = least(lambda: M @ ones)
    times["apply_call"] = apply[4] - 4 * times["step_call"] - base
    times["step"] = {
        kind: [step(A, kind, times) for A in pair]
        for kind, pair in (
            ("csr", rows),
            ("dia", (small, large)),
            ("sell", rows),
            ("fields", systems()),
        )
    }
    times["arrange"] = [arranging(8_000), arranging(1_000_000)]
    # A polynomial whose bound is not rigorous, so that the self-check is made.
    A = elements(30)
    made_in = least(lambda: make(A, degree=16), 200)
    declined = least(lambda: make(A), 200)
    if make(A).storage != "none" or make(A, degree=16).report.certificate.high_is_rigorous:
        raise RuntimeError("calibrate: 900 unknowns must be declined, and checked")
    products = cost._BOUND_PRODUCTS + n_check_products(16)
    counted = products * least(lambda: A @ np.ones(900))
    times["setup_call"] = made_in - declined - counted
    return rounded(times)


def poisson(side):
    """Return the five-point Laplacian on side² points."""
    T = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(side, side))
    eye = sp.eye_array(side)
    return sp.csr_array(sp.kron(T, eye) + sp.kron(eye, T))


def elements(side):
    """Return the Laplacian of bilinear elements, 9 points on side² nodes."""
    K = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(side, side))
    W = sp.diags_array([1.0, 4.0, 1.0], offsets=[-1, 0, 1], shape=(side, side)) / 6
    return sp.csr_array(sp.kron(K, W) + sp.kron(W, K))


def scattered(n):
    """Return a symmetric matrix with about 9 entries in a row near the diagonal."""
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(n), 4)
    columns = np.minimum(n - 1, rows + rng.integers(1, 300, rows.size))
    B = sp.coo_array((np.full(rows.size, -1.0), (rows, columns)), shape=(n, n))
    B = sp.csr_array(B + B.T)
    return sp.csr_array(B + sp.diags_array(0.01 - B.sum(axis=1)))


def systems():
    """Return elasticity on 10,100 nodes in 2-D and 101,614 in 3-D."""
    return [problems.build(name).A for name in ("elasticity2d:100", "elasticity3d:46")]


def step(A, kind, times):
    """Return the seconds per byte of one product within an application."""
    n = A.shape[0]
    x = np.ones(n)
    seconds = {}
    for degree in (4, 16):
        M = made(A, degree, storage=kind)
        seconds[degree] = least(lambda M=M: M @ x, 50)
    parts = M._parts.stored
    traffic = A.nnz * 8 if kind == "csr" else parts.n_bytes
    each = (seconds[16] - seconds[4]) / 12 - times["step_call"]
    return rate(each, traffic + 4 * n * 8)


def arranging(n):
    """Return the seconds per byte of bringing a vector into a random order, and back."""
    rng = np.random.default_rng(0)
    places = rng.permutation(n).astype(np.int32)
    x, scale, block = np.ones(n), np.ones(n), np.empty(n)

    def both():
        arrange.scatter(x, scale, 1.0, block, 0, places, 1)
        arrange.gather(block, 0, scale, 1.0, x, places, 1)

    return rate(least(both), 4 * 8 * n)


def made(A, degree, **keywords):
    """Return M on one thread."""
    return make(A, degree=degree, n_threads=1, **keywords)


def make(A, **keywords):
    """Make M without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ap.UncertifiedWarning)
        return ap.make(A, **keywords)


def per_iteration(A, M):
    """Return the seconds of one iteration of SciPy's cg."""
    b = np.random.default_rng(1).standard_normal(A.shape[0])
    seconds = {
        k: least(lambda k=k: cg(A, b, M=M, rtol=0.0, atol=0.0, maxiter=k), 30)
        for k in (5, 25)
    }
    return (seconds[25] - seconds[5]) / 20


def least(call, repeats=300, seconds=2.0):
    """Return the least time of many calls."""
    best, began = np.inf, time.perf_counter()
    for k in range(repeats):
        start = time.perf_counter()
        call()
        end = time.perf_counter()
        best = min(best, end - start)
        if k >= 4 and end - began > seconds:
            break
    return best


def rate(seconds, n_bytes):
    """Return seconds per byte, not below what no machine does."""
    return max(seconds, 0.0) / n_bytes


def middle(rounds):
    """Take the median everywhere: the machine does other work, too."""
    first = rounds[0]
    if isinstance(first, dict):
        return {key: middle([each[key] for each in rounds]) for key in first}
    if isinstance(first, list):
        return [middle(values) for values in zip(*rounds, strict=True)]
    return statistics.median(rounds)


def rounded(value):
    """Keep three digits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.3g}")


if __name__ == "__main__":
    sys.exit(main())
