"""Kernels: implementations of one function, `apply`, the whole application of p(S)."""

import importlib

__all__ = ["KERNELS", "select", "warmup"]

KERNELS = ("reference", "fused")


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
        kernel = "fused" if kind == "csr" else "reference"
    if kernel == "fused" and kind != "csr":
        raise ValueError(
            f"make: kernel='fused' needs an explicit sparse A and no operator as base; "
            f"got storage {kind!r}. Use kernel='reference'."
        )
    name = {"fused": "cpu", "reference": "reference"}[kernel]
    return kernel, importlib.import_module(f".{name}", __name__).apply


def warmup() -> None:
    """Compile the kernels now, so that no solve waits for a compiler.

    Notes
    -----
    Takes some seconds the first time on a machine; the result is kept on disk where
    Numba finds a writable place, and later processes load it. Nothing is compiled
    again afterwards in this process, whatever A is.

    Examples
    --------
    >>> import autospec_precond
    >>> autospec_precond.warmup()
    """
    from . import cpu, cpu_cg

    cpu.warmup()
    cpu_cg.warmup()
