"""The kernels: twins of the reference, blind to scratch, compiled with the right flags."""

import importlib

import numba
import numpy as np
import pytest
import scipy.sparse as sp
from numpy.polynomial import chebyshev
from problems import poisson2d, tolerance
from scipy.sparse.linalg import aslinearoperator

import autospec_precond as ap
from autospec_precond import kernels
from autospec_precond.kernels import cpu, layout, reference
from autospec_precond.polynomial import clenshaw

SIZES = [1, 2, 3, 31, 32, 33, 257]  # around vector and chunk boundaries
COLUMNS = [(), (1,), (2,), (3,), (8,), (17,)]
STRUCTURES = ["short", "five", "long", "around_12", "empty"]
PRECISIONS = ["single", "mixed", "double"]
TYPES = [  # of values and of vectors
    (np.float32, np.float32),
    (np.float32, np.float64),
    (np.float64, np.float64),
    (np.complex64, np.complex64),
    (np.complex64, np.complex128),
    (np.complex128, np.complex128),
]
each_type = pytest.mark.parametrize(
    ("values", "vectors"), TYPES, ids=[f"{a.__name__}-{b.__name__}" for a, b in TYPES]
)
each_precision = pytest.mark.parametrize("precision", PRECISIONS)


def random_vector(rng, shape, dtype):
    x = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.standard_normal(shape)
    return x.astype(dtype)


# Twins: the fused kernel against the reference.


