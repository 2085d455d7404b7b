"""A line between machines: only who knows the key is heard, and a cut one is noticed at both ends."""

from __future__ import annotations

import socket
from multiprocessing import AuthenticationError
from queue import Queue

import pytest

from workbench.workers import line as module
from workbench.workers.line import Line, Switchboard, call, keep_alive
from workbench.workers.messages import Beat

KEY = b"of this run"


@pytest.fixture
def office():
    """A switchboard and the lines of those it has welcomed."""
    welcomed: Queue[Line] = Queue()
    switchboard = Switchboard("127.0.0.1", KEY, welcomed.put)
    yield switchboard, welcomed
    switchboard.close()


def test_what_is_said_arrives_and_hanging_up_is_noticed(office):
    switchboard, welcomed = office
    theirs = call(switchboard.address, switchboard.port, KEY)
    ours = welcomed.get(timeout=10)
    theirs.send({"a": 1})
    assert ours.recv() == {"a": 1}
    ours.send("well")
    assert theirs.recv() == "well"
    theirs.close()
    with pytest.raises((EOFError, OSError)):
        ours.recv()


def test_whoever_does_not_know_the_key_is_not_heard(office):
    switchboard, welcomed = office
    with pytest.raises((AuthenticationError, EOFError, OSError)):
        call(switchboard.address, switchboard.port, b"of another run")
    assert welcomed.empty()
    call(switchboard.address, switchboard.port, KEY)
    assert welcomed.get(timeout=10), "who knows it is heard all the same"


def test_a_stranger_who_says_nothing_holds_nobody_up_and_is_cut_off(office, monkeypatch):
    monkeypatch.setattr(module, "GREETING", 0.5)
    switchboard, welcomed = office
    with socket.create_connection((switchboard.address, switchboard.port)) as stranger:
        call(switchboard.address, switchboard.port, KEY)
        assert welcomed.get(timeout=10)
        stranger.settimeout(10)
        said = b""
        while read := stranger.recv(1024):
            said += read
        assert b"CHALLENGE" in said
    assert welcomed.empty()


def test_signs_of_life_come_by_themselves(office, monkeypatch):
    monkeypatch.setattr(module, "BEAT", 0.05)
    switchboard, welcomed = office
    theirs = call(switchboard.address, switchboard.port, KEY)
    ended = keep_alive(lambda: [theirs])
    ours = welcomed.get(timeout=10)
    before = ours.heard
    assert [ours.recv() for _ in range(2)] == [Beat(), Beat()]
    assert ours.heard > before
    ended.set()
