"""The commands. What needs torch is imported when a command runs, so that help comes at once."""

from __future__ import annotations

import sys
import webbrowser
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from .inputs import examples_of, given_to, listed, read_inputs
from .load import Loaded
from .options import Debug, Inputs, Json, Modules, Network, NetworkFile, PythonFile, Weights
from .stored import Target, verify_ending
from .told import UsageError, guarded, print_json

if TYPE_CHECKING:
    from skipseq.run import Sequential
    from skipseq.views.drawing.drawing import Drawing

__all__ = ["app"]

app = typer.Typer(
    name="skipseq",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def print_version(wanted: bool) -> None:
    """Prints the version, and those of what matters beside it."""
    if wanted:
        known = []
        for package in ("skipseq", "torch"):
            try:
                known.append(f"{package} {version(package)}")
            except PackageNotFoundError:
                known.append(f"{package} (not installed)")
        print(", ".join([*known, f"Python {sys.version.split()[0]}"]))
        raise typer.Exit


@app.callback()
def skipseq(
    version: Annotated[
        bool, typer.Option("--version", metavar=" ", callback=print_version, help="Print the versions.")
    ] = False,
) -> None:
    """Look at networks whose skip connections are declared in the constructor.

    skipseq check model.py:net --input 1,3,256,256      do the shapes fit?
    skipseq summary model.py:net --input 1,3,256,256    a table of the layers
    skipseq draw model.py:net -o net.svg                a drawing with the skips
    skipseq page model.py:net --open                    a page to click through
    skipseq source model.py:net -o net.py               the same network in plain PyTorch
    skipseq convert model.py:MyModel -o net.py          a handwritten network in words
    skipseq convert yolov3.cfg -o yolov3.yaml           from one format to another
    skipseq demo                                        restore a noisy photo

    Each takes files that hold a network too: skipseq check net.yaml --input 1,3,256,256

    The exit status is 0 if all is well, 1 if something is wrong with the network or its file, 2 if something was typed wrong.
    """


@app.command()
def check(
    target: Network,
    inputs: Inputs = None,
    weights: Weights = None,
    modules: Modules = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Tell the shape of every value, or what does not fit and what to write instead.

    Nothing is computed and no memory is used. Without --input only the wiring is checked: shapes follow from the inputs.

    Examples:
    skipseq check model.py:net --input 1,3,256,256
    skipseq check model.py:net --input N,3,256,256       a batch of any size
    skipseq check model.py:net -i x=1,3,64,64 -i t=1     several inputs, by name
    skipseq check model.py:net -i 1,3,64,64 --json       for a script
    skipseq check net.yaml -i 1,3,64,64                  a network in a file
    skipseq check net-symbol.json --weights net-0000.params -i 1,3,64,64
    """
    with guarded(as_json, debug):
        loaded, given = opened(Target(target, weights, modules or ()), inputs)
        if not given:
            tell_wiring(loaded.net, as_json)
            return
        report = loaded.net.check(given)
        if as_json:
            print_json({"ok": True, "shapes": report.shapes, "findings": list(report.findings)})
        else:
            print(report)
            praise("\nEverything fits.")


def tell_wiring(net: Sequential, as_json: bool) -> None:
    """What can be said of a network without inputs: every name leads somewhere, and what it takes."""
    wiring = net.wiring
    if as_json:
        print_json({"ok": True, "shapes": {}, "findings": [], "inputs": list(wiring.inputs), "needs": list(wiring.needs)})
        return
    praise("The wiring holds: every name leads to a value.")
    names = [*wiring.inputs, *wiring.needs]
    print(f"It takes {listed(names)}." if names != ["input"] else "It takes one input.")
    advice = "--input SHAPE" if len(names) == 1 else " ".join(f"--input {name}=SHAPE" for name in names)
    print(f"Whether the shapes fit can be told with {advice}, where SHAPE is for instance 1,3,256,256")


@app.command()
def summary(
    target: Network,
    inputs: Inputs = None,
    weights: Weights = None,
    modules: Modules = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Print a table of the layers, with shapes, parameters, memory, and the skips as lines beside it.

    Examples:
    skipseq summary model.py:net
    skipseq summary model.py:net --input N,3,256,256
    skipseq summary model.py:net --input 1,3,256,256 --json
    skipseq summary yolov3.cfg --input 1,3,416,416
    """
    with guarded(as_json, debug):
        loaded, given = opened(Target(target, weights, modules or ()), inputs)
        if given:
            loaded.net.check(given, materialise=True)  # lazy layers get the parameters that are to be counted
        made = loaded.net.summary(given or ...)
        if as_json:
            print_json({"ok": True, **made.to_dict()})
        else:
            from skipseq.views.terminal import shows_color

            print(made.text(color=shows_color()))


class Format(StrEnum):
    """What a drawing can be written as."""

    svg = "svg"
    dot = "dot"
    mmd = "mmd"
    png = "png"


@app.command()
def draw(
    target: Network,
    inputs: Inputs = None,
    weights: Weights = None,
    modules: Modules = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="The file: .svg, .dot, .mmd or .png.")
    ] = None,
    format: Annotated[Format | None, typer.Option(help="The format, where no file name tells it; svg if nothing does.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Draw the network with its skips: as SVG or PNG, or as text for Graphviz (.dot) and Mermaid (.mmd).

    Examples:
    skipseq draw model.py:net -o net.svg
    skipseq draw model.py:net --input 1,3,256,256 -o net.png      with shapes
    skipseq draw model.py:net --format dot | dot -Tpdf > net.pdf
    """
    with guarded(as_json, debug):
        if output is not None:
            verify_writable(output)
        format = format_of(output, format)
        if output is None and format is Format.png and (as_json or sys.stdout.isatty()):
            raise UsageError("a PNG is not text.\n  Write it to a file: -o net.png")
        loaded, given = opened(Target(target, weights, modules or ()), inputs)
        drawing = loaded.net.draw(given or ...)
        if output is not None:
            drawing.save(output)
            tell_written(output, as_json)
        elif format is Format.png:
            sys.stdout.buffer.write(drawing.png())
        elif as_json:
            print_json({"ok": True, "format": format, "drawing": drawn(drawing, format)})
        else:
            print(drawn(drawing, format))


def format_of(output: Path | None, wanted: Format | None) -> Format:
    """The format that the name of a file tells; without one, the one that was typed, or SVG."""
    if output is None:
        return wanted or Format.svg
    suffix = output.suffix.lower().removeprefix(".")
    if suffix not in list(Format):
        known = ", ".join(f".{each}" for each in Format)
        raise UsageError(f"a drawing cannot be written as {output.name}.\n  Write a name that ends in one of {known}.")
    if wanted not in (None, suffix):
        raise UsageError(f"{output.name} is no name for --format {wanted}.\n  Write -o {output.with_suffix(f'.{wanted}')}.")
    return Format(suffix)


def drawn(drawing: Drawing, format: Format) -> str:
    """A drawing as text."""
    attribute = {Format.svg: "svg", Format.dot: "dot", Format.mmd: "mermaid"}[format]
    return str(getattr(drawing, attribute)).rstrip("\n")


@app.command()
def page(
    target: Network,
    inputs: Inputs = None,
    weights: Weights = None,
    modules: Modules = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="The file; NAME.html without it.")
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", metavar=" ", help="Open the page in a browser.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a page to click through, one HTML file that needs nothing else: the drawing, the layers, the shapes.

    Examples:
    skipseq page model.py:net --input 1,3,256,256 --open
    skipseq page model.py:net -o docs/net.html
    """
    with guarded(as_json, debug):
        if output is not None:
            verify_writable(output)
        loaded, given = opened(Target(target, weights, modules or ()), inputs)
        output = output or Path(f"{loaded.name}.html")
        verify_writable(output)
        loaded.net.page(given or ...).save(output)
        tell_written(output, as_json)
        if open_it:
            webbrowser.open(output.resolve().as_uri())


@app.command()
def source(
    target: Network,
    inputs: Inputs = None,
    weights: Weights = None,
    modules: Modules = None,
    output: PythonFile = None,
    name: Annotated[str | None, typer.Option(metavar="CLASS", help="The name of the class.", show_default=False)] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write the network in plain PyTorch: a module with a forward, which needs torch alone and has the same checkpoint keys.

    A handwritten module is read first, as convert does; --input helps where its forward looks at the sizes.

    Examples:
    skipseq source model.py:net
    skipseq source model.py:net -o net.py --name UNet
    """
    with guarded(as_json, debug):
        if name is not None and (not name.isidentifier() or iskeyword(name)):
            raise UsageError(f"{name!r} cannot be the name of a class.\n  Write a name of letters and digits: --name UNet")
        made = converted(Target(target, weights, modules or ()), inputs, output)
        tell_file(made.net.source(name).text, output, as_json)


@app.command()
def convert(
    target: Network,
    inputs: Inputs = None,
    weights: Weights = None,
    modules: Modules = None,
    output: NetworkFile = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a network in another format: as Python in words, as YAML, or in one file with its weights.

    A handwritten network keeps the names of its layers; its joins become cat and add.
    --input gives an example where its forward looks at the sizes of its inputs.

    Files that hold a network: .yaml of skipseq and of YOLO, .safetensors,
    .cfg with .weights of Darknet, .json with .params of Gluon.

    Python and YAML build the network with new weights; checkpoints of the old one
    load into it. A .safetensors file keeps the weights.

    Examples:
    skipseq convert model.py:MyUNet
    skipseq convert torchvision.models:resnet18 -o resnet.py
    skipseq convert model.py:MyUNet --input 1,3,256,256
    skipseq convert model.py:net -o net.safetensors      keeps the weights
    skipseq convert yolov3.cfg --weights yolov3.weights -o yolov3.safetensors
    skipseq convert net-symbol.json --weights net-0000.params -o net.yaml
    """
    with guarded(as_json, debug):
        if output is not None:
            verify_ending(output)
        typed = Target(target, weights, modules or ())
        loaded = converted(typed, inputs, output)
        name = loaded.name if loaded.name.isidentifier() and loaded.name.islower() else "net"
        if output is None:
            from skipseq.bridges.words_file import words_file

            tell_file(words_file(loaded.net, name), None, as_json)
            return
        from skipseq.bridges.files import holds_weights, write_network

        write_network(loaded.net, output, name)
        if typed.has_weights and not holds_weights(output):
            kept = output.with_suffix(".safetensors")
            print(f"Note: {output.name} is without the weights. They would be in -o {kept}", file=sys.stderr)
        tell_written(output, as_json)


@app.command()
def demo(
    output: Annotated[str, typer.Option("-o", "--output", metavar="FOLDER", help="The folder to write to.")] = "restored",
    steps: Annotated[int, typer.Option(min=1, help="Training steps of each of the two networks.")] = 700,
    seed: Annotated[int, typer.Option(help="Another seed: another noise, another training.")] = 0,
    debug: Debug = False,
) -> None:
    """Restore a noisy photo with a network of a dozen lines, and see what its skip connections are worth.

    It takes about a minute and gives the same numbers every time.

    Examples:
    skipseq demo
    skipseq demo --output pictures --steps 100
    """
    with guarded(debug=debug):
        from .demo import run_demo

        run_demo(output, steps, seed)


# What the commands share


def verify_writable(path: Path) -> None:
    """Refuses a place to write to before anything slow begins.

    Raises:
        UsageError: if it is a folder, or lies in none.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder.\n  Write the name of a file: {path / 'net.svg'}")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} to write {path.name} into.\n  Make it: mkdir -p {path.parent}")


def converted(target: Target, inputs: list[str] | None, output: Path | None) -> Loaded:
    """The network, which may be handwritten; its inputs are an example for those whose forward looks at sizes."""
    if output is not None:
        verify_writable(output)
    typed = read_inputs(inputs or ())

    def in_words(module: Any) -> Sequential:
        from skipseq.bridges.forward.trace import from_forward

        in_order, by_name = examples_of(typed, next((each.device for each in module.parameters()), "cpu"))
        return from_forward(module, *in_order, **by_name)

    return target.load(in_words)


def tell_file(text: str, output: Path | None, as_json: bool) -> None:
    """Prints the text of a file, or writes it."""
    if output is not None:
        from skipseq.views.files import write_whole

        write_whole(output, text.encode())
        tell_written(output, as_json)
    elif as_json:
        print_json({"ok": True, "text": text})
    else:
        print(text, end="")


def opened(target: Target, inputs: list[str] | None) -> tuple[Loaded, dict[str, Any]]:
    """The network, and its inputs by name; what was typed is read before the file, which may take long."""
    typed = read_inputs(inputs or ())
    loaded = target.load()
    device = next((each.device for each in loaded.net.parameters()), "cpu")
    return loaded, given_to(loaded.net.wiring, typed, device) if typed else {}


def praise(text: str) -> None:
    """Good news, in green where there is a terminal."""
    Console(highlight=False).print(text, style="green", soft_wrap=True)


def tell_written(path: Path, as_json: bool) -> None:
    """Says which file was written."""
    if as_json:
        print_json({"ok": True, "written": str(path)})
    else:
        print(f"Written to {path}", file=sys.stderr)
