"""The engine for general matrices: one small network that reads an Arnoldi probe.

It says after how many steps the probe may stop, and with which emphasis on large
eigenvalues its residual polynomial is made. `forward` is written once and runs under
NumPy here and under torch in training. Output zero is the GMRES polynomial.
"""

import itertools
from dataclasses import asdict, dataclass

import numpy as np

from .roots import RootPolynomial, with_added_roots

__all__ = [
    "GmresConfig",
    "GmresEngine",
    "extend",
    "features",
    "forward",
    "harmonic_ritz",
    "init",
    "preferences",
    "roots",
    "stages",
]

_STAGES = (6, 8, 12, 17, 24)  # steps of the probe after which the network is asked
_EARLY = 0.85  # a stage above this share of degree + 1 would save too little
_CONTINUED = 6  # last columns of H whose mean continues it
_CLIP = 8.0  # of features
_FLOOR = 1e-12  # of ratios, before their logarithm is taken


@dataclass(frozen=True)
class GmresConfig:
    """Shape of the network, and what it chooses from.

    Attributes
    ----------
    emphases : tuple of float
        Shares of S v against v in the start vector of the residual polynomial; the
        first is 0, the GMRES polynomial.
    n_hidden : int
        Width of its two hidden layers.
    """

    emphases: tuple[float, ...] = (0.0, 0.4, 0.75, 1.0)
    n_hidden: int = 32

    def __post_init__(self):
        object.__setattr__(self, "emphases", tuple(self.emphases))

    @property
    def n_features(self):
        """How many numbers the network reads."""
        return 23 + 4 * len(self.emphases)

    def to_dict(self):
        """Return the configuration as plain numbers.

        Returns
        -------
        dict
            Keyword arguments of `GmresConfig`.
        """
        return {k: list(v) if type(v) is tuple else v for k, v in asdict(self).items()}


def init(config, rng):
    """Draw parameters for training.

    Parameters
    ----------
    config : GmresConfig
        Shape of the network.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    dict of str to ndarray
        w0, b0, …; the last layer is zero: training starts at the GMRES polynomial.
        low, high, the range of each feature that training has met: not limited yet.
    """
    n_out = len(config.emphases) + 1
    sizes = [config.n_features, config.n_hidden, config.n_hidden, n_out]
    params = {}
    for k, (n_in, n) in enumerate(itertools.pairwise(sizes)):
        scale = 0.0 if k == len(sizes) - 2 else 1 / np.sqrt(n_in)
        params[f"w{k}"] = scale * rng.standard_normal((n_in, n))
        params[f"b{k}"] = np.zeros(n)
    params["low"] = np.full(config.n_features, -_CLIP)
    params["high"] = np.full(config.n_features, _CLIP)
    return params


def preferences(params, x):
    """Run the network where it knows its way.

    Parameters
    ----------
    params : dict of str to ndarray
        As `init` makes them.
    x : ndarray, shape (..., n_features)
        Features, dimensionless.

    Returns
    -------
    ndarray, shape (..., len(emphases) + 1)
        As `forward` returns them; zero, which is the GMRES polynomial, where a feature is
        outside of what training has met.
    """
    known = ((x >= params["low"]) & (x <= params["high"])).all(axis=-1, keepdims=True)
    return np.where(known, forward(params, x), 0.0)


def forward(params, x, xp=np):
    """Run the network.

    Parameters
    ----------
    params : dict of str to array
        As `init` makes them; arrays of the kind of `x`.
    x : array, shape (..., n_features)
        Features, dimensionless.
    xp : module, optional
        ``numpy`` or ``torch``.

    Returns
    -------
    array, shape (..., len(emphases) + 1)
        Preferences: to go on probing, then for each emphasis.
    """
    last = sum(key.startswith("w") for key in params) - 1
    for k in range(last):
        h = xp.tanh(x @ params[f"w{k}"] + params[f"b{k}"])
        x = x + h if h.shape == x.shape else h  # (..., n_hidden)
    return x @ params[f"w{last}"] + params[f"b{last}"]


def stages(degree):
    """Return after how many steps of the probe the network is asked.

    Parameters
    ----------
    degree : int
        Degree of p.

    Returns
    -------
    list of int
        Rising; the last is degree + 1, where the GMRES polynomial is known.
    """
    return [*(m for m in _STAGES if m <= _EARLY * (degree + 1)), degree + 1]


