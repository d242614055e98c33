"""Every kernel that is used compiles for devices, with nvcc and with what CuPy uses."""

import functools
import importlib.resources
import itertools
import re
import shutil
import subprocess

import numpy as np
import pytest

from autospec_precond.kernels.gpu import source
from autospec_precond.kernels.layout import Stored

ARCHITECTURES = ["sm_80", "sm_90"]

# Values, vectors, factors.
TYPES = [
    ("f4", "f4", "f4"),
    ("f4", "f8", "f8"),
    ("f8", "f8", "f8"),
    ("c8", "c8", "f4"),
    ("c8", "c8", "c8"),
    ("c8", "c16", "f8"),
    ("c8", "c16", "c16"),
    ("c16", "c16", "f8"),
    ("c16", "c16", "c16"),
    ("f4", "c8", "f4"),
    ("f4", "c16", "f8"),
    ("f2", "f4", "f4"),
    ("f2", "f8", "f8"),
    ("u2", "f4", "f4"),
    ("u2", "f8", "f8"),
]
FORMS = {
    "csr": [(1,), (2,), (4,), (8,), (16,), (32,)],
    "dia": [
        *((1, False, 1), (5, False, 1), (4, True, 1), (27, False, 1), (14, True, 1)),
        *((50, True, 1), (50, True, 2), (128, False, 1), (128, False, 2)),
    ],
    "bsr": [(size,) for size in source.BLOCK_SIZES],
}
USUAL = {"csr": (8,), "dia": (4, True, 1), "bsr": (3,)}


@functools.cache
def steps():
    """All types in the usual form, all forms of the usual types."""
    names = set()
    for kind, forms in FORMS.items():
        cases = [(form, t) for form in forms for t in TYPES[:3]]
        cases += [(USUAL[kind], t) for t in TYPES]
        for (form, (values, dtype, factors)), indices, block, second in itertools.product(
            cases, ("i4", "i8"), (False, True), (False, True)
        ):
            if block and kind != "bsr":
                form = form[:-1]  # one thread takes an entry
            given = kind, values, indices, dtype, factors, block
            names.add(source.step(*given, form=form, second=second))
    return tuple(sorted(names))


@functools.cache
def others():
    types = ["f4", "f8", "c8", "c16"]
    names = {source.scale(a, b) for a in types for b in types if b[0] == "c" or a[0] == "f"}
    names.add(source.setup("uniform", "f8"))
    for indices in ("i4", "i8"):
        names.add(source.setup("mark", indices))
        for double, single in (("f8", "f4"), ("c16", "c8")):
            for other in (double, single):
                names.add(source.setup("entries", other, double, indices))
                names.add(source.setup("fill", double, other, indices))
    return tuple(sorted(names.union(*(source.vectors(t).values() for t in types))))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_compiles_with_nvcc(architecture, tmp_path):
    compiler = shutil.which("nvcc")
    if compiler is None:
        pytest.skip("nvcc is missing")
    names = steps() + others()
    uses = [f"auto use_{k} = &{name};" for k, name in enumerate(names)]
    path = tmp_path / "all.cu"
    path.write_text("\n".join([source.text(), *uses]))
    command = [compiler, *source.OPTIONS, f"-arch={architecture}", "-ptx", str(path)]
    command += ["-Werror", "all-warnings", "-o", str(tmp_path / "all.ptx")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    entries = re.findall(r"\.entry", (tmp_path / "all.ptx").read_text())
    assert len(entries) == len(names)


@pytest.fixture(scope="module")
def nvrtc():
    module = pytest.importorskip(
        "cupy_backends.cuda.libs.nvrtc", reason="CuPy is missing", exc_type=ImportError
    )
    try:
        module.getVersion()
    except Exception as error:
        pytest.skip(f"NVRTC is missing: {error}".splitlines()[0])
    return module


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_compiles_with_nvrtc(nvrtc, architecture):
    program = nvrtc.createProgram(source.text(), "polynomial.cu", [], [])
    names = steps() + others()
    for name in names:
        nvrtc.addNameExpression(program, name)
    target = f"--gpu-architecture={architecture.replace('sm', 'compute')}"
    try:
        nvrtc.compileProgram(program, [*source.OPTIONS, target])
    except Exception:
        pytest.fail(nvrtc.getProgramLog(program))
    ptx = nvrtc.getPTX(program)
    ptx = ptx if isinstance(ptx, bytes) else ptx.encode()
    lowered = {nvrtc.getLoweredName(program, name) for name in names}
    assert len(lowered) == len(names)
    assert ptx.count(b".entry") == len(names)


@pytest.mark.installed
def test_source_is_shipped():
    folder = importlib.resources.files("autospec_precond.kernels.gpu")
    assert folder.joinpath("polynomial.cu").is_file()


def test_source_includes_nothing():
    assert "#include" not in source.text()


def test_threads_of_a_block_agree():
    assert f"constexpr int BLOCK = {source.BLOCK};" in source.text()


@pytest.mark.parametrize(
    ("mean", "lanes"), [(0, 1), (7, 1), (20, 2), (49, 4), (79, 8), (999, 32)]
)
def test_threads_per_row(mean, lanes):
    assert source.lanes(mean) == lanes


def test_bytes_are_counted():
    n = 100
    rows = Stored(
        "csr", np.ones(500, "f4"), np.ones(500, np.int32), np.ones(n + 1, np.int32)
    )
    assert source.step_bytes(rows, n, "f4") == 500 * 8 + 101 * 4 + 4 * n * 4
    padded = Stored("dia", np.ones((3, 130), "f4"), offsets=np.arange(3), half=True)
    assert source.step_bytes(padded, n, "f8", 3) == 3 * n * 4 + 4 * 3 * n * 8
    # The first step reads x alone, the second no b2.
    steps_bytes = [source.step_bytes(padded, n, "f8", 1, k) for k in (2, 3, 4, 4)]
    assert source.polynomial_bytes(padded, n, 4, "f8") == sum(steps_bytes)
