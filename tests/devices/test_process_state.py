"""What a stage changes in its process is put back, or the process is given up: no other stage sees it."""

from __future__ import annotations

import _thread
import multiprocessing
import os
import threading
from multiprocessing.connection import Connection

import pytest

from tests.own_plugins.changing import CHANGES, PUT_BACK, REPLACED
from tests.processes import forked
from tests.small import SMALL, files_of, load, records, run_here
from workbench.devices.process_state import ProcessState, adopt_orphans
from workbench.devices.torch_switches import changed_switches


def change(what: str, told: Connection) -> None:
    """Say what cannot be put back, and what is another one all the same."""
    adopt_orphans()
    before = ProcessState()
    CHANGES[what]()
    kept = before.put_back()
    again = ProcessState()
    same = ("folder", "environment", "path", "handlers", "limits")
    left = [name for name in same if getattr(before, name) != getattr(again, name)]
    # Of streams and functions it is what they are that counts.
    left += [
        str(number)
        for number, ((old, _), (new, _)) in enumerate(zip(before.settings, again.settings, strict=True))
        if old != new
    ]
    told.send((kept, left))
    os._exit(0)


def found_of(what: str) -> tuple[list[str], list[str]]:
    ours, theirs = multiprocessing.Pipe()
    process = forked(change, what, theirs)
    theirs.close()
    found = ours.recv()
    process.join()
    return found


@pytest.mark.parametrize("what", PUT_BACK)
def test_what_has_no_traces_is_put_back(what):
    assert found_of(what) == ([], [])


@pytest.mark.parametrize("what", REPLACED)
def test_what_may_leave_traces_is_told(what):
    kept, left = found_of(what)
    assert kept
    assert left == []


def test_a_process_that_nobody_changed_stays():
    kept, left = found_of("random")
    assert (kept, left) == ([], [])
    assert changed_switches({}) == []


def test_a_thread_of_a_library_that_called_back_and_ended_is_no_trace(monkeypatch):
    """As one of `tokenizers` does that reads texts: `threading` lists it for good."""
    before = ProcessState()
    ended = threading._DummyThread.__new__(threading._DummyThread)
    threading.Thread.__init__(ended, name="Dummy-1", daemon=True)
    monkeypatch.setitem(threading._active, 1, ended)  # pyright: ignore[reportAttributeAccessIssue]
    assert ended in threading.enumerate()
    assert before.put_back() == []


def test_a_thread_that_threading_was_never_asked_for_is_told():
    before, began, end = ProcessState(), threading.Event(), threading.Event()
    number = _thread.start_new_thread(lambda: (began.set(), end.wait()), ())
    began.wait()
    kept = before.put_back()
    end.set()
    assert kept == [f"the thread {number}"]


def test_an_innocent_stage_gives_the_same_bits_in_a_worker_that_others_changed(tmp_path):
    """And all results lie where they belong."""
    alone, among = tmp_path / "alone", tmp_path / "among"
    for folder in (alone, among):
        folder.mkdir()
    run_here(load(alone, text=SMALL), alone / "results")
    whats = ("folder", "umask", "dtype", "device", "gradients", "precision", "denormals", "patched", "autocast")
    guilty = ", ".join(f"{{name: changing, what: {what}}}" for what in whats)
    experiment = load(among, text=f"{SMALL}grid:\n  fusion: [{guilty}, concat_projection]\n")
    outcome = run_here(experiment, among / "results", workers=1)
    assert len(outcome.done) + len(outcome.failed) == len(whats) + 1
    (innocent,) = records(alone)
    assert innocent["id"] in outcome.done
    found = {name: content for name, content in files_of(among / "results/small/trials" / innocent["id"]).items()}
    expected = files_of(alone / "results/small/trials" / innocent["id"])
    assert found["predictions.jsonl"] == expected["predictions.jsonl"]
    key = innocent["provenance"]["before"]
    weights = [files_of(folder / "results/artifacts" / key)["weights.safetensors"] for folder in (alone, among)]
    assert weights[0] == weights[1]
