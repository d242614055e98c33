"""Hermitian indefinite problems that are generated: shifted, saddle points, singular."""

import numpy as np
import scipy.sparse as sp

__all__ = ["PROBLEMS", "SINGULAR", "complex_shifted", "laplacian"]


def _second_difference(n):
    return sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n))


def laplacian(n, dimensions=2):
    """Return the 5- or 7-point Laplacian of a grid with n points per side."""
    T, eye = _second_difference(n), sp.eye_array(n)
    A = sp.kron(T, eye) + sp.kron(eye, T)
    if dimensions == 3:
        A = sp.kron(A, eye) + sp.kron(sp.eye_array(n * n), T)
    return sp.csr_array(A)


def shifted(n, shift, dimensions=2):
    """Return a Laplacian less a multiple of the identity."""
    A = laplacian(n, dimensions)
    return sp.csr_array(A - shift * sp.eye_array(A.shape[0]))


def complex_shifted(n, shift, damping):
    """Return a Laplacian less a complex multiple of the identity: damped Helmholtz."""
    A = laplacian(n).astype(complex)
    return sp.csr_array(A - (shift - 1j * damping) * sp.eye_array(A.shape[0]))


def darcy(n, spread, seed=0):
    """Return the saddle point of a mixed method for flow through a random medium."""
    rng = np.random.default_rng(seed)
    D = sp.diags_array([-1.0, 1.0], offsets=[0, 1], shape=(n - 1, n))
    G = sp.vstack([sp.kron(D, sp.eye_array(n)), sp.kron(sp.eye_array(n), D)])
    resistance = np.exp(spread * rng.standard_normal(G.shape[0]))
    block = sp.block_array([[sp.diags_array(resistance), G], [G.T, None]])
    # The pressure is fixed in one corner.
    last = block.shape[0] - 1
    pin = sp.coo_array(([-1.0], ([last], [last])), shape=block.shape)
    return sp.csr_array(block + pin)


def stokes(n):
    """Return the marker-and-cell Stokes problem of a unit square, stabilised."""
    T, eye = _second_difference(n), sp.eye_array(n)
    A = sp.kron(T, eye) + sp.kron(eye, T)
    D = sp.diags_array([-1.0, 1.0], offsets=[-1, 0], shape=(n, n))
    B = sp.hstack([sp.kron(D, eye), sp.kron(eye, D)])
    C = 0.05 * laplacian(n)
    return sp.csr_array(sp.block_array([[sp.block_diag([A, A]), B.T], [B, -C]]))


def control(n, weight):
    """Return the optimality system of a control problem for the Poisson equation."""
    K, eye = laplacian(n), sp.eye_array(n * n)
    h2 = 1.0 / (n + 1) ** 2
    blocks = [
        [h2 * eye, None, K],
        [None, weight * h2 * eye, -h2 * eye],
        [K, -h2 * eye, None],
    ]
    return sp.csr_array(sp.block_array(blocks))


def quadratic_program(n, seed=0):
    """Return the KKT matrix of a random quadratic program with n / 2 constraints."""
    rng = np.random.default_rng(seed)
    H = laplacian(round(n**0.5)) + sp.diags_array(10.0 ** rng.uniform(-3, 1, n))
    B = sp.random_array((n // 2, n), density=4 / n, rng=rng) + sp.eye_array(n // 2, n)
    return sp.csr_array(sp.block_array([[H, B.T], [B, None]]))


def disordered(n, strength, seed=0):
    """Return Anderson's model: hopping on a 3-D grid in a random potential, at energy 0."""
    A = laplacian(n, 3)
    rng = np.random.default_rng(seed)
    potential = strength * rng.uniform(-0.5, 0.5, n**3)
    return sp.csr_array(A + sp.diags_array(potential - 6.0))


def neumann(n, dimensions=2):
    """Return the Laplacian of a grid without boundary conditions: constants are null."""
    T = _second_difference(n).tolil()
    T[0, 0] = T[n - 1, n - 1] = 1.0
    T, eye = sp.csr_array(T), sp.eye_array(n)
    A = sp.kron(T, eye) + sp.kron(eye, T)
    if dimensions == 3:
        A = sp.kron(A, eye) + sp.kron(sp.eye_array(n * n), T)
    return sp.csr_array(A)


def periodic(n):
    """Return the Laplacian of a torus."""
    T = _second_difference(n).tolil()
    T[0, n - 1] = T[n - 1, 0] = -1.0
    T, eye = sp.csr_array(T), sp.eye_array(n)
    return sp.csr_array(sp.kron(T, eye) + sp.kron(eye, T))


def graph(n, n_components, degree=6, seed=0):
    """Return the Laplacian of a random graph with weights, in several components."""
    rng = np.random.default_rng(seed)
    part = rng.integers(n_components, size=n)
    part[:n_components] = np.arange(n_components)
    order = np.argsort(part, kind="stable")
    rows, columns = [], []
    for k in range(n_components):
        members = order[part[order] == k]
        m = members.size
        rows += [members[:-1], rng.choice(members, degree * m // 2)]  # a path joins all
        columns += [members[1:], rng.choice(members, degree * m // 2)]
    i, j = np.concatenate(rows), np.concatenate(columns)
    weights = rng.uniform(0.1, 10.0, i.size) * (i != j)
    W = sp.coo_array((weights, (i, j)), shape=(n, n)).tocsr()
    W = W + W.T
    return sp.csr_array(sp.diags_array(W.sum(axis=1)) - W)


PROBLEMS = {
    "shifted 2-D 40², 3 negative": lambda: shifted(40, 0.04),
    "shifted 2-D 100², 4 %": lambda: shifted(100, 0.5),
    "shifted 2-D 300², few": lambda: shifted(300, 0.002),
    "shifted 2-D 300², 1 %": lambda: shifted(300, 0.1),
    "shifted 2-D 300², 4 %": lambda: shifted(300, 0.5),
    "shifted 3-D 40³, 1 %": lambda: shifted(40, 0.5, 3),
    "shifted 3-D 40³, 20 %": lambda: shifted(40, 3.9, 3),
    "Anderson 30³": lambda: disordered(30, 15.0),
    "Darcy 100²": lambda: darcy(100, 1.0),
    "Darcy 200²": lambda: darcy(200, 1.0),
    "Darcy 100², rough": lambda: darcy(100, 3.0),
    "Stokes 64²": lambda: stokes(64),
    "Stokes 150²": lambda: stokes(150),
    "control 60²": lambda: control(60, 1e-2),
    "control 120²": lambda: control(120, 1e-2),
    "quadratic program 2500": lambda: quadratic_program(2500),
    "quadratic program 40000": lambda: quadratic_program(40000),
}

SINGULAR = {
    "graph 2000, 3 components": lambda: graph(2000, 3),
    "graph 50000, 5 components": lambda: graph(50000, 5),
    "Neumann 2-D 100²": lambda: neumann(100),
    "Neumann 2-D 300²": lambda: neumann(300),
    "Neumann 3-D 40³": lambda: neumann(40, 3),
    "periodic 2-D 200²": lambda: periodic(200),
}
