"""Which rows a thread takes when, and how many products follow each other through them.

The first product of a tile needs rows up to one `reach` outside of it, the second up to
two: n_levels products may be made of a tile that shrinks by `reach` per level without its
neighbours, and then of tiles between them that grow. So threads meet twice in as many
levels as the rows allow, not after each of them, and no row is computed twice.
"""

import functools
import itertools
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autospec_precond import threads

from . import fields, slices

__all__ = [
    "WORTH_THREADS",
    "Plan",
    "cache_size",
    "grain",
    "plan",
    "powers_per_sweep",
    "reach",
    "row_bytes",
    "run",
    "stays",
]

# Bytes between two meetings of threads from which on these pay: a meeting takes 30
# microseconds, and one thread about 300 for so many by diagonals.
WORTH_THREADS = 16_000_000

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_FALLBACK = {2: 2**20, 3: 0}  # bytes; where the system does not tell

# Levels in flight may fill this share of a cache. Several cores and other programs use the
# third level; what it gives is still 1.4 times as fast as memory.
_SHARE = {2: 0.75, 3: 0.25}
# Where there is more to read per row more is gained: elasticity in 3-D, 10⁶ unknowns, took
# 7.5 ms with one product per sweep, 5.3 with 4 and 5.2 with 8, on two threads 3.9 and 3.1.
_SHARE_NODES = {2: 0.75, 3: 0.5}

# Where all rows are no more than these times a cache, memory is not what a product waits
# for: on 2 and 6 MB, with 1 MB and 16 MB of cache, blocks were 5 % slower.
_SMALL = {2: 4.0, 3: 0.5}
# By chunks, where more is computed per byte: blocks were 5 to 8 % slower on 11 to 17 MB,
# as fast on 20, and 1.2 times as fast on 27.
_SMALL_CHUNKS = {2: 4.0, 3: 1.25}

# Products per sweep from which on panels by diagonals were faster than columns, at 5 and 7
# points and 10⁶ rows: 16 gave 1.2 and 1.3 times the speed, 5 the same, 2 or 1 down to 0.6.
_DEEP = 8

# A block fills this share of the second level and has so many rows: its beginning costs
# 90 ns, a fifth of the time of 1024 rows of a 5-point stencil.
_BLOCK_SHARE, _BLOCK_ROWS = 0.25, (512, 8192)

# Of nodes with 2 and 3 unknowns, 26 and 153 streams: blocks of 4096 took 0.9 times as long
# as of 2048, and 0.8 times as long as of 1024.
_BLOCK_NODES = (4096, 8192)


@dataclass(frozen=True)
class Plan:
    """How an application runs.

    Attributes
    ----------
    n_powers : int
        Products per sweep over the rows.
    n_rows : int
        Rows of a block.
    rounds : tuple of (first, last, phases)
        Levels first to last are made in turn in each of the phases, tuples of tiles
        (lo, hi, left, right) that run at the same time: level `first` computes rows lo
        to hi; at each further level the left edge moves right by left times the reach,
        the right edge left by right times the reach.
    """

    n_powers: int
    n_rows: int
    rounds: tuple


