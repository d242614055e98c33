"""``python -m bench run``: every method on every problem, one JSON line per run."""

import argparse
import os
import sys

from . import methods, problems, runner, solve, sources
from .journal import Journal
from .progress import Progress

__all__ = ["main"]

# What has to agree between the runs of one file.
_FIXED = ("solver", "rtol", "time_limit", "memory_gb", "threads", "budget", "work_limit")


def main(argv=None):
    """Run; return 0 when every row is there, 2 for what cannot be understood."""
    options = _parser().parse_args(argv)
    if options.list:
        _list()
        return 0
    try:
        return _run(options)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nrun: interrupted; the same command goes on from here.", file=sys.stderr)
        return 130


def _run(options):
    for path in options.plugin:
        methods.load_plugin(path)
    named = options.methods is not None
    chosen = _choose(options.methods)
    if not options.source or not options.out:
        raise ValueError("run: SOURCE and --out FILE must be given; see --help.")
    for name in ("repeats", "time_limit", "memory_limit", "rtol", "threads", "work_limit"):
        if getattr(options, name) <= 0:
            word = name.replace("_", "-")
            raise ValueError(
                f"run: --{word} must be positive; got {getattr(options, name)}."
            )
    found = sources.resolve(options.source, options.cache)
    settings = {
        "solver": options.solver,
        "rtol": options.rtol,
        "repeats": options.repeats,
        "time_limit": options.time_limit,
        "memory_gb": options.memory_limit,
        "threads": options.threads,
        "budget": options.budget,
        "work_limit": options.work_limit,
        "history": options.history,
        "methods": list(chosen),
        "sources": options.source,
        "plugins": [os.path.abspath(path) for path in options.plugin],
    }
    journal = Journal(options.out)
    try:
        journal.check_same(settings, _FIXED)
        progress = Progress(len(found))
        work = runner.Runner(journal, settings, chosen, named, progress)
        work.run(found)
        progress.finish()
    finally:
        journal.close()
    return 0


def _choose(words):
    if words is None:
        return dict(methods.METHODS)
    names = [name for word in words for name in word.split(",") if name]
    unknown = [name for name in names if name not in methods.METHODS]
    if unknown:
        raise ValueError(
            f"run: methods must be among {', '.join(methods.METHODS)}; got "
            f"{', '.join(unknown)}."
        )
    return {name: methods.METHODS[name] for name in names}


def _list():
    print("methods:")
    for name, method in methods.METHODS.items():
        text = (method.prepare.__doc__ or "").strip().splitlines()
        print(f"  {name:<16} {text[0] if text else ''} [{', '.join(method.classes)}]")
    print("generated problems:")
    for name, make in sorted(problems.PROBLEMS.items()):
        print(f"  {name:<16} {make.__doc__.strip().splitlines()[0]}")


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m bench run", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    add("source", nargs="*", help="folder, file, Group/Name (SuiteSparse) or problem:size")
    add("--out", help="results file; continued where it exists")
    add("--methods", nargs="+", help="names; all that fit the matrix by default")
    add("--solver", choices=("auto", *solve.SOLVERS), default="auto")
    add("--repeats", type=int, default=3)
    add("--time-limit", type=float, default=10.0, help="seconds per run, setup included")
    add("--memory-limit", type=float, default=8.0, help="GB per run")
    add("--rtol", type=float, default=1e-8, help="relative residual")
    add("--threads", type=int, default=1, help="of every library in the worker")
    add("--budget", type=int, help="products per run (20 n, 5,000 to 40,000)")
    add("--work-limit", type=float, default=10.0, help="products over those of plain CG")
    add("--history", action="store_true", help="keep the residuals of repeat 0")
    add("--cache", help="folder for matrices of the collection")
    add("--plugin", action="append", default=[], help="Python file with more methods")
    add("--list", action="store_true", help="name methods and problems, and stop")
    return parser
