"""The summary: a table in the order in which a network runs, with its skips as lanes."""

__all__: list[str] = []
