"""Names of variables that clash with nothing."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable

__all__ = ["Names", "camel_case", "identifier"]

#: What no variable may be called, as the text uses it itself.
KNOWN = frozenset({*dir(builtins), *keyword.kwlist, *keyword.softkwlist, "self", "torch", "nn", "Tensor", "OrderedDict"})


class Names:
    """Names given in one scope, each once."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.taken = {*KNOWN, *taken}

    def new(self, wanted: str) -> str:
        """The wanted name, or one like it: with an underscore where Python has this name, with a number where it is taken."""
        name = identifier(wanted)
        if name in KNOWN:
            name += "_"
        base, count = name, 2
        while name in self.taken:
            name, count = f"{base}{'_' * base[-1].isdigit()}{count}", count + 1
        self.taken.add(name)
        return name


def identifier(text: str) -> str:
    """A text as an identifier: ``encoder.3`` becomes ``encoder_3``."""
    name = re.sub(r"\W", "_", text) or "_"
    return f"_{name}" if name[0].isdigit() else name


def camel_case(text: str) -> str:
    """A text as the name of a class: ``res_block`` becomes ``ResBlock``."""
    words = [word for word in re.split(r"[\W_]+", text) if word]
    name = "".join(word[0].upper() + word[1:] for word in words)
    return name if name.isidentifier() else f"Block{name}"
