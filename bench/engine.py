"""``python -m bench.engine``: how good are the engine's polynomials, degree for degree?

    python -m bench.engine run --sets matrices,gaps --matrices FOLDER --out engine.jsonl
    python -m bench.engine report engine.jsonl
    python -m bench.engine picture MATRIX --degree 16 --out FILE.png

Products with A at equal degree, base and upper end; bench/README.md says what is compared.
"""

import argparse
import multiprocessing
import os
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed

from . import engine_measure, engine_methods, engine_report, engine_sets, environment
from .engine_count import RTOL
from .engine_operators import N_RHS
from .journal import Journal

__all__ = ["main"]

_DEGREES = (4, 8, 16, 32)

# What has to agree between the rows of one file.
_FIXED = ("engine", "rtol", "n_rhs", "seeds")


def main(argv=None):
    """Run, report or draw; return the exit code, 2 for what cannot be understood."""
    options = _parser().parse_args(argv)
    try:
        return options.function(options)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nrun: interrupted; the same command goes on from here.", file=sys.stderr)
        return 130


def _run(options):
    unknown = [name for name in options.sets if name not in engine_sets.SETS]
    if unknown:
        raise ValueError(
            f"run: sets must be among {', '.join(engine_sets.SETS)}; got "
            f"{', '.join(unknown)}."
        )
    odd = [d for d in options.degrees + options.seed_degrees if d < 2 or d % 2]
    if odd:
        raise ValueError(f"run: degrees must be even and at least 2; got {odd[0]}.")
    if options.jobs < 0:
        raise ValueError(f"run: --jobs must be 0 or more; got {options.jobs}.")
    chosen = [c for name in options.sets for c in engine_sets.cases(name, options)]
    settings = {
        "engine": engine_methods.engine_digest(options.engine),
        "rtol": RTOL,
        "n_rhs": N_RHS,
        "seeds": options.seeds,
        "sets": options.sets,
        "draws": options.draws,
    }
    journal = Journal(options.out)
    try:
        journal.check_same(settings, _FIXED)
        done = {(r["set"], r["case"], r["degree"]) for r in journal.rows}
        tasks = []
        for case in chosen:
            degrees = options.seed_degrees if case.set == "seeds" else options.degrees
            missing = [d for d in degrees if (case.set, case.name, d) not in done]
            if missing:
                tasks.append((case, missing, options.seeds))
        if tasks:
            journal.append(_header(settings))
        n_failed = _work(tasks, options.jobs, journal)
    finally:
        journal.close()
    return int(n_failed > 0)


def _work(tasks, jobs, journal):
    """Measure every task and append its rows; return how many failed."""
    began, n_done, n_failed = time.monotonic(), 0, 0
    for case, outcome in _outcomes(tasks, jobs):
        n_done += 1
        if isinstance(outcome, Exception):
            n_failed += 1
            print(f"FAILED {case.set} {case.name}:", file=sys.stderr)
            traceback.print_exception(outcome, file=sys.stderr)
            continue
        for row in outcome:
            journal.append(row)
        left_out = outcome[0].get("left_out")
        print(
            f"[{n_done}/{len(tasks)}, {time.monotonic() - began:.0f} s] {case.set} "
            f"{case.name}{': left out, ' + left_out if left_out else ''}",
            file=sys.stderr,
        )
    return n_failed


def _outcomes(tasks, jobs):
    """Yield each case with its rows, or with the exception in their place."""
    if jobs == 0:  # in this process: for debuggers and tests
        for task in tasks:
            yield task[0], _attempt(lambda task=task: engine_measure.rows(*task))
        return
    for name in ("OPENBLAS", "OMP", "MKL", "VECLIB_MAXIMUM"):
        # Read by the children when they load NumPy: `jobs` is all the cores to be used.
        os.environ[f"{name}_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context)
    try:
        futures = {pool.submit(engine_measure.rows, *task): task[0] for task in tasks}
        for future in as_completed(futures):
            yield futures[future], _attempt(future.result)
    finally:
        pool.shutdown(cancel_futures=True)


def _attempt(function):
    try:
        return function()
    except Exception as error:  # told by the caller; the other cases go on
        return error


def _header(settings):
    return {
        "kind": "header",
        "settings": settings,
        "commit": environment.commit(),
        "cpu": environment.cpu(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _report(options):
    print(engine_report.render(options.file))
    return 0


def _picture(options):
    from .engine_picture import draw

    draw(options.matrix, options.degree, options.out, options.engine)
    return 0


def _numbers(text):
    return [int(word) for word in text.split(",")]


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m bench.engine", description=__doc__.splitlines()[0]
    )
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="measure, one JSON line per case and degree")
    run.set_defaults(function=_run)
    add = run.add_argument
    add("--sets", type=lambda text: text.split(","), required=True)
    add("--out", required=True, help="results file; continued where it exists")
    add("--degrees", type=_numbers, default=list(_DEGREES), help="such as 4,8,16,32")
    add("--engine", help="weights file; by default the one that ships")
    add("--matrices", nargs="+", help="folders or files, for the sets matrices and seeds")
    add("--left-out", metavar="FOLDER", help="with left-out-FAMILY.safetensors")
    add("--large", nargs="+", default=list(engine_sets.LARGE), help="generated problems")
    add("--draws", type=int, default=8, help="per family or kind of gap")
    add("--rows", type=int, help="leave larger matrices out")
    add("--seed-degrees", type=_numbers, default=[16], help="of the set seeds")
    add("--seed-rows", type=int, default=3000, help="the same for the set seeds")
    add("--seeds", type=int, default=20, help="of the probe, in the set seeds")
    add("--jobs", type=int, default=1, help="processes; 0: none but this one")
    report = commands.add_parser("report", help="print tables in Markdown")
    report.set_defaults(function=_report)
    report.add_argument("file")
    picture = commands.add_parser("picture", help="draw p, λp and φ over a spectrum")
    picture.set_defaults(function=_picture)
    add = picture.add_argument
    add("matrix", help="a file, or a generated problem such as poisson2d:40")
    add("--degree", type=int, default=16)
    add("--out", required=True)
    add("--engine")
    return parser


if __name__ == "__main__":
    sys.exit(main())
