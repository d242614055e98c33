"""The probe of an operator of either sign, and how many iterations MINRES takes."""

import functools
import math

import numpy as np
from scipy.linalg import lapack

from . import probing
from .nullspace import of_scaled, projected
from .probe import Probe
from .row_scaling import largest_row

__all__ = [
    "ASKED",
    "GLANCE",
    "estimate_iterations",
    "minres_reduction",
    "probe_indefinite",
]

_RTOL = 1e-8  # that solves are predicted for
# Steps of the probe after which it may end, and by how much their promise may fall short:
# over 23 matrices the three first steps promised a sixth to two thirds of what six did.
ASKED = {3: 4.0, 6: 1.0}
GLANCE = 3  # steps before the probe, from a vector whose product is known


def probe_indefinite(
    based, n_steps, rng, enough=None, null=None, seen=None, largest_row=largest_row
):
    """Make Lanczos steps on an operator of either sign.

    Parameters
    ----------
    based : Based
        The operator S.
    n_steps : int
        Lanczos steps.
    rng : numpy.random.Generator
        Source of the start vector.
    enough : callable, optional
        Called with the estimated number of iterations of MINRES; true ends the probe.
    null : ndarray, shape (n, k), or None
        Orthonormal; left out of the start vector.
    seen : tuple of ndarray, optional
        A random vector and its product with S, for a glance before the probe; all there
        is where that ends it.
    largest_row : callable, optional
        As the function of that name, for `based`.

    Returns
    -------
    found : Probe
        Of kind 'her'. `high` bounds the modulus of the eigenvalues: rigorous where S is
        scaled by row norms, whose rows sum to at most one after a similarity.
    iterations : float
        Of plain MINRES to 1e-8, estimated.
    """
    stop = None if enough is None else functools.partial(_is_over, enough)
    if null is not None:
        null = of_scaled(null, based.left)
    alpha, beta, spent = [], [], 0
    if enough is not None and seen is not None and n_steps > GLANCE:
        start, image = seen
        if null is not None:  # S times a null vector is zero
            start = projected(start, null)
        # It decides no more than whether to go on: it may take the shorter way.
        product = based.ready or based.product
        alpha, beta, _ = probing.lanczos(product, start, GLANCE, None, None, image)
        spent = len(alpha) - 1
    if len(alpha) < GLANCE or not _is_over(enough, alpha, beta):
        start = rng.standard_normal(based.n)
        if based.dtype.kind == "c":
            start = start + 1j * rng.standard_normal(based.n)
        if null is not None:
            start = projected(start, null)
        product = based.quick or based.product
        alpha, beta, _ = probing.lanczos(product, start, n_steps, None, stop)
        spent += len(alpha)
    if not all(map(math.isfinite, (*alpha, *beta))):
        raise ValueError(
            "make: the products of A must be finite; got a Lanczos matrix with "
            f"{[*alpha, *beta]}."
        )
    theta, weights, norms = _ritz(alpha, beta)
    sizes = np.abs(theta)
    high = 1.02 * max(float((sizes + norms).max()), 1.05 * float(sizes.max()))
    rigorous = False
    if based.name == "equilibrate":
        # After one pass rows of D^-1 A, similar to S, sum to one.
        bound = 1.0 if based.n_scalings == 1 else largest_row(based)
        high, rigorous = bound * (1 + 1e-12), True
    elif based.source is not None:
        bound = largest_row(based) * (1 + 1e-12)
        high, rigorous = min(high, bound), bound <= high
    found = Probe(theta, weights, norms, high, rigorous, spent, kind="her", n=based.n)
    return found, estimate_iterations(alpha, beta)


def _ritz(alpha, beta):
    """Do what `probing.ritz` does, in a fifth of the time that NumPy's `eigh` takes."""
    theta, Y, info = lapack.dstev(alpha, beta[:-1] or [0.0])
    if info:
        return probing.ritz(alpha, beta)
    return theta, Y[0] ** 2, beta[-1] * np.abs(Y[-1])


def _is_over(enough, alpha, beta):
    doubt = ASKED.get(len(alpha))
    return doubt is not None and enough(doubt * estimate_iterations(alpha, beta))


def minres_reduction(alpha, beta):
    """Return the residual norm that MINRES has reached, from a Lanczos matrix.

    Parameters
    ----------
    alpha, beta : sequence of float, length m
        As `probing.lanczos` returns them.

    Returns
    -------
    float
        Relative to the right-hand side; it never grows.
    """
    return _reductions(alpha, beta)[-1]


def _reductions(alpha, beta):
    """Return the residual norms after 0, 1, ... steps."""
    # One rotation per column, as MINRES makes them.
    value, cosine, sine, dbar = 1.0, -1.0, 0.0, 0.0
    values = [value]
    for a, b in zip(alpha, beta, strict=True):
        gbar = sine * dbar - cosine * a
        dbar = -cosine * b
        size = math.hypot(gbar, b)
        if size > 0:
            cosine, sine = gbar / size, b / size
            value *= sine
        values.append(value)
    return values


def estimate_iterations(alpha, beta):
    """Estimate how many iterations plain MINRES takes, from how it began.

    Parameters
    ----------
    alpha, beta : sequence of float, length m
        As `probing.lanczos` returns them.

    Returns
    -------
    float
        The pace of the last third of the steps, kept up to the end.
    """
    m = len(alpha)
    before = max(1, 2 * m // 3)
    reductions = _reductions(alpha, beta)
    reached = reductions[m]
    if reached <= _RTOL or before == m:
        return float(m)
    pace = math.log(reductions[before] / reached) / (m - before)
    return m + math.log(reached / _RTOL) / max(pace, 1e-4)
