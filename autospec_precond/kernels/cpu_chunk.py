"""One step of the recurrence on a chunk of rows, in vector instructions.

No compiler makes vector instructions of a loop with gathered loads here. So they are
written down: entry j of all rows of a chunk at once, the numbers from b1 loaded one by one
into a vector. The gathers of AVX-512 (`llvm.masked.gather`) took 1.3 to 1.5 times as long
in the cache. LLVM splits vectors into what the processor has.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from . import slices

__all__ = ["OPTIONS", "chunk_step"]

_CHUNK = slices.CHUNK
_SHIFT = slices.SHIFT

# Not "reassoc": the order of a sum could then depend on the range that a row falls into.
OPTIONS = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}

_LANE, _INT = ir.IntType(32), ir.IntType(64)


def chunk_step(
    data, indices, entry, length, row, start, factors, b1, x, y
):  # pragma: no cover
    """Set y <- c x + a S b1 + b b1 - g y on a chunk of rows, the first of them `row`.

    Parameters
    ----------
    data, indices : ndarray
        As `slices.to_slices` returns them.
    entry, length, row : int
        First entry of the chunk, entries of each of its rows, first row.
    start : int
        Where the vectors begin in their arrays.
    factors : tuple of four float
        The factors c, a, b, g.
    b1, x, y : ndarray
        Columns of blocks, one after the other.
    """


@overload(chunk_step, jit_options=OPTIONS)
def _chunk_step_of(data, indices, entry, length, row, start, factors, b1, x, y):
    """Choose vectors for real numbers; complex ones go row by row."""
    if isinstance(b1.dtype, types.Float):

        def run(data, indices, entry, length, row, start, factors, b1, x, y):
            _vectors(data, indices, entry, length, row, start, factors, b1, x, y)

        return run
    near = indices.dtype.bitwidth == 16

    def rows(data, indices, entry, length, row, start, factors, b1, x, y):
        c, a, b, g = factors
        for lane in range(np.uint64(_CHUNK)):
            i = np.uint64(start + row) + lane
            base = i - np.uint64(_SHIFT) if near else np.uint64(start)
            e = np.uint64(entry) + lane
            acc = y.dtype.type(0)
            for _ in range(length):
                acc += data[e] * b1[base + indices[e]]
                e += np.uint64(_CHUNK)
            y[i] = (c * x[i] + b * b1[i] - g * y[i]) + a * acc

    return rows


@intrinsic
def _vectors(typing, data, indices, entry, length, row, start, factors, b1, x, y):
    signature = types.void(data, indices, entry, length, row, start, factors, b1, x, y)

    def generate(context, builder, signature, arguments):
        def pointer(k):
            proxy = cgutils.create_struct_proxy(signature.args[k])
            return proxy(context, builder, arguments[k]).data

        arrays = {"data": pointer(0), "indices": pointer(1)}
        for k, name in ((7, "b1"), (8, "x"), (9, "y")):
            arrays[name] = builder.gep(pointer(k), [arguments[5]])
        first, n_terms, rows = arguments[2:5]
        factors = cgutils.unpack_tuple(builder, arguments[6], 4)
        _Generator(builder, arrays, rows).step(first, n_terms, factors)
        return context.get_dummy_value()

    return signature, generate


class _Generator:
    """Writes the instructions for one combination of types."""

    def __init__(self, builder, arrays, row):
        self.builder, self.arrays, self.row = builder, arrays, row
        self.scalar = arrays["b1"].type.pointee
        self.vector = ir.VectorType(self.scalar, _CHUNK)
        bits = 32 if isinstance(self.scalar, ir.FloatType) else 64
        self.fused = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(self.vector, [self.vector] * 3),
            f"llvm.fmuladd.v{_CHUNK}f{bits}",
        )

    def step(self, entry, length, factors):
        """Sum the entries of each row in order, and write y."""
        builder = self.builder
        c, a, b, g = map(self.spread, factors)
        total = cgutils.alloca_once(builder, self.vector)
        builder.store(ir.Constant(self.vector, [0.0] * _CHUNK), total)
        with cgutils.for_range(builder, length, intp=_INT) as loop:
            place = builder.add(entry, builder.mul(loop.index, _integer(_CHUNK)))
            term = self.load("data", place), self.gather(place)
            builder.store(builder.call(self.fused, [*term, builder.load(total)]), total)
        result = builder.fmul(c, self.load("x", self.row))
        for factor, number in (
            (b, self.load("b1", self.row)),
            (builder.fneg(g), self.load("y", self.row)),
            (a, builder.load(total)),
        ):
            result = builder.call(self.fused, [factor, number, result])
        pointer = builder.gep(self.arrays["y"], [self.row])
        pointer = builder.bitcast(pointer, self.vector.as_pointer())
        builder.store(result, pointer, align=_alignment(self.scalar))

    def load(self, name, place):
        """Load the numbers of a chunk from an array, in the precision of the vectors."""
        builder, array = self.builder, self.arrays[name]
        kind = ir.VectorType(array.type.pointee, _CHUNK)
        pointer = builder.bitcast(builder.gep(array, [place]), kind.as_pointer())
        loaded = builder.load(pointer, align=_alignment(array.type.pointee))
        return loaded if kind == self.vector else builder.fpext(loaded, self.vector)

    def gather(self, place):
        """Load an entry of b1 for each row: the columns are those from `place` on."""
        builder, indices, b1 = self.builder, self.arrays["indices"], self.arrays["b1"]
        near = indices.type.pointee.width == 16
        if near:
            b1 = builder.gep(b1, [builder.sub(self.row, _integer(_SHIFT))])
        result = ir.Constant(self.vector, ir.Undefined)
        for lane in range(_CHUNK):
            number = _integer(lane)
            index = builder.load(builder.gep(indices, [builder.add(place, number)]))
            index = builder.zext(index, _INT)
            if near:
                index = builder.add(index, number)
            entry = builder.load(builder.gep(b1, [index]))
            result = builder.insert_element(result, entry, ir.Constant(_LANE, lane))
        return result

    def spread(self, factor):
        """Put a number into all places of a vector."""
        builder, empty = self.builder, ir.Constant(self.vector, ir.Undefined)
        one = builder.insert_element(empty, factor, ir.Constant(_LANE, 0))
        places = ir.Constant(ir.VectorType(_LANE, _CHUNK), [0] * _CHUNK)
        return builder.shuffle_vector(one, empty, places)


def _integer(value):
    return ir.Constant(_INT, value)


def _alignment(scalar):
    return 4 if isinstance(scalar, ir.FloatType) else 8
