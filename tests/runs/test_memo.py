"""What trials share is made once, also when it cannot be made."""

from __future__ import annotations

import pytest

from workbench.model.build import CompositionError
from workbench.runs.memo import Memo


def test_equal_keys_are_made_once_and_others_anew():
    memo, made = Memo(), []
    found = [memo.once(key, lambda key=key: made.append(key) or len(made)) for key in ([1, "a"], [1, "a"], [1, "b"])]
    assert found == [1, 1, 2]


def test_a_failure_is_told_each_time_and_tried_once():
    memo, tried = Memo(), []

    def fail() -> None:
        tried.append(1)
        raise CompositionError("does not fit")

    for _ in range(2):
        with pytest.raises(CompositionError, match="does not fit"):
            memo.once("key", fail)
    assert tried == [1]


def test_the_same_parts_are_looked_at_once_and_a_failure_is_not_kept_for_them():
    memo, made = Memo(), []
    for parts in (("size", 1), ("size", 1), ("data", 1)):
        memo.of_parts(parts, lambda: made.append(1))
    assert len(made) == 2
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            memo.of_parts(("broken",), lambda: 1 / 0)
