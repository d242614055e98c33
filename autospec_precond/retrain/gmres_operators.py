"""Synthetic general operators, small and sparse, for the training of the GMRES engine."""

import numpy as np
import scipy.sparse as sp

__all__ = ["FAMILIES", "draw"]


def draw(family, rng):
    """Draw an operator.

    Parameters
    ----------
    family : str
        A key of `FAMILIES`.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    csr_array, shape (n, n)
        Real, n about 150 to 1,200, grids and networks up to 4,000; rows scaled, or both
        sides, where it is not given by its spectrum.
    """
    most = 4000 if family in _LARGE else 1200
    n = int(np.exp(rng.uniform(np.log(150), np.log(most))))
    S = sp.csr_array(FAMILIES[family](n, rng))
    S.sum_duplicates()
    S.sort_indices()
    S.indptr, S.indices = S.indptr.astype(np.int32), S.indices.astype(np.int32)
    return S


def _triangular(values, rng):
    """Return a real block upper triangular matrix with these values and conjugates."""
    values = values[rng.permutation(values.size)]
    real = values[values.imag == 0].real
    pairs = values[values.imag != 0]
    n = real.size + 2 * pairs.size
    k = real.size + 2 * np.arange(pairs.size)
    single = np.arange(real.size)
    rows = np.concatenate([single, k, k + 1, k, k + 1])
    columns = np.concatenate([single, k, k + 1, k + 1, k])
    parts = [real, pairs.real, pairs.real, pairs.imag, -pairs.imag]
    S = sp.coo_array((np.concatenate(parts), (rows, columns)), (n, n)).tocsr()
    departure = rng.choice([0.0, 10 ** rng.uniform(-2, 0)])
    if departure:
        i, j = rng.integers(0, n, (2, 3 * n))
        # Whole blocks apart, so that the eigenvalues stay.
        keep = j > i + 2
        sizes = np.minimum(np.abs(S.diagonal())[i], np.abs(S.diagonal())[j])
        entries = departure * sizes * rng.standard_normal(i.size)
        S = S + sp.coo_array((entries[keep], (i[keep], j[keep])), (n, n)).tocsr()
    return S


