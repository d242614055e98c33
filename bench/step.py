"""Time of one step of the recurrence: fused kernel against SciPy and NumPy, one thread.

    python bench/step.py [--side 1000] [--rounds 25] [--degree 8]

Runs, in one process and in turn in every round, one step on its own (all vectors
different) and a whole application of p(A), which is divided by its degree. Minima are
what the machine can do; medians far above them say that other work was running, and then
the ratio of the minima is the one to trust. No BLAS is called, its threads play no part.
"""

import argparse
import platform
import statistics
import time

import numba
import numpy as np
import scipy
import scipy.sparse as sp

from autospec_precond import classical
from autospec_precond.kernels import cpu, layout

TARGET = 2.3  # fused in single precision over the plain float64 step
PLAIN, FUSED = "SciPy + NumPy, float64", "fused, {}"
PRECISIONS = {  # types of values and of vectors
    "single": (np.float32, np.float32),
    "mixed": (np.float32, np.float64),
    "double": (np.float64, np.float64),
}


def poisson2d(side):
    """Return the five-point Laplacian of a side x side grid in float64."""
    line = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(side, side))
    eye = sp.eye_array(side)
    return sp.csr_array(sp.kron(line, eye) + sp.kron(eye, line))


def plain(A, polynomial, x):
    """Return a step and an application with SciPy's product and NumPy.

    As well as one can write them in NumPy for an A that is not to be copied: the product
    allocates its result (it has no out=), all else is in place.
    """
    (alpha, beta), c = polynomial.affine, polynomial.coefficients
    scratch, out = np.empty_like(x), np.empty_like(x)

    def step(u, z, gain, c_k):
        y = A @ u
        y *= gain * alpha
        np.multiply(u, gain * beta, out=scratch)
        np.add(y, scratch, out=y)
        if z is not None:
            y -= z
        np.multiply(y, c_k, out=scratch)
        np.add(out, scratch, out=out)
        return y

    def apply():
        np.multiply(x, c[0], out=out)
        z, u = None, x
        for k in range(1, len(c)):
            z, u = u, step(u, z, 1.0 if k == 1 else 2.0, c[k])
        return out

    z = x[::-1].copy()
    return lambda: step(x, z, 2.0, 0.5), apply


def folded(A, polynomial, x):
    """Do as `plain` does, with the scalars of a step folded into a copy of A.

    The best that NumPy can do: two passes fewer, for a second matrix in memory.
    """
    (alpha, beta), c = polynomial.affine, polynomial.coefficients
    T = sp.csr_array(2 * (alpha * A + beta * sp.eye_array(A.shape[0])))
    scratch, out = np.empty_like(x), np.empty_like(x)

    def step(u, z, c_k):
        y = T @ u
        if z is None:
            y *= 0.5
        else:
            y -= z
        np.multiply(y, c_k, out=scratch)
        np.add(out, scratch, out=out)
        return y

    def apply():
        np.multiply(x, c[0], out=out)
        z, u = None, x
        for k in range(1, len(c)):
            z, u = u, step(u, z, c[k])
        return out

    z = x[::-1].copy()
    return lambda: step(x, z, 0.5), apply


def fused(A, polynomial, values, vectors, x):
    """Return a step and an application with the kernel of the package."""
    stored = layout.Stored("csr", A.data.astype(values), A.indices, A.indptr)
    x = x.astype(vectors)
    # Scratch in one piece, as the preconditioner has it.
    *work, b1, b2, y = np.zeros((5, x.size), vectors)
    b1[:], b2[:] = x[::-1], 0.5 * x
    matrix = stored.indptr.view("u4"), stored.indices.view("u4"), stored.data
    factors = [vectors(f) for f in (0.3, 0.25, -1.0, 1.0)]
    return (
        lambda: cpu._vector(*matrix, *factors, b1, x, b1, b2, y),
        lambda: cpu.apply(stored, polynomial.factors(), x, work),
    )


def measure(ways, n_rounds):
    """Return the seconds of every round for each way, taken in turn."""
    seconds = {name: [] for name in ways}
    for _ in range(n_rounds):
        for name, run in ways.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def table(title, seconds, n):
    """Print one table and return the ratio of the minima that the target is about."""
    heads = f"{'min ms':>8} {'median':>8} {'ns/row':>8} {'ratio':>7} {'of medians':>11}"
    print(f"{title:28} {heads}")
    base = seconds[PLAIN]
    for name, values in seconds.items():
        least, middle = min(values), statistics.median(values)
        print(
            f"  {name:26} {1e3 * least:8.2f} {1e3 * middle:8.2f} {1e9 * least / n:8.2f} "
            f"{min(base) / least:7.2f} {statistics.median(base) / middle:11.2f}"
        )
    return min(base) / min(seconds[FUSED.format("single")])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=1000, help="points along a side")
    parser.add_argument("--rounds", type=int, default=25, help="at least 15")
    parser.add_argument("--degree", type=int, default=8, help="steps per application")
    given = parser.parse_args()
    if given.rounds < 15 or given.degree < 2 or given.side < 2:
        parser.error("needs 15 rounds, degree 2 and side 2 at least")

    A = poisson2d(given.side)
    n = A.shape[0]
    x = np.random.default_rng(0).standard_normal(n)
    polynomial = classical.chebyshev(given.degree, 8.0)
    ways = {
        PLAIN: plain(A, polynomial, x),
        "the same, folded matrix": folded(A, polynomial, x),
    }
    for precision, types in PRECISIONS.items():
        ways[FUSED.format(precision)] = fused(A, polynomial, *types, x)

    exact = ways[PLAIN][1]().copy()
    for name, (step, apply) in ways.items():
        step()  # compiles where that is to be done
        error = np.linalg.norm(apply() - exact) / np.linalg.norm(exact)
        if not error < 1e-4:
            raise SystemExit(f"{name} computes something else: off by {error:.1e}")

    print(
        f"2-D Poisson, {given.side}²: n = {n:,}, nnz = {A.nnz:,}; {given.rounds} rounds, "
        f"one thread\n{platform.machine()}, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, SciPy {scipy.__version__}, Numba {numba.__version__}\n"
    )
    steps = measure({name: step for name, (step, _) in ways.items()}, given.rounds)
    ratio = table("one step", steps, n)
    whole = measure({name: apply for name, (_, apply) in ways.items()}, given.rounds)
    per_step = {name: [s / given.degree for s in values] for name, values in whole.items()}
    within = table(f"p(A) of degree {given.degree}, per step", per_step, n)
    print(
        f"\nsingle over float64: {ratio:.2f} for a step, {within:.2f} within p(A); "
        f"target {TARGET}"
    )


if __name__ == "__main__":
    main()
