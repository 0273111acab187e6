"""What each skip of a network is worth, as a table and as a chart."""

__all__: list[str] = []
