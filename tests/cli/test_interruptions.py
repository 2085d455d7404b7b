"""Commands that are interrupted, or that a plugin means to end: a word, the right exit code, and no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from tests.small import PLUGINS, CommandLine, write
from workbench.cli.interruptions import interruptible

ROOT = Path(__file__).parents[2]
LEAVING = """\
import os
import sys
import threading

from tests.own_plugins.squares import Squares
from workbench import hookimpl


class Leaving(Squares):
    def examples(self, split, task):
        {statement}


@hookimpl
def register_datasets(register):
    register("leaving", Leaving)
"""


@pytest.fixture
def workbench(tmp_path, monkeypatch, capsys) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


@pytest.fixture
def handlers():
    """What signals do, which a command that is interrupted leaves to the end of its process."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_ctrl_c_while_the_command_line_is_imported_shows_no_traceback(tmp_path):
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-c", "from workbench.cli.main import main; main()"]
    told = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (told.returncode, told.stdout + told.stderr) == (-signal.SIGINT, "")


def test_the_command_line_imports_little_before_it_can_be_interrupted():
    program = "import sys\nimport workbench.cli.main\nprint(sorted({'typer', 'click', 'rich'} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert told.stdout == "[]\n"


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        ("raise KeyboardInterrupt", 130, "interrupted while {file} was imported\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGINT)", 130, "interrupted while {file} was imported\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", 143, "ended by SIGTERM\n"),
    ],
)
def test_an_interruption_is_told(workbench, handlers, raised, code, said):
    file = workbench.folder / "bad.py"
    file.write_text(f"{raised}\n")
    told = workbench("plugins", "--plugins", file)
    assert (told.code, told.errors) == (code, said.format(file=file))


def test_what_fails_because_of_an_interruption_is_told_as_one(handlers, capsys):
    with pytest.raises(typer.Exit) as ended, interruptible():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            raise ImportError("cannot load module more than once per process")
    assert ended.value.exit_code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_more_of_ctrl_c_disturbs_only_what_takes_no_end(handlers, monkeypatch):
    with pytest.raises(typer.Exit), interruptible():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            monkeypatch.setattr("workbench.cli.interruptions.PATIENCE", 0.0)
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_an_interruption_that_comes_where_python_lets_none_through_comes_again(workbench, handlers, number, code):
    file = workbench.folder / "bad.py"
    inside = (
        f"class Bad:\n    def __del__(self):\n        os.kill(os.getpid(), signal.{number})\n        time.sleep(0.01)\n"
    )
    file.write_text(f"import os, signal, time\n{inside}Bad()\ntime.sleep(60)\n")
    told = workbench("plugins", "--plugins", file)
    assert told.code == code
    assert told.errors.startswith(("interrupted while", "ended by SIGTERM"))


@pytest.mark.parametrize("statement", ["os._exit(0)", "sys.exit(0)"])
def test_a_plugin_that_ends_the_process_when_it_is_imported_is_not_loaded(workbench, statement):
    (workbench.folder / "bad.py").write_text(f"import os, sys\n{statement}\n")
    told = workbench("plugins", "--plugins", workbench.folder / "bad.py")
    assert told.code == 0
    assert f"bad.py: {statement} was called in bad.py, line 2" in told.output


@pytest.mark.parametrize("statement", ["os._exit(0)", "sys.exit(0)"])
def test_a_plugin_that_ends_the_process_of_a_plan_is_told(workbench, statement):
    (workbench.folder / "leaving.py").write_text(LEAVING.format(statement=statement))
    file = write(workbench.folder)
    words = ("--plugins", PLUGINS, "--plugins", workbench.folder / "leaving.py", "--set", "base.dataset=leaving")
    told = workbench("plan", file, *words)
    assert told.code == 2
    assert f"{statement} was called in leaving.py, line 11" in told.errors


def test_a_plugin_that_ends_the_process_from_a_thread_is_told(tmp_path):
    thread = "threading.Thread(target=lambda: os._exit(0)).start(); threading.Event().wait(60)"
    (tmp_path / "leaving.py").write_text(LEAVING.format(statement=thread))
    words = ["--plugins", PLUGINS, "--plugins", "leaving.py", "--set", "base.dataset=leaving"]
    command = [sys.executable, "-m", "workbench.cli.main", "plan", write(tmp_path), *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    told = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (1, "error: os._exit(0) was called in leaving.py, line 11\n")
