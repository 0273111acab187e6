"""Files of Darknet that are wrong, damaged or hostile: each is refused with what stands there and what to write."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skipseq import from_darknet
from skipseq.bridges.darknet.layers import DarknetActivation, Reorg
from skipseq.errors import FileError

from .darknet_reference import HEADER, Reference
from .fuzzing import damaged, read_or_refused

DATA = Path(__file__).parent / "data" / "darknet"

NET = "[net]\nwidth=8\nheight=6\nchannels=4\n"
CONV = "[convolutional]\nfilters=4\nactivation=linear\n"


def refusal(text: str, weights: bytes | None = None, folder: Path | None = None, **options: int) -> str:
    """What is said about a file."""
    path = None
    if weights is not None and folder is not None:
        path = folder / "net.weights"
        path.write_bytes(weights)
    with pytest.raises(FileError) as caught:
        from_darknet(text + "\n", path, **options)
    return str(caught.value)


def test_a_whole_message(tmp_path: Path) -> None:
    (tmp_path / "small.cfg").write_text(f"{NET}{CONV}[route]\nlayers = 0, 3\n")
    with pytest.raises(FileError) as caught:
        from_darknet(tmp_path / "small.cfg")
    assert str(caught.value) == (
        "small.cfg cannot be read as a network.\n"
        "  line 9, [route]: layers= refers to no earlier layer.\n"
        "  expected a layer from 0 to 0, or from -1 to -1\n"
        "  received 3\n"
        "  Layers count from 0, behind [net]; -1 is the layer before this one."
    )


#: Texts, and what is said about them: where, what is expected, what to do.
WRONG: list[tuple[str, str]] = [
    ("", "The first section is another one.\n  expected [net]\n  received an empty file"),
    ("# only a remark", "received an empty file"),
    ("width=3\n[net]", "line 1: An option stands before any section."),
    ("[convolutional]\n[net]", "line 1: The first section is another one."),
    ("[net]\nwidth=8\nheight=6\nchannels=4", "line 1, [net]: There are no layers."),
    (f"{NET}{CONV}[net]", "line 8, [net]: A second network starts here."),
    (f"[net]\nwidth=8\n{CONV}", "line 1, [net]: The size of the input is missing."),
    (f"{NET}inputs=5\n{CONV}", "expected 192 inputs\n  received 5"),
    (f"[net]\nwidth=99999\nheight=99999\nchannels=4\n{CONV}", "expected at most 2147483647 numbers"),
    (f"{NET}[convolutionel]", "Did you mean 'convolutional'? Known are: net, convolutional, connected"),
    (f"{NET}[convolutional", "line 5: This section is not known."),
    (f"{NET}[]", "line 5: This section is not known."),
    (f"{NET}{CONV}filters", "line 8, [convolutional]: This line is no option.\n  expected name=value\n  received 'filters'"),
    (f"{NET}{CONV}size=", "line 8, [convolutional]: This line is no option."),
    (f"{NET}{CONV}=3", "line 8, [convolutional]: This line is no option."),
    (f"{NET}{CONV}bacth_normalize=1", "Did you mean 'batch_normalize'? Darknet would go on without it."),
    (f"{NET}{CONV}size=3x", "size= has no such number.\n  expected a whole number from 1 to 32768\n  received '3x'"),
    (f"{NET}{CONV}size=-3", "received '-3'"),
    (f"{NET}{CONV}size=1e3", "received '1e3'"),
    (f"{NET}{CONV}size=\u0663", "received '\u0663'"),
    (f"{NET}{CONV}stride=0", "expected a whole number, 1 or more\n  received '0'"),
    (f"{NET}{CONV}stride={'9' * 400}", "received '999999999"),
    (f"{NET}[convolutional]\nfilters=99999999", "The result is too large."),
    (f"{NET}{CONV}size=9\n", "The window is larger than the image.\n  expected at most 6\n  received 9"),
    (f"{NET}{CONV}size=20000\npadding=20000", "The parameters are too large."),
    (f"{NET}{CONV}groups=3", "expected a number that divides 4 channels and 4 filters\n  received 3"),
    (f"{NET}{CONV}size=3\ndilation=2", "The padding of a dilated kernel is wrong.\n  expected 1\n  received 0"),
    (f"{NET}[convolutional]\nactivation=laeky", "Did you mean 'leaky'? Darknet would take relu and go on."),
    (f"{NET}[convolutional]\nactivation=normalize_channels", "This activation mixes channels."),
    (f"{NET}{CONV}xnor=1", "xnor= is not supported."),
    (f"{NET}{CONV}{CONV}share_index=0", "share_index= is not supported."),
    (f"{NET}{CONV}flipped=1", "flipped= is not supported."),
    (f"{NET}{CONV}numload=2", "numload= is not supported."),
    (f"{NET}[route]\nlayers=0", "expected no reference in the first layer\n  received 0"),
    (f"{NET}{CONV}[route]\nlayers=1", "layers= refers to no earlier layer."),
    (f"{NET}{CONV}[route]\nlayers=-2", "received -2"),
    (f"{NET}{CONV}[route]", "layers= is missing."),
    (f"{NET}{CONV}[route]\nlayers=0,,0", "layers= has no such number.\n  expected a whole number\n  received ''"),
    (f"{NET}{CONV}[route]\nlayers={'0,' * 300}0", "layers= is too long.\n  expected at most 256 numbers\n  received 301"),
    (f"{NET}{CONV}[upsample]\n[route]\nlayers=0,1", "received 4 x 6 x 8 and 4 x 12 x 16"),
    (f"{NET}{CONV}[route]\nlayers=0\ngroups=3", "The groups do not fit."),
    (f"{NET}{CONV}[route]\nlayers=0\ngroups=2\ngroup_id=2", "received groups=2 and group_id=2"),
    (f"{NET}{CONV}[upsample]\n[shortcut]\nfrom=0", "expected the size of 4 x 12 x 16\n  received 4 x 6 x 8"),
    (f"{NET}{CONV}[shortcut]", "from= is missing."),
    (f"{NET}{CONV}[shortcut]\nfrom=0\nweights_type=per_feature", "Shortcuts with weights are not supported."),
    (f"{NET}{CONV}[shortcut]\nfrom=0\nalpha=.5", "alpha= is not supported.\n  expected 1\n  received .5"),
    (f"{NET}{CONV}[scale_channels]\nfrom=0", "The factors do not fit the image.\n  expected 4 x 1 x 1\n  received 4 x 6 x 8"),
    (f"{NET}{CONV}[scale_channels]\nfrom=0,0", "from= does not refer to one image."),
    (f"{NET}{CONV}[upsample]\n[sam]\nfrom=0", "The two layers have different sizes."),
    (f"{NET}{CONV}[sam]\nfrom=0\nactivation=mish", "Darknet has no such activation here."),
    (f"{NET}{CONV}[maxpool]\nsize=2\npadding=3", "A window lies in the padding alone.\n  expected at most 2\n  received 3"),
    (f"{NET}{CONV}[maxpool]\nantialiasing=1", "antialiasing= is not supported."),
    (f"{NET}{CONV}[local_avgpool]\nsize=2", "PyTorch has no such padding for means."),
    (f"{NET}{CONV}[upsample]\nstride=-2", "received '-2'"),
    (f"{NET}{CONV}[upsample]\nscale=nan", "scale= is no number.\n  expected a finite number\n  received 'nan'"),
    (f"{NET}{CONV}[upsample]\nstride=90000", "The result is too large."),
    (f"{NET}{CONV}[reorg]\nstride=4", "expected channels that 16 divides, and a height and width that 4 divides"),
    (f"{NET}{CONV}[reorg3d]\nreverse=1\nstride=2", "expected channels that 16 divides\n  received 4 x 6 x 8"),
    (f"{NET}{CONV}[dropout]", "without it, the two Darknets take 0.5 and 0.2."),
    (f"{NET}{CONV}[dropout]\nprobability=1", "expected probability= from 0 to below 1\n  received 1"),
    (f"{NET}{CONV}[dropout]\nprobability=.1\ndropblock=1", "dropblock= is not supported."),
    (f"{NET}{CONV}[softmax]\ngroups=5", "expected a number that divides 192\n  received 5"),
    (f"{NET}{CONV}[softmax]\ntree=a.tree", "The tree of classes is in another file."),
    (f"{NET}{CONV}[softmax]\ntemperature=0", "expected a number above 0\n  received 0.0"),
    (f"{NET}{CONV}[softmax]\nspatial=1", "spatial= is not supported."),
    (
        f"{NET}{CONV}[softmax]\n{CONV}",
        "This section needs an image.\n  expected channels x height x width\n  received 192 numbers",
    ),
    (f"{NET}{CONV}[cost]\n{CONV}", "It reads the section before, which gives a loss."),
    (f"{NET}{CONV}[yolo]\nclasses=3\nnum=2", "expected 2 x (5 + 3) = 16 channels\n  received 4 x 6 x 8\n  Say filters=16"),
    (f"{NET}[convolutional]\nfilters=6\n[yolo]\nclasses=1\n{CONV}", "It reads the section before, which gives boxes."),
    (f"{NET}[convolutional]\nfilters=6\n[yolo]\nclasses=1\n[route]\nlayers=1", "It reads layer 1, which gives boxes."),
    (f"{NET}[convolutional]\nfilters=6\n[yolo]\nclasses=1\nmask=1\nanchors=1,2", "mask= picks no anchor."),
    (
        f"{NET}[convolutional]\nfilters=6\n[yolo]\nclasses=1\nanchors=1",
        "expected 2 numbers, two for each of num=1\n  received 1",
    ),
    (f"{NET}[convolutional]\nfilters=6\n[yolo]\nclasses=1\nanchors=1,inf", "anchors= is no number."),
    (f"{NET}[convolutional]\nfilters=6\n[yolo]\nclasses=1\nnum=2147483647", "2147483647 x (5 + 1) = 12884901882 channels"),
    (f"{NET}{CONV}[region]\nclasses=1\nnum=2", "expected 2 x (5 + 1) = 12 channels"),
    (f"{NET}{CONV}[detection]\nclasses=1\nside=3", "expected 3 x 3 x (1 + 1 x (1 + 1)) = 27 numbers\n  received 192"),
    *[
        (f"{NET}[{kind}]\noutput=3", f"line 5, [{kind}]: This section is not supported.")
        for kind in ("local", "crop", "normalization", "l2norm", "rnn", "gru", "lstm", "crnn", "implicit", "deconvolutional")
    ],
    (NET + CONV * 1001, "There are too many sections.\n  expected at most 1000"),
    (NET + CONV + "".join(f"zz{i}=1\n" for i in range(600)), "There are too many unknown options."),
    (NET + CONV + ("[route]\nlayers=" + "0," * 200 + "0\n[route]\nlayers=0\n") * 25, "There are too many references."),
    (NET + CONV + "[route]\nlayers=-1,-1\n" * 60, "The result is too large."),
    (f"{NET}{CONV}\0", "This is no .cfg file.\n  expected a text of sections\n  received a zero at byte 78"),
    (NET + "#" * (1 << 20), "received more than 1048576 bytes"),
]


@pytest.mark.parametrize(("text", "said"), WRONG, ids=[said[:60] for _, said in WRONG])
def test_wrong_sections(text: str, said: str) -> None:
    message = refusal(text)
    assert said in message
    assert len(message) < 2000
    assert message.startswith("the text cannot be read as a network.\n")


def test_the_parameters_may_take_so_many_bytes() -> None:
    text = f"{NET}[connected]\noutput=1000\nactivation=linear"
    assert len(from_darknet(text + "\n", largest=4 * 193_000)) == 1
    message = refusal(text, largest=4 * 193_000 - 1)
    assert "expected at most 771999 bytes\n  received 772000 bytes with this section" in message
    assert "The parameters are too large." in refusal(f"{NET}[connected]\noutput=2147483647")


# Weights

SMALL = f"{NET}{CONV}[maxpool]\n[convolutional]\nfilters=2\nbatch_normalize=1\n"
#: The first convolution has 20 numbers, the second one 16.
SIZE = len(HEADER) + 4 * 36

WRONG_WEIGHTS: list[tuple[bytes, str]] = [
    (b"", "byte 0: The header is cut off.\n  expected 16 or 20 bytes\n  received 0"),
    (HEADER[:15], "received 15"),
    (
        struct.pack("<iiii", 0, -1, 0, 0),
        "This is no version of Darknet.\n  expected three numbers, none below 0\n  received 0.-1.0",
    ),
    (HEADER, "byte 20, biases of section 0, line 5, [convolutional]: The file ends here."),
    (HEADER + bytes(80), "It ends behind section 0: say layers=1 to read these, and leave the others new."),
    (HEADER + bytes(81), "byte 100, biases of section 2, line 9, [convolutional]: The file ends here."),
    (HEADER + bytes(4 * 24), "byte 116, means of section 2"),
    (HEADER + bytes(4 * 36 - 1), "byte 132, weights of section 2"),
    (
        HEADER + bytes(4 * 36 + 1),
        "byte 164: The file goes on.\n"
        "  expected 164 bytes: a header of 20 for version 0.2.5, and the weights of 3 sections\n  received 165 bytes",
    ),
    (HEADER + bytes(4 * 37), "Is this the file of weights for this network?"),
    (b"<!DOCTYPE html><html><head></head><body>Not Found</body></html>" * 9, "The file goes on."),
]


@pytest.mark.parametrize(("weights", "said"), WRONG_WEIGHTS, ids=[said[:60] for _, said in WRONG_WEIGHTS])
def test_wrong_weights(weights: bytes, said: str, tmp_path: Path) -> None:
    message = refusal(SMALL, weights, tmp_path)
    assert said in message
    assert message.startswith("net.weights cannot be read as weights.\n")


def test_a_file_that_covers_more_or_fewer_sections_than_said(tmp_path: Path) -> None:
    assert "and the weights of 1 section\n" in refusal(SMALL, HEADER + bytes(4 * 36), tmp_path, layers=1)
    assert "The file ends here." in refusal(SMALL, HEADER + bytes(80), tmp_path, layers=3)


def test_a_large_network_takes_no_memory_for_a_small_file(tmp_path: Path) -> None:
    text = f"{NET}[connected]\noutput=10000000\nactivation=linear"
    assert "expected 7720000020 bytes" in refusal(text, HEADER, tmp_path)


def test_a_network_without_weights_has_a_file_of_a_header(tmp_path: Path) -> None:
    text = f"{NET}[maxpool]\nsize=2\nstride=2"
    (tmp_path / "net.weights").write_bytes(HEADER)
    assert len(from_darknet(text + "\n", tmp_path / "net.weights")) == 1
    assert "byte 18: The header is cut off." in refusal(text, HEADER[:18], tmp_path)
    with pytest.raises(FileError, match="Pass both, or none of them"):
        from_darknet(text + "\n", layers=1)


@pytest.mark.parametrize("layers", [0, 2, -1, True, 1.0, "1"])
def test_a_number_of_sections_that_is_none(tmp_path: Path, layers: Any) -> None:
    (tmp_path / "net.weights").write_bytes(HEADER)
    with pytest.raises(FileError, match="expected a whole number from 1 to 1, the number of sections") as caught:
        from_darknet(f"{NET}[maxpool]\nsize=2\nstride=2\n", tmp_path / "net.weights", layers=layers)
    assert caught.value.received == f"layers={layers!r}"


def test_a_missing_file_is_an_error_of_the_file(tmp_path: Path) -> None:
    for files in ((tmp_path / "none.cfg",), (SMALL, tmp_path / "none.weights")):
        with pytest.raises(FileError, match="it cannot be opened") as caught:
            from_darknet(*files)
        assert caught.value.file == str(files[-1])
        assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(FileError, match="a folder, a pipe or a device"):
            from_darknet(path)
        with pytest.raises(FileError, match="a folder, a pipe or a device"):
            from_darknet(SMALL, path)
    with pytest.raises(FileError, match="null"):
        from_darknet("a\0b")


def test_layers_refuse_what_they_cannot_be() -> None:
    with pytest.raises(ValueError, match="'tan' is not one of 'ramp'"):
        DarknetActivation("tan")
    with pytest.raises(ValueError, match="at least 1, not 0"):
        Reorg(0)


# Damage


@pytest.mark.parametrize("name", sorted(path.stem for path in DATA.glob("*.cfg")))
def test_damaged_sections(name: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged.cfg"

    def read(data: bytes) -> object:
        path.write_bytes(data)
        return from_darknet(path, largest=1 << 26)

    results = [read_or_refused(read, each) for each in damaged((DATA / f"{name}.cfg").read_bytes(), 120)]
    assert any(each is None for each in results)
    assert any(each is not None for each in results)


def test_damaged_weights(tmp_path: Path) -> None:
    text = (DATA / "pyramid.cfg").read_text()
    reference = Reference(text)
    reference(reference.image())
    path = tmp_path / "damaged.weights"

    def read(data: bytes) -> object:
        path.write_bytes(data)
        return from_darknet(text, path)

    whole = reference.file()
    results = [read_or_refused(read, each) for each in damaged(whole, 150)]
    results += [read_or_refused(read, each + whole[20:]) for each in damaged(whole[:20], 100)]
    assert any(each is None for each in results)
    assert any(each is not None for each in results)


WORDS = ["[net]", "[convolutional]", "[route]", "[shortcut]", "[yolo]", "[maxpool]", "[reorg]", "[connected]", "[upsample]"]
WORDS += [
    "width=",
    "height=",
    "channels=",
    "filters=",
    "size=",
    "stride=",
    "pad=",
    "layers=",
    "from=",
    "groups=",
    "mask=",
    "num=",
]
WORDS += ["0", "1", "-1", "2", "8", "99999999999", "3.5", ",", "#", "\n", "\n", "\n", "activation=leaky\n", "nan", "\u00e9"]


@settings(max_examples=150, deadline=None, database=None)
@given(st.lists(st.sampled_from(WORDS), max_size=40))
def test_random_texts(words: list[str]) -> None:
    text = f"{NET}{CONV}" + "".join(f"\n{word}\n" if word[0] == "[" else word for word in words)
    read_or_refused(lambda data: from_darknet(data.decode(), largest=1 << 26), text.encode())
