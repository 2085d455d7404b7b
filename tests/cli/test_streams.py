"""What commands write is plain words, in whatever characters the other side takes, and for whoever still reads."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from multiprocessing import process
from pathlib import Path

import pytest

from tests.processes import ended, start
from tests.small import PLUGINS, SMALL, write
from workbench.cli.main import main
from workbench.cli.streams import PlainStream, console, plain_streams

ROOT = Path(__file__).parents[2]
LABELLED = (
    SMALL + 'grid:\n  fusion: [concat_projection, cross_attention]\nlabels:\n  fusion: [größe, "\\e[31mred 図"]\n'
)


def said_in(encoding: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """What a command writes to a terminal or file of that encoding."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding, write_through=True))
    monkeypatch.setattr(sys, "argv", ["workbench", *words])
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    return written.getvalue().decode(encoding)


@pytest.mark.parametrize(("encoding", "label"), [("ascii", "gr\\xf6\\xdfe"), ("utf-8", "größe"), ("latin-1", "größe")])
def test_a_label_is_shown_in_any_encoding_and_without_what_a_terminal_obeys(tmp_path, monkeypatch, encoding, label):
    write(tmp_path, LABELLED)
    said = said_in(encoding, tmp_path, monkeypatch, "plan", "small.yaml", "--plugins", str(PLUGINS))
    assert label in said
    assert "red " in said
    assert "\x1b" not in said
    assert "[31m" not in said


def test_what_is_printed_in_a_command_is_words_and_what_rich_writes_keeps_its_styles(monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(sys, "stdout", written)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    with plain_streams():
        print("\x1b[2Ja plugin")
        console().print("a \x1b[5mnote", style="yellow")
    assert sys.stdout is written
    assert written.getvalue() == "a plugin\n\x1b[33ma note\x1b[0m\n"
    assert PlainStream(written).getvalue() == written.getvalue()


def make_path_long() -> None:
    """As a TMPDIR of a cluster's job is."""
    tempfile.tempdir = tempfile.mkdtemp(prefix="x" * 90)
    process.current_process()._config.pop("tempdir", None)  # pyright: ignore[reportAttributeAccessIssue]


def test_a_run_whose_temporary_files_lie_deep_reaches_its_workers(tmp_path):
    write(tmp_path)
    assert "1 of 1 trials done" in ended(start(tmp_path, "--workers", "1", before=make_path_long), 0)


@pytest.mark.parametrize("words", [(), ("--csv",)])
def test_a_full_disk_behind_what_is_shown_is_told_and_a_reader_who_left_is_not(tmp_path, words):
    file = write(tmp_path)
    command = [sys.executable, "-m", "workbench.cli.main", "plan", file, "--plugins", PLUGINS, *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with Path("/dev/full").open("w") as full:
        told = subprocess.run(command, cwd=tmp_path, env=environment, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)
    assert "cannot write what is to be shown: No space left on device" in told.stderr
    reading, writing = os.pipe()
    os.close(reading)
    told = subprocess.run(command, cwd=tmp_path, env=environment, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (told.returncode, told.stderr) == (1, "")
