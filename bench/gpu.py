"""Command line: ``python -m bench.gpu [--out FILE] [--seconds S] [--only SECTION ...]``.

All figures of a device in one run: one JSON line each, generated problems only, from the
source tree. The bandwidth of a copy is measured first; each other line names it. A section
that fails, or for which no time is left, says so in a line of its own.
"""

import argparse
import json
import math
import platform
import sys
import time
import traceback

import numpy as np

import autospec_precond as ap

from . import problems
from .gpu_general import general
from .gpu_indefinite import indefinite

SMALL = "poisson2d:316"  # 1e5 unknowns
SOLVES = (
    SMALL,
    "lognormal2d:500",
    "elasticity3d:40",
    "poisson2d:1000",
    "poisson3d:100",
    "poisson3d:215",
)
HOST = "poisson2d:1000"
RTOL = 1e-8
_MOST = 20_000  # iterations of a rival


class Bench:
    """A run: the device, the clock, and where lines go."""

    def __init__(self, cupy, out, seconds):
        self.cupy, self.out, self.bandwidth = cupy, out, None
        self.began, self.seconds = time.perf_counter(), seconds

    def left(self):
        """Return the seconds that are left."""
        return self.seconds - (time.perf_counter() - self.began)

    def line(self, kind, **facts):
        """Write a line."""
        facts = {"kind": kind, **facts, "copy_gb_per_s": self.bandwidth}
        text = json.dumps({k: v for k, v in facts.items() if v is not None}, default=float)
        print(text, file=self.out, flush=True)

    def wait(self):
        """Wait for the device."""
        self.cupy.cuda.Device().synchronize()

    def timed(self, call):
        """Return what a call returns and its seconds, the device waited for."""
        self.wait()
        began = time.perf_counter()
        result = call()
        self.wait()
        return result, time.perf_counter() - began

    def per_call(self, call, least=0.2, warm=3):
        """Return seconds per call on the device, by events; the median of five runs."""
        cuda = self.cupy.cuda
        for _ in range(warm):
            call()
        _, once = self.timed(call)
        count = max(1, min(1000, int(least / 5 / max(once, 1e-6))))
        times = []
        for _ in range(5):
            first, last = cuda.Event(), cuda.Event()
            first.record()
            for _ in range(count):
                call()
            last.record()
            last.synchronize()
            times.append(cuda.get_elapsed_time(first, last) * 1e-3 / count)
        return sorted(times)[2]


def main(argv=None):
    """Run the sections; return the exit code."""
    parser = argparse.ArgumentParser(prog="bench gpu", description=__doc__)
    parser.add_argument("--out", help="file for the lines, standard output by default")
    parser.add_argument("--seconds", type=float, default=450.0)
    parser.add_argument("--only", nargs="*", choices=list(SECTIONS), default=list(SECTIONS))
    given = parser.parse_args(argv)
    try:
        import cupy

        count = cupy.cuda.runtime.getDeviceCount()
    except (ImportError, RuntimeError) as error:
        print(f"bench gpu: a CUDA device and CuPy are needed; got {error}", file=sys.stderr)
        return 2
    with open(given.out, "w") if given.out else _Standard() as out:
        bench = Bench(cupy, out, given.seconds)
        _header(bench, count)
        for name in ("bandwidth", *(s for s in given.only if s != "bandwidth")):
            if bench.left() <= 0:
                bench.line("skipped", section=name, reason="no time left")
                continue
            try:
                SECTIONS[name](bench)
            except Exception as error:
                traceback.print_exc()
                bench.line(
                    "failed", section=name, reason=f"{type(error).__name__}: {error}"
                )
            cupy.get_default_memory_pool().free_all_blocks()
        bench.line("end", seconds=time.perf_counter() - bench.began)
    return 0


class _Standard:
    def __enter__(self):
        return sys.stdout

    def __exit__(self, *error):
        return None


def _header(bench, count):
    cupy = bench.cupy
    facts = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    bench.line(
        "header",
        device=facts["name"].decode(),
        devices=count,
        memory_gb=facts["totalGlobalMem"] / 1e9,
        driver=cupy.cuda.runtime.driverGetVersion(),
        runtime=cupy.cuda.runtime.runtimeGetVersion(),
        cupy=cupy.__version__,
        numpy=np.__version__,
        python=platform.python_version(),
        package=ap.__version__,
        date=time.strftime("%Y-%m-%d"),
    )


