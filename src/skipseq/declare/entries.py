"""From the entries of a constructor to the children of a container, with their keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from skipseq.errors import did_you_mean

from .compose import grouped
from .constructors import constructor
from .functions import Function, hidden_module, is_function, written
from .held import held, is_list
from .vocabulary import BARE_WORDS, Picker
from .words import CallWord, Here, PickWord, Via, Word, describe

__all__ = ["Children", "number", "read_entries", "with_skips"]

#: The children of a container in order; a key that is nothing is numbered by :func:`number`.
Children = list[tuple[str | None, nn.Module]]


def read_entries(entries: tuple[Any, ...], faults: list[str], owner: type = nn.Sequential) -> Children:
    """Entries as children of a container of the class ``owner``; what is no entry is noted among the faults."""
    children: Children = []
    for index, entry in enumerate(entries):
        name, thing = entry if is_pair(entry) else (None, entry)
        place = f"net[{index}]" if name is None else f"net[{index}] {name!r}"
        if name is not None and (fault := name_fault(name, owner)):
            faults.append(f"{place} {fault}")
            name = None
        named_list = name is not None and is_list(thing)
        if not named_list and (fault := entry_fault(thing)):
            # Something stands in its place, so that the faults of the other entries are found where they are.
            faults.append(f"{place} is {fault}")
            children.append((name, nn.Identity()))
        elif isinstance(thing, Word) and (found := layer_faults(thing)):
            faults += [f"{place} {type_of(thing)} {fault}" for fault in found]
            children.append((name, nn.Identity()))
        elif named_list:
            children.append((name, held(thing)))
        elif isinstance(thing, CallWord) and (layer := thing._modules.get("layer")) is not None:
            # The word stands right before its layer; the name is the layer's.
            children += [(None, thing.alone()), (name, layer)]
        else:
            children.append((name, thing if isinstance(thing, nn.Module) else Function(thing)))
    return children


def number(children: Children) -> dict[str, nn.Module]:
    """The children with a key for each: layers count the layers before them, words those of their kind.

    >>> from torch import nn
    >>> from skipseq import add, save
    >>> list(number([(None, nn.ReLU()), (None, save("x")), ("relu", nn.ReLU()), (None, nn.ReLU()), (None, add("x"))]))
    ['0', 'save_0', 'relu', '2', 'add_0']
    """
    names = {name for name, _ in children if name is not None}
    counts: dict[str, int] = {}
    keyed: dict[str, nn.Module] = {}
    for name, child in children:
        kind = child.kind if isinstance(child, Word) else ""
        count = counts.get(kind, 0)
        counts[kind] = count + 1
        key = name if name is not None else f"{kind}_{count}" if kind else str(count)
        while name is None and (key in keyed or key in names):
            # A user's own name stands where the number would be: the next free one is taken.
            count += 1
            key = f"{kind}_{count}" if kind else str(count)
        keyed[key] = child
    return keyed


def is_automatic(key: str, child: nn.Module) -> bool:
    """Whether a key is of the kind that :func:`number` gives, and changes when children come and go."""
    head, _, count = key.rpartition("_")
    return count.isdigit() and head == (child.kind if isinstance(child, Word) else "") and (head != "" or key == count)


def with_skips(children: Children, skips: Mapping[str, Any], faults: list[str]) -> Children:
    """The children with each word standing before the child that its target names; ``"output"`` means the end."""
    before: dict[str, list[tuple[str | None, nn.Module]]] = {}
    keyed = number(children)
    for target, given in skips.items():
        word = given[1] if is_pair(given) else given
        if not isinstance(word, Word):
            fault = entry_fault(word) or f"{describe(word)}; write a word: cat('x1', here)."
            faults.append(f"skips[{target!r}] is {fault}")
        elif target != "output" and target not in keyed:
            known = did_you_mean(target, keyed)
            faults.append(f"skips[{target!r}] names no entry of this sequence.{known}")
        else:
            before[target] = read_entries((given,), faults)
    placed: Children = []
    for group in grouped(keyed):
        for key, _ in group:
            placed += before.get(key, [])
        placed += group
    return [(None if is_automatic(key or "", child) else key, child) for key, child in placed] + before.get("output", [])


def is_pair(entry: Any) -> bool:
    """Whether an entry is ``("name", entry)``."""
    return isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str)


def layer_faults(word: Word) -> list[str]:
    """What is wrong with the layers that a word owns."""
    faults = []
    for layer in word.children():
        if isinstance(layer, Function) and (fault := entry_fault(layer.function)):
            faults.append(f"has as a layer {fault}")
        elif isinstance(layer, Word) and not isinstance(layer, PickWord):
            faults.append(f"has as a layer the word {layer}. Write it as an entry or an operand of its own.")
    return faults


def type_of(word: Word) -> str:
    """A word by its kind alone, where its layers cannot be printed."""
    return f"{word.kind}(...)"


def name_fault(name: Any, owner: type) -> str:
    """What is wrong with the name of an entry, if anything."""
    if not isinstance(name, str) or not name or "." in name:
        return "cannot be a name: a name is a text without dots."
    if hasattr(owner, name) or name in vars(nn.Module()):
        return "cannot be a name: a sequence has an attribute of this name. Rename it."
    return ""


def entry_fault(thing: Any) -> str:
    """What is wrong with something given as an entry, if anything: what it is, and what to write."""
    if thing is None:
        return "None. Leave it out, or write nn.Identity()."
    if isinstance(thing, type):
        return f"the class {thing.__name__}, not an instance. Write {thing.__name__}(...)."
    if any(thing is word for word in BARE_WORDS) or isinstance(thing, Picker):
        write = "pick[0]" if isinstance(thing, Picker) else f"{thing.__name__}('x1')"
        return f"the bare word {getattr(thing, '__name__', 'pick')}. Write {write}."
    if isinstance(thing, str):
        return f"the string {thing!r}. Write save({thing!r}) to name the value here, or cat({thing!r}) to read it."
    if isinstance(thing, Here | Via):
        return "an operand, not an entry. Write take(...), or put it inside a join or a call."
    if is_list(thing):
        what = f"an nn.{type(thing).__name__}, which cannot be called. Write its layers one by one: *layers."
        return f"{what}\n  Or give it a name, ('layers', ...), and call its layers by theirs: call('layers.0')."
    if isinstance(thing, Mapping):
        return "a dict among other entries. Give the dict alone, or write pairs: ('name', layer)."
    if isinstance(thing, list | tuple):
        return f"a {type(thing).__name__} of {len(thing)}. Write its entries one by one: Sequential(*layers)."
    if isinstance(thing, Tensor) or not callable(thing):
        return f"{describe(thing)}, which is neither a layer nor a function nor a word."
    if is_function(thing) and (hidden := hidden_module(thing)) is not None:
        return (
            f"the function {written(thing)}, which hides {constructor(hidden)}: its parameters would not be trained or saved."
            " Make the layer an entry, or write a module that owns it and use call(...)."
        )
    return ""
