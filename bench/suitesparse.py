"""Fetch matrices of the SuiteSparse Matrix Collection by name."""

import hashlib
import re
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

__all__ = ["ADDRESS", "NAME", "fetch"]

ADDRESS = "https://sparse.tamu.edu/MM/{group}/{name}.tar.gz"
NAME = re.compile(r"([A-Za-z0-9_.-]+)/([A-Za-z0-9_.+-]+)")


def fetch(name, cache, *, opener=urllib.request.urlopen, timeout=60):
    """Return the Matrix Market file of a matrix, from the cache or the network.

    Parameters
    ----------
    name : str
        ``Group/Name``.
    cache : path-like
        Folder; the archive, its SHA-256 in a file beside it, and the matrix are kept
        in its subfolder Group.
    opener : callable, optional
        As `urllib.request.urlopen`.
    timeout : float, optional
        Seconds.

    Returns
    -------
    Path
        The file NAME.mtx.

    Raises
    ------
    ValueError
        If there is no network, no such matrix, or the archive is damaged.
    """
    group, short = NAME.fullmatch(name).groups()
    folder = Path(cache) / group
    archive, matrix = folder / f"{short}.tar.gz", folder / f"{short}.mtx"
    checksum = archive.with_name(archive.name + ".sha256")
    if not archive.exists() or not checksum.exists():
        address = ADDRESS.format(group=group, name=short)
        try:
            with opener(address, timeout=timeout) as reply:
                content = reply.read()
        except urllib.error.HTTPError as error:
            raise ValueError(
                f"run: the collection must have {name}; got HTTP {error.code} from "
                f"{address}. Look the name up at https://sparse.tamu.edu."
            ) from None
        except OSError as error:
            raise ValueError(
                f"run: {name} must be fetched from {address}, and there is no way there: "
                f"{getattr(error, 'reason', error)}. Put the archive into {folder} and run "
                "again, or give files."
            ) from None
        folder.mkdir(parents=True, exist_ok=True)
        _write(archive, content)
        digest = hashlib.sha256(content).hexdigest()
        _write(checksum, f"{digest}  {archive.name}\n".encode())
        matrix.unlink(missing_ok=True)
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    noted = checksum.read_text().split()[0]
    if found != noted:
        raise ValueError(
            f"run: {archive} must have the SHA-256 {noted}; got {found}. Delete it and run "
            "again."
        )
    if not matrix.exists():
        _write(matrix, _member(archive, f"{short}/{short}.mtx"))
    return matrix


def _member(archive, name):
    """Return the content of one file of an archive; nothing else is unpacked."""
    try:
        with tarfile.open(archive) as tar:
            return tar.extractfile(name).read()
    except (tarfile.TarError, KeyError, AttributeError, OSError, EOFError) as error:
        raise ValueError(
            f"run: {archive} must hold {name}; got {type(error).__name__}. Delete it and "
            "run again."
        ) from None


def _write(path, content):
    """Write all or nothing."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)
