"""The operator of a Hermitian eigenproblem A v = λ M v, as blocks are multiplied by it."""

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, splu

from . import bases, blas, kernels, tall
from .kernels import layout
from .operands import as_operand, check_hermitian

__all__ = ["Pencil", "as_mass"]


class Pencil:
    """M⁻¹ A in the inner product of M, or A where there is no M.

    Parameters
    ----------
    A : sparse array or matrix, ndarray, LinearOperator or object, shape (n, n)
        Hermitian.
    M : sparse array or matrix, ndarray, or None
        Hermitian positive definite.
    rng : numpy.random.Generator
        Source of the vectors for tests of symmetry.
    caller : str
        Name that messages start with.

    Attributes
    ----------
    based : Based
        The operator, for Lanczos steps.
    dtype, vector_dtype : dtype
        Of A, and of what is computed with: float64 or complex128.
    weigh : callable or None
        Multiplies a block by M, where the inner product is not the plain one.
    n_threads : int
        Threads that share the rows.

    Raises
    ------
    TypeError, ValueError
        If A is not Hermitian, or M not Hermitian and positive definite.

    Notes
    -----
    With a diagonal M the operator is M^(-1/2) A M^(-1/2). Blocks are in the order of
    rows that is stored, see `kernels.layout.Stored`; `start` and `finish` change it.
    """

    def __init__(self, A, M, rng, caller):
        operand = as_operand(A, caller)
        mass = None if M is None else _explicit_mass(M, operand, rng, caller)
        if mass is not None:
            common = np.result_type(mass.dtype, operand.dtype)
            mass = mass.astype(np.result_type(common, np.float64))
            if common.kind != operand.dtype.kind:
                if operand.matrix is None:
                    raise TypeError(
                        f"{caller}: A must be complex where M is; got an operator of type "
                        f"{operand.dtype}. Give it a complex dtype."
                    )
                wide = np.result_type(operand.dtype, np.complex64)
                operand = as_operand(operand.matrix.astype(wide), caller)
        self.operand = operand
        self.n, self.dtype = operand.n, operand.dtype
        self.real_dtype = operand.real_dtype
        self.is_explicit = operand.matrix is not None
        self.vector_dtype = np.dtype("c16" if self.dtype.kind == "c" else "f8")
        self.weigh, self.mass = None, mass
        plain = bases.build(operand, "none", None)
        check_hermitian(operand, plain, rng, caller)
        if mass is None:
            self.based = plain
        elif _is_diagonal(mass):
            self.based = bases.build(operand, "jacobi", mass.diagonal().real)
        else:
            solve = _factorise(mass, caller)
            inverse = LinearOperator(mass.shape, solve, matmat=solve, dtype=mass.dtype)
            self.weigh = mass.__matmul__
            self.based = bases.build(operand, inverse, None)
        # Of few columns slices take half of the time of rows, and the same of 20 or more;
        # twice to three times as much where a block is a panel (`cpu_panel`): 8 or 16.
        storage = None
        if sp.issparse(self.based.source):
            kind = layout.foresee(self.based.source, self.dtype, "double").kind
            storage = "sell" if kind == "csr" else None
        stored = layout.store(self.based, self.dtype, "double", storage).writeable()
        self.stored = stored
        self.kernel, self._run = kernels.select(stored.kind)
        self.order = kernels.block_order(stored.kind, self.kernel)
        size = self.vector_dtype.itemsize
        self.n_threads = kernels.choose_threads(stored, self.kernel, self.n, 16, size)
        nnz = operand.nnz if self.is_explicit else 10 * self.n
        self.product_work = 2.0 * nnz + 6.0 * self.n
        self._scratch = ()

    def apply(self, factors, sign, X):
        """Return a polynomial of the operator times a block.

        Parameters
        ----------
        factors : callable
            Returns the factors for a unit and a sign, see `subspace.Filter`.
        sign : float
            What the operator is multiplied by.
        X : ndarray, shape (n, k)
            Block, not changed.

        Returns
        -------
        ndarray, shape (n, k)
            Scratch that the next call overwrites.
        """
        x = np.asarray(X, dtype=self.vector_dtype, order=self.order)
        if not self._scratch or self._scratch[0].shape[1] < x.shape[1]:
            shape = x.shape
            self._scratch = tuple(np.empty(shape, x.dtype, self.order) for _ in range(2))
        if self._scratch[0].shape == x.shape:
            work = self._scratch
        else:
            work = tuple(np.empty(x.shape, x.dtype, self.order) for _ in range(2))
        n_threads = self.n_threads if self.n_threads == 1 or blas.hold() else 1
        table = factors(self.stored.unit, sign)
        return self._run(self.stored, table, x, work, n_threads)

    def product(self, X):
        """Return the operator times a block, which the next call overwrites.

        Parameters
        ----------
        X : ndarray, shape (n, k)
            Block.

        Returns
        -------
        ndarray, shape (n, k)
            In double precision.
        """
        return self.apply(lambda unit, _: np.array([(0.0, unit, 0.0, 0.0)]), 1.0, X)

    def inner(self, V, W):
        """Return the inner products of columns.

        Parameters
        ----------
        V, W : ndarray, shape (n, m), (n, k)
            Blocks.

        Returns
        -------
        ndarray, shape (m, k)
            V* M W.
        """
        return tall.gram(V, W if self.weigh is None else self.weigh(W), self.n_threads)

    def rotate(self, V, Y, out):
        """Set out <- V Y; `out` may be the first columns of V.

        Parameters
        ----------
        V, Y, out : ndarray
            See `tall.rotate`.
        """
        tall.rotate(V, Y, out, self.n_threads)

    def lengths(self, R):
        """Return the lengths of columns in the inner product.

        Parameters
        ----------
        R : ndarray, shape (n, k)
            Block.

        Returns
        -------
        ndarray, shape (k,)
            Real.
        """
        weighed = R if self.weigh is None else self.weigh(R)
        return np.sqrt(np.abs(np.sum(R.conj() * weighed, axis=0)))

    def start(self, v, caller):
        """Return a vector of the caller's as a column of a block.

        Parameters
        ----------
        v : ndarray, shape (n,)
            Approximate eigenvector.
        caller : str
            Name that messages start with.

        Returns
        -------
        ndarray, shape (n,)
            In the order and scaling of blocks.
        """
        if v.shape != (self.n,):
            raise ValueError(f"{caller}: v0 must have shape ({self.n},); got {v.shape}.")
        v = v.astype(self.vector_dtype)
        return self.stored.arranged(v if self.based.left is None else v / self.based.left)

    def finish(self, V):
        """Return eigenvectors as the caller gets them.

        Parameters
        ----------
        V : ndarray, shape (n, k)
            Block.

        Returns
        -------
        ndarray, shape (n, k)
            A copy, in the precision of A.
        """
        V = self.stored.restored(V)
        if self.based.left is not None:
            V = self.based.left[:, None] * V
        return np.array(V, dtype=self.dtype, order="F")

    def dense(self):
        """Return the arguments of `scipy.linalg.eigh` for the same problem.

        Returns
        -------
        tuple of ndarray, shape (n, n)
            The operator, or A and M where M was factorised.
        """
        if self.weigh is None:
            return (_full(self.based.matrix),)
        return _full(self.operand.matrix), _full(self.mass)


