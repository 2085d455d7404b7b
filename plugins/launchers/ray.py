"""Workers on the machines of a Ray cluster (extra `ray`, https://docs.ray.io/en/latest/ray-core/actors.html).

Each worker is kept by an actor that lives as long as the worker does. A task for each stage would load torch and the
data anew each time, and Ray would try a lost one again behind the run's back.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, PositiveInt

from workbench import Crew, Needs, Place, Reason, RemoteLauncher, UserError, hookimpl, usable_cores

SOON = 1.0  # seconds in which Ray may still tell why a worker is gone


class RayLauncher(RemoteLauncher):
    """Workers on all machines of a Ray cluster: one that runs, or a new one of this machine alone.

    Each machine has to see results and data under the same paths, and to have the same packages. What none can hold is
    refused, where Ray would wait for ever.
    """

    def __init__(
        self,
        *,
        cluster: Annotated[
            str | None,
            Field(
                description="address of a Ray cluster, auto for the one that runs here; null: RAY_ADDRESS, or a new one"
            ),
        ] = None,
        workers: Annotated[
            PositiveInt | None, Field(description="workers at most; null: what the cluster holds")
        ] = None,
        threads: Annotated[PositiveInt, Field(description="threads a worker computes with, and CPUs it takes")] = 1,
        gpus: Annotated[NonNegativeInt, Field(description="GPUs a worker takes")] = 0,
        address: Annotated[
            str | None, Field(description="address by which the cluster reaches this machine; null: found by Ray")
        ] = None,
        port: Annotated[int, Field(ge=0, le=65535, description="port that workers call; 0: any that is free")] = 0,
    ):
        super().__init__(workers, Needs(threads, None, gpus), address, port)
        if importlib.util.find_spec("ray") is None:
            raise UserError("'ray' needs that package: pip install 'workbench[ray]'")
        self.cluster = cluster

    def open(self, crew: Crew) -> None:
        """Join the cluster, or start one."""
        self._ray = _ray()
        self._joined = not self._ray.is_initialized()
        if self._joined:
            _join(self._ray, self.cluster)
        self.address = self.address or self._ray.util.get_node_ip_address()
        super().open(crew)

    def places(self) -> Sequence[Place]:
        """The machines that are up, each with as many workers as it has CPUs and GPUs for."""
        self._machines = {_name(node): node for node in self._ray.nodes() if node["Alive"]}
        found = [
            Place(name, self._workers_of(node["Resources"]), int(node["Resources"].get("memory", 0)) or None)
            for name, node in self._machines.items()
        ]
        if found and not any(place.workers for place in found):
            largest = max((node["Resources"] for node in self._machines.values()), key=lambda each: each.get("CPU", 0))
            raise UserError(
                f"no machine of the Ray cluster can hold a worker of {self.needs.threads} threads and {self.needs.gpus}"
                f" GPUs: the largest has {largest.get('CPU', 0):g} CPUs and {largest.get('GPU', 0):g} GPUs. Give fewer"
                " threads or gpus to the launcher"
            )
        return found

    def start(self, place: Place, needs: Needs, command: Sequence[str]) -> Any:
        """An actor on that machine, which runs the command."""
        strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        where = strategy(self._machines[place.name]["NodeID"], soft=False)
        keeper = self._ray.remote(max_restarts=0, max_task_retries=0)(_keeper_class())
        actor = keeper.options(num_cpus=needs.threads, num_gpus=needs.gpus, scheduling_strategy=where).remote()
        return actor, actor.run.remote(list(command))

    def alive(self, handle: Any) -> bool:
        """Until the actor's only task has ended."""
        ended, _ = self._ray.wait([handle[1]], timeout=0)
        return not ended

    def kill(self, handle: Any) -> None:
        """The actor goes, and the worker with it."""
        self._ray.kill(handle[0], no_restart=True)

    def fate(self, handle: Any) -> tuple[Reason, str]:
        """What Ray says of the actor, or its worker's exit code and last words."""
        ended, _ = self._ray.wait([handle[1]], timeout=SOON)
        if not ended:
            return Reason.LOST, ""
        try:
            code, said = self._ray.get(handle[1])
        except self._ray.exceptions.OutOfMemoryError as error:
            return Reason.MEMORY, _first_line(error)
        except self._ray.exceptions.RayError as error:
            return Reason.LOST, _first_line(error)
        if code == -signal.SIGKILL:
            return Reason.MEMORY, "it was killed with signal SIGKILL; it may have run out of memory"
        return Reason.START, f"it ended with exit code {code}: {said}" if said else f"it ended with exit code {code}"

    def close(self) -> None:
        """End all workers, and leave the cluster; one that was started for this run ends."""
        super().close()
        if self._joined:
            self._ray.shutdown()

    def _workers_of(self, resources: dict[str, float]) -> int:
        by_cpu = int(resources.get("CPU", 0) // self.needs.threads)
        return min(by_cpu, int(resources.get("GPU", 0) // self.needs.gpus)) if self.needs.gpus else by_cpu


@hookimpl
def register_launchers(register):
    """The name that experiment files use."""
    register("ray", RayLauncher)


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing goes over the network unasked
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray  # pyright: ignore[reportMissingImports]
    import ray.util.scheduling_strategies  # pyright: ignore[reportMissingImports]

    return ray


def _join(ray: Any, cluster: str | None) -> None:
    """The cluster of that address, or a new one on this machine."""
    address = cluster or os.environ.get("RAY_ADDRESS") or "local"
    new = {"num_cpus": usable_cores(), "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="WARNING", **new)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(f"there is no Ray cluster at {address}: {_first_line(error)}") from error


def _keeper_class() -> type:
    class Keeper:
        """Runs a worker on the machine it was put on. Made in a function, so that Ray sends its code along."""

        def run(self, command: list[str]) -> tuple[int, str]:
            """Until the worker ends; its exit code, and what it said last outside of its jobs."""
            with tempfile.TemporaryFile() as said:
                code = subprocess.run([sys.executable, *command[1:]], stderr=said, check=False).returncode
                said.seek(max(0, said.tell() - 10_000))
                return code, said.read().decode(errors="replace").strip()[-500:]

    return Keeper


def _name(node: dict[str, Any]) -> str:
    return f"{node['NodeManagerHostname']} {node['NodeID'][:6]}"


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
