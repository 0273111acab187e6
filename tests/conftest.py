"""What every test gets: fixed seeds, one thread, torch's version at the head of the report, and golden texts."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

settings.register_profile("fixed", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

# Tests run in several processes at once; threads in each of them would only get in each other's way.
torch.set_num_threads(1)

# Beside the data stand the scripts that made it, which need the other programs.
collect_ignore = ["data"]


def pytest_report_header() -> str:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"torch {torch.__version__}, {device}, Python {sys.version.split()[0]}"


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(0)


# Golden texts: what is printed is compared with a file, which `pytest --overwrite` writes anew.

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--overwrite", action="store_true", help="write the golden texts of tests/golden/ anew")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares a text with a file below tests/golden/: ``golden("summary/flat_unet.txt", text)``."""

    def compare(relative_path: str, text: str) -> None:
        path = GOLDEN / relative_path
        if request.config.getoption("--overwrite"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        elif not path.exists():
            pytest.fail(f"tests/golden/{relative_path} is missing. Run pytest --overwrite, then read what it wrote.")
        assert path.read_bytes().decode() == text, (
            f"tests/golden/{relative_path} differs. If the new text is right: --overwrite."
        )

    return compare
