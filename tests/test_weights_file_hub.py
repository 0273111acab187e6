"""``PyTorchModelHubMixin``: folders are written and read without any network, in both orders of the base classes."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import safetensors.torch
import torch
from huggingface_hub import ModelHubMixin, PyTorchModelHubMixin, hub_mixin
from torch import nn

from skipseq import Residual, Sequential, UNet, add, cat, save
from skipseq.bridges import hub
from skipseq.errors import FileError


class First(Sequential, PyTorchModelHubMixin):
    """Ours before the mixin."""


class Second(PyTorchModelHubMixin, Sequential, library_name="skipseq", tags=["skips"]):
    """The mixin before ours, with what it writes on the card."""


class Heir(First, license="mit"):
    """A class of a class."""


class Block(Residual, PyTorchModelHubMixin):
    """A block is more than its entries."""


class Made(Sequential, PyTorchModelHubMixin):
    """A class with a constructor of its own, whose arguments are JSON."""

    def __init__(self, width: int = 4, depths: tuple[int, ...] = (1, 2), name: str | None = None) -> None:
        layers = [nn.Linear(width, width) for _ in range(sum(depths))]
        super().__init__(*layers, add("input"))
        self.name = name


class MadeSecond(PyTorchModelHubMixin, Sequential):
    """The same, the other way round."""

    def __init__(self, width: int = 4) -> None:
        super().__init__(save("x"), nn.Linear(width, width), cat("x"))


class MadeOfFirst(First):
    """A constructor of its own, where the class before had none."""

    def __init__(self, width: int = 4) -> None:
        super().__init__(nn.Linear(width, width), add("input"))


WITHOUT = [First, Second, Heir]
WITH = [Made, MadeSecond, MadeOfFirst]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket can be made."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def entries() -> tuple[Any, ...]:
    return (
        nn.Linear(4, 4),
        ("norm", nn.BatchNorm1d(4)),
        save("x"),
        nn.Linear(4, 4),
        nn.Dropout(),
        cat("x"),
        nn.Linear(8, 4),
        add("input"),
    )


def assert_same(same: Sequential, net: Sequential) -> None:
    """Asserts that what was read is the network, in evaluation mode."""
    assert type(same) is type(net)
    assert same.wiring == net.wiring
    assert str(same) == str(net)
    assert list(same.state_dict()) == list(net.state_dict())
    assert not any(each.training for each in same.modules())
    x = torch.randn(3, 4)
    assert torch.equal(same(x), net.eval()(x))


@pytest.mark.parametrize("cls", WITHOUT)
def test_layers_as_arguments_come_back(cls: Any, tmp_path: Path) -> None:
    net = cls(*entries())
    net.save_pretrained(tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    same = cls.from_pretrained(tmp_path)
    assert_same(same, net)
    same.save_pretrained(tmp_path / "again")
    assert_same(cls.from_pretrained(str(tmp_path / "again")), net)
    assert (tmp_path / "again" / "model.safetensors").read_bytes() != b""


@pytest.mark.parametrize("cls", WITHOUT)
def test_others_can_read_the_file(cls: Any, tmp_path: Path) -> None:
    net = cls(*entries(), outputs=("norm", "x"))
    net.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == {"skipseq": "1"}
    same = Sequential.from_file(tmp_path / "model.safetensors")
    assert type(same) is Sequential
    assert same.wiring == net.wiring
    kept = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(kept[key], value) for key, value in net.state_dict().items())


def test_inputs_and_tied_layers_come_back(tmp_path: Path) -> None:
    shared = nn.Linear(4, 4)
    net = First(shared, add("t"), shared, inputs=("x", "t"))
    net.save_pretrained(tmp_path)
    same = First.from_pretrained(tmp_path)
    assert same[0] is same[2]
    x, t = torch.randn(2, 2, 4)
    assert torch.equal(same(x, t=t), net(x, t=t))
    assert same._hub_mixin_config == {"skipseq": "1"}


def test_an_edited_network_is_the_edited_one(tmp_path: Path) -> None:
    net = First(*entries())
    net.append(nn.Linear(4, 2))
    del net[4]
    other = net.with_outputs("norm")
    for each in (net, other):
        each.save_pretrained(tmp_path)
        assert_same(First.from_pretrained(tmp_path), each)


def test_blocks_come_back(tmp_path: Path) -> None:
    net = Block(nn.Linear(4, 4), nn.ReLU(), shortcut=nn.Linear(4, 4))
    net.save_pretrained(tmp_path)
    same = Block.from_pretrained(tmp_path)
    assert_same(same, net)
    assert str(same).startswith("Block(")
    assert type(Sequential.from_file(tmp_path / "model.safetensors")) is Residual


def test_a_class_may_have_the_name_of_a_block(tmp_path: Path) -> None:
    class UNet(Sequential, PyTorchModelHubMixin):
        pass

    net = UNet(*entries())
    net.save_pretrained(tmp_path)
    assert_same(UNet.from_pretrained(tmp_path), net)


def test_blocks_inside_come_back(tmp_path: Path) -> None:
    net = First(UNet([nn.Linear(4, 4)], nn.Linear(4, 4), [nn.Linear(8, 4)], join=cat), Residual(nn.Linear(4, 4)))
    net.save_pretrained(tmp_path)
    assert_same(First.from_pretrained(tmp_path), net)


@pytest.mark.parametrize("cls", WITH)
def test_a_constructor_of_its_own_is_called_as_the_mixin_does(
    cls: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = cls(width=4)
    net.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["width"] == 4
    with safetensors.safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert "network" not in (file.metadata() or {})
    assert_same(cls.from_pretrained(tmp_path), net)
    assert cls._from_pretrained.__func__ is PyTorchModelHubMixin._from_pretrained.__func__
    assert cls._save_pretrained is PyTorchModelHubMixin._save_pretrained
    capsys.readouterr()


def test_arguments_of_the_constructor_come_back(tmp_path: Path) -> None:
    net = Made(6, depths=(3,), name="small")
    net.save_pretrained(tmp_path)
    same = Made.from_pretrained(tmp_path)
    assert (len(same), same[0].in_features, same.name) == (4, 6, "small")


def test_a_config_of_the_user_is_kept(tmp_path: Path) -> None:
    net = First(*entries())
    net.save_pretrained(tmp_path, config={"dataset": "ours"})
    same = First.from_pretrained(tmp_path)
    assert same._hub_mixin_config == {"dataset": "ours"}
    same.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == {"dataset": "ours", "skipseq": "1"}


class Own(nn.Module):
    """A layer that only its user knows."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.linear = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)


