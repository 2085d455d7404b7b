"""Evaluation: what each condition shows, what is counted, and in which order."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.small import build, load, small_registry
from workbench.config.phase import Evaluation
from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example
from workbench.contracts.metric import CONDITIONS
from workbench.data.collator import Collator
from workbench.errors import UserError
from workbench.evaluation.evaluate import EvaluationResult, _mixed_batches, evaluate
from workbench.model.predictor import Predictor
from workbench.model.vision_language_model import VisionLanguageModel

PROMPT = "<image>{question}\n"


class Numbered(Dataset):
    """Images that differ in one even shade, so that what was seen tells whose image it was."""

    def __init__(self, images: int, questions: int = 2):
        self.images = images
        self.questions = questions

    def examples(self, split: str, task: str) -> list[Example]:
        return [
            Example(f"{image}/{number}", str(image), f"what is number {number}?", (f"it is {image}",), f"g{number}")
            for number in range(self.questions)
            for image in range(self.images)
        ]

    def image(self, key: str) -> Any:
        return Image.new("RGB", (16, 16), (30 * int(key), 255 - 30 * int(key), 97 * int(key) % 256))


def ask(
    model: VisionLanguageModel, dataset: Dataset, seed: int = 0, **settings: Any
) -> tuple[EvaluationResult, list[tuple[int, int]]]:
    progress: list[tuple[int, int]] = []
    chosen = Evaluation(max_new_tokens=2, **{"precision": "fp32", **settings})
    outcome = evaluate(Predictor(model, PROMPT, chosen), dataset, seed, lambda *done: progress.append(done))
    return outcome, progress


@pytest.fixture
def model(tmp_path) -> VisionLanguageModel:
    return build(load(tmp_path).trials[0]).eval()


@pytest.fixture(params=["concat_projection", "cross_attention", "gated", "bidirectional"])
def any_model(request, tmp_path) -> VisionLanguageModel:
    """Connector and fusion are open, so that images matter."""
    model = build(load(tmp_path, f"base.fusion={request.param}").trials[0]).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in (*model.connector.parameters(), *model.fusion.parameters()):
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    return model


def loss_by_loop(model: VisionLanguageModel, dataset: Dataset, example: Example, image: Any) -> float:
    """The mean loss of one answer with one image, alone in its batch."""
    collate = Collator(model.language_model.tokenizer, PROMPT, model.fusion.reads_text)
    with torch.no_grad():
        batch = collate(model.encoder.transform(image)[None], [[example]])
        return float(model.loss(batch))


def test_every_loss_is_that_of_its_question_alone_under_every_condition(any_model):
    """A loop over single questions finds the right image, the even grey one, and another's for the shuffled."""
    dataset = Numbered(5)
    outcome, _ = ask(any_model, dataset, batch=2)
    grey = Image.new("RGB", (16, 16), (128, 128, 128))
    for place, prediction in enumerate(outcome.predictions["image"]):
        example = prediction.example
        alone = {key: loss_by_loop(any_model, dataset, example, dataset.image(key)) for key in "01234"}
        assert max(alone.values()) - min(alone.values()) > 1e-3, "images matter to this model"
        own = alone.pop(example.image)
        assert prediction.loss == pytest.approx(own, abs=2e-5)
        empty = loss_by_loop(any_model, dataset, example, grey)
        assert outcome.predictions["no_image"][place].loss == pytest.approx(empty, abs=2e-5)
        shuffled = outcome.predictions["shuffled"][place].loss
        assert min(abs(shuffled - other) for other in alone.values()) < 2e-5


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 64])
@pytest.mark.parametrize("images", [2, 3, 5, 8])
def test_batches_hold_every_image_once_and_never_one_alone(images, batch):
    keys = [(str(number),) for number in range(images)]
    for seed in range(5):
        batches = list(_mixed_batches(dict.fromkeys(keys, ()), batch, seed))
        assert sorted(key for each in batches for key in each) == keys
        assert all(2 <= len(each) <= max(batch, 2) + 1 for each in batches)


@pytest.mark.parametrize(("images", "batch"), [(2, 1), (3, 2), (5, 2), (7, 3), (7, 64)])
def test_the_shuffled_control_shows_no_image_its_own_questions(model, images, batch):
    shown = Shown(model)
    ask(model, Numbered(images), batch=batch)
    shown.remove()
    for true, shuffled in shown.pairs():
        assert len(true) == len(shuffled)
        assert all(mine != theirs for mine, theirs in zip(true, shuffled, strict=True))
        assert sorted(true) == sorted(shuffled), "images are exchanged, none is made up"


