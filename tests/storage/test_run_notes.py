"""What runs tell each other: that one is going on, what it needs, and what killed ones left."""

from __future__ import annotations

from pathlib import Path

from tests.storage.other_runs import killed, long_ago, on_another_machine
from workbench.storage.claims import CLAIMS
from workbench.storage.locks import locked
from workbench.storage.run_claims import RunClaims
from workbench.storage.run_notes import RunNotes


def test_what_runs_need_is_added_up_until_they_need_nothing(tmp_path: Path):
    runs = RunNotes(tmp_path / "artifacts")
    assert runs.needed() == set()
    runs.write_needed("one", ["a", "b"])
    runs.write_needed("other", ["b", "c"])
    assert runs.needed() == {"a", "b", "c"}
    runs.write_needed("one", [])
    assert runs.needed() == {"b", "c"}
    runs.forget_needed()
    assert runs.needed() == set()


def test_several_runs_may_go_on_and_no_cleaning_beside_any(tmp_path: Path):
    runs = RunNotes(tmp_path / "artifacts")
    with runs.in_use():
        with runs.in_use(), runs.unused() as alone:
            assert not alone
        with runs.unused() as alone:
            assert not alone
    with runs.unused() as alone:
        assert alone


def test_the_first_run_removes_what_killed_ones_left_half_written_and_the_second_nothing(tmp_path: Path):
    runs, half = RunNotes(tmp_path / "artifacts"), ".abc.0123456789ab.tmp"
    left = [tmp_path / place / half for place in ("artifacts", "mine/trials", "mine", "artifacts/x.partial")]
    whole = tmp_path / "mine/trials/abc"

    def leave() -> None:
        for each in (*left, whole):
            each.mkdir(parents=True, exist_ok=True)

    leave()
    with runs.in_use():
        assert not any(each.exists() for each in left)
        leave()
        with runs.in_use():
            assert all(each.exists() for each in left), "the other run may be writing it"
    assert whole.is_dir()


def test_only_locks_that_nobody_holds_go(tmp_path: Path):
    """Those of earlier versions, which took one for each stage."""
    runs, locks = RunNotes(tmp_path / "artifacts"), tmp_path / "artifacts/.locks"
    with locked(locks / "let go") as mine:
        assert mine
    with locked(locks / "held"), runs.unused():
        runs.remove_locks()
        assert {file.name for file in locks.iterdir()} == {"held", "runs"}


def test_only_claims_that_nobody_holds_go(tmp_path: Path):
    store = tmp_path / "artifacts"
    runs = RunNotes(store)
    killed(store, "of one that was killed")
    with RunClaims(store) as claims:
        assert claims.take("of one that lives")
        with runs.unused() as alone:
            assert not alone
            runs.remove_locks()
        assert {each.name for each in (store / CLAIMS).iterdir()} == {"of one that lives", f".run-{claims.me.run}"}
    with runs.unused() as alone:
        assert alone
    assert not list((store / CLAIMS).iterdir())


def test_a_run_of_another_machine_keeps_cleaning_and_sweeping_away_until_it_is_silent_for_a_minute(tmp_path: Path):
    """Its lock is not seen here, as on many a network's file system."""
    store = tmp_path / "artifacts"
    half = tmp_path / "mine/.abc.0123456789ab.tmp"
    half.mkdir(parents=True)
    runs, other = RunNotes(store), on_another_machine(store)
    with runs.in_use(), runs.unused() as alone:
        assert not alone
    with runs.unused() as alone:
        assert not alone
    assert half.exists()
    long_ago(other)
    with runs.unused() as alone:
        assert alone
    with runs.in_use():
        assert not half.exists()
