"""From what the user named to problems: files, collection names, generated ones."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import scipy.io
import scipy.sparse as sp

from . import problems, suitesparse

__all__ = ["Source", "load", "resolve"]

_ENDINGS = (".npz", ".mtx", ".mtx.gz")


@dataclass(frozen=True)
class Source:
    """One problem, not loaded yet.

    Attributes
    ----------
    problem : str
        Its name in the rows.
    source : str
        What the rows say of where it comes from.
    how : str
        'file' or 'generated'.
    """

    problem: str
    source: str
    how: str

    def to_dict(self):
        """Return the fields as a dict."""
        return asdict(self)


def resolve(words, cache=None, *, fetch=suitesparse.fetch):
    """Return the sources that words of the command line mean, small files first.

    Parameters
    ----------
    words : sequence of str
        Folders, files, ``Group/Name``, ``problem:size``.
    cache : path-like, optional
        Folder for fetched matrices.

    Raises
    ------
    ValueError
        If a word means nothing, or two problems have one name.
    """
    found = []
    for word in words:
        path = Path(word)
        if path.is_dir():
            files = [f for f in path.iterdir() if f.is_file() and _stem(f)]
            if not files:
                raise ValueError(
                    f"run: a folder must hold {', '.join(_ENDINGS)} files; got {word}."
                )
            files.sort(key=lambda f: (f.stat().st_size, f.name))
            found += [Source(_stem(f), str(f), "file") for f in files]
        elif path.is_file():
            if not _stem(path):
                raise ValueError(
                    f"run: a file must end in {', '.join(_ENDINGS)}; got {word}."
                )
            found.append(Source(_stem(path), str(path), "file"))
        elif ":" in word or word in problems.PROBLEMS:
            problems.parse(word)
            found.append(Source(word, word, "generated"))
        elif suitesparse.NAME.fullmatch(word):
            if cache is None:
                raise ValueError(
                    f"run: {word} must be a file, or a name of the SuiteSparse collection "
                    "with a folder to keep it in. Give --cache FOLDER."
                )
            matrix = fetch(word, cache)
            found.append(Source(_stem(matrix), str(matrix), "file"))
        else:
            known = ", ".join(sorted(problems.PROBLEMS))
            raise ValueError(
                "run: SOURCE must be a folder, a file, Group/Name of the SuiteSparse "
                f"collection, or a generated problem NAME:SIZE ({known}); got {word!r}."
            )
    names = [s.problem for s in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"run: problems must have different names; got {', '.join(twice)} twice."
        )
    return found


def load(source):
    """Return the `Problem` of a source, checked and in canonical form.

    Parameters
    ----------
    source : Source
        From `resolve`.

    Returns
    -------
    Problem
        A in CSR, float64 or complex128, sorted, without duplicates.

    Raises
    ------
    ValueError
        With the reason why the matrix cannot be used.
    """
    if source.how == "generated":
        made = problems.build(source.source)
    else:
        path = Path(source.source)
        A = sp.load_npz(path) if path.suffix == ".npz" else scipy.io.mmread(path)
        made = problems.Problem(A)
    return problems.Problem(**{**vars(made), "A": _canonical(made.A)})


def _canonical(A):
    if A.ndim != 2 or A.shape[0] != A.shape[1]:
        raise ValueError(f"must be square; got shape {A.shape}")
    if A.shape[0] == 0:
        raise ValueError("must have at least one row; got none")
    A = sp.csr_array(A)
    A = A.astype(np.complex128 if A.dtype.kind == "c" else np.float64)
    bad = int(np.count_nonzero(~np.isfinite(A.data)))
    if bad:
        raise ValueError(f"must be finite; got {bad} entries that are NaN or infinite")
    A.sum_duplicates()
    A.sort_indices()
    if A.dtype.kind == "c" and not A.data.imag.any():
        A = A.real
    if max(A.nnz, A.shape[0]) < 2**31:
        A.indices, A.indptr = A.indices.astype(np.int32), A.indptr.astype(np.int32)
    return sp.csr_array(A)


def _stem(path):
    """Return the name without a known ending, or None."""
    for ending in _ENDINGS:
        if path.name.endswith(ending):
            return path.name.removesuffix(ending)
    return None
