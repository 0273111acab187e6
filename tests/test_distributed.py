"""Rule 9, in two processes on the CPU: data parallel, sharded and pipelined training give the single-process result."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .distributed_worker import PROCESSES, SCENARIOS

ROOT = Path(__file__).parent.parent
SECONDS = 150


def environment() -> dict[str, str]:
    """The worker finds the library where this process found it."""
    paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(SCENARIOS))
def test_two_processes_give_the_single_process_result(kind: str, tmp_path: Path) -> None:
    reports = [tmp_path / f"report{rank}" for rank in range(PROCESSES)]
    workers = [
        subprocess.Popen(
            [
                sys.executable,
                "-W",
                "ignore",
                "-m",
                "tests.distributed_worker",
                kind,
                str(rank),
                str(tmp_path / "store"),
                str(report),
            ],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank, report in enumerate(reports)
    ]
    try:
        outputs = [worker.communicate(timeout=SECONDS)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    for report, output in zip(reports, outputs, strict=True):
        assert report.exists(), output
        assert report.read_text() == "all right"
