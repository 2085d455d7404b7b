"""Every failure has a reason in words, and nothing that a plugin says does anything to a terminal."""

from __future__ import annotations

import re

import pytest

from tests.processes import start, until
from tests.runs.test_scheduler_processes import members
from tests.small import SMALL, records, write
from workbench.errors import plain
from workbench.workers.failure import in_words

REASONS = {
    "exit": r"SystemExit: sys\.exit\(0\) was called in trouble\.py, line \d+",
    "interrupt": r"KeyboardInterrupt: KeyboardInterrupt without a message in trouble\.py, line \d+",
    "empty": r"ValueError: ValueError without a message in trouble\.py, line \d+",
    "blank": r"UserError without a message in trouble\.py, line \d+",
    "escape": r"ValueError: it is red",
    "debug": r"breakpoint\(\) was called in trouble\.py, line \d+: a worker process has no terminal",
    "trace": r"BdbQuit: a debugger was started, or left, in trouble\.py, line \d+: a worker process has no terminal",
    "quit": r"WorkerDied: the worker process ended in the middle of the stage with exit code 0",
    "input": r"EOFError: EOF when reading a line",
}


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> tuple[str, dict[str, dict]]:
    """What a run of all of them says, and their records by how each ends."""
    folder = tmp_path_factory.mktemp("ends")
    fusions = ", ".join(f"{{name: ending, how: {how}}}" for how in (*REASONS, "fork", "print"))
    write(folder, f"{SMALL}grid:\n  fusion: [{fusions}]\n")
    command = start(folder, "--workers", "2")
    said = command.wait()
    until(lambda: not members(command.pid))
    assert "Traceback" not in said
    how = re.compile(r"how=(\w+)")
    return said, {found[1]: each for each in records(folder) if (found := how.search(each["axes"]["fusion"]))}


@pytest.mark.parametrize("how", REASONS)
def test_a_failure_has_a_reason_in_words(told, how):
    said, found = told
    assert re.search(f"failed: {found[how]['id']}: {REASONS[how]}", said)
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", found[how]["error"]["message"] + found[how]["error"]["traceback"])


def test_a_plugin_that_forks_and_lets_the_child_return_is_one_stage_and_leaves_nobody(told):
    said, found = told
    assert found["fork"]["status"] == "done"
    assert said.count("done ending(how=fork), 0: tune") == 1


def test_what_a_plugin_prints_is_shown_as_words_alone(told):
    said, found = told
    assert found["print"]["status"] == "done"
    assert "loss red of\nthe plugin" in said
    assert "from C" in said
    assert "\x1b" not in said and "\x08" not in said and "mine" not in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;http://a.b\x1b\\link\x1b]8;;\x07", "link"),
        ("10 %\r20 %\r\n", "10 %\n20 %\n"),
        ("a\tb\nc\x00\x07\x9b", "a\tb\nc"),
        ("\u202eright\u2069 größe 図", "right größe 図"),
        ("\x1b", ""),
    ],
)
def test_words_stay_and_what_a_terminal_obeys_goes(text, words):
    assert plain(text) == words


def test_a_record_without_a_message_is_told_all_the_same():
    assert in_words({"type": "BdbQuit", "message": ""}) == "BdbQuit"
    assert in_words({}) == "it is not known why"
