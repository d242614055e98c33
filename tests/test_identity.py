"""One application against the dense p(A) of an eigendecomposition, at every scale."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.polynomial import chebyshev
from problems import (
    complex_hermitian,
    dense_with_spectrum,
    poisson2d,
    tolerance,
    with_spectrum,
)
from scipy.sparse.linalg import aslinearoperator

import autospec_precond as ap
from autospec_precond import Polynomial, spectra

each_precision = pytest.mark.parametrize("precision", ["single", "mixed", "double"])


def with_scaled_rows(A, decades=6):
    D = sp.diags_array(np.logspace(0, decades / 2, A.shape[0]))
    return sp.csr_array(D @ A @ D)


SMALL = {
    "poisson2d": lambda dtype, rng: poisson2d(6, dtype),
    "scaled_rows": lambda dtype, rng: with_scaled_rows(poisson2d(6, dtype)),
    "complex_phases": lambda dtype, rng: complex_hermitian(40, dtype),
}
CASES = [
    *((family, np.float64) for family in spectra.FAMILIES),
    *((family, np.complex128) for family in ("log_uniform", "clusters", "complex_phases")),
    ("poisson2d", np.float64),
    ("scaled_rows", np.float64),
]


def family_matrix(family, rng, dtype):
    if family in SMALL:
        return SMALL[family](dtype, rng)
    return with_spectrum(spectra.draw_family(family, rng, 40), rng, dtype)


def base_factor(base, A, rng):
    """Return what `make` takes as base, and L: the base is L L*."""
    n = A.shape[0]
    if base == "jacobi":
        return base, np.diag(1 / np.sqrt(A.diagonal().real))
    if base == "none":
        return base, np.eye(n)
    B = dense_with_spectrum(np.linspace(0.5, 2, n), rng, A.dtype)
    return aslinearoperator(B), np.linalg.cholesky(B)


def random_vector(rng, shape, dtype):
    x = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.standard_normal(shape)
    return x.astype(dtype)


@pytest.mark.filterwarnings("ignore::autospec_precond.UncertifiedWarning")
@pytest.mark.parametrize(
    ("family", "dtype"), CASES, ids=[f"{name}-{np.dtype(t).kind}" for name, t in CASES]
)
@pytest.mark.parametrize("base", ["none", "jacobi", "user"])
@pytest.mark.parametrize("degree", [0, 2, 4, 16, 32])
@each_precision
def test_application_is_the_polynomial_of_the_matrix(
    family, dtype, base, degree, precision, rng
):
    A = family_matrix(family, rng, dtype)
    given, L = base_factor(base, A, rng)
    M = ap.make(A, base=given, degree=degree, precision=precision)
    eigenvalues, V = np.linalg.eigh(L.conj().T @ A.toarray() @ L)
    c = np.array(M.polynomial.coefficients)
    p = chebyshev.chebval(2 * eigenvalues / M.polynomial.interval[1] - 1, c)
    # Both factors of the base, and the oracle itself, round as one degree more does.
    allowed = tolerance(degree + 1, np.float64 if precision == "double" else np.float32)
    for shape in (A.shape[:1], (A.shape[0], 3)):
        x = random_vector(rng, shape, dtype)
        based = L.conj().T @ x
        expected = V @ (p.reshape(-1, *(1,) * (x.ndim - 1)) * (V.conj().T @ based))
        error = np.linalg.solve(L, M @ x) - expected
        assert M.degree == degree
        assert np.linalg.norm(error) <= allowed * np.abs(c).sum() * np.linalg.norm(based)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
@each_precision
def test_float32_matrices_too(dtype, precision, rng):
    A = complex_hermitian(40, dtype) if dtype is np.complex64 else poisson2d(6, dtype)
    M = ap.make(A, degree=8, base="none", precision=precision)
    eigenvalues, V = np.linalg.eigh(A.toarray().astype(np.complex128))
    x = random_vector(rng, A.shape[0], dtype)
    error = M @ x - (V * M.polynomial(eigenvalues)) @ (V.conj().T @ x)
    scale = np.abs(M.polynomial.coefficients).sum() * np.linalg.norm(x)
    assert np.linalg.norm(error) <= tolerance(8, dtype) * scale


@pytest.mark.parametrize("degree", [2, 16])
def test_tolerance_is_tight_enough_to_see_a_wrong_coefficient(degree, rng):
    A, x = poisson2d(6), rng.standard_normal(36)
    M = ap.make(A, degree=degree, precision="double")
    c = np.array(M.polynomial.coefficients)
    c[degree // 2] += 1e-10 * np.abs(c).sum()
    other = ap.make(A, polynomial=Polynomial(M.polynomial.interval, c), precision="double")
    allowed = tolerance(degree + 1, np.float64) * np.abs(c).sum()
    difference = (M @ x - other @ x) * np.sqrt(A.diagonal())
    assert np.linalg.norm(difference) > allowed * np.linalg.norm(x / np.sqrt(A.diagonal()))


# Powers of two, so that scaling itself rounds nothing: 8e-31 to 1e30, and 1e-35 to 8e34.
FORMS = {"csr": sp.csr_array, "dense": sp.csr_array.toarray, "operator": aslinearoperator}
SCALES = [2.0**-100, 2.0**100]
SIZES = [2.0**-116, 1.0, 2.0**116]


@pytest.mark.filterwarnings("ignore::autospec_precond.UncertifiedWarning")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("base", ["none", "jacobi"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@pytest.mark.parametrize("scale", SCALES)
@each_precision
def test_scale_of_the_matrix_does_not_matter(form, base, dtype, scale, precision, rng):
    A = poisson2d(6, dtype)

    def make(A):
        diagonal = A.diagonal() if base == "jacobi" else None
        return ap.make(
            FORMS[form](A), degree=8, base=base, precision=precision, diagonal=diagonal
        )

    M, scaled = make(A), make((A * dtype(scale)).astype(dtype))
    for x_dtype in (np.float32, np.float64):
        x = rng.standard_normal(36).astype(x_dtype)
        expected = M @ x
        real = np.finfo(np.result_type(M.dtype, x_dtype))
        for size in SIZES:
            largest = float(np.abs(expected).max()) * (size / scale)
            if not 1e6 * float(real.tiny) < largest < 1e-6 * float(real.max):
                continue  # the result type cannot hold it
            result = (scaled @ (x * x_dtype(size))).astype(np.complex128) * (scale / size)
            allowed = tolerance(8, np.float32 if precision != "double" else real.dtype)
            assert np.linalg.norm(result - expected) <= allowed * np.linalg.norm(expected)


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("size", [1e-300, 1e-38, 1e38, 1e300])
def test_size_of_a_vector_does_not_matter(size, precision, rng):
    M = ap.make(with_scaled_rows(poisson2d(6)), degree=8, precision=precision)
    X = rng.standard_normal((36, 3))
    expected = M @ X
    error = (M @ (X * size)) / size - expected
    allowed = tolerance(8, np.float32 if precision == "single" else np.float64)
    assert np.linalg.norm(error) <= allowed * np.linalg.norm(expected)


@each_precision
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_smallest_numbers_do_not_matter(precision, dtype, rng):
    M = ap.make(poisson2d(6, dtype), degree=8, precision=precision)
    X = rng.integers(-(2**20), 2**20, (36, 3)).astype(np.float64)
    tiny = 2.0**-1060  # products with it are subnormal, and exact
    result, expected = M @ (X * tiny), M @ X
    allowed = tolerance(8, np.float32) * np.abs(expected).max()
    assert np.abs(result / tiny - expected).max() <= allowed
    assert np.array_equal(M @ (0.0 * X), np.zeros_like(X))
