"""Vectors on a device: sums, random numbers, and the vectors of Lanczos steps."""

import functools

import numpy as np

__all__ = ["FusedSteps", "Random", "Steps", "dot", "norm", "scalar", "uniform"]

_SMALL, _BIG = 1e-280, 1e280  # squares outside have lost digits


def scalar(x):
    """Bring one number back to the host.

    Parameters
    ----------
    x : array, shape ()
        On the device.

    Returns
    -------
    float, complex, int or bool
        After all that was queued before.
    """
    return x.item()


def dot(x, y):
    """Return x* y, brought back to the host.

    Parameters
    ----------
    x, y : array, shape (n,)
        On the device.

    Returns
    -------
    float or complex
        Summed by halves, not by cuBLAS: in the same order in every run. In double
        precision: squares of small numbers are zero in float32.
    """
    wide = np.result_type(x.dtype, np.float64)
    x, y = x.astype(wide, copy=False), y.astype(wide, copy=False)
    return scalar(((x.conj() if x.dtype.kind == "c" else x) * y).sum())


def norm(x):
    """Return the Euclidean length of a vector.

    Parameters
    ----------
    x : array, shape (n,)
        On the device.

    Returns
    -------
    float
        Also where squares leave the range of float64.
    """
    square = dot(x, x).real
    if _SMALL < square < _BIG:
        return float(np.sqrt(square))
    size = scalar(abs(x).max())
    if not (size > 0 and np.isfinite(size)):
        return 0.0 if size == 0 else np.inf
    return size * float(np.sqrt(dot(x / size, x / size).real))


def uniform(xp, seed, n):
    """Return n numbers, uniform in (0, 1): number i is a hash of seed + i.

    Parameters
    ----------
    xp : module
        Array module.
    seed : int
        Where the stream begins.
    n : int
        How many.

    Returns
    -------
    array, shape (n,)
        In double precision; the same on every device.

    References
    ----------
    .. [1] G. L. Steele, D. Lea and C. H. Flood, "Fast splittable pseudorandom number
       generators", OOPSLA 2014, pp. 453-472.
    """
    z = xp.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = z + seed
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return ((z >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


class Random:
    """Random vectors made on the device, where no library of random numbers is needed.

    Parameters
    ----------
    xp : module
        Array module.
    rng : numpy.random.Generator
        Where the seed of each vector is drawn.
    source : callable, optional
        Makes numbers of a seed and a count; `uniform` by default.
    """

    def __init__(self, xp, rng, source=None):
        self.xp, self.rng = xp, rng
        self.source = source or functools.partial(uniform, xp)

    def random(self, n):
        """Return n numbers, uniform in (0, 1).

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        array, shape (n,)
            In double precision.
        """
        return self.source(self.rng.integers(0, 2**63, dtype=np.uint64), n)

    def standard_normal(self, n):
        """Return n numbers from the normal distribution.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        array, shape (n,)
            In double precision, after Box and Muller.
        """
        radius = self.xp.sqrt(-2.0 * self.xp.log(self.random(n)))
        return radius * self.xp.cos(2.0 * np.pi * self.random(n))

    def of_modulus_near_one(self, n, dtype):
        """Return n numbers of modulus 0.5 to 1.5: no entry of A hides behind a small one.

        Parameters
        ----------
        n : int
            How many.
        dtype : dtype
            Either float64 or complex128.

        Returns
        -------
        array, shape (n,)
            Signs or phases are random.
        """
        part = self.random(n)
        if dtype.kind == "c":
            return (0.5 + part) * self.xp.exp(2j * np.pi * self.random(n))
        return self.xp.where(part < 0.5, 2.0 * part - 1.5, 2.0 * part - 0.5)


class Steps:
    """Vectors of Lanczos steps on a device; see `probing.lanczos`.

    Parameters
    ----------
    product : callable
        The operator.
    start : array, shape (n,)
        Start vector; not changed.
    image : array, shape (n,), or None
        The operator times it.
    """

    def __init__(self, product, start, image=None):
        self.product, self.image = product, image
        self.v, self.w, self.before = start, None, None

    def norm(self):
        """Make the start vector one of length one."""
        length = norm(self.v)
        self.v = self.v / length
        if self.image is not None:
            self.image = self.image / length

    def multiply(self, b):
        """Set w <- S v - b times the vector before.

        Parameters
        ----------
        b : float
            0 in the first step.

        Returns
        -------
        float
            v* w.
        """
        if self.image is not None:
            self.w, self.image = self.image, None
        else:
            self.w = self.product(self.v)
        if self.before is not None:
            self.w -= b * self.before
        return float(dot(self.v, self.w).real)

    def subtract(self, a):
        """Set w <- w - a v.

        Parameters
        ----------
        a : float
            What `multiply` returned.

        Returns
        -------
        float
            The norm of w.
        """
        self.w -= a * self.v
        return norm(self.w)

    def again(self):
        """Take what cancellation has left of v and the vector before out of w.

        Returns
        -------
        part : float
            What there was of v.
        norm : float
            Of what is left.
        """
        part = float(dot(self.v, self.w).real)
        self.w -= part * self.v
        if self.before is not None:
            self.w -= dot(self.before, self.w) * self.before
        return part, norm(self.w)

    def advance(self, b):
        """Make w the next vector.

        Parameters
        ----------
        b : float
            Its norm.
        """
        self.w /= b
        self.before, self.v = self.v, self.w


class FusedSteps(Steps):
    """The same with kernels of ours: a product and five launches, two looks per step.

    Parameters
    ----------
    product : bases.Explicit
        The operator.
    start, image : array, shape (n,)
        As for `Steps`.
    library : kernels.Fused
        The kernels.
    """

    def __init__(self, product, start, image, library):
        super().__init__(product, start, image)
        self.library, xp = library, library.xp
        self.sum = xp.empty(1, start.dtype)
        self.partial = library.partials(start)

    def multiply(self, b):
        """Set w <- S v - b times the vector before.

        Parameters
        ----------
        b : float
            0 in the first step.

        Returns
        -------
        float
            v* w.
        """
        if self.image is not None:
            self.w, self.image = self.image, None
            if self.before is not None:
                self.w -= b * self.before
        else:
            self.w = self.product.less(self.v, b, self.before)
        self.library.dot(self.v, self.w, self.sum, self.partial)
        return float(scalar(self.sum).real)

    def subtract(self, a):
        """Set w <- w - a v.

        Parameters
        ----------
        a : float
            What `multiply` returned.

        Returns
        -------
        float
            The norm of w.
        """
        self.library.subtract(a, self.v, self.w, self.sum, self.partial)
        square = float(scalar(self.sum).real)
        return float(np.sqrt(square)) if _SMALL < square < _BIG else norm(self.w)
