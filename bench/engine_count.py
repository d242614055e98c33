"""Count products: CG with several right-hand sides in lockstep, and the best interval.

A product is one of A with one vector; an outer iteration with a polynomial of degree d
takes d + 1.
"""

import numpy as np

__all__ = ["RTOL", "budget", "lockstep", "scan", "walk"]

RTOL = 1e-8

# An edge is given up once it takes this many times the products of the best so far; the
# walk turns round after _PATIENCE edges in a row that are worse by _WORSE.
_GIVE_UP, _WORSE, _PATIENCE = 1.10, 1.05, 3


def budget(n):
    """Return the products allowed per right-hand side: 20 n, between 5,000 and 100,000."""
    return min(max(20 * n, 5_000), 100_000)


def lockstep(product, apply, B, cost, most, *, groups=None, best=np.inf, take=None):
    """Count the products that CG takes for every column of a block.

    Parameters
    ----------
    product, apply : callable
        S X and M X of a block.
    B : ndarray, shape (n, k)
        Right-hand sides; each column has its own scalars.
    cost, most : int
        Products per iteration; products allowed per column.
    groups : ndarray of int, shape (k,), optional
        Which columns are one run. Give it to drop a group once its sum, as far as it is
        known, is above 1.1 times the least of the others and `best`, or it breaks.
    best : float, optional
        Sum of products to stay below.
    take : callable, optional
        Takes the positions of columns and returns `apply` for those alone; without it
        no column is ever taken out.

    Returns
    -------
    counts : ndarray, shape (k,)
        Interpolated on log10 of the residual in the last iteration; NaN where the
        tolerance was not reached.
    broke : ndarray of bool, shape (k,)
        Where a scalar of CG was not positive before that.
    """
    k = B.shape[1]
    counts, broke = np.full(k, np.nan), np.zeros(k, bool)
    columns = np.arange(k)  # of B, in the place of each column of the arrays below
    open_ = np.ones(k, bool)
    R = np.array(B)
    last = norm = _norms(R)
    target = RTOL * norm
    with np.errstate(all="ignore"):  # columns that are done run on, into 0/0
        Z = apply(R)
        P, rz = np.array(Z), _dots(R, Z)
        for iteration in range(1, most // cost + 1):
            Q = product(P)
            curvature = _dots(P, Q)
            Q *= rz / curvature
            R -= Q
            last, norm = norm, _norms(R)
            good = (rz > 0) & (curvature > 0) & np.isfinite(norm)
            crossed = open_ & good & (norm < target)
            part = np.log(target / last) / np.log(norm / last)
            counts[columns[crossed]] = cost * (iteration - 1 + part[crossed])
            broke[columns[open_ & ~good]] = True
            open_ &= good & ~crossed
            if groups is not None:
                spent = np.where(np.isnan(counts), cost * iteration, counts)
                open_ &= _promising(groups, spent, counts, broke, best)[columns]
            if not open_.any():
                break
            if take is not None and open_.sum() < 0.8 * open_.size:
                columns, target = columns[open_], target[open_]
                R, P, rz, norm = R[:, open_], P[:, open_], rz[open_], norm[open_]
                open_ = open_[open_]
                apply = take(columns)
            Z = apply(R)
            rz, before = _dots(R, Z), rz
            P *= rz / before
            P += Z
    return counts, broke


def _promising(groups, spent, counts, broke, best):
    """Say for each column whether its group may still become the best one."""
    sums = np.bincount(groups, spent)
    sums[groups[broke]] = np.inf
    finished = np.bincount(groups, np.isnan(counts)) == 0
    limit = _GIVE_UP * min(best, sums[finished].min(initial=np.inf))
    return (sums <= limit)[groups] & np.isfinite(sums)[groups]


def _norms(X):
    return np.sqrt(_dots(X, X))


def _dots(X, Y):
    X = X.conj() if X.dtype.kind == "c" else X
    return np.einsum("ij,ij->j", X, Y).real


def scan(operator, polynomials, B, most):
    """Run all polynomials of one degree on a diagonal operator at once.

    Parameters
    ----------
    operator : Diagonal
        Its product is one multiplication, whatever the number of columns.
    polynomials : list of Polynomial
        All of the same degree.
    B : ndarray, shape (n, r)
        Right-hand sides.
    most : int
        Products allowed per right-hand side.

    Returns
    -------
    ndarray, shape (len(polynomials), r)
        Products; NaN for runs that were given up or failed. The best run is never
        given up.
    """
    r = B.shape[1]
    p = np.stack([polynomial(operator.eigenvalues) for polynomial in polynomials], axis=1)
    groups = np.repeat(np.arange(len(polynomials)), r)

    def take(columns):
        values = p[:, groups[columns]]
        return lambda R: values * R

    every = np.arange(groups.size)
    wide = np.tile(B, (1, len(polynomials)))
    cost = polynomials[0].degree + 1
    counts, _ = lockstep(
        operator.product, take(every), wide, cost, most, groups=groups, take=take
    )
    return counts.reshape(len(polynomials), r)


def walk(measure, n_edges, starts):
    """Find the least of a sequence with one or two wide valleys, up to noise.

    Parameters
    ----------
    measure : callable
        ``measure(position, best)`` returns a value; it may return infinity as soon as
        the value is known to be above 1.1 `best`.
    n_edges : int
        Length of the sequence.
    starts : sequence of int
        Positions to look at first, the best guess before the others.

    Returns
    -------
    dict of int to float
        What was measured, in order: the starts, then upwards and downwards from the best
        of them, each until three in a row were worse than the best by over 5 %.
    """
    found = {}
    for position in starts:
        found[position] = measure(position, min(found.values(), default=np.inf))
    start = min(found, key=found.get)
    if len(found) > _PATIENCE and not np.isfinite(found[start]):
        return found  # nothing converges anywhere near its budget
    for step in (1, -1):
        position, n_worse = start + step, 0
        while 0 <= position < n_edges and n_worse < _PATIENCE:
            best = min(found.values())
            if position not in found:
                found[position] = measure(position, best)
            # Where nothing converges yet, one more that does not is no better.
            better = found[position] <= _WORSE * best and np.isfinite(found[position])
            n_worse = 0 if better else n_worse + 1
            position += step
    return found