def extend(H, size):
    """Continue a Hessenberg matrix by the mean of its last columns.

    Parameters
    ----------
    H : ndarray, shape (m + 1, m)
        Of m steps of Arnoldi's process.
    size : int
        Rows and columns wanted.

    Returns
    -------
    ndarray, shape (size, size)
        Its first m columns are those of H; the others hold along each diagonal the mean
        of the last six entries known. Where Arnoldi's process broke down, H itself,
        square: nothing follows.

    Notes
    -----
    For smooth spectra the columns tend to a limit, the symbol of a Toeplitz matrix,
    which describes the region of the spectrum as two coefficients describe an interval.
    """
    m = H.shape[1]
    if H[m, m - 1] == 0:
        return H[:m]
    if size <= m:
        return H[:size, :size]
    T = np.zeros((size + 1, size), H.dtype)
    T[: m + 1, :m] = H
    for offset in range(-1, m):
        known = np.diagonal(H, offset)[-_CONTINUED:]
        j = np.arange(m, size)
        T[j - offset, j] = known.mean()
    return T[:size]


def harmonic_ritz(H):
    """Return the harmonic Ritz values of a Hessenberg matrix.

    Parameters
    ----------
    H : ndarray, shape (m + 1, m)
        Of m steps of Arnoldi's process.

    Returns
    -------
    ndarray of complex128, shape (at most m,)
        The roots of the residual polynomial of GMRES; those at infinity are left out,
        as are zeros, which only H that is singular in the last step has.
    """
    m = H.shape[1]
    square = H[:m].astype(np.result_type(H, np.float64), copy=True)
    h = abs(H[m, m - 1])
    if h:
        # Through the pseudo-inverse a singular H gives large roots in place of none.
        U, sigma, Vh = np.linalg.svd(square)
        sigma = np.maximum(sigma, 1e-14 * np.hypot(sigma[0], h))
        unit = np.eye(m)[m - 1]
        square[:, m - 1] += h**2 * (U @ ((Vh @ unit) / sigma))
    values = np.linalg.eigvals(square).astype(np.complex128)
    size = np.abs(values)
    return values[np.isfinite(values) & (size > 1e-14 * size.max(initial=0.0))]


def roots(H, degree, emphasis):
    """Return the roots of a residual polynomial for a probe.

    Parameters
    ----------
    H : ndarray, shape (m + 1, m)
        Of m steps of Arnoldi's process.
    degree : int
        Degree of p.
    emphasis : float
        Share of S v against v, both of length 1, in the start vector.

    Returns
    -------
    ndarray of complex128, shape (at most degree + 1,)
        In no order. With emphasis 0 and m = degree + 1 those of GMRES.
    """
    k = degree + 1
    if emphasis == 0 and H.shape[1] >= k:
        return harmonic_ritz(H[: k + 1, :k])
    T = extend(H, k + 2)
    return harmonic_ritz(_arnoldi(T, _start(T, emphasis), k))


def _start(T, emphasis):
    y = np.zeros(len(T), T.dtype)
    y[0] = 1
    if emphasis == 0:
        return y
    w = T[:, 0] / (np.linalg.norm(T[:, 0]) or 1.0)
    turned = w[0].conjugate() / abs(w[0]) if w[0] else 1.0
    y = (1 - emphasis) * y + emphasis * turned * w
    return y / (np.linalg.norm(y) or 1.0)


def _arnoldi(T, v, k):
    """Run Arnoldi's process on a small matrix."""
    k = min(k, len(T))
    V, H = np.zeros((k + 1, len(T)), T.dtype), np.zeros((k + 1, k), T.dtype)
    V[0] = v
    for j in range(k):
        w = T @ V[j]
        size = np.linalg.norm(w)
        for _ in range(2):
            h = V[: j + 1].conj() @ w
            w = w - h @ V[: j + 1]
            H[: j + 1, j] += h
        left = np.linalg.norm(w)
        if not left > 1e-14 * size:
            return H[: j + 2, : j + 1]
        H[j + 1, j] = left
        V[j + 1] = w / left
    return H


