"""Training of the engine; the only room where torch is imported, and only when used."""

from .outcome import FineTuneConfig, FineTuned
from .tuning import fine_tune

__all__ = ["FineTuneConfig", "FineTuned", "fine_tune"]
