"""Evaluation: what each condition shows, what is counted, and in which order."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.small import PAIRS, build, load, small_registry
from workbench.config.phase import Evaluation
from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example
from workbench.data.collator import Collator
from workbench.data.image_loader import ImageLoader
from workbench.data.sampler import limited
from workbench.errors import UserError
from workbench.evaluation import evaluate as evaluation
from workbench.evaluation.evaluate import EvaluationResult, _mixed_batches, evaluate
from workbench.evaluation.partners import shuffled
from workbench.evaluation.training_split import TrainingSplit
from workbench.model.generation import generate_and_judge
from workbench.model.image_features import Features, encode_all, needed_by_evaluation
from workbench.model.predictor import Predictor
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.storage.conditions import CONTROLS

PROMPT = "<image>{question}\n"


class Numbered(Dataset):
    """Images of one even shade each, so that what was seen tells whose image it was; the same in every split."""

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
    chosen = Evaluation(max_new_tokens=2, **{"split": "test", "precision": "fp32", "controls": CONTROLS, **settings})
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
        pixels = image if isinstance(image, Tensor) else model.encoder.transform(image)
        batch = collate(pixels[None], [[example]])
        return float(model.loss(batch))


def test_every_loss_is_that_of_its_question_alone_under_every_condition(any_model):
    """A loop over single questions finds the right image, the even grey one, and another's for the shuffled."""
    dataset = Numbered(5)
    outcome, _ = ask(any_model, dataset, batch=2)
    grey = Image.new("RGB", (16, 16), (128, 128, 128))
    middle = torch.stack([any_model.encoder.transform(dataset.image(key)) for key in "01234"]).mean(0)
    for place, prediction in enumerate(outcome.predictions["image"]):
        example = prediction.example
        alone = {key: loss_by_loop(any_model, dataset, example, dataset.image(key)) for key in "01234"}
        assert max(alone.values()) - min(alone.values()) > 1e-3, "images matter to this model"
        own = alone.pop(example.image)
        assert prediction.loss == pytest.approx(own, abs=2e-5)
        empty = loss_by_loop(any_model, dataset, example, grey)
        assert outcome.predictions["no_image"][place].loss == pytest.approx(empty, abs=2e-5)
        mean = loss_by_loop(any_model, dataset, example, middle)
        assert outcome.predictions["mean_image"][place].loss == pytest.approx(mean, abs=2e-5)
        for control in ("shuffled", "other_answer"):
            loss = outcome.predictions[control][place].loss
            assert min(abs(loss - other) for other in alone.values()) < 2e-5


def test_how_probable_an_answer_was_belongs_to_its_question_and_its_image(any_model):
    dataset = Numbered(5)
    outcome, _ = ask(any_model, dataset, batch=2)
    collate = Collator(any_model.language_model.tokenizer, PROMPT, any_model.fusion.reads_text)
    for prediction in outcome.predictions["image"]:
        pixels = any_model.encoder.transform(dataset.image(prediction.example.image))[None]
        batch = collate(pixels, [[prediction.example]])
        [[alone]] = generate_and_judge(any_model, any_model.see(pixels), batch, 2).log_probabilities
        assert prediction.log_probability == pytest.approx(alone, abs=2e-4)
    told = {condition: [each.log_probability for each in found] for condition, found in outcome.predictions.items()}
    assert len({round(each, 3) for each in told["image"]}) > 1
    assert all(each < 0 for condition, found in told.items() if condition != "prior" for each in found)
    assert all(math.isnan(each) for each in told["prior"])


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 64])
@pytest.mark.parametrize("images", [2, 3, 5, 8])
def test_batches_hold_every_image_once_and_never_one_alone(images, batch):
    keys = [(str(number),) for number in range(images)]
    for seed in range(5):
        batches = list(_mixed_batches(dict.fromkeys(keys, ()), batch, seed))
        assert sorted(key for each in batches for key in each) == keys
        assert all(2 <= len(each) <= max(batch, 2) + 1 for each in batches)


@pytest.mark.parametrize("control", ["shuffled", "other_answer"])
@pytest.mark.parametrize(("images", "batch"), [(2, 1), (3, 2), (5, 2), (7, 3), (7, 64)])
def test_another_image_is_shown_and_never_a_question_s_own(model, control, images, batch):
    """Each question's answer names its image, so that it is known which one was shown."""
    shown = Shown()
    dataset = Numbered(images)
    outcome, _ = ask(model, dataset, batch=batch, controls=(control,))
    shown.remove()
    own, other = shown.by_row(("image", control))
    assert len(outcome.predictions[control]) == 2 * images
    assert outcome.left_out == {}
    value = {row.image: seen for row, seen in own}
    assert len(set(value.values())) == images
    assert all(value[example.image] != seen for example, seen in other)
    if control == "shuffled":  # images are exchanged, none is made up or shown twice as often
        assert Counter(seen for _, seen in other) == Counter(seen for _, seen in own)


