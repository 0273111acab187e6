"""MXNet and Gluon: networks that were exported as a symbol and a file of parameters."""

from .read import from_gluon, value_names

__all__ = ["from_gluon", "value_names"]
