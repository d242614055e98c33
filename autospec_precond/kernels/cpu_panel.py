"""Rows of a panel, a few columns of a block side by side, in vector instructions.

Where a row of the matrix is multiplied by one vector, each of its entries asks for one
number somewhere. By a panel, in C order, it asks for a line of the cache: an index and a
value are read once for all columns, and nothing is gathered. So panels have as many columns
as fill one or two registers (`WIDTHS`); what is short of them is filled up with zeros.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = [
    "OPTIONS",
    "WIDTHS",
    "cut",
    "is_panel",
    "rows_add",
    "rows_set",
    "streams_set",
    "widths",
]

# Columns that a kernel is compiled for.
WIDTHS = (4, 8, 16)

# Columns of the narrowest, and bytes of a row of the widest. By diagonals vectors need no
# gathers, and half a register is lost on 4 columns; wider panels than one register leave
# fewer rows in the cache, which pays where a row has many entries.
_LIMITS = {"csr": (4, 128), "dia": (8, 64), "fields": (8, 128), "sell": (4, 64)}

# Not "reassoc": the order of a sum could then depend on the range that a row falls into.
OPTIONS = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}

_LANE, _INT = ir.IntType(32), ir.IntType(64)


def widths(kind, dtype):
    """Return the widths of panels that pay.

    Parameters
    ----------
    kind : str
        As `Stored.kind`.
    dtype : dtype
        Of the vectors; real.

    Returns
    -------
    list of int
        Of `WIDTHS`.
    """
    least, n_bytes = _LIMITS[kind]
    return [w for w in WIDTHS if least <= w <= n_bytes // np.dtype(dtype).itemsize]


def cut(n_columns, kind, dtype):
    """Cut a block into panels.

    Parameters
    ----------
    n_columns : int
        Of the block.
    kind : str
        As `Stored.kind`.
    dtype : dtype
        Of the vectors; real.

    Returns
    -------
    list of (int, int, int or None)
        First column, last column and width of each panel; no width for the last columns
        where these are better taken as vectors. No panel is more than a third padding.
    """
    panels, first = [], 0
    while first < n_columns:
        left = n_columns - first
        fits = [w for w in widths(kind, dtype) if 3 * left >= 2 * w]
        width = fits[-1] if fits else None
        panels.append((first, first + min(left, width or left), width))
        first = panels[-1][1]
    return panels


def is_panel(x):
    """Say whether an array is one that kernels for panels take.

    Parameters
    ----------
    x : ndarray
        A vector or block.

    Returns
    -------
    bool
        True for a real block in C order of one of `WIDTHS`.
    """
    real = x.dtype.kind == "f"
    return real and x.ndim == 2 and x.shape[1] in WIDTHS and x.flags.c_contiguous


@intrinsic
def rows_set(
    typing, columns, rows, data, indices, entry, stride, length, row, shift, factors,
    b1, x, y,
):  # fmt: skip  # numpydoc ignore=PR01
    """Set y <- c x + a S b1 + b b1 - g y on some rows that have as many entries each.

    The first two are tuples with one item per column and per row. Entry j of row
    `row` + r stands at `entry` + j `stride` + r of `data` and `indices`, whose columns are
    relative to the row less `shift` where they have 16 bits. Panels are given as memory in
    one piece.
    """
    args = (
        columns,
        rows,
        data,
        indices,
        entry,
        stride,
        length,
        row,
        shift,
        factors,
        b1,
        x,
        y,
    )
    return types.void(*args), _generate(False)


@intrinsic
def streams_set(
    typing, columns, rows, data, p, q, n_streams, at, row, factors, b1, x, y
):  # fmt: skip  # numpydoc ignore=PR01
    """Set y as `rows_set` on rows from `row` on whose entries stand in streams.

    Entry j of row `row` + r stands at p[j] + `at` + r of `data`, in column
    q[j] + `at` + r.
    """
    args = columns, rows, data, p, q, n_streams, at, row, factors, b1, x, y

    def generate(context, builder, signature, arguments):  # numpydoc ignore=GL08
        width, n_rows = len(signature.args[0]), len(signature.args[1])
        names = {2: "data", 3: "p", 4: "q", 9: "b1", 10: "x", 11: "y"}
        arrays = _pointers(context, builder, signature, arguments, names)
        n_streams, at, row = arguments[5:8]
        factors = cgutils.unpack_tuple(builder, arguments[8], 4)
        writer = _Writer(builder, arrays, row, width, n_rows)
        writer.finish(writer.stream_sums(n_streams, at), factors, False)
        return context.get_dummy_value()

    return types.void(*args), generate


@intrinsic
def rows_add(
    typing, columns, rows, data, indices, entry, stride, length, row, shift, factors,
    b1, x, y,
):  # fmt: skip  # numpydoc ignore=PR01
    """Set y <- y + a S b1 instead."""
    args = (
        columns,
        rows,
        data,
        indices,
        entry,
        stride,
        length,
        row,
        shift,
        factors,
        b1,
        x,
        y,
    )
    return types.void(*args), _generate(True)


def _generate(adds):
    def generate(context, builder, signature, arguments):
        width, n_rows = len(signature.args[0]), len(signature.args[1])
        names = {2: "data", 3: "indices", 10: "b1", 11: "x", 12: "y"}
        arrays = _pointers(context, builder, signature, arguments, names)
        entry, stride, length, row, shift = arguments[4:9]
        factors = cgutils.unpack_tuple(builder, arguments[9], 4)
        writer = _Writer(builder, arrays, row, width, n_rows)
        totals = writer.row_sums(entry, stride, length, shift)
        writer.finish(totals, factors, adds)
        return context.get_dummy_value()

    return generate


def _pointers(context, builder, signature, arguments, names):
    """Return where arrays begin, by name."""
    pointers = {}
    for k, name in names.items():
        proxy = cgutils.create_struct_proxy(signature.args[k])
        pointers[name] = proxy(context, builder, arguments[k]).data
    return pointers


class _Writer:
    """Writes the instructions for one combination of types, columns and rows."""

    def __init__(self, builder, arrays, row, width, n_rows):
        self.builder, self.arrays, self.row = builder, arrays, row
        self.width, self.n_rows = width, n_rows
        self.scalar = arrays["b1"].type.pointee
        self.vector = ir.VectorType(self.scalar, width)
        bits = 32 if isinstance(self.scalar, ir.FloatType) else 64
        self.fused = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(self.vector, [self.vector] * 3),
            f"llvm.fmuladd.v{width}f{bits}",
        )

    def row_sums(self, entry, stride, length, shift):
        """Sum the entries of each row in order."""
        builder, totals = self.builder, self.zeros()
        near = self.arrays["indices"].type.pointee.width == 16
        base = builder.sub(self.row, shift)
        with cgutils.for_range(builder, length, intp=_INT) as loop:
            place = builder.add(entry, builder.mul(loop.index, stride))
            for r, total in enumerate(totals):
                own = builder.add(place, _integer(r))
                column = builder.load(builder.gep(self.arrays["indices"], [own]))
                if column.type != _INT:
                    column = builder.zext(column, _INT)
                if near:
                    column = builder.add(column, builder.add(base, _integer(r)))
                self.add(total, own, column)
        return [builder.load(total) for total in totals]

    def stream_sums(self, n_streams, at):
        """Sum the entries of each row, stream by stream."""
        builder, totals = self.builder, self.zeros()
        with cgutils.for_range(builder, n_streams, intp=_INT) as loop:
            place, column = (
                builder.add(builder.load(builder.gep(self.arrays[name], [loop.index])), at)
                for name in "pq"
            )
            for r, total in enumerate(totals):
                own = (builder.add(start, _integer(r)) for start in (place, column))
                self.add(total, *own)
        return [builder.load(total) for total in totals]

    def zeros(self):
        """Return a sum for each row."""
        zero = ir.Constant(self.vector, [0.0] * self.width)
        totals = [
            cgutils.alloca_once(self.builder, self.vector) for _ in range(self.n_rows)
        ]
        for total in totals:
            self.builder.store(zero, total)
        return totals

    def add(self, total, place, column):
        """Add an entry times a row of b1 to a sum."""
        builder = self.builder
        value = builder.load(builder.gep(self.arrays["data"], [place]))
        if value.type != self.scalar:
            value = builder.fpext(value, self.scalar)
        term = self.spread(value), self.load("b1", column), builder.load(total)
        builder.store(builder.call(self.fused, term), total)

    def finish(self, totals, factors, adds):
        """Write y."""
        builder = self.builder
        c, a, b, g = map(self.spread, factors)
        for r, total in enumerate(totals):
            row = builder.add(self.row, _integer(r))
            if adds:
                result = self.load("y", row)
            else:
                result = builder.fmul(c, self.load("x", row))
                for factor, name in ((b, "b1"), (builder.fneg(g), "y")):
                    term = factor, self.load(name, row), result
                    result = builder.call(self.fused, term)
            result = builder.call(self.fused, [a, total, result])
            builder.store(result, self.pointer("y", row), align=self.alignment)

    def load(self, name, row):
        """Load a row of a panel."""
        return self.builder.load(self.pointer(name, row), align=self.alignment)

    def pointer(self, name, row):
        """Return where a row of a panel begins."""
        place = self.builder.mul(row, _integer(self.width))
        place = self.builder.gep(self.arrays[name], [place])
        return self.builder.bitcast(place, self.vector.as_pointer())

    @property
    def alignment(self):
        return 4 if isinstance(self.scalar, ir.FloatType) else 8

    def spread(self, number):
        """Put a number into all places of a vector."""
        builder, empty = self.builder, ir.Constant(self.vector, ir.Undefined)
        one = builder.insert_element(empty, number, ir.Constant(_LANE, 0))
        places = ir.Constant(ir.VectorType(_LANE, self.width), [0] * self.width)
        return builder.shuffle_vector(one, empty, places)


def _integer(value):
    return ir.Constant(_INT, value)
