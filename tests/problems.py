"""Test matrices with known spectra, and the rounding that a recurrence is allowed."""

import numpy as np
import pytest
import scipy.sparse as sp

import autospec_precond as ap

__all__ = [
    "Product",
    "complex_hermitian",
    "dense_with_spectrum",
    "distance",
    "poisson1d",
    "poisson2d",
    "refusal",
    "sparse_random",
    "tolerance",
    "with_spectrum",
]


def tolerance(degree, dtype):
    """Rounding allowed to a degree-d recurrence on a spectrum inside its interval."""
    return 8 * (degree + 1) ** 2 * np.finfo(dtype).eps


def poisson1d(n, dtype=np.float64, shift=0.0):
    """Second differences on n points; eigenvalues 2 - 2 cos(kπ/(n + 1)) + shift."""
    data = [np.full(n - 1, -1.0), np.full(n, 2.0 + shift), np.full(n - 1, -1.0)]
    return sp.diags_array(data, offsets=[-1, 0, 1], shape=(n, n)).tocsr().astype(dtype)


def poisson2d(side, dtype=np.float64, shift=0.0):
    """Five-point Laplacian on a square grid of side² points."""
    T, eye = poisson1d(side), sp.eye_array(side)
    A = sp.kron(T, eye) + sp.kron(eye, T) + shift * sp.eye_array(side * side)
    return sp.csr_array(A).astype(dtype)


def dense_with_spectrum(eigenvalues, rng, dtype=np.float64):
    """Random Hermitian ndarray with these eigenvalues; complex where dtype is."""
    n = len(eigenvalues)
    X = rng.standard_normal((n, n))
    if np.dtype(dtype).kind == "c":
        X = X + 1j * rng.standard_normal((n, n))
    V, _ = np.linalg.qr(X)
    A = (V * np.asarray(eigenvalues)) @ V.conj().T
    return (0.5 * (A + A.conj().T)).astype(dtype)


def with_spectrum(eigenvalues, rng, dtype=np.float64):
    """Random Hermitian CSR matrix with these eigenvalues, every entry stored."""
    return sp.csr_array(dense_with_spectrum(eigenvalues, rng, dtype))


def complex_hermitian(n, dtype=np.complex128, shift=0.1):
    """Tridiagonal Hermitian matrix with imaginary parts, similar to `poisson1d`."""
    phase = np.exp(1j * np.arange(n - 1))
    data = [-phase.conj(), np.full(n, 2.0 + shift), -phase]
    return sp.diags_array(data, offsets=[-1, 0, 1], shape=(n, n)).tocsr().astype(dtype)


def sparse_random(n, rng, dtype=np.float64, density=0.05, scales=1.0):
    """Random diagonally dominant SPD matrix, rows scaled over `scales` decades."""
    B = sp.random_array((n, n), density=density, rng=rng, data_sampler=rng.standard_normal)
    B = B + B.T
    A = sp.diags_array(np.asarray(abs(B).sum(axis=1)).ravel() + 0.1) + B
    D = sp.diags_array(10.0 ** (scales * rng.uniform(-0.5, 0.5, n)))
    A = sp.csr_array(D @ A @ D)
    return sp.csr_array(0.5 * (A + A.T)).astype(dtype)


def distance(M, N, x):
    """Return how far two preconditioners are apart on x, relative to the result."""
    y, z = M @ x, N @ x
    assert y.dtype == z.dtype
    assert y.shape == z.shape
    return np.linalg.norm(y - z) / np.linalg.norm(z)


def refusal(error, *args, **keywords):
    """Return what `make` says for CG, in one piece and one sentence or two."""
    with pytest.raises(error) as caught:
        ap.make(*args, **{"solver": "cg", **keywords})
    text = str(caught.value)
    assert isinstance(caught.value, error)
    assert text.startswith("make: ")
    assert text.endswith(".")
    assert "\n" not in text
    return text


class Product:
    """The least that `make` takes: shape, dtype and @; counts its products."""

    def __init__(self, A):
        self._A = A
        self.shape = A.shape
        self.dtype = A.dtype
        self.n_products = 0

    def __matmul__(self, x):
        self.n_products += 1 if x.ndim == 1 else x.shape[1]
        return self._A @ x