def bandwidth(bench):
    """Copy 1 GB."""
    cupy = bench.cupy
    x = cupy.zeros(2**27, np.float64)
    y = cupy.empty_like(x)
    seconds = bench.per_call(lambda: cupy.copyto(y, x))
    bench.bandwidth = 2 * x.nbytes / seconds / 1e9
    bench.line("bandwidth", seconds=seconds, bytes=2 * x.nbytes)


def accuracy(bench):
    """Compare with the host, on all layouts and types."""
    for name, storage in (
        ("poisson2d:60", "csr"),
        ("poisson2d:60", "dia"),
        ("elasticity3d:6", "csr"),
        ("elasticity3d:6", "dia"),
    ):
        for precision in ("single", "mixed", "double"):
            A = problems.build(name).A
            M = ap.make(_moved(bench, A), degree=16, storage=storage, precision=precision)
            twin = ap.make(A, polynomial=M.state(), precision=precision, kernel="reference")
            x = np.random.default_rng(0).standard_normal((A.shape[0], 3))
            expected = twin @ x
            for columns in (slice(0, 1), slice(None)):
                found = (M @ bench.cupy.asarray(x[:, columns])).get()
                error = np.linalg.norm(found - expected[:, columns])
                size = np.linalg.norm(expected[:, columns])
                eps = np.finfo(np.float64 if precision == "double" else np.float32).eps
                bench.line(
                    "accuracy",
                    problem=name,
                    storage=M.storage,
                    kernel=M.kernel,
                    precision=precision,
                    columns=found.shape[1],
                    error=error / size,
                    allowed=8 * 17**2 * eps,
                )


def step(bench):
    """Measure one fused step: bytes counted over time, as a share of the copy's."""
    for name, make in (
        ("poisson3d 256^3", _poisson256),
        ("elasticity 3e6", _elasticity3e6),
    ):
        if bench.left() < 30:
            bench.line("skipped", section="step", problem=name, reason="no time left")
            continue
        A = make(bench)
        for storage in ("csr", "dia"):
            try:
                _steps(bench, name, A, storage)
            except ValueError as error:
                bench.line("failed", problem=name, storage=storage, reason=str(error))


def _steps(bench, name, A, storage):
    cupy, degree = bench.cupy, 16
    M = ap.make(A, degree=degree, precision="single", storage=storage, engine="classical")
    stored, n = M.core.parts.stored, A.shape[0]
    x = cupy.ones(n, np.float32)
    work = cupy.empty_like(x), cupy.empty_like(x)
    seconds = bench.per_call(lambda: M.core._run(x, work)) / degree
    moved = stored.n_bytes + 4 * 4 * n  # x, b1, b2 and y, each once
    bench.line(
        "step",
        problem=name,
        n=n,
        nnz=int(A.nnz),
        storage=storage,
        kernel=M.kernel,
        half=bool(stored.half),
        seconds=seconds,
        bytes=moved,
        share_of_copy=moved / seconds / 1e9 / bench.bandwidth,
    )


def application(bench):
    """Measure one application at n = 1e5, against its bytes and 20 microseconds."""
    cupy = bench.cupy
    A = _moved(bench, problems.build(SMALL).A)
    for precision in ("single", "mixed"):
        M = ap.make(A, degree=16, precision=precision)
        n = A.shape[0]
        x = cupy.ones(n)
        out = cupy.empty_like(x)
        seconds = bench.per_call(lambda M=M, x=x, out=out: M.apply_into(x, out))
        size = M.core.vector_dtype.itemsize
        moved = 16 * (M.core.parts.stored.n_bytes + 4 * size * n)
        allowed = 1.5 * moved / bench.bandwidth / 1e9 + 20e-6
        bench.line(
            "application",
            problem=SMALL,
            precision=precision,
            kernel=M.kernel,
            storage=M.storage,
            seconds=seconds,
            allowed=allowed,
            graph=M.core.graph is not None and M.core.graph.refusal is None,
            refusal=getattr(M.core.graph, "refusal", None),
        )


