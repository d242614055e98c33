"""An application allocates its result and nothing else of the length of a vector."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from problems import poisson2d

import autospec_precond as ap
from autospec_precond.classical import chebyshev

N_LONG = 500_000  # well above the few 10 kB that NumPy's casts take at a time
PRECISIONS = ["single", "mixed", "double"]


def peak_of(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def long_operator(dtype, precision, base="jacobi"):
    """Return M of a long matrix, made without a probe."""
    A = sp.diags_array([-1.0, 2.5, -1.0], offsets=[-1, 0, 1], shape=(N_LONG, N_LONG))
    polynomial = chebyshev(2, 4.6 if base == "none" else 1.9)
    return ap.make(
        A.tocsr().astype(dtype), base=base, polynomial=polynomial, precision=precision
    )


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
def test_an_application_allocates_the_result_only(dtype, precision):
    M = long_operator(dtype, precision)
    M @ np.ones((N_LONG, 2), np.complex128)  # scratch for the widest
    for x_dtype in (np.int64, np.float32, np.float64, np.complex128):
        for shape, order in (((N_LONG,), "C"), ((N_LONG, 2), "C"), ((N_LONG, 2), "F")):
            x = np.ones(shape, x_dtype, order=order)
            out = np.empty_like(x, np.result_type(dtype, x_dtype))
            M.apply_into(x, out), M.apply_into(out, out)  # machine code
            assert peak_of(lambda x=x, out=out: M.apply_into(x, out)) < N_LONG
            assert peak_of(lambda x=x: M @ x) < out.nbytes + N_LONG
            if x.dtype == out.dtype:
                assert peak_of(lambda x=x: M.apply_into(x, x)) < N_LONG


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("size", [1.0, 1e-35, 1e35])
def test_without_a_base_too_and_at_any_size(precision, size):
    M = long_operator(np.float64, precision, base="none")
    x, out = np.full(N_LONG, size), np.empty(N_LONG)
    M.apply_into(x, out)
    assert peak_of(lambda: M.apply_into(x, out)) < N_LONG


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@pytest.mark.parametrize("columns", [(), (3,)])
def test_a_solve_allocates_few_vectors_and_nothing_per_iteration(
    dtype, precision, columns, rng
):
    M = long_operator(dtype, precision)
    b = rng.standard_normal((N_LONG, *columns)).astype(dtype)
    if columns:
        b[:, 0] = 1.0  # ends before the others
    M.solve(b, maxiter=1)  # scratch of M, machine code
    nbytes, peaks = b.nbytes, []
    # Two vectors are M's own scratch where r is kept inside.
    n_vectors = 2 if dtype is np.float64 and precision != "single" and not columns else 4

    def look(x):
        assert (
            tracemalloc.get_traced_memory()[1] <= n_vectors * nbytes + N_LONG + peaks_before
        )
        peaks.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.reset_peak()

    peaks_before = nbytes  # the check that b is finite, and its size
    peak = peak_of(lambda: M.solve(b, rtol=0.0, atol=1e-30, maxiter=8, callback=look))
    assert len(peaks) > 2
    assert max(peaks) <= n_vectors * nbytes + N_LONG
    assert peak <= max(n_vectors, 3) * nbytes + N_LONG


def test_scratch_is_bounded():
    M = ap.make(poisson2d(30), degree=4, precision="double")
    n = M.shape[0]
    for k in (1, 8, 3, 8, 1):
        M @ np.ones((n, k))
    page = 4096  # of padding between the vectors
    assert sum(buffer.nbytes for buffer in M._pool) <= 3 * 8 * n * 8 + page
    assert M._pool.maxlen <= 4
