"""From a module with a handwritten forward to a sequence of words."""

__all__: list[str] = []
