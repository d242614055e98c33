"""Convection-diffusion (not symmetric) and Stokes (indefinite)."""

import numpy as np
import scipy.sparse as sp

from .grids import kron, second_difference, tridiagonal
from .registry import Problem, problem

__all__ = []


@problem
def convdiff(n, peclet=200.0, angle=30.0, upwind=1.0):
    """-Δu + w·grad u on the unit square, Dirichlet, constant wind; n² unknowns.

    `peclet` is the global Péclet number |w| L / ε with L = ε = 1, so |w| = peclet;
    the cell Péclet number is peclet/(2 (n + 1)). `angle` (degrees) is that of the wind to
    the x axis. First-order upwind differences (upwind=1) or central ones (upwind=0);
    all times h². Eigenvalues known; not normal.
    """
    h = 1.0 / (n + 1)
    t = np.deg2rad(angle)
    lines, spectra = [], []
    for w in (peclet * np.cos(t), peclet * np.sin(t)):
        lower, upper = -1.0 - 0.5 * h * w, -1.0 + 0.5 * h * w
        extra = upwind * 0.5 * h * abs(w)  # the numerical diffusion of upwinding
        lower, upper, diagonal = lower - extra, upper - extra, 2.0 + 2.0 * extra
        lines.append(tridiagonal(n, lower, diagonal, upper))
        root = np.sqrt(complex(lower * upper))
        spectra.append(
            diagonal + 2.0 * root * np.cos(np.arange(1, n + 1) * np.pi / (n + 1))
        )
    eye = sp.eye_array(n)
    A = sp.csr_array(kron(lines[0], eye) + kron(eye, lines[1]))

    def spectrum():
        return np.sort_complex(np.add.outer(*spectra).ravel())

    return Problem(A, "general", spectrum=spectrum)


@problem
def recirculating(n, peclet=200.0):
    """-Δu + w·grad u on (-1, 1)², Dirichlet, w a closed vortex; n² unknowns.

    w = |w| (y (1 - x²), -x (1 - y²)) with |w| such that the global Péclet number
    max|w| L / ε, L = 2 the edge and ε = 1, is `peclet`; the vortex has its maximum
    2/(3 sqrt(3)) at the axes. First-order upwind differences, times h².
    """
    h = 2.0 / (n + 1)
    x = -1.0 + h * np.arange(1, n + 1)
    X, Y = (v.ravel() for v in np.meshgrid(x, x, indexing="ij"))
    size = peclet / 2.0 * 1.5 * np.sqrt(3.0)
    u, v = size * Y * (1 - X**2), -size * X * (1 - Y**2)
    K, eye = second_difference(n), sp.eye_array(n)
    A = kron(K, eye) + kron(eye, K)
    ahead, back = tridiagonal(n, 0, -1, 1), tridiagonal(n, -1, 1, 0)
    for w, direction in ((u, lambda D: kron(D, eye)), (v, lambda D: kron(eye, D))):
        A = A + sp.diags_array(h * np.maximum(w, 0)) @ direction(back)
        A = A + sp.diags_array(h * np.minimum(w, 0)) @ direction(ahead)
    return Problem(sp.csr_array(A), "general")


@problem
def stokes(n, viscosity=1.0):
    """Stokes' equations on n x n cells, marker-and-cell scheme, no slip; times h².

    [[F, B'], [B, 0]]: velocities on the faces, pressures in the cells but the last, whose
    pressure is zero. 2 n (n - 1) + n² - 1 unknowns; symmetric, indefinite, zeros on
    the diagonal. B is scaled by h so that its entries are ±1.
    """
    inner, outer = second_difference(n - 1), second_difference(n)
    # Walls half a cell away: the mirrored velocity makes a 3 of the 2.
    ends = sp.csr_array(([1.0, 1.0], ([0, n - 1], [0, n - 1])), shape=(n, n))
    walls = sp.csr_array(outer + ends)
    eye_in, eye_out = sp.eye_array(n - 1), sp.eye_array(n)
    u = kron(inner, eye_out) + kron(eye_in, walls)
    v = kron(eye_out, inner) + kron(walls, eye_in)
    F = viscosity * sp.block_diag((u, v), format="csr")
    difference = sp.csr_array(
        sp.diags_array([np.ones(n - 1), -np.ones(n - 1)], offsets=[0, -1], shape=(n, n - 1))
    )
    B = sp.hstack([kron(difference, eye_out), kron(eye_out, difference)], format="csr")
    B = B[:-1]
    A = sp.block_array([[F, B.T], [B, None]], format="csr")
    return Problem(sp.csr_array(A), "indefinite")
