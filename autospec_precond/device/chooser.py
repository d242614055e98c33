"""The choice of a polynomial on a device: the host's, with vectors that stay there."""

import numpy as np

from autospec_precond import probing
from autospec_precond.choice import Chooser

from .vectors import Random, norm

__all__ = ["DeviceChooser", "run_of", "self_check"]

_RAISED = 1.02 * 1.05  # as in `probing`


class DeviceChooser(Chooser):
    """As `choice.Chooser`, for an operator on a device.

    Parameters
    ----------
    based : bases.Based
        The operator S.
    vector_dtype : dtype
        Of the vectors in the recurrence.
    random : vectors.Random
        Source of the start vectors.
    library : kernels.Plain
        The kernels.
    """

    def __init__(self, based, vector_dtype, random, library):
        super().__init__(based, vector_dtype, random)
        self.library = library

    def _start_for_given(self):
        random = Random(self.based.operand.xp, np.random.default_rng(0))
        return random.standard_normal(self.based.n).astype(self.based.dtype)

    def _noise(self):
        if self.noise is None:
            based = self.based
            self.noise = self.rng.of_modulus_near_one(based.n, np.dtype(based.dtype))
        return self.noise

    def _start_for_check(self):
        noise = self._noise()
        return self.last + 0.3 / norm(noise) * noise

    def _self_check(self, polynomial, start):
        run = run_of(self.library, self.stored, polynomial)
        xp, dtype = self.based.operand.xp, self.vector_dtype
        work = [xp.empty(self.based.n, dtype) for _ in range(3)]

        def _apply(x):
            """Return p(S) x in double precision."""
            work[0][...] = x
            return run(work[0], work[1:]).astype(self.based.dtype) / self.stored.unit

        self.n_products += probing.n_check_products(polynomial.degree)
        largest = self.found.ritz_values[-1] if self.found else 0.0
        return self_check(self.based.product, polynomial, _apply, start, largest)


def run_of(library, stored, polynomial):
    """Return unit times p of the stored operator as a function of a vector and scratch.

    Parameters
    ----------
    library : kernels.Plain
        The kernels.
    stored : storage.Stored
        The operator.
    polynomial : Polynomial
        The p to apply.

    Returns
    -------
    callable
        ``run(x, work)``; of degree 0 it writes into ``work[0]``.
    """
    if polynomial.degree:
        return library.applications(stored, polynomial.factors(stored.unit))
    factor = polynomial.constant * stored.unit

    def _times(x, work):
        if isinstance(factor, complex):
            work[0][...] = x * factor
        else:
            library.scale(x, None, factor, work[0])
        return work[0]

    return _times


def self_check(product, polynomial, apply, start, largest=0.0):
    """Look for eigenvalues above the interval; see `probing.self_check`.

    Parameters
    ----------
    product : bases.Scaled
        The Hermitian operator.
    polynomial : Polynomial
        The p of q = λp.
    apply : callable
        Returns p(S) x.
    start : array, shape (n,)
        The last Lanczos vector plus a random one, not zero.
    largest : float, optional
        Largest Ritz value known already.

    Returns
    -------
    figure, bound : float
        As there.
    """
    high, degree = polynomial.interval[1], polynomial.degree
    part = np.linspace(0.0, 1.0, 8 * degree + 9)
    intervals = np.array([(0.0, polynomial.interval[0]), *polynomial.intervals])
    x = (intervals[:, :1] + np.diff(intervals) * part).ravel()
    limit = probing.SELF_CHECK_LIMIT * float(np.abs(x * polynomial(x)).max())
    n_applications, n_steps = divmod(probing.n_check_products(degree), degree + 1)
    v, length, growth = start, norm(start), 0.0
    for _ in range(n_applications):
        v = product(apply(v / length))
        length = norm(v)
        if not (np.isfinite(length) and length > 0):
            return np.inf, _RAISED * high
        growth = max(growth, length / limit)
    alpha, beta, _ = probing.lanczos(product, v, n_steps)
    theta, _, norms = probing.ritz(alpha, beta)
    bound = max(probing.estimate_bound(theta, norms), _RAISED * largest)
    return max(growth, float(theta[-1]) / high, largest / high), bound
