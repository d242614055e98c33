"""NumPy in the place of CuPy, with kernels that really run: on the host, as fibers.

The same source that a GPU gets is compiled by g++ behind `emulation.h`. Streams do what is
asked of them at once, but for captures, whose launches are kept for the graph.
"""

import ctypes
import hashlib
import shutil
import subprocess
import types
from pathlib import Path

import numpy as np

HEADER = Path(__file__).with_name("emulation.h")
COMPILER = shutil.which("g++")

_ERRORS = {
    1: "number of arguments",
    2: "too many threads",
    3: "a barrier that not all threads reach",
}


class Array(np.ndarray):
    """An array of the device: passed to kernels by address, as CuPy's are."""

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self.__array_interface__["data"][0])

    @property
    def device(self):
        return types.SimpleNamespace(id=0)

    def get(self):
        return np.array(self, subok=False)


class Kernel:
    def __init__(self, cuda, library, index, name):
        self.cuda, self.name = cuda, name
        self.start = getattr(library, f"start_{index}")
        sizes = (ctypes.c_size_t * 64)()
        self.n_arguments = getattr(library, f"sizes_{index}")(sizes)
        self.sizes = sizes[: self.n_arguments]

    def __call__(self, grid, block, args):
        assert all(size > 0 for size in (*grid, *block))
        assert len(args) == self.n_arguments, self.name
        kept = [self._argument(a, size) for a, size in zip(args, self.sizes, strict=True)]
        launch = Launch(self, grid, block, kept, args)
        stream = self.cuda.get_current_stream()
        if stream.recording is not None:
            stream.recording.append(launch)
        else:
            launch()

    def _argument(self, value, size):
        """Return memory that holds the argument, by the rules of CuPy."""
        if value is None:
            return np.zeros(1, np.uintp)
        if isinstance(value, Array):
            assert size == 8, f"{self.name}: an array where a number is expected"
            return np.array([value.data.ptr], np.uintp)
        if isinstance(value, np.ndarray) and value.size != 1:
            raise TypeError(f"{self.name}: an array of the host of shape {value.shape}")
        if not isinstance(value, np.ndarray | np.generic):
            raise TypeError(f"{self.name}: {type(value)} leaves its size to chance")
        assert value.nbytes == size, f"{self.name}: {value.nbytes} bytes, {size} expected"
        return np.array(value).reshape(1)


class Launch:
    def __init__(self, kernel, grid, block, kept, args):
        self.kernel, self.grid, self.block = kernel, grid, block
        self.kept, self.args = kept, args

    def __call__(self):
        self.kernel.cuda.log.append((self.kernel.name, self.grid, self.block))
        pointers = (ctypes.c_void_p * len(self.kept))(*(a.ctypes.data for a in self.kept))
        shapes = [
            (ctypes.c_uint * 2)(*(*given, 1)[:2]) for given in (self.grid, self.block)
        ]
        code = self.kernel.start(*shapes, pointers, len(self.kept))
        assert code == 0, f"{self.kernel.name}: {_ERRORS[code]}"


class Graph:
    def __init__(self, cuda, launches):
        self.cuda, self.launches = cuda, launches

    def launch(self, stream=None):
        self.cuda.graph_launches += 1
        for launch in self.launches:
            launch()


class Stream:
    refuses = False  # a device that does not capture

    def __init__(self, cuda, non_blocking=False, null=False):
        self.cuda, self.recording, self.null = cuda, None, null

    def __enter__(self):
        self.cuda.streams.append(self)
        return self

    def __exit__(self, *error):
        assert self.cuda.streams.pop() is self

    def begin_capture(self, mode=None):
        if self.null or self.refuses:
            raise RuntimeError("cudaErrorStreamCaptureUnsupported")
        self.recording = []

    def end_capture(self):
        if self.recording is None:
            raise RuntimeError("cudaErrorIllegalState")
        launches, self.recording = self.recording, None
        return Graph(self.cuda, launches)

    def is_capturing(self):
        return self.recording is not None

    def synchronize(self):
        self.cuda.n_synchronized += 1


class Cuda:
    def __init__(self):
        self.log, self.graph_launches, self.n_synchronized = [], 0, 0
        self.streams = [Stream(self, null=True)]

    def Stream(self, non_blocking=False):  # noqa: N802
        return Stream(self, non_blocking)

    def get_current_stream(self):
        return self.streams[-1]

    def Device(self, number=0):  # noqa: N802
        return types.SimpleNamespace(id=number, synchronize=self.streams[0].synchronize)


class FakeCupy:
    """What of CuPy is used, and all of NumPy with results that are arrays of the device."""

    ndarray = Array

    def __init__(self, folder):
        self.folder, self.cuda = Path(folder), Cuda()

    @property
    def log(self):
        return self.cuda.log

    def asarray(self, x, dtype=None, order=None):
        return np.array(x, dtype, order=order or "C", subok=False).view(Array)

    array = asarray

    def asnumpy(self, x):
        return np.array(x, subok=False)

    def RawModule(self, *, code, options=(), name_expressions=()):  # noqa: N802
        library = compiled(self.folder, code, name_expressions)
        functions = {
            name: Kernel(self.cuda, library, k, name)
            for k, name in enumerate(name_expressions)
        }
        return types.SimpleNamespace(get_function=functions.__getitem__)

    def __getattr__(self, name):
        found = getattr(np, name)
        if not callable(found) or isinstance(found, type):
            return found

        def wrapped(*args, **kwargs):
            result = found(*args, **kwargs)
            return result.view(Array) if isinstance(result, np.ndarray) else result

        return wrapped


def compiled(folder, code, names):
    """Return the library that starts some kernels of a source, compiled once."""
    lines = [f'#include "{HEADER}"', code]
    for k, name in enumerate(names):
        lines += [
            f'extern "C" int start_{k}(const unsigned *grid, const unsigned *block,',
            "    void **args, int n)",
            f"{{ return emulation::launch({name}, grid, block, args, n); }}",
            f'extern "C" int sizes_{k}(size_t *out)',
            f"{{ return emulation::sizes({name}, out); }}",
        ]
    text = "\n".join(lines)
    stem = hashlib.sha256(text.encode() + HEADER.read_bytes()).hexdigest()[:20]
    library = folder / f"{stem}.so"
    if not library.exists():
        path = folder / f"{stem}.cpp"
        path.write_text(text)
        flags = [
            "-std=c++17",
            "-O0",
            "-shared",
            "-fPIC",
            "-pthread",
            "-Wno-unknown-pragmas",
        ]
        command = [COMPILER, *flags, "-o", str(library), str(path)]
        subprocess.run(command, check=True)
    return ctypes.CDLL(str(library))
