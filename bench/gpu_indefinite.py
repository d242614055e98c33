"""The section `indefinite` of `python -m bench.gpu`: CuPy's minres without M, with it."""

import numpy as np

import autospec_precond as ap

from .indefinite_problems import darcy, shifted, stokes

__all__ = ["indefinite"]

PROBLEMS = {
    "shifted 2-D 300^2": lambda: shifted(300, 0.05),
    "shifted 2-D 1000^2": lambda: shifted(1000, 0.005),
    "shifted 3-D 100^3": lambda: shifted(100, 0.3, 3),
    "Stokes 300^2": lambda: stokes(300),
    "Darcy 300^2": lambda: darcy(300, 1.0),
}
_MOST = 5000  # iterations without M


def indefinite(bench):
    """Drive minres to the same true residual without M and with it, setup included.

    Parameters
    ----------
    bench : gpu.Bench
        The run.
    """
    import cupyx.scipy.sparse

    cupy, gains = bench.cupy, []
    for name, build in PROBLEMS.items():
        if bench.left() < 40:
            bench.line("skipped", section="indefinite", problem=name, reason="no time left")
            continue
        A = cupyx.scipy.sparse.csr_matrix(build())
        b = cupy.asarray(np.random.default_rng(0).standard_normal(A.shape[0]))
        times, target = {}, 1e-8
        for method in ("none", "polynomial"):
            _run(method, A, b, target, 3)  # compiles
            (left, facts), times[method] = bench.timed(
                lambda how=method, A=A, b=b, goal=target: _run(how, A, b, goal)
            )
            target = max(target, left)  # where minres without M comes no further
            facts |= {"n": A.shape[0], "seconds": times[method], "residual": left}
            bench.line("indefinite", problem=name, method=method, **facts)
        gains.append(times["none"] / times["polynomial"])
    if gains:
        mean = float(np.exp(np.mean(np.log(gains))))
        least = min(gains)
        bench.line("gain", method="indefinite", mean=mean, least=least, count=len(gains))


def _run(method, A, b, target, most=_MOST):
    """Return the relative residual reached, and what happened.

    minres measures in the norm of M: it is called again until the residual is small.
    """
    import cupy
    from cupyx.scipy.sparse.linalg import minres

    M, facts = None, {}
    if method == "polynomial":
        M = ap.make(A, solver="minres")
        facts = {"degree": M.degree, "storage": M.storage, "kernel": M.kernel}
        facts |= {"base": M.report.base, "setup_seconds": M.report.seconds}
    seen, x, left, size = [], None, 1.0, float(cupy.linalg.norm(b))
    for tol in (1e-8, 1e-10, 1e-12):
        rest = most - len(seen)
        if rest <= 0:
            break
        x, _ = minres(A, b, x0=x, M=M, tol=tol, maxiter=rest, callback=seen.append)
        left = float(cupy.linalg.norm(b - A @ x)) / size
        if left <= target:
            break
    return left, {"iterations": len(seen), **facts}
