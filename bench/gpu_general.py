"""The section `general` of `python -m bench.gpu`: CuPy's gmres without M, and with it."""

import numpy as np

import autospec_precond as ap

from .general_problems import convection

__all__ = ["general"]

PROBLEMS = (  # points along a side, Péclet number, wind
    (400, 20, "constant"),
    (400, 200, "recirculating"),
    (400, 2000, "recirculating"),
    (1000, 20, "constant"),
)
_RTOL, _RESTART = 1e-8, 30
_MOST = 9000  # iterations without a polynomial


def general(bench):
    """Solve convection-diffusion with gmres(30): no M, Jacobi, and ours, setup included.

    Parameters
    ----------
    bench : gpu.Bench
        The run.
    """
    import cupyx.scipy.sparse

    cupy, gains = bench.cupy, []
    for n_side, peclet, wind in PROBLEMS:
        name = f"convection {n_side}^2, Pe {peclet}, {wind}"
        if bench.left() < 40:
            bench.line("skipped", section="general", problem=name, reason="no time left")
            continue
        A = cupyx.scipy.sparse.csr_matrix(convection(n_side, peclet, wind))
        b = cupy.asarray(np.random.default_rng(0).standard_normal(A.shape[0]))
        times = {}
        for method in ("none", "jacobi", "polynomial"):
            _run(method, A, b)  # compiles
            (x, facts), seconds = bench.timed(lambda how=method, A=A, b=b: _run(how, A, b))
            left = float(cupy.linalg.norm(b - A @ x) / cupy.linalg.norm(b))
            times[method] = seconds
            facts |= {"n": A.shape[0], "seconds": seconds, "residual": left}
            bench.line("general", problem=name, method=method, **facts)
        # A solve that was stopped counts as if it were done then.
        gains.append(min(times["none"], times["jacobi"]) / times["polynomial"])
    if gains:
        mean = float(np.exp(np.mean(np.log(gains))))
        bench.line("gain", method="general", mean=mean, least=min(gains), count=len(gains))


def _run(method, A, b):
    from cupyx.scipy.sparse.linalg import LinearOperator, gmres

    M, facts = None, {}
    if method == "jacobi":
        inverse = 1.0 / A.diagonal()
        M = LinearOperator(A.shape, matvec=lambda x: inverse * x, dtype=A.dtype)
    elif method == "polynomial":
        M = ap.make(A)
        facts = {"degree": M.degree, "storage": M.storage, "kernel": M.kernel}
        facts |= {"n_products": M.report.n_products, "setup_seconds": M.report.seconds}
    x, info = gmres(A, b, M=M, rtol=_RTOL, restart=_RESTART, maxiter=_MOST)
    return x, {"info": int(info), **facts}
