"""The kernels of a device behind one interface: fused ones, or plain array operations."""

import importlib

import numpy as np

from . import storage
from .plain import Plain

__all__ = ["Fused", "Plain", "select", "suited"]

_FUSED = ("csr", "dia", "bsr")


class Fused(Plain):
    """The kernels of `kernels.gpu`.

    Parameters
    ----------
    xp : module
        CuPy.
    """

    name = "fused"
    most_diagonals = 128

    def __init__(self, xp):
        super().__init__(xp)
        self.launch = importlib.import_module("autospec_precond.kernels.gpu.launch")
        self.graph = importlib.import_module("autospec_precond.kernels.gpu.graph")
        self.setup = importlib.import_module("autospec_precond.kernels.gpu.setup")
        names = "scale", "partials", "dot", "update", "direction", "record", "subtract"
        for name in names:
            setattr(self, name, getattr(self.launch, name))

    def applications(self, stored, factors):
        """Return p of the stored operator: a CUDA graph per place of the vectors.

        Parameters
        ----------
        stored : storage.Stored
            The operator.
        factors : ndarray, shape (degree, 4)
            As for `kernels.reference.apply`.

        Returns
        -------
        callable
            As `Plain.applications`.
        """
        if stored.kind not in _FUSED:
            return super().applications(stored, factors)
        return self.graph.Applications(stored, factors).run

    def product(self, matrix):
        """Return ``into(x, y)``: one launch, nothing is allocated.

        Parameters
        ----------
        matrix : object with ``@``
            A, in its own precision.

        Returns
        -------
        callable
            As `Plain.product`.
        """
        if not hasattr(matrix, "indptr"):
            return super().product(matrix)
        plan = self.plan(matrix.data, matrix)

        def _into(x, y):
            """Write A x into y."""
            plan.run(x, (y, y))

        return _into

    def plan(self, values, matrix):
        """Return the product with a matrix as a plan of one step.

        Parameters
        ----------
        values : array, shape (nnz,)
            Its entries; vectors are of their type.
        matrix : csr_matrix
            Its pattern.

        Returns
        -------
        launch.Plan
            For vectors.
        """
        n, pattern = matrix.shape[0], _pattern(matrix)
        parts = values, pattern.indices, pattern.indptr
        stored = storage.Stored("csr", None, *parts, n=n, xp=self.xp)
        product = np.array([[0.0, 1.0, 0.0, 0.0]])
        return self.launch.Plan(stored, product, values.dtype, (n,))

    def uniform(self, seed, n):
        """Return random numbers; see `vectors.uniform`.

        Parameters
        ----------
        seed, n : int
            As there.

        Returns
        -------
        array, shape (n,)
            In double precision.
        """
        out = self.xp.empty(n)
        self.setup.uniform(seed, out)
        return out

    def entries(self, matrix, left, right, dtype):
        """Return the entries of L A R; see `Plain.entries`.

        Parameters
        ----------
        matrix, left, right, dtype : object
            As there.

        Returns
        -------
        array, shape (nnz,)
            New ones.
        """
        if left is None and right is None:
            return matrix.data.astype(dtype)
        out = self.xp.empty(matrix.nnz, dtype)
        self.setup.entries(_pattern(matrix), left, right, out)
        return out

    def mark(self, matrix, seen):
        """Mark the diagonals that hold entries; see `kernels.gpu.setup.mark`.

        Parameters
        ----------
        matrix, seen : object
            As there.
        """
        self.setup.mark(_pattern(matrix), seen)

    def fill(self, matrix, values, factor, number, data):
        """Write entries to their diagonals; see `kernels.gpu.setup.fill`.

        Parameters
        ----------
        matrix, values, factor, number, data : object
            As there.
        """
        self.setup.fill(_pattern(matrix), values, factor, number, data)

    def repeated(self, kernels):
        """Return what starts some launches again and again: as a CUDA graph.

        Parameters
        ----------
        kernels : callable
            As for `Plain.repeated`.

        Returns
        -------
        callable
            Without arguments.
        """
        return self.graph.Repeated(kernels)


def suited(library, stored, request):
    """Return the kernels for what is stored; refuse what no kernel exists for.

    Parameters
    ----------
    library : Plain or Fused
        The kernels for a sparse matrix.
    stored : storage.Stored
        The operator.
    request : Request
        What the caller asked for.

    Returns
    -------
    Plain or Fused
        Array operations for a dense A and for an operator.

    Raises
    ------
    ValueError
        If a kernel or a storage was asked for that such an A cannot have.
    """
    if stored.kind not in ("dense", "operator"):
        return library
    if request.kernel == "fused":
        raise ValueError(
            "make: kernel='fused' must have an explicit sparse A; got storage "
            f"{stored.kind!r}. Use kernel='reference'."
        )
    if request.storage:
        raise ValueError(
            f"make: storage={request.storage!r} must have an explicit sparse A; got "
            f"storage {stored.kind!r}. Leave storage out."
        )
    return Plain(library.xp)


def _pattern(matrix):
    """Return a matrix by rows with indices of one type."""
    if matrix.indptr.dtype == matrix.indices.dtype:
        return matrix
    parts = matrix.data, matrix.indices, matrix.indptr.astype(matrix.indices.dtype)
    return type(matrix)(parts, shape=matrix.shape)


def select(xp, kernel, caller):
    """Choose the kernels.

    Parameters
    ----------
    xp : module
        Array module.
    kernel : str or None
        'reference' or 'fused'; fused where CUDA source can be compiled by default.
    caller : str
        Name that the message starts with.

    Returns
    -------
    Plain or Fused
        The kernels.

    Raises
    ------
    ValueError
        If 'fused' is asked for and there is no such.
    """
    if kernel == "reference":
        return Plain(xp)
    if hasattr(xp, "RawModule"):
        try:
            return Fused(xp)
        except ImportError:
            pass
    if kernel == "fused":
        raise ValueError(
            f"{caller}: kernel='fused' must have CuPy's compiler; got an array module "
            f"{xp.__name__!r} without it. Use kernel='reference'."
        )
    return Plain(xp)
