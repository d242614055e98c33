"""Times that the cost model counts with, by `python -m bench calibrate`.

Seconds per call; seconds per byte for sizes in the cache and far outside.
Measured on AMD EPYC, Python 3.11.7, NumPy 2.4.6, SciPy 1.17.1, 2026-11-25.
"""

__all__ = ["TIMES"]

TIMES = {
    "call": 3.6e-07,
    "product_call": 2.36e-06,
    "iteration_call": 6.62e-06,
    "product": [2.5e-11, 7.3e-11],
    "vectors": [9.34e-12, 2.89e-11],
    "step_call": 5.34e-07,
    "apply_call": 2.99e-05,
    "step": {
        "csr": [4.11e-11, 9.41e-11],
        "dia": [8.81e-12, 1.11e-11],
        "sell": [2.2e-11, 2.33e-11],
        "fields": [1.84e-11, 3.48e-11],
    },
    "arrange": [6.94e-11, 7.51e-11],
    "setup_call": 0.00047,
}
