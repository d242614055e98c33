"""``python -m bench.surrogate``: does the diagonal operator cost what the matrix costs?

For each problem CG is run on the matrix with Chebyshev polynomials of ten lower edges,
degrees 4 to 32 and five right-hand sides, and on the diagonal operators that
`retrain.surrogate` makes of the same right-hand sides: after all steps that plain CG needs,
and after a share of them. Compared where the matrix costs at most 1.5 times its least.
"""

import argparse

import numpy as np

from autospec_precond import bases, classical, operands
from autospec_precond.retrain import surrogate
from autospec_precond.retrain.counting import log_products, residual_polynomial
from autospec_precond.retrain.data import EDGES

from . import engine_measure, problems
from .engine_operators import Sparse

__all__ = ["main"]

_DEGREES = (4, 8, 16, 32)
_PROBLEMS = ("lognormal2d:80", "lognormal3d:20", "elasticity2d:40", "poisson2d:100")
_SHARES = (1.0, 0.8, 0.5)
_HIGH = 1.05


def main(argv=None):
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="*", default=_PROBLEMS)
    options = parser.parse_args(argv)
    print("| problem | steps | share of CG's | ratio | rms | worst | price |")
    print("|---|---|---|---|---|---|---|")
    for text in options.problems:
        for row in compare(text):
            print(row, flush=True)
    print(
        "\nRatio: geometric mean of products, diagonal operator over matrix; rms and worst "
        "of single\ncases; price: products on the matrix at the edge that is best on the "
        "diagonal operator,\nover the least, mean of the degrees."
    )


def compare(text):
    """Yield the rows of one problem."""
    A = problems.build(text).A
    operand = operands.as_operand(A, text)
    diagonal = operands.check_diagonal(operand, None, text)
    S = bases.build(operand, "jacobi", diagonal).matrix
    run = engine_measure._Runner(Sparse(S))
    solves = [surrogate.conjugate_gradients(S.__matmul__, b, 5_000) for b in run.B.T]
    top = max(surrogate.diagonal_operator(solve)[0][-1] for solve in solves)
    expected = np.array(
        [
            [
                np.log(run.products(classical.chebyshev(degree, _HIGH * top, low * top))[0])
                for low in EDGES[::2]
            ]
            for degree in _DEGREES
        ]
    )  # (n_degrees, n_edges, n_rhs); NaN where the budget did not do
    for share in _SHARES:
        found = np.stack([_curves(solve, share, top) for solve in solves], axis=-1)
        least = np.nanmin(expected, axis=1, keepdims=True)
        near = expected < least + np.log(1.5)
        apart = (found - expected)[near]
        mean, mean_found = expected.mean(-1), found.mean(-1)
        best = mean_found.argmin(1)
        price = mean[np.arange(len(_DEGREES)), best] - np.nanmin(mean, axis=1)
        steps = round(share * np.mean([solve.pivots.size for solve in solves]))
        yield (
            f"| {text} | {steps} | {share:.0%} | {np.exp(apart.mean()):.3f} | "
            f"{np.sqrt((apart**2).mean()):.1%} | {np.abs(apart).max():.1%} | "
            f"{np.exp(price.mean()):.3f} |"
        )


def _curves(solve, share, top):
    """Return the logarithms of products on the operator of the first steps of a solve."""
    n_steps = round(share * solve.pivots.size)
    part = surrogate.Run(solve.pivots[:n_steps], solve.fills[:n_steps], share == 1)
    theta, b = surrogate.diagonal_operator(part)
    curves = []
    for degree in _DEGREES:
        roots = [classical.chebyshev_roots(degree, low, _HIGH) for low in EDGES[::2]]
        q = 1 - residual_polynomial(theta / top, np.array(roots))
        curves.append(log_products(theta / top, q, degree + 1, b, 20_000))
    return np.array(curves)


if __name__ == "__main__":
    main()
