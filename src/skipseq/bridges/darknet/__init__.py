"""Darknet: networks that are a ``.cfg`` file and a ``.weights`` file."""

from .read import from_darknet

__all__ = ["from_darknet"]
