"""The drawing: boxes and arrows by coordinates of our own, as SVG, PNG, DOT and Mermaid."""

__all__: list[str] = []
