"""Old keys of a checkpoint to new ones, where layers were put in, taken out or named anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import nn

from skipseq.errors import CallError, did_you_mean

__all__ = ["load_renamed", "renames_between"]


def renames_between(new: nn.Module, old: Any) -> dict[str, str | None]:
    """The keys of an old network that changed, see :meth:`skipseq.run.rewired.Rewired.renames_from`."""
    if not isinstance(old, nn.Module):
        raise CallError(f"renames_from is given {type(old).__name__}, and no network.\n  Write new.renames_from(old).")
    places: dict[Any, list[str]] = {}
    for key, what in kept_in(new):
        places.setdefault(what, []).append(key)
    seen: dict[Any, int] = {}
    pairs: dict[str, str | None] = {}
    for key, what in kept_in(old):
        found = places.get(what, [])
        # A layer at several places has a key for each, in their order; what lost a place has the last one twice.
        at = seen[what] = seen.get(what, -1) + 1
        pairs[key] = found[at] if at < len(found) else None
    if pairs and all(each is None for each in pairs.values()):
        raise CallError(
            f"renames_from: the two networks share no parameter or buffer, so nothing tells which keys belong together.\n"
            f"  {type(old).__name__} must be the network that this one was made from, not a copy of it.\n"
            "  Write load_renamed(checkpoint, {'old.path': 'new.path'})."
        )
    return {key: found for key, found in pairs.items() if key != found}


def kept_in(net: nn.Module) -> Iterator[tuple[str, Any]]:
    """The keys of a checkpoint of the network, each with the identity of what it holds."""
    own = net.state_dict(keep_vars=True)
    modules = dict(net.named_modules(remove_duplicate=False))
    for key, value in own.items():
        head, _, name = key.rpartition(".")
        # What a module writes besides its tensors is known by the module.
        yield key, (id(modules.get(head)), name) if name == "_extra_state" else id(value)


def load_renamed(net: nn.Module, checkpoint: Any, renames: Any, strict: bool) -> Any:
    """Loads a checkpoint under other keys, see :meth:`skipseq.run.rewired.Rewired.load_renamed`."""
    if not isinstance(checkpoint, Mapping):
        raise fault(f"the checkpoint is {type(checkpoint).__name__}, and no state_dict.", "Write torch.load(...) of one.")
    if not isinstance(renames, Mapping):
        raise fault(f"the renames are {type(renames).__name__}, and no dict.", "Write {'old.path': 'new.path'}.")
    keys = new_keys(list(checkpoint), renames)
    state = {new: checkpoint[old] for old, new in keys.items() if new is not None}
    if hasattr(checkpoint, "_metadata"):
        state = with_metadata(state, checkpoint._metadata, keys)
    result = net.load_state_dict(state, strict=False)
    missing, unexpected = result
    if strict and (missing or unexpected):
        raise mismatch(net, missing, unexpected, {new: old for old, new in keys.items() if new is not None})
    return result


def new_keys(old: list[str], renames: Mapping[str, Any]) -> dict[str, str | None]:
    """The new key of each old one: by the longest rename that is the key, or leads to it.

    Raises:
        CallError: if a rename leads to no key, or two keys become one.
    """
    used = set()
    keys: dict[str, str | None] = {}
    for key in old:
        heads = [key, *(key[:i] for i in range(len(key) - 1, 0, -1) if key[i] == ".")]
        head = next((each for each in heads if each in renames), None)
        if head is None:
            keys[key] = key
            continue
        used.add(head)
        new = renames[head]
        keys[key] = None if new is None else f"{new}{key[len(head) :]}"
    if idle := [each for each in renames if each not in used]:
        known = {key[:i] for key in old for i in range(len(key)) if key[i] == "."} | set(old)
        near = did_you_mean(idle[0], known) if isinstance(idle[0], str) else ""
        raise fault(
            f"the rename {idle[0]!r} -> {renames[idle[0]]!r} matches no key of the checkpoint.{near}",
            "A rename leads from a path or key of the checkpoint to the one of this network.",
        )
    for key, new in keys.items():
        twins = [other for other, each in keys.items() if each == new and new is not None]
        if len(twins) > 1:
            told = " and ".join(map(repr, twins))
            other = next((each for each in twins if each == new), key)
            raise fault(f"{told} both become {new!r}.", f"Rename {other!r} too, or leave it out: {{{other!r}: None}}.")
    return keys


def with_metadata(state: Mapping[str, Any], metadata: Any, keys: Mapping[str, str | None]) -> Any:
    """The state with the versions of its modules, under their new paths: some layers read them."""
    paths = {old.rpartition(".")[0]: new.rpartition(".")[0] for old, new in keys.items() if new is not None}
    moved: Any = type("State", (dict,), {})(state)
    moved._metadata = {paths.get(path, path): value for path, value in metadata.items()}
    return moved


def mismatch(net: nn.Module, missing: Iterable[str], unexpected: Iterable[str], before: Mapping[str, str]) -> CallError:
    """Keys that the network has and the checkpoint lacks, and the other way round, with the nearest names."""
    missing, unexpected = list(missing), list(unexpected)
    own = set(net.state_dict())
    lines = []
    for key in unexpected:
        origin = f" (from {before[key]!r})" if before.get(key, key) != key else ""
        lines.append(f"  unexpected: {key!r}{origin} is no key of this network.{did_you_mean(key, missing or own)}")
    lines += [f"  missing: {key!r} is not in the checkpoint.{did_you_mean(key, unexpected)}" for key in missing]
    return CallError(
        "\n".join(
            [
                f"load_renamed: the checkpoint does not fit this {type(net).__name__}; what fits is loaded.",
                *lines,
                "  Rename them in renames={'old.path': 'new.path'}, leave them out with {'old.path': None},"
                " or write strict=False.",
            ]
        )
    )


def fault(text: str, advice: str) -> CallError:
    """A fault of what was given."""
    return CallError(f"load_renamed: {text}\n  {advice}")
