"""The peak is that of the stage, whether or not the system's own mark can be set back."""

from __future__ import annotations

import mmap
import resource
import threading
import time

import psutil
import pytest

from tests.processes import until
from workbench.devices.peak_memory import PAUSE, UNIT, PeakMemory

SIZE = 400 * 2**20
EVERYWHERE = pytest.mark.parametrize("place", ["/proc/self", "elsewhere"])


def hold(size: int, seconds: float = 0.0) -> None:
    """So many bytes, which go back to the system afterwards."""
    with mmap.mmap(-1, size) as memory:
        for start in range(0, size, mmap.PAGESIZE):
            memory[start] = 1
        time.sleep(seconds)


def now() -> int:
    return psutil.Process().memory_info().rss


@EVERYWHERE
def test_what_was_held_and_given_back_counts(tmp_path, place):
    memory, before = PeakMemory("cpu", tmp_path / place), now()
    hold(SIZE, 4 * PAUSE)
    assert now() - before < SIZE / 4, "it was given back"
    assert memory.peak_bytes() - before == pytest.approx(SIZE, rel=0.2)


@EVERYWHERE
def test_what_was_held_earlier_in_the_life_of_the_process_does_not_count(tmp_path, place):
    hold(SIZE)
    memory, before = PeakMemory("cpu", tmp_path / place), now()
    assert memory.peak_bytes() - before < SIZE / 4


def test_a_new_highest_mark_of_the_whole_life_counts_however_short_it_lasted(tmp_path, monkeypatch):
    monkeypatch.setattr("workbench.devices.peak_memory.PAUSE", 3600.0)
    memory, before = PeakMemory("cpu", tmp_path / "elsewhere"), now()
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT - before + SIZE
    hold(size)
    assert memory.peak_bytes() - before == pytest.approx(size, rel=0.2)


def test_nobody_looks_on_when_nobody_wants_to_know(tmp_path):
    before = threading.active_count()
    memory = PeakMemory("cpu", tmp_path / "elsewhere")
    assert threading.active_count() == before + 1
    del memory
    until(lambda: threading.active_count() == before)


def test_linux_mark_is_set_back_and_read(tmp_path):
    (tmp_path / "status").write_text("Name:\tpython\nVmHWM:\t    1234 kB\nVmRSS:\t     999 kB\n")
    assert PeakMemory("cpu", tmp_path).peak_bytes() == 1234 * 1024
    assert (tmp_path / "clear_refs").read_text() == "5"


def test_a_linux_without_a_mark_is_looked_at(tmp_path):
    (tmp_path / "status").write_text("Name:\tpython\nVmRSS:\t     999 kB\n")
    assert PeakMemory("cpu", tmp_path).peak_bytes() == pytest.approx(now(), rel=0.2)
