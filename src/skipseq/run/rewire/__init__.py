"""Networks made from a network: with other skips, and what each of its skips is worth."""

__all__: list[str] = []
