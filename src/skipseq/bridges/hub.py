"""``class Net(Sequential, PyTorchModelHubMixin)``: a network in a folder, and on the Hugging Face Hub.

The mixin writes the arguments of a constructor as JSON and the weights beside it, and builds the class again from both. That
is right for a class with a constructor of its own, and left as it is. Where the constructor is one of skipseq, its arguments
are layers and words, which no JSON holds: the mixin would build an empty network. There the one file of ``net.to_file`` takes
the place of the weights; it has the same name, and the same weights for who reads them alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from skipseq.run import Sequential

from .weights import from_file, to_file

__all__ = ["keep_on_hub"]

#: What the mixin passes on to a download.
DOWNLOAD = ("revision", "cache_dir", "force_download", "local_files_only", "token")


def keep_on_hub(cls: type[Any]) -> None:
    """Gives a class that has the mixin what saves and loads its networks, unless it has that itself.

    Args:
        cls: a subclass of :class:`skipseq.Sequential` that has just been made.
    """
    kept = {"_save_pretrained": save, "_from_pretrained": classmethod(load)}
    found = {name: owner_of(cls, name, kept) for name in kept}
    if not all(owner.__module__.startswith("huggingface_hub") for owner in found.values()):
        return
    for name, function in kept.items():
        setattr(cls, name, vars(found[name])[name] if has_own_constructor(cls) else function)


def owner_of(cls: type[Any], name: str, kept: Mapping[str, Any]) -> type[Any]:
    """The class that defines a method, as if none had been given ours."""
    ours = {each.__func__ if isinstance(each, classmethod) else each for each in kept.values()}
    defining = (each for each in cls.__mro__ if name in vars(each))
    return next(each for each in defining if getattr(vars(each)[name], "__func__", vars(each)[name]) not in ours)


def has_own_constructor(cls: type[Any]) -> bool:
    """Whether what builds a network of a class are arguments of the user, not layers and words."""
    return not constructing(cls).__module__.startswith("skipseq.")


def save(self: Sequential, save_directory: Path) -> None:
    """Writes the network into the file where the mixin expects weights."""
    from huggingface_hub.constants import SAFETENSORS_SINGLE_FILE

    to_file(of_class(self, constructing(type(self))), save_directory / SAFETENSORS_SINGLE_FILE)
    # The mixin writes this as config.json. It noted there what of the constructor's arguments happened to be JSON.
    noted = getattr(self, "_hub_mixin_config", None)
    arguments = inspect.signature(type(self).__init__).parameters
    others = {name: value for name, value in noted.items() if name not in arguments} if isinstance(noted, dict) else {}
    self.__dict__["_hub_mixin_config"] = {"skipseq": "1"} | others


def constructing(cls: type[Any]) -> type[Any]:
    """The class whose constructor builds the networks of a class."""
    return next(each for each in cls.__mro__ if "__init__" in vars(each))


def of_class(net: Any, cls: type[Any]) -> Any:
    """The same network, layer by layer, as one of another class that has the same constructor.

    A file names no class of the user: the class that reads it gives the network its own, and others can read it too.
    """
    other = object.__new__(cls)
    other.__dict__.update({name: value for name, value in vars(net).items() if name not in ("_plan", "_hub_mixin_config")})
    if getattr(other, "_written", None) is not None:
        other._written = replace(other._written, name=cls.__name__)
    return other


def load(
    cls: type[Sequential],
    /,
    *,
    model_id: str,
    map_location: Any = "cpu",
    strict: bool = True,
    registry: Mapping[str, Any] | None = None,
    **options: Any,
) -> Sequential:
    """The network in a folder or a repository, in evaluation mode as the mixin has it.

    Args:
        cls: the class of the network.
        model_id: the folder, or the name of the repository.
        map_location: the device to move it to.
        strict: nothing; a file that does not fit its network is refused in any case.
        registry: classes of layers and functions by the names that the file has for them.
        options: how to download it, as :func:`huggingface_hub.hf_hub_download` takes it.

    Raises:
        FileError: if the file cannot be read as a network.
        TypeError: if an argument of a constructor is given: the file holds them.
    """
    if unknown := [name for name in options if name not in DOWNLOAD]:
        raise TypeError(
            f"{cls.__name__}.from_pretrained() got {unknown[0]!r}, and builds the network from its file alone.\n"
            "  Leave it out, and change the network that is read: net.with_outputs(...), net.connect(...)."
        )
    from huggingface_hub import hf_hub_download
    from huggingface_hub.constants import SAFETENSORS_SINGLE_FILE

    folder = Path(model_id)
    file = folder / SAFETENSORS_SINGLE_FILE if folder.is_dir() else None
    path = file or hf_hub_download(repo_id=model_id, filename=SAFETENSORS_SINGLE_FILE, **options)
    net: Sequential = of_class(from_file(Sequential, path, registry), cls)
    return net.to(map_location).eval()
