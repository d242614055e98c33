"""Command line: ``python -m bench run|report|check``."""

import importlib
import sys

COMMANDS = {
    "run": ("bench.run", "solve every problem with every method, one JSON line each"),
    "report": ("bench.report", "make an HTML page of the results"),
    "check": ("bench.check", "exit with 1 where ours hurts"),
    "gate": ("bench.gate", "the same for a folder, in one process, without a results file"),
    "speed": ("bench.speed", "seconds of whole solves against every rival, large problems"),
    "applications": ("bench.applications", "what one application, block or product costs"),
    "indefinite": (
        "bench.indefinite",
        "MINRES on indefinite and singular problems",
    ),
    "eigen": ("bench.eigen", "eigenproblems: lobpcg and filtered_eigsh against rivals"),
    "general": ("bench.general", "gmres on general matrices, and convection-diffusion"),
    "gpu": ("bench.gpu", "all figures of a CUDA device in one run"),
    "calibrate": ("bench.calibrate", "measure what the cost model counts with"),
}


def main(argv=None):
    """Hand the arguments to the command named first; return the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: python -m bench COMMAND ...; each COMMAND takes --help")
        for name, (_, text) in COMMANDS.items():
            print(f"  {name:<14}{text}")
        return 0 if argv else 2
    if argv[0] not in COMMANDS:
        print(
            f"bench: the command must be one of {', '.join(COMMANDS)}; got {argv[0]!r}.",
            file=sys.stderr,
        )
        return 2
    return importlib.import_module(COMMANDS[argv[0]][0]).main(argv[1:])


if __name__ == "__main__":
    sys.exit(main())
