"""Tokenizers: what is trained, and what several models share of it."""

from __future__ import annotations

import pytest

from workbench.checkpoints.tokenizer import Corpus, tokenizer_for, train_tokenizer
from workbench.errors import UserError


def test_a_text_is_learned_once_for_each_size_of_vocabulary():
    asked = []

    def texts():
        asked.append(1)
        return ["what colour is the circle?", "blue"]

    corpus = Corpus(texts)
    first, again, larger = (tokenizer_for(corpus, size) for size in (270, 270, 280))
    assert len(asked) == 2
    assert first.json() == again.json()
    assert (first.size, larger.size) == (270, 280)


def test_a_vocabulary_that_no_memory_holds_is_refused():
    """The library would end the whole process."""
    with pytest.raises(UserError, match="a vocabulary has at most 10,000,000 tokens, not 1,099,511,627,776"):
        train_tokenizer(["a text"], 2**40)
