"""Right-hand sides, and convection-diffusion problems, for `python -m bench general`."""

import csv
from pathlib import Path

import numpy as np
import scipy.sparse as sp

__all__ = ["PECLETS", "convection", "matrices", "right_hand_side"]

PECLETS = (1, 20, 200, 2000)


def convection(n_side, peclet, wind="recirculating"):
    """Return -Δu + Pe w·∇u on the unit square, upwind, times h²; Dirichlet borders.

    `wind` is 'recirculating', w = (4 x (x - 1) (1 - 2 y), -4 y (y - 1) (1 - 2 x)), which
    turns about the middle and has length one at most, or 'constant', w = (cos 30°,
    sin 30°). Pe is the global Péclet number, for a length of one. Unknowns are the
    n_side² inner points.
    """
    h = 1.0 / (n_side + 1)
    points = h * np.arange(1, n_side + 1)
    y, x = (v.reshape(-1) for v in np.meshgrid(points, points, indexing="ij"))
    if wind == "constant":
        u, v = np.full(x.size, np.cos(np.pi / 6)), np.full(x.size, np.sin(np.pi / 6))
    else:
        u = 4 * x * (x - 1) * (1 - 2 * y)
        v = -4 * y * (y - 1) * (1 - 2 * x)
    u, v = peclet * h * u, peclet * h * v
    column = np.arange(x.size) % n_side
    west, east = -1 - np.maximum(u, 0), -1 + np.minimum(u, 0)
    south, north = -1 - np.maximum(v, 0), -1 + np.minimum(v, 0)
    middle = 4 + np.abs(u) + np.abs(v)
    west, east = np.where(column > 0, west, 0), np.where(column < n_side - 1, east, 0)
    A = sp.diags_array(
        [south[n_side:], west[1:], middle, east[:-1], north[:-n_side]],
        offsets=[-n_side, -1, 0, 1, n_side],
    ).tocsr()
    A.eliminate_zeros()
    return A


def matrices(folder, only=()):
    """Yield name, class and matrix: those of the catalogue that are not Hermitian.

    Without a catalogue.csv, all NAME.npz of the folder. Matrices marked as singular,
    and those with an empty row or column, are left out.
    """
    folder = Path(folder)
    catalogue = folder / "catalogue.csv"
    if catalogue.exists():
        with catalogue.open() as file:
            rows = [
                (row["name"], row["field"])
                for row in csv.DictReader(file)
                if (row["class"] == "nonsymmetric" or row["field"] == "complex")
                and row["class"] != "hermitian"
                and "singular" not in row["notes"]
            ]
    else:
        rows = [(path.stem, None) for path in folder.glob("*.npz")]
    found = []
    for name, field in rows:
        if only and name not in only:
            continue
        A = sp.csr_array(sp.load_npz(folder / f"{name}.npz"))
        pattern = A.astype(bool)
        if min(pattern.sum(axis=0).min(), pattern.sum(axis=1).min()) > 0:
            found.append(
                (A.nnz, name, field or ("complex" if A.dtype.kind == "c" else "real"), A)
            )
    for _, name, field, A in sorted(found, key=lambda row: row[:2]):
        yield name, field, A


def right_hand_side(A, kind):
    """Return b: random normal, or A times such a vector."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal(A.shape[0])
    if A.dtype.kind == "c":
        x = x + 1j * rng.standard_normal(A.shape[0])
    return A @ x if kind == "image" else x
