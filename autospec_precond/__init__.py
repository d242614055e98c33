"""Learned polynomial preconditioners for SciPy's Krylov solvers.

``M = autospec_precond.make(A)`` probes A with a dozen products, predicts the
coefficients of a polynomial with a small pretrained network, proves that it cannot
break the solver, and returns a LinearOperator for ``scipy.sparse.linalg.cg`` and others.
"""

from .build import make
from .certificate import Certificate
from .errors import CheckpointError, UncertifiedWarning
from .kernels import warmup
from .linop import PolynomialPreconditioner
from .polynomial import Polynomial
from .probe import Probe
from .report import Report
from .versions import __version__, show_versions

__all__ = [
    "Certificate",
    "CheckpointError",
    "Polynomial",
    "PolynomialPreconditioner",
    "Probe",
    "Report",
    "UncertifiedWarning",
    "__version__",
    "make",
    "show_versions",
    "warmup",
]
