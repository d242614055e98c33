"""A whole polynomial as one launch: its steps, captured in a CUDA graph."""

from collections import OrderedDict

from . import device
from .launch import Plan

__all__ = ["Applications"]


class Applications:
    """A polynomial of one operator, captured for the arrays that it is applied to.

    Parameters
    ----------
    stored : Stored
        As for `launch.Plan`.
    factors : ndarray, shape (degree, 4)
        On the host.
    limit : int, optional
        Graphs that are kept; the one not used for the longest time goes first.

    Attributes
    ----------
    refusal : str or None
        Why capturing was given up, where it was.
    n_captured, n_launched : int
        Graphs made; launches of graphs.

    Notes
    -----
    A graph holds addresses. It is used again for arrays at the same ones, so that whoever
    keeps his scratch has one launch per application from the third one on: the first
    compiles, which a capture does not allow, and the second captures.
    """

    def __init__(self, stored, factors, limit=4):
        self.stored, self.factors, self.limit = stored, factors, limit
        self.refusal, self.n_captured, self.n_launched = None, 0, 0
        self._plans, self._graphs = {}, OrderedDict()

    def run(self, x, work):
        """Compute p(S) x; see `launch.apply`.

        Parameters
        ----------
        x : cupy.ndarray
            Not changed.
        work : tuple of two cupy.ndarray
            Scratch.

        Returns
        -------
        cupy.ndarray
            One of `work`.
        """
        stream = device.cupy().cuda.get_current_stream()
        # Into a graph that the caller captures the kernels go one by one.
        if self.refusal is not None or x.size == 0 or stream.is_capturing():
            return self._plan(x).run(x, work)
        arrays = (x, *work)
        number = device.cupy().cuda.Device().id
        key = (number, x.dtype, x.shape, *(array.data.ptr for array in arrays))
        if key not in self._graphs:
            self._remember(key, None)
            return self._plan(x).run(x, work)
        graph = self._graphs[key]
        if graph is None:
            graph = self._capture(x, work)
            if graph is None:
                return self._plan(x).run(x, work)
        self._remember(key, graph)
        graph.launch()  # on the current stream
        self.n_launched += 1
        return work[(len(self.factors) - 1) % 2]

    def _plan(self, x):
        key = device.cupy().cuda.Device().id, x.dtype, x.shape
        if key not in self._plans:
            if len(self._plans) >= self.limit:
                self._plans.clear()
            self._plans[key] = Plan(self.stored, self.factors, x.dtype, x.shape)
        return self._plans[key]

    def _remember(self, key, graph):
        self._graphs[key] = graph
        self._graphs.move_to_end(key)
        while len(self._graphs) > self.limit:
            self._graphs.popitem(last=False)

    def _capture(self, x, work):
        """Return the graph, or None where the device refuses."""
        # On a stream of its own: the legacy default stream cannot be captured.
        stream = device.cupy().cuda.Stream(non_blocking=True)
        plan = self._plan(x)
        try:
            with stream:
                stream.begin_capture()
                try:
                    plan.run(x, work)
                finally:
                    graph = stream.end_capture()
        except RuntimeError as error:  # of the driver and of the runtime, both
            self.refusal = str(error)
            return None
        self.n_captured += 1
        return graph
