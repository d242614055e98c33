"""Count what a solve costs, and stop it when it has spent what it may.

A product is one product of A with one vector. A preconditioner that is a polynomial of A
costs `degree` of them per application; others cost none, and their work is told apart.
"""

import time

import numpy as np
from scipy.sparse.linalg import LinearOperator

__all__ = ["CountedMatrix", "CountedPreconditioner", "Meter", "Stop"]

_CHECK_EVERY = 16  # products between two looks for numbers that are not finite


class Stop(Exception):  # noqa: N818 - not an error: it carries a verdict out of a solver
    """Leaves a solver early.

    Parameters
    ----------
    status, reason : str
        As in a row.
    """

    def __init__(self, status, reason=""):
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Meter:
    """What has been spent so far, and what may be.

    Parameters
    ----------
    budget : int
        Products, those of the setup included.
    seconds : float
        For setup and solve together.
    degree, setup_products : int, optional
        Products of A per application of M, and those that making M took.
    """

    def __init__(self, budget, seconds, degree=0, setup_products=0):
        self.budget = budget
        self.seconds = seconds
        self.degree = degree
        self.setup_products = setup_products
        self.base_products = 0
        self.applications = 0
        self.began = time.perf_counter()

    @property
    def products(self):
        """All products with A."""
        return self.setup_products + self.base_products + self.applications * self.degree

    def elapsed(self):
        """Seconds since the meter was made or `began` was set."""
        return time.perf_counter() - self.began

    def spend(self, products=0, applications=0):
        """Enter work that is about to be done, or raise `Stop`."""
        ahead = self.products + products + applications * self.degree
        if ahead > self.budget:
            raise Stop("not converged", f"budget of {self.budget} products spent")
        if self.elapsed() > self.seconds:
            raise Stop("timeout", f"over {self.seconds:.3g} s after the setup")
        self.base_products += products
        self.applications += applications


class CountedMatrix(LinearOperator):
    """A that enters each product into a meter; `last` is the last result.

    Parameters
    ----------
    A : csr_array
        The matrix.
    meter : Meter
        Where products are entered.
    """

    def __init__(self, A, meter):
        super().__init__(A.dtype, A.shape)
        self.A = A
        self.meter = meter
        self.last = None

    def _matvec(self, x):
        self.meter.spend(products=1)
        self.last = y = self.A @ x
        if self.meter.base_products % _CHECK_EVERY == 0:
            _check_finite(y, "the iteration")
        return y

    def _matmat(self, X):
        self.meter.spend(products=X.shape[1])
        return self.A @ X


class CountedPreconditioner(LinearOperator):
    """M that enters each application into a meter.

    Parameters
    ----------
    M : LinearOperator
        The preconditioner.
    meter : Meter
        Where applications are entered.
    """

    def __init__(self, M, dtype, meter):
        super().__init__(dtype, M.shape)
        self.M = M
        self.meter = meter

    def _matvec(self, x):
        self.meter.spend(applications=1)
        y = self.M.matvec(x.reshape(-1))
        if self.meter.applications % _CHECK_EVERY == 1:
            _check_finite(y, "the preconditioner's result")
        return y

    def _matmat(self, X):
        self.meter.spend(applications=X.shape[1])
        return self.M.matmat(X)


def _check_finite(y, what):
    if not np.isfinite(np.vdot(y, y)):
        raise Stop("failed", f"{what} is not finite")
