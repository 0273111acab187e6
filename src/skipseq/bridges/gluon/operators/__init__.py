"""The operators of MXNet as layers, functions and words: one file for each family."""

from . import activation, dense, elementwise, normalization, pooling, resizing, shapes, softmax, windows

__all__: list[str] = []

#: What importing this package is for: each of these registers its readers.
FAMILIES = (activation, dense, elementwise, normalization, pooling, resizing, shapes, softmax, windows)
