"""Kernels started one by one: what `reference.apply` does, on arrays of the device.

All start on the current stream, and nothing waits for them. Nothing is allocated here.
"""

import numpy as np

from autospec_precond.kernels.reference import typed

from . import device, source

__all__ = [
    "Plan",
    "apply",
    "direction",
    "dot",
    "partials",
    "record",
    "scale",
    "subtract",
    "update",
]

# Beyond both a thread takes two rows. Fewer rows leave multiprocessors of an H200 idle:
# with 50 diagonals of 2e5 rows one row for each thread was 1.4 times as fast.
_MANY_DIAGONALS, _MANY_ROWS = 32, 1_000_000
_MOST_PARTIALS = 1024  # blocks that a vector is shared by: one block adds up their sums


class Plan:
    """The steps of a polynomial of one operator, for vectors of one type and shape.

    Parameters
    ----------
    stored : Stored
        'csr', 'dia' or 'bsr', with arrays on the device but for `offsets`.
    factors : ndarray, shape (degree, 4)
        On the host, as for `reference.apply`.
    dtype : dtype
        Of the vectors.
    shape : tuple of int
        (n,) or (n, k).
    """

    def __init__(self, stored, factors, dtype, shape):
        self.stored, self.dtype, self.shape = stored, np.dtype(dtype), shape
        self.factors = typed(factors, self.dtype)
        self.columns = 1 if len(shape) == 1 else shape[1]
        make = {"csr": self._csr, "dia": self._dia, "bsr": self._bsr}[stored.kind]
        indices, form, self.grid, self.block, self.arguments = make(shape[0])
        names = tuple(
            source.step(
                stored.kind,
                stored.data.dtype,
                indices,
                self.dtype,
                self.factors.dtype,
                self.columns > 1,
                form=form,
                second=second,
            )
            for second in (False, True)
        )
        self.first, self.second = device.functions(names)

    def run(self, x, work):
        """Compute p(S) x.

        Parameters
        ----------
        x : cupy.ndarray
            Not changed.
        work : tuple of two cupy.ndarray
            Scratch.

        Returns
        -------
        cupy.ndarray
            One of `work`.
        """
        y, spare = work
        if x.size == 0:
            return work[(len(self.factors) - 1) % 2]
        b1 = b2 = x
        for factors in self.factors:
            self.step(factors, x, b1, b2, y)
            b2, b1 = b1, y
            y, spare = spare, y
        return b1

    def step(self, factors, x, b1, b2, y):
        """Set y <- c x + a S b1 + b b1 - g b2.

        Parameters
        ----------
        factors : ndarray, shape (4,)
            These are c, a, b and g, in the type of `Plan.factors`.
        x, b1, b2, y : cupy.ndarray
            The last two may be one; b2 is read where g is not 0.
        """
        c, a, b, g = factors
        kernel = self.second if g else self.first
        kernel(self.grid, self.block, (*self.arguments, c, a, b, g, x, b1, b2, y))

    def _csr(self, n):
        stored = self.stored
        indices = stored.indices.dtype.type
        arrays = stored.indptr, stored.indices, stored.data
        if self.columns > 1:
            grid, block = _tiles(n, self.columns)
            return indices, (), grid, block, (indices(n), np.int32(self.columns), *arrays)
        lanes = source.lanes(stored.data.size / max(n, 1))
        grid = (_quotient(n, source.BLOCK // lanes),)
        return indices, (lanes,), grid, (source.BLOCK,), (indices(n), *arrays)

    def _dia(self, n):
        stored = self.stored
        offsets = stored.offsets
        if device.is_device_array(offsets):
            offsets = offsets.get()
        pitch = stored.data.shape[1]
        far = int(np.abs(offsets).max(initial=0))
        # Rows plus offsets, and rows of threads behind the last, stay within the type.
        small = max(n, pitch) + far + 4 * source.BLOCK < 2**31
        indices = np.int32 if small else np.int64
        # An array of one entry is passed by value.
        by_value = np.zeros((), [("at", indices, (offsets.size,))])
        by_value["at"] = offsets
        half = bool(stored.half)
        given = indices(pitch), by_value, stored.data
        if self.columns > 1:
            grid, block = _tiles(n, self.columns)
            form, sizes = (offsets.size, half), (indices(n), np.int32(self.columns))
            return indices, form, grid, block, (*sizes, *given)
        each = 2 if offsets.size > _MANY_DIAGONALS and n >= _MANY_ROWS else 1
        block = each * source.BLOCK
        tiles = _quotient(n, each * block)
        turn = min(tiles, _quotient(far, each * block) + 1)
        sizes = indices(n), indices(far), indices(turn)
        form = (offsets.size, half, each)
        return indices, form, (tiles,), (block,), (*sizes, *given)

    def _bsr(self, n):
        stored = self.stored
        size = stored.data.shape[1]
        indices = stored.indices.dtype.type
        rows = indices(n // size)
        arrays = stored.indptr, stored.indices, stored.data
        if self.columns > 1:
            grid, block = _tiles(n, self.columns)
            given = rows, np.int32(self.columns), *arrays
            return indices, (size,), grid, block, given
        grid = (_quotient(n // size, source.BLOCK // 32),)
        return indices, (size,), grid, (source.BLOCK,), (rows, *arrays)


def apply(stored, factors, x, work, n_threads=1):
    """See `kernels.reference.apply`; x and work are arrays of the device in C order."""
    return Plan(stored, factors, x.dtype, x.shape).run(x, work)


def scale(x, weights, factor, out):
    """Set out <- x weights factor, in double precision whatever the types are.

    Parameters
    ----------
    x : cupy.ndarray, shape (n,) or (n, k)
        In any order.
    weights : cupy.ndarray of float64, shape (n,), or None
        Ones where None.
    factor : float
        One for all.
    out : cupy.ndarray, shape of `x`
        In any order; complex where `x` is. The two may be one.
    """
    if x.size == 0:
        return
    n, columns = x.shape[0], 1 if x.ndim == 1 else x.shape[1]
    (kernel,) = device.functions((source.scale(x.dtype, out.dtype),))
    grid, block = _tiles(n, columns)
    sizes = np.int64(n), np.int32(columns)
    kernel(
        grid, block, (*sizes, x, *_steps(x), weights, np.float64(factor), out, *_steps(out))
    )


def partials(like):
    """Return scratch for `dot` and `update`.

    Parameters
    ----------
    like : cupy.ndarray, shape (n,)
        A vector.

    Returns
    -------
    cupy.ndarray
        In double precision, complex where the vector is.
    """
    sums = np.result_type(like.dtype, np.float64)
    return device.cupy().empty(_n_partials(like.size), sums)


def dot(x, y, out, partial):
    """Set out[0] <- conj(x) y.

    Parameters
    ----------
    x, y : cupy.ndarray, shape (n,)
        Vectors of one type.
    out : cupy.ndarray, shape (1,)
        In double precision, complex where the vectors are.
    partial : cupy.ndarray
        As `partials` returns it.

    Notes
    -----
    The order of the sum depends on n alone, so that two calls agree bit by bit.
    """
    kernel, total = _vectors(x.dtype, "dot", "total")
    kernel(*_spread(x.size), (np.int64(x.size), x, y, partial))
    _add(total, x.size, partial, out)


def update(rho, pq, p, q, x, r, rr, partial):
    """Set x <- x + alpha p, r <- r - alpha q and rr[0] <- r* r, with alpha = rho / pq.

    Parameters
    ----------
    rho, pq : cupy.ndarray, shape (1,)
        As `dot` writes them; their quotient does not leave the device.
    p, q, x, r : cupy.ndarray, shape (n,)
        Four vectors of one type.
    rr : cupy.ndarray, shape (1,)
        As `rho`.
    partial : cupy.ndarray
        As `partials` returns it.
    """
    kernel, total = _vectors(x.dtype, "update", "total")
    kernel(*_spread(x.size), (np.int64(x.size), rho, pq, p, q, x, r, partial))
    _add(total, x.size, partial, rr)


def direction(rho, before, z, p):
    """Set p <- z + beta p with beta = rho / before.

    Parameters
    ----------
    rho, before : cupy.ndarray, shape (1,)
        As `dot` writes them.
    z, p : cupy.ndarray, shape (n,)
        Two vectors of one type.
    """
    (kernel,) = _vectors(z.dtype, "direction")
    kernel(*_spread(z.size), (np.int64(z.size), rho, before, z, p))


def record(log):
    """Move the rows of a log down by one, so that the first is free.

    Parameters
    ----------
    log : cupy.ndarray, shape (k, 3)
        In double precision, in C order; k is 85 at most. The last row is lost.
    """
    (kernel,) = _vectors(log.dtype, "record")
    kernel((1,), (source.BLOCK,), (np.int32(log.shape[0]), log))


def subtract(a, v, w, rr, partial):
    """Set w <- w - a v and rr[0] <- w* w.

    Parameters
    ----------
    a : float
        Of the host's.
    v, w : cupy.ndarray, shape (n,)
        Two vectors of one type.
    rr : cupy.ndarray, shape (1,)
        As `dot` writes it.
    partial : cupy.ndarray
        As `partials` returns it.
    """
    kernel, total = _vectors(v.dtype, "subtract", "total")
    kernel(*_spread(v.size), (np.int64(v.size), np.float64(a), v, w, partial))
    _add(total, v.size, partial, rr)


def _vectors(dtype, *keys):
    names = source.vectors(dtype)
    kernels = dict(zip(names, device.functions(tuple(names.values())), strict=True))
    return [kernels[key] for key in keys]


def _add(kernel, n, partial, out):
    kernel((1,), (source.BLOCK,), (np.int32(_n_partials(n)), partial, out))


def _spread(n):
    return (_n_partials(n),), (source.BLOCK,)


def _n_partials(n):
    return min(_quotient(max(n, 1), source.BLOCK), _MOST_PARTIALS)


def _tiles(n, columns):
    """Return grid and block that share out a block of vectors, rows side by side."""
    across = min(columns, 32)
    down = source.BLOCK // across
    return (_quotient(n, down), _quotient(columns, across)), (across, down)


def _steps(x):
    steps = [np.int64(s // x.itemsize) for s in x.strides]
    return steps if x.ndim == 2 else [*steps, np.int64(0)]


def _quotient(a, b):
    return -(-a // b)
