"""Names and lists are written as a sentence has them."""

from __future__ import annotations

import pytest

from workbench.reports.wording import capital, joined, spoken


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (joined(["a", "b", "c"]), "a, b and c"),
        (joined(["a"]), "a"),
        (joined([]), ""),
        (joined(["a", "b"], "or"), "a or b"),
        (spoken("language_model.depth"), "language model depth"),
        (spoken("vqa_accuracy"), "VQA accuracy"),
        (capital("vit, of CLIP"), "Vit, of CLIP"),
        (capital(""), ""),
    ],
)
def test_words_are_written_for_people(written: str, expected: str):
    assert written == expected
