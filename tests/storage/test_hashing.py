"""Hashes tell apart what differs, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from workbench.storage.hashing import canonical, digest, file_hash, key_of, short_hash


def test_a_key_is_the_hash_of_what_something_is_made_of_in_any_order():
    made_of = {"plugin:fusion gated": "b", "data": "a"}
    assert key_of(made_of) == hashlib.sha256(b"data=a\nplugin:fusion gated=b").hexdigest()[:16]
    assert key_of(dict(reversed(made_of.items()))) == key_of(made_of)
    assert key_of({**made_of, "data": "c"}) != key_of(made_of)


def test_equal_values_have_one_text_and_one_digest():
    one, other = {"b": (1, 2.5), "a": None}, {"a": None, "b": [1, 2.5]}
    assert canonical(one) == canonical(other) == json.dumps(other)
    assert digest(one) == digest(other) == short_hash(canonical(one))
    assert digest({"a": None, "b": [2.5, 1]}) != digest(one)
    assert digest({"a": 1}) != digest({"a": "1"}) != digest({"a": 1.0})


def test_a_file_counts_by_its_content_and_name_and_is_read_again_when_it_changes(tmp_path: Path):
    file = tmp_path / "a.txt"
    file.write_text("one")
    first = file_hash(file)
    file.write_text("two")
    assert file_hash(file) != first
    file.write_text("one")
    assert file_hash(file) == first
    file.unlink()
    assert file_hash(file) not in (first, "")


def test_a_file_that_is_another_one_with_the_time_and_size_of_the_first_is_seen(tmp_path: Path):
    file, other = tmp_path / "a.txt", tmp_path / "b.txt"
    for each, text in ((file, "one"), (other, "two")):
        each.write_text(text)
        os.utime(each, ns=(1, 1))
    first = file_hash(file)
    other.replace(file)
    assert file_hash(file) != first


@pytest.mark.parametrize("change", ["another file", "another name", "another content"])
def test_a_folder_counts_by_all_its_files(tmp_path: Path, change: str):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/a.txt").write_text("one")
    first = file_hash(tmp_path)
    if change == "another file":
        (tmp_path / "b.txt").write_text("")
    elif change == "another name":
        (tmp_path / "deep/a.txt").rename(tmp_path / "deep/b.txt")
    else:
        (tmp_path / "deep/a.txt").write_text("two")
    assert file_hash(tmp_path) != first