def _full(matrix):
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)


def as_mass(M, operand, rng, caller, name):
    """Return a mass matrix, ready to compute with.

    Parameters
    ----------
    M : sparse array or matrix, ndarray, or operator
        What the caller passed.
    operand : Operand
        A.
    rng : numpy.random.Generator
        Source of the vectors for a test of symmetry.
    caller, name : str
        Names for messages.

    Returns
    -------
    Operand
        Of the shape of A, Hermitian.

    Raises
    ------
    TypeError, ValueError
        If it is not.
    """
    try:
        mass = as_operand(M, caller)
        check_hermitian(mass, bases.build(mass, "none", None), rng, caller)
    except (TypeError, ValueError) as error:
        text = str(error).replace(": A must", f": {name} must", 1)
        raise type(error)(text.replace(" A ", f" {name} ")) from None
    if mass.n != operand.n:
        raise ValueError(
            f"{caller}: {name} must have the shape of A, {(operand.n, operand.n)}; got "
            f"{(mass.n, mass.n)}."
        )
    return mass


def _explicit_mass(M, operand, rng, caller):
    if not (sp.issparse(M) or isinstance(M, np.ndarray)):
        raise TypeError(
            f"{caller}: M must be a sparse array or an ndarray, since it is factorised; "
            f"got {type(M).__name__}. Form it, or use scipy.sparse.linalg.eigsh with Minv."
        )
    return as_mass(M, operand, rng, caller, "M").matrix


def _is_diagonal(mass):
    diagonal = mass.diagonal()
    whole = sp.diags_array(diagonal) if sp.issparse(mass) else np.diag(diagonal)
    return (diagonal.real > 0).all() and not abs(mass - whole).max() > 0


def _factorise(mass, caller):
    """Return the solution of M x = b as a function; refuse an M that is not definite."""
    message = (
        f"{caller}: M must be positive definite; got a matrix whose factorisation has a "
        "pivot that is not positive. Exchange A and M, or use scipy.linalg.eig."
    )
    if not sp.issparse(mass):
        try:
            factors = scipy.linalg.cho_factor(mass)
        except np.linalg.LinAlgError:
            raise ValueError(message) from None
        return lambda b: scipy.linalg.cho_solve(factors, b)
    options = {"SymmetricMode": True}
    try:
        lu = splu(
            sp.csc_array(mass),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options=options,
        )
    except RuntimeError:
        raise ValueError(message) from None
    # No pivoting in symmetric mode: the pivots are those of an LDL* factorisation.
    if not (lu.U.diagonal().real > 0).all() or (lu.perm_r != lu.perm_c).any():
        raise ValueError(message)
    return lu.solve
