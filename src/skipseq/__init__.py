"""Sequential networks for PyTorch in which skip connections are declared in the constructor."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# The names are imported when they are first used: the command line can then answer without torch, which takes seconds.
if TYPE_CHECKING:
    from skipseq.blocks import Branches, DenseBlock, Grid, Residual, UNet
    from skipseq.bridges.darknet import from_darknet
    from skipseq.bridges.forward.trace import from_forward, trace
    from skipseq.bridges.gluon import from_gluon
    from skipseq.bridges.yolo import from_yolo
    from skipseq.declare.mirror import mirror
    from skipseq.declare.vocabulary import add, call, cat, here, mul, pick, save, sub, take, via
    from skipseq.run import Sequential

__all__ = [
    "Branches",
    "DenseBlock",
    "Grid",
    "Residual",
    "Sequential",
    "UNet",
    "add",
    "call",
    "cat",
    "from_darknet",
    "from_forward",
    "from_gluon",
    "from_yolo",
    "here",
    "mirror",
    "mul",
    "pick",
    "save",
    "sub",
    "take",
    "trace",
    "via",
]

#: The modules that hold the names.
_HOMES = {
    "skipseq.blocks": ("Branches", "DenseBlock", "Grid", "Residual", "UNet"),
    "skipseq.bridges.darknet": ("from_darknet",),
    "skipseq.bridges.forward.trace": ("from_forward", "trace"),
    "skipseq.bridges.gluon": ("from_gluon",),
    "skipseq.bridges.yolo": ("from_yolo",),
    "skipseq.declare.mirror": ("mirror",),
    "skipseq.declare.vocabulary": ("add", "call", "cat", "here", "mul", "pick", "save", "sub", "take", "via"),
    "skipseq.run": ("Sequential",),
}

#: The modules that ``import skipseq`` alone makes reachable: ``except skipseq.errors.ShapeError``.
_MODULES = ("blocks", "bridges", "check", "declare", "errors", "flatten", "joins", "run", "views", "wiring")


def __getattr__(name: str) -> Any:
    home = next((home for home, names in _HOMES.items() if name in names), None)
    if home is not None:
        globals()[name] = getattr(import_module(home), name)
        return globals()[name]
    if name in _MODULES:
        return import_module(f"skipseq.{name}")
    raise AttributeError(f"module 'skipseq' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES, *(name for name in globals() if name.startswith("__"))})
