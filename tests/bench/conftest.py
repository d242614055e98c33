"""What the tests of the benchmark share; they need a checkout: `bench` is not shipped."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

ROOT = Path(__file__).resolve().parent.parent.parent

# Tests of an installed package leave the benchmark out: the checkout must not be put in
# front of what is tested.
package = importlib.util.find_spec("autospec_precond")
here = package is not None and Path(package.origin).parent.parent == ROOT
if here and (ROOT / "bench" / "__main__.py").exists():
    sys.path.append(str(ROOT))
else:
    collect_ignore_glob = ["*"]


@pytest.fixture
def bench(tmp_path):
    """Run the command in a process of its own, away from the checkout's folder."""

    def run(*words, expect=0, wait=True):
        command = [sys.executable, "-m", "bench", *map(str, words)]
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        if not wait:
            return process
        out, errors = process.communicate(timeout=300)  # kernels may have to be compiled
        assert process.returncode == expect, errors
        return out + errors

    return run


@pytest.fixture
def folder(tmp_path):
    """Three tiny matrices: definite, nearly singular, not symmetric."""
    where = tmp_path / "matrices"
    where.mkdir()
    line = [-np.ones(59), np.full(60, 2.0), -np.ones(59)]
    A = sp.csr_array(sp.diags_array(line, offsets=[-1, 0, 1]))
    sp.save_npz(where / "line.npz", A)
    D = sp.diags_array(np.logspace(-2, 2, 60))
    sp.save_npz(where / "scaled.npz", sp.csr_array(D @ A @ D))
    wind = sp.diags_array([np.full(59, -0.8), np.full(59, 0.8)], offsets=[-1, 1])
    sp.save_npz(where / "wind.npz", sp.csr_array(A + wind))
    return where
