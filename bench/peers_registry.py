"""Which peer has which network, and the joins that several of them use."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from common import Network

__all__ = ["build_peers", "cat_after", "cat_all", "peer", "peer_names"]

_VERSIONS: dict[str, dict[str, Callable[..., Network | None]]] = {}


def peer(name: str, workload: str, module: str) -> Callable[[Callable[..., Network]], Callable[..., Network | None]]:
    """Register a version of a workload; it gives None where the peer's module is not installed."""

    def register(build: Callable[..., Network]) -> Callable[..., Network | None]:
        def build_or_none(parts: Any) -> Network | None:
            return build(parts) if find_spec(module) else None

        _VERSIONS.setdefault(workload, {})[name] = build_or_none
        return build_or_none

    return register


def build_peers(workload: str, parts: object) -> dict[str, Network]:
    """Return every peer's version of a workload that can be built here."""
    built = {name: build(parts) for name, build in _VERSIONS.get(workload, {}).items()}
    return {name: network for name, network in built.items() if network is not None}


def cat_after(x: Tensor, skip: Tensor) -> Tensor:
    """Join with the skip in front, as the handwritten networks do."""
    return torch.cat([skip, x], 1)


def cat_all(*values: Tensor) -> Tensor:
    """Join values in the order given."""
    return torch.cat(values, 1)


def peer_names() -> tuple[str, ...]:
    """Return the names of all peers, in the order in which they were registered."""
    return tuple(dict.fromkeys(name for versions in _VERSIONS.values() for name in versions))
