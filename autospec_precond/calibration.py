"""Times that the cost model counts with, by `python -m bench calibrate`.

Seconds per call; seconds per byte for sizes in the cache and far outside.
Measured on AMD EPYC, Python 3.11.7, NumPy 2.4.6, SciPy 1.17.1, 2026-11-21.
"""

__all__ = ["TIMES"]

TIMES = {
    "call": 4.91e-07,
    "product_call": 2.95e-06,
    "iteration_call": 8.92e-06,
    "product": [3.49e-11, 8.35e-11],
    "vectors": [1.77e-11, 6.09e-11],
    "step_call": 6.63e-07,
    "apply_call": 4.64e-05,
    "step": {"csr": [6.12e-11, 1.55e-10], "dia": [1.24e-11, 1.49e-11]},
    "setup_call": 0.00115,
}
