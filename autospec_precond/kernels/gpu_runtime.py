"""CuPy, opened when it is asked for, and sentences where it cannot be."""

import contextlib

__all__ = ["free_bytes", "linalg", "on", "open_device", "pinned", "sparse", "stream"]


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
        Bytes free on the device and in CuPy's pool.
    """
    free, _ = cupy.cuda.runtime.memGetInfo()
    return free + cupy.get_default_memory_pool().free_bytes()


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
