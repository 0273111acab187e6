"""To and from other worlds: handwritten forwards, source code, other libraries."""

__all__: list[str] = []
