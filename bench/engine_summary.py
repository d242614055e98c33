"""Figures of rows that ``python -m bench.engine run`` wrote."""

import numpy as np

__all__ = ["SHORT", "geometric_mean", "kind", "outer", "summary", "total"]

SHORT = 8  # outer iterations of the oracle below which a case is short


def total(row, method, strict=False):
    """Return the mean products of a method in a row; the budget where it failed.

    Parameters
    ----------
    row : dict
        Of one case and degree.
    method : str
        Key of its `methods`.
    strict : bool, optional
        Give the budget to a polynomial that is not certified.
    """
    entry, most = row["methods"][method], row["budget"]
    if strict and not entry["certified"]:
        return float(most)
    return float(np.mean([most if c is None else c for c in entry["products"]]))


def outer(row, method):
    """Return the mean outer iterations of a method, at the degree of the row."""
    return total(row, method) / (row["degree"] + 1)


def kind(row):
    """Return 'hard' where the oracle fails, 'short' where it is soon done, or 'regular'."""
    if None in row["methods"]["oracle"]["products"]:
        return "hard"
    return "short" if outer(row, "oracle") < SHORT else "regular"


def summary(rows, method, over="oracle"):
    """Return the figures of a method over a list of rows.

    Parameters
    ----------
    rows : list of dict
        Those without the method are left out.
    method, over : str
        Keys of `methods`.

    Returns
    -------
    dict or None
        n, mean (geometric), strict, quartiles, worst, case (of the worst), wins (share of
        rows in which ours is no worse than the method), uncertified, broke; None without
        rows.
    """
    rows = [r for r in rows if method in r["methods"] and over in r["methods"]]
    if not rows:
        return None
    ratios = np.array([total(r, method) / total(r, over) for r in rows])
    strict = [total(r, method, strict=True) / total(r, over) for r in rows]
    worst = rows[int(ratios.argmax())]
    entries = [r["methods"][method] for r in rows]
    return {
        "n": len(rows),
        "mean": geometric_mean(ratios),
        "strict": geometric_mean(strict),
        "quartiles": np.quantile(ratios, [0.25, 0.5, 0.75]).tolist(),
        "worst": float(ratios.max()),
        "case": f"{worst['case']} ({worst['degree']})",
        "wins": float(np.mean([total(r, "ours") <= total(r, method) for r in rows])),
        "uncertified": sum(not e["certified"] for e in entries),
        "broke": sum(None in e["products"] for e in entries),
    }


def geometric_mean(ratios):
    """Return the geometric mean of positive numbers."""
    return float(np.exp(np.mean(np.log(ratios))))
