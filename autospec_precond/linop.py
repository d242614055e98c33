"""The preconditioner M = p(A) as SciPy's solvers take it: a LinearOperator."""

import collections
import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator

from . import blas, kernels, solvers, threads
from .certificate import Certificate
from .kernels import arrange, layout
from .kernels.arrays import alias
from .kernels.layout import Stored, power_of_two
from .nullspace import Sandwiched, projected
from .operands import reopen
from .polynomial import Polynomial
from .probe import Probe
from .products import MatrixProduct
from .report import Report
from .request import STATE_FORMAT
from .roots import RootPolynomial

__all__ = ["Parts", "PolynomialPreconditioner", "core"]

# float32 vectors hold numbers far from one only up to here; beyond, a vector is scaled
# before it is rounded.
_SINGLE_RANGE = 1e25
_CHUNK = 8192  # rows
_PLAIN = (np.dtype(np.float32), np.dtype(np.float64))  # in the machine's byte order
_MANY = 10_000  # rows from which on a block leaves the cache
_FEW = 8  # null vectors of which four copies are no memory to speak of

# Vectors that start at the same offset within a page make a step 10 to 20 % slower: loads
# wait for stores to addresses that look the same.
_PAD = 96
_TOGETHER = 64  # rows of a block that are compared at once
_LINE = 64  # bytes of a line of the cache


@dataclass(frozen=True)
class Parts:
    """All that a preconditioner consists of; what is pickled.

    Attributes
    ----------
    shape : tuple of int
        (n, n).
    dtype : dtype
        Type of A.
    stored : Stored
        The based operator in the form that the kernel reads.
    left, right : ndarray, shape (n,), or None
        What comes before and behind p(S); one array where M is Hermitian.
    inner : callable or None
        The user's preconditioner that the polynomial stands on.
    polynomial : Polynomial
        p, in the units of the based operator.
    precision, kernel : str
        As chosen.
    report : Report
        What was found and decided.
    n_threads : int
        Threads of one application.
    limit : int or None
        Threads that the caller allows.
    is_hermitian : bool
        Whether A is, and M with it.
    is_positive : bool
        Whether A was found positive definite, so that CG may be run.
    is_adjoint : bool
        Whether `A` is the adjoint of what M approximates the inverse of.
    null : ndarray, shape (n, k), or None
        Orthonormal null vectors of A, projected out before and behind.
    A : object
        What the caller passed to `make`, for `solve`.
    """

    shape: tuple
    dtype: np.dtype
    stored: Stored
    left: np.ndarray | None
    right: np.ndarray | None
    inner: object
    polynomial: Polynomial | RootPolynomial
    precision: str
    kernel: str
    report: Report
    A: object
    n_threads: int = 1
    limit: int | None = None
    is_hermitian: bool = True
    is_positive: bool = True
    is_adjoint: bool = False
    null: np.ndarray | None = None


