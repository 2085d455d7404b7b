"""Machines whose times cannot be compared have processors of different names."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from workbench.runs.provenance import _cpu_name, provenance

X86 = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel\t\t: 1\nmodel name\t: AMD EPYC 9755 : 128 cores\n\n"
ARM = "processor\t: {core}\nBogoMIPS\t: 243.75\nCPU implementer\t: 0x41\nCPU variant\t: 0x3\nCPU part\t: {part}\n\n"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (X86 + X86.replace("processor\t: 0", "processor\t: 1"), "AMD EPYC 9755 : 128 cores"),
        (
            "processor\t: 0\nmodel name\t: ARMv7 Processor rev 3 (v7l)\nCPU part\t: 0xd08\n",
            "ARMv7 Processor rev 3 (v7l)",
        ),
        (
            ARM.format(core=0, part="0xd0c") + ARM.format(core=1, part="0xd0c"),
            f"{platform.machine()}, CPU implementer 0x41, CPU part 0xd0c",
        ),
        (
            ARM.format(core=0, part="0xd0c") + ARM.format(core=1, part="0xd05"),
            f"{platform.machine()}, CPU implementer 0x41, CPU part 0xd05, CPU part 0xd0c",
        ),
    ],
)
def test_linux_names_the_processor_or_gives_the_numbers_of_an_arm(tmp_path, text, name):
    (tmp_path / "cpuinfo").write_text(text)
    assert _cpu_name(tmp_path / "cpuinfo") == name


def as_sysctl(folder: Path, answer: str) -> None:
    """A program of that name, as macOS has one."""
    file = folder / "sysctl"
    file.write_text(f'#!/bin/sh\n[ "$*" = "-n machdep.cpu.brand_string" ] && {answer}\n')
    file.chmod(0o755)


def test_macos_is_asked_for_the_name(tmp_path, monkeypatch):
    as_sysctl(tmp_path, "echo Apple M3 Max")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _cpu_name(tmp_path / "cpuinfo") == "Apple M3 Max"


@pytest.mark.parametrize("answer", ["exit 1", None])
def test_a_system_that_gives_no_name_is_called_by_its_kind(tmp_path, monkeypatch, answer):
    if answer:
        as_sysctl(tmp_path, answer)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _cpu_name(tmp_path / "cpuinfo") == (platform.processor() or platform.machine())


def test_this_machine_has_a_name():
    assert provenance("cpu")["cpu"]
