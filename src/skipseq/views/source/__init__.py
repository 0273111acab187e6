"""A network as Python source: readable classes that need torch alone."""

__all__: list[str] = []
