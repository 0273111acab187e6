"""The check: shapes and faults of a wiring and its layers, without computing; and the same explanations for a real call."""

__all__: list[str] = []
