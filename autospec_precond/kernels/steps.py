"""Vectors of Lanczos steps with a matrix that is scaled on the way, in threads."""

import math

import numpy as np

from autospec_precond.sums import dot, norm

__all__ = ["Steps", "total"]


def total(sums):
    """Add up what blocks of rows gave.

    Parameters
    ----------
    sums : ndarray, shape (n_blocks,)
        One number a block.

    Returns
    -------
    float or complex
        Of a single block its own number: `numpy.sum` takes as long as the pass over it.
    """
    return sums.item() if sums.size == 1 else np.sum(sums).item()


class Steps:
    """Vectors of Lanczos steps, in two passes per step and product.

    Parameters
    ----------
    scaled : Scaled
        The operator.
    start : ndarray, shape (n,)
        Start vector.
    image : ndarray, shape (n,), or None
        S times it.

    Notes
    -----
    The length of the start vector is not one where its image is known: a pass less.
    """

    def __init__(self, scaled, start, image=None):
        self.scaled = scaled
        self.image = image
        self.v = np.array(start, scaled.double) if image is None else start
        self.w = np.empty_like(self.v)
        self.before, self.u = scaled.scratch()
        self.length, self.length_before, self.first = 1.0, 1.0, True

    def norm(self):
        """Make the start vector one of length one, or take its length."""
        if self.image is None:
            self._advance(self._subtract(0.0, self.v, self.v), self.v)
        else:
            self.length = norm(self.v)

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
        scaled = self.scaled
        if self.image is not None:
            self.w, self.image = self.image, None
            return float(dot(self.v, self.w).real) / self.length**2
        before = self.v if self.first else self.before
        return scaled.multiply(self.u, self.v, before, b / self.length_before, self.w)

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
        return self._subtract(a, self.v, self.w) / self.length

    def again(self):
        """Take what cancellation has left of v and the vector before out of w.

        Returns
        -------
        part : float
            What there was of v.
        norm : float
            Of what is left.
        """
        if self.length != 1:
            self.v, self.w, self.length = self.v / self.length, self.w / self.length, 1.0
        part = float(dot(self.v, self.w).real)
        self.w -= part * self.v
        if not self.first:
            self.w -= dot(self.before, self.w) / self.length_before**2 * self.before
        return part, self._subtract(0.0, self.v, self.w)

    def advance(self, b):
        """Make w the next vector.

        Parameters
        ----------
        b : float
            Its norm.
        """
        self._advance(b * self.length, self.w)
        self.length_before, self.length = self.length, 1.0
        self.before, self.v, self.w = self.v, self.w, self.before
        self.first = False

    def _subtract(self, a, v, w):
        scaled = self.scaled
        scaled.run(scaled.library.subtract, a, v, w, scaled.sums)
        square = total(scaled.sums)
        if 1e-280 < square < 1e280:
            return math.sqrt(square)
        size = float(np.abs(w).max())
        if not (size > 0 and np.isfinite(size)):
            return 0.0 if size == 0 else np.inf
        return size * norm(w / size)

    def _advance(self, b, w):
        scaled = self.scaled
        scaled.run(scaled.library.advance, b, scaled.scale, w, self.u)