def solve(bench):
    """Solve six problems with cupyx cg and Jacobi, cg and M, and `M.solve`."""
    from cupyx.scipy.sparse.linalg import cg

    gains = {"cg": [], "solve": []}
    for name in SOLVES:
        if bench.left() < 60:
            bench.line("skipped", section="solve", problem=name, reason="no time left")
            continue
        A = _moved(bench, problems.build(name).A)
        b = _right_hand_side(bench, A.shape[0])
        runs = {
            "jacobi": lambda A=A, b=b: _jacobi(bench, cg, A, b),
            "cg": lambda A=A, b=b: _with_m(cg, A, b),
            "solve": lambda A=A, b=b: _own(A, b),
        }
        times = {}
        for method, run in runs.items():
            small = A.shape[0] < 2e6
            found = [bench.timed(run) for _ in range(3 if small else 2)][1:]
            (x, facts), seconds = min(found, key=lambda pair: pair[1])
            residual = float(bench.cupy.linalg.norm(b - A @ x) / bench.cupy.linalg.norm(b))
            times[method] = seconds if residual <= 10 * RTOL else math.inf
            bench.line(
                "solve",
                problem=name,
                n=A.shape[0],
                method=method,
                seconds=seconds,
                residual=residual,
                **facts,
            )
        for method, list_ in gains.items():
            list_.append(times["jacobi"] / times[method])
        bench.cupy.get_default_memory_pool().free_all_blocks()
    for method, list_ in gains.items():
        if list_:
            mean = float(np.exp(np.mean(np.log(np.maximum(list_, 1e-9)))))
            bench.line("gain", method=method, mean=mean, least=min(list_), count=len(list_))


def _jacobi(bench, cg, A, b):
    from cupyx.scipy.sparse.linalg import LinearOperator

    inverse = 1.0 / A.diagonal()
    M = LinearOperator(A.shape, matvec=lambda x: inverse * x, dtype=A.dtype)
    x, info = cg(A, b, M=M, rtol=RTOL, maxiter=_MOST)
    return x, {"info": int(info)}


def _with_m(cg, A, b):
    M = ap.make(A)
    x, info = cg(A, b, M=M, rtol=RTOL, maxiter=_MOST)
    facts = {"degree": M.degree, "storage": M.storage, "kernel": M.kernel}
    return x, {"info": int(info), **facts, "setup_seconds": M.report.seconds}


def _own(A, b):
    M = ap.make(A)
    x, info = M.solve(b, rtol=RTOL)
    return x, {"info": int(info), "degree": M.degree, "setup_seconds": M.report.seconds}


def host(bench):
    """Solve with SciPy's cg on the host, with an M that computes on the device."""
    from scipy.sparse.linalg import LinearOperator, cg

    A = problems.build(HOST).A
    b = np.random.default_rng(0).standard_normal(A.shape[0])
    inverse = 1.0 / A.diagonal()
    plain = LinearOperator(A.shape, matvec=lambda x: inverse * x, dtype=A.dtype)
    times = {}
    for method in ("jacobi", "device"):

        def run(method=method):
            M = plain if method == "jacobi" else ap.make(A, device="cuda")
            return cg(A, b, M=M, rtol=RTOL, maxiter=_MOST)

        if method == "device":
            run()
        (x, info), times[method] = bench.timed(run)
        residual = float(np.linalg.norm(b - A @ x) / np.linalg.norm(b))
        bench.line(
            "host",
            problem=HOST,
            method=method,
            seconds=times[method],
            info=int(info),
            residual=residual,
        )
    bench.line("gain", method="host", mean=times["jacobi"] / times["device"])


def lobpcg(bench):
    """Find 8 smallest eigenvalues with cupyx's lobpcg, without M and with it."""
    from cupyx.scipy.sparse.linalg import lobpcg as run

    cupy = bench.cupy
    A = _moved(bench, problems.build("poisson2d:316").A)
    X = cupy.asarray(np.random.default_rng(0).standard_normal((A.shape[0], 8)))
    tol, times = 1e-6 * 8.0, {}
    for method in ("none", "polynomial"):

        def solve(method=method):
            M = None
            if method == "polynomial":
                M = ap.make(A, solver="lobpcg", n_eigenpairs=8)
            return run(A, X.copy(), M=M, tol=tol, maxiter=2000, largest=False)

        solve()
        (values, vectors), times[method] = bench.timed(solve)
        residual = cupy.linalg.norm(A @ vectors - vectors * values, axis=0)
        bench.line(
            "lobpcg",
            method=method,
            seconds=times[method],
            residual=float(residual.max()),
            tol=tol,
        )
    bench.line("gain", method="lobpcg", mean=times["none"] / times["polynomial"])


