"""`make` for matrices on a CUDA device: the engine's polynomial, probed and applied there.

Written against an array module ``xp``; nothing here imports CuPy. Only scalars come back to
the host. What there is and what is unproved: docs/gpu.md.
"""
