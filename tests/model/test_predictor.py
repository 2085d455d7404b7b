"""The predictor: what it reads is what a batch by hand is, and it computes as the evaluation's settings say."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.tiny import FUSIONS, QUESTIONS, collator, images, tiny_model
from workbench.config.phase import Evaluation
from workbench.model.generation import generate
from workbench.model.predictor import Predictor

PROMPT = "<image>{question}\n"


def predictor(fusion: str = "cross_attention", **settings: Any) -> Predictor:
    return Predictor(tiny_model(fusion), PROMPT, Evaluation(**{"precision": "fp32", **settings}))


def views(keys: list[str]) -> list[torch.Tensor]:
    """Images "0", "1" ... of one view each."""
    return [images(2)[int(key)][None] for key in keys]


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_is_read_are_the_images_and_the_batch_of_their_questions(fusion, answered):
    asked = predictor(fusion)
    seen, places, batch = asked.read([("0",), ("1",)], views, QUESTIONS, answered)
    wanted = collator(asked.model, PROMPT)(torch.empty(0), QUESTIONS, answered, history_trains=False)
    torch.testing.assert_close(seen, images(2))
    assert places == [[[0]], [[1]]]
    assert all(torch.equal(getattr(batch, name), getattr(wanted, name)) for name in ("ids", "labels", "positions"))


def test_an_image_of_several_sets_is_loaded_once():
    asked, loaded = predictor(), []

    def load(keys: list[str]) -> list[torch.Tensor]:
        loaded.extend(keys)
        return views(keys)

    seen, places, batch = asked.read([("0", "1"), ("1", "0")], load, [questions[:1] for questions in QUESTIONS])
    assert (loaded, len(seen)) == (["0", "1"], 2)
    assert places == [[[0], [1]], [[1], [0]]]
    assert batch.views is not None


def test_a_model_that_is_ready_neither_trains_nor_drops_out():
    asked = predictor()
    asked.model.train()
    with asked.ready():
        assert not asked.model.training
        assert torch.is_inference_mode_enabled()
        assert not torch.is_autocast_enabled("cpu")
    with predictor(precision="bf16").ready():
        assert torch.get_autocast_dtype("cpu") == torch.bfloat16
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_words_are_the_answers_in_the_order_of_the_questions(fusion):
    asked = predictor(fusion, max_new_tokens=4)
    with asked.ready():
        seen, _, batch = asked.read([("0",), ("1",)], views, QUESTIONS)
        vision = asked.model.see_tokens(asked.encode(seen), batch.views)
        ids = generate(asked.model, vision, batch, 4)
    decode = asked.model.language_model.tokenizer.decode
    assert asked.words(ids) == [decode(answer) for row in ids for answer in row]
    assert len(asked.words(ids)) == 5


def test_tokens_come_in_the_type_of_the_precision():
    for precision, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        asked = predictor(precision=precision)
        tokens = asked.encode(images(2))
        assert (tokens.dtype, tokens.requires_grad) == (kind, False)
        torch.testing.assert_close(tokens.float(), asked.model.encoder(images(2)), rtol=2e-2, atol=2e-2)
