"""The time of an answer, of a token, and how many tokens a model writes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.small import build, load, small_registry
from workbench.config.phase import Evaluation
from workbench.evaluation import latency
from workbench.evaluation.evaluate import EvaluationResult, evaluate, examples_by_image
from workbench.evaluation.latency import measure_latency
from workbench.model.predictor import Predictor, tokens_written
from workbench.model.vision_language_model import VisionLanguageModel

MOST = 6


@pytest.fixture
def model(tmp_path) -> VisionLanguageModel:
    return build(load(tmp_path).trials[0]).eval()


def writing(model: VisionLanguageModel, chosen: int) -> VisionLanguageModel:
    """The same, and it writes this token alone."""
    head = model.language_model.head

    def always(hidden):
        logits = head(hidden)
        logits[..., chosen] = logits.max() + 1
        return logits

    model.language_model.head = always
    return model


def predictor(model: VisionLanguageModel) -> Predictor:
    settings = Evaluation(split="test", max_new_tokens=MOST, precision="fp32", controls=("mean_image",))
    return Predictor(model, "<image>{question}\n", settings)


def evaluated(model: VisionLanguageModel) -> EvaluationResult:
    return evaluate(predictor(model), small_registry().create("dataset", "squares"), 0, lambda *_: None)


def test_an_end_is_written_too_and_nothing_behind_the_longest_answer():
    assert [tokens_written(answer, MOST) for answer in ([], [7, 7], [7] * MOST)] == [1, 3, MOST]


def test_a_model_that_rambles_writes_more_tokens_an_answer(model):
    tokenizer = model.language_model.tokenizer
    assert evaluated(writing(model, tokenizer.encode("a")[0])).generated_tokens == MOST
    assert evaluated(writing(model, tokenizer.end)).generated_tokens == 1


def test_a_token_takes_the_time_of_its_answer_over_the_tokens_of_that(model, monkeypatch):
    """A clock that moves on by 12 seconds whenever it is read."""
    times = iter(range(0, 100_000, 12))
    monkeypatch.setattr(latency.time, "perf_counter", lambda: float(next(times)))
    grouped = examples_by_image(small_registry().create("dataset", "squares"), predictor(model).settings)

    def measured(chosen: int, measure: Callable = measure_latency) -> latency.Latency:
        asking = predictor(writing(model, chosen))
        images = asking.images(small_registry().create("dataset", "squares"))
        with asking.ready():
            return measure(asking, images, grouped)

    tokenizer = model.language_model.tokenizer
    assert measured(tokenizer.encode("a")[0]) == latency.Latency(12_000, 12_000 / MOST)
    assert measured(tokenizer.end) == latency.Latency(12_000, 12_000)


def test_of_two_rounds_the_lower_is_told_and_the_higher_beside_it(model):
    found = evaluated(model)
    assert 0 < found.token_latency_ms <= found.highest_token_latency_ms
    assert found.token_latency_ms <= found.latency_ms
