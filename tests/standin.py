"""NumPy and SciPy in the place of CuPy: as strict about host and device, and counting.

Arrays are NumPy's, of a type of their own. What CuPy refuses is refused: an array of the
host among its own, and conversion to one that was not asked for. Sums are arrays of no
dimension. `crossings` lists all that goes to the device ('in') and comes back ('out').
"""

import sys
import types

import numpy as np
import scipy.sparse as sp

try:
    from gpu_emulation.device import Array  # whose kernels run on the host
except ImportError:
    Array = np.ndarray


class ndarray(Array):  # noqa: N801
    """An array of the device."""

    crossings = None  # a list, once installed

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **keywords):
        for x in (*inputs, *(out or ())):
            if isinstance(x, np.ndarray) and not isinstance(x, ndarray):
                raise TypeError(f"Unsupported type {type(x)}")
        plain = [x.view(np.ndarray) if isinstance(x, ndarray) else x for x in inputs]
        if out is not None:
            keywords["out"] = tuple(x.view(np.ndarray) for x in out)
        result = getattr(ufunc, method)(*plain, **keywords)
        return out[0] if out is not None else as_device(result)

    def __array_function__(self, func, types_, args, keywords):
        return as_device(super().__array_function__(func, types_, args, keywords))

    def _out(self):
        self.crossings.append(("out", self.size, self.nbytes))

    def __float__(self):
        self._out()
        return float(self.view(np.ndarray))

    def __bool__(self):
        self._out()
        return bool(self.view(np.ndarray))

    def __index__(self):
        self._out()
        return self.view(np.ndarray).__index__()

    def item(self, *places):
        assert self.size == 1 or places
        self._out()
        return self.view(np.ndarray).item(*places)

    def get(self, stream=None, order="C", out=None, blocking=True):
        self._out()
        if out is None:
            return np.array(self.view(np.ndarray))
        out[...] = self.view(np.ndarray)
        return out

    def set(self, array, stream=None):
        assert type(array) is np.ndarray
        assert array.dtype == self.dtype
        assert array.shape == self.shape
        self.crossings.append(("in", array.size, array.nbytes))
        self.view(np.ndarray)[...] = array

    def __getitem__(self, places):
        return as_device(self.view(np.ndarray)[_plain(places)])

    def __setitem__(self, places, value):
        if isinstance(value, np.ndarray) and not isinstance(value, ndarray):
            raise TypeError(f"Unsupported type {type(value)}")
        self.view(np.ndarray)[_plain(places)] = _plain(value)

    def __iter__(self):
        return (self[k] for k in range(len(self)))

    @property
    def device(self):
        return types.SimpleNamespace(id=0)

    def tolist(self):
        raise AssertionError("all entries would come back")


def _reduction(name):
    def method(self, *args, **keywords):
        return as_device(getattr(self.view(np.ndarray), name)(*args, **keywords))

    return method


for _name in ("sum", "max", "min", "all", "any", "argmax", "dot", "mean"):
    setattr(ndarray, _name, _reduction(_name))
ndarray.__module__ = "cupy"


def as_device(x):
    """Return a result as an array of the device."""
    if isinstance(x, (np.ndarray, np.generic)):
        return np.asarray(x).view(ndarray)
    return x


def _plain(x):
    if isinstance(x, tuple):
        return tuple(map(_plain, x))
    return x.view(np.ndarray) if isinstance(x, ndarray) else x


class csr_matrix:  # noqa: N801
    """A sparse matrix of the device."""

    format = "csr"

    def __init__(self, given, shape=None):
        self.data, self.indices, self.indptr = given
        for part in given:
            assert isinstance(part, ndarray)
        self.shape, self.dtype = shape, self.data.dtype

    @property
    def nnz(self):
        return self.data.size

    @property
    def host(self):
        parts = (self.data, self.indices, self.indptr)
        return sp.csr_array(tuple(p.view(np.ndarray) for p in parts), shape=self.shape)

    @property
    def has_canonical_format(self):
        return self.host.has_canonical_format

    def sum_duplicates(self):
        host = self.host
        host.sum_duplicates()
        parts = host.data, host.indices, host.indptr
        self.data, self.indices, self.indptr = map(as_device, parts)

    def copy(self):
        parts = self.data.copy(), self.indices.copy(), self.indptr.copy()
        return type(self)(parts, shape=self.shape)

    def tocsr(self):
        return self

    def astype(self, dtype):
        return type(self)((self.data.astype(dtype), self.indices, self.indptr), self.shape)

    def diagonal(self):
        return as_device(self.host.diagonal())

    @classmethod
    def of(cls, host):
        host = sp.csr_array(host)
        parts = host.data, host.indices, host.indptr
        return cls(tuple(map(as_device, parts)), shape=host.shape)

    def conj(self):
        return self.of(self.host.conj())

    @property
    def T(self):  # noqa: N802
        return self.of(self.host.T)

    def __sub__(self, other):
        return self.of(self.host - other.host)

    def __abs__(self):
        return type(self)((abs(self.data), self.indices, self.indptr), shape=self.shape)

    def __matmul__(self, x):
        assert isinstance(x, ndarray)
        return as_device(self.host @ x.view(np.ndarray))


csr_matrix.__module__ = "cupyx.scipy.sparse._csr"


