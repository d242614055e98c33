"""One matrix: p, λp(λ) and φ over its spectrum, ours against the rivals."""

import numpy as np

from autospec_precond import classical

from . import engine_measure, engine_methods, engine_sets, sources
from .engine_methods import LABELS, RIVALS

__all__ = ["draw", "polynomials"]

_MOST_ROWS = 4000  # all eigenvalues are computed
_STYLES = {
    "ours": {"color": "#c1121f", "lw": 2.0, "zorder": 5},
    "oracle": {"color": "black", "lw": 1.6, "ls": "--", "zorder": 4},
    "cheb30": {"color": "#8d99ae", "lw": 1.2},
    "chebritz": {"color": "#2a9d8f", "lw": 1.2},
    "cheb4": {"color": "#e09f3e", "lw": 1.2},
    "leastsquares": {"color": "#6a4c93", "lw": 1.2, "ls": ":"},
    "gmrespoly": {"color": "#1d70b8", "lw": 1.2},
}


def polynomials(word, degree, engine=None):
    """Return the polynomials of a matrix, what they take, and its spectrum.

    Parameters
    ----------
    word : str
        A file or a generated problem.
    degree : int
        Even.
    engine : str, optional
        Weights file.

    Returns
    -------
    made : dict of str to Polynomial
        Ours, the rivals and the oracle.
    products : dict of str to float
        Mean over the right-hand sides, NaN where one fails.
    eigenvalues : ndarray, shape (n,)
        Of S, ascending.

    Raises
    ------
    ValueError
        If the matrix is large or not positive definite.
    """
    found = sources.resolve([word])
    if len(found) != 1:
        raise ValueError(f"picture: MATRIX must be one matrix; got {len(found)}.")
    case = engine_sets.Case("matrices", word, source=found[0], most_rows=_MOST_ROWS)
    try:
        A, operator = engine_sets.load(case)
    except engine_sets.LeftOut as error:
        raise ValueError(
            f"picture: MATRIX must be positive definite, with up to {_MOST_ROWS} rows; got "
            f"{word}: {error}."
        ) from None
    ours, probe = engine_methods.ours_matrix(A, degree, engine)
    row = engine_measure.measure(operator, lambda _: (ours, probe), [degree])[0]
    high, lowest = ours.interval[1], probe.ritz_values[0]
    made = {"ours": ours}
    edge = row["methods"]["oracle"]["edge"]
    if edge is not None:
        made["oracle"] = classical.chebyshev(degree, high, edge * high)
    for name in RIVALS:
        made[name] = engine_methods.rival(name, degree, high, operator, lowest)
    made = {name: polynomial for name, polynomial in made.items() if polynomial is not None}
    counts = {name: row["methods"].get(name, {"products": [None]}) for name in made}
    products = {
        name: float(np.mean([np.nan if c is None else c for c in entry["products"]]))
        for name, entry in counts.items()
    }
    return made, products, np.linalg.eigvalsh(operator.S.toarray())


def draw(word, degree, out, engine=None):
    """Write a picture with three panels over log λ.

    Parameters
    ----------
    word, degree, engine
        As `polynomials` takes them.
    out : path-like
        PNG, SVG or PDF.
    """
    from matplotlib.figure import Figure

    made, products, eigenvalues = polynomials(word, degree, engine)
    high = made["ours"].interval[1]
    low = max(float(eigenvalues[0]), 1e-12 * high)
    right = 1.05 * high
    # Roots crowd at the upper end of a logarithmic axis: a linear grid, too.
    x = np.unique(
        np.r_[np.geomspace(0.5 * low, right, 3000), np.linspace(low, right, 6000)]
    )
    figure = Figure(figsize=(11, 11), layout="constrained")
    ticks, top, middle, bottom = figure.subplots(
        4, 1, sharex=True, height_ratios=(0.28, 3, 3, 3)
    )
    ticks.vlines(eigenvalues, 0, 1, color="black", lw=0.4, alpha=0.5)
    ticks.set(yticks=[], ylim=(0, 1), ylabel="λ")
    ticks.set_title(
        f"{word.rsplit('/', 1)[-1]}: {eigenvalues.size} eigenvalues of S, degree {degree}"
    )
    for name, polynomial in made.items():
        count = products[name]
        text = f"{count:.0f} products" if np.isfinite(count) else "not converged"
        style = {**_STYLES[name], "label": f"{LABELS[name]}: {text}"}
        p, phi = polynomial(x), polynomial.residual(x)
        top.plot(x, np.where(p > 0, p, np.nan), **style)
        middle.plot(x, x * p, **style)
        bottom.plot(x, phi, **style)
    top.plot(x, 1 / x, color="black", lw=0.6, ls=":", label="1/λ")
    p = made["ours"](x[x <= high])
    top.set(yscale="log", ylabel="p(λ)", ylim=(0.3 * np.abs(p).min(), 10 * p.max()))
    middle.set(ylabel="λ p(λ)", ylim=(-0.1, 2.1))
    middle.axhline(1.0, color="black", lw=0.6, ls=":")
    bottom.set(ylabel="φ(λ) = 1 − λ p(λ)", xlabel="λ", xscale="log", ylim=(-1.05, 1.05))
    bottom.axhline(0.0, color="black", lw=0.6, ls=":")
    bottom.set_xlim(0.5 * low, right)
    for panel in (top, middle, bottom):
        panel.axvline(high, color="black", lw=0.6, ls="-.", label="high")
    top.legend(fontsize="small", loc="lower left")
    figure.savefig(out, dpi=130)
