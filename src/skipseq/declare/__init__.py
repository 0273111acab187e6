"""What the user writes, and its translation to a wiring."""

__all__: list[str] = []
