"""Model files with one fault each, and the four parts of what is said about it."""

from __future__ import annotations

from skipseq.bridges.yolo.modules import KNOWN
from skipseq.bridges.yolo.settings import READ

ROW = "[-1, 1, Conv, [8, 3, 2]]"


def file_of(*rows: str, head: str = "nc: 3") -> str:
    """A model file of these rows: row 0 stands in line 3."""
    return "\n".join([head, "backbone:", *(f"  - {row}" for row in rows), "head: []", ""])


#: Each file with its problem, what was expected, what was received, and the advice.
CASES = [
    # no model file at all
    ("\n", ["there is nothing in it", "the keys 'backbone' and 'head'", "nothing", "Is it the right file?"]),
    (
        "- 1\n",
        [
            "line 1, column 1: this is no mapping",
            "keys and values, as in 'nc: 80'",
            "- 1",
            "Write one key and its value on a line.",
        ],
    ),
    (
        "nc: 3\n",
        ["there is no key 'backbone'", "the keys 'backbone' and 'head'", "the keys nc", "Write 'backbone:' with its rows."],
    ),
    (
        "backbone: []\n",
        ["there is no key 'head'", "the keys 'backbone' and 'head'", "the keys backbone", "Write 'head:' with its rows."],
    ),
    (
        "backbone: []\nhead: []\n",
        [
            "line 1, column 11: there are no rows",
            "at least one row [from, number, module, args]",
            "[]",
            "Write the rows of the network.",
        ],
    ),
    (
        "backbone: 5\nhead: []\n",
        [
            "line 1, column 11: this is no list of rows",
            "rows [from, number, module, args]",
            "5",
            "Write one row on a line, with '- ' before it.",
        ],
    ),
    (
        "backbone: [\nhead: ]\n  x",
        [
            "line 3, column 3: this is no YAML",
            "YAML",
            "expected <block end>, but found '<scalar>'",
            "Look at the indents and brackets there and in the line before.",
        ],
    ),
    (
        "nc: !!python/object/apply:os.system [ls]\n",
        [
            "line 1, column 5: tags are not read",
            "plain values",
            "!!python/object/apply:os.system [",
            "Remove what starts with '!'.",
        ],
    ),
    (
        "nc: &a 3\nch: *a\n",
        ["line 1, column 5: anchors and aliases are not read", "plain values", "&a 3", "Write the value out at each place."],
    ),
    (
        "nc: 3\n---\nnc: 4\n",
        ["line 2, column 1: a second document starts", "one network in a file", "---", "Write a file for each."],
    ),
    (
        "nc: 3\nch: 3\nnc: 4\n",
        ["line 3, column 1: a key stands there twice", "each key once", "nc", "It stands in line 1 too: remove one of them."],
    ),
    ("[1]: 3\n", ["line 1, column 1: a key is no text", "a name, as in 'nc: 80'", "[1]", "Write a name before the colon."]),
    (
        "[" * 20 + "\n",
        ["line 1, column 13: lists stand too deep in each other", "at most 12 levels", "[", "Write fewer."],
    ),
    # what stands at the head
    (
        file_of(ROW, head="width_mutliple: 0.5"),
        [
            "line 1, column 1: the key 'width_mutliple' is not known",
            f"one of {', '.join(READ)}, backbone, head",
            "width_mutliple",
            "Remove it. Did you mean 'width_multiple'?",
        ],
    ),
    (
        file_of(ROW, head="nc: many"),
        ["line 1, column 5: the value of 'nc' is wrong", "a whole number from 1 to 65536", "many", "As in 'nc: 3'."],
    ),
    (
        file_of(ROW, head="nc: " + "9" * 60),
        ["line 1, column 5: this number is too long", "at most 40 digits", "9" * 60, "Write a smaller number."],
    ),
    (
        file_of(ROW, head="depth_multiple: 1000000000"),
        [
            "line 1, column 17: the value of 'depth_multiple' is wrong",
            "a number above 0, at most 1048576",
            "1000000000",
            "As in 'depth_multiple: 1.0'.",
        ],
    ),
    (
        file_of(ROW, head="width_multiple: -.inf"),
        [
            "line 1, column 17: the value of 'width_multiple' is wrong",
            "a number above 0, at most 1048576",
            "-.inf",
            "As in 'width_multiple: 1.0'.",
        ],
    ),
    (
        file_of(ROW, head="scales: {n: [1]}"),
        [
            "line 1, column 13: the scale 'n' is wrong",
            "[depth, width] or [depth, width, max_channels], numbers above 0",
            "[1]",
            "As in [0.33, 0.25, 1024].",
        ],
    ),
    (
        file_of(ROW, head="scales: {}"),
        [
            "line 1, column 9: the value of 'scales' is wrong",
            "at least one scale",
            "{}",
            "As in 'scales: {n: [0.33, 0.25, 1024]}'.",
        ],
    ),
    (
        file_of(ROW, head="anchors: [[1, 2], [1, 2, 3, 4]]"),
        [
            "line 1, column 10: the value of 'anchors' is wrong",
            "a list for each scale, all of as many pairs of a width and a height; or how many boxes there are",
            "[[1, 2], [1, 2, 3, 4]]",
            "As in 'anchors: [[10, 14, 23, 27], [81, 82, 135, 169]]', in pixels.",
        ],
    ),
    # rows
    (
        file_of("[-1, 1, Conv]"),
        [
            "line 3, column 5: row 0 has 3 fields",
            "the four fields [from, number, module, args]",
            "[-1, 1, Conv]",
            "As in [-1, 1, Conv, [64, 3, 2]].",
        ],
    ),
    (
        file_of(ROW, "Conv"),
        [
            "line 4, column 5: row 1 is no list",
            "the four fields [from, number, module, args]",
            "Conv",
            "As in [-1, 1, Conv, [64, 3, 2]].",
        ],
    ),
    (
        file_of(ROW, "[5, 1, Conv, [8]]"),
        [
            "line 4, column 6: row 1 reads row 5, which does not stand before it",
            "0 to 0, or -1 to -1 counted back",
            "5",
            "Rows are counted from 0 through backbone and head: were some inserted or removed?",
        ],
    ),
    (
        file_of(ROW, "[1, 1, Conv, [8]]"),
        [
            "line 4, column 6: row 1 reads itself",
            "0 to 0, or -1 to -1 counted back",
            "1",
            "Rows are counted from 0 through backbone and head: were some inserted or removed?",
        ],
    ),
    (
        file_of(ROW, "[-9, 1, Conv, [8]]"),
        [
            "line 4, column 6: row 1 reads 9 rows back, of 1",
            "0 to 0, or -1 to -1 counted back",
            "-9",
            "Rows are counted from 0 through backbone and head: were some inserted or removed?",
        ],
    ),
    (
        file_of("[0, 1, Conv, [8]]"),
        [
            "line 3, column 6: row 0 reads itself",
            "-1, the images",
            "0",
            "Rows are counted from 0 through backbone and head: were some inserted or removed?",
        ],
    ),
    (
        file_of(ROW, "[[0, one], 1, Concat, [1]]"),
        [
            "line 4, column 6: the field 'from' of row 1 is none",
            "a whole number, or a list of them",
            "[0, one]",
            "Write -1 for the row before.",
        ],
    ),
    (
        file_of(ROW, "[[], 1, Concat, [1]]"),
        ["line 4, column 6: row 1 (Concat) reads nothing, or too much", "1 to 64 rows", "[]", "Write -1."],
    ),
    (
        file_of("[-1, 0.5, Conv, [8]]"),
        [
            "line 3, column 10: row 0 (Conv): its number is none",
            "a whole number from 1 to 500",
            "0.5",
            "Write 1 for a module that stands once.",
        ],
    ),
    (
        file_of("[-1, 1, [Conv], [8]]"),
        ["line 3, column 13: the module of row 0 is no name", "a name", "[Conv]", "As in [-1, 1, Conv, [64, 3, 2]]."],
    ),
    (
        file_of("[-1, 1, Conv, 8]"),
        ["line 3, column 19: row 0 (Conv): its arguments are no list", "a list", "8", "Write [] for none."],
    ),
    (
        file_of("[-1, 1, Conv, [8, {a: 1}]]"),
        ["line 3, column 23: a mapping stands here", "a number, a text, or a list", "{a: 1}", "Write the value alone."],
    ),
    (
        file_of("[-1, 1, Conv, [nc]]", head="ch: 3"),
        ["line 3, column 20: 'nc' is used here", "the key 'nc' in the file", "nc", "Write 'nc: ...' at its head."],
    ),
    # arguments
    (
        file_of("[-1, 1, Conv, []]"),
        [
            "line 3, column 5: row 0 (Conv): it takes another number of arguments",
            "1 to 7: channels, kernel=..., stride=..., padding=..., groups=..., dilation=..., activation=...",
            "none",
            "Write them in this order, last in the row.",
        ],
    ),
    (
        file_of("[-1, 1, nn.BatchNorm2d, [8]]"),
        [
            "line 3, column 5: row 0 (nn.BatchNorm2d): it takes another number of arguments",
            "none",
            "1",
            "Write [] last in the row.",
        ],
    ),
    (
        file_of("[-1, 1, Conv, [-8]]"),
        [
            "line 3, column 20: row 0 (Conv): argument 1 (channels) is wrong",
            "a whole number of channels from 1 to 1048576",
            "-8",
            "Write a whole number of channels from 1 to 1048576 there.",
        ],
    ),
    (
        file_of("[-1, 1, Conv, [8, [3, x]]]"),
        [
            "line 3, column 23: row 0 (Conv): argument 2 (kernel) is wrong",
            "a whole number from 1 to 1048576, or two in a list",
            "[3, x]",
            "Write a whole number from 1 to 1048576, or two in a list there.",
        ],
    ),
    (
        file_of("[-1, 1, C3, [8, 1]]"),
        ["line 3, column 21: row 0 (C3): argument 2 (shortcut) is wrong", "True or False", "1", "Write True or False there."],
    ),
    (
        file_of("[-1, 1, Conv, [9, 3, 1, null, 5]]"),
        [
            "line 3, column 5: row 0 (Conv): it cannot be built",
            "arguments that fit",
            "[9, 3, 1, None, 5]",
            "ValueError: in_channels must be divisible by groups",
        ],
    ),
    (
        file_of("[-1, 1, nn.MaxPool2d, [abc]]"),
        [
            "line 3, column 5: row 0 (nn.MaxPool2d): it does not run on what it reads",
            "arguments for (1, 3, 640, 640)",
            "['abc']",
            "TypeError: max_pool2d(): argument 'kernel_size' (position 2) must be tuple of ints, not str",
        ],
    ),
    (
        file_of("[-1, 1, nn.MaxPool2d, [[[2]]]]"),
        [
            "line 3, column 28: row 0 (nn.MaxPool2d): argument 1 is wrong",
            "a number, a text, or a list of numbers",
            "[[2]]",
            "Write a number, a text, or a list of numbers there.",
        ],
    ),
    # modules
    (
        file_of("[-1, 1, Segment, [nc, 32]]"),
        [
            "line 3, column 5: row 0 (Segment): this module is not known",
            f"one of {', '.join(sorted([*KNOWN, 'Concat', 'Detect']))}, or a layer of torch.nn without parameters",
            "Segment",
            "Pass a function that builds it: from_yolo(..., registry={'Segment': build}), called as build(channels, *args).",
        ],
    ),
    (
        file_of(ROW, "[[-1, 0], 1, Conv, [8]]"),
        [
            "line 4, column 5: row 1 (Conv): it reads a list",
            "one row, as -1",
            "a list of 2",
            "Write a Concat before it, if several are meant.",
        ],
    ),
    (
        file_of(ROW, ROW, "[[-1, 0], 1, Concat, [1]]"),
        [
            "line 5, column 5: row 2 (Concat): it cannot concatenate values of different sizes",
            "one size",
            "'conv_p2' (1, 8, 160, 160), 'conv_p1' (1, 8, 320, 320)",
            "Does 'from' read the rows that are meant? Rows are counted from 0 through backbone and head.",
        ],
    ),
    (
        file_of(ROW, "[-1, 1, Concat, [1]]"),
        [
            "line 4, column 5: row 1 (Concat): it joins rows once",
            "the number 1 and at least two rows",
            "the number 1 and 1 rows",
            "As in [[-1, 6], 1, Concat, [1]].",
        ],
    ),
    (
        file_of(ROW, "[[-1, 0], 1, Concat, [9]]"),
        ["line 4, column 5: row 1 (Concat): its argument is wrong", "one dimension", "[9]", "Write [1]: the channels."],
    ),
    (
        file_of("[-1, 1, nn.Flatten, []]", "[-1, 1, nn.Flatten, [0]]", "[-1, 1, nn.Identity, []]"),
        [
            "line 5, column 5: row 2 (nn.Identity): it reads 'flatten_2'",
            "a tensor (batch, channels, ...)",
            "(1228800,)",
            "Read another row.",
        ],
    ),
    # Detect
    (
        file_of(ROW, "[[0], 1, Detect, [nc]]", ROW),
        [
            "line 4, column 5: row 1 (Detect): it stands in the middle",
            "Detect once, in the last row",
            "rows behind it, or a number above 1",
            "Move it.",
        ],
    ),
    (
        file_of(ROW, "[[0], 1, Detect, []]"),
        [
            "line 4, column 5: row 1 (Detect): its arguments are wrong",
            "[nc] or [nc, anchors]",
            "[]",
            "Write [nc] for a head without anchors.",
        ],
    ),
    (
        file_of(ROW, "[[0], 1, Detect, [3, [[1, 2], [3, 4]]]]"),
        [
            "line 4, column 5: row 1 (Detect): its anchors are wrong",
            "a list for each scale, all of as many pairs of a width and a height; or how many boxes there are (maps: 1)",
            "((1, 2), (3, 4))",
            "List the anchor boxes of each map that Detect reads.",
        ],
    ),
    (
        file_of("[-1, 1, nn.Flatten, []]", "[[0], 1, Detect, [3]]"),
        [
            "line 4, column 5: row 1 (Detect): it predicts from maps",
            "values (batch, channels, height, width)",
            "(1, 1228800)",
            "Read other rows.",
        ],
    ),
    # sizes
    (
        file_of("[-1, 1, Conv, [1000000]]", head="width_multiple: 1000000"),
        [
            "line 3, column 5: row 0 (Conv): the network is too large",
            "at most 8589934592 bytes",
            "28000000000008 bytes up to here",
            "Pass largest= if it is meant.",
        ],
    ),
    (
        file_of("[-1, 1, nn.Upsample, [None, 1000]]"),
        [
            "line 3, column 5: row 0 (nn.Upsample): what it gives is too large",
            "at most 4294967296 numbers",
            "(1, 3, 640000, 640000)",
            "Is a size or a factor in this row right? Pass size= to try the rows with smaller images.",
        ],
    ),
    (
        file_of("[-1, 400, C3, [8]]", "[-1, 400, C3, [8]]"),
        [
            "line 4, column 5: row 1 (C3): there are too many modules",
            "at most 500 in all",
            "800 up to here",
            "Is the number of this row, or the multiple of depth, right?",
        ],
    ),
    (
        file_of(*["[-1, 1, nn.Identity, []]"] * 501),
        [
            "line 503, column 5: there are too many rows",
            "at most 500",
            "[-1, 1, nn.Identity, []]",
            "Use 'number' for repeated modules.",
        ],
    ),
]