class PolynomialPreconditioner(LinearOperator):
    """A certified polynomial of A that approximates its inverse; made by `make`.

    Parameters
    ----------
    parts : Parts
        What it consists of.

    Attributes
    ----------
    report : Report
        What was probed, chosen and proved; prints as a table.
    polynomial : Polynomial
        p, in the units of the based operator.
    certificate : Certificate
        What is proved about p.
    probe : Probe or None
        None where the polynomial was given.
    degree : int
        Products with A per application.
    solver, precision, device, storage, kernel : str
        What was chosen.
    n_threads : int
        Threads of one application.
    A : MatrixProduct
        The product with A, in A's precision.

    See Also
    --------
    autospec_precond.make : Makes it.

    Notes
    -----
    M = R p(L A R) L with diagonals L and R is the same at every application. For a
    Hermitian A both are D^(-1/2), and M is Hermitian and positive definite. It holds its
    own copy of an explicit A: when A changes, make it again. Several threads may apply one
    M, and a forked process may. An application allocates its result only; scratch vectors,
    three per column, are kept for the next one. The fused kernel takes up to 16 columns of
    a block at a time, so that scratch is no more than 48 vectors; whole blocks are taken
    of a complex A, on a base of your own, and by some diagonals.

    The type of a result is ``np.result_type(M.dtype, x.dtype)``.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> import autospec_precond as ap
    >>> A = sp.diags_array([-1.0, 2.5, -1.0], offsets=[-1, 0, 1], shape=(50, 50))
    >>> M = ap.make(A, degree=8)
    >>> M
    <50x50 PolynomialPreconditioner of degree 8 on [..., ...], dtype=float64>
    >>> (M @ np.ones((50, 3))).shape
    (50, 3)
    """

    device: str = "cpu"

    def __init__(self, parts: Parts):
        super().__init__(dtype=np.dtype(parts.dtype), shape=parts.shape)
        stored = parts.stored.writeable()
        if stored is not parts.stored:
            parts = dataclasses.replace(parts, stored=stored)
        self._parts = parts
        self._run = core(parts.stored, parts.polynomial, parts.kernel, parts.n_threads)
        self._order = kernels.block_order(parts.stored.kind, parts.kernel)
        self._vector_dtype = layout.vector_dtype(parts.dtype, parts.precision)
        self._has_panels = parts.inner is None and kernels.has_panels(
            parts.stored, parts.kernel, parts.shape[0], self.degree, self._vector_dtype
        )
        self._inverse = self._base_alone()
        # append and pop of a deque are atomic: a lock that no fork can leave locked.
        self._pool = collections.deque(maxlen=4)
        self._product, self._opened = None, ()
        self._other = None  # the adjoint, once it has been asked for

    @property
    def report(self) -> Report:
        """What was probed, chosen and proved."""
        return self._parts.report

    @property
    def polynomial(self) -> Polynomial:
        """The polynomial p."""
        return self._parts.polynomial

    @property
    def certificate(self) -> Certificate:
        """What is proved about p."""
        return self._parts.report.certificate

    @property
    def probe(self) -> Probe | None:
        """What the probe found."""
        return self._parts.report.probe

    @property
    def degree(self) -> int:
        """Number of products with A per application."""
        return self._parts.polynomial.degree

    @property
    def solver(self) -> str:
        """The solver that M is made for."""
        return self._parts.report.solver

    @property
    def precision(self) -> str:
        """Precision of values and vectors: 'single', 'mixed' or 'double'."""
        return self._parts.precision

    @property
    def kernel(self) -> str:
        """The kernel that runs: 'fused' or 'reference'."""
        return self._parts.kernel

    @property
    def storage(self) -> str:
        """How A is stored: 'csr', 'dia', 'sell', 'fields', 'dense' or 'operator'."""
        return self._parts.stored.kind

    @property
    def n_threads(self) -> int:
        """Number of threads of one application."""
        return self._parts.n_threads

    @property
    def A(self) -> LinearOperator:  # noqa: N802
        """The product with A in A's precision, a LinearOperator for SciPy's solvers."""
        if self._parts.is_adjoint:
            return self._adjoint().A.adjoint()
        # `A.data = ...` and `A.eliminate_zeros()` replace A's arrays: that must be seen.
        arrays = _arrays_of(self._parts.A)
        if self._product is None or any(
            a is not b for a, b in zip(arrays, self._opened, strict=True)
        ):
            operand = reopen(self._parts.A, self.dtype, "A")
            self._product = MatrixProduct(
                operand, self._parts.limit, self._parts.is_hermitian
            )
            self._opened = arrays
        return self._product

    def solve(
        self,
        b: npt.ArrayLike,
        x0: npt.ArrayLike | None = None,
        *,
        rtol: float = 1e-5,
        atol: float = 0.0,
        maxiter: int | None = None,
        callback: Callable[[np.ndarray], object] | None = None,
    ) -> tuple[np.ndarray, int]:
        """Solve A x = b by conjugate gradients with M, in kernels of our own.

        Parameters
        ----------
        b : array_like, shape (n,) or (n, k)
            Right-hand side, or a block of them. Not changed.
        x0 : array_like, shape of `b`, optional
            Where to start; zero by default. Not changed.
        rtol, atol : float, optional
            Column by column, ``||b - A x|| <= max(rtol * ||b||, atol)`` is aimed at.
        maxiter : int, optional
            Iterations allowed, 10 n by default; each is ``degree + 1`` products with A.
        callback : callable, optional
            Called as ``callback(xk)`` after each iteration, with the solution so far,
            in the shape of `b`; it is overwritten by the next iteration.

        Returns
        -------
        x : ndarray, shape of `b`
            The solution, of type ``np.result_type(A.dtype, b.dtype)``. A column of b that
            is zero has the solution zero.
        info : int
            0: ``||b - A x|| <= max(rtol * ||b||, atol)`` holds for every column, and was
            computed from x at the end. Positive: it does not hold; the number of iterations
            made. Negative: breakdown, because -1: p* A p was not positive and finite, so A
            is not positive definite; -2: r* M r was not, so a base of your own is not. Of
            several columns the worst: a negative number before a positive one, and the
            most iterations.

        Raises
        ------
        TypeError, ValueError
            If an argument has no such value; before any work.

        See Also
        --------
        scipy.sparse.linalg.cg : Takes M, too, for one right-hand side.

        Notes
        -----
        The iterates are those of SciPy's `cg`, which stops on the residual of its
        recurrence. Here that residual only says when to look: ``b - A x`` is computed
        then, and if it is too large the iteration starts again from it, as long as it
        halves each time. Where rounding does not allow what was asked for, `info` is
        positive.

        Products with A are made in A's precision, applications of M in M's. The columns
        of a block run in step, one application of M for all, each with its own scalars;
        one that has ended leaves the block. Allocates x and three vectors of its shape,
        and nothing of the length of a vector per iteration; a single real vector in
        double precision lives in the scratch of M, and takes x and one more.

        Threads share the products with A and the passes over vectors where these are long
        enough, as many as M may use. The result does not depend on their number.

        M keeps a reference to the A that `make` was given, and solves with A as it is
        now; if you change its entries afterwards, M fits less well. Its pattern must stay.
        What is not CSR with sorted rows of floating-point numbers is converted at the first
        call and again when its arrays are replaced; what is written into them in between
        is not seen. A copy or pickle of M takes A along; `state` does not.

        References
        ----------
        .. [1] Y. Saad, "Iterative Methods for Sparse Linear Systems", 2nd ed., SIAM,
           2003, section 9.2.

        Examples
        --------
        >>> import numpy as np
        >>> import scipy.sparse as sp
        >>> import autospec_precond as ap
        >>> A = sp.diags_array([-1.0, 2.001, -1.0], offsets=[-1, 0, 1], shape=(400, 400))
        >>> b = np.ones(400)
        >>> x, info = ap.make(A).solve(b, rtol=1e-8)
        >>> info
        0
        >>> bool(np.linalg.norm(b - A @ x) <= 1e-8 * np.linalg.norm(b))
        True
        """
        if not self._parts.is_positive:
            raise ValueError(
                "solve: M must be made for a positive definite A; got one for solver "
                f"{self.solver!r}. Pass M to scipy.sparse.linalg.{self.solver}."
            )
        return solvers.solve(
            self.A,
            self.apply_into,
            self._lend,
            b,
            x0,
            rtol=rtol,
            atol=atol,
            maxiter=maxiter,
            callback=callback,
        )

    def apply_into(self, x: np.ndarray, out: np.ndarray) -> None:
        """Write M x into an array of the caller's.

        Parameters
        ----------
        x : ndarray, shape (n,) or (..., n, k)
            Vector, block in any memory order, or stack of blocks.
        out : ndarray, shape of `x`
            Where the result goes; may be `x` itself, or overlap it: then a block is copied.

        Raises
        ------
        ValueError
            If the shapes do not fit, or `out` cannot hold the result.

        Notes
        -----
        ``degree`` products, each one sweep over A for up to 16 columns; allocates nothing
        of the length of `x` from the second call with as many columns on.
        """
        x = np.asarray(x)
        n = self.shape[0]
        if x.shape != (n,) and (x.ndim < 2 or x.shape[-2] != n):
            raise ValueError(
                f"apply_into: x must have shape ({n},) or (..., {n}, k); got {x.shape}."
            )
        result = np.result_type(self.dtype, x.dtype)
        fits = isinstance(out, np.ndarray) and out.shape == x.shape and out.flags.writeable
        if not fits or not np.can_cast(result, out.dtype, "same_kind"):
            raise ValueError(
                f"apply_into: out must be a writeable array of shape {x.shape} that can "
                f"hold {result}; got {type(out).__name__} of shape {np.shape(out)} and "
                f"type {getattr(out, 'dtype', None)}."
            )
        if x.size:
            # Panels are written one by one: none may hold what another is yet to read.
            if x.ndim > 1 and self._has_panels and _overlap(x, out):
                x = x.copy()
            self._apply(x, out)

    def state(self) -> dict[str, Any]:
        """Return all that `make` needs to build the same M again without a probe.

        Returns
        -------
        dict
            JSON-able, some KB; pass it as ``make(A, polynomial=state)``.
        """
        return {
            "format": STATE_FORMAT,
            "solver": self.solver,
            "polynomial": self.polynomial.to_dict(),
            "base": self.report.base,
            "n_scalings": self.report.n_scalings,
            "precision": self.precision,
            "engine": self.report.engine,
        }

    def __repr__(self):
        n, m = self.shape
        return (
            f"<{n}x{m} PolynomialPreconditioner of degree {self.degree} "
            f"{self.polynomial.span}, dtype={self.dtype}>"
        )

    def _repr_html_(self):
        return self.report._repr_html_()

    def __reduce__(self):
        return type(self), (self._parts,)

    def matvec(self, x: np.ndarray) -> np.ndarray:
        """Return M x.

        Parameters
        ----------
        x : ndarray, shape (n,) or (n, 1)
            Vector.

        Returns
        -------
        ndarray, shape of `x`
            As ``M @ x``.
        """
        # What SciPy's solvers send to the base alone, without 3 microseconds of checks.
        inverse = self._inverse
        plain = inverse is not None and type(x) is np.ndarray and x.dtype == self.dtype
        if plain and x.shape == inverse.shape:
            sandwiched = self._sandwiched
            return inverse * x if sandwiched is None else sandwiched(x)
        return super().matvec(x)

    @functools.cached_property
    def _sandwiched(self):
        """The base alone between projectors, None where nothing is projected out."""
        inverse, null = self._inverse, self._parts.null
        if null is None:
            return None
        if null.shape[1] > _FEW:
            return lambda x: projected(inverse * projected(x, null), null)
        return Sandwiched(inverse, null, self.dtype)

    def _matvec(self, x):
        x = np.asarray(x)
        if x.ndim == 1 or x.shape == (self.shape[1], 1):
            return self._matmat(x)
        return self._matmat(x[..., None])[..., 0]  # rows are vectors, from SciPy 1.18 on

    def _matmat(self, X):
        X = np.asarray(X)
        out = np.empty(X.shape, np.result_type(self.dtype, X.dtype))
        if X.size:
            self._apply(X, out)
        return out

    def _rmatvec(self, x):
        return self._adjoint()._matvec(x)

    def _rmatmat(self, X):
        return self._adjoint()._matmat(X)

    def _adjoint(self):
        if self._parts.is_hermitian:
            return self
        if self._other is None:
            self._other = PolynomialPreconditioner(_adjoint_parts(self._parts))
            self._other._other = self
        return self._other

    def _transpose(self):
        return super()._transpose() if self.dtype.kind == "c" else self._adjoint()

    def _base_alone(self):
        """Return the diagonal of M where that is all there is, in double precision."""
        parts = self._parts
        plain = parts.inner is None and not parts.left is parts.right is None
        plain = plain and not np.iscomplexobj(parts.polynomial.constant)
        double = np.empty(0, parts.dtype).real.itemsize == 8 and parts.precision != "single"
        if parts.polynomial.degree or not double:
            return None
        if parts.inner is None and parts.left is parts.right is None:
            return np.full(parts.shape[0], parts.polynomial.constant)
        if not plain:
            return None
        given = [scale for scale in (parts.left, parts.right) if scale is not None]
        inverse = np.multiply(given[0], given[-1]) if len(given) == 2 else given[0].copy()
        inverse *= parts.polynomial.constant
        return inverse

    def _apply(self, x, out):
        """Scale into the scratch, run the kernel, scale out of it."""
        null = self._parts.null
        if null is not None:
            x = projected(x, null)
        # Where BLAS is left alone its workers would spin on the cores of our threads.
        n_threads = self.n_threads if self.n_threads == 1 or blas.hold() else 1
        split = x.dtype.kind == "c" and self.dtype.kind != "c"
        sources = (x.real, x.imag) if split else (x,)
        targets = (out.real, out.imag) if split else (out,)
        # Rows first: (n, ...) of a vector, a block or a stack, all one block here.
        sources = [np.moveaxis(part, -2, 0) if x.ndim > 1 else part for part in sources]
        targets = [np.moveaxis(part, -2, 0) if x.ndim > 1 else part for part in targets]
        factors = [self._range_factors(part) for part in sources]
        for parts in self._panels(sources, factors, targets):
            self._pass(*parts, n_threads)
        if null is not None:
            out[...] = projected(out, null)
        if n_threads > 1:  # again: it may have taken longer than BLAS is held
            blas.hold()

    def _panels(self, sources, factors, targets):
        """Yield what one run of the kernel takes: parts of x, their factors, parts of out.

        All at once, with a width of None, or a few columns, side by side in scratch.
        """
        if not self._has_panels or all(part.ndim == 1 for part in sources):
            yield sources, factors, targets, None
            return
        kind, dtype = self._parts.stored.kind, self._vector_dtype
        for source, factor, target in zip(sources, factors, targets, strict=True):
            for place in np.ndindex(source.shape[1:-1]):
                for first, last, width in kernels.panels(source.shape[-1], kind, dtype):
                    own = *place, first if last - first == 1 else slice(first, last)
                    scaled = factor if np.ndim(factor) == 0 else factor[own]
                    rows = slice(None), *own
                    yield [source[rows]], [scaled], [target[rows]], width

    def _pass(self, sources, factors, targets, width, n_threads):
        """Scale columns into the scratch, run the kernel, scale out of it."""
        n = self.shape[0]
        rest = sources[0].shape[1:]
        shape = (n, len(sources), *rest)
        places = self._parts.stored.places
        scales = [
            scale if scale is None else scale.reshape(n, *(1 for _ in rest))
            for scale in (self._parts.left, self._parts.right)
        ]
        n_columns = len(sources) * int(np.prod(rest, dtype=np.int64))
        padded = width is not None and width > n_columns
        with self._workspace(n_columns if width is None else width, width) as (
            start,
            *work,
        ):
            given = start[:, :n_columns] if padded else start
            if padded:
                start[:, n_columns:] = 0
            view = given.reshape(shape)
            for j, part in enumerate(sources):
                if places is None:
                    _scaled(part, scales[0], factors[j], view[:, j], n_threads)
                else:
                    weights = self._weights[0]
                    arrange.scatter(part, weights, factors[j], given, j, places, n_threads)
            if self._parts.inner is not None:
                image = self._parts.inner(start)
                largest = float(np.abs(image).max(initial=0.0))
                inside = power_of_two(largest) if np.isfinite(largest) else 1.0
                np.divide(image, inside, out=start, casting="same_kind")
            else:
                inside = 1.0
            result = self._run(start, work, n_threads)
            if padded:
                result = result[:, :n_columns]
            view = result.reshape(shape)
            for j, part in enumerate(targets):
                back = inside / self._parts.stored.unit / factors[j]
                if places is None:
                    _scaled(view[:, j], scales[1], back, part, n_threads)
                else:
                    weights = self._weights[1]
                    arrange.gather(result, j, weights, back, part, places, n_threads)

    @functools.cached_property
    def _weights(self):
        """What the loops of `arrange` take: shared memory may be read-only."""
        return tuple(
            None if scale is None else np.require(scale, np.float64, "CW")
            for scale in (self._parts.left, self._parts.right)
        )

    @functools.cached_property
    def _left_range(self):
        """The least and the largest modulus of the scaling."""
        left = self._parts.left
        if left is None:
            return 1.0, 1.0
        sizes = np.abs(left)  # of a general A they have signs
        return sizes.min(), sizes.max()

    def _range_factors(self, part):
        """Return powers of two, one per column, that bring it into float32's range."""
        if part.dtype.kind in "biu" or np.empty(0, self._vector_dtype).real.itemsize > 4:
            return 1.0
        planes = _planes(part)
        largest = np.max([_largest(plane) for plane in planes], axis=0)
        low, high = self._left_range
        inside = (largest * high < _SINGLE_RANGE) & (largest * low > 1 / _SINGLE_RANGE)
        if (inside | (largest == 0) | ~np.isfinite(largest)).all():
            return 1.0
        flat = [
            1.0 if fine or not np.isfinite(size) else 1.0 / power_of_two(float(size), high)
            for fine, size in zip(inside.ravel(), largest.ravel(), strict=True)
        ]
        return np.reshape(flat, largest.shape)

    @contextlib.contextmanager
    def _lend(self, b):
        """Lend the inside of M for residuals like b, or None where there is no such."""
        parts = self._parts
        scale = parts.left if parts.left is parts.right else None
        plain = scale is not None and scale.dtype == b.dtype == np.float64
        fused = parts.kernel == "fused" and parts.polynomial.degree > 0
        fused = fused and parts.null is None
        if not (plain and fused and b.ndim == 1 and self._vector_dtype == b.dtype):
            yield None
            return
        with self._workspace(1) as (start, *work):
            yield Inside(
                start,
                work[(self.degree - 1) % 2],  # where kernels leave their result
                lambda: self._run(start, work, self.n_threads),
                self._weights[0],
                parts.stored.places,
                1 / parts.stored.unit,
                self.n_threads,
            )

    @contextlib.contextmanager
    def _workspace(self, n_columns, width=None):
        """Lend three scratch arrays, (n,) or (n, k) in the order that the kernel takes."""
        n = self.shape[0]
        try:
            buffer = self._pool.pop()
        except IndexError:
            buffer = np.empty(0, self._vector_dtype)
        # Rows of a panel begin where lines of the cache do.
        line = _LINE // self._vector_dtype.itemsize
        size = n * n_columns
        stride = -(-(size + _PAD) // line) * line
        if buffer.size < 3 * stride + line:
            buffer = np.empty(3 * stride + line, self._vector_dtype)
        first = -buffer.ctypes.data % _LINE // self._vector_dtype.itemsize
        shape = (n,) if n_columns == 1 else (n, n_columns)
        order = self._order if width is None else "C"
        try:
            starts = (first + k * stride for k in range(3))
            yield [buffer[k : k + size].reshape(shape, order=order) for k in starts]
        finally:
            self._pool.append(buffer)


@dataclass(frozen=True)
class Inside:
    """M in its own scale and order, for a solver that keeps its residual there.

    Attributes
    ----------
    start : ndarray, shape (n,)
        The residual r times `scale`, in M's order.
    spare : ndarray, shape (n,)
        Memory that `apply` writes over.
    apply : callable
        ``apply()`` returns u, in M's order: M r is `factor` times `scale` times u.
    scale : ndarray, shape (n,)
        D^(-1/2).
    places : ndarray, shape (n,), or None
        Row i of a vector is row places[i] of `start`.
    factor : float
        A power of two.
    n_threads : int
        Threads of `enter`.
    """

    start: np.ndarray
    spare: np.ndarray
    apply: Callable[[], np.ndarray]
    scale: np.ndarray
    places: np.ndarray | None
    factor: float
    n_threads: int = 1

    def enter(self, residual: np.ndarray) -> None:
        """Write a residual into `start`.

        Parameters
        ----------
        residual : ndarray, shape (n,)
            In the order of A.
        """
        given = residual, self.scale, 1.0, self.start
        if self.places is None:
            _scaled(*given, self.n_threads)
        else:
            arrange.scatter(*given, 0, self.places, self.n_threads)


def core(stored, polynomial, kernel, n_threads=1):
    """Return p of the stored operator as a function of a vector and scratch.

    Parameters
    ----------
    stored : Stored
        The operator; S is ``stored.unit`` times it.
    polynomial : Polynomial
        The p to apply.
    kernel : str
        'reference' or 'fused'.
    n_threads : int, optional
        Threads that share the rows.

    Returns
    -------
    callable
        ``run(x, work)`` returns unit times p(S) x: numbers of the order of one, which
        float32 can hold whatever the scale of A.
    """
    if polynomial.degree == 0:
        return functools.partial(_times, polynomial.constant * stored.unit)
    _, apply = kernels.select(stored.kind, kernel)
    factors = polynomial.factors(stored.unit)
    return lambda x, work, threads=n_threads: apply(stored, factors, x, work, threads)


def _times(factor, x, work, n_threads=1):
    return np.multiply(x, x.dtype.type(factor), out=work[0])


def _adjoint_parts(parts):
    """Return what the adjoint of a preconditioner consists of: a second copy of S."""
    stored, inner = parts.stored, parts.inner
    if inner is not None:
        raise ValueError(
            "rmatvec: the adjoint of a base of your own is not known to M. Use a solver "
            "that needs no adjoint: gmres, bicgstab or tfqmr."
        )
    adjoint = stored.adjoint(parts.shape[0])
    return dataclasses.replace(
        parts,
        stored=adjoint,
        left=parts.right,
        right=parts.left,
        polynomial=parts.polynomial.conjugate(),
        kernel=parts.kernel
        if parts.kernel == "reference"
        else kernels.select(adjoint.kind)[0],
        is_adjoint=not parts.is_adjoint,
    )


def _arrays_of(A):
    """Return the arrays that a sparse matrix consists of, or nothing."""
    if not sp.issparse(A):
        return ()
    names = ("data", "indices", "indptr", "offsets", "coords", "rows")
    return tuple(getattr(A, name, None) for name in names if hasattr(A, name))


def _overlap(x, out):
    """Say whether two arrays may share memory, but not entry by entry."""
    if x is out or not np.may_share_memory(x, out):
        return False
    places = [(v.__array_interface__["data"][0], v.strides) for v in (x, out)]
    return places[0] != places[1]


def _planes(x):
    return (x.real, x.imag) if x.dtype.kind == "c" else (x,)


def _largest(x):
    """Return the largest size of a number in each column."""
    n_whole = 0
    if x.ndim == 2 and x.flags.c_contiguous:
        n_whole = x.shape[0] - x.shape[0] % _TOGETHER
    if n_whole < _MANY:
        return np.maximum(x.max(axis=0), -x.min(axis=0))
    # NumPy compares row by row, and these are short: many of them as one.
    rows = x[:n_whole].reshape(-1, _TOGETHER * x.shape[1])
    ends = np.concatenate([rows.max(axis=0), rows.min(axis=0)]).reshape(-1, x.shape[1])
    ends = np.concatenate([ends, x[n_whole:]])
    return np.maximum(ends.max(axis=0), -ends.min(axis=0))


def _scaled(x, scale, factor, out, n_threads):
    """Set out <- x scale factor, in double precision whatever the types are."""
    if n_threads > 1 and _is_plain(x, scale, factor, out):
        from .kernels import cpu_scale

        given = alias(x), alias(scale), float(factor), out
        _share(cpu_scale.scale, n_threads, scale.size, *given)
        return
    worth = n_threads > 1 or x.shape[0] >= _MANY
    if worth and _is_plain_block(x, scale, factor, out):
        from .kernels import cpu_scale

        (source, *source_steps), (target, *target_steps) = map(arrange.flat, (x, out))
        factors = np.full(x.shape[1], factor, np.float64)
        given = alias(scale.reshape(-1)), factors, alias(source), tuple(source_steps)
        rest = *given, target, tuple(target_steps)
        _share(cpu_scale.scale_block, n_threads, x.shape[0], *rest)
        return
    settings = {"dtype": np.result_type(x.dtype, np.float64), "casting": "same_kind"}
    # What is not finite comes out not finite; a warning would add nothing.
    with np.errstate(all="ignore"):
        if scale is None:
            np.multiply(x, factor, out=out, **settings)
        elif np.ndim(factor) == 0 and factor == 1.0:
            np.multiply(x, scale, out=out, **settings)
        else:
            for rows in _chunks(x.shape[0]):  # no temporary of length n
                np.multiply(x[rows], scale[rows] * factor, out=out[rows], **settings)


def _is_plain(x, scale, factor, out):
    """Say whether the kernels take these: real vectors without gaps."""
    return (
        scale is not None
        and scale.dtype == np.float64
        and np.ndim(factor) == 0
        and all(v.ndim == 1 and v.dtype in _PLAIN for v in (x, out))
        and all(v.flags.c_contiguous for v in (x, out, scale))
    )


def _is_plain_block(x, scale, factor, out):
    """Say the same of real blocks, which may be some columns of others."""
    return (
        scale is not None
        and scale.dtype == np.float64
        and np.ndim(factor) == 0
        and all(v.ndim == 2 and v.dtype in _PLAIN for v in (x, out))
        and scale.flags.c_contiguous
        and all(arrange.flat(v) is not None for v in (x, out))
    )


def _share(kernel, n_threads, n, *arguments):
    """Run ``kernel(first, last, ...)`` on ranges of rows at the same time."""
    edges = [n * k // n_threads for k in range(n_threads + 1)]
    tasks = (
        functools.partial(kernel, *rows, *arguments) for rows in itertools.pairwise(edges)
    )
    threads.run(tasks, n_threads)


def _chunks(n):
    return [slice(k, k + _CHUNK) for k in range(0, n, _CHUNK)]
