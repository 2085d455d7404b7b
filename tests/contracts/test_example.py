"""An example: its images, and the answer that trains."""

from __future__ import annotations

import pytest

from workbench.contracts.example import Example
from workbench.errors import RenamedError


def test_the_most_common_answer_trains_and_the_first_of_equally_common_ones():
    assert Example("0/0", "0", "what color is it?", ("red", "blue", "blue")).answer == "blue"
    assert Example("0", "0", "?", ("b", "a", "a", "b")).answer == "b"


def test_an_example_has_its_first_image_and_those_behind_it():
    assert Example("0", "a", "?", ("x",)).images == ("a",)
    assert Example("0", "a", "?", ("x",), more=("b", "a")).images == ("a", "b", "a")


def test_what_an_earlier_version_called_otherwise_is_told():
    with pytest.raises(RenamedError, match="Example.picture is called image now"):
        Example(id="0", picture="a", question="?", answers=("x",))  # pyright: ignore[reportCallIssue]
    with pytest.raises(RenamedError, match="Example.pictures is called images now"):
        Example("0", "a", "?", ("x",)).pictures  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'colour'"):
        Example("0", "a", "?", ("x",)).colour  # noqa: B018
