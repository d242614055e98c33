"""Fixtures that several test files use."""

import numpy as np
import pytest
from hypothesis import settings

# A slow machine must not make a test fail.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture
def rng():
    return np.random.default_rng(0)
