"""Which parameter of a file of ``save_parameters`` is which one of the symbol.

The file names parameters by the tree of blocks (``encoder.0.weight``), in the order in which the blocks were registered. The
symbol names them by the scopes in which the layers were made, with counters (``unet0_hybridsequential0_conv0_weight``):
within one scope, layers of one type are counted in the order in which they were made. Layers are mostly registered in this
order too, so the tree of scopes has to be read in such a way that it gives the layers of the file one after the other: each
time one of those that come next by the counters, with the same parameters of the same shapes, and a scope is finished before
the next one begins.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from torch import Tensor

from skipseq.errors import FileError, shortened

from .extents import fits
from .laying import Block, Found, Looks, Scope, Search, Shape

__all__ = ["matched"]

#: How many parts of a name are scopes; what stands behind is one.
MOST_SCOPES = 64


def matched(
    arrays: Mapping[str, Tensor], names: Sequence[str], expected: Mapping[str, Shape], file: str
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The keys of the file by the names in the symbol, and the blocks by the prefixes of their names.

    A parameter has several keys where several blocks share it.

    Args:
        arrays: the arrays of the file by their keys: ``encoder.0.weight``.
        names: the parameters of the symbol in the order in which the network uses them.
        expected: their shapes, as far as they are known.
        file: the name of the file.

    Raises:
        FileError: if they cannot be laid over each other.
    """
    found = of_like_names(blocks_of(arrays), names, expected) or laid(arrays, names, expected)
    if found is None:
        raise unmatched(arrays, names, file)
    keys: dict[str, list[str]] = {}
    for block, last, name in found:
        keys.setdefault(name, []).append(key_of(block, last))
    return keys, paths(found)


def of_like_names(blocks: Sequence[Block], names: Collection[str], expected: Mapping[str, Shape]) -> list[Found] | None:
    """All parameters, if the scopes of the symbol are called as the blocks are, behind one prefix: no order matters then."""
    known = set(names)
    given = {key_of(block, last).replace(".", "_"): (block, last) for block in blocks for last in block.values}
    if len(given) != len(known):
        return None
    first = next(iter(given))
    for prefix in sorted(name.removesuffix(first) for name in known if name.endswith(first)):
        if all(prefix + key in known for key in given):
            found = [(block, last, prefix + key) for key, (block, last) in given.items()]
            like = all(fits(tuple(block.values[last].shape), expected.get(name)) for block, last, name in found)
            return found if like else None
    return None


def laid(arrays: Mapping[str, Tensor], names: Sequence[str], expected: Mapping[str, Shape]) -> list[Found] | None:
    """All parameters, if the blocks can be laid over the scopes, or nothing."""
    looks = Looks()
    for blocks in orders(blocks_of(arrays)):
        for strict, closed in ((True, True), (True, False), (False, False)):
            found = Search(blocks, scopes_of(names, arrays), expected, strict, closed, looks).run()
            if found is not None:
                return found
    return None


def key_of(block: Block, last: str) -> str:
    """The key of a parameter in the file."""
    return f"{block.path}.{last}" if block.path else last


def unmatched(arrays: Mapping[str, Tensor], names: Sequence[str], file: str) -> FileError:
    """The error of a file that does not fit the symbol."""
    advice = (
        f"The network has {len(names)} parameters: {some(names)}.\nThe file has {len(arrays)}: {some(list(arrays))}.\n"
        "Give the file of this very network, or the one that net.export(path) writes, which has the names of the symbol."
    )
    expected = "for each layer of the symbol one of the file, with parameters of the same names and shapes, in the same order"
    received = f"{len(names)} parameters in the symbol, {len(arrays)} in the file"
    problem = "The blocks of the file cannot be laid over the layers of the symbol."
    return FileError(file, "", problem, expected, received, advice)


def some(names: Sequence[str]) -> str:
    """The first names."""
    return ", ".join(shortened(repr(name), 80) for name in names[:4]) + (", ..." if len(names) > 4 else "")


# The two trees


def blocks_of(arrays: Mapping[str, Tensor]) -> list[Block]:
    """The blocks of a file in its order."""
    blocks: dict[str, Block] = {}
    for key, array in arrays.items():
        path, _, last = key.rpartition(".")
        blocks.setdefault(path, Block(path)).values[last] = array
    return list(blocks.values())


def orders(blocks: list[Block]) -> Iterator[list[Block]]:
    """The blocks as they stand in the file, and then with numbers in their order, should somebody have sorted the names."""
    yield blocks
    ordered = sorted(blocks, key=lambda block: [numbered(part) for part in block.path.split(".")])
    if ordered != blocks:
        yield ordered


def numbered(part: str) -> tuple[int, str]:
    """What puts ``2`` before ``10``."""
    return (len(part) if part.isdigit() else 0, part)


def scopes_of(names: Sequence[str], arrays: Collection[str]) -> Scope:
    """The scopes of the symbol, with its parameters by the last names that the file has."""
    lasts = {key.rpartition(".")[2] for key in arrays}
    root = Scope("", 0, 0)
    for order, name in enumerate(names):
        last = last_name(name, lasts)
        scope = root
        for part in name[: len(name) - len(last)].split("_", MOST_SCOPES)[:-1]:
            scope = scope.inner(part, order)
        scope.own[last] = name
        for each in scope.around():
            each.left += 1
    root.sort()
    return root


def last_name(name: str, lasts: Collection[str]) -> str:
    """The last name of a parameter: the longest that the file has, else what stands behind the last stroke."""
    ends = [name] + [name[at + 1 :] for at, letter in enumerate(name) if letter == "_"]
    return next((end for end in ends if end in lasts), ends[-1] or name)


# Names of the scopes


def paths(found: Sequence[Found]) -> dict[str, str]:
    """The blocks by the prefixes of the scopes: of a layer its own path, of a scope what the paths around its layers share.

    A scope is as many steps above a layer as its block is: where ``net0_residual0_conv0`` is ``1.body``, ``net0_residual0`` is
    ``1``.
    """
    layers: dict[str, str] = {}
    shared: dict[str, list[str]] = {}
    for block, last, name in reversed(found):
        parts = name[: len(name) - len(last)].split("_")[:-1]
        layers["".join(f"{part}_" for part in parts)] = block.path
        path = block.path.split(".")
        for length in range(1, len(parts)):
            prefix = "".join(f"{part}_" for part in parts[:length])
            around = path[: max(0, len(path) - max(1, len(parts) - length))]
            shared[prefix] = together(shared[prefix], around) if prefix in shared else around
    return {prefix: ".".join(path) for prefix, path in shared.items()} | layers


def together(one: Sequence[str], other: Sequence[str]) -> list[str]:
    """What two paths share in front."""
    length = 0
    while length < min(len(one), len(other)) and one[length] == other[length]:
        length += 1
    return list(one[:length])
