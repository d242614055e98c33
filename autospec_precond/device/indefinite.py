"""The choice for MINRES on a device: the host's, with vectors that stay there."""

import dataclasses

from autospec_precond import classify
from autospec_precond import indefinite as host
from autospec_precond.kernels import layout
from autospec_precond.row_scaling import PASSES, check_base, is_uneven

from . import cost, kernels, storage
from .bases import Based
from .operands import check_hermitian
from .vectors import Random, scalar

__all__ = ["choose"]


def choose(request, make_csr):
    """Choose a positive definite M for MINRES on the device where A is.

    Parameters
    ----------
    request : Request
        What the caller asked for; its operand is one of `operands.Operand`.
    make_csr : callable
        Makes a sparse matrix by rows on the device.

    Returns
    -------
    Choice
        With a certified polynomial, of degree 0 where none pays.

    Raises
    ------
    NotHermitianError
        If A shows that it is not, unless its class was told.
    TypeError, ValueError
        If A is structurally singular, or a keyword does not suit it.
    """
    chooser = _Chooser(request, make_csr)
    based, spent, seen = chooser.base(), 0, None
    if request.assume_a is None:
        spent, *seen = check_hermitian(request.operand, based, chooser.rng, "make")
    choice = chooser.choose(based, seen)
    return dataclasses.replace(choice, n_products=choice.n_products + spent)


class _Chooser(host.Chooser):
    """As `indefinite.Chooser`, for an operator on a device."""

    def __init__(self, request, make_csr):
        super().__init__(request)
        xp = request.operand.xp
        self.library = kernels.select(xp, request.kernel, "make")
        self.rng = Random(xp, request.rng, self.library.uniform)
        self.make_csr, self._stored = make_csr, None

    def base(self):
        """Scale rows and columns by the roots of row norms; see `row_scaling.base_of`."""
        operand, base = self.operand, self.request.base
        check_base(base)
        based = Based(operand, "none", None, None, self.library)
        if operand.matrix is None:
            return based
        norms = _row_norms(based)
        empty = norms == 0
        classify.refuse_empty(empty, empty, "make")
        least, most = float(scalar(norms.min())), float(scalar(norms.max()))
        if base == "none" or not (base == "equilibrate" or is_uneven(least, most)):
            return based
        scale = 1.0 / operand.xp.sqrt(norms)
        based = Based(operand, "equilibrate", scale, scale, self.library)
        given = self.request.state.get("n_scalings", 1)
        return self.rescaled(based) if given > 1 else based

    def rescaled(self, based):
        """Equilibrate further; see `row_scaling.rescaled`."""
        xp, sizes = self.operand.xp, based.product.magnitude()
        more = xp.ones(based.n)
        for _ in range(PASSES - 1):
            norms = more * sizes(more)
            more = more / xp.sqrt(norms)
        scale = more * based.left
        return dataclasses.replace(based, left=scale, right=scale, n_scalings=PASSES)

    def largest_row(self, based):
        """Return the largest sum of moduli in a row of S."""
        return float(scalar(_row_norms(based).max()))

    def outer(self):
        """Count the time of an iteration of CuPy's minres without M."""
        nnz = self.operand.nnz or 8 * self.operand.n
        return cost.Costs(self.operand.n, nnz, 8, 8, True, solver="minres").outer()

    def costs(self, based):
        """Return sizes that an application is counted from: S is stored for that."""
        stored, kernel = self.store(based)
        nnz = self.operand.nnz or 8 * self.operand.n
        return cost.Costs(
            self.operand.n,
            nnz,
            8 if stored.data is None else stored.data.itemsize,
            self.vectors.itemsize,
            kernel == "fused",
            stored.n_bytes or None,
            stored.kind,
        )

    def store(self, based):
        """Store S for the kernels, once."""
        if self._stored is None:
            request, dtype = self.request, self.operand.dtype
            given = self.precision, self.make_csr, request.storage
            stored = storage.store(based, dtype, *given)
            if stored.kind == "operator":  # let it appear with numbers of the order of one
                found, given = self.found, request.state.get("polynomial")
                high = found.high if found else max(map(abs, given.domain))
                unit = layout.power_of_two(high)
                stored = dataclasses.replace(stored, unit=unit)
            kernel = kernels.suited(self.library, stored, request).name
            self._stored = stored, kernel
        return self._stored

    def nothing(self):
        """Return what `store` does, for the base alone."""
        stored = storage.Stored("none", n=self.operand.n, xp=self.operand.xp)
        return stored, self.library.name


def _row_norms(based):
    """Return the sums of moduli of each row of S, of an explicit A."""
    return based.product.magnitude()(based.operand.xp.ones(based.n))
