"""Short texts for pictures: a layer in a few words, a shape, a size, and how wide a text is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from skipseq.check.graph import specs_in

__all__ = ["bytes_text", "clipped", "colour_of", "is_follower", "layer_label", "shape_text", "text_width"]

#: Widths of letters in units of the font size, on the wide side of the common sans-serif fonts.
NARROW, NORMAL, WIDE = 0.36, 0.62, 0.95
NARROW_LETTERS = frozenset("iljtfrI.,:;'|!()[]{} -·")
WIDE_LETTERS = frozenset("mwMW@%→×…")

#: The colour groups of layers, by a pattern of their names; what nothing matches is a ``layer``.
COLOURS = (
    ("activation", "ReLU|ELU|SiLU|Mish|Tanh|Sigmoid|Soft|Hards|Hardtanh|GLU|relu|elu|tanh|sigmoid|silu|softmax|softplus"),
    ("normalisation", "Norm|norm|Dropout|dropout"),
    ("resize", "Pool|Upsampl|Pixel|Unpool|interpolate|pool|Pad"),
    ("weights", "Conv|Linear|Bilinear|Embedding|LSTM|GRU|RNN|Attention|Transformer"),
    ("shape", "Flatten|Unflatten|Identity|pick|save|outputs|flatten|reshape|Fold"),
)


def text_width(text: str, size: float) -> float:
    """How wide a text is at a font size, in the same unit: an estimate, on the wide side."""
    units = sum(NARROW if c in NARROW_LETTERS else WIDE if c in WIDE_LETTERS else NORMAL for c in text)
    return units * size


def clipped(text: str, width: float, size: float) -> str:
    """The text, cut with an ellipsis where it is wider than this."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text + "…"


# Layers


def layer_label(text: str) -> tuple[str, str]:
    """A layer in a few words: its class or function, and what it is made with.

    >>> from skipseq.views.drawing.labels import layer_label
    >>> layer_label("nn.Conv2d(3, 16, 4, stride=2, padding=1)")
    ('Conv2d', '3→16, 4×4, ÷2')
    """
    name, arguments, named = parsed(text)
    if name == "call" and arguments:
        return layer_label(arguments[0]) if "(" in arguments[0] else (arguments[0].removeprefix("torch.nn.functional."), "")
    if name == "":
        return text.partition("(")[0].removeprefix("nn."), ""
    return name, details(name, arguments, named)


@lru_cache(maxsize=4096)
def parsed(text: str) -> tuple[str, tuple[str, ...], dict[str, str]]:
    """The name, arguments and named arguments of a call, as texts; an empty name where it is none."""
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError:
        return "", (), {}
    if not isinstance(tree, ast.Call):
        return ast.unparse(tree), (), {}
    name = ast.unparse(tree.func).removeprefix("nn.")
    named = {each.arg: ast.unparse(each.value) for each in tree.keywords if each.arg}
    return name, tuple(ast.unparse(each) for each in tree.args), named


def details(name: str, arguments: tuple[str, ...], named: dict[str, str]) -> str:
    """What a layer is made with, in a few signs."""
    if "Conv" in name and len(arguments) >= 2:
        return ", ".join(convolution_parts(name, arguments, named))
    if re.search(r"Linear|Embedding|LSTM|GRU|RNN", name) and (sizes := from_and_to(arguments, named)):
        return sizes
    if name == "MultiheadAttention" and len(arguments) >= 2:
        return f"{arguments[0]}, {arguments[1]} heads"
    if "Norm" in name:
        return ""
    if "Pool" in name or "Upsampl" in name:
        return pooling(name, arguments, named)
    parts = [*arguments, *(f"{key}={value}" for key, value in named.items() if key != "inplace")]
    return ", ".join(parts)


def convolution_parts(name: str, arguments: tuple[str, ...], named: dict[str, str]) -> Iterable[str]:
    """Channels, kernel, and what the stride does to the resolution."""
    channels_in, channels_out, *rest = arguments
    yield f"{channels_in}→{channels_out}"
    kernel = rest[0] if rest else named.get("kernel_size")
    if kernel is not None:
        yield extents(kernel, dimensions(name))
    stride = rest[1] if len(rest) > 1 else named.get("stride", "1")
    if stride != "1":
        yield ("×" if "Transpose" in name else "÷") + compact(stride)
    if named.get("groups", "1") != "1":
        yield f"groups {named['groups']}"
    if named.get("dilation", "1") != "1":
        yield f"dilation {named['dilation']}"


def dimensions(name: str) -> int:
    """The number of dimensions in the name of a layer: ``Conv2d``."""
    found = re.search(r"(\d)d", name)
    return int(found.group(1)) if found else 1


def extents(text: str, count: int) -> str:
    """A kernel: 3×3."""
    if text.isdigit():
        return "×".join([text] * count)
    return "×".join(part.strip() for part in text.strip("()[]").split(",") if part.strip())


def compact(text: str) -> str:
    return text.replace(" ", "")


def from_and_to(arguments: tuple[str, ...], named: dict[str, str]) -> str:
    """The features that come in and those that go out."""
    names = ("in_features", "out_features"), ("input_size", "hidden_size"), ("num_embeddings", "embedding_dim")
    for first, second in names:
        if first in named and second in named:
            arguments = (named[first], named[second])
    return f"{arguments[0]}→{arguments[1]}" if len(arguments) >= 2 else ""


def pooling(name: str, arguments: tuple[str, ...], named: dict[str, str]) -> str:
    """The window of a pooling and what it does to the resolution, or the factor or size of a resize."""
    known = {key: compact(value) for key, value in named.items()}
    first = compact(arguments[0]) if arguments else known.get("kernel_size", known.get("output_size"))
    if "Upsampl" in name:
        factor = known.get("scale_factor")
        return f"×{factor.removesuffix('.0')}" if factor else f"to {extents(first or known.get('size', ''), dimensions(name))}"
    if first is None:
        return ""
    if "Adaptive" in name:
        return f"to {extents(first, dimensions(name))}"
    stride = known.get("stride", first)
    window = extents(first, dimensions(name))
    return f"÷{stride}" if stride == first else window if stride == "1" else f"{window}, ÷{stride}"


@lru_cache(maxsize=4096)
def colour_of(kind: str, text: str) -> str:
    """The colour group of a node, by its kind and the name of its layer."""
    if kind in ("join", "part"):
        return kind
    name = layer_label(text)[0].rpartition(".")[2]
    return next((colour for colour, pattern in COLOURS if re.search(pattern, name)), "layer")


def is_follower(colour: str) -> bool:
    """Whether a layer may stand in one box with the layer before it."""
    return colour in ("activation", "normalisation")


# Values


def shape_text(spec: Any) -> str:
    """A value as its extents: ``1×3×64×64``; of several tensors, the first and how many more there are."""
    specs = list(specs_in(spec))
    if not specs:
        return ""
    text = "×".join(extent_text(each) for each in specs[0].shape) or "scalar"
    return text + (f" and {len(specs) - 1} more" if len(specs) > 1 else "")


def extent_text(extent: int | str) -> str:
    """An extent, in brackets where it is a sum or a product."""
    text = str(extent)
    return text if text.isalnum() else f"({text})"


def bytes_text(count: int | None) -> str:
    """A number of bytes: ``64 KiB``."""
    if count is None:
        return ""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.3g} {unit}" if size < 1000 else f"{size:.0f} {unit}"
