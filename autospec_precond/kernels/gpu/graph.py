"""A whole application as one launch: its kernels, captured in a CUDA graph."""

from collections import OrderedDict

from . import device, launch

__all__ = ["Applications", "Repeated"]

_NEW = object()  # arrays that have not been seen


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
    A graph holds addresses. It is used again for arrays at the same ones: solvers allocate
    the same few over and over. There is one launch per application from the second one on;
    the first one compiles, which a capture does not allow.
    """

    def __init__(self, stored, factors, limit=16):
        self.stored, self.factors, self.limit = stored, factors, limit
        self.refusal, self.n_captured, self.n_launched = None, 0, 0
        self._plans, self._graphs = OrderedDict(), OrderedDict()

    def run(self, x, work):
        """Compute p(S) x; see `launch.apply`.

        Parameters
        ----------
        x : cupy.ndarray, shape (n,) or (n, k)
            Not changed.
        work : tuple of two cupy.ndarray
            Scratch.

        Returns
        -------
        cupy.ndarray
            One of `work`.
        """
        plan = self._plan(x)
        self._run((x, *work), (), lambda: plan.run(x, work))
        return work[(len(self.factors) - 1) % 2]

    def scaled(self, x, out, scales, start, work):
        """Set out <- R p(S) L x, of one launch with the scalings in it.

        Parameters
        ----------
        x, out : cupy.ndarray, shape (n,) or (n, k)
            In any order and precision; may be one.
        scales : tuple
            L, a factor of it, R, a factor of it, as `launch.scale` takes them.
        start : cupy.ndarray, shape of `x`
            Scratch in the type of the recurrence.
        work : tuple of two cupy.ndarray
            Scratch like `start`.
        """
        left, into, right, back = scales
        plan = self._plan(start)

        def kernels():
            """Start them one by one."""
            launch.scale(x, left, into, start)
            launch.scale(plan.run(start, work), right, back, out)

        weights = [array for array in (left, right) if array is not None]
        arrays = (x, out, start, *work, *weights)
        self._run(arrays, (float(into), float(back), left is None), kernels)

    def _run(self, arrays, constants, kernels):
        """Start some kernels, in one launch where these arrays are not new."""
        cuda = device.cupy().cuda
        # Into a graph that the caller captures the kernels go one by one.
        captured = cuda.get_current_stream().is_capturing()
        if self.refusal is not None or arrays[0].size == 0 or captured:
            kernels()
            return
        layouts = tuple((a.data.ptr, a.dtype, a.shape, a.strides) for a in arrays)
        key = (cuda.Device().id, constants, layouts)
        # Asked for once: another thread may push it out at any time.
        graph = self._graphs.get(key, _NEW)
        if graph is _NEW:
            kernels()
            _remember(self._graphs, key, None, self.limit)
            return
        graph = graph or self._captured(cuda, kernels)
        if graph is None:
            kernels()
            return
        _remember(self._graphs, key, graph, self.limit)
        graph.launch()  # on the current stream
        self.n_launched += 1

    def _plan(self, x):
        key = device.cupy().cuda.Device().id, x.dtype, x.shape
        plan = self._plans.get(key)
        if plan is None:
            plan = launch.Plan(self.stored, self.factors, x.dtype, x.shape)
            _remember(self._plans, key, plan, self.limit)
        return plan

    def _captured(self, cuda, kernels):
        graph, self.refusal = _capture(cuda, kernels)
        self.n_captured += graph is not None
        return graph


class Repeated:
    """Some launches that are made again and again, on the same arrays.

    Parameters
    ----------
    kernels : callable
        Starts them on the current stream and allocates nothing.

    Notes
    -----
    The first call starts them one by one, which compiles what is new; from the second on
    they are one launch.
    """

    def __init__(self, kernels):
        self.kernels, self.graph, self.refusal, self.fresh = kernels, None, None, True

    def __call__(self):
        """Start all of them."""
        cuda = device.cupy().cuda
        if self.fresh or self.refusal or cuda.get_current_stream().is_capturing():
            self.fresh = False
            self.kernels()
            return
        if self.graph is None:
            self.graph, self.refusal = _capture(cuda, self.kernels)
            if self.graph is None:
                self.kernels()
                return
        self.graph.launch()


def _capture(cuda, kernels):
    """Return the graph and None, or None and why the device refuses."""
    # On a stream of its own: the legacy default stream cannot be captured.
    stream = cuda.Stream(non_blocking=True)
    try:
        with stream:
            stream.begin_capture()
            try:
                kernels()
            finally:
                graph = stream.end_capture()
    except RuntimeError as error:  # of the driver and of the runtime, both
        return None, str(error)
    return graph, None


def _remember(kept, key, value, limit):
    kept.pop(key, None)  # the newest one stands last
    kept[key] = value
    while len(kept) > limit:
        kept.popitem(last=False)
