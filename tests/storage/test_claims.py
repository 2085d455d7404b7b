"""A worker whose stage was given to another one keeps nothing any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.errors import UserError
from workbench.storage.atomic import StorageError
from workbench.storage.claims import CLAIMS, ClaimLost, Holder, check_claim, holder_of
from workbench.storage.run_claims import RunClaims


def test_a_worker_is_refused_once_its_stage_is_given_to_another_one(tmp_path: Path):
    with RunClaims(tmp_path) as claims:
        first = claims.take("abc")
        assert first
        check_claim(tmp_path, "abc", first)
        assert claims.release("abc")
        with pytest.raises(ClaimLost, match="is gone: its run has ended, or given the stage to another one"):
            check_claim(tmp_path, "abc", first)
        second = claims.take("abc")
        assert second
        check_claim(tmp_path, "abc", second)
        with pytest.raises(
            ClaimLost, match=f"given to another worker meanwhile, by process {claims.me.pid} on"
        ) as told:
            check_claim(tmp_path, "abc", first)
    assert told.value.transient


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"7", b'{"host": "a"}', b'{"token": "mine"}', b"\xff"])
def test_a_claim_that_is_no_claim_names_nobody(tmp_path: Path, content: bytes):
    (tmp_path / CLAIMS).mkdir()
    (tmp_path / CLAIMS / "abc").write_bytes(content)
    assert holder_of(content) is None
    with pytest.raises(ClaimLost):
        check_claim(tmp_path, "abc", "mine")


def test_a_claim_that_cannot_be_read_is_told_and_may_be_tried_again(tmp_path: Path):
    (tmp_path / CLAIMS / "abc").mkdir(parents=True)
    with pytest.raises(StorageError) as told:
        check_claim(tmp_path, "abc", "mine")
    assert isinstance(told.value, UserError)
    assert told.value.transient


def test_a_holder_is_written_and_read_as_it_is():
    for lock in (None, (3, 4)):
        holder = Holder("here", "boot", 5, "run", "token", lock, "/folder", lock)
        assert holder_of(holder.content()) == holder
