"""Stages as jobs of a real Slurm: cancelled, requeued, refused, and their run killed; the bits are those of local."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from tests.plugins import clusters
from tests.plugins.clusters import Study, ended_well

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(
        bool(why := clusters.lacking("submitit", "slurmctld", "slurmd", "munged", "sbatch")), reason=f"no Slurm: {why}"
    ),
]
TWO_JOBS = "{name: slurm, workers: 2, memory_gb: 3}"  # a job that asks for no memory has its node alone


@pytest.fixture(scope="module", autouse=True)
def cluster():
    with clusters.slurm() as environment, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", environment["SLURM_CONF"])
        yield


@pytest.fixture
def study(tmp_path):
    found = Study(tmp_path)
    found.close_gates()
    return found


def jobs() -> list[str]:
    """Those that run."""
    return subprocess.check_output(["squeue", "-h", "-t", "RUNNING", "-o", "%i"], text=True).split()


def test_jobs_that_are_cancelled_and_requeued_keep_a_snapshot_and_others_go_on_to_the_bit(study):
    run = study.start(TWO_JOBS, "slurm")
    study.workers()
    first, second = jobs()
    subprocess.run(["scancel", first], check=True)
    subprocess.run(["scontrol", "requeue", second], check=True)
    time.sleep(1)
    study.open_gates()
    said = ended_well(run)
    assert said.count("; another worker goes on with it") == 2, said
    assert "failed" not in said
    assert study.is_as_local("slurm")
    clusters.until(lambda: not jobs())


def test_a_killed_run_ends_its_jobs_and_another_one_goes_on(study):
    run = study.start(TWO_JOBS, "slurm")
    study.workers()
    clusters.until(lambda: len(study.snapshots("slurm")) >= 2)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    clusters.until(lambda: not jobs())
    study.open_gates()
    ended_well(study.start(TWO_JOBS, "slurm"))
    assert study.is_as_local("slurm")


def test_what_no_node_holds_is_refused_in_the_words_of_slurm(study):
    run = study.start("{name: slurm, memory_gb: 1000000}", "slurm")
    said, _ = run.communicate(timeout=60)
    assert run.returncode == 2, said
    assert "no worker can be started (slurm: Slurm does not take the job: " in said
    assert "Traceback" not in said
