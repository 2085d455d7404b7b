"""Whoever waits for a lock holds it alone, also where its file was removed meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from workbench.storage.locks import locked, locked_in_turn, remove_unheld, shared_lock


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


def test_whoever_comes_first_to_a_shared_lock_is_told_and_nobody_else(tmp_path: Path):
    file, told = tmp_path / "a.lock", []
    first, second = (shared_lock(file, lambda name=name: told.append(name)) for name in ("first", "second"))
    with first, second, locked(file) as alone:
        assert not alone
    assert told == ["first"]
