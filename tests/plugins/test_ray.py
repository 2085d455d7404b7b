"""Stages on a real Ray of two machines, which are namespaces: the cable pulled out, a machine lost, the run killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.plugins import clusters
from tests.plugins.clusters import BIN, ROOT, Study, cut, ended_well, kill_machine, processes_of
from tests.processes import until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(bool(why := clusters.lacking("ray", "ip")), reason=f"no Ray on two machines: {why}"),
]
PORT = 6399
RAY = f"{{name: ray, cluster: '10.77.0.1:{PORT}'}}"
ENVIRONMENT = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}


@pytest.fixture(scope="module")
def first_machine() -> Iterator[tuple[str, str]]:
    """Two machines, of which the first has a Ray with one CPU; runs are started there."""
    with clusters.two_machines() as names, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")
        start_ray(names[0], "--head", f"--port={PORT}", "--node-ip-address=10.77.0.1", "--include-dashboard=false")
        yield names


@pytest.fixture
def machines(first_machine) -> Iterator[tuple[str, str]]:
    """The second machine has joined with one CPU, and is as new."""
    start_ray(first_machine[1], f"--address=10.77.0.1:{PORT}", "--node-ip-address=10.77.0.2")
    yield first_machine
    kill_machine(first_machine[1])
    cut(first_machine[0], 1, up=True)


def start_ray(machine: str, *words: str) -> None:
    command = [*on(machine), str(BIN / "ray"), "start", "--num-cpus=1", "--disable-usage-stats", *words]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def on(machine: str) -> list[str]:
    return ["ip", "netns", "exec", machine]


@pytest.fixture
def study(tmp_path):
    found = Study(tmp_path)
    found.close_gates()
    return found


def both_train(study: Study, machines: tuple[str, str], results: str) -> subprocess.Popen[str]:
    """A run with a stage on each machine, which has kept a snapshot."""
    run = study.start(RAY, results, *on(machines[0]))
    workers = study.workers()
    assert sorted(worker in processes_of(machines[1]) for worker in workers) == [False, True]
    until(lambda: len(study.snapshots(results)) >= 2)
    return run


def test_a_machine_that_is_lost_loses_no_result_and_changes_no_bit(study, machines):
    run = both_train(study, machines, "lost")
    kill_machine(machines[1])
    time.sleep(2)
    study.open_gates()
    said = ended_well(run)
    assert "was lost: " in said
    assert "; another worker goes on with it" in said
    assert "failed" not in said
    assert study.is_as_local("lost")


def test_a_machine_that_is_cut_off_is_noticed_and_its_worker_ends_by_itself(study, machines):
    run = both_train(study, machines, "cut")
    [apart] = [worker for worker in study.workers() if worker in processes_of(machines[1])]
    cut(machines[0], 1)
    study.open_gates()
    said = ended_well(run)
    assert "was lost: " in said
    until(lambda: not psutil.pid_exists(apart) or psutil.Process(apart).status() == psutil.STATUS_ZOMBIE)
    assert study.is_as_local("cut")


def test_a_worker_whose_raylet_is_killed_does_not_work_on_for_nobody(study, machines):
    run = both_train(study, machines, "raylet")
    [apart] = [worker for worker in study.workers() if worker in processes_of(machines[1])]
    for process in processes_of(machines[1]):
        if "raylet" in psutil.Process(process).name():
            os.kill(process, signal.SIGKILL)
    study.open_gates()
    ended_well(run)
    until(lambda: not psutil.pid_exists(apart) or psutil.Process(apart).status() == psutil.STATUS_ZOMBIE)
    assert study.is_as_local("raylet")


def test_a_killed_run_goes_on_from_another_folder_and_ends_with_the_same_bits(study, machines):
    run = both_train(study, machines, "head")
    workers = study.workers()
    for process in psutil.Process(run.pid).children(recursive=True):
        process.kill()
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    until(lambda: not any(psutil.pid_exists(worker) for worker in workers))
    study.open_gates()
    ended_well(study.start(RAY, str(study.folder / "head"), *on(machines[0]), folder=ROOT))
    assert study.is_as_local("head")


def test_what_no_machine_holds_is_refused_and_does_not_wait_for_ever(study, machines):
    run = study.start(RAY.replace("}", ", threads: 50}"), "refused", *on(machines[0]))
    said, _ = run.communicate(timeout=60)
    assert run.returncode == 2, said
    assert "no machine of the Ray cluster can hold a worker of 50 threads and 0 GPUs: the largest has 1 CPUs" in said
