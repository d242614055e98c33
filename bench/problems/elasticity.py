"""Linear elasticity with bilinear and trilinear elements, by Kronecker products."""

import functools
import itertools

import numpy as np
import scipy.sparse as sp

from .grids import kron
from .registry import Problem, problem

__all__ = []


@problem
def elasticity2d(n, nu=0.3):
    """Plane strain on a square of n x n bilinear elements, clamped at x = 0, E = 1.

    2 n (n + 1) unknowns, two per node one after the other; the three rigid body modes
    are its near-nullspace. `nu` is Poisson's ratio.
    """
    return _elasticity(n, 2, nu)


@problem
def elasticity3d(n, nu=0.3):
    """A cube of n³ trilinear elements, clamped at x = 0, E = 1.

    3 n (n + 1)² unknowns, three per node; the six rigid body modes are its
    near-nullspace. `nu` is Poisson's ratio.
    """
    return _elasticity(n, 3, nu)


def _elasticity(n, dimension, nu):
    h = 1.0 / n
    lame, mu = nu / ((1 + nu) * (1 - 2 * nu)), 0.5 / (1 + nu)
    mass, first, stiffness = _line(n, h)
    # The nodes of the clamped face are left out along the first axis.
    lines = [
        tuple(sp.csr_array(X[1:, 1:]) for X in (mass, first, stiffness)),
        *[(mass, first, stiffness)] * (dimension - 1),
    ]

    def integral(i, j):
        """Matrix of the integral of (derivative i of u) times (derivative j of v)."""
        factors = []
        for axis, (m, c, k) in enumerate(lines):
            if axis == i == j:
                factors.append(k)
            elif axis == j:
                factors.append(c)
            elif axis == i:
                factors.append(sp.csr_array(c.T))
            else:
                factors.append(m)
        return kron(*factors)

    blocks = [[None] * dimension for _ in range(dimension)]
    gradient = [integral(i, i) for i in range(dimension)]
    for i, j in itertools.product(range(dimension), repeat=2):
        # Row i: test function in direction i; column j: displacement in direction j.
        block = lame * integral(j, i) + mu * integral(i, j)
        if i == j:
            block = block + mu * functools.reduce(lambda X, Y: X + Y, gradient)
        blocks[i][j] = block
    A = _interleave(blocks)
    x = np.arange(n + 1) * h
    axes = [x[1:], *[x] * (dimension - 1)]
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, dimension)
    return Problem(A, "spd", nullspace=_rigid_modes(nodes), block=dimension)


def _line(n, h):
    """Return mass, first-derivative and stiffness matrices of n linear elements.

    `first` holds the integral of (trial function) times (derivative of the test
    function): row = test.
    """
    ends = np.r_[1.0, np.full(n - 1, 2.0), 1.0]
    side = np.ones(n)

    def matrix(lower, diagonal, upper):
        return sp.csr_array(sp.diags_array([lower, diagonal, upper], offsets=[-1, 0, 1]))

    mass = matrix(h / 6 * side, h / 3 * ends, h / 6 * side)
    stiffness = matrix(-side / h, ends / h, -side / h)
    edges = np.r_[-0.5, np.zeros(n - 1), 0.5]
    first = matrix(0.5 * side, edges, -0.5 * side)
    return mass, first, stiffness


def _interleave(blocks):
    """Number the unknowns of a node one after the other."""
    k = len(blocks)
    total = None
    for i, j in itertools.product(range(k), repeat=2):
        unit = sp.csr_array(([1.0], ([i], [j])), shape=(k, k))
        part = sp.csr_array(sp.kron(blocks[i][j], unit, format="csr"))
        total = part if total is None else total + part
    return sp.csr_array(total)


def _rigid_modes(nodes):
    """Return translations and rotations, (n, 3) in two dimensions and (n, 6) in three."""
    count, dimension = nodes.shape
    centred = nodes - nodes.mean(axis=0)
    modes = []
    for i in range(dimension):
        mode = np.zeros((count, dimension))
        mode[:, i] = 1.0
        modes.append(mode.ravel())
    for i, j in itertools.combinations(range(dimension), 2):
        mode = np.zeros((count, dimension))
        mode[:, i], mode[:, j] = -centred[:, j], centred[:, i]
        modes.append(mode.ravel())
    return np.stack(modes, axis=1)
