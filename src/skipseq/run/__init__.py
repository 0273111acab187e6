"""Sequential: owns the layers and runs the wiring."""

from .sequential import Sequential

__all__ = ["Sequential"]
