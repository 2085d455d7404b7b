"""Real engines for launchers on several machines: a Slurm of one node, a Ray of two machines that are namespaces."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.processes import until
from tests.small import PLUGINS, SMALL, load, run_here, write

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
QUIET: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def lacking(package: str, *programs: str) -> str:
    """Why an engine cannot be tried here; empty where it can."""
    if importlib.util.find_spec(package) is None:
        return f"{package} is not installed"
    missing = [each for each in programs if shutil.which(each) is None]
    if missing:
        return f"{', '.join(missing)} not found"
    if os.geteuid():
        return "only root can start it"
    return "" if "ip" not in programs or _has_namespaces() else "no network namespaces can be made"


@dataclass
class Study:
    """Two trainings of a hundred steps that would take twenty seconds each, unless their gates are opened."""

    folder: Path
    gates: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gates = [self.folder / f"gate{number}" for number in (1, 2)]
        fusions = ", ".join(f"{{name: slow, gate: {gate}}}" for gate in self.gates)
        write(self.folder, SMALL.replace("steps: 2", "steps: 100") + f"grid:\n  fusion: [{fusions}]\n")

    def close_gates(self) -> None:
        for gate in self.gates:
            gate.touch()

    def open_gates(self) -> None:
        for gate in self.gates:
            gate.unlink(missing_ok=True)

    def start(self, launcher: str, results: str, *before: str, folder: Path | None = None) -> subprocess.Popen[str]:
        """`workbench run` with that launcher; `before` stands before the command."""
        command = [*before, BIN / "workbench", "run", self.folder / "small.yaml", "--plugins", PLUGINS, "--unchecked"]
        options = ["--device", "cpu", "--snapshot-seconds", "1", "--results", results, "--set", f"launcher={launcher}"]
        return subprocess.Popen(
            [str(each) for each in (*command, *options)],
            cwd=folder or self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "300"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def workers(self) -> list[int]:
        """The processes that train, as soon as both do."""
        notes = [gate.with_suffix(".begun") for gate in self.gates]
        until(lambda: all(note.exists() and note.read_text() for note in notes))
        return [int(note.read_text()) for note in notes]

    def snapshots(self, results: str) -> list[Path]:
        return list((self.folder / results / "artifacts").glob("*.partial/*.safetensors"))

    def is_as_local(self, results: str) -> bool:
        """Whether weights and answers are those of a run on this machine, to the bit."""
        self.open_gates()
        if not (self.folder / "local").exists():
            run_here(load(self.folder, text=(self.folder / "small.yaml").read_text()), self.folder / "local", workers=2)
        return self._bits("local") == self._bits(results)

    def _bits(self, results: str) -> dict[str, bytes]:
        files = [
            *self.folder.glob(f"{results}/artifacts/*/weights.safetensors"),
            *self.folder.glob(f"{results}/small/trials/*/predictions.jsonl"),
        ]
        assert len(files) == 4
        return {f"{file.parent.name}/{file.name}": file.read_bytes() for file in files}


def ended_well(run: subprocess.Popen[str], seconds: float = 150) -> str:
    """What a run said that finished both trials."""
    said, _ = run.communicate(timeout=seconds)
    assert run.returncode == 0, said
    assert "Traceback" not in said, said
    assert "2 of 2 trials done" in said, said
    return said


@contextmanager
def slurm() -> Iterator[dict[str, str]]:
    """A Slurm of this machine alone, without accounting; what the environment has to hold for it."""
    with tempfile.TemporaryDirectory() as name:
        folder, host = Path(name), socket.gethostname().partition(".")[0]
        (folder / "slurm.conf").write_text(_slurm_conf(folder, host))
        environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        with suppress(subprocess.CalledProcessError):  # one may run already
            subprocess.run(["runuser", "-u", "munge", "--", "munged"], check=True, **QUIET)
        for program in ("slurmctld", "slurmd"):
            subprocess.run([program], env=environment, check=True)
        try:
            until(lambda: "idle" in subprocess.check_output(["sinfo", "-h", "-o", "%T"], env=environment, text=True))
            yield environment
        finally:
            for file in ("slurmd.pid", "slurmctld.pid"):
                with suppress(OSError, ValueError, psutil.NoSuchProcess):
                    psutil.Process(int((folder / file).read_text())).kill()


@contextmanager
def two_machines() -> Iterator[tuple[str, str]]:
    """Two namespaces with addresses of their own, 10.77.0.1 and .2, joined by a cable, `cable1` and `cable2`."""
    names = ("workbench1", "workbench2")
    try:
        for number, name in enumerate(names, 1):
            _ip("netns", "add", name)
            if number == 2:
                _ip("link", "add", "cable1", "netns", names[0], "type", "veth", "peer", "name", "cable2", "netns", name)
        for number, name in enumerate(names, 1):
            _ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", f"cable{number}")
            _ip("-n", name, "link", "set", f"cable{number}", "up")
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "route", "add", "default", "dev", f"cable{number}")
        yield names
    finally:
        for name in names:
            kill_machine(name)
            subprocess.run(["ip", "netns", "del", name], check=False, **QUIET)


def kill_machine(name: str) -> None:
    """All processes of a namespace."""
    for process in processes_of(name):
        with suppress(psutil.NoSuchProcess):
            psutil.Process(process).kill()


def processes_of(name: str) -> list[int]:
    told = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False).stdout
    return [int(each) for each in told.split()]


def cut(name: str, number: int, up: bool = False) -> None:
    """Pull the cable of a machine out, or put it back."""
    _ip("-n", name, "link", "set", f"cable{number}", "up" if up else "down")
    if up:
        _ip("-n", name, "route", "replace", "default", "dev", f"cable{number}")


def _has_namespaces() -> bool:
    """As in a container that may not."""
    tried = f"workbench-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", tried], check=False, **QUIET).returncode == 0
    subprocess.run(["ip", "netns", "del", tried], check=False, **QUIET)
    return made


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _slurm_conf(folder: Path, host: str) -> str:
    """https://slurm.schedmd.com/slurm.conf.html"""
    memory = int(psutil.virtual_memory().total * 0.8) >> 20
    settings = {
        "ClusterName": "tests",
        "SlurmctldHost": f"{host}(127.0.0.1)",
        "SlurmctldPort": 16917,
        "SlurmdPort": 16918,
        "SlurmUser": "root",
        "SlurmdUser": "root",
        "AuthType": "auth/munge",
        "StateSaveLocation": folder / "state",
        "SlurmdSpoolDir": folder / "spool",
        "SlurmctldPidFile": folder / "slurmctld.pid",
        "SlurmdPidFile": folder / "slurmd.pid",
        "SlurmctldLogFile": folder / "slurmctld.log",
        "SlurmdLogFile": folder / "slurmd.log",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        "ReturnToService": 2,
        "MpiDefault": "none",
        "JobAcctGatherType": "jobacct_gather/none",
        "AccountingStorageType": "accounting_storage/none",
        "KillWait": 5,
        "JobRequeue": 1,
        "SchedulerParameters": "sched_interval=2,batch_sched_delay=0",
    }
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    node = f"NodeName={host} NodeAddr=127.0.0.1 CPUs={max(2, os.cpu_count() or 1)} RealMemory={memory} State=UNKNOWN"
    partition = f"PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP"
    return "\n".join([*(f"{name}={value}" for name, value in settings.items()), node, partition, ""])
