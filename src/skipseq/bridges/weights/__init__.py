"""A network in one ``.safetensors`` file: its weights, and in the header the text that rebuilds it."""

from .reading import from_file, load_weights
from .writing import to_file

__all__ = ["from_file", "load_weights", "to_file"]
