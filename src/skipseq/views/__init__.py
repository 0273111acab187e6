"""Read-only views of a sequence."""

__all__: list[str] = []
