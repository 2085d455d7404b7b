"""Where a number comes from: versions, machine, commit."""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import workbench
from workbench.config.component import identity
from workbench.config.trial import components_of
from workbench.devices.machine import usable_cores
from workbench.storage.records import CONTRACTS

if TYPE_CHECKING:
    from workbench.config.trial import Trial


def provenance(device: str) -> dict[str, Any]:
    """Versions, commit and machine: what every record of a run has in common, unless its worker was elsewhere."""
    return {
        "workbench": workbench.__version__,
        "torch": version("torch"),
        "device": device,
        **machine(),
        **_commit(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def machine() -> dict[str, Any]:
    """The machine that this process runs on."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "cpu": _cpu_name(),
        "cores": usable_cores(),
    }


def of_trial(common: Mapping[str, Any], trial: Trial) -> dict[str, Any]:
    """What all records of a run have in common; but of the plugins that are not known to keep their contract (by
    `identity`) only those that this trial is made of, by their names."""
    told = [each for part in components_of(trial) if (each := common.get(CONTRACTS, {}).get(identity(part)))]
    own = {each["plugin"]: {name: value for name, value in each.items() if name != "plugin"} for each in told}
    others = {name: value for name, value in common.items() if name != CONTRACTS}
    return {**others, CONTRACTS: own} if own else others


def _cpu_name(information: Path = Path("/proc/cpuinfo")) -> str:
    """The processor, as Linux (in `information`) or macOS calls it. Times are compared only between equal ones."""
    text = information.read_text() if information.is_file() else ""
    facts = [tuple(word.strip() for word in line.split(":", 1)) for line in text.splitlines() if ":" in line]
    names = [value for name, value in facts if name == "model name"]
    # Of an Arm processor Linux knows no name, but the numbers of its maker and of each kind of its cores.
    numbers = sorted({f"{name} {value}" for name, value in facts if name in ("CPU implementer", "CPU part")})
    if names or numbers:
        return names[0] if names else ", ".join([platform.machine(), *numbers])
    return _name_on_macos() or platform.processor() or platform.machine()


def _name_on_macos() -> str:
    command = ["sysctl", "-n", "machdep.cpu.brand_string"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):  # another system
        return ""


def _commit() -> dict[str, Any]:
    """The commit of the workbench's own checkout, and whether it was changed since; empty when there is none."""
    root = Path(workbench.__file__).parent
    try:
        commit = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True
        ).stdout.strip()
        changes = subprocess.run(
            ["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return {"git_commit": None}
    return {"git_commit": commit, "git_dirty": bool(changes.strip())}
