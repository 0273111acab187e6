"""Sequential as something to look at: its check, summary, drawing, page and source."""

from __future__ import annotations

from typing import Any

from torch.nn.parameter import is_lazy

from skipseq.check.graph import Graph
from skipseq.check.report import Report, check_network, network_graph
from skipseq.errors import ConversionError, WiringError
from skipseq.views.drawing.drawing import Drawing
from skipseq.views.page.page import Page
from skipseq.views.source.source import Source, network_source
from skipseq.views.table.summary import Summary
from skipseq.wiring import Value

from .calls import bind
from .listed import Listed

__all__ = ["Viewed"]

#: A network of more steps has no source on its page.
MOST_LISTED = 2000


class Viewed(Listed):
    """What :class:`skipseq.Sequential` is to somebody who looks at it."""

    def check(self, input: Any = ..., *others: Any, materialise: bool = False, **values: Any) -> Report:
        """Runs the whole tree without computing, and tells the shape of every value, or what does not fit.

        >>> from torch import nn
        >>> from skipseq import Sequential, cat, here
        >>> net = Sequential(nn.Linear(10, 15), ("linear2", nn.Linear(15, 15)), nn.Linear(15, 10), cat("linear2", here))
        >>> print(net.check(("N", 10)))
        input    (N, 10)
        0        (N, 15)  nn.Linear(10, 15)
        linear2  (N, 15)  nn.Linear(15, 15)
        2        (N, 10)  nn.Linear(15, 10)
        cat_0    (N, 25)  cat('linear2', here)

        Nothing is computed and no memory is used: parameters, buffers, statistics, gradients and random numbers stay as
        they are.

        Args:
            input: the first input, as a shape or as an example; ``"N"`` may stand for the batch. Or all of them in a dict.
            others: further inputs, in order.
            materialise: gives the lazy layers of PyTorch (``nn.LazyLinear``) their parameters.
            values: inputs and needs by name.

        Raises:
            CallError: if an input is missing or unknown.
            ShapeError, DeviceError, OverwriteError: the first fault, with the others that can be known.
        """
        return check_network(self, self.wiring, self._shapes(input, others, values), materialise)

    def summary(self, input: Any = ..., *others: Any, **values: Any) -> Summary:
        """A table in the order in which the network runs, with its skips as lanes beside it.

        >>> from torch import nn
        >>> from skipseq import Sequential, cat, save
        >>> net = Sequential(
        ...     nn.Conv2d(3, 8, 3, padding=1), save("x1"),
        ...     nn.MaxPool2d(2),
        ...     nn.ConvTranspose2d(8, 8, 2, 2), cat("x1"),
        ... )
        >>> print(net.summary(("N", 3, 32, 32)))
        Sequential: 4 operations, 1 skip (bytes and mult-adds for one of N samples)
        <BLANKLINE>
                     layer                                  from  output           params  mult-adds     bytes  lives
        ○    input                                                (N, 3, 32, 32)                      12.0 KiB    all
        ●─╮  0 (x1)  nn.Conv2d(3, 8, 3, padding=1)                (N, 8, 32, 32)      224    221.2 k  32.0 KiB      3
        ● │  1       nn.MaxPool2d(2)                              (N, 8, 16, 16)                       8.0 KiB      1
        ● │  2       nn.ConvTranspose2d(8, 8, 2, stride=2)        (N, 8, 32, 32)      264     65.5 k  32.0 KiB      1
        ●─╯  cat_0   cat('x1')                              x1    (N, 16, 32, 32)                     64.0 KiB      1
        ○    output                                               (N, 16, 32, 32)
        <BLANKLINE>
        ╮ a skip begins   ┤ is read and goes on   ╯ is read and ends   ─│─ passes by
        lives: operations until the last reader   view: it has no memory of its own
        <BLANKLINE>
        parameters  488, all trainable
        mult-adds   286.7 k (286,720) per sample, as far as PyTorch counts them
        peak        140.0 KiB per sample in inference, at cat_0
                      64.0 KiB  cat_0  given here
                      32.0 KiB  x1     skip, read here
                      32.0 KiB  2      read here
                      12.0 KiB  input  held throughout
                    These are the values between layers; layers may need more inside.

        The lines below it tell the parameters, the multiply-adds, and the peak memory of a forward pass in inference with
        the values that it is made of. Without inputs, only what is known without shapes is told.

        Args:
            input: the first input, as a shape or as an example; ``"N"`` may stand for the batch. Or all of them in a dict.
            others: further inputs, in order.
            values: inputs and needs by name.

        Raises:
            CallError: if an input is missing or unknown.
            ShapeError, DeviceError, OverwriteError: if the network cannot take the inputs.
        """
        trained = (each for each in self.parameters() if each.requires_grad and not is_lazy(each))
        return Summary(self._graph(input, others, values), sum(each.numel() for each in trained))

    def draw(self, input: Any = ..., *others: Any, **values: Any) -> Drawing:
        """A picture of the network: its layers in the order in which they run, and every skip as an arrow.

        >>> from torch import nn
        >>> from skipseq import Sequential, cat, save
        >>> net = Sequential(
        ...     nn.Conv2d(3, 8, 3, padding=1), save("x1"),
        ...     nn.MaxPool2d(2),
        ...     nn.ConvTranspose2d(8, 8, 2, 2), cat("x1"),
        ... )
        >>> net.draw(("N", 3, 32, 32))
        Drawing of Sequential: 6 boxes, 6 arrows

        ``draw(...).save("net.svg")`` writes it to a file, as SVG, PNG, DOT or Mermaid. A network that halves the resolution
        and doubles it again is drawn as a U. In a notebook a network shows itself.

        Args:
            input: the first input, as a shape or as an example; ``"N"`` may stand for the batch. Or all of them in a dict.
                Without inputs the picture has no shapes.
            others: further inputs, in order.
            values: inputs and needs by name.

        Raises:
            CallError: if an input is missing or unknown.
            ShapeError, DeviceError, OverwriteError: if the network cannot take the inputs.
        """
        return Drawing(self._graph(input, others, values))

    def page(self, input: Any = ..., *others: Any, **values: Any) -> Page:
        """A web page of the network, as one file: its drawing, to read about every layer and skip by pointing at it.

        >>> from torch import nn
        >>> from skipseq import Sequential, cat, save
        >>> net = Sequential(
        ...     nn.Conv2d(3, 8, 3, padding=1), save("x1"),
        ...     nn.MaxPool2d(2),
        ...     nn.ConvTranspose2d(8, 8, 2, 2), cat("x1"),
        ... )
        >>> net.page((1, 3, 32, 32))
        Page of Sequential: 4 operations, 1 skip

        ``page(...).save("net.html")`` writes it. A skip tells its ends, shape, bytes and lifetime; containers fold and unfold;
        a search finds layers, labels and containers by name. The page needs no network, and can be used with a keyboard and
        with a screen reader.

        Args:
            input: the first input, as a shape or as an example; ``"N"`` may stand for the batch. Or all of them in a dict.
                Without inputs the page has no shapes.
            others: further inputs, in order.
            values: inputs and needs by name.

        Raises:
            CallError: if an input is missing or unknown.
            ShapeError, DeviceError, OverwriteError: if the network cannot take the inputs.
        """
        summary = self.summary(input, *others, **values)
        return Page(summary, self._source_of_page(summary.graph))

    def source(self, name: str | None = None) -> Source:
        """The network as readable Python: a file with classes that needs torch alone.

        >>> from torch import nn
        >>> from skipseq import Sequential, add, save
        >>> net = Sequential(
        ...     ("conv1", nn.Conv2d(3, 8, 3, padding=1)), save("x1"),
        ...     ("conv2", nn.Conv2d(8, 8, 3, padding=1)), nn.ReLU(), add("x1"),
        ... )
        >>> for line in net.source().lines[5:]:
        ...     print(line.text)
        <BLANKLINE>
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
                self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
                self.relu = nn.ReLU()
        <BLANKLINE>
            def forward(self, x: Tensor) -> Tensor:
                x = x1 = self.conv1(x)
                x = self.conv2(x)
                x = self.relu(x)
                x = x + x1
                return x

        Its checkpoints are those of the network: the same keys in the same order. It gives the same numbers, and a value is
        deleted behind its last reader, as it is here. ``source().save("net.py")`` writes the file.

        What the file imports besides torch are functions and layers of your own. A layer whose constructor cannot be told
        from its attributes becomes a parameter of the class.

        Args:
            name: the name of the class; else ``Net``, or that of the handwritten class that the network was read from.

        Raises:
            ConversionError: if something in the network cannot be written: a lambda, a hook, a wrapper.
        """
        return network_source(self, self.wiring, self._graph(..., (), {}), (self._origin or "Net") if name is None else name)

    def _source_of_page(self, graph: Graph) -> Source | str:
        """The source that a page shows, or why it has none."""
        if len(self.wiring.steps) > MOST_LISTED:
            return f"it has {len(self.wiring.steps)} steps, and {MOST_LISTED} are shown at most. Write net.source()."
        try:
            return network_source(self, self.wiring, graph, self._origin or "Net")
        except ConversionError as error:
            return str(error)

    def _repr_svg_(self) -> str | None:
        """What a notebook shows; nothing if the wiring has faults, for the text tells them."""
        try:
            return self.draw().svg
        except WiringError:
            return None

    def _graph(self, input: Any, others: Any, values: Any) -> Graph:
        """The graph of the network; without inputs, without shapes."""
        known = input is not ... or others or values
        return network_graph(self, self.wiring, self._shapes(input, others, values) if known else None)

    def _shapes(self, input: Any, others: Any, values: Any) -> dict[Value, Any]:
        """What is given for the inputs and needs, by value."""
        if isinstance(input, dict) and not others and not values:
            input, values = ..., input
        return bind(self.wiring, input, others, values, type(self).__name__)
