"""The sets of operators that the engine is judged on."""

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autospec_precond import bases, spectra
from autospec_precond.operands import as_operand
from autospec_precond.retrain import data

from . import classify, sources
from .engine_operators import Diagonal, Sparse

__all__ = ["GAPS", "LARGE", "SETS", "Case", "LeftOut", "cases", "draw", "load"]

SETS = ("families", "left-out", "matrices", "large", "gaps", "seeds")

LARGE = (
    "poisson2d:250",
    "poisson3d:50",
    "lognormal3d:40",
    "elasticity2d:100",
    "anisotropic:200",
    "geograph:20000",
)

_SEED = 70_001  # of the held-out draws; training and its evaluation use others
_N_FAMILY, _N_GAP = 800, 1000
_FEWEST_ROWS = 100


class LeftOut(Exception):  # noqa: N818 - a verdict
    """Raised for a matrix that the set does not hold; the text says why."""


@dataclass(frozen=True)
class Case:
    """One operator, not made yet.

    Attributes
    ----------
    set, name : str
        The set, and the name within it.
    group : str
        Family or kind of gap; empty for matrices.
    draw : int
        Which draw of the group.
    engine : str or None
        Weights file, None for the one that ships.
    source : Source or None
        Of a matrix.
    most_rows : int or None
        Larger matrices are left out.
    """

    set: str
    name: str
    group: str = ""
    draw: int = 0
    engine: str | None = None
    source: object = None
    most_rows: int | None = None


def cases(name, options):
    """Return the cases of a set.

    Parameters
    ----------
    name : str
        One of `SETS`.
    options : argparse.Namespace
        With draws, engine, matrices, left_out, large, rows, seed_rows.

    Raises
    ------
    ValueError
        If a folder is missing or does not hold what it must.
    """
    if name in ("families", "gaps"):
        groups = dict.fromkeys(GAPS if name == "gaps" else _families(), options.engine)
    elif name == "left-out":
        groups = _left_out(options.left_out)
    else:
        words = options.large if name == "large" else options.matrices
        if not words:
            raise ValueError(f"run: the set {name} needs --matrices FOLDER; got none.")
        rows = options.seed_rows if name == "seeds" else options.rows
        found = sources.resolve(words)
        return [
            Case(name, s.problem, engine=options.engine, source=s, most_rows=rows)
            for s in found
        ]
    return [
        Case(name, f"{group}-{k}", group, k, engine)
        for k in range(options.draws)
        for group, engine in groups.items()
    ]


def draw(case):
    """Return eigenvalues and probe of a drawn case.

    Parameters
    ----------
    case : Case
        Of the sets 'families', 'left-out' (the same draws) or 'gaps'.

    Returns
    -------
    operator : Diagonal
        In the units of the probe.
    probe : Probe
        As `make` would make it.
    """
    rng = np.random.default_rng([_SEED, zlib.crc32(case.group.encode()), case.draw])
    if case.set == "gaps":
        values = GAPS[case.group](rng, _N_GAP)
        values = np.sort(values / values.max())
    else:
        values = spectra.draw_family(case.group, rng, _N_FAMILY)
    return Diagonal(values), data.probe_diagonal(values, rng)


def load(case):
    """Return a matrix and the operator S that polynomials of it stand on.

    Parameters
    ----------
    case : Case
        With a source.

    Returns
    -------
    A : csr_array, shape (n, n)
        Positive definite.
    operator : Sparse
        S = D^(-1/2) A D^(-1/2).

    Raises
    ------
    LeftOut
        If the matrix is small, diagonal, large or not positive definite.
    """
    try:
        problem = sources.load(case.source)
    except ValueError as error:
        raise LeftOut(f"cannot be read: {error}") from None
    A, n = problem.A, problem.A.shape[0]
    if n < _FEWEST_ROWS:
        raise LeftOut(f"fewer than {_FEWEST_ROWS} rows")
    if case.most_rows is not None and n > case.most_rows:
        raise LeftOut(f"more than {case.most_rows} rows")
    if A.nnz <= n:
        raise LeftOut("diagonal")
    kind, _ = classify.classify(A, problem.kind)
    if kind != "spd":
        raise LeftOut("not positive definite")
    return A, Sparse(bases.build(as_operand(A, "run"), "jacobi", A.diagonal().real).matrix)


def _families():
    return list(spectra.FAMILIES)


def _left_out(folder):
    """Return the weights file of each family that one was trained without."""
    if not folder:
        raise ValueError("run: the set left-out needs --left-out FOLDER; got none.")
    found = {f: Path(folder) / f"left-out-{f}.safetensors" for f in _families()}
    found = {family: str(path) for family, path in found.items() if path.is_file()}
    if not found:
        raise ValueError(
            "run: --left-out must be a folder with left-out-FAMILY.safetensors, FAMILY "
            f"one of {', '.join(_families())}; got {folder}."
        )
    return found


def two_clusters(rng, n):
    """Return two clusters of random shares, 1.5 to 4 decades apart, 5 % wide."""
    centres = np.array([1.0, 10 ** -rng.uniform(1.5, 4)])
    return _around(rng, n, centres, rng.uniform(0.1, 0.9), 0.05)


def four_clusters(rng, n):
    """Return four clusters of equal shares, 0.4 to 1.3 decades apart each, 5 % wide."""
    centres = 10 ** -np.r_[0, np.cumsum(rng.uniform(0.4, 1.3, 3))]
    return _around(rng, n, centres, 0.25, 0.05)


def three_wide_clusters(rng, n):
    """Return three bands, each a factor 3 wide, with empty gaps of a factor 5 to 30."""
    gaps = np.cumsum(np.log10(3) + rng.uniform(np.log10(5), np.log10(30), 2))
    centres = -np.r_[0, gaps]
    return 10 ** (centres[rng.integers(0, 3, n)] + np.log10(3) * rng.uniform(-0.5, 0.5, n))


def five_outliers(rng, n):
    """Return a bulk of condition 10 to 1000 and five eigenvalues ten times above it."""
    return _above(rng, n, 5, 10.0)


def three_far_outliers(rng, n):
    """Return a bulk of condition 10 to 1000 and three eigenvalues 30 times above it."""
    return _above(rng, n, 3, 30.0)


def tiny_outliers(rng, n):
    """Return a bulk of condition 10 to 1000 and 1 to 10 eigenvalues 10 to 1000 below it."""
    values = _bulk(rng, n)
    m = int(rng.integers(1, 11))
    values[:m] = values.min() * 10 ** -rng.uniform(1, 3, m)
    return values


GAPS = {
    function.__name__: function
    for function in (
        two_clusters,
        four_clusters,
        three_wide_clusters,
        five_outliers,
        three_far_outliers,
        tiny_outliers,
    )
}


def _around(rng, n, centres, share, width):
    """Put `share` of the eigenvalues around each centre, the rest around the last."""
    which = np.minimum(rng.random(n) // share, centres.size - 1).astype(int)
    return centres[which] * (1 + width * rng.uniform(-0.5, 0.5, n))


def _bulk(rng, n):
    return rng.uniform(10 ** -rng.uniform(1, 3), 1, n)


def _above(rng, n, count, factor):
    values = _bulk(rng, n)
    values[:count] = factor * (1 + 0.1 * rng.random(count))
    return values