def test_layers_of_the_user_come_back_by_their_names(tmp_path: Path) -> None:
    net = First(Own(4), add("input"))
    net.save_pretrained(tmp_path)
    assert_same(First.from_pretrained(tmp_path, registry={"Own": Own}), net)
    with pytest.raises(FileError, match="Own is not known"):
        First.from_pretrained(tmp_path)


def test_the_device_is_chosen_and_what_the_file_says_is_not(tmp_path: Path) -> None:
    First(*entries()).save_pretrained(tmp_path)
    assert First.from_pretrained(tmp_path, map_location="meta", strict=True)[0].weight.is_meta
    with pytest.raises(TypeError) as caught:
        First.from_pretrained(tmp_path, outputs="x")
    assert str(caught.value) == (
        "First.from_pretrained() got 'outputs', and builds the network from its file alone.\n"
        "  Leave it out, and change the network that is read: net.with_outputs(...), net.connect(...)."
    )


def test_a_folder_without_a_network_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="No such file or directory"):
        First.from_pretrained(tmp_path)
    safetensors.torch.save_file({"0.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(FileError, match="it holds weights, and no network"):
        First.from_pretrained(tmp_path)


def test_what_is_pushed_is_what_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class Api:
        """What the mixin asks of the Hub."""

        def __init__(self, token: str | None = None) -> None:
            asked.append(("token", token))

        def create_repo(self, repo_id: str, **options: Any) -> Any:
            asked.append(("create", repo_id))
            return huggingface_hub.RepoUrl(f"https://huggingface.co/{repo_id}")

        def upload_folder(self, repo_id: str, folder_path: Path, **options: Any) -> str:
            asked.append(("upload", repo_id, sorted(each.name for each in folder_path.iterdir())))
            assert_same(Second.from_pretrained(folder_path), net)
            card = (folder_path / "README.md").read_text()
            assert "skips" in card
            assert "library_name: skipseq" in card
            return "the commit"

    monkeypatch.setattr(hub_mixin, "HfApi", Api)
    net = Second(*entries())
    assert net.push_to_hub("somebody/net", token="secret") == "the commit"
    files = ["README.md", "config.json", "model.safetensors"]
    assert asked == [("token", "secret"), ("create", "somebody/net"), ("upload", "somebody/net", files)]
    asked.clear()
    net.save_pretrained(tmp_path / "net", push_to_hub=True, repo_id="somebody/net")
    assert asked[-1] == ("upload", "somebody/net", files)


def test_a_repository_is_downloaded_as_the_mixin_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = First(*entries())
    net.save_pretrained(tmp_path)
    asked = []

    def download(repo_id: str, filename: str, **options: Any) -> str:
        asked.append((repo_id, filename, options))
        return str(tmp_path / filename)

    monkeypatch.setattr(hub_mixin, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert_same(First.from_pretrained("somebody/net", revision="v1", token="secret"), net)
    assert [each[:2] for each in asked] == [("somebody/net", "config.json"), ("somebody/net", "model.safetensors")]
    assert asked[0][2] == asked[1][2]
    assert asked[1][2]["revision"] == "v1"


def test_who_saves_otherwise_keeps_doing_so() -> None:
    class Different(Sequential, PyTorchModelHubMixin):
        def _save_pretrained(self, save_directory: Path) -> None:
            raise NotImplementedError

    class Below(Different):
        pass

    assert Below._save_pretrained is Different._save_pretrained
    assert Below._from_pretrained.__func__ is PyTorchModelHubMixin._from_pretrained.__func__


def test_the_general_mixin_is_enough(tmp_path: Path) -> None:
    class General(Sequential, ModelHubMixin):
        pass

    net = General(*entries())
    net.save_pretrained(tmp_path)
    assert_same(General.from_pretrained(tmp_path), net)
    assert General._save_pretrained is hub.save


def test_classes_without_the_mixin_are_as_before() -> None:
    class Plain(Sequential):
        pass

    assert not hasattr(Plain, "_save_pretrained")
