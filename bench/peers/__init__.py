"""The same networks in other libraries, as each of them writes it best, over the layers of the handwritten version.

A peer that is not installed, or that cannot say a network, has no version of it. `build_peers` gives what there is.
"""

from . import labelled, described, nested, traced  # isort: skip  # each registers its peers, in the order of the table
from .registry import build_peers, peer_names

__all__ = ["PEER_NAMES", "build_peers", "described", "labelled", "nested", "traced"]

PEER_NAMES = peer_names()
