"""From a probe to the numbers that the network reads: fixed length, dimensionless."""

import numpy as np

__all__ = ["N_STEPS", "extract", "size"]

N_STEPS = 12  # Lanczos steps that the features describe

_FLOOR = 1e-10  # of ratios, before their logarithm is taken


def size():
    """Return the number of features.

    Returns
    -------
    int
        Length of what `extract` returns.
    """
    return 3 * N_STEPS + 2


def extract(probe, degree):
    """Turn a probe and a degree into features.

    Parameters
    ----------
    probe : Probe
        Of any number of steps.
    degree : int
        Degree of the polynomial wanted.

    Returns
    -------
    ndarray, shape (38,)
        log10 of Ritz values over the bound, half log10 of weights, log10 of residual
        norms over the bound, share of the steps made, log2 of degree + 1 over 5.

    Notes
    -----
    A longer probe is cut to its first 12 steps, which the Ritz values and weights
    determine: they are the Gauss quadrature of the Lanczos matrix. A shorter one is
    padded from below with copies of the smallest Ritz value, weight zero.
    """
    theta, weights, norms = probe.ritz_values, probe.weights, probe.residual_norms
    if theta.size > N_STEPS:
        theta, weights, norms = _first_steps(theta, weights)
    missing = N_STEPS - theta.size
    theta = np.concatenate([np.full(missing, theta[0]), theta])
    weights = np.concatenate([np.zeros(missing), weights])
    norms = np.concatenate([np.zeros(missing), norms])
    return np.concatenate(
        [
            np.log10(np.maximum(theta / probe.high, _FLOOR)),
            0.5 * np.log10(np.maximum(weights, _FLOOR)),
            np.log10(np.maximum(norms / probe.high, _FLOOR)),
            [1 - missing / N_STEPS, np.log2(degree + 1) / 5],
        ]
    )


def _first_steps(theta, weights):
    """Return Ritz values, weights and residual norms after the first 12 steps."""
    basis = [np.sqrt(weights)]
    alpha, beta = [], []
    for _ in range(N_STEPS):
        w = theta * basis[-1]
        alpha.append(float(basis[-1] @ w))
        Q = np.array(basis)
        w -= Q.T @ (Q @ w)
        w -= Q.T @ (Q @ w)
        beta.append(float(np.linalg.norm(w)))
        basis.append(w / max(beta[-1], np.finfo(float).tiny))
    T = np.diag(alpha) + np.diag(beta[:-1], 1) + np.diag(beta[:-1], -1)
    ritz_values, Y = np.linalg.eigh(T)
    return ritz_values, Y[0] ** 2, beta[-1] * np.abs(Y[-1])
