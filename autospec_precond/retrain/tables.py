"""What a fine-tuning has gained: measured on both engines, and written as a table."""

from dataclasses import dataclass

import numpy as np

from .data import Pool
from .evaluation import compare

__all__ = ["Gain", "markdown", "measure", "summary"]

_SHORT = 8  # outer iterations of the oracle below which a case is a matter of chance
_CHUNK = 4  # samples per task of a process


@dataclass(frozen=True)
class Gain:
    """One line of the table.

    Attributes
    ----------
    name : str
        Of the matrix, or of the synthetic family.
    own : bool
        Whether it is the user's.
    held_out : bool
        Whether nothing was learned from it.
    degree : int or None
        Degree of p; None where the line is the mean over all.
    products : float
        Of the oracle, geometric mean.
    before, after : float
        Products over those of the oracle, geometric means.
    short : bool
        Whether the oracle takes fewer than 8 outer iterations: left out of summaries.
    """

    name: str
    own: bool
    held_out: bool
    degree: int | None
    products: float
    before: float
    after: float
    short: bool


def measure(engines, groups, n_jobs, tell):
    """Measure two engines on samples.

    Parameters
    ----------
    engines : tuple of Engine
        Before and after.
    groups : list of tuple
        (samples of one matrix or family, own, held_out).
    n_jobs : int
        Processes.
    tell : callable
        Called with (stage, done, total).

    Returns
    -------
    list of Gain
        One for each matrix and degree, and for each family.
    """
    tasks, owners = [], []
    for k, (samples, _, _) in enumerate(groups):
        for first in range(0, len(samples), _CHUNK):
            tasks.append((engines, samples[first : first + _CHUNK]))
            owners.append(k)
    found = [[] for _ in groups]
    with Pool(n_jobs) as run:
        for done, (owner, logs) in enumerate(
            zip(owners, run(_measure_chunk, tasks), strict=True)
        ):
            found[owner].append(logs)
            tell("evaluate", done + 1, len(tasks))
    degrees = engines[0].config.degrees
    least = np.log(_SHORT * (np.array(degrees) + 1))
    gains = []
    for (samples, own, held_out), logs in zip(groups, found, strict=True):
        logs = np.concatenate(logs)  # (n_samples, n_degrees, 3)
        # A family is one line: its operators have little in common but the name.
        for part in [[k] for k in range(len(degrees))] if own else [range(len(degrees))]:
            cases = logs[:, part]
            is_long = cases[..., 2] >= least[part]
            chosen = cases[is_long] if is_long.any() else cases.reshape(-1, 3)
            before, after, oracle = chosen.mean(0).tolist()
            gains.append(
                Gain(
                    name=samples[0].family,
                    own=own,
                    held_out=held_out,
                    degree=degrees[part[0]] if own else None,
                    products=float(np.exp(oracle)),
                    before=float(np.exp(before - oracle)),
                    after=float(np.exp(after - oracle)),
                    short=not is_long.any(),
                )
            )
    return gains


def _measure_chunk(task):
    engines, samples = task
    logs = []
    for sample in samples:
        for degree in engines[0].config.degrees:
            rows = [compare(engine, sample, degree) for engine in engines]
            logs.append([rows[0][0], rows[1][0], rows[0][2]])
    return np.array(logs).reshape(len(samples), -1, 3)


def summary(gains):
    """Return the geometric means that decide.

    Parameters
    ----------
    gains : list of Gain
        The table.

    Returns
    -------
    dict
        For 'own' and 'synthetic', both held out, a dict with 'before' and 'after':
        products over those of the oracle.
    """
    result = {}
    for name, own in (("own", True), ("synthetic", False)):
        rows = [g for g in gains if g.held_out and g.own == own]
        rows = [g for g in rows if not g.short] or rows
        result[name] = {
            when: round(float(np.exp(np.mean(np.log([getattr(g, when) for g in rows])))), 5)
            for when in ("before", "after")
        }
    return result


def markdown(gains):
    """Return the table as text.

    Parameters
    ----------
    gains : list of Gain
        The table.

    Returns
    -------
    str
        Markdown.
    """
    found = summary(gains)
    lines = [
        "| operator | held out | degree | products of the oracle | before | after |",
        "|---|---|---|---|---|---|",
    ]
    for g in gains:
        mark = " (short)" if g.short else ""
        lines.append(
            f"| {g.name} | {'yes' if g.held_out else 'no'} | {g.degree or 'all'} | "
            f"{g.products:.0f}{mark} | {g.before:.3f} | {g.after:.3f} |"
        )
    for name, text in (("own", "your matrices"), ("synthetic", "synthetic families")):
        two = found[name]
        lines.append(
            f"| **{text}, geometric mean** | yes | all | | "
            f"**{two['before']:.3f}** | **{two['after']:.3f}** |"
        )
    lines += [
        "",
        "Before and after: products with A to a relative residual of 1e-8, over those of",
        "the oracle, the best of 39 lower edges for operator and right-hand side at hand.",
        "Short: fewer than 8 outer iterations of the oracle; left out of the means.",
    ]
    return "\n".join(lines) + "\n"
