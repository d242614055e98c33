"""Times that the cost model counts with, by `python -m bench calibrate`.

Seconds per call; seconds per byte for sizes in the cache and far outside.
Measured on AMD EPYC, Python 3.11.7, NumPy 2.4.6, SciPy 1.17.1, 2026-11-21.
"""

__all__ = ["TIMES"]

TIMES = {
    "call": 4.5e-07,
    "product_call": 2.88e-06,
    "iteration_call": 8.62e-06,
    "product": [3.47e-11, 8.33e-11],
    "vectors": [1.72e-11, 3.7e-11],
    "step_call": 6.77e-07,
    "apply_call": 4.49e-05,
    "step": {"csr": [6.11e-11, 1.23e-10], "dia": [4.55e-12, 1.51e-11]},
    "setup_call": 0.000922,
}
