"""Scalar problems on regular grids; n is the number of unknowns along an edge."""

import functools

import numpy as np
import scipy.fft
import scipy.sparse as sp

from .registry import Problem, problem

__all__ = ["kron", "second_difference", "tridiagonal"]


def tridiagonal(n, lower, diagonal, upper):
    """Return the n x n Toeplitz matrix with these three values."""
    values = [np.full(n, float(v)) for v in (lower, diagonal, upper)]
    return sp.csr_array(sp.diags_array(values, offsets=[-1, 0, 1], shape=(n, n)))


def second_difference(n):
    """Return tridiag(-1, 2, -1); eigenvalues 2 - 2 cos(k π/(n + 1))."""
    return tridiagonal(n, -1, 2, -1)


def kron(*factors):
    """Return the Kronecker product of several sparse matrices, in CSR."""
    return functools.reduce(lambda X, Y: sp.csr_array(sp.kron(X, Y, format="csr")), factors)


def _laplacian(n, dimension, weights=None, shift=0.0):
    """Return the sum of second differences along the axes, each times a weight."""
    weights = weights or (1.0,) * dimension
    size, total = n**dimension, 2.0 * sum(weights) - shift
    values, offsets = [np.full(size, total)], [0]
    position = np.arange(size)
    for axis, weight in enumerate(weights):
        step = n ** (dimension - 1 - axis)
        # No neighbour across the end of a grid line.
        inside = (position // step) % n != n - 1
        side = np.where(inside, -weight, 0.0)[: size - step]
        values += [side, side]
        offsets += [step, -step]
    A = sp.csr_array(sp.diags_array(values, offsets=offsets, shape=(size, size)))
    A.eliminate_zeros()
    return A


def _sums(n, weights, shift=0.0):
    """Return all weighted sums of eigenvalues of `second_difference`, less the shift."""
    line = 2.0 - 2.0 * np.cos(np.arange(1, n + 1) * np.pi / (n + 1))
    total = functools.reduce(np.add.outer, [w * line for w in weights])
    return np.sort(total.ravel()) - shift


@problem
def poisson2d(n):
    """Five-point Laplacian on an n x n grid, Dirichlet: stencil 4, -1; n² unknowns."""
    spectrum = functools.partial(_sums, n, (1.0, 1.0))
    return Problem(_laplacian(n, 2), "spd", spectrum=spectrum)


@problem
def poisson3d(n):
    """Seven-point Laplacian on an n³ grid, Dirichlet: stencil 6, -1; n³ unknowns."""
    spectrum = functools.partial(_sums, n, (1.0, 1.0, 1.0))
    return Problem(_laplacian(n, 3), "spd", spectrum=spectrum)


@problem
def anisotropic(n, eps=1e-3, angle=0.0):
    """-div(D grad u) on an n x n grid, Dirichlet; D has eigenvalues 1 and eps.

    `angle` (degrees) turns the weak direction away from the x axis. Angle 0: five points,
    -eps u_xx - u_yy times h², spectrum known. Else bilinear finite elements.
    """
    if angle == 0:
        spectrum = functools.partial(_sums, n, (eps, 1.0))
        return Problem(_laplacian(n, 2, (eps, 1.0)), "spd", spectrum=spectrum)
    t = np.deg2rad(angle)
    c, s = np.cos(t), np.sin(t)
    xx, yy, xy = eps * c * c + s * s, eps * s * s + c * c, (eps - 1.0) * c * s
    K, mass = second_difference(n), tridiagonal(n, 1 / 6, 4 / 6, 1 / 6)
    first = tridiagonal(n, -0.5, 0.0, 0.5)
    A = xx * kron(K, mass) + yy * kron(mass, K)
    cross = kron(first, sp.csr_array(first.T))
    return Problem(sp.csr_array(A + xy * (cross + cross.T)), "spd")


@problem
def lognormal3d(n, contrast=1e6, length=0.1, seed=0):
    """-div(k grad u) on n³ cells of the unit cube, Dirichlet, k log-normal.

    Finite volumes, harmonic means on the faces. log k is smoothed white noise of
    correlation length `length` (of the edge), stretched so that max k / min k is
    exactly `contrast`. n³ unknowns.
    """
    return _lognormal(n, 3, contrast, length, int(seed))


@problem
def lognormal2d(n, contrast=1e6, length=0.1, seed=0):
    """The same as lognormal3d on n² cells of the unit square."""
    return _lognormal(n, 2, contrast, length, int(seed))


def _lognormal(n, dimension, contrast, length, seed):
    noise = np.random.default_rng(seed).standard_normal((n,) * dimension)
    waves = scipy.fft.rfftn(noise)
    k = [np.fft.fftfreq(n)] * (dimension - 1) + [np.fft.rfftfreq(n)]
    square = functools.reduce(np.add.outer, [f**2 for f in k])
    field = scipy.fft.irfftn(
        waves * np.exp(-2.0 * (np.pi * length * n) ** 2 * square), noise.shape
    )
    field = (field - field.min()) / (field.max() - field.min())
    conductivity = contrast ** (field - 0.5)
    size = n**dimension
    diagonal = np.zeros(noise.shape)
    values, offsets = [], []
    for axis in range(dimension):
        here, there = [slice(None)] * dimension, [slice(None)] * dimension
        here[axis], there[axis] = slice(None, -1), slice(1, None)
        here, there = tuple(here), tuple(there)
        a, b = conductivity[here], conductivity[there]
        face = 2.0 * a * b / (a + b)
        diagonal[here] += face
        diagonal[there] += face
        for end in (0, -1):  # half a cell to the boundary
            edge = [slice(None)] * dimension
            edge[axis] = end
            diagonal[tuple(edge)] += 2.0 * conductivity[tuple(edge)]
        side = np.zeros(noise.shape)
        side[here] = -face
        step = n ** (dimension - 1 - axis)
        side = side.ravel()[: size - step]
        values += [side, side]
        offsets += [step, -step]
    A = sp.diags_array([diagonal.ravel(), *values], offsets=[0, *offsets])
    A = sp.csr_array(A)
    A.eliminate_zeros()
    return Problem(A, "spd")


@problem
def mass2d(n):
    """Bilinear mass matrix, tridiag(1, 4, 1)/6 in both directions; spectrum known."""
    return _mass(n, 2)


@problem
def mass3d(n):
    """Trilinear mass matrix, tridiag(1, 4, 1)/6 in three directions; spectrum known."""
    return _mass(n, 3)


def _mass(n, dimension):
    line = tridiagonal(n, 1 / 6, 4 / 6, 1 / 6)
    values = (4.0 + 2.0 * np.cos(np.arange(1, n + 1) * np.pi / (n + 1))) / 6.0

    def spectrum():
        return np.sort(functools.reduce(np.multiply.outer, [values] * dimension).ravel())

    return Problem(kron(*[line] * dimension), "spd", spectrum=spectrum)


@problem
def shifted2d(n, shift=0.05):
    """poisson2d less `shift` times the identity (a Helmholtz problem); spectrum known.

    The eigenvalues of poisson2d lie in (0, 8): the matrix is indefinite from a shift
    of about 2 (π/(n + 1))² on.
    """
    return _shifted(n, 2, shift)


@problem
def shifted3d(n, shift=0.1):
    """poisson3d less `shift` times the identity; spectrum known, see shifted2d."""
    return _shifted(n, 3, shift)


def _shifted(n, dimension, shift):
    weights = (1.0,) * dimension
    smallest = dimension * (2.0 - 2.0 * np.cos(np.pi / (n + 1))) - shift
    return Problem(
        _laplacian(n, dimension, shift=shift),
        "spd" if smallest > 0 else "indefinite",
        spectrum=functools.partial(_sums, n, weights, shift),
    )
