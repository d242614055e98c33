"""The choice for a general A on a device: the host's, with vectors that stay there."""

import numpy as np

from autospec_precond import arnoldi, general
from autospec_precond.kernels import gpu_runtime

from . import cost, kernels, scaling, storage
from .bases import Based
from .chooser import run_of
from .vectors import Random, norm, scalar

__all__ = ["choose"]

_SETUP = 1e-2  # seconds of a setup: some 1000 launches and 150 looks; counted, not measured
_OTHERS = 45  # vectors of length n beside those of the probe: a trial has 31
_SMALL, _BIG = 1e-280, 1e280  # squares outside have lost digits


def choose(request, make_csr):
    """Choose base, storage, degree and polynomial for a general A on its device.

    Parameters
    ----------
    request : Request
        What the caller asked for; its operand is one of `operands.Operand`.
    make_csr : callable
        Makes a sparse matrix by rows on the device.

    Returns
    -------
    Choice
        Without a certificate: p need not be positive.

    Raises
    ------
    MemoryError
        If the vectors of the probe find no room.
    ValueError
        If A is structurally singular, or a keyword does not suit it.
    """
    operand = request.operand
    library = kernels.select(operand.xp, request.kernel, "make")
    scaling.check_structure(operand, library, "make")
    return _Chooser(request, library, make_csr).choose()


class _Vectors(arnoldi.Vectors):
    """Vectors on a device, in double precision; a few numbers come back."""

    def __init__(self, library, dtype):
        self.library, self.xp = library, library.xp
        self._sum, self._partial, self._size = self.xp.empty(1, dtype), None, None

    def norm(self, x):
        """Return the Euclidean length of a vector."""
        if self._size != x.size:
            self._partial, self._size = self.library.partials(x), x.size
        self.library.dot(x, x, self._sum, self._partial)
        square = float(scalar(self._sum).real)
        return float(np.sqrt(square)) if _SMALL < square < _BIG else norm(x)

    first_norm = norm

    def taken(self, x):
        """Return what a product has returned: an array of the device."""
        return x

    def fetch(self, x):
        """Bring a few numbers to the host."""
        return x.get()

    def send(self, x):
        """Bring a few numbers to the device."""
        return self.xp.asarray(x)


class _Applied:
    """M, or p(S) alone, for vectors in double precision."""

    def __init__(self, candidate, library, vectors, scaled=True):
        based, self.stored = candidate.based, candidate.stored
        self.library, self.dtype, self.xp = library, based.dtype, library.xp
        self.left, self.right = (based.left, based.right) if scaled else (None, None)
        self._run = run_of(library, self.stored, candidate.polynomial)
        self._work = [self.xp.empty(based.n, vectors) for _ in range(3)]

    def __call__(self, x):
        """Return M x."""
        start, *work = self._work
        self.library.scale(x, self.left, 1.0, start)
        y = self._run(start, work)
        out = self.xp.empty(x.size, self.dtype)
        self.library.scale(y, self.right, 1 / self.stored.unit, out)
        return out


class _Chooser(general.Chooser):
    """As `general.Chooser`, for an operator on a device."""

    setup = _SETUP

    def __init__(self, request, library, make_csr):
        super().__init__(request)
        self.library, self.make_csr = library, make_csr
        self.vectors = _Vectors(library, self.dtype)
        self._unscaled = Based(self.operand, "none", None, None, library)
        nnz = self.operand.nnz or 8 * self.operand.n
        fused = library.name == "fused"
        self.costs = cost.Costs(self.operand.n, nnz, 4, 8, fused, solver="gmres")

    def _random(self):
        return Random(self.vectors.xp, self.request.rng, self.library.uniform)

    def _prepare(self, based, steps):
        """Refuse a probe that finds no room, before the device is full."""
        rows = min(steps, self.operand.n) + _OTHERS
        entries = 2 * (self.operand.nnz or 0)  # those of S, and what is stored of them
        needed = (rows * self.operand.n + entries) * self.dtype.itemsize
        free = gpu_runtime.free_bytes(self.vectors.xp)
        if needed > free:
            needed, free = map(gpu_runtime.in_words, (needed, free))
            raise MemoryError(
                f"make: the probe of a general A, {rows} vectors and the scaled entries, "
                f"must fit the memory of the device; got {needed} needed and {free} free. "
                "Free some, or give a lower degree."
            )

    def _share(self):
        return scaling.diagonal_share(self.operand, self.library)

    def _equilibrated(self):
        return scaling.equilibrated(self.operand, self.library)

    def _between(self, name, left, right):
        if name == "none":
            return self._unscaled  # whose entries in double precision may be there
        return Based(self.operand, name, left, right, self.library)

    def _held(self, product):
        return product

    def _outer(self):
        return self.costs.outer()

    def _step(self):
        return self.costs.step()

    def _product(self, x):
        return self._unscaled.product(x)

    def _applied(self, candidate):
        return _Applied(candidate, self._kernels(candidate), self._vector_dtype(candidate))

    def _image(self, candidate):
        dtype = self._vector_dtype(candidate)
        inner = _Applied(candidate, self._kernels(candidate), dtype, scaled=False)
        product = candidate.based.product
        return lambda x: product(inner(x))

    def _kernels(self, candidate):
        same = candidate.kernel == self.library.name
        return self.library if same else kernels.Plain(self.vectors.xp)

    def _nothing(self):
        stored = storage.Stored("none", n=self.operand.n, xp=self.vectors.xp)
        return stored, self.library.name

    def _store(self, candidate):
        if candidate.stored is not None:
            return
        if candidate.polynomial.degree == 0:
            candidate.stored, candidate.kernel = self._nothing()
            return
        request, based, precision = self.request, candidate.based, candidate.precision
        key = id(based), precision
        if key not in self._stored:
            how = self.make_csr, request.storage
            stored = storage.store(
                based, self.operand.dtype, precision, *how, hermitian=False
            )
            kernel = kernels.suited(self.library, stored, request).name
            self._stored[key] = stored, kernel, based
        candidate.stored, candidate.kernel, _ = self._stored[key]
