"""The state of a training in a file: what a killed run leaves for the next one."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np

from autospec_precond.probe import Probe

from .data import Sample

__all__ = ["State"]


class State:
    """Samples and parameters, written beside their file and then renamed.

    Parameters
    ----------
    path : path-like
        File, in the format of ``numpy.savez``.
    key : str
        What the state belongs to; a file with another key is not read.

    Attributes
    ----------
    records : dict
        JSON-able, by name.
    trouble : str
        Why the file could not be written, or nothing.
    """

    def __init__(self, path, key):
        self.path = Path(path)
        self.records = {"key": key}
        self.trouble = ""
        self._arrays = {}
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            records = json.loads(arrays.pop("records").tobytes())
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return
        if records["key"] == key:
            self.records, self._arrays = records, arrays

    @property
    def _beside(self):
        return self.path.with_name(self.path.name + ".part")

    def save(self):
        """Write everything. A full disk is no reason to stop: see `trouble`."""
        text = json.dumps(self.records).encode()
        try:
            with self._beside.open("wb") as file:
                np.savez(file, records=np.frombuffer(text, np.uint8), **self._arrays)
            os.replace(self._beside, self.path)
        except OSError as error:
            self.trouble = f"the state could not be written ({error})"
            self._beside.unlink(missing_ok=True)

    def remove(self):
        """Remove the file."""
        self._beside.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def put_params(self, name, params):
        """Keep parameters.

        Parameters
        ----------
        name : str
            Of the set; one that is there is replaced.
        params : dict of str to ndarray
            Parameters.
        """
        self._arrays.update({f"{name}/{k}": v for k, v in params.items()})

    def params(self, name):
        """Return parameters.

        Parameters
        ----------
        name : str
            As given to `put_params`.

        Returns
        -------
        dict of str to ndarray
            Empty where there are none.
        """
        return {
            k.removeprefix(f"{name}/"): v
            for k, v in self._arrays.items()
            if k.startswith(f"{name}/")
        }

    def put_samples(self, name, samples):
        """Keep samples.

        Parameters
        ----------
        name : str
            Of the list.
        samples : list of Sample
            With the same number of probes each.
        """
        probes = [p for s in samples for p in s.probes]
        scalars = [
            (p.high, p.high_is_rigorous, p.n_products, np.nan if p.n is None else p.n)
            for p in probes
        ]
        self.put_params(
            f"samples/{name}",
            {
                "families": np.array([s.family for s in samples]),
                "sizes": np.array([s.eigenvalues.size for s in samples]),
                "eigenvalues": np.concatenate([s.eigenvalues for s in samples]),
                "b": np.concatenate([s.b for s in samples]),
                "curves": np.array([s.curves for s in samples]),
                "steps": np.array([p.n_steps for p in probes]),
                "ritz_values": np.concatenate([p.ritz_values for p in probes]),
                "weights": np.concatenate([p.weights for p in probes]),
                "residual_norms": np.concatenate([p.residual_norms for p in probes]),
                "scalars": np.array(scalars, dtype=float),
            },
        )

    def samples(self, name):
        """Return samples.

        Parameters
        ----------
        name : str
            As given to `put_samples`.

        Returns
        -------
        list of Sample
            Empty where there are none.
        """
        kept = self.params(f"samples/{name}")
        if not kept:
            return []
        ends = np.cumsum(kept["steps"])[:-1]
        parts = [
            np.split(kept[k], ends) for k in ("ritz_values", "weights", "residual_norms")
        ]
        probes = [
            Probe(
                *three, high, bool(rigorous), int(spent), n=None if np.isnan(n) else int(n)
            )
            for *three, (high, rigorous, spent, n) in zip(
                *parts, kept["scalars"].tolist(), strict=True
            )
        ]
        per_sample = len(probes) // len(kept["sizes"])
        ends = np.cumsum(kept["sizes"])[:-1]
        columns = zip(
            kept["families"].tolist(),
            np.split(kept["eigenvalues"], ends),
            np.split(kept["b"], ends),
            kept["curves"],
            strict=True,
        )
        return [
            Sample(
                family, eigenvalues, b, tuple(probes[k * per_sample :][:per_sample]), curves
            )
            for k, (family, eigenvalues, b, curves) in enumerate(columns)
        ]