def _ellipse(n, rng):
    radius = np.sqrt(rng.uniform(size=n // 2)) if rng.random() < 0.5 else np.ones(n // 2)
    angle = rng.uniform(0, np.pi, n // 2)
    a, b = rng.uniform(0.3, 0.999), 10 ** rng.uniform(-1.5, 0.3)
    return _triangular(1 + radius * (a * np.cos(angle) + 1j * b * np.sin(angle)), rng)


def _clusters(n, rng):
    k = int(rng.integers(2, 6))
    phase = rng.uniform(0, 0.48 * np.pi, k) * rng.choice([0, 1], k)
    centres = 10 ** rng.uniform(-2, 0, k) * np.exp(1j * phase)
    which = rng.integers(0, k, n // 2)
    radius = np.abs(centres) * 10 ** rng.uniform(-2, -0.3, k)
    noise = rng.standard_normal((2, n // 2))
    values = centres[which] + radius[which] * (noise[0] + 1j * noise[1]) / 2
    return _triangular(np.where(phase[which] == 0, values.real + 0j, values), rng)


def _real(n, rng):
    values = 10 ** rng.uniform(-rng.uniform(1, 5), 0, n)
    return _triangular(values ** rng.uniform(0.3, 1) + 0j, rng)


def _bulk(n, rng):
    """Values near 1, some tiny, some large, some negative."""
    noise = rng.standard_normal((2, n // 2))
    width, height = rng.uniform(0.05, 0.4, 2)
    values = 1 + width * np.clip(noise[0], -2.3, 2.3) + 1j * height * noise[1]
    values[: n // 4].imag *= rng.choice([0, 1])
    kinds = rng.random(3) < 0.5
    few = rng.integers(1, 25, 3)
    end = np.cumsum(few * kinds)
    begin = end - few * kinds
    values[begin[0] : end[0]] = 10 ** -rng.uniform(0.5, 4, end[0] - begin[0])
    values[begin[1] : end[1]] *= 10 ** rng.uniform(0.3, 2.5, end[1] - begin[1])
    values[begin[2] : end[2]] = -(10 ** -rng.uniform(0, 2.5, end[2] - begin[2]))
    return _triangular(values, rng)


def _grid(n, rng):
    """Convection, diffusion with jumps and reaction on a grid of 1 to 3 dimensions."""
    dims = int(rng.integers(1, 4))
    side = max(3, round(n ** (1 / dims)))
    shape = (side,) * dims
    total = side**dims
    spread = rng.choice([0.0, rng.uniform(0.3, 3)])
    kappa = np.exp(spread * rng.standard_normal(total)).reshape(shape)
    index = np.arange(total).reshape(shape)
    peclet = 10 ** rng.uniform(-2, 2) * rng.choice([0, 1], p=[0.2, 0.8])
    turning = rng.random() < 0.4
    rows, columns, entries = [], [], []
    diagonal = np.zeros(total)
    for axis in range(dims):
        low = np.take(index, range(side - 1), axis).ravel()
        high = np.take(index, range(1, side), axis).ravel()
        k = kappa.ravel()
        stiff = 10 ** rng.uniform(-1.5, 0) * 2 * k[low] * k[high] / (k[low] + k[high])
        wind = peclet * stiff.mean() * rng.uniform(-1, 1) * np.ones(low.size)
        if turning:
            wind *= np.cos(
                np.pi
                * np.take(np.indices(shape)[axis - 1], range(side - 1), axis).ravel()
                / side
            )
        half = rng.choice([0.0, 1.0])  # central differences, or upwind
        up, down = stiff + half * np.abs(wind) / 2, wind / 2
        rows += [low, high]
        columns += [high, low]
        entries += [-up + down, -up - down]
        np.add.at(diagonal, low, up + down * half)
        np.add.at(diagonal, high, up - down * half)
        if rng.random() < 0.8:
            ends = np.concatenate(
                [index.take(0, axis).ravel(), index.take(-1, axis).ravel()]
            )
            np.add.at(diagonal, ends, stiff.mean())
    shift = np.median(np.abs(diagonal)) * 10 ** rng.uniform(-5, 0)
    everything = np.arange(total)
    S = sp.coo_array(
        (
            np.concatenate([*entries, diagonal + shift * rng.uniform(0.5, 1.5, total)]),
            (np.concatenate([*rows, everything]), np.concatenate([*columns, everything])),
        ),
        (total, total),
    )
    return _scaled(S.tocsr(), rng)


def _network(n, rng):
    """Conductances between nodes of a random graph, some nodes with many neighbours."""
    many = int(n * rng.uniform(1.2, 3))
    power = rng.uniform(1, 3)
    i = (n * rng.uniform(size=many) ** power).astype(int)
    j = np.concatenate([np.arange(n), rng.integers(0, n, many)])[:many]
    keep = i != j
    i, j = i[keep], j[keep]
    g = np.exp(rng.uniform(0, 3) * rng.standard_normal(i.size))
    leak = np.median(g) * 10 ** rng.uniform(-4, 0) * rng.uniform(0, 1, n)
    L = sp.coo_array(
        (np.concatenate([-g, -g, g, g]), (np.r_[i, j, i, j], np.r_[j, i, i, j])), (n, n)
    ).tocsr()
    some = rng.integers(0, n, (2, int(n * rng.uniform(0, 0.5)) + 1))
    gain = np.median(g) * 10 ** rng.uniform(-1, 0.5) * rng.standard_normal(some.shape[1])
    S = (
        L
        + sp.diags_array(leak + 1e-300)
        + sp.coo_array((gain, tuple(some)), (n, n)).tocsr()
    )
    return _scaled(S, rng)


def _random(n, rng):
    """Random entries beside a dominant diagonal, as of Markov chains and electrolytes."""
    per = int(rng.integers(2, 12))
    i, j = rng.integers(0, n, (2, n * per))
    entries = (
        rng.uniform(0, 1, n * per) if rng.random() < 0.5 else rng.standard_normal(n * per)
    )
    entries *= np.exp(rng.uniform(0, 2) * rng.standard_normal(n * per))
    P = sp.coo_array((entries, (i, j)), (n, n)).tocsr()
    sums = np.maximum(abs(P).sum(axis=1), 1e-12)
    weight = rng.uniform(0.5, 1.3) * rng.uniform(0.7, 1.0, n)
    S = sp.eye_array(n) - sp.diags_array(weight / sums) @ P
    spread = np.exp(rng.choice([0.0, 1.0, 3.0]) * rng.standard_normal(n))
    return _scaled(S @ sp.diags_array(spread), rng)


def _scaled(S, rng):
    """Scale the rows, or both sides, as bases do."""
    sizes = np.asarray(abs(S).sum(axis=1)).ravel()
    sizes[sizes == 0] = 1
    if rng.random() < 0.6:
        return sp.diags_array(1 / sizes) @ S
    for _ in range(5):
        sizes = np.sqrt(np.maximum(abs(S).max(axis=1).toarray().ravel(), 1e-300))
        S = sp.diags_array(1 / sizes) @ S
        sizes = np.sqrt(np.maximum(abs(S).max(axis=0).toarray().ravel(), 1e-300))
        S = S @ sp.diags_array(1 / sizes)
    return S


FAMILIES = {
    "ellipse": _ellipse,
    "clusters": _clusters,
    "real": _real,
    "bulk": _bulk,
    "grid": _grid,
    "network": _network,
    "random": _random,
}

_LARGE = ("grid", "network")