def cpu(bench):
    """Solve on the processor with all its cores."""
    for name in SOLVES[:-1]:
        if bench.left() < 40:
            bench.line("skipped", section="cpu", problem=name, reason="no time left")
            continue
        A = problems.build(name).A
        b = np.random.default_rng(0).standard_normal(A.shape[0])
        ap.make(A).solve(b, rtol=RTOL)
        began = time.perf_counter()
        M = ap.make(A)
        x, info = M.solve(b, rtol=RTOL)
        bench.line(
            "cpu",
            problem=name,
            n=A.shape[0],
            seconds=time.perf_counter() - began,
            n_threads=M.n_threads,
            info=int(info),
            residual=float(np.linalg.norm(b - A @ x) / np.linalg.norm(b)),
        )


def _moved(bench, A):
    import cupyx.scipy.sparse

    return cupyx.scipy.sparse.csr_matrix(A)


def _right_hand_side(bench, n):
    return bench.cupy.asarray(np.random.default_rng(0).standard_normal(n))


def _poisson256(bench):
    return _stencil(bench.cupy, (256,) * 3, 1, faces_only=True)


def _elasticity3e6(bench):
    """Return the pattern of elasticity on 100³ nodes, with other values."""
    return _stencil(bench.cupy, (100,) * 3, 3, faces_only=False)


def _stencil(xp, shape, n_fields, faces_only):
    """Return -1 for each pair of neighbours and what dominates it, made on the device."""
    import itertools

    import cupyx.scipy.sparse

    n = math.prod(shape)
    node = xp.arange(n, dtype=np.int64)
    places = [node // math.prod(shape[k + 1 :]) % shape[k] for k in range(len(shape))]
    moves = [
        move
        for move in itertools.product((-1, 0, 1), repeat=len(shape))
        if not faces_only or sum(map(abs, move)) <= 1
    ]
    columns = xp.empty((n, len(moves)), np.int64)
    inside = xp.ones((n, len(moves)), bool)
    for k, move in enumerate(moves):
        shift = sum(m * math.prod(shape[j + 1 :]) for j, m in enumerate(move))
        columns[:, k] = node + shift
        for place, m, size in zip(places, move, shape, strict=True):
            inside[:, k] &= (place + m >= 0) & (place + m < size)
    counts = inside.sum(axis=1) * n_fields
    lengths = xp.broadcast_to(counts[:, None], (n, n_fields)).ravel()
    indptr = xp.zeros(n * n_fields + 1, np.int64)
    indptr[1:] = xp.cumsum(lengths)
    chunks = []
    for first in range(0, n, 2**18):  # a block of rows at a time
        part = columns[first : first + 2**18, None, :, None] * n_fields
        part = part + xp.arange(n_fields)[None, None, None, :]
        wide = (part.shape[0], n_fields, len(moves), n_fields)
        kept = inside[first : first + 2**18, None, :, None]
        chunks.append(
            xp.broadcast_to(part, wide)[xp.broadcast_to(kept, wide)].astype(np.int32)
        )
    indices = xp.concatenate(chunks)
    data = xp.full(indices.size, -1.0)
    A = cupyx.scipy.sparse.csr_matrix((data, indices, indptr.astype(np.int32)))
    rows = xp.searchsorted(A.indptr, xp.arange(A.nnz, dtype=np.int32), side="right") - 1
    A.data[A.indices == rows] = len(moves) * n_fields - 1.0
    return A


SECTIONS = {
    "bandwidth": bandwidth,
    "accuracy": accuracy,
    "step": step,
    "application": application,
    "solve": solve,
    "host": host,
    "lobpcg": lobpcg,
    "general": general,
    "indefinite": indefinite,
    "cpu": cpu,
}


if __name__ == "__main__":
    sys.exit(main())
