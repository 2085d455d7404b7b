"""Workers as jobs of Slurm (extra `slurm`; https://slurm.schedmd.com/sbatch.html), submitted by submitit.

A worker is one job, which does stages until nobody needs it. What became of it tells the connection, and Slurm only
why: without accounting, which small clusters do not have, submitit never learns that a job was killed.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from workbench import Crew, Needs, Place, Reason, RemoteLauncher, UserError, hookimpl

LIVES = {
    "PENDING",
    "CONFIGURING",
    "RUNNING",
    "COMPLETING",
    "SUSPENDED",
    "REQUEUED",
    "REQUEUE_HOLD",
    "RESIZING",
    "STOPPED",
}
REASONS = {  # https://slurm.schedmd.com/squeue.html#SECTION_JOB-STATE-CODES
    "OUT_OF_MEMORY": Reason.MEMORY,
    "PREEMPTED": Reason.PREEMPTED,
    "TIMEOUT": Reason.PREEMPTED,
    "CANCELLED": Reason.PREEMPTED,
    "FAILED": Reason.START,
    "BOOT_FAIL": Reason.START,
}
ANSWERS = 30.0  # seconds in which a command of Slurm has to answer
LOOK = 5.0  # seconds between two looks at the queue
ENDING = 30  # seconds before its end in which a job is told


class SlurmLauncher(RemoteLauncher):
    """Workers as jobs of Slurm, each with threads, memory and GPUs of its own.

    All nodes have to see results, data, and this Python under the same paths. A job that is preempted, requeued or at
    the end of its time keeps a last snapshot, from which another worker goes on.
    """

    def __init__(
        self,
        *,
        workers: Annotated[PositiveInt, Field(description="jobs at once, at most")] = 1,
        partition: Annotated[str | None, Field(description="null: the cluster's usual one")] = None,
        minutes: Annotated[PositiveInt, Field(description="time limit of a job; stages outlive it")] = 240,
        threads: Annotated[PositiveInt, Field(description="CPUs of a job, and threads its worker computes with")] = 1,
        memory_gb: Annotated[PositiveFloat | None, Field(description="null: the cluster's usual")] = None,
        gpus: Annotated[NonNegativeInt, Field(description="GPUs of a job")] = 0,
        constraint: Annotated[str | None, Field(description="features that its node must have, such as avx512")] = None,
        account: Annotated[str | None, Field(description="the account that is charged")] = None,
        more: Annotated[
            dict[str, Any] | None, Field(description="any other options of sbatch by name, such as {qos: low}")
        ] = None,
        address: Annotated[
            str | None, Field(description="address by which the nodes reach this machine; null: found out")
        ] = None,
        port: Annotated[int, Field(ge=0, le=65535, description="port that workers call; 0: any that is free")] = 0,
    ):
        super().__init__(workers, Needs(threads, int(memory_gb * 1e9) if memory_gb else None, gpus), address, port)
        if importlib.util.find_spec("submitit") is None:
            raise UserError("'slurm' needs that package: pip install 'workbench[slurm]'")
        asked = {"partition": partition, "constraint": constraint, "account": account}
        self.asked = {name: value for name, value in asked.items() if value is not None}
        self.minutes, self.more = minutes, more or {}

    def open(self, crew: Crew) -> None:
        """Look whether Slurm answers; jobs are submitted as they are needed, their logs go to a folder of the run."""
        import submitit  # pyright: ignore[reportMissingImports]

        if shutil.which("sbatch") is None:
            raise UserError("there is no Slurm here: `sbatch` is not found. Run on a machine that submits jobs")
        super().open(crew)
        self._submitit = submitit
        self._logs = (crew.folder or Path()) / "slurm"
        self._queue: dict[str, tuple[str, str]] = {}
        self._looked = 0.0

    def places(self) -> Sequence[Place]:
        """One queue, whose jobs share nothing."""
        return [Place("slurm", self.workers or 1, self.needs.memory, apart=True)]

    def start(self, place: Place, needs: Needs, command: Sequence[str]) -> Any:
        """A job that runs the command."""
        executor = self._submitit.SlurmExecutor(folder=self._logs)
        memory = {} if needs.memory is None else {"mem": f"{needs.memory // 1_000_000}M"}
        gpus = {"gpus_per_node": needs.gpus} if needs.gpus else {}
        try:
            executor.update_parameters(
                job_name="workbench",
                time=self.minutes,
                cpus_per_task=needs.threads,
                signal_delay_s=ENDING,
                additional_parameters={"requeue": True, **self.more},
                stderr_to_stdout=True,
                **memory,
                **gpus,
                **self.asked,
            )
            return executor.submit(partial(subprocess.run, check=True), list(command))
        except (self._submitit.core.utils.FailedJobError, OSError, ValueError) as error:
            raise UserError(f"Slurm does not take the job: {_last_line(error)}") from error

    def alive(self, handle: Any) -> bool:
        """Whether it waits or runs, by Slurm's own word; one that it has forgotten is over."""
        return self._state(handle.job_id)[0] in LIVES

    def kill(self, handle: Any) -> None:
        """Cancel the job."""
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(["scancel", handle.job_id], capture_output=True, timeout=ANSWERS, check=False)

    def fate(self, handle: Any) -> tuple[Reason, str]:
        """The state in which Slurm has it."""
        state, why = _state(handle.job_id)
        log = self._logs / f"{handle.job_id}_0_log.out"
        told = f"job {handle.job_id} is {state}{f' ({why})' if why not in ('', 'None') else ''}"
        return REASONS.get(state, Reason.LOST), f"{told}; see {log}" if log.is_file() else told

    def waits_for(self) -> str:
        """How many jobs wait in the queue, and why the first of them does."""
        waiting = [member.handle for member in self._members.values() if not member.ready]
        if not waiting:
            return ""
        state, why = self._state(waiting[0].job_id)
        return f"{super().waits_for()}; job {waiting[0].job_id} is {state}{f' ({why})' if why else ''}"

    def _state(self, job: str) -> tuple[str, str]:
        """A job's state and the reason for it, all jobs asked about at once and not too often."""
        if time.monotonic() - self._looked > LOOK:
            self._queue, self._looked = _queue(), time.monotonic()
        if job not in self._queue:
            self._queue[job] = _state(job)
        return self._queue[job]


@hookimpl
def register_launchers(register):
    """The name that experiment files use."""
    register("slurm", SlurmLauncher)


def _queue() -> dict[str, tuple[str, str]]:
    """Own jobs that wait or run: state and reason by number."""
    command = ["squeue", "--me", "--noheader", "--format=%i|%T|%r"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=ANSWERS, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    return {job: (state, why) for job, state, why in (line.split("|", 2) for line in told.splitlines())}


def _state(job: str) -> tuple[str, str]:
    """A job's state and the reason for it; `gone` where Slurm knows it no more, `unknown` where it does not answer."""
    command = ["scontrol", "show", "job", job, "--oneliner"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=ANSWERS, check=False)
    except (OSError, subprocess.SubprocessError):
        return "unknown", ""
    facts = dict(word.split("=", 1) for word in told.stdout.split() if "=" in word)
    if "JobState" not in facts:
        return ("gone" if "Invalid job id" in told.stderr else "unknown"), ""
    return facts["JobState"], facts.get("Reason", "")


def _last_line(error: BaseException) -> str:
    return str(error).strip().rpartition("\n")[2]
