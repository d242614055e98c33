"""Weights files: find, read, check, write. One safetensors file holds an engine.

Its metadata are one JSON text with the format, the configuration of the network, and
the provenance that training recorded: one, because safetensors keeps no order among
several, and the same training must give the same bytes.
"""

import functools
import hashlib
import importlib.resources
import json
import os
from pathlib import Path

import numpy as np

from . import engine, gmres_engine
from .errors import CheckpointError

__all__ = [
    "FORMAT",
    "FORMAT_GMRES",
    "SHIPPED",
    "SHIPPED_GMRES",
    "load",
    "load_gmres",
    "save",
]

FORMAT = "autospec_precond.engine/4"
FORMAT_GMRES = "autospec_precond.gmres_engine/1"
SHIPPED = "solve.safetensors"
SHIPPED_GMRES = "gmres.safetensors"

_KEY = "autospec_precond"


def load(path=None):
    """Read an engine.

    Parameters
    ----------
    path : str or path-like, optional
        A file that `save` wrote; by default the weights that ship with the package.

    Returns
    -------
    Engine
        Ready to predict; the shipped one is read once per process.

    Raises
    ------
    TypeError
        If `path` is no path.
    CheckpointError
        If the file is missing, truncated, of another format, or does not fit.
    """
    return _load(path, FORMAT)


def load_gmres(path=None):
    """Read an engine for general matrices.

    Parameters
    ----------
    path : str or path-like, optional
        A file that `save` wrote; by default the weights that ship with the package.

    Returns
    -------
    GmresEngine
        Ready to propose; the shipped one is read once per process.

    Raises
    ------
    TypeError
        If `path` is no path.
    CheckpointError
        If the file is missing, truncated, of another format, or does not fit.
    """
    return _load(path, FORMAT_GMRES)


def _load(path, kind):
    if path is None:
        return _shipped(kind)
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            "make: engine must be the path of a .safetensors file or 'classical'; got "
            f"{path!r}."
        )
    path = Path(path)
    try:
        blob = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"make: engine must be a readable weights file; got {os.fspath(path)!r} "
            f"({error.strerror}). Give the path of a .safetensors file or 'classical'."
        ) from error
    return _parse(blob, path.name, kind)


# For each format: the file that ships, configuration, first parameters, engine.
_KINDS = {
    FORMAT: (SHIPPED, engine.EngineConfig, engine.init, engine.Engine),
    FORMAT_GMRES: (
        SHIPPED_GMRES,
        gmres_engine.GmresConfig,
        gmres_engine.init,
        gmres_engine.GmresEngine,
    ),
}


@functools.cache
def _shipped(kind):
    name = _KINDS[kind][0]
    return _parse(_weights().joinpath(name).read_bytes(), name, kind)


def _weights():
    """Return the folder of the weights: installed, or beside a source tree that is not."""
    try:
        return importlib.resources.files("autospec_precond.weights_data")
    except ModuleNotFoundError:
        return importlib.resources.files("autospec_precond").parent / "weights"


def _parse(blob, name, kind=FORMAT):
    from safetensors import SafetensorError
    from safetensors.numpy import load as parse

    remedy = "Train it again with this version, or use the shipped weights."
    try:
        params = parse(blob)
        size = int.from_bytes(blob[:8], "little")
        header = json.loads(blob[8 : 8 + size])
        metadata = json.loads(header.get("__metadata__", {}).get(_KEY, "{}"))
        metadata = metadata if isinstance(metadata, dict) else {}
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"make: engine must be a whole safetensors file; got {name}, which is "
            f"truncated or damaged ({error}). Copy it again."
        ) from error
    _, make_config, init, make_engine = _KINDS[kind]
    if metadata.get("format") != kind:
        raise CheckpointError(
            f"make: engine must have format {kind!r}; got {name} with "
            f"{metadata.get('format')!r}. {remedy}"
        )
    try:
        config = make_config(**metadata["config"])
        provenance = metadata["provenance"]
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"make: engine must describe its network; got {name} with a configuration "
            f"that does not fit ({error}). {remedy}"
        ) from error
    wanted = {k: v.shape for k, v in init(config, np.random.default_rng(0)).items()}
    found = {k: params[k].shape for k in sorted(params)}
    if wanted != found or config.n_features != make_config().n_features:
        raise CheckpointError(
            f"make: engine must fit this version, {make_config().to_dict()}; got {name} "
            f"with {config.to_dict()} and arrays {found}. {remedy}"
        )
    if not all(np.isfinite(v).all() for v in params.values()):
        raise CheckpointError(f"make: engine must be finite; got {name} with NaN. {remedy}")
    return make_engine(
        config, params, provenance, name, hashlib.sha256(blob).hexdigest()[:12]
    )


def save(path, config, params, provenance):
    """Write an engine, beside the target first, so that a failure leaves the old file.

    Parameters
    ----------
    path : str or path-like
        Target, by convention ending in .safetensors.
    config : EngineConfig or GmresConfig
        Shape of the network; it decides the format.
    params : dict of str to ndarray
        Parameters; stored in float32.
    provenance : dict
        JSON-able record of seed, families, evaluation and versions.
    """
    from safetensors.numpy import save as serialise

    path = Path(path)
    kind = FORMAT if isinstance(config, engine.EngineConfig) else FORMAT_GMRES
    metadata = {"format": kind, "config": config.to_dict(), "provenance": provenance}
    arrays = {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in params.items()}
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(serialise(arrays, {_KEY: json.dumps(metadata, sort_keys=True)}))
    os.replace(beside, path)
