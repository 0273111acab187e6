"""The page: one HTML file with the drawing to select, fold and search in."""

__all__: list[str] = []
