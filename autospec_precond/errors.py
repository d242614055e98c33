"""Exceptions and warnings of the package; everything else is a built-in one."""

__all__ = ["CheckpointError", "UncertifiedWarning"]


class CheckpointError(ValueError):
    """A weights file is damaged, of another version, or not ours."""


class UncertifiedWarning(UserWarning):
    """Something about the preconditioner that should be proved is not."""