class dia_matrix:  # noqa: N801
    """Of another format, to be converted."""

    format = "dia"

    def __init__(self, matrix):
        self.data, self.made = matrix.data, matrix
        self.shape, self.dtype = matrix.shape, matrix.dtype

    def tocsr(self):
        return self.made

    def __matmul__(self, x):
        return self.made @ x


dia_matrix.__module__ = "cupyx.scipy.sparse._dia"


class LinearOperator:
    """As far as CuPy's goes."""

    def __init__(self, dtype, shape):
        self.dtype, self.shape = np.dtype(dtype), shape

    def matvec(self, x):
        assert x.shape == (self.shape[1],)
        return self._matvec(x)

    def matmat(self, X):
        assert X.ndim == 2
        return self._matmat(X)

    def rmatvec(self, x):
        assert x.shape == (self.shape[0],)
        return self._rmatvec(x)

    def adjoint(self):
        return self._adjoint()

    H = property(adjoint)
    T = property(lambda self: self._transpose())

    def __matmul__(self, x):
        return self.matvec(x) if x.ndim == 1 else self.matmat(x)


LinearOperator.__module__ = "cupyx.scipy.sparse.linalg._interface"


class _Wrapped(LinearOperator):
    def __init__(self, A):
        super().__init__(A.dtype, A.shape)
        self.product = A

    def _matvec(self, x):
        return self.product @ x

    _matmat = _matvec

    def _adjoint(self):
        return _Wrapped(self.product.conj().T)


_Wrapped.__module__ = LinearOperator.__module__


class _Device:
    def __init__(self, number=0):
        self.id = number

    def synchronize(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


class _Stream:
    ptr = 0
    n_synchronized = 0

    def synchronize(self):
        type(self).n_synchronized += 1

    def is_capturing(self):
        return False


def install(monkeypatch, free=10**9, kernels=None):
    """Put the stand-in where CuPy is looked for; return it.

    `kernels` is what `emulated_device` yields, for fused kernels.
    """
    cupy = types.ModuleType("cupy")
    cupy.crossings = ndarray.crossings = []
    cupy.ndarray = ndarray

    def asarray(x, dtype=None):
        if isinstance(x, ndarray):
            return x if dtype is None else x.astype(dtype)
        x = np.array(x, dtype)
        if x.ndim:
            cupy.crossings.append(("in", x.size, x.nbytes))
        return x.view(ndarray)

    cupy.asarray = asarray
    cupy.array = lambda x, dtype=None: asarray(x, dtype).copy()
    cupy.ascontiguousarray = lambda x: np.ascontiguousarray(_plain(x)).view(ndarray)
    for name in ("empty", "zeros", "ones", "arange"):
        function = getattr(np, name)
        setattr(cupy, name, lambda *a, function=function, **k: as_device(function(*a, **k)))
    for name in (
        *("zeros_like", "empty_like", "sqrt", "log", "cos", "exp", "isfinite", "where"),
        *("maximum", "searchsorted", "flatnonzero", "abs", "copysign", "divide", "roll"),
        "sign",
    ):
        function = getattr(np, name)

        def strict(*args, function=function, **keywords):
            assert not any(type(x) is np.ndarray for x in args)
            given = {key: _plain(value) for key, value in keywords.items()}
            return as_device(function(*map(_plain, args), **given))

        setattr(cupy, name, strict)
    pool = types.SimpleNamespace(
        free_bytes=lambda: 0, total_bytes=lambda: 0, get_limit=lambda: 0
    )
    cupy.get_default_memory_pool = lambda: pool
    cupy.cuda = types.SimpleNamespace() if kernels is None else kernels.cuda
    cupy.cuda.Device = _Device
    cupy.cuda.alloc_pinned_memory = bytearray
    if kernels is None:
        cupy.cuda.get_current_stream = _Stream
    else:
        from autospec_precond.kernels.gpu import device

        cupy.RawModule = kernels.RawModule
        monkeypatch.setattr(device, "_stand_in", cupy)
    cupy.cuda.runtime = types.SimpleNamespace(
        getDeviceCount=lambda: 1,
        getDevice=lambda: 0,
        memGetInfo=lambda: (free, free),
        driverGetVersion=lambda: 13020,
        runtimeGetVersion=lambda: 13020,
    )
    cupyx, scipy = types.ModuleType("cupyx"), types.ModuleType("cupyx.scipy")
    sparse = types.ModuleType("cupyx.scipy.sparse")
    linalg = types.ModuleType("cupyx.scipy.sparse.linalg")
    sparse.csr_matrix, linalg.LinearOperator = csr_matrix, LinearOperator
    linalg.aslinearoperator = _Wrapped
    cupyx.scipy, scipy.sparse, sparse.linalg = scipy, sparse, linalg
    rows = types.ModuleType(csr_matrix.__module__)
    rows.csr_matrix = csr_matrix
    for module in (cupy, cupyx, scipy, sparse, linalg, rows):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return cupy


def on_device(A):
    """Return a matrix of SciPy's or NumPy's on the device, without a crossing."""
    if sp.issparse(A):
        A = sp.csr_array(A)
        parts = A.data.copy(), A.indices.astype(np.int32), A.indptr.astype(np.int32)
        return csr_matrix(tuple(map(as_device, parts)), shape=A.shape)
    return as_device(np.array(A))