@pytest.mark.parametrize("control", ["no_image", "mean_image"])
def test_an_even_control_is_the_same_for_all(model, control):
    shown = Shown()
    ask(model, Numbered(5), batch=3, controls=(control,))
    shown.remove()
    [even] = {seen for _, seen in shown.by_row(("image", control))[1]}
    assert even not in {seen for _, seen in shown.by_row(("image", control))[0]}


class Shown:
    """Notes, by the images' values, what the decoder is given of them, and of which questions."""

    def __init__(self):
        self._calls: list[tuple[str, list[tuple[Example, float]]]] = []
        self._ask = evaluation._Asking._ask
        noted, keep = self._calls, self._ask

        def ask(asking: Any, condition: str, vision: Any, examples: list[list[Example]], batch: Any) -> None:
            values = [float(each) for each in vision[0].double().sum((1, 2))]
            rows = [(example, seen) for row, seen in zip(examples, values, strict=True) for example in row]
            noted.append((condition, rows))
            keep(asking, condition, vision, examples, batch)

        evaluation._Asking._ask = ask  # pyright: ignore[reportAttributeAccessIssue]

    def remove(self) -> None:
        evaluation._Asking._ask = self._ask  # pyright: ignore[reportAttributeAccessIssue]

    def by_row(self, conditions: tuple[str, ...]) -> list[list[tuple[Example, float]]]:
        """Of each condition: every question with what was shown for it."""
        return [[row for name, rows in self._calls if name == each for row in rows] for each in conditions]


def test_predictions_are_grouped_by_image_in_the_order_of_the_data(model):
    outcome, progress = ask(model, Numbered(4, questions=3), batch=3)
    expected = [f"{image}/{number}" for image in range(4) for number in range(3)]
    for condition in ("image", *CONTROLS):
        assert [each.example.id for each in outcome.predictions[condition]] == expected
    assert progress[-1] == (4, 4)
    assert [done for done, _ in progress] == sorted({done for done, _ in progress})


def test_answers_do_not_depend_on_the_batch_nor_on_the_seed(any_model):
    first, _ = ask(any_model, Numbered(5), batch=2)
    second, _ = ask(any_model, Numbered(5), batch=64, seed=3)
    for condition in ("image", *CONTROLS):
        one, other = first.predictions[condition], second.predictions[condition]
        assert [each.answer for each in one] == [each.answer for each in other]
        assert [each.loss for each in one] == pytest.approx([each.loss for each in other], abs=2e-4, nan_ok=True)


@pytest.mark.parametrize("batch", [2, 64])
def test_several_images_a_question_are_exchanged_for_as_many_others(tmp_path, batch):
    """Sets of one, two and three images; the only set of three is shown those of other sets."""
    trial = load(tmp_path, "evaluation.controls=[shuffled, other_answer, mean_image]", text=PAIRS).trials[0]
    dataset, model = Sets(), build(trial).eval()
    outcome, _ = ask(model, dataset, batch=batch, controls=("shuffled", "other_answer", "mean_image"))
    every = [each.id for each in dataset.examples("test", "questions")]
    assert sorted(each.example.id for each in outcome.predictions["shuffled"]) == sorted(every)
    assert [each.example.id for each in outcome.predictions["other_answer"]] == every[:-1]
    assert outcome.left_out == {"other_answer": 1}
    for place, prediction in enumerate(outcome.predictions["shuffled"]):
        example = every_example(dataset)[prediction.example.id]
        own = loss_of_set(model, dataset, example, example.images)
        assert outcome.predictions["image"][place].loss == pytest.approx(own, abs=2e-5)
        others = shuffled(grouped(dataset)).shown[example.id]
        assert len(others) == len(example.images)
        assert not set(others) & set(example.images)
        assert prediction.loss == pytest.approx(loss_of_set(model, dataset, example, others), abs=2e-5)


class Sets(Numbered):
    """Questions about one, two or three of seven images."""

    SETS = (("0",), ("1",), ("2", "3"), ("4", "5"), ("0", "6", "2"))

    def __init__(self):
        super().__init__(7)

    def examples(self, split: str, task: str) -> list[Example]:
        return [
            Example(f"{number}", keys[0], "which are there?", (f"set {number}",), more=keys[1:])
            for number, keys in enumerate(self.SETS)
        ]