def test_the_grey_control_is_the_same_for_all(model):
    shown = Shown(model)
    ask(model, Numbered(5), batch=3)
    shown.remove()
    assert len({value for each in shown.by_condition("no_image") for value in each}) == 1


class Shown:
    """Notes, by the images' values, what the decoder is given of them: three conditions a batch, in their order."""

    def __init__(self, model: VisionLanguageModel):
        self.visions: list[tuple[float, ...]] = []
        self._model = model
        self._fuse = model.fusion.fuse_inputs
        model.fusion.fuse_inputs = self._note  # pyright: ignore[reportAttributeAccessIssue]

    def _note(self, vision: tuple[Tensor, None], inputs: Any) -> Any:
        self.visions.append(tuple(float(each) for each in vision[0].double().sum((1, 2))))
        return self._fuse(vision, inputs)

    def remove(self) -> None:
        del self._model.fusion.fuse_inputs

    def by_condition(self, condition: str) -> list[tuple[float, ...]]:
        """What was shown under a condition, batch by batch."""
        batches = [each for each in self.visions if len(each) > 1]  # the latency asks one image at a time
        return batches[CONDITIONS.index(condition) :: 3]

    def pairs(self) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
        return list(zip(self.by_condition("image"), self.by_condition("shuffled"), strict=True))


def test_predictions_are_grouped_by_image_in_the_order_of_the_data(model):
    outcome, progress = ask(model, Numbered(4, questions=3), batch=3)
    expected = [f"{image}/{number}" for image in range(4) for number in range(3)]
    for condition in CONDITIONS:
        assert [each.example.id for each in outcome.predictions[condition]] == expected
    assert progress[-1] == (4, 4)
    assert [done for done, _ in progress] == sorted({done for done, _ in progress})


def test_answers_do_not_depend_on_the_batch_nor_on_the_seed(any_model):
    first, _ = ask(any_model, Numbered(5), batch=2)
    second, _ = ask(any_model, Numbered(5), batch=64, seed=3)
    assert [each.answer for each in first.predictions["image"]] == [each.answer for each in second.predictions["image"]]
    assert [each.loss for each in first.predictions["image"]] == pytest.approx(
        [each.loss for each in second.predictions["image"]], abs=2e-4
    )


def test_the_same_seed_shuffles_the_same_way_and_another_one_otherwise(model):
    keys = [(str(number),) for number in range(9)]
    assert list(_mixed_batches(dict.fromkeys(keys, ()), 3, 1)) == list(_mixed_batches(dict.fromkeys(keys, ()), 3, 1))
    assert list(_mixed_batches(dict.fromkeys(keys, ()), 3, 1)) != list(_mixed_batches(dict.fromkeys(keys, ()), 3, 2))


def test_a_limit_takes_the_first_images_with_all_their_questions(model):
    outcome, progress = ask(model, Numbered(6), limit=3)
    assert [each.example.id for each in outcome.predictions["image"]] == ["0/0", "0/1", "1/0", "1/1", "2/0", "2/1"]
    assert progress == [(3, 3)]


@pytest.mark.parametrize(("images", "limit"), [(1, None), (0, None), (5, 1)])
def test_one_image_alone_cannot_be_evaluated(model, images, limit):
    with pytest.raises(UserError, match=r"split 'test' gives [01] image.*needs at least 2"):
        ask(model, Numbered(images), limit=limit)


def test_an_answer_takes_time(model):
    outcome = ask(model, Numbered(2))[0]
    assert 0 < outcome.latency_ms <= outcome.highest_latency_ms


def test_bf16_answers_are_close_to_those_of_fp32(model):
    full, half = ask(model, Numbered(4))[0], ask(model, Numbered(4), precision="bf16")[0]
    assert [each.loss for each in half.predictions["image"]] == pytest.approx(
        [each.loss for each in full.predictions["image"]], rel=2e-2
    )


def test_the_model_is_left_as_it_was(model):
    before = {name: each.clone() for name, each in model.state_dict().items()}
    ask(model.train(), small_registry().create("dataset", "squares"))
    assert not model.training
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
