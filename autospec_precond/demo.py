"""The demonstration: a real system that ships with PyAMG, and a large generated one."""

import numpy as np
import scipy.sparse as sp

from .compare import compare, table

__all__ = ["diffusion", "run"]

_SIDE = 400


def run(write):
    """Solve both systems, with and without the preconditioner.

    Parameters
    ----------
    write : callable
        Takes a line of text.

    Returns
    -------
    bool
        Whether `make` converged on both.
    """
    systems = (
        ("real: discontinuous Galerkin diffusion (ships with PyAMG)", _shipped()),
        (
            f"generated: diffusion on a {_SIDE} x {_SIDE} grid, log-normal coefficient",
            diffusion(_SIDE, np.random.default_rng(0)),
        ),
    )
    good = True
    for title, A in systems:
        b = np.random.default_rng(1).standard_normal(A.shape[0])
        _, M, rows = compare(A, b)
        write(f"{title}; {A.shape[0]:,} unknowns, {A.nnz:,} entries, rtol 1e-8")
        write("")
        write(table(rows))
        write("")
        write(str(M.report))
        write("")
        good = good and rows[-1].converged
    return good


def diffusion(side, rng, sigma=1.0):
    """Return -∇·(c ∇u) on a square grid, c log-normal and rough, u = 0 on the boundary.

    Parameters
    ----------
    side : int
        Grid points along a side.
    rng : numpy.random.Generator
        Source of the coefficient.
    sigma : float, optional
        Standard deviation of log c.

    Returns
    -------
    csr_array, shape (side², side²)
        Symmetric positive definite.
    """
    flux = [
        np.exp(sigma * rng.standard_normal(shape))
        for shape in ((side + 1, side), (side, side + 1))
    ]
    centre = flux[0][1:] + flux[0][:-1] + flux[1][:, 1:] + flux[1][:, :-1]
    down = flux[0][1:-1].ravel()
    right = np.zeros((side, side))
    right[:, :-1] = flux[1][:, 1:-1]
    right = right.ravel()[:-1]
    n = side * side
    return sp.diags_array(
        [centre.ravel(), -right, -right, -down, -down],
        offsets=[0, 1, -1, side, -side],
        shape=(n, n),
    ).tocsr()


def _shipped():
    try:
        import pyamg
    except ImportError as error:
        raise ImportError(
            "demo: PyAMG must be installed; got no module pyamg. "
            "Install it with: pip install autospec-precond[demo]"
        ) from error
    A = sp.csr_array(pyamg.gallery.load_example("local_disc_galerkin_diffusion")["A"])
    return sp.csr_array(0.5 * (A + A.T))
