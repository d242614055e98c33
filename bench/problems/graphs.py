"""Laplacians of random geometric graphs."""

import numpy as np
import scipy.sparse as sp
from scipy.spatial import cKDTree

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
