"""Storage of systems of equations: diagonals of each unknown of a node, no zeros between.

Where a node has b unknowns, one after the other, row i belongs to unknown i mod b of node
i // b, and a diagonal of the matrix holds entries in rows of some unknowns only. Here those
of each unknown are diagonals of their own, *streams* over the nodes. Vectors are kept
unknown by unknown, so that a stream reads neighbours in memory. Diagonals with few entries,
as boundaries have them, are left to *rests*: entries with indices, row by row.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

__all__ = ["GRAIN", "Streams", "find", "from_scaled", "n_bytes", "to_csr"]

# Nodes that blocks and tiles begin at multiples of: loops of vector instructions have no
# remainder then.
GRAIN = 64

_MOST_FIELDS = 6  # unknowns per node that are looked for
_SAMPLE = 512  # rows in the middle that they are looked for in

# A diagonal of an unknown is one where it holds more than this share of its entries: a
# stream costs 0.1 ns per entry that it might hold, a rest 1.2 per entry that it has.
_DENSE = 0.1

# Of plain diagonals so many may be left as streams for the order to be worth it; and
# of all entries so many may be rests.
_FEWER, _RESTS = 0.85, 0.1

# Entries (i, j) and (j, i) that differ by no more are stored once.
_ROUNDING = 4

# See `diagonals`: streams do not all start at one offset of a page.
_PAGE, _PAD = 4096, 272

_REST = -1


@dataclass(frozen=True)
class Streams:
    """Which diagonals of which unknowns hold entries.

    Attributes
    ----------
    n_fields : int
        Unknowns of a node.
    offsets : ndarray of int64, shape (n_streams, 2)
        Unknown of the rows, and column less row; sorted.
    known : ndarray of int64
        Column less row of all entries there are, in rising order.
    n_rests : int
        Entries that are in none of them.
    """

    n_fields: int
    offsets: np.ndarray
    known: np.ndarray
    n_rests: int

    @property
    def width(self):
        """Most streams of an unknown."""
        return int(np.bincount(self.offsets[:, 0], minlength=self.n_fields).max())


def find(S, limit):
    """Look for the number of unknowns of a node, and for the streams.

    Parameters
    ----------
    S : Scaled
        The matrix.
    limit : int
        Most streams of an unknown.

    Returns
    -------
    Streams or None
        None where plain diagonals or rows are as good, or the last node is not whole.
    """
    n_fields = guess(S.pattern, limit)
    if n_fields is None:
        return None
    known = S.find_offsets(_MOST_FIELDS * limit)
    if known.size > _MOST_FIELDS * limit:
        return None
    counts = S.count_by_fields(known, n_fields)
    dense = counts > _DENSE * (S.shape[0] // n_fields)
    n_rests = int(counts[~dense].sum())
    fields, places = np.nonzero(dense)
    streams = Streams(n_fields, np.stack([fields, known[places]], axis=1), known, n_rests)
    fits = streams.offsets.size and streams.width <= limit
    return streams if fits and n_rests <= _RESTS * counts.sum() else None


def guess(pattern, limit):
    """Guess the number of unknowns of a node from some rows in the middle.

    Parameters
    ----------
    pattern : csr_array, or an object with its shape, nnz, indptr and indices
        The matrix.
    limit : int
        As for `find`.

    Returns
    -------
    int or None
        None where one unknown per node is as good.
    """
    n = pattern.shape[0]
    if pattern.nnz > limit * n:
        return None
    first = max(0, (n - _SAMPLE) // 2)
    starts = pattern.indptr[first : first + _SAMPLE + 1]
    rows = np.repeat(np.arange(first, first + starts.size - 1), np.diff(starts))
    columns = pattern.indices[starts[0] : starts[-1]]
    offsets, which = np.unique(columns - rows, return_inverse=True)
    if offsets.size > _MOST_FIELDS * limit:
        return None
    widths = {}
    for b in range(1, _MOST_FIELDS + 1):
        if n % b == 0:
            size = b * offsets.size
            counts = np.bincount(rows % b * offsets.size + which, minlength=size)
            widths[b] = np.count_nonzero(counts > _DENSE * (starts.size - 1) / b) / b
    best = min(widths, key=widths.get)  # the least of those as good
    if best == 1 or not 0 < widths[best] <= min(_FEWER * widths[1], limit):
        return None
    return best


def n_bytes(n, streams, value_bytes, complex_values):
    """Count the bytes of a Hermitian matrix.

    Parameters
    ----------
    n : int
        Rows.
    streams : Streams
        As `find` returns them.
    value_bytes : int
        Of a value.
    complex_values : bool
        Whether both sides are stored.

    Returns
    -------
    int
        Bytes of values and indices, but for which rows have rests.
    """
    stored = len(streams.offsets)
    if not complex_values:
        stored = (stored + streams.n_fields) // 2
    in_streams = stored * (n // streams.n_fields) * value_bytes
    return in_streams + streams.n_rests * (value_bytes + 4)


def from_scaled(S, streams, unit, dtype):
    """Store a matrix that is scaled while it is written.

    Parameters
    ----------
    S : Scaled
        The matrix times `unit`.
    streams : Streams
        As `find` returns them.
    unit : float
        A power of two.
    dtype : dtype
        Of the values to store.

    Returns
    -------
    parts : dict
        Of `Stored`: `data`, shape (n_stored, at least n_nodes), the streams, those on one
        side only where the matrix is real and symmetric up to rounding; `offsets`, int64
        of shape (4, n_fields, width), says of each stream that an unknown reads: where it
        begins in the data, how many nodes further it reads, where in a vector its unknown
        begins, and whether it is read as the mirror, at the node that it reads. `slices`
        holds the rows of the rests, in rising order, `indptr` where each begins in
        `indices` and `rests`, columns and values. `places`, `n_fields`, `reach`, in nodes.
    largest : float
        Of the entries of S.
    """
    n, b = S.shape[0], streams.n_fields
    n_nodes = n // b
    size = n_nodes * dtype.itemsize
    page = size >= _PAGE and size % _PAGE < _PAGE // 4
    length = n_nodes + _PAD if page else n_nodes
    pairs = [tuple(pair) for pair in streams.offsets.tolist()]
    mirrors = {(r, o): ((r + o) % b, -o) for r, o in pairs}
    agrees, allowed = False, _ROUNDING * np.finfo(dtype).eps
    if dtype.kind != "c" and set(mirrors.values()) == set(pairs):
        kept = [pair for pair in pairs if pair[1] >= 0]
        filled = S.by_fields(
            streams.known, _slots(streams, kept, mirrors), length, unit, dtype, allowed
        )
        *_, agrees = filled
    if not agrees:
        kept = pairs
        filled = S.by_fields(
            streams.known, _slots(streams, kept, {}), length, unit, dtype, allowed
        )
    data, rests, largest, _ = filled
    table = _table(streams, kept, mirrors, n_nodes, length)
    if table[0].max() == data.size:  # streams of zeros, where an unknown has fewer
        data = np.concatenate([data, np.zeros((1, length), dtype)])
    rows, starts, columns, values = rests
    nodes = np.repeat(rows % n_nodes, np.diff(starts)) - columns % n_nodes
    reach = max(int(np.abs(table[1]).max()), int(np.abs(nodes).max(initial=0)))
    parts = {
        "data": data,
        "offsets": table,
        "slices": rows,
        "indptr": starts,
        "indices": columns.astype(np.uint32),
        "rests": values,
        "places": _places(n, b),
        "n_fields": b,
        "reach": -(-reach // GRAIN) * GRAIN,
    }
    return parts, largest


def to_csr(stored, n):
    """Return what is stored as a matrix, unknown by unknown.

    Parameters
    ----------
    stored : Stored
        Of kind 'fields'.
    n : int
        Rows.

    Returns
    -------
    csr_array, shape (n, n)
        A copy.
    """
    m, length = n // stored.n_fields, stored.data.shape[1]
    rows = [np.repeat(stored.slices, np.diff(stored.indptr))]
    columns, values = [stored.indices.astype(np.int64)], [stored.rests]
    for r, own in enumerate(np.moveaxis(stored.offsets, 1, 0)):
        for base, shift, column, mirror in own.T.tolist():
            nodes = np.arange(max(0, -shift), m - max(0, shift))
            weights = stored.data[base // length, nodes + shift if mirror else nodes]
            kept = weights != 0
            rows.append(r * m + nodes[kept])
            columns.append(column + nodes[kept] + shift)
            values.append(weights[kept])
    rows, columns, values = map(np.concatenate, (rows, columns, values))
    return sp.coo_array((values, (rows, columns)), shape=(n, n)).tocsr()


def _places(n, n_fields):
    rows = np.arange(n, dtype=np.int32 if n < 2**31 else np.int64)
    nodes = rows.reshape(-1, n_fields)
    places = np.empty_like(nodes)
    for r in range(n_fields):
        places[:, r] = rows[r * len(nodes) : (r + 1) * len(nodes)]
    return places.reshape(-1)


def _slots(streams, kept, mirrors):
    """Return, per unknown and known offset, what becomes of an entry.

    The stream that it is stored in; -1 for a rest; -2 - k where its mirror is in stream k.
    """
    column_of = {int(offset): k for k, offset in enumerate(streams.known)}
    stream_of = {pair: k for k, pair in enumerate(kept)}
    slots = np.full((streams.n_fields, streams.known.size), _REST, np.int64)
    for r, o in map(tuple, streams.offsets.tolist()):
        k = stream_of.get((r, o))
        slots[r, column_of[o]] = -2 - stream_of[mirrors[r, o]] if k is None else k
    return slots


def _table(streams, kept, mirrors, n_nodes, length):
    """Return `Stored.offsets`, see `from_scaled`."""
    b, width = streams.n_fields, streams.width
    stream_of = {pair: k for k, pair in enumerate(kept)}
    entries = [[] for _ in range(b)]
    for r, o in map(tuple, streams.offsets.tolist()):
        k = stream_of.get((r, o))
        base = length * (stream_of[mirrors[r, o]] if k is None else k)
        entries[r].append((base, (r + o) // b, (r + o) % b * n_nodes, k is None))
    for r, own in enumerate(entries):
        own += [(len(kept) * length, 0, r * n_nodes, False)] * (width - len(own))
    return np.moveaxis(np.array(entries, np.int64), 2, 0).copy()
