"""Kernels: implementations of one function, `apply`, the whole application of p(S)."""

import importlib

from . import plans

__all__ = [
    "KERNELS",
    "block_order",
    "check_threads",
    "choose_threads",
    "has_panels",
    "panels",
    "powers_per_sweep",
    "select",
    "warmup",
]

KERNELS = ("reference", "fused")

# Modules by kind of `Stored`.
_FUSED = {"csr": "cpu", "dia": "cpu_dia", "sell": "cpu_sell", "fields": "cpu_fields"}
_PANELS = (
    "csr",
    "dia",
    "fields",
    "sell",
)  # which take a few columns of a block side by side
_SWEPT = ("dia", "sell", "fields")  # several products per sweep over the rows


def select(kind, kernel=None):
    """Choose the kernel for a storage.

    Parameters
    ----------
    kind : str
        Kind of `Stored`.
    kernel : str, optional
        'reference' or 'fused'; fused where it exists by default.

    Returns
    -------
    name : str
        The kernel chosen.
    apply : callable
        As `reference.apply`.

    Raises
    ------
    ValueError
        If the fused kernel is asked for and does not exist for this storage.
    """
    if kernel is None:
        kernel = "fused" if kind in _FUSED else "reference"
    if kernel == "fused" and kind not in _FUSED:
        raise ValueError(
            f"make: kernel='fused' needs an explicit sparse A and no operator as base; "
            f"got storage {kind!r}. Use kernel='reference'."
        )
    name = _FUSED[kind] if kernel == "fused" else "reference"
    return kernel, importlib.import_module(f".{name}", __name__).apply


def check_threads(kernel, kind, n_threads):
    """Refuse threads where the reference kernel runs.

    Parameters
    ----------
    kernel, kind : str
        Kernel as `select` returns it; kind of `Stored`.
    n_threads : int or None
        What the caller of `make` asked for.

    Raises
    ------
    ValueError
        If it is more than one.
    """
    if kernel == "reference" and n_threads not in (None, 1):
        raise ValueError(
            f"make: n_threads must be 1 where the reference kernel runs (storage "
            f"{kind!r} here); got {n_threads}. Leave it out."
        )


def block_order(kind, kernel):
    """Return the memory order of the blocks that a kernel takes without a copy.

    Parameters
    ----------
    kind, kernel : str
        Kind of `Stored`; kernel as `select` returns it.

    Returns
    -------
    str
        'C' or 'F'.
    """
    return "F" if kind in _SWEPT and kernel == "fused" else "C"


def has_panels(stored, kernel, n, degree, dtype):
    """Say whether blocks are to be cut into panels, in C order, for a kernel.

    Parameters
    ----------
    stored : Stored
        The operator.
    kernel : str
        As `select` returns it.
    n, degree : int
        Rows, and products of one application.
    dtype : dtype
        Of the vectors.

    Returns
    -------
    bool
        True where the kernel takes the columns of a panel side by side, and that pays.
    """
    fused = stored.kind in _PANELS and kernel == "fused"
    if not fused or dtype.kind != "f" or degree == 0:
        return False
    if stored.kind != "dia":
        return True
    from . import cpu_panel

    widest = cpu_panel.widths(stored.kind, dtype)[-1]
    return plans.stays(stored, n, degree, widest * dtype.itemsize)


def panels(n_columns, kind, dtype):
    """Cut a block into panels.

    Parameters
    ----------
    n_columns : int
        Of the block.
    kind : str
        Kind of `Stored`.
    dtype : dtype
        Of the vectors.

    Returns
    -------
    list of (int, int, int or None)
        As `cpu_panel.cut` returns it.
    """
    from . import cpu_panel

    return cpu_panel.cut(n_columns, kind, dtype)


def choose_threads(stored, kernel, n, degree, vector_bytes):
    """Choose the number of threads of one application.

    Parameters
    ----------
    stored : Stored
        The operator.
    kernel : str
        As `select` returns it.
    n, degree, vector_bytes : int
        Rows, products of one application, bytes of an entry of a vector.

    Returns
    -------
    int
        Numba's setting; 1 where threads would lose more by meeting than they gain.
    """
    if kernel != "fused" or degree == 0:
        return 1
    n_bytes = stored.n_bytes + 3 * n * vector_bytes
    # Threads meet twice in an application by diagonals, in slices after two products or
    # more, else after each. A byte takes about 4 times as long as by diagonals in rows,
    # and 1.5 times in slices.
    few = degree / 2
    between = {"csr": 4, "sell": 3, "dia": few, "fields": few}[stored.kind] * n_bytes
    if between < plans.WORTH_THREADS:
        return 1
    from . import cpu

    return cpu.default_threads()


def powers_per_sweep(stored, kernel, n, degree, vector_bytes):
    """Return how many products follow each other while rows are in the cache.

    Parameters
    ----------
    stored : Stored
        The operator.
    kernel : str
        As `select` returns it.
    n, degree, vector_bytes : int
        Rows, products of one application, bytes of an entry of a vector.

    Returns
    -------
    int
        One for rows and what is not explicit.
    """
    if kernel != "fused" or stored.kind not in _SWEPT or degree == 0:
        return 1
    n //= stored.n_fields
    row_bytes = plans.row_bytes(stored, n, stored.n_fields * vector_bytes)
    grain = plans.grain(stored.kind)
    return plans.powers_per_sweep(n, degree, plans.reach(stored), row_bytes, grain)


def warmup() -> None:
    """Compile the kernels now, so that no solve waits for a compiler.

    Notes
    -----
    Takes about a minute the first time on a machine; the result is kept on disk where
    Numba finds a writable place, and later processes load it. Afterwards nothing is
    compiled again in this process for matrices stored as rows ('csr'), for real ones
    in slices ('sell'), nor for vectors and real matrices of 3, 5, 7 or 9 diagonals. Other
    numbers of diagonals, those of each unknown of a node ('fields'), complex slices, and
    the setup of complex matrices of a million entries, are compiled when they are first
    met, in 0.3 to 3 seconds each.

    Examples
    --------
    >>> import autospec_precond
    >>> autospec_precond.warmup()
    """
    names = "cpu cpu_cg cpu_dia cpu_inside cpu_order cpu_rows cpu_scale cpu_sell cpu_setup"
    for name in [*names.split(), "cpu_streams", "cpu_repeats"]:
        module = importlib.import_module(f".{name}", __name__)
        module.warmup()
