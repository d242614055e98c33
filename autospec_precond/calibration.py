"""Times that the cost model counts with, by `python -m bench calibrate`.

Seconds per call; seconds per byte for sizes in the cache and far outside.
Measured on AMD EPYC, Python 3.11.7, NumPy 2.4.6, SciPy 1.17.1, 2026-11-21.
"""

__all__ = ["TIMES"]

TIMES = {
    "call": 4.5e-07,
    "product_call": 2.91e-06,
    "iteration_call": 8.96e-06,
    "product": [3.48e-11, 8.19e-11],
    "vectors": [1.82e-11, 3.44e-11],
    "step_call": 6.63e-07,
    "apply_call": 4.62e-05,
    "step": {
        "csr": [6.12e-11, 1.19e-10],
        "dia": [1.53e-11, 1.54e-11],
        "sell": [4.72e-11, 7.99e-11],
    },
    "setup_call": 0.000684,
}