@functools.lru_cache(maxsize=64)
def plan(n, n_levels, reach, row_bytes, n_threads, grain=1):
    """Plan an application.

    Parameters
    ----------
    n : int
        Rows.
    n_levels : int
        Products.
    reach : int
        Largest distance of an entry from the diagonal.
    row_bytes : int
        Bytes that a row of one product reads and writes.
    n_threads : int
        Tiles that run at the same time.
    grain : int, optional
        Rows of a chunk: blocks and tiles begin at multiples of it, and `reach` is one.

    Returns
    -------
    Plan
        The same for the same arguments on one machine.
    """
    n_powers = powers_per_sweep(n, n_levels, reach, row_bytes, grain)
    n_rows = max(_block_rows(row_bytes, grain) // grain, 1) * grain
    if n_threads == 1:
        return Plan(n_powers, n_rows, ((0, n_levels, (((0, n, 0, 0),),)),))
    deep = min(n_levels, _depth(n, reach, n_threads))
    if deep == 1:
        rounds = tuple((k, k + 1, (_even(n, n_threads, grain),)) for k in range(n_levels))
        return Plan(1, n_rows, rounds)
    n_rounds = -(-n_levels // deep)
    edges = [n_levels * k // n_rounds for k in range(n_rounds + 1)]
    rounds = tuple(
        (first, last, _phases(n, last - first, reach, n_threads, grain))
        for first, last in itertools.pairwise(edges)
    )
    return Plan(n_powers, n_rows, rounds)


def run(tile, stored, n, n_levels, common, vectors, n_threads, even=None):
    """Run a kernel on the tiles of a plan, for a panel whose rows threads share.

    Parameters
    ----------
    tile : callable
        ``tile(*common, first, last, n, *vectors, *edges, reach, n_powers, n_rows)``.
    stored : Stored
        The operator.
    n, n_levels : int
        Rows, or nodes, and products.
    common : tuple
        Matrix and factors.
    vectors : list of ndarray
        Memory of x and scratch.
    n_threads : int
        Tiles that run at the same time.
    even : list of tuple, optional
        Tiles of equal work for a level on its own.
    """
    steps = reach(stored)
    n_bytes = row_bytes(stored, n, vectors[0].nbytes // n)
    chosen = plan(n, n_levels, steps, n_bytes, n_threads, grain(stored.kind))
    way = steps, chosen.n_powers, chosen.n_rows
    for first, last, phases in chosen.rounds:
        part = *common, first, last, n, *vectors
        for tiles in phases:
            if even is not None and last == first + 1:
                tiles = even
            tasks = [functools.partial(tile, *part, *edges, *way) for edges in tiles]
            threads.run(tasks, n_threads)


def powers_per_sweep(n, n_levels, reach, row_bytes, grain=1):
    """Return how many products may follow each other within the cache.

    Parameters
    ----------
    n, n_levels, reach, row_bytes, grain : int
        As for `plan`.

    Returns
    -------
    int
        One where a second would not find its rows in the cache, or where all rows fit.
    """
    if n * row_bytes <= _most(_SMALL_CHUNKS if grain == slices.CHUNK else _SMALL):
        return 1
    room = _most(_SHARE_NODES if grain == fields.GRAIN else _SHARE)
    n_powers = int((room / row_bytes - _block_rows(row_bytes)) // max(reach, 1))
    return max(1, min(n_levels, n_powers))


def stays(stored, n, n_levels, vector_bytes):
    """Say whether a panel leaves rows in the cache for enough products.

    Parameters
    ----------
    stored : Stored
        The operator.
    n, n_levels, vector_bytes : int
        Rows or nodes, products, bytes of one of them in a panel.

    Returns
    -------
    bool
        True where the kernel by diagonals, which gathers nothing from vectors either,
        gains more by panels than by what it loses to memory.
    """
    n_bytes = row_bytes(stored, n, vector_bytes)
    if n * n_bytes <= _most(_SMALL):
        return True
    return powers_per_sweep(n, n_levels, reach(stored), n_bytes) >= min(_DEEP, n_levels)


@functools.cache
def cache_size(level):
    """Return the size of a cache, as far as it is one core's.

    Parameters
    ----------
    level : int
        2 or 3.

    Returns
    -------
    int
        Bytes, over the number of processors that share them; 1 MiB for the second level
        and none for the third where the system does not tell.
    """
    for folder in sorted(_CACHES.glob("index*")):
        try:
            if (folder / "level").read_text().strip() == str(level):
                sharers = _count((folder / "shared_cpu_list").read_text())
                return _as_bytes((folder / "size").read_text()) // sharers
        except (OSError, ValueError):
            continue
    return _FALLBACK[level]


def reach(stored):
    """Return the largest distance of an entry from the main diagonal.

    Parameters
    ----------
    stored : Stored
        Of kind 'dia', 'sell' or 'fields'.

    Returns
    -------
    int
        Rows; by slices a multiple of a chunk. Nodes where these have several unknowns.
    """
    if stored.kind == "fields":
        return stored.reach
    if stored.kind == "sell":
        return slices.reach(stored.slices, stored.places.size)
    return int(np.abs(stored.offsets).max())


def grain(kind):
    """Return the rows that a kernel takes at once, and which tiles may not part.

    Parameters
    ----------
    kind : str
        As `Stored.kind`.

    Returns
    -------
    int
        Those of a chunk by slices, else 1; nodes where these have several unknowns.
    """
    return {"sell": slices.CHUNK, "fields": fields.GRAIN}.get(kind, 1)


def row_bytes(stored, n, vector_bytes):
    """Return the bytes that one row of a product reads and writes.

    Parameters
    ----------
    stored : Stored
        The operator.
    n, vector_bytes : int
        Rows; bytes of a row of a vector or block.

    Returns
    -------
    int
        Those of the matrix, and x, b1 and y once each: y is read and written at once.
    """
    return stored.n_bytes // n + 3 * vector_bytes


def _most(shares):
    return max(share * cache_size(level) for level, share in shares.items())


def _count(text):
    """Count the processors of a list like 0-3,8."""
    ends = [part.split("-") for part in text.strip().split(",")]
    return sum(int(end[-1]) - int(end[0]) + 1 for end in ends)


def _block_rows(row_bytes, grain=1):
    least, most = _BLOCK_NODES if grain == fields.GRAIN else _BLOCK_ROWS
    return int(min(max(_BLOCK_SHARE * cache_size(2) / row_bytes, least), most))


def _as_bytes(text):
    match = re.fullmatch(r"(\d+)([KMG]?)", text.strip())
    if match is None or match[1] == "0":
        raise ValueError(f"no size of a cache: {text!r}")
    return int(match[1]) * 1024 ** " KMG".index(match[2] or " ")


def _depth(n, reach, n_threads):
    """Return how many levels a round may have: tiles that grow must not meet."""
    deepest = int(n / (3.5 * n_threads * reach)) if reach else n
    # Two levels in two phases are as many meetings as two levels on their own.
    return deepest if deepest > 2 else 1


def _phases(n, n_levels, reach, n_threads, grain):
    """Return tiles that shrink, and tiles that grow between them, of equal work each."""
    moved = (n_levels - 1) * reach
    width = (n / n_threads - moved / 2) / 2
    # The first tile shrinks and the last grows on one side only: half a `moved` less work
    # is taken away from, or added to, them than the others.
    shrinks = [width] + [width + moved / 2] * (n_threads - 1)
    grows = [width] * (n_threads - 1) + [width + moved / 2]
    edges, edge = [0], 0.0
    for a, b in zip(shrinks, grows, strict=True):
        edges += [min(grain * round((edge + c) / grain), n) for c in (a, a + b)]
        edge += a + b
    edges[-1] = n
    cuts = list(itertools.pairwise(edges))
    first, last = cuts[0], cuts[-1]
    return (
        tuple((lo, hi, int((lo, hi) != first), 1) for lo, hi in cuts[::2]),
        tuple((lo, hi, -1, -int((lo, hi) != last)) for lo, hi in cuts[1::2]),
    )


def _even(n, n_threads, grain):
    edges = [n * k // n_threads // grain * grain for k in range(n_threads)] + [n]
    return tuple((lo, hi, 0, 0) for lo, hi in itertools.pairwise(edges))
