"""Generated problems, large where asked for, and named as generated."""

from . import elasticity, flow, graphs, grids
from .registry import PROBLEMS, Problem, build, parse, problem

__all__ = [
    "PROBLEMS",
    "Problem",
    "build",
    "elasticity",
    "flow",
    "graphs",
    "grids",
    "parse",
    "problem",
]
