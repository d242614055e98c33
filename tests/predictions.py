"""Random predictions on random spectra through `make`; also run in other processes."""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from problems import Product

import autospec_precond as ap
from autospec_precond import checkpoint, engine, spectra

__all__ = ["count_failures", "random_params"]

_PER_NETWORK = 40  # predictions with one set of parameters
_SCALES = (None, 1.0, 3.0, 10.0, 30.0)  # of random parameters; None: the shipped ones


def random_params(rng, scale):
    """Draw parameters as before training, but `scale` times larger in every layer."""
    params = engine.init(engine.EngineConfig(), rng)
    for name in ("edge.w2", "judge.w3"):
        params[name] *= 100  # undo the small start of the last layers
    return {
        k: scale * (v if ".w" in k else rng.standard_normal(v.shape))
        for k, v in params.items()
    }


def count_failures(seed, count):
    """Make `count` preconditioners; return how many are not certified, and more counts."""
    rng = np.random.default_rng(seed)
    tally = {
        "made": 0,
        "uncertified": 0,
        "not_positive": 0,
        "repaired": 0,
        "kept": 0,
        "base": 0,
    }
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", ap.UncertifiedWarning)
        while tally["made"] < count:
            scale = _SCALES[(tally["made"] // _PER_NETWORK) % len(_SCALES)]
            path = None
            if scale is not None:
                path = Path(folder) / "random.safetensors"
                params = random_params(rng, scale)
                checkpoint.save(path, engine.EngineConfig(), params, {})
            for _ in range(min(_PER_NETWORK, count - tally["made"])):
                _predict(rng, path, tally)
    return tally


def _predict(rng, path, tally):
    n = int(rng.integers(40, 100))
    dtype = rng.choice([np.float32, np.float64])
    eigenvalues = (spectra.draw(rng, n) * 10 ** rng.uniform(-4, 4)).astype(dtype)
    A = sp.csr_array((eigenvalues, np.arange(n), np.arange(n + 1)), shape=(n, n))
    M = ap.make(
        A if rng.random() < 0.7 else Product(A),
        base="none",
        degree=32 if rng.random() < 0.04 else 2 * int(rng.integers(1, 9)),
        engine=path,
        precision=str(rng.choice(["single", "mixed", "double"])),
        rng=rng,
    )
    tally["made"] += 1
    tally["uncertified"] += not M.certificate.safe
    # M of a diagonal matrix is diagonal: its entries are its eigenvalues.
    tally["not_positive"] += not (M @ np.ones(n, dtype) > 0).all()
    kept = M.degree and M.polynomial == checkpoint.load(path).predict(M.probe, M.degree)[0]
    tally["base"] += M.degree == 0
    tally["kept"] += bool(kept)
    tally["repaired"] += bool(M.degree and not kept)
