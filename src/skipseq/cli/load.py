"""``model.py:net``: from what is typed to the network."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from skipseq.errors import did_you_mean

from .told import UsageError

if TYPE_CHECKING:
    from skipseq.run import Sequential

__all__ = ["Loaded", "import_file", "load"]

FORM = "Write file.py:name, or package.module:name, where name is a network or a function that returns one."


@dataclass(frozen=True, slots=True)
class Loaded:
    """A network, and the name under which it was found."""

    name: str
    net: Sequential


def load(target: str, convert: Callable[[Any], Sequential] | None = None) -> Loaded:
    """The network that is meant by ``file.py:name``, ``package.module:name``, or by a file alone that holds only one.

    What the user's code prints goes to stderr: stdout is for the answer. With ``convert``, a module that is no sequence is
    made one by it.

    Raises:
        UsageError: if there is no such file or name, or it is no network.
        Exception: whatever the user's code raises.
    """
    where, name = split(target)
    with redirect_stdout(sys.stderr), users_code(where):
        module = import_file(Path(where)) if is_file(where) else import_module(where)
        name = name or only_name(module, where)
        value = find(module, name, where)
        return Loaded(name.rpartition(".")[2], network(value, f"{where}:{name}", convert))


def split(target: str) -> tuple[str, str]:
    """The file or module, and the name in it, if there is one: a colon may also belong to a drive, ``C:\\model.py``."""
    where, colon, name = target.rpartition(":")
    if not colon or "/" in name or "\\" in name:
        where, name = target, ""
    if not where:
        raise UsageError(f"{target!r} names no file.\n  {FORM}")
    return where, name


def is_file(where: str) -> bool:
    """Whether the place is a file, not a module of a package."""
    return where.endswith(".py") or "/" in where or "\\" in where or Path(where).is_file()


@contextmanager
def users_code(where: str) -> Iterator[None]:
    """Code of the user runs: it sees no arguments that are not its own, and cannot end Python silently."""
    arguments, sys.argv = sys.argv, [where]
    try:
        yield
    except SystemExit as error:
        raise UsageError(
            f"{where} ends Python (sys.exit, or an argument parser) when it is imported.\n"
            "  Put what it does as a program under: if __name__ == '__main__':"
        ) from error
    finally:
        sys.argv = arguments


# The file


def import_file(path: Path) -> ModuleType:
    """A file as a module; what lies beside it can be imported.

    Raises:
        UsageError: if there is no such file.
    """
    if not path.is_file():
        near = did_you_mean(path.name, (each.name for each in path.parent.glob("*.py")))
        raise UsageError(f"there is no file {path}.{near}" + ("" if path.suffix == ".py" else f"\n  {FORM}"))
    path = path.resolve()
    sys.path.insert(0, str(path.parent))
    # Under its own name other files find it, but nothing that Python already has may be replaced.
    name = path.stem if path.stem not in sys.modules else f"{path.stem} of the command line"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path.name} is no Python file.\n  {FORM}")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def import_module(name: str) -> ModuleType:
    """A module by its name, as Python in this folder would find it."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise UsageError(f"there is no module {error.name!r}, in this folder or installed.\n  {FORM}") from None


# The name in it


def find(module: ModuleType, name: str, where: str) -> Any:
    """The value under a dotted name."""
    value: Any = module
    for i, part in enumerate(name.split(".")):
        try:
            value = getattr(value, part)
        except AttributeError:
            owner = where if i == 0 else f"{where}:{'.'.join(name.split('.')[:i])}"
            raise UsageError(f"{owner} has no {part!r}.{did_you_mean(part, names_in(value)) or offer(module, where)}") from None
    return value


def names_in(value: Any) -> list[str]:
    """What could be meant by a name: the attributes of a value, and the parts of a network."""
    return [name for name in (*getattr(value, "__dict__", ()), *getattr(value, "_modules", ())) if not name.startswith("_")]


