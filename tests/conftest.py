"""What every test gets: fixed seeds, one thread, and torch's version at the head of the report."""

import os
import sys

import pytest
import torch
from hypothesis import HealthCheck, settings

settings.register_profile("fixed", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

# Tests run in several processes at once; threads in each of them would only get in each other's way.
torch.set_num_threads(1)


def pytest_report_header() -> str:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"torch {torch.__version__}, {device}, Python {sys.version.split()[0]}"


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(0)