def hermitian(n, structure, dtype, rng):
    """Hermitian CSR matrix of norm at most one, rows of the lengths that are asked for."""
    S = np.zeros((n, n))
    if structure == "short":
        S = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    elif structure == "five":
        S = rng.standard_normal((n, n)) * (abs(np.subtract.outer(*[np.arange(n)] * 2)) <= 2)
    elif structure == "long":
        S = rng.standard_normal((n, n))
    elif structure == "around_12":  # bands: rows of 11, 12 and 13 entries among others
        band = abs(np.subtract.outer(np.arange(n), np.arange(n))) <= 6
        S = rng.standard_normal((n, n)) * band
        S[: n // 3] *= rng.random((n // 3, n)) < 0.9
    elif structure == "empty":  # empty rows, rows of a diagonal only, and full ones
        kind = np.arange(n) % 4
        S = np.diag(np.where(kind == 1, 0.5, 0.0))
        full = np.isin(kind, (2, 3))
        S[np.ix_(full, full)] = 1 + rng.random((full.sum(), full.sum()))
    S = S + S.T
    S /= max(abs(S).sum(axis=1).max(), 1e-300)
    if np.dtype(dtype).kind == "c":
        phase = np.exp(1j * np.arange(n))
        S = phase[:, None] * S * phase.conj()
    return sp.csr_array(S.astype(dtype))


def stored_csr(S, index):
    return layout.Stored("csr", S.data, S.indices.astype(index), S.indptr.astype(index))


def scratch(x, value=np.nan):
    return np.full_like(x, value), np.full_like(x, value)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("structure", STRUCTURES)
@each_type
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_fused_matches_reference(n, structure, values, vectors, index, rng):
    stored = stored_csr(hermitian(n, structure, values, rng), index)
    for degree in (1, 2, 3, 9):
        c = rng.standard_normal(degree + 1)
        for shape in COLUMNS:
            x = random_vector(rng, (n, *shape), vectors)
            before = x.copy()
            plain = reference.apply(stored, clenshaw(c, (0.9, -0.1)), x, scratch(x))
            fused = cpu.apply(stored, clenshaw(c, (0.9, -0.1)), x, scratch(x))
            assert fused.dtype == plain.dtype == vectors
            assert fused.shape == plain.shape == x.shape
            assert np.array_equal(x, before)
            scale = np.abs(c).sum() * np.linalg.norm(x)
            assert np.linalg.norm(fused - plain) <= tolerance(degree, vectors) * scale


def test_the_matrices_of_the_twins_have_the_rows_they_promise(rng):
    lengths = {
        name: set(np.diff(hermitian(257, name, np.float64, rng).indptr))
        for name in STRUCTURES
    }
    assert lengths["short"] == {2, 3}
    assert lengths["five"] == {3, 4, 5}
    assert lengths["long"] == {257}
    assert {11, 12, 13} <= lengths["around_12"]
    assert {0, 1} < lengths["empty"]


@each_type
@pytest.mark.parametrize("degree", [1, 4])
def test_other_storages_match_csr(values, vectors, degree, rng):
    S = hermitian(33, "around_12", values, rng)
    c = rng.standard_normal(degree + 1)
    others = [
        layout.Stored("dense", S.toarray()),
        layout.Stored("operator", function=S.__matmul__),
    ]
    for shape in COLUMNS:
        x = random_vector(rng, (33, *shape), vectors)
        plain = reference.apply(
            stored_csr(S, np.int32), clenshaw(c, (0.9, -0.1)), x, scratch(x)
        )
        for stored in others:
            other = reference.apply(stored, clenshaw(c, (0.9, -0.1)), x, scratch(x))
            scale = np.abs(c).sum() * np.linalg.norm(x)
            assert np.linalg.norm(other - plain) <= tolerance(degree, vectors) * scale


@pytest.mark.parametrize("form", [sp.csr_array.toarray, aslinearoperator])
@each_precision
def test_other_storages_make_the_same_preconditioner(form, precision, rng):
    A = poisson2d(7)
    M = ap.make(A, degree=6, precision=precision)
    other = ap.make(
        form(A), polynomial=M.state(), diagonal=A.diagonal(), precision=precision
    )
    x = rng.standard_normal((49, 3))
    assert (M.kernel, other.kernel) == ("fused", "reference")
    assert M.storage != other.storage
    allowed = tolerance(6, np.float64 if precision == "double" else np.float32)
    scale = np.abs(M.polynomial.coefficients).sum() * np.linalg.norm(x)
    assert np.linalg.norm(M @ x - other @ x) <= allowed * scale


# The parts.


@pytest.mark.parametrize("degree", range(1, 10))
def test_steps_evaluate_the_series(degree, rng):
    for _ in range(20):
        c = rng.standard_normal(degree + 1)
        alpha, beta = rng.uniform(0.1, 2), rng.uniform(-1, 1)
        s = (rng.uniform(-1, 1) - beta) / alpha
        x = b1 = b2 = rng.standard_normal()
        steps = clenshaw(c, (alpha, beta))
        for c_k, a, b, g in steps:
            b1, b2 = c_k * x + a * s * b1 + b * b1 - g * b2, b1
        expected = chebyshev.chebval(alpha * s + beta, c) * x
        assert len(steps) == degree
        assert abs(b1 - expected) <= tolerance(degree, np.float64) * np.abs(c).sum()


@pytest.mark.parametrize("apply", [reference.apply, cpu.apply])
@pytest.mark.parametrize("degree", [1, 2, 3, 8])
@pytest.mark.parametrize("shape", [(33,), (33, 2)])
def test_what_scratch_holds_has_no_influence(apply, degree, shape, rng):
    stored = stored_csr(hermitian(33, "around_12", np.float64, rng), np.int32)
    c, x = rng.standard_normal(degree + 1), rng.standard_normal(shape)
    clean, *dirty = (
        apply(stored, clenshaw(c, (0.9, -0.1)), x, scratch(x, value))
        for value in (0.0, np.nan, np.inf)
    )
    assert np.isfinite(clean).all()
    for result in dirty:
        assert np.array_equal(result, clean)


def test_operator_scratch_has_no_influence(rng):
    M = ap.make(poisson2d(7), degree=6)
    x = rng.standard_normal(49)
    first = M @ x
    for value in (np.nan, np.inf):
        for buffer in M._pool:
            buffer.fill(value)
        assert len(M._pool) == 1
        assert np.array_equal(M @ x, first)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kernel", kernels.KERNELS)
@each_precision
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_non_finite_in_is_non_finite_out(bad, kernel, precision, dtype, rng):
    M = ap.make(poisson2d(7), degree=4, precision=precision, kernel=kernel)
    x = random_vector(rng, (49, 3), dtype)
    clean = M @ x
    x[20, 1] = bad
    with np.errstate(invalid="ignore"):
        out, vector = M @ x, M @ x[:, 1]
    assert not np.isfinite(out[20, 1])
    assert not np.isfinite(vector[20])
    assert np.array_equal(out[:, ::2], clean[:, ::2])


def test_flags_of_the_compiled_kernels():
    found = {
        name: f.targetoptions
        for name, f in vars(cpu).items()
        if hasattr(f, "targetoptions")
    }
    assert {"_vector", "_block", "short_row", "long_row"} <= found.keys()
    for name, options in found.items():
        # Not True: that would delete what a NaN needs to come through.
        in_order = name in ("short_row", "long_row", "_panel")
        assert options["fastmath"] == (
            {"contract"} if in_order else {"contract", "reassoc"}
        )
        # Serial and without the GIL: safe in threads and after a fork.
        assert options["nogil"] is True
        assert not options.get("parallel")


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("shape", [(33,), (33, 2)])
def test_kernels_see_unsigned_indices(index, shape, rng, monkeypatch):
    seen = []
    for name in ("_vector", "_block"):
        step = getattr(cpu, name)
        monkeypatch.setattr(cpu, name, lambda *a, f=step: seen.append(a) or f(*a))
    A = sp.csr_array(poisson2d(7))
    A.indices, A.indptr = A.indices.astype(index), A.indptr.astype(index)
    x = rng.standard_normal((49, *shape[1:]))
    assert np.isfinite(ap.make(A, degree=2, storage="csr") @ x).all()
    unsigned = np.dtype(f"u{np.dtype(index).itemsize}")
    assert len(seen) >= 2
    for indptr, indices, *_ in seen:
        assert indptr.dtype == indices.dtype == unsigned
    assert numba.typeof(seen[0][1]).dtype.signed is False


def test_select_says_which_kernel_runs():
    assert kernels.select("csr") == ("fused", cpu.apply)
    assert kernels.select("csr", "reference") == ("reference", reference.apply)
    assert kernels.select("dense") == kernels.select("operator", "reference")
    with pytest.raises(ValueError, match=r"explicit sparse A .* got storage 'dense'\. Use"):
        kernels.select("dense", "fused")


@pytest.mark.parametrize("function", ["cpu.long_row", "cpu_setup._magnitude_row"])
def test_long_rows_are_summed_in_an_order_of_ours(function):
    module, name = function.split(".")
    row = getattr(importlib.import_module(f"autospec_precond.kernels.{module}"), name)
    assert row.targetoptions["fastmath"] == {"contract"}  # "reassoc" makes gathers
    rng = np.random.default_rng(0)
    for length in (0, 1, 3, 4, 5, 7, 8, 35):
        indices = rng.integers(0, 50, 3 + length).astype(np.uint32)
        data, x = rng.standard_normal(3 + length), rng.standard_normal(50)
        value = row(np.uint32(3), np.uint32(3 + length), indices, data, x, 0.0)
        terms = (np.abs(data) if "magnitude" in name else data)[3:] * x[indices[3:]]
        assert value == pytest.approx(terms.sum(), rel=0, abs=1e-13)
