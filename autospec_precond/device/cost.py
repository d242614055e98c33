"""Counted cost on a device: bytes over a bandwidth, and launches.

The times were measured on an H200. What degrees are compared by is their ratios, which
other devices share but for the launches.
"""

from dataclasses import dataclass

from autospec_precond import cost

__all__ = ["Costs"]

_SECONDS_PER_BYTE = 3.3e-13  # 3 TB/s of the 4.2 of a copy
_LAUNCH = 8e-6  # of a kernel from Python
_IN_GRAPH = 1.6e-6  # of a kernel inside a graph
_STORE_PASSES = 20  # as on the host

# Seconds of the launches and synchronisations of an iteration of CuPy's solvers, and
# vectors of length n that it moves, as on the host. Those of gmres are assumed to be like
# cg's, and those of minres counted from its 22 launches and 4 looks.
_OUTER = {"cg": (1.8e-4, 14), "gmres": (1.8e-4, 80), "minres": (3.2e-4, 45)}
_STORE_LAUNCHES = 60


@dataclass(frozen=True)
class Costs(cost.Costs):
    """Sizes that the cost of one application on a device is counted from."""

    def step(self):
        """Return the time of one product inside an application.

        Returns
        -------
        float
            Seconds.
        """
        passes = 4 if self.fused else 14
        moved = self._entries() + passes * self.n * self.vector_bytes
        calls = _IN_GRAPH if self.fused else 8 * _LAUNCH
        return calls + moved * _SECONDS_PER_BYTE

    def _entries(self):
        if self.matrix_bytes is not None:
            return self.matrix_bytes
        return self.nnz * (self.value_bytes + 4)

    def product(self):
        """Return the time of one product with A.

        Returns
        -------
        float
            Seconds.
        """
        return 5 * _LAUNCH + (12 * self.nnz + 20 * self.n) * _SECONDS_PER_BYTE

    def outer(self):
        """Return the time of one iteration of CuPy's solver with the base alone.

        Returns
        -------
        float
            Seconds.
        """
        calls, passes = _OUTER.get(self.solver, _OUTER["cg"])
        return calls + self.product() + passes * 8 * self.n * _SECONDS_PER_BYTE

    def edges(self):
        """Return the time of an application but for its products.

        Returns
        -------
        float
            Seconds.
        """
        return 10 * _LAUNCH + 4 * 8 * self.n * _SECONDS_PER_BYTE

    def setup(self, degree):
        """Return the time from the end of the probe to M, self-check and proof left out.

        Parameters
        ----------
        degree : int
            Products per application.

        Returns
        -------
        float
            Seconds.
        """
        if degree == 0:
            return 0.0
        stored = _STORE_PASSES * 8 * self.nnz * _SECONDS_PER_BYTE
        return _STORE_LAUNCHES * _LAUNCH + stored + 8 * self.product()
