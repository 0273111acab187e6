"""Run all benchmarks and write their tables into README.md beside this file.

    python bench/report.py

A table stands between `<!-- overhead -->` and `<!-- end -->`, so that no number is ever copied by hand.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path

import torch

import files
import memory
import overhead
import scale

__all__ = ["describe_machine", "replace_table"]

README = Path(__file__).with_name("README.md")
PACKAGES = (
    *("skipseq", "torch", "torch-circuit", "torchresidual", "torchgpipe", "torch-geometric", "tensordict"),
    *("fastai", "monai", "pytorch-symbolic", "safetensors"),
)


def main() -> None:
    """Measure everything and rewrite the tables."""
    text = replace_table(README.read_text(), "machine", describe_machine())
    for name, table in measure_tables():
        text = replace_table(text, name, table)
    README.write_text(text)


def measure_tables() -> Iterable[tuple[str, str]]:
    """Yield the name and the table of each benchmark, with the options that it has by default."""
    yield "overhead", overhead.format_rows(overhead.run(rounds=400))
    yield "memory", memory.format_rows(memory.run(size=128, width=16))
    yield "scale", scale.format_rows(scale.run(scale.SIZES, repeat=3))
    yield "files", files.format_rows(files.run(megabytes=100, repeat=5))


def replace_table(text: str, name: str, table: str) -> str:
    """Return the text with what stands under this name's mark replaced."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"README.md has no single place between <!-- {name} --> and <!-- end -->")
    return pattern.sub(lambda match: f"{match[1]}\n{table}\n\n{match[2]}", text)


def describe_machine() -> str:
    """Return processor, system and versions in two sentences."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    machine = f"{processor()}, {os.cpu_count()} cores, {device}, {platform.system()}, Python {platform.python_version()}."
    return f"{machine}\nVersions: {', '.join(versions(PACKAGES))}."


def processor() -> str:
    """Return the processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.+)", info.read_text()) if info.exists() else []
    return " ".join(names[0].split()) if names else platform.machine()


def versions(packages: Iterable[str]) -> Iterable[str]:
    """Yield each installed package with its version."""
    for package in packages:
        try:
            yield f"{package} {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            continue


if __name__ == "__main__":
    main()
