"""Exceptions and warnings of the package; everything else is a built-in one."""

__all__ = [
    "CheckpointError",
    "NotHermitianError",
    "NotPositiveError",
    "UncertifiedWarning",
]


class CheckpointError(ValueError):
    """A weights file is damaged, of another version, or not ours."""


class UncertifiedWarning(UserWarning):
    """Something about the preconditioner that should be proved is not."""


class NotHermitianError(ValueError):
    """A is not Hermitian, where it must be."""


class NotPositiveError(ValueError):
    """A shows that it is not positive definite, where it must be."""
