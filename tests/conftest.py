"""One thread a process: the suite runs in several processes at once."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """In the processes that run tests: the one that only hands them out need not wait for torch."""
    import torch

    torch.set_num_threads(1)
