"""Rows of a panel, a few columns of a block side by side, in vector instructions.

Where a row of the matrix is multiplied by one vector, each of its entries asks for one
number somewhere. By a panel, in C order, it asks for a line of the cache: an index and a
value are read once for all columns, and nothing is gathered. So panels have as many columns
as fill one or two registers (`WIDTHS`); what is short of them is filled up with zeros.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import slices

__all__ = ["OPTIONS", "WIDEST", "WIDTHS", "cut", "is_panel", "rows_add", "rows_set"]

# Columns that a kernel is compiled for.
WIDTHS = (4, 8, 16)

# The widest by bytes of a number: wider ones fill the cache with fewer rows.
WIDEST = {4: 16, 8: 8}

# Not "reassoc": the order of a sum could then depend on the range that a row falls into.
OPTIONS = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}

_LANE, _INT = ir.IntType(32), ir.IntType(64)


def cut(n_columns, most=WIDTHS[-1]):
    """Cut a block into panels.

    Parameters
    ----------
    n_columns : int
        Of the block.
    most : int, optional
        The widest panel, one of `WIDTHS`.

    Returns
    -------
    list of (int, int, int or None)
        First column, last column and width of each panel; no width for columns that are
        better taken as vectors. No panel is more than a third padding.
    """
    panels, first = [], 0
    while first < n_columns:
        left = n_columns - first
        fits = [w for w in WIDTHS if w <= most and 3 * left >= 2 * w]
        width = fits[-1] if fits else None
        panels.append((first, min(first + (width or 1), n_columns), width))
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
    typing, columns, rows, data, indices, entry, stride, length, row, factors, b1, x, y
):  # fmt: skip  # numpydoc ignore=PR01
    """Set y <- c x + a S b1 + b b1 - g y on some rows that have as many entries each.

    The first two are tuples with one item per column and per row. Entry j of row
    `row` + r stands at `entry` + j `stride` + r of `data` and `indices`, whose columns are
    relative to the row where they have 16 bits. Panels are given as memory in one piece.
    """
    args = columns, rows, data, indices, entry, stride, length, row, factors, b1, x, y
    return types.void(*args), _generate(False)


@intrinsic
def rows_add(
    typing, columns, rows, data, indices, entry, stride, length, row, factors, b1, x, y
):  # fmt: skip  # numpydoc ignore=PR01
    """Set y <- y + a S b1 instead."""
    args = columns, rows, data, indices, entry, stride, length, row, factors, b1, x, y
    return types.void(*args), _generate(True)


def _generate(adds):
    def generate(context, builder, signature, arguments):
        def pointer(k):
            proxy = cgutils.create_struct_proxy(signature.args[k])
            return proxy(context, builder, arguments[k]).data

        width, n_rows = len(signature.args[0]), len(signature.args[1])
        names = ((2, "data"), (3, "indices"), (9, "b1"), (10, "x"), (11, "y"))
        arrays = {name: pointer(k) for k, name in names}
        entry, stride, length, row = arguments[4:8]
        factors = cgutils.unpack_tuple(builder, arguments[8], 4)
        writer = _Writer(builder, arrays, row, width, n_rows)
        totals = writer.sums(entry, stride, length)
        writer.finish(totals, factors, adds)
        return context.get_dummy_value()

    return generate


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

    def sums(self, entry, stride, length):
        """Sum the entries of each row in order."""
        builder = self.builder
        zero = ir.Constant(self.vector, [0.0] * self.width)
        totals = [cgutils.alloca_once(builder, self.vector) for _ in range(self.n_rows)]
        for total in totals:
            builder.store(zero, total)
        near = self.arrays["indices"].type.pointee.width == 16
        with cgutils.for_range(builder, length, intp=_INT) as loop:
            place = builder.add(entry, builder.mul(loop.index, stride))
            for r, total in enumerate(totals):
                own = builder.add(place, _integer(r))
                column = builder.load(builder.gep(self.arrays["indices"], [own]))
                if column.type != _INT:
                    column = builder.zext(column, _INT)
                if near:
                    shift = builder.add(self.row, _integer(r - slices.SHIFT))
                    column = builder.add(column, shift)
                value = builder.load(builder.gep(self.arrays["data"], [own]))
                if value.type != self.scalar:
                    value = builder.fpext(value, self.scalar)
                term = self.spread(value), self.load("b1", column), builder.load(total)
                builder.store(builder.call(self.fused, term), total)
        return [builder.load(total) for total in totals]

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
