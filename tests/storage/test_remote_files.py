"""A URL is reached by what is installed, or the word is said what to install; nobody else imports fsspec."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from workbench.errors import UserError
from workbench.storage.chosen_store import CHOSEN, open_store, remember_store
from workbench.storage.fsspec_store import FsspecStore
from workbench.storage.remote_files import RemoteFiles


def test_without_fsspec_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(UserError, match=r"--store s3://a/b needs fsspec: pip install workbench\[remote-store\]"):
        RemoteFiles("s3://a/b")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("results2", "is no URL: give one such as s3://bucket/folder"),
        ("/tmp/results", "is no URL"),
        ("nothing://a", "Protocol not known"),
        ("hdfs://nowhere.invalid/a", "hdfs://nowhere.invalid/a"),
    ],
)
def test_a_url_that_cannot_be_is_told(url: str, told: str):
    with pytest.raises(UserError, match=told):
        RemoteFiles(url)


def test_a_url_whose_library_is_missing_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(UserError, match="--store s3://a/b: .*s3fs"):
        RemoteFiles("s3://a/b")


def test_a_store_that_was_chosen_is_remembered_and_another_one_may_be_asked(tmp_path: Path):
    remember_store(tmp_path, "memory://one/kept")
    for store, url in (
        (open_store(tmp_path), "memory://one/kept"),
        (open_store(tmp_path, "memory://two"), "memory://two"),
    ):
        assert isinstance(store.store, FsspecStore)
        assert store.store.files.url == url
    (tmp_path / CHOSEN).unlink()
    assert not isinstance(open_store(tmp_path).store, FsspecStore)


def test_what_cannot_be_used_is_not_remembered(tmp_path: Path):
    with pytest.raises(UserError):
        remember_store(tmp_path, "nothing://a")
    assert not (tmp_path / CHOSEN).exists()


def test_fsspec_is_imported_by_nobody_who_was_not_given_a_url():
    text = (
        "import workbench.cli.main, workbench.runs.planner, workbench.inference.load_trial, workbench.runs.clean, sys\n"
        "from pathlib import Path; from workbench.storage.chosen_store import open_store; open_store(Path('here'))\n"
        "sys.exit('fsspec' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