def every_example(dataset: Dataset) -> dict[str, Example]:
    return {each.id: each for each in dataset.examples("test", "questions")}


def grouped(dataset: Dataset) -> dict[tuple[str, ...], list[Example]]:
    return {each.images: [each] for each in dataset.examples("test", "questions")}


def loss_of_set(model: VisionLanguageModel, dataset: Dataset, example: Example, shown: tuple[str, ...]) -> float:
    """The mean loss of one answer with these images, alone in its batch."""
    collate = Collator(model.language_model.tokenizer, PROMPT, model.fusion.reads_text)
    views = torch.stack([model.encoder.transform(dataset.image(each)) for each in shown])
    with torch.no_grad():
        batch = collate(views, [[example]])
        return float(model.token_losses(model.see(batch.images, batch.views), batch).mean())


def test_kept_features_change_no_control(any_model):
    dataset = Numbered(5)
    images = ImageLoader(dataset, any_model.encoder.views)
    kept = Features(
        [encode_all(any_model.encoder, images, list("01234"), "fp32", torch.device("cpu"), lambda *_: None)]
    )
    chosen = Evaluation(max_new_tokens=2, precision="fp32", controls=CONTROLS)
    with_features = evaluate(Predictor(any_model, PROMPT, chosen), dataset, 0, lambda *_: None, kept)
    without, _ = ask(any_model, dataset)
    for condition in ("image", *CONTROLS):
        one, other = with_features.predictions[condition], without.predictions[condition]
        assert [each.answer for each in one] == [each.answer for each in other]
        assert [each.loss for each in one] == pytest.approx([each.loss for each in other], abs=1e-6, nan_ok=True)


def test_no_control_is_asked_that_is_not_named(model):
    outcome, _ = ask(model, Numbered(3), controls=())
    assert list(outcome.predictions) == ["image"]
    outcome, _ = ask(model, Numbered(3), controls=("shuffled",))
    assert list(outcome.predictions) == ["image", "shuffled"]


def test_the_prior_asks_no_model(model):
    outcome, _ = ask(model, Numbered(3), controls=("prior",))
    assert {each.answer for each in outcome.predictions["prior"]} == {"it is 0"}, "of equally frequent ones the first"
    assert all(math.isnan(each.loss) for each in outcome.predictions["prior"])


def test_a_mean_image_is_made_once_for_all_who_share_it(model):
    means: dict[Any, Tensor] = {}
    chosen = Evaluation(max_new_tokens=2, precision="fp32", controls=("mean_image",))
    for _ in range(2):
        dataset = Numbered(4)
        training = TrainingSplit(dataset, (), means, "the same")
        evaluate(Predictor(model, PROMPT, chosen), dataset, 0, lambda *_: None, None, training)
    assert list(means) == ["the same"]
    pixels = torch.stack([model.encoder.transform(Numbered(4).image(str(each))) for each in range(4)])
    torch.testing.assert_close(means["the same"][0], pixels.mean(0))


def test_the_same_seed_shuffles_the_same_way_and_another_one_otherwise(model):
    keys = [(str(number),) for number in range(9)]
    assert list(_mixed_batches(dict.fromkeys(keys, ()), 3, 1)) == list(_mixed_batches(dict.fromkeys(keys, ()), 3, 1))
    assert list(_mixed_batches(dict.fromkeys(keys, ()), 3, 1)) != list(_mixed_batches(dict.fromkeys(keys, ()), 3, 2))


def test_a_limit_draws_images_with_all_their_questions_the_same_for_every_seed(model):
    outcome, progress = ask(model, Numbered(8), limit=3)
    again, _ = ask(model, Numbered(8), limit=3, seed=7)
    asked = [each.example.id for each in outcome.predictions["image"]]
    assert asked == [each.example.id for each in again.predictions["image"]]
    chosen = [keys[0] for keys in limited([(str(each),) for each in range(8)], 3)]
    assert asked == [f"{image}/{number}" for image in chosen for number in range(2)]
    assert chosen != ["0", "1", "2"], "not the first"
    assert chosen == sorted(chosen), "in the order of the data"
    assert progress == [(3, 3)]


@pytest.mark.parametrize("limit", [None, 2, 3, 7])
def test_features_are_kept_of_the_very_images_that_a_limit_draws(limit):
    settings, dataset = Evaluation(limit=limit), Numbered(7)
    asked = [keys[0] for keys in evaluation.examples_by_image(dataset, settings)]
    assert needed_by_evaluation(settings).images(dataset) == tuple(asked)


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