def only_name(module: ModuleType, where: str) -> str:
    """The name of the only network in a file."""
    found = networks_in(module) or builders_in(module)
    if len(found) != 1:
        what = "several networks" if found else "no Sequential, and no function that says it returns one (-> Sequential)"
        raise UsageError(f"{where} holds {what}.{offer(module, where)}")
    return found[0]


def offer(module: ModuleType, where: str) -> str:
    """The networks of a file, as one would name them here."""
    found = networks_in(module) + builders_in(module)
    if not found:
        return f"\n  {FORM}"
    return "\n".join(["\n  Write one of:" if len(found) > 1 else "\n  Write:", *(f"    {where}:{name}" for name in found)])


def networks_in(module: ModuleType) -> list[str]:
    """The names of the sequences in a file, each once; those that are not ours only if there is none of ours."""
    from torch import nn

    from skipseq.run import Sequential

    kinds: tuple[type[nn.Module], ...] = (Sequential, nn.Sequential)
    for kind in kinds:
        found: dict[int, str] = {}
        for name, value in vars(module).items():
            if isinstance(value, kind) and not name.startswith("_"):
                found.setdefault(id(value), name)
        if found:
            return list(found.values())
    return []


def builders_in(module: ModuleType) -> list[str]:
    """The names of the functions in a file that say that they return a sequence, and of its classes of sequences."""
    from torch import nn

    def builds(value: Any) -> bool:
        made = value if inspect.isclass(value) else getattr(value, "__annotations__", {}).get("return")
        made = vars(module).get(made, made) if isinstance(made, str) else made
        if isinstance(made, str):
            return made.endswith("Sequential")  # nn.Sequential, or one that is imported for type checkers only
        return inspect.isclass(made) and issubclass(made, nn.Sequential)

    own = {name: each for name, each in vars(module).items() if getattr(each, "__module__", None) == module.__name__}
    return [name for name, each in own.items() if name[0] != "_" and builds(each) and not required(each)]


# The network


def network(value: Any, what: str, convert: Callable[[Any], Sequential] | None = None) -> Sequential:
    """The value as a network: it may be one, or a function or class that gives one.

    Raises:
        UsageError: if it is something else.
        WiringError: if an nn.Sequential has a forward of its own.
    """
    from torch import nn

    from skipseq.run import Sequential

    if not isinstance(value, nn.Module) and callable(value):
        value, what = built(value, what), f"what {what} returns"
    if isinstance(value, Sequential):
        return value
    if isinstance(value, nn.Sequential):
        return Sequential.of(value)
    if isinstance(value, nn.Module) and convert is not None:
        return convert(value)
    if isinstance(value, nn.Module):
        raise UsageError(no_sequence(value, what))
    raise UsageError(f"{what} is {described(value)}, not a network.\n  {FORM}")


def built(build: Callable[[], Any], what: str) -> Any:
    """What a function or a class gives that is called without arguments."""
    if names := required(build):
        raise UsageError(
            f"{what} cannot be called without arguments: it needs {', '.join(names)}.\n"
            f"  Write a function that needs none, and name that: def net(): return {what.rpartition(':')[2]}(...)"
        )
    return build()


def required(build: Any) -> list[str]:
    """The arguments that a function or class cannot do without; none where Python does not know them."""
    try:
        parameters = inspect.signature(build).parameters.values()
    except (TypeError, ValueError):
        return []
    stars = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [each.name for each in parameters if each.default is each.empty and each.kind not in stars]


def no_sequence(module: Any, what: str) -> str:
    """Why a module with a forward of its own is refused, and which of its parts are sequences."""
    from torch import nn

    text = f"{what} is {described(module)}. Its own forward says what runs, so skipseq cannot know its skips."
    parts = [name for name, part in module.named_children() if isinstance(part, nn.Sequential)]
    if parts and not what.startswith("what "):
        return f"{text}\n  These parts are sequences: {', '.join(f'{what}.{name}' for name in parts)}"
    target = what.removeprefix("what ").removesuffix(" returns")
    return f"{text}\n  See it in words: skipseq convert {target}. Or name a part that is an nn.Sequential."


def described(value: Any) -> str:
    """What a value is, in two words."""
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"
