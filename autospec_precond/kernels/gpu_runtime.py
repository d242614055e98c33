"""CuPy, opened when it is asked for, and sentences where it cannot be."""

import collections
import contextlib
import threading

__all__ = [
    "Spare",
    "free_bytes",
    "in_words",
    "linalg",
    "on",
    "open_device",
    "pinned",
    "sparse",
    "stream",
    "stream_key",
]

_PER_THREAD = 2  # `ptr` of the default stream of each thread: one number for all of them


def open_device(device, caller):
    """Import CuPy and look for a device.

    Parameters
    ----------
    device : str
        'cuda', the device that is current, or 'cuda:0', 'cuda:1', ...
    caller : str
        Name that the messages start with.

    Returns
    -------
    cupy : module
        CuPy.
    number : int
        Of the device.

    Raises
    ------
    ImportError
        If CuPy cannot be imported; with the pip command.
    RuntimeError
        If there is no device, the driver is too old, or the number is too large.
    """
    try:
        import cupy
    except ImportError as error:
        raise ImportError(
            f"{caller}: device={device!r} must have CuPy; got {error}. Use "
            "pip install cupy-cuda13x (cupy-cuda12x for CUDA 12)."
        ) from error
    runtime = cupy.cuda.runtime
    try:
        count = runtime.getDeviceCount()
    except RuntimeError as error:
        raise _no_device(runtime, device, caller, error) from error
    if count == 0:
        raise RuntimeError(
            f"{caller}: device={device!r} must have a CUDA device; got none. Leave device "
            "out, or look at CUDA_VISIBLE_DEVICES."
        )
    number = runtime.getDevice() if device == "cuda" else int(device[5:])
    if number >= count:
        raise RuntimeError(
            f"{caller}: device must be one of the {count} that CUDA sees (cuda:0 to "
            f"cuda:{count - 1}); got {device!r}."
        )
    return cupy, number


def _no_device(runtime, device, caller, error):
    driver, needed = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    if driver and "InsufficientDriver" in str(error):
        return RuntimeError(
            f"{caller}: the driver must be made for CUDA {_version(needed)} or later; got "
            f"one for CUDA {_version(driver)}. Update it, or install a CuPy for the older "
            "CUDA (cupy-cuda12x)."
        )
    found = "no driver" if not driver else str(error)
    return RuntimeError(
        f"{caller}: device={device!r} must have a CUDA device; got {found}. Leave device "
        "out, or look at nvidia-smi and CUDA_VISIBLE_DEVICES."
    )


def _version(number):
    return f"{number // 1000}.{number % 1000 // 10}"


def free_bytes(cupy):
    """Return what the current device can still hold.

    Parameters
    ----------
    cupy : module
        CuPy.

    Returns
    -------
    int
        Bytes free on the device, as far as CuPy's pool may grow, and in that pool.
    """
    free, _ = cupy.cuda.runtime.memGetInfo()
    pool = cupy.get_default_memory_pool()
    limit = pool.get_limit()  # 0 where there is none
    if limit:
        free = min(free, max(0, limit - pool.total_bytes()))
    return free + pool.free_bytes()


def in_words(n_bytes):
    """Return a number of bytes for a message.

    Parameters
    ----------
    n_bytes : int
        How many.

    Returns
    -------
    str
        In MB or GB.
    """
    return f"{n_bytes / 1e9:.3g} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.3g} MB"


def on(cupy, number):
    """Make a device the current one, as a context manager.

    Parameters
    ----------
    cupy : module
        CuPy.
    number : int or None
        Of the device; None leaves things as they are.

    Returns
    -------
    context manager
        That gives the former one back.
    """
    return contextlib.nullcontext() if number is None else cupy.cuda.Device(number)


def sparse():
    """Return ``cupyx.scipy.sparse``.

    Returns
    -------
    module
        Needs no cuBLAS.
    """
    import cupyx.scipy.sparse

    return cupyx.scipy.sparse


def linalg(caller):
    """Return ``cupyx.scipy.sparse.linalg``.

    Parameters
    ----------
    caller : str
        Name that the message starts with.

    Returns
    -------
    module
        Imported here, because it does not import without cuBLAS.

    Raises
    ------
    ImportError
        Where that is missing.
    """
    try:
        import cupyx.scipy.sparse.linalg
    except ImportError as error:
        raise ImportError(
            f"{caller}: cupyx.scipy.sparse.linalg must be importable; got {error}. Install "
            "the CUDA toolkit's libraries: pip install 'cupy-cuda13x[ctk]'."
        ) from error
    return cupyx.scipy.sparse.linalg


def pinned(cupy, size, dtype):
    """Return host memory that a device copies to and from without a detour.

    Parameters
    ----------
    cupy : module
        CuPy.
    size : int
        Numbers.
    dtype : dtype
        Their type.

    Returns
    -------
    ndarray, shape (size,)
        Of NumPy.
    """
    import numpy as np

    memory = cupy.cuda.alloc_pinned_memory(max(1, size * dtype.itemsize))
    return np.frombuffer(memory, dtype, size)


def stream(cupy):
    """Return the stream that is current.

    Parameters
    ----------
    cupy : module
        CuPy.

    Returns
    -------
    Stream
        Of the calling thread.
    """
    return cupy.cuda.get_current_stream()


def stream_key(cupy):
    """Return what tells the current stream from others.

    Parameters
    ----------
    cupy : module
        CuPy.

    Returns
    -------
    tuple
        Its address and, where threads have streams of their own at the same one, the
        thread.
    """
    address = getattr(stream(cupy), "ptr", 0)
    return address, threading.get_ident() if address == _PER_THREAD else None


class Spare:
    """Scratch to be used again, by what it serves: a few kinds only.

    Parameters
    ----------
    kinds : int, optional
        How many are kept; the one not asked for for the longest time goes first. LOBPCG
        comes with blocks of ever fewer columns: scratch for each would add up.
    each : int, optional
        How much of each.
    """

    def __init__(self, kinds=4, each=4):
        self.kinds, self.each = kinds, each
        self.kept = collections.OrderedDict()

    def of(self, key):
        """Return the scratch of one kind.

        Parameters
        ----------
        key : object
            Hashable.

        Returns
        -------
        deque
            To pop from, and to append to afterwards; both are atomic, as all is here.
        """
        found = self.kept.pop(key, None)
        if found is None:
            found = collections.deque(maxlen=self.each)
        self.kept[key] = found
        while len(self.kept) > self.kinds:
            self.kept.popitem(last=False)
        return found
