"""A small diagonal operator that conjugate gradients cannot tell from the user's matrix.

A solve by conjugate gradients (CG) gives the Lanczos matrix T of its right-hand side. The
eigenvalues of T, with the first components of its eigenvectors as right-hand side, are
a Gauss quadrature: on them CG with any polynomial takes the steps that it takes on the
matrix, as long as those steps spend no more products than the first solve. Once that
has converged, little is left to know, and T goes on as its last rows did.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from autospec_precond import features, probing, spectra

from .data import Sample

__all__ = ["Run", "conjugate_gradients", "diagonal_operator", "observe"]

_RTOL = 1e-8  # what the curves are measured to
_N_LAST = 50  # rows of T that the others continue
_N_PROBES = 4  # of every sample, as those of pretraining


@dataclass(frozen=True)
class Run:
    """The Lanczos matrix that a solve by conjugate gradients has passed through.

    Attributes
    ----------
    pivots, fills : ndarray, shape (n_steps,)
        T is L diag(pivots) L* with unit L, and fills_j = pivots_j |l_j|²: the inverses
        of the step lengths, and those times the quotients of the residuals.
    converged : bool
        Whether the residual fell by 1e-8.
    """

    pivots: np.ndarray
    fills: np.ndarray
    converged: bool

    def matrix(self, n_more=0):
        """Return the diagonals of T, continued.

        Parameters
        ----------
        n_more : int, optional
            Rows that are added: all like the mean of the last 50.

        Returns
        -------
        diagonal : ndarray, shape (n_steps + n_more,)
            Of T.
        beside : ndarray, shape (n_steps + n_more - 1,)
            Its subdiagonal; T stays positive definite.
        """
        # Means of roots: continued for ever, the spectrum ends at (√pivot ± √fill)².
        more = [np.mean(np.sqrt(v[-_N_LAST:])) ** 2 for v in (self.pivots, self.fills)]
        pivots = np.concatenate([self.pivots, np.full(n_more, more[0])])
        fills = np.concatenate([self.fills, np.full(n_more, more[1])])
        diagonal = pivots.copy()
        diagonal[1:] += fills[:-1]
        return diagonal, np.sqrt(pivots[:-1] * fills[:-1])


def conjugate_gradients(product, b, most):
    """Solve by conjugate gradients and keep the coefficients.

    Parameters
    ----------
    product : callable
        The Hermitian operator: takes and returns an (n,) array.
    b : ndarray, shape (n,)
        Right-hand side.
    most : int
        Steps, and products, at most.

    Returns
    -------
    Run
        Of at least one step.

    Raises
    ------
    ValueError
        If a product is not finite or a direction has no positive energy; the sentence
        starts with "A must".
    """
    r = b / np.linalg.norm(b)
    direction = r.copy()
    rr = 1.0
    pivots, fills = [], []
    while len(pivots) < most and rr > _RTOL**2:
        image = product(direction)
        energy = float(np.vdot(direction, image).real)
        size = float(np.vdot(direction, direction).real)
        if not np.isfinite(energy):
            raise ValueError(f"A must have finite products; got {energy}.")
        if energy <= 0:
            raise ValueError(
                f"A must be positive definite; got a Rayleigh quotient of "
                f"{energy / size:.3g} in step {len(pivots) + 1} of conjugate gradients."
            )
        pivots.append(energy / rr)
        r -= rr / energy * image
        before, rr = rr, float(np.vdot(r, r).real)
        fills.append(pivots[-1] * rr / before)
        direction = r + rr / before * direction
    return Run(np.array(pivots), np.array(fills), rr <= _RTOL**2)


def diagonal_operator(run):
    """Return the diagonal operator that stands for a matrix.

    Parameters
    ----------
    run : Run
        Of a solve with the matrix.

    Returns
    -------
    eigenvalues : ndarray, shape (m,)
        Ascending, in the units of the eigenvalues of the matrix; m is half as much again
        as the steps, and at least 100 more.
    b : ndarray, shape (m,)
        Right-hand side, of length one.
    """
    m = run.pivots.size
    top = scipy.linalg.eigvalsh_tridiagonal(*run.matrix())[-1]
    theta, vectors = scipy.linalg.eigh_tridiagonal(*run.matrix(max(100, m // 2)))
    # What continues T may not reach above the spectrum, where polynomials grow.
    return np.clip(theta, spectra.FLOOR * top, top), np.abs(vectors[0])


def observe(based, name, rng, n_starts, most):
    """Probe a matrix, and solve with it, from several start vectors.

    Parameters
    ----------
    based : Based
        The matrix on its base.
    name : str
        Becomes the family of the samples.
    rng : numpy.random.Generator
        Source of the start vectors and right-hand sides.
    n_starts : int
        Samples wanted.
    most : int
        Steps of every solve at most.

    Returns
    -------
    samples : list of Sample
        With four probes each, and curves still empty.
    n_short : int
        Solves that `most` was not enough for.

    Raises
    ------
    ValueError
        If the matrix shows that it is not positive definite; the sentence starts with
        `name`.
    """
    drawn = []
    for _ in range(n_starts):
        try:
            drawn.append(_one(based, rng, most))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    top = max(theta[-1] for _, theta, _, _ in drawn)
    samples = [
        Sample(name, theta / top, b, tuple(_scaled(p, top) for p in probes), np.empty(0))
        for probes, theta, b, _ in drawn
    ]
    return samples, sum(not converged for *_, converged in drawn)


def _one(based, rng, most):
    """Return probes, the diagonal operator of a solve, and whether that converged."""
    probes = [_probe(based, rng) for _ in range(_N_PROBES)]
    b = rng.standard_normal(based.n)
    if based.dtype.kind == "c":
        b = b + 1j * rng.standard_normal(based.n)
    run = conjugate_gradients(based.product, b, most)
    return probes, *diagonal_operator(run), run.converged


def _probe(based, rng):
    probe, _ = probing.probe_operator(based, min(features.N_STEPS, based.n), rng)
    if probe.ritz_values[0] <= 0:
        raise ValueError(
            f"A must be positive definite; got a Ritz value of {probe.ritz_values[0]:.3g}."
        )
    return probe


def _scaled(probe, unit):
    return dataclasses.replace(
        probe,
        ritz_values=probe.ritz_values / unit,
        residual_norms=probe.residual_norms / unit,
        high=probe.high / unit,
    )
