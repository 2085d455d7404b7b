"""A file or folder is there whole or not at all, and what the system refuses is told in plain words."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from workbench.storage.atomic import (
    StorageError,
    new_folder,
    remove,
    storage_errors,
    temporary_sibling,
    write_bytes,
    write_text,
)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a file that is always full")
def test_a_full_disk_is_called_a_full_disk(tmp_path: Path):
    with pytest.raises(StorageError, match="the disk is full"), storage_errors(tmp_path):
        Path("/dev/full").write_text("x")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission"),
        (errno.EIO, "Input/output error"),
        (errno.ENOSPC, "the disk is full"),
    ],
)
def test_what_the_system_says_is_told_in_plain_words(tmp_path: Path, number: int, words: str):
    with pytest.raises(StorageError, match=words), storage_errors(tmp_path):
        raise OSError(number, os.strerror(number))


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path):
    write_text(tmp_path / "a.txt", "ä")
    assert (tmp_path / "a.txt").read_bytes() == "ä".encode()
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="folder"):
        write_bytes(tmp_path / "folder", b"x")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.txt", "folder"]


def test_a_new_folder_appears_only_when_its_body_ended_well(tmp_path: Path):
    final = tmp_path / "deep" / "final"
    with pytest.raises(KeyboardInterrupt), new_folder(final) as temporary:
        (temporary / "a").write_text("1")
        raise KeyboardInterrupt
    assert not final.exists()
    with new_folder(final) as temporary:
        (temporary / "a").write_text("1")
        assert not final.exists()
    assert (final / "a").read_text() == "1"


def test_a_folder_takes_the_place_of_another_whole(tmp_path: Path):
    final = tmp_path / "final"
    for text in ("old", "new"):
        with new_folder(final) as temporary:
            (temporary / text).write_text(text)
    assert [each.name for each in final.iterdir()] == ["new"]
    assert [each.name for each in tmp_path.iterdir()] == ["final"], "nothing is left beside it"


def test_a_temporary_name_lies_beside_the_final_one_hidden_and_new_each_time(tmp_path: Path):
    names = {temporary_sibling(tmp_path / "a.txt") for _ in range(50)}
    assert len(names) == 50
    assert all(each.parent == tmp_path and each.name.startswith(".a.txt.") for each in names)


def test_what_cannot_be_written_may_be_tried_again_elsewhere(tmp_path: Path):
    with pytest.raises(StorageError) as told:
        write_text(tmp_path / "none" / "a.txt", "a")
    assert told.value.transient
    assert str(tmp_path / "none" / "a.txt") in str(told.value)


def test_removing_asks_for_nothing_to_be_there(tmp_path: Path):
    (tmp_path / "folder/deep").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    for each in (tmp_path / "folder", tmp_path / "file", tmp_path / "none", None):
        remove(each)
    assert list(tmp_path.iterdir()) == []
