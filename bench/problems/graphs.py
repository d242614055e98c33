"""Random geometric graphs and triangulations."""

import numpy as np
import scipy.sparse as sp
from scipy.spatial import Delaunay, cKDTree

from .registry import Problem, problem

__all__ = []


@problem
def geograph(n, neighbours=10, eps=1e-4, seed=0):
    """Laplacian of a random geometric graph plus `eps` times the identity; n unknowns.

    n uniform points in the unit square, edges of weight one between points closer than
    sqrt(neighbours / (π n)): about `neighbours` per point inside. Positive definite with
    smallest eigenvalue exactly `eps`.
    """
    points = np.random.default_rng(int(seed)).random((n, 2))
    # Numbered along strips, so that neighbours lie near each other in memory.
    strips = max(1, int(np.sqrt(n / max(neighbours, 1.0))))
    points = points[np.lexsort((points[:, 1], np.floor(points[:, 0] * strips)))]
    radius = np.sqrt(neighbours / (np.pi * n))
    pairs = cKDTree(points).query_pairs(radius, output_type="ndarray")
    i, j = pairs[:, 0], pairs[:, 1]
    ones = np.ones(i.size)
    W = sp.csr_array((ones, (i, j)), shape=(n, n))
    W = W + W.T
    degree = np.asarray(W.sum(axis=1)).ravel()
    return Problem(sp.csr_array(sp.diags_array(degree + eps) - W), "spd")


@problem
def delaunay2d(n, shift=1.0, seed=0):
    """Linear elements on the Delaunay triangulation of random points; n unknowns.

    Stiffness plus `shift` times the mass matrix, natural boundary. The points are uniform
    in the unit square and numbered as they were drawn: neighbours are far from each other
    in memory. About 7 entries per row, 4 to 20.
    """
    points = np.random.default_rng(int(seed)).random((n, 2))
    corners = Delaunay(points).simplices
    a, b, c = (points[corners[:, k]] for k in range(3))
    edges = c - b, a - c, b - a
    area = abs(edges[0][:, 0] * edges[1][:, 1] - edges[0][:, 1] * edges[1][:, 0]) / 2
    i, j, values = [], [], []
    for p in range(3):
        for q in range(3):
            stiffness = (edges[p] * edges[q]).sum(axis=1) / (4 * area)
            i.append(corners[:, p])
            j.append(corners[:, q])
            values.append(stiffness + shift * area / 12 * (1 + (p == q)))
    places = np.concatenate(i), np.concatenate(j)
    return Problem(sp.csr_array((np.concatenate(values), places), shape=(n, n)), "spd")
