"""One run has a stage, whatever becomes of the others: they end, are killed, fall silent, or wake up again."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import json
import os
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.processes import forked
from tests.storage.other_runs import killed, long_ago, on_another_machine, refusing
from workbench.storage import run_claims
from workbench.storage.claims import CLAIMS, ClaimLost, check_claim, holder_of
from workbench.storage.run_claims import RENEWED, STALE, SURE, RunClaims

RACERS = 4


@pytest.fixture
def clock() -> list[float]:
    """Seconds by this machine's own clock, as one run sees them."""
    return [1000.0]


def test_a_stage_is_had_by_one_run_at_a_time_and_told_by_whom(tmp_path: Path):
    with RunClaims(tmp_path) as ours, RunClaims(tmp_path) as theirs:
        assert ours.take("abc")
        assert theirs.take("abc") is None
        assert theirs.take("other")
        assert theirs.holder("abc") == f"process {os.getpid()} on {ours.me.host}"
        assert not theirs.release("abc"), "it was not theirs"
        assert ours.release("abc")
        assert theirs.holder("abc") == ""
        assert theirs.take("abc")
    assert not list((tmp_path / CLAIMS).glob("[!.]*"))


def test_a_claim_says_whose_it_is(tmp_path: Path):
    with RunClaims(tmp_path) as claims:
        token = claims.take("abc")
        found = json.loads((tmp_path / CLAIMS / "abc").read_text())
    assert found["token"] == token
    assert (found["pid"], found["run"]) == (os.getpid(), claims.me.run)
    assert found["host"] and found["boot"] and found["lock"]


def race(store: Path, went: Path) -> None:
    with RunClaims(store) as claims:
        while not went.exists():
            time.sleep(0.001)
        for number in range(60):
            winner = store / f"of-{number}"
            while not (mine := claims.take(f"stage-{number}")) and not winner.exists():
                time.sleep(0.001)
            if mine:
                with winner.open("a") as file:
                    file.write(f"{os.getpid()}\n")
        went.with_name(f"{os.getpid()}.ended").touch()
        while len(list(store.glob("*.ended"))) < RACERS:
            time.sleep(0.001)


@pytest.mark.parametrize("left", [False, True])
def test_of_many_processes_one_wins_each_stage_also_where_a_dead_run_had_it(tmp_path: Path, left: bool):
    if left:
        killed(tmp_path, *(f"stage-{number}" for number in range(60)))
    went = tmp_path / "go"
    processes = [forked(race, tmp_path, went) for _ in range(RACERS)]
    time.sleep(1.0)
    went.touch()
    for process in processes:
        process.join()
    assert all(process.exitcode == 0 for process in processes)
    winners = [(tmp_path / f"of-{number}").read_text().split() for number in range(60)]
    assert all(len(each) == 1 for each in winners)


def test_the_stage_of_a_run_that_was_killed_here_is_taken_at_once(tmp_path: Path):
    killed(tmp_path, "abc")
    with RunClaims(tmp_path) as claims:
        assert not claims.others()
        assert claims.take("abc")


def test_that_of_another_machine_is_taken_when_it_was_silent_for_a_minute_and_is_so_still(tmp_path: Path, clock):
    claim = on_another_machine(tmp_path, "abc")
    with RunClaims(tmp_path, now=lambda: clock[0]) as claims:
        long_ago(claim, STALE - 5)
        assert claims.take("abc") is None
        clock[0] += SURE
        assert claims.take("abc") is None, "not a minute yet"
        long_ago(claim, 10)
        assert claims.take("abc") is None
        clock[0] += SURE - 1
        assert claims.take("abc") is None, "a clock may have been set; its run would renew it soon"
        clock[0] += 1
        assert claims.take("abc")


def test_a_claim_that_is_renewed_is_never_taken(tmp_path: Path, clock):
    claim = on_another_machine(tmp_path, "abc")
    with RunClaims(tmp_path, now=lambda: clock[0]) as claims:
        for _ in range(20):
            long_ago(claim, 100)  # the server's clock was set by a minute and more, and is again
            assert claims.take("abc") is None
            clock[0] += RENEWED


def test_a_claim_of_the_future_is_taken_when_nobody_renews_it(tmp_path: Path, clock):
    """The clock of the file server went back by a day."""
    long_ago(on_another_machine(tmp_path, "abc"), -86400)
    with RunClaims(tmp_path, now=lambda: clock[0]) as claims:
        assert claims.take("abc") is None
        clock[0] += STALE - 1
        assert claims.take("abc") is None
        clock[0] += 1
        assert claims.take("abc")


def test_the_clock_of_this_machine_says_nothing(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 0.0)
    on_another_machine(tmp_path, "abc")
    with RunClaims(tmp_path) as claims:
        for hour in (0.0, 3600.0, 1e10):
            monkeypatch.setattr(time, "time", lambda hour=hour: hour)
            assert claims.others()
            assert claims.take("abc") is None


def test_what_a_run_has_is_renewed_and_what_was_taken_from_it_is_not(tmp_path: Path):
    with RunClaims(tmp_path) as claims:
        assert claims.take("ours") and claims.take("lost")
        files = [tmp_path / CLAIMS / name for name in ("ours", "lost", f".run-{claims.me.run}")]
        on_another_machine(tmp_path, "lost")
        for file in files:
            long_ago(file, 50)
        claims.renew()
        ages = [time.time() - file.stat().st_mtime for file in files]
        assert ages[0] < 10 < 40 < ages[1]
        assert ages[2] < 10
        assert not claims.release("lost")
        assert files[1].exists()


