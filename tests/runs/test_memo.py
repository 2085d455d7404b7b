"""What trials share is made once, also when it cannot be made."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.config.component import Component
from workbench.model.build import CompositionError
from workbench.runs.memo import Memo


def test_equal_keys_are_made_once_and_others_anew():
    memo, made = Memo(), []
    found = [memo.once(key, lambda key=key: made.append(key) or len(made)) for key in ((1, "a"), (1, "a"), (1, "b"))]
    assert found == [1, 1, 2]


def test_a_failure_is_told_each_time_and_tried_once():
    memo, tried = Memo(), []

    def fail() -> None:
        tried.append(1)
        raise CompositionError("does not fit")

    for _ in range(2):
        with pytest.raises(CompositionError, match="does not fit"):
            memo.once(("key",), fail)
    assert tried == [1]


def test_components_that_lie_in_different_folders_are_not_the_same_part(tmp_path):
    memo, folders = Memo(), (tmp_path / "a", tmp_path / "b", tmp_path / "a")
    parts = [Component("dataset", "folder", {"images": Path("here")}, folder) for folder in folders]
    inner = [Component("dataset", "mixture", {"parts": {"one": part}}) for part in parts]
    for components in (parts, inner):
        made = [memo.once((component,), object) for component in components]
        assert made[0] is made[2] is not made[1]
