"""A run does a stage only while it has claimed it, and what a worker makes of one that was given away is not kept."""

from __future__ import annotations

import dataclasses
import io
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.own_plugins.inside import Inside
from tests.processes import until
from tests.small import PAIRS, SMALL, files_of, load, records, small_registry
from tests.storage.other_runs import killed, long_ago, on_another_machine
from workbench import Finished
from workbench.config.experiment import Experiment
from workbench.contracts.launcher import Tell
from workbench.runs import stage_queue
from workbench.runs.run_outcome import RunOutcome
from workbench.runs.scheduler import RunOptions, run
from workbench.runs.workplace import StageJob
from workbench.storage import run_claims
from workbench.storage.claims import CLAIMS
from workbench.storage.run_claims import RunClaims
from workbench.workers.failure import died, error_of

Meanwhile = Callable[[StageJob], object]


class Meddling(Inside):
    """Calls `meanwhile` the first time that a stage tells how far it is, and `lost` when one has failed."""

    def __init__(self, meanwhile: Meanwhile, lost: Meanwhile = lambda job: None):
        self.meanwhile = meanwhile
        self.lost = lost
        self.errors: list[dict] = []

    def begin(self, job: Any) -> None:
        met = False

        def tell(done: int, total: int, loss: float | None = None) -> None:
            nonlocal met
            if not met:
                met = True
                self.meanwhile(job)

        error = self.done(job, tell)
        if error:
            self.errors.append(error)
            self.lost(job)
        self._news.append(Finished(job.key, error))

    def done(self, job: StageJob, tell: Tell) -> dict | None:
        try:
            self._do(job, tell)
        except Exception as error:
            return error_of(error)
        return None


def run_with(
    launcher: Inside, experiment: Experiment, results: Path, out: io.StringIO | None = None
) -> tuple[RunOutcome, str]:
    """What became of a run, and what it said."""
    out = out or io.StringIO()
    console = Console(file=out, width=300)
    outcome = run(experiment, small_registry(), results, launcher, "cpu", console, RunOptions(snapshot_seconds=0))
    return outcome, out.getvalue()


@pytest.fixture(autouse=True)
def _often(monkeypatch):
    """Whoever waits looks ten times a second, and is sure after half a one."""
    monkeypatch.setattr(stage_queue, "LOOK_AGAIN", 0.1)
    monkeypatch.setattr(run_claims, "SURE", 0.5)


def first_key(folder: Path) -> str:
    """The key of the first stage of the small experiment."""
    keys: list[str] = []
    run_with(Meddling(lambda job: keys.append(job.key)), load(folder), folder / "elsewhere")
    return keys[0]


def test_what_another_run_does_is_waited_for_and_told_once_with_its_name(tmp_path):
    store, key = tmp_path / "results/artifacts", first_key(tmp_path)
    out = io.StringIO()
    with RunClaims(store) as other:
        assert other.take(key)

        def give_back() -> None:
            until(lambda: "waiting" in out.getvalue())
            time.sleep(1.0)  # our run looks several times
            other.release(key)

        thread = threading.Thread(target=give_back)
        thread.start()
        outcome, said = run_with(Meddling(lambda job: None), load(tmp_path), tmp_path / "results", out)
        thread.join()
    assert not outcome.failed
    assert said.count("waiting") == 1
    assert "another run does it (process " in said


def test_a_stage_of_a_machine_that_falls_silent_is_gone_on_with(tmp_path):
    store, key = tmp_path / "results/artifacts", first_key(tmp_path)
    threading.Timer(1.0, long_ago, [on_another_machine(store, key)]).start()
    outcome, said = run_with(Meddling(lambda job: None), load(tmp_path), tmp_path / "results")
    assert not outcome.failed
    assert said.count("another run does it (process 7 on far-away)") == 1


def test_a_stage_of_a_machine_that_was_lost_a_minute_ago_is_gone_on_with_at_once(tmp_path):
    store, key = tmp_path / "results/artifacts", first_key(tmp_path)
    long_ago(on_another_machine(store, key))
    outcome, said = run_with(Meddling(lambda job: None), load(tmp_path), tmp_path / "results")
    assert not outcome.failed
    assert "waiting" not in said


def test_a_stage_of_a_run_that_was_killed_here_is_gone_on_with_at_once(tmp_path):
    killed(tmp_path / "results/artifacts", first_key(tmp_path))
    outcome, said = run_with(Meddling(lambda job: None), load(tmp_path), tmp_path / "results")
    assert not outcome.failed
    assert "waiting" not in said


@pytest.mark.parametrize(
    ("text", "name"),
    [(SMALL, "tune"), (SMALL, "evaluate"), (PAIRS, "features")],
    ids=["training", "evaluation", "features"],
)
def test_what_a_worker_made_of_a_stage_that_was_taken_over_is_not_kept(tmp_path, text, name):
    results = tmp_path / "results"
    left: list[dict[str, bytes]] = []

    def take_over(job: StageJob) -> None:
        if not left and job.stage.name == name:
            left.append(made(results))
            on_another_machine(results / "artifacts", job.key)

    def ended(job: StageJob) -> None:
        left.append(made(results))
        threading.Timer(1.0, (results / "artifacts" / CLAIMS / job.key).unlink).start()

    launcher = Meddling(take_over, ended)
    outcome, said = run_with(launcher, load(tmp_path, text=text), results)
    assert not outcome.failed
    assert len(outcome.done) == 1
    assert [error["type"] for error in launcher.errors] == ["ClaimLost"]
    assert "given to another worker meanwhile, by process 7 on far-away" in launcher.errors[0]["message"]
    assert said.count("another run has taken it over") == said.count("waiting") == 1
    assert left[0] == left[1]
    assert not list((results / "artifacts" / CLAIMS).iterdir())


def made(results: Path) -> dict[str, bytes]:
    """What stages left: all but what runs say to each other."""
    return {name: each for name, each in files_of(results).items() if not name.startswith("artifacts/.")}


class Burying(Meddling):
    """Says of the first worker that it is dead, and lets it go on when another one has its stage: a zombie."""

    def __init__(self) -> None:
        super().__init__(self.wake)
        self.zombie: StageJob | None = None
        self.woken: list[dict | None] = []

    def begin(self, job: Any) -> None:
        if self.zombie is None:
            self.zombie = job
            self._news.append(died(job.key, -9))
        else:
            super().begin(job)

    def wake(self, job: StageJob) -> None:
        if self.zombie is not None and job.key == self.zombie.key:
            self.woken.append(self.done(self.zombie, lambda done, total, loss=None: None))


def test_a_worker_that_was_given_up_and_lives_on_keeps_nothing_beside_its_heir(tmp_path):
    launcher = Burying()
    outcome, _ = run_with(launcher, load(tmp_path), tmp_path / "results")
    assert not outcome.failed
    (error,) = launcher.woken
    assert error is not None
    assert error["type"] == "ClaimLost"
    assert launcher.errors == []
    assert records(tmp_path)[0]["status"] == "done"


def test_a_claim_that_workers_do_not_see_fails_the_stage_in_the_end(tmp_path):
    """As on a file system that shows other machines' files late: the run itself has its claim."""
    launcher = Meddling(lambda job: None)
    results = tmp_path / "results"
    begin, tokens = launcher.begin, []

    def with_another_token(job: Any) -> None:
        tokens.append(job.token)
        begin(dataclasses.replace(job, token="unseen"))

    launcher.begin = with_another_token
    outcome, said = run_with(launcher, load(tmp_path), results)
    assert outcome.failed
    assert "tried 2 times" in said
    assert len(set(tokens)) == 2
