"""Whoever waits for a lock holds it alone, also where its file was removed meanwhile."""

from __future__ import annotations

import errno
import fcntl
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.storage.other_runs import refusing
from workbench.storage.atomic import StorageError
from workbench.storage.locks import is_held, kept_locked, locked, locked_in_turn, remove_unheld, shared_lock


@contextmanager
def waiting(file: Path, told: list[str]) -> Iterator[None]:
    """While another one waits for the lock; afterwards it has had it, and says whether it was alone."""

    def wait() -> None:
        with locked_in_turn(file), locked(file) as twice:
            told.append("not alone" if twice else "alone")

    thread = threading.Thread(target=wait)
    thread.start()
    yield
    thread.join(timeout=10)


@pytest.mark.parametrize("meanwhile", [lambda file: None, Path.unlink])
def test_who_waits_for_a_lock_holds_it_alone_when_it_is_let_go(tmp_path: Path, meanwhile: Callable[[Path], None]):
    file, told = tmp_path / "a.lock", []
    held = ExitStack()
    held.enter_context(locked_in_turn(file))
    with waiting(file, told):
        time.sleep(0.2)
        meanwhile(file)
        told.append("let go")
        held.close()
    assert told == ["let go", "alone"]


def test_a_lock_that_another_one_holds_is_refused_at_once_and_given_when_it_is_let_go(tmp_path: Path):
    file = tmp_path / "deep/a.lock"
    with locked(file) as mine, locked(file) as twice:
        assert mine
        assert not twice
    with locked(file) as again:
        assert again


def test_the_file_of_a_lock_goes_only_when_nobody_holds_it(tmp_path: Path):
    file = tmp_path / "a.lock"
    with locked(file):
        remove_unheld(file)
        assert file.exists()
    remove_unheld(file)
    assert not file.exists()


def taken(file: Path, how: str) -> object:
    """What comes of asking for a lock, each way there is."""
    with ExitStack() as held:
        if how == "shared":
            told: list[str] = []
            held.enter_context(shared_lock(file, lambda: told.append("alone")))
            return told
        if how == "removed":
            return remove_unheld(file)
        return held.enter_context({"locked": locked, "in turn": locked_in_turn, "kept": kept_locked}[how](file))


# What flock was seen to end with, or may: where, and what a lock is then.
REFUSALS = {
    "ENOLCK": "NFS without lockd",
    "ENOSYS": "Lustre without -o flock",
    "EOPNOTSUPP": "FUSE, CIFS with nobrl",
    "ENOTSUP": "the same on other systems",
    "EINVAL": "AFS",
}
FAULTS = ("EIO", "ESTALE", "EACCES", "EPERM", "EBADF", "EREMOTEIO", "ETIMEDOUT")
EVERYBODYS = {"locked": True, "in turn": None, "shared": ["alone"], "kept": None, "removed": None}


@pytest.mark.parametrize("how", EVERYBODYS)
@pytest.mark.parametrize("name", REFUSALS)
def test_where_a_file_system_has_no_locks_everybody_gets_them(tmp_path: Path, monkeypatch, name: str, how: str):
    monkeypatch.setattr(fcntl, "flock", refusing(getattr(errno, name)))
    assert taken(tmp_path / "a.lock", how) == EVERYBODYS[how]


@pytest.mark.parametrize("how", EVERYBODYS)
@pytest.mark.parametrize("name", FAULTS)
def test_whatever_else_a_lock_ends_with_is_told_with_its_place(tmp_path: Path, monkeypatch, name: str, how: str):
    monkeypatch.setattr(fcntl, "flock", refusing(getattr(errno, name)))
    with pytest.raises(StorageError, match=re.escape(str(tmp_path / "a.lock"))):
        taken(tmp_path / "a.lock", how)


@pytest.mark.parametrize("name", [*REFUSALS, *FAULTS])
def test_a_lock_that_cannot_be_asked_for_says_nothing_of_its_holder(tmp_path: Path, monkeypatch, name: str):
    with kept_locked(tmp_path / "a.lock") as place:
        assert place is not None
        assert is_held(tmp_path / "a.lock", place) is True
        assert is_held(tmp_path / "a.lock", (0, 0)) is None, "it is not the file that was locked"
        assert is_held(tmp_path / "none.lock", place) is None
        monkeypatch.setattr(fcntl, "flock", refusing(getattr(errno, name)))
        assert is_held(tmp_path / "a.lock", place) is None
    monkeypatch.undo()
    assert is_held(tmp_path / "a.lock", place) is False


def test_whoever_comes_first_to_a_shared_lock_is_told_and_nobody_else(tmp_path: Path):
    file, told = tmp_path / "a.lock", []
    first, second = (shared_lock(file, lambda name=name: told.append(name)) for name in ("first", "second"))
    with first, second, locked(file) as alone:
        assert not alone
    assert told == ["first"]
