"""The same networks in other libraries, as each of them writes it best, over the layers of the handwritten version.

A peer that is not installed, or that cannot say a network, has no version of it. `build_peers` gives what there is.
"""

import peers_labelled, peers_described, peers_nested, peers_traced  # noqa: E401, F401, I001  # in the table's order
from peers_registry import build_peers, peer_names

__all__ = ["PEER_NAMES", "build_peers"]

PEER_NAMES = peer_names()