def features(H, degree, config):
    """Turn a probe into what the network reads.

    Parameters
    ----------
    H : ndarray, shape (m + 1, m)
        Of m steps of Arnoldi's process.
    degree : int
        Degree of p.
    config : GmresConfig
        With the emphases.

    Returns
    -------
    x : ndarray, shape (n_features,)
        Dimensionless: sizes, how GMRES converges, where the harmonic Ritz values are,
        departure from normality, how settled the last columns are, how well three
        quarters of the probe foretell the rest; then for each emphasis how its residual
        polynomial behaves.
    candidates : list of ndarray
        Roots for each emphasis.
    """
    m, k = H.shape[1], degree + 1
    square = H[:m]
    size = np.linalg.norm(H, 2) or 1.0
    curve = _residuals(H)
    theta = harmonic_ritz(H)
    theta = theta if theta.size else np.array([size + 0j])
    ritz = np.linalg.eigvals(square)
    moduli = np.sort(np.abs(theta)) / size
    below = np.abs(np.diagonal(H, -1))[-4:] / size
    on = np.diagonal(square)[-4:] / size
    gram = square.conj().T @ square - square @ square.conj().T
    T = extend(H, k + 2)
    early = max(2, 3 * m // 4)
    foretold = [
        _norm(extend(H, m + 1), roots(H[: early + 1, :early], m - 1, e))
        for e in (0.0, 0.75)
    ]
    found = [roots(H, degree, e) for e in config.emphases]
    x = [
        np.log10(k / 16),
        m / k,
        *(_log(curve[[m // 4, m // 2, 3 * m // 4, m]])),
        _log(curve[m] / max(curve[max(m - 3, 0)], 1e-300)),
        *_log(np.quantile(moduli, [0, 0.25, 0.5, 1])),
        np.abs(np.angle(theta)).max() / np.pi,
        np.abs(theta.imag).max() / size,
        np.mean(theta.real < 0),
        np.mean(ritz.real < 0),
        _log(np.abs(ritz).min() / size),
        np.linalg.norm(gram) / size**2,
        np.linalg.norm(square - square.conj().T, 2) / size,
        _log(below[-1]),
        below.std() / (below.mean() or 1.0),
        on.std(),
        *(_log(f) - _log(curve[m]) for f in foretold),
    ]
    plain = None
    outer = 1.04 * np.concatenate([theta, ritz])
    for values in found:
        now = [
            _log(_norm(T, values)),
            _log_max(values, outer),
            _log_max(values, ritz),
            _growth(values),
        ]
        plain = plain or now
        x += now
    return np.clip(np.nan_to_num(np.array(x, float)), -_CLIP, _CLIP), found


def _log(x):
    return np.log10(np.maximum(x, _FLOOR))


def _residuals(H):
    """Return the residual norms of GMRES after 0, 1, … steps, relative."""
    m = H.shape[1]
    norms = np.ones(m + 1)
    R, target = H.astype(np.result_type(H, np.float64)), np.eye(m + 1)[0].astype(H.dtype)
    for j in range(m):
        a, b = R[j, j], R[j + 1, j]
        length = np.hypot(abs(a), abs(b)) or 1.0
        G = np.array([[np.conj(a), np.conj(b)], [-b, a]]) / length
        R[j : j + 2] = G @ R[j : j + 2]
        target[j : j + 2] = G @ target[j : j + 2]
        norms[j + 1] = abs(target[j + 1])
    return norms


def _norm(T, values):
    """Return the norm of φ(T) e_1."""
    v = np.eye(len(T))[0].astype(np.complex128)
    for root in _spread(values):
        v = v - T @ v / root
    size = np.linalg.norm(v)
    return size if np.isfinite(size) else 1e300


def _spread(values):
    """Order roots by turns, large and small, so that products stay in range."""
    ordered = values[np.argsort(np.abs(values), kind="stable")]
    half = (len(ordered) + 1) // 2
    mixed = np.empty_like(ordered)
    mixed[0::2], mixed[1::2] = ordered[::-1][:half], ordered[: len(ordered) - half]
    return mixed


def _log_max(values, points):
    if not values.size:
        return 0.0
    factors = np.maximum(np.abs(1 - points[:, None] / values), 1e-300)
    return np.log10(factors).sum(axis=1).max()


def _growth(values):
    if values.size < 2:
        return 0.0
    quotients = np.maximum(np.abs(1 - values[:, None] / values), 1e-300)
    np.fill_diagonal(quotients, 1.0)
    return np.log10(quotients).sum(axis=1).max() / 4


class GmresEngine:
    """A trained network with its configuration and provenance.

    Parameters
    ----------
    config : GmresConfig
        Shape of the network.
    params : dict of str to ndarray
        Parameters, float32 or float64.
    provenance : dict
        Whatever training recorded.
    name : str
        Shown in reports.
    digest : str
        Hash of the weights file, shown in reports.
    """

    def __init__(self, config, params, provenance, name, digest):
        self.config = config
        self.params = {k: np.asarray(v, dtype=np.float64) for k, v in params.items()}
        self.provenance = provenance
        self.name = name
        self.digest = digest

    def steps(self, H, degree):
        """Return how many steps of Arnoldi's process are wanted.

        Parameters
        ----------
        H : ndarray, shape (m + 1, m)
            Of the steps made so far.
        degree : int
            Degree of p.

        Returns
        -------
        int
            m where the probe says enough, or broke down; otherwise the next stage.
        """
        H, _ = _check(H)
        m = H.shape[1]
        later = [s for s in stages(degree) if s > m]
        if not later or H[m, m - 1] == 0:
            return m
        x, _ = features(H, degree, self.config)
        return later[0] if int(np.argmax(preferences(self.params, x))) == 0 else m

    def probe(self, arnoldi, degree):
        """Probe for as long as it pays, and return the polynomial.

        Parameters
        ----------
        arnoldi : Arnoldi
            Anything whose `extend(m)` makes steps until there are m, and returns an
            object with the Hessenberg matrix so far as `hessenberg`.
        degree : int
            Degree of p.

        Returns
        -------
        RootPolynomial
            As `propose` returns it.
        """
        for m in stages(degree):
            H = arnoldi.extend(m).hessenberg
            if self.steps(H, degree) <= H.shape[1]:
                break
        return self.propose(H, degree)

    def propose(self, H, degree):
        """Return the polynomial for a probe.

        Parameters
        ----------
        H : ndarray, shape (m + 1, m)
            Of m steps of Arnoldi's process; a last row of zeros where it broke down.
        degree : int
            Degree of p, lower where the roots found are fewer, higher where some are
            added for stability.

        Returns
        -------
        RootPolynomial
            Roots in Leja's order.

        Raises
        ------
        ValueError
            If H is not the finite Hessenberg matrix of a process, or no root exists:
            then no polynomial of this kind is any use.

        Notes
        -----
        Takes 1 to 3 ms. Where H is longer than degree + 1 its first columns count.
        """
        H, unit = _check(H)
        H = H[: degree + 2, : degree + 1]
        is_real = H.dtype.kind != "c"
        m = H.shape[1]
        if H[m, m - 1] == 0:
            # The Krylov space is exhausted: its polynomial is exact, no judging needed.
            found = harmonic_ritz(H)
        else:
            x, candidates = features(H, degree, self.config)
            found = candidates[int(np.argmax(preferences(self.params, x)[1:]))]
            found = found if found.size else harmonic_ritz(H)
        if not found.size:
            raise ValueError(
                "propose: H must have a harmonic Ritz value other than zero; got none of "
                f"{m}. Precondition by the base alone."
            )
        return RootPolynomial(tuple(unit * with_added_roots(found, is_real)))


def _check(H):
    """Return H over a power of two near its size, so that squares stay in range."""
    H = np.asarray(H)
    if H.ndim != 2 or H.shape[0] != H.shape[1] + 1 or H.shape[1] < 1:
        raise ValueError(f"propose: H must have shape (m + 1, m); got {H.shape}.")
    if not np.isfinite(H).all():
        raise ValueError(
            f"propose: H must be finite; got {int((~np.isfinite(H)).sum())} entries that "
            "are not. Scale the matrix."
        )
    size = float(np.abs(H).max())
    unit = 2.0 ** np.floor(np.log2(size)) if size else 1.0
    return H / unit, unit