def test_one_thread_renews_them_all(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(run_claims, "RENEWED", 0.05)
    before = threading.active_count()
    with RunClaims(tmp_path) as claims:
        for number in range(100):
            assert claims.take(f"{number}")
        assert threading.active_count() == before + 1
        file = tmp_path / CLAIMS / "99"
        long_ago(file, 1000)
        end = time.monotonic() + 10
        while time.time() - file.stat().st_mtime > 500:
            assert time.monotonic() < end
            time.sleep(0.01)
    assert threading.active_count() == before


def test_a_run_that_wakes_up_finds_its_stage_taken_and_its_worker_refused(tmp_path: Path, clock):
    with RunClaims(tmp_path) as sleeper, RunClaims(tmp_path, now=lambda: clock[0]) as heir:
        token = sleeper.take("abc")
        assert token
        long_ago(tmp_path / CLAIMS / "abc")
        assert heir.take("abc") is None
        clock[0] += SURE
        new = heir.take("abc")
        assert new
        with pytest.raises(ClaimLost):
            check_claim(tmp_path, "abc", token)
        assert not sleeper.release("abc")
        check_claim(tmp_path, "abc", new)


def test_who_takes_over_a_claim_that_another_one_has_just_taken_over_puts_it_back(tmp_path: Path, monkeypatch):
    """Between the look at a dead claim and its renaming another run has done the same, of a machine whose locks are not
    seen here."""
    killed(tmp_path, "abc")
    monkeypatch.setattr(run_claims, "locked", lambda file: nullcontext(True))
    with RunClaims(tmp_path) as slow, RunClaims(tmp_path) as fast:
        rename, tokens = Path.rename, []

        def late(path: Path, target: Path) -> Path:
            monkeypatch.setattr(Path, "rename", rename)
            tokens.append(fast.take("abc"))
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", late)
        assert slow.take("abc") is None
        check_claim(tmp_path, "abc", tokens[0])
        assert not list((tmp_path / CLAIMS).glob(".stale-*"))


@pytest.mark.parametrize("left", [False, True])
def test_a_file_server_that_says_it_twice_gives_the_claim_once(tmp_path: Path, monkeypatch, left: bool):
    """The answer was lost on the network, so the client asked again, and hears that there is one: its own."""
    link = os.link

    def twice(*arguments: Any) -> None:
        link(*arguments)
        link(*arguments)

    if left:
        killed(tmp_path, "abc")
    with RunClaims(tmp_path) as claims:
        monkeypatch.setattr(os, "link", twice)
        token = claims.take("abc")
        assert token
        check_claim(tmp_path, "abc", token)


@pytest.mark.parametrize("name", ["EPERM", "ENOSYS", "EOPNOTSUPP", "EMLINK"])
def test_claims_are_made_where_a_file_has_one_name_alone(tmp_path: Path, monkeypatch, name: str):
    killed(tmp_path, "dead")
    monkeypatch.setattr(os, "link", refusing(getattr(errno, name)))
    with RunClaims(tmp_path) as ours, RunClaims(tmp_path) as theirs:
        for key in ("abc", "dead"):
            token = ours.take(key)
            assert token
            check_claim(tmp_path, key, token)
            assert theirs.take(key) is None
    assert not list((tmp_path / CLAIMS).glob("[!.]*"))


def test_what_is_half_written_there_is_left_to_its_run(tmp_path: Path, monkeypatch, clock):
    (tmp_path / CLAIMS).mkdir()
    (tmp_path / CLAIMS / "abc").touch()
    with RunClaims(tmp_path, now=lambda: clock[0]) as claims:
        assert claims.take("abc") is None
        long_ago(tmp_path / CLAIMS / "abc")
        assert claims.take("abc") is None
        clock[0] += SURE
        assert claims.take("abc")


@pytest.mark.parametrize("name", ["ENOLCK", "ENOSYS", "EOPNOTSUPP", "ENOTSUP", "EINVAL"])
def test_without_locks_a_run_is_dead_when_it_is_silent(tmp_path: Path, monkeypatch, clock, name: str):
    monkeypatch.setattr(fcntl, "flock", refusing(getattr(errno, name)))
    with RunClaims(tmp_path) as ours, RunClaims(tmp_path, now=lambda: clock[0]) as theirs:
        assert ours.take("abc")
        found = holder_of((tmp_path / CLAIMS / "abc").read_bytes())
        assert found is not None
        assert found.lock is None, "nobody is to rely on it"
        assert theirs.others()
        assert theirs.take("abc") is None
        monkeypatch.undo()
        assert theirs.take("abc") is None, "also where they work elsewhere"
        long_ago(tmp_path / CLAIMS / "abc")
        assert theirs.take("abc") is None
        clock[0] += SURE
        assert theirs.take("abc")


def test_a_lock_is_not_trusted_where_its_file_is_seen_as_another_one(tmp_path: Path):
    """As by a second mount of a network's file system, whose locks are its own."""
    with RunClaims(tmp_path) as ours, RunClaims(tmp_path) as theirs:
        assert ours.take("abc")
        own = tmp_path / CLAIMS / f".run-{ours.me.run}"
        content = own.read_bytes()
        own.unlink()
        own.write_bytes(content)
        assert theirs.others()
        assert theirs.take("abc") is None


@pytest.mark.parametrize("same", [True, False])
def test_a_run_whose_file_is_gone_from_its_folder_has_ended(tmp_path: Path, same: bool):
    """But not where another folder has that name, as in another container."""
    with RunClaims(tmp_path) as ours, RunClaims(tmp_path) as theirs:
        assert ours.take("abc")
        (tmp_path / CLAIMS / f".run-{ours.me.run}").unlink()
        if not same:
            claim = tmp_path / CLAIMS / "abc"
            holder = holder_of(claim.read_bytes())
            assert holder is not None
            claim.write_bytes(dataclasses.replace(holder, folder_id=(1, 2)).content())
        assert bool(theirs.take("abc")) == same
