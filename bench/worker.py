"""The process that does the work: reads one JSON request per line, answers in kind.

Requests: ``{"do": "load", "source": {...}}`` and ``{"do": "run", ...}``. Answers go to the
standard output of the process, on which nothing else is allowed: whatever libraries print
there goes to the standard error. It ends with its parent.
"""

import contextlib
import ctypes
import json
import math
import os
import platform
import resource
import signal
import sys
import time

__all__ = ["main", "memory_in_use"]

# Address space beyond the memory limit: code, thread stacks, arenas of the allocator.
_HEAD_ROOM = 1 << 30


def main():
    """Serve requests until the input ends."""
    _end_with_parent()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(**message):
        out.write(json.dumps(message) + "\n")
        out.flush()

    settings = json.loads(sys.stdin.readline())
    say(event="ready", **_warm(settings))
    state = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "load":
                _load(state, request, settings, say)
            else:
                _run(state, request, settings, say)
        except MemoryError:
            say(event="out of memory", reason=f"over {settings['memory_gb']:.3g} GB")
    return 0


def memory_in_use(pid):
    """Return the resident bytes of a process, 0 where that cannot be told."""
    with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
    return 0


def _end_with_parent():
    """Ask Linux to kill this process when its parent dies."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _warm(settings):
    """Import and compile all that is needed, and limit the memory; say how long it took."""
    began = time.perf_counter()
    import numpy as np
    import scipy

    import autospec_precond as ap

    from . import methods, problems

    for path in settings["plugins"]:
        methods.load_plugin(path)
    ap.warmup()
    compiled = time.perf_counter() - began
    A = problems.build("poisson2d:8").A
    ap.make(A) @ np.ones(A.shape[0])
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    versions |= {"scipy": scipy.__version__, "autospec_precond": ap.__version__}
    for name in ("numba", "pyamg", "ilupp"):
        with contextlib.suppress(ImportError):
            versions[name] = __import__(name).__version__
    warmup = {"warmup_seconds": round(time.perf_counter() - began, 3)}
    warmup |= {"compile_seconds": round(compiled, 3), "versions": versions}
    _limit_memory(settings["memory_gb"])
    return warmup


def _limit_memory(gigabytes):
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    limit = now + int(gigabytes * 1e9) + _HEAD_ROOM
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _load(state, request, settings, say):
    import numpy as np

    from . import classify, sources
    from .methods import Context

    state.clear()
    try:
        problem = sources.load(sources.Source(**request["source"]))
        kind, evidence = request.get("kind"), request.get("evidence")
        if kind is None:
            factorise = request.get("factorise", True)
            kind, evidence = classify.classify(problem.A, problem.kind, factorise)
    except MemoryError:
        raise
    except Exception as error:  # a file may be broken in any way
        text = " ".join(str(error).split())
        name = type(error).__name__
        reason = text if isinstance(error, ValueError) and text else f"{name}: {text}"
        say(event="unreadable", reason=reason[:500])
        return
    A = problem.A
    solver = settings["solver"]
    if solver == "auto":
        solver = "cg" if kind == "spd" else "gmres"
    b = np.random.default_rng(7).standard_normal(A.shape[0]).astype(A.dtype)
    state["b"] = b
    state["context"] = Context(A, kind, solver, problem.nullspace, problem.block)
    say(
        event="loaded",
        n=A.shape[0],
        nnz=int(A.nnz),
        kind=kind,
        evidence=evidence,
        field="complex" if A.dtype.kind == "c" else "real",
        solver=solver,
    )


def _run(state, request, settings, say):
    """Answer with what a row says of one run, then with what was recorded apart."""
    from . import methods
    from .solve import TOLERANCES, prepare, solve

    context, b = state["context"], state["b"]
    solver, rtol = context.solver, settings["rtol"]
    limit, budget = settings["time_limit"], request["budget"]
    method = methods.METHODS[request["method"]]
    if not method.installed():
        reason = f"pip install {method.package}"
        say(event="row", status="not installed", reason=reason)
        return
    began = time.perf_counter()
    try:
        prepared, setup = prepare(method, context)
    except methods.NotSupported as error:
        say(event="row", status="not supported", reason=_sentence(error))
        return
    except MemoryError:
        raise
    except Exception as error:  # a rival may raise anything
        seconds = round(time.perf_counter() - began, 6)
        reason = f"setup: {type(error).__name__}: {_sentence(error)}"
        say(event="row", status="failed", reason=reason, setup_seconds=seconds)
        return
    keywords = {"rtol": rtol, "budget": budget, "seconds": max(0.1, limit - setup)}
    outcome = solve(context.A, b, prepared, solver, **keywords)
    meter = outcome.meter
    history, residual = outcome.history, outcome.residual
    row = {
        "status": outcome.status,
        "reason": _sentence(outcome.reason),
        "iterations": outcome.iterations,
        "products": meter.products,
        "setup_products": prepared.setup_products,
        "applications": meter.applications,
        "setup_seconds": round(setup, 6),
        "solve_seconds": round(outcome.seconds, 6),
        "residual": residual if residual < float("inf") else None,
        "degree": prepared.degree,
        "work": {
            "base": meter.base_products,
            "preconditioner": round(meter.applications * prepared.work, 3),
            "generation": prepared.setup_products,
        },
        "tolerances": {},
        "area": None,
        "note": prepared.note,
    }
    if solver == "gmres":
        row["tolerances"] = _reached(history, TOLERANCES)
        row["area"] = _area(history, rtol)
        if settings["history"]:
            row["history"] = history
    say(event="row", **row)
    if request["record"]:
        recorded = solve(context.A, b, prepared, solver, record=True, **keywords)
        answer = {"tolerances": _reached(recorded.history, TOLERANCES)}
        if settings["history"]:
            answer["history"] = recorded.history
        say(event="recorded", **answer)


def _reached(history, tolerances):
    """Return where each tolerance was reached first."""
    found = {}
    for tolerance in tolerances:
        for iterations, products, seconds, residual in history:
            if residual <= tolerance:
                found[f"{tolerance:.0e}".replace("e-0", "e-")] = {
                    "iterations": iterations,
                    "products": products,
                    "seconds": seconds,
                }
                break
    return found


def _area(history, rtol):
    """Return the area between log10 of the residual and of rtol over the seconds."""
    area, before, height_before = 0.0, 0.0, -math.log10(rtol)
    for _, _, seconds, residual in history:
        if not 0 <= residual < math.inf:
            return None
        height = max(0.0, math.log10(max(residual, 1e-300) / rtol))
        area += 0.5 * (height + height_before) * (seconds - before)
        before, height_before = seconds, height
    return round(area, 6) if history else None


def _sentence(text):
    return " ".join(str(text).split())[:500]


if __name__ == "__main__":
    sys.exit(main())
