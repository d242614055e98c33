"""Times that the cost model counts with, by `python -m bench calibrate`.

Seconds per call; seconds per byte for sizes in the cache and far outside.
Measured on AMD EPYC, Python 3.11.7, NumPy 2.4.6, SciPy 1.17.1, 2026-11-21.
"""

__all__ = ["TIMES"]

TIMES = {
    "call": 4.4e-07,
    "product_call": 2.96e-06,
    "iteration_call": 8.9e-06,
    "product": [3.57e-11, 8.31e-11],
    "vectors": [1.78e-11, 3.7e-11],
    "step_call": 6.63e-07,
    "apply_call": 4.66e-05,
    "step": {"csr": [6.03e-11, 1.98e-10], "dia": [1.53e-11, 2.28e-11]},
    "setup_call": 0.000873,
}
