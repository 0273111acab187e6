"""From model files in the format ``[from, number, module, args]`` of YOLO networks to sequences in words."""

from .modules import YoloModule
from .reader import from_yolo

__all__ = ["YoloModule", "from_yolo"]
