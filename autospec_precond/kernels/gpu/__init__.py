"""The kernels on a GPU; nothing here imports CuPy before it is asked for."""
