"""Fixtures that several test files use."""

import numpy as np
import pytest
from gpu_emulation.device import COMPILER, FakeCupy
from hypothesis import settings

# A slow machine must not make a test fail.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def _compiled_kernels(tmp_path_factory):
    return tmp_path_factory.mktemp("gpu_emulation")


@pytest.fixture
def emulated_device(_compiled_kernels, monkeypatch):
    """Stand in for CuPy: what `kernels.gpu` imports; kernels run on the host."""
    if COMPILER is None:
        pytest.skip("g++ is missing: kernels of the GPU cannot be emulated")
    from autospec_precond.kernels.gpu import device

    fake = FakeCupy(_compiled_kernels)
    monkeypatch.setattr(device, "_stand_in", fake)
    return fake
