"""Cores and memory are those of the machine, or what is left of them in a container."""

from __future__ import annotations

import psutil
import pytest

from tests.devices.test_cgroups import V2, system, v2_memory
from workbench.devices.machine import free_memory, usable_cores


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 6), ("900000 100000", 6), ("600000 100000", 6), ("250000 100000", 2), ("50000 100000", 1)],
)
def test_cores_are_the_whole_ones_of_a_containers_share(tmp_path, monkeypatch, quota, cores):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(6)), raising=False)
    assert usable_cores(system(tmp_path, "0::/\n", V2.format(top="/"), {"cpu.max": quota})) == cores


def test_where_no_system_call_tells_which_cores_may_be_used_all_are_counted(tmp_path, monkeypatch):
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    assert usable_cores(tmp_path) == psutil.cpu_count()


def test_a_machine_without_groups_has_the_memory_that_is_available(tmp_path):
    assert free_memory(tmp_path) == pytest.approx(psutil.virtual_memory().available, rel=0.2)


def test_a_container_has_what_is_left_to_it(tmp_path):
    assert free_memory(system(tmp_path, "0::/\n", V2.format(top="/"), v2_memory("", "4000", 1000))) == 3000
