"""A phase of training against its definition: what moves, how fast, on what, and what stays as it was."""

from __future__ import annotations

import copy
import functools
import math
import random
import time
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from tests.small import build, load, small_registry
from workbench.config.phase import Phase
from workbench.contracts.dataset import Dataset
from workbench.data.collator import Collator
from workbench.data.image_loader import ImageLoader
from workbench.data.image_views import distinct, gather
from workbench.data.sampler import Passes, sample
from workbench.errors import UserError
from workbench.model.build import attach_adapter, trainable
from workbench.model.image_features import NeededFeatures
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.training.curve import Step, Stopwatch
from workbench.training.loop import NotFiniteError, Trained, Training, compiling, train, training_examples
from workbench.training.objectives import TrainingData, pieces
from workbench.training.optimization import groups, schedule, steps_of
from workbench.training.resume import Snapshots
from workbench.training.validation import hold_out

ALL = ("encoder", "connector", "fusion", "language_model")


@pytest.fixture
def trial(tmp_path):
    return load(tmp_path).trials[0]


@pytest.fixture
def model(trial) -> VisionLanguageModel:
    return build(trial)


def phase_of(**settings: Any) -> Phase:
    usual = {"name": "tune", "train": ALL, "steps": 1, "batch": 4, "precision": "fp32"}
    return Phase.model_validate({**usual, **settings})


class Squares:
    """The dataset of the tests, counting which images it opens."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset
        self.opened: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.dataset, name)

    def image(self, key: str) -> Any:
        self.opened[key] += 1
        return self.dataset.image(key)


def data_for(model: VisionLanguageModel, dataset: Any = None) -> TrainingData:
    dataset = dataset or small_registry().create("dataset", "squares")
    collate = Collator(model.language_model.tokenizer, "<image>{question}\n", model.fusion.reads_text)
    return TrainingData(dataset, ImageLoader(dataset, model.encoder.views), collate)


def trained(
    model: VisionLanguageModel, seed: int = 0, adapted: list[nn.Parameter] | None = None, **settings: Any
) -> tuple[Trained, list[Step]]:
    steps: list[Step] = []
    summary = train(model, adapted or [], phase_of(**settings), data_for(model), seed, steps.append)
    return summary, steps


def moved(before: VisionLanguageModel, after: VisionLanguageModel) -> dict[str, float]:
    """By parameter name, the largest change of any entry."""
    old = dict(before.named_parameters())
    return {name: float((new - old[name]).abs().max().detach()) for name, new in after.named_parameters()}


@pytest.mark.parametrize(("warmup", "final"), [(0.0, 0.0), (0.1, 0.0), (0.25, 0.1), (1.0, 0.0)])
def test_the_rate_rises_in_a_line_and_falls_along_half_a_cosine(warmup, final):
    steps = 40
    phase = phase_of(steps=steps, warmup=warmup, final_rate=final)
    warm = warmup * steps
    for step in range(1, steps + 1):
        if step <= warm:
            expected = step / warm
        else:
            turn = math.pi * (step - warm) / (steps - warm)
            expected = final + (1 - final) * (1 + math.cos(turn)) / 2
        assert schedule(step, steps, phase) == pytest.approx(expected, abs=1e-12)
    assert max(schedule(step, steps, phase) for step in range(1, steps + 1)) <= 1
    if warmup < 1:
        assert schedule(steps, steps, phase) == pytest.approx(final, abs=1e-12)


def test_the_curve_has_every_step_with_its_rate_and_the_images_so_far(model):
    _, curve = trained(model, steps=5, rate=0.02, warmup=0.4)
    assert [step.step for step in curve] == [1, 2, 3, 4, 5]
    assert [step.images for step in curve] == [4, 8, 12, 16, 20]
    assert {(step.phase, step.steps) for step in curve} == {("tune", 5)}
    phase = phase_of(steps=5, rate=0.02, warmup=0.4)
    assert [step.rate for step in curve] == pytest.approx([0.02 * schedule(each, 5, phase) for each in range(1, 6)])


@pytest.mark.parametrize("name", ALL)
def test_only_the_parts_that_train_move_and_the_others_keep_every_bit(tmp_path, name):
    model = build(load(tmp_path, "base.fusion=cross_attention").trials[0])
    for parameter in model.fusion.parameters():  # open, so that gradients pass
        nn.init.normal_(parameter, std=0.2)
    before = copy.deepcopy(model)
    trained(model, train=(name,), steps=2, warmup=0.0, rate=1e-2, weight_decay=0.0)
    changes = moved(before, model)
    assert {part.partition(".")[0] for part, change in changes.items() if change > 0} == {name}
    for part, buffer in model.named_buffers():
        assert torch.equal(buffer, before.get_buffer(part))


def test_each_part_moves_at_its_own_rate(model):
    """The first step of Adam moves every entry that has a gradient by its rate, whatever the gradient's size."""
    before = copy.deepcopy(model)
    rates = {"encoder": 1e-4, "connector": 1e-2, "language_model": 1e-3}
    trained(model, train=tuple(rates), rate=rates, steps=1, warmup=1.0, weight_decay=0.0)
    changes = moved(before, model)
    for part, rate in rates.items():
        largest = max(change for name, change in changes.items() if name.startswith(part))
        assert largest == pytest.approx(rate, rel=2e-2)


def test_steps_are_those_of_torchs_AdamW_on_clipped_gradients(model):
    twin, dataset = copy.deepcopy(model), Squares(small_registry().create("dataset", "squares"))
    phase = phase_of(steps=3, rate=1e-2, warmup=1.0, weight_decay=0.1, clip=0.5)
    train(model, [], phase, data_for(model, dataset), 0, lambda step: None)
    taken = list(dataset.opened)  # in the order of the batches, which hold no image twice in one pass
    norms = _steps_by_hand(twin, [taken[:4], taken[4:8], taken[8:]], [1e-2 / 3, 2e-2 / 3, 1e-2])
    assert min(norms) > 0.5, "the gradients were large enough to be clipped"
    for (name, mine), theirs in zip(model.named_parameters(), twin.parameters(), strict=True):
        if not name.endswith("qkv.bias"):  # a key's bias has no gradient: Adam makes steps of its rounding errors
            torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-4, msg=lambda told, name=name: f"{name}: {told}")


def _steps_by_hand(model: VisionLanguageModel, batches: list[list[str]], rates: list[float]) -> list[float]:
    """The steps above written out: gradients scaled to norm 0.5; returns their norms before."""
    data, parameters = data_for(model), list(model.train().parameters())
    matrices = {"params": [each for each in parameters if each.ndim > 1], "weight_decay": 0.1}
    vectors = {"params": [each for each in parameters if each.ndim <= 1], "weight_decay": 0.0}
    optimizer = torch.optim.AdamW([matrices, vectors], betas=(0.9, 0.98))
    examples, norms = data.dataset.examples("train", "questions"), []
    for keys, rate in zip(batches, rates, strict=True):
        questions = [[each for each in examples if each.image == key] for key in keys]
        optimizer.zero_grad()
        model.loss(data.collate(torch.cat(data.images.plain(keys)), questions)).backward()
        gradients = [each.grad for each in parameters if each.grad is not None]
        norms.append(math.sqrt(sum(float(each.square().sum()) for each in gradients)))
        for gradient in gradients:
            gradient.mul_(0.5 / norms[-1])
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    return norms


def test_weight_decay_is_for_matrices_alone(model):
    phase = phase_of(weight_decay=0.3, rate=dict.fromkeys(ALL, 1e-3) | {"encoder": 1e-4})
    made = groups(trainable(model, phase, []), phase, ())
    for group in made:
        assert {parameter.ndim > 1 for parameter in group["params"]} == {group["weight_decay"] == 0.3}
        assert group["weight_decay"] in (0.3, 0.0)
    encoder = {id(parameter) for parameter in model.encoder.parameters()}
    for group in made:
        assert group["peak"] == (1e-4 if id(group["params"][0]) in encoder else 1e-3)
    assert sum(len(group["params"]) for group in made) == len(list(model.parameters()))


@pytest.mark.parametrize(
    ("settings", "images", "steps"),
    [
        ({"steps": 7}, 1000, 7),
        ({"steps": None, "epochs": 1.0}, 16, 4),
        ({"steps": None, "epochs": 2.5}, 16, 10),
        ({"steps": None, "epochs": 1.0, "batch": 5}, 16, 3),
        ({"steps": None, "epochs": 0.001}, 16, 1),
        ({"steps": None, "epochs": 1.0, "batch": 64}, 16, 1),
    ],
)
def test_epochs_are_passes_over_the_images(settings, images, steps):
    assert steps_of(phase_of(**settings), images) == steps


def test_a_phase_of_epochs_sees_as_many_images(model):
    summary, curve = trained(model, steps=None, epochs=1.5)
    assert (summary.steps, summary.images, summary.examples) == (6, 24, 72)
    assert len(curve) == 6
    assert summary.trainable_parameters == sum(map(torch.numel, model.parameters()))


def test_every_pass_takes_every_image_once_in_a_new_order():
    keys = [(str(number),) for number in range(10)]
    order = Passes(keys, random.Random(3))
    taken = [key for _ in range(10) for key in order.next(4)]
    passes = [taken[start : start + 10] for start in range(0, 40, 10)]
    assert all(sorted(each) == sorted(keys) for each in passes)
    assert len({tuple(each) for each in passes}) == 4
    assert keys == [(str(number),) for number in range(10)], "the caller's list is as it was"


def test_a_batch_larger_than_the_data_is_filled_from_several_passes():
    order = Passes([("a",), ("b",), ("c",)], random.Random(0))
    batches = [order.next(8) for _ in range(3)]
    assert [len(batch) for batch in batches] == [8, 8, 8]
    assert Counter(key for batch in batches for (key,) in batch) == {"a": 8, "b": 8, "c": 8}


def test_at_most_so_many_questions_of_an_image_are_asked_in_a_step(model):
    examples = [example for example in small_registry().create("dataset", "squares").examples("train", "questions")][:3]
    for most in (1, 2):
        drawn = [tuple(each.id for each in sample(examples, most, random.Random(seed))) for seed in range(30)]
        assert {len(set(each)) for each in drawn} == {most}
        assert {id_ for each in drawn for id_ in each} == {each.id for each in examples}
    assert sample(examples, 3, random.Random(0)) == sample(examples, None, random.Random(0)) == examples
    assert trained(model, steps=4, questions=2)[0].examples == 4 * 4 * 2


def test_a_loss_that_is_no_number_stops_the_phase_and_is_told_with_phase_and_step(model):
    done: list[int] = []

    def spoil_after_two(step: Step) -> None:
        done.append(step.step)
        if step.step == 2:
            next(model.connector.parameters()).data.fill_(math.nan)

    with pytest.raises(NotFiniteError, match=r"became nan in phase 'burn' at step 3\. Lower its rate"):
        train(model, [], phase_of(name="burn", steps=9), data_for(model), 0, spoil_after_two)
    assert done == [1, 2]


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(model):
    twin, other = copy.deepcopy(model), copy.deepcopy(model)
    trained(model, seed=4, steps=3, questions=2)
    trained(twin, seed=4, steps=3, questions=2)
    trained(other, seed=5, steps=3, questions=2)
    for (name, mine), same in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine, same), name
    assert max(moved(model, other).values()) > 1e-5


class Augmenting(Squares):
    """Says that it augments, and changes nothing: the encoder then runs in every step."""

    augments = True

    def augment(self, image: Any, random: random.Random) -> Any:
        return image


def test_remembered_tokens_of_a_frozen_encoder_train_as_recomputed_ones_do(model):
    dataset = small_registry().create("dataset", "squares")
    phase = phase_of(train=("connector", "language_model"), steps=6, rate=1e-2)
    twin = copy.deepcopy(model)
    curves: list[list[Step]] = [[], []]
    train(model, [], phase, data_for(model, dataset), 0, curves[0].append)
    train(twin, [], phase, data_for(twin, Augmenting(dataset)), 0, curves[1].append)
    assert [each.loss for each in curves[0]] == pytest.approx([each.loss for each in curves[1]], abs=1e-5)
    assert curves[0][-1].loss < curves[0][0].loss


def test_a_frozen_encoder_opens_each_image_once(model):
    dataset = Squares(small_registry().create("dataset", "squares"))
    data = data_for(model, dataset)
    train(model, [], phase_of(train=("connector",), steps=12), data, 0, lambda step: None)
    assert set(dataset.opened.values()) == {1}
    assert len(dataset.opened) == 16


def test_a_frozen_encoder_runs_without_dropout(model):
    model.encoder.register_forward_hook(
        lambda module, arguments, tokens: nn.functional.dropout(tokens, 0.9, module.training)
    )
    before = model.encoder.eval()(torch.ones(1, 3, 16, 16))
    seen: list[Tensor] = []
    model.connector.register_forward_hook(lambda module, arguments, tokens: seen.append(arguments[0]))
    trained(model, train=("connector",), steps=1)
    assert (seen[0] == 0).float().mean() < 0.5
    torch.testing.assert_close(model.encoder(torch.ones(1, 3, 16, 16)), before)


def test_an_adapter_inside_the_encoder_trains_though_the_encoder_is_frozen(tmp_path):
    trial = load(tmp_path, "base.adapter={name: lora, rank: 2, targets: ['encoder.*']}").trials[0]
    model = build(trial)
    _, adapted = attach_adapter(trial, small_registry(), model)
    before = [each.detach().clone() for each in adapted]
    trained(model, adapted=adapted, train=("adapter",), steps=3, rate=1e-2, warmup=0.0)
    assert adapted
    assert all((new - old).abs().max() > 0 for new, old in zip(adapted, before, strict=True))


def test_lora_leaves_the_base_as_it_was_and_counts_only_its_own_parameters(tmp_path):
    trial = load(tmp_path, "base.adapter={name: lora, rank: 2}").trials[0]
    model = build(trial)
    base = {name: each.detach().clone() for name, each in model.named_parameters()}
    _, adapted = attach_adapter(trial, small_registry(), model)
    summary, _ = trained(model, adapted=adapted, train=("adapter",), steps=2, warmup=0.0, rate=1e-2)
    assert summary.trainable_parameters == sum(map(torch.numel, adapted))
    for name, each in model.named_parameters():
        if name in base:
            assert torch.equal(each, base[name]), name
    assert all(each.grad is not None for each in adapted)


def test_bf16_is_close_to_fp32_and_leaves_the_weights_in_fp32(model):
    twin = copy.deepcopy(model)
    _, full = trained(model, steps=4, rate=1e-3)
    _, half = trained(twin, steps=4, rate=1e-3, precision="bf16")
    assert [each.loss for each in half] == pytest.approx([each.loss for each in full], rel=2e-2)
    assert [each.loss for each in half] != [each.loss for each in full]
    assert {each.dtype for each in twin.parameters()} == {torch.float32}


def test_a_phase_that_trains_what_has_no_parameters_is_refused(model):
    assert not list(model.fusion.parameters())
    with pytest.raises(UserError, match="phase 'tune' trains fusion, where there are no parameters"):
        trained(model, train=("fusion",))


def test_a_phase_without_examples_is_refused(model):
    with pytest.raises(UserError, match="no training examples for the tasks questions"):
        train(model, [], phase_of(), data_for(model, _Empty()), 0, lambda step: None)


class _Empty(Dataset):
    def examples(self, split: str, task: str) -> list[Any]:
        return []


def test_a_contrastive_phase_moves_the_encoder_alone_and_its_loss_falls(model):
    before = copy.deepcopy(model)
    settings = {"objective": "contrastive", "tasks": ("captions",), "train": ("encoder",)}
    summary, curve = trained(model, **settings, steps=25, batch=8, rate=3e-3)
    changes = moved(before, model)
    assert {name.partition(".")[0] for name, change in changes.items() if change > 0} == {"encoder"}
    assert summary.trainable_parameters == sum(map(torch.numel, model.encoder.parameters()))
    assert curve[-1].loss < curve[0].loss - 0.2


def test_training_ends_in_evaluation_mode(model):
    trained(model)
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("count", [2, 3, 8])
def test_pieces_of_a_batch_give_the_gradient_of_the_whole(model, count):
    """Pieces with other numbers of answer tokens: a plain mean of their means would be another gradient."""
    twin = copy.deepcopy(model)
    whole = Training(model, [], phase_of(batch=8, steps=1, questions=2), data_for(model), 0)
    cut = Training(twin, [], phase_of(batch=8, steps=1, questions=2, accumulate=count), data_for(twin), 0)
    keys = whole.passes.next(8)
    questions = [whole.grouped[key][: 1 + place % 3] for place, key in enumerate(keys)]
    one, other = (each._gradients(each._prepare(keys, questions).pieces) for each in (whole, cut))
    torch.testing.assert_close(other, one)
    for mine, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(theirs.grad, mine.grad, rtol=1e-4, atol=1e-6)
    weights = [cut.objective.prepare(keys[each], questions[each], None).weight for each in pieces(8, count)]
    assert count == 8 or len(set(weights)) > 1


def test_pieces_hold_every_image_once_and_differ_by_one_at_most():
    for size, count in ((8, 3), (32, 5), (7, 7), (4, 1)):
        cut = [list(range(size))[each] for each in pieces(size, count)]
        assert [place for piece in cut for place in piece] == list(range(size))
        assert max(map(len, cut)) - min(map(len, cut)) <= 1


def test_fp16_is_close_to_fp32_and_leaves_the_weights_in_fp32(model):
    twin = copy.deepcopy(model)
    _, full = trained(model, steps=4, rate=1e-3)
    _, half = trained(twin, steps=4, rate=1e-3, precision="fp16")
    assert [each.loss for each in half] == pytest.approx([each.loss for each in full], rel=1e-2)
    assert [each.loss for each in half] != [each.loss for each in full]
    assert {each.dtype for each in twin.parameters()} == {torch.float32}


def test_fp16_clips_the_gradient_itself_and_not_its_scaled_up_form(model):
    """AdamW does not mind the size of a gradient: what is left in `grad` shows it."""
    training = Training(model, [], phase_of(precision="fp16", clip=0.01), data_for(model), 0)
    training.step()
    gradients = [each.grad for each in model.parameters() if each.grad is not None]
    assert math.sqrt(sum(float(each.square().sum()) for each in gradients)) == pytest.approx(0.01, rel=1e-2)


def test_what_is_held_out_does_not_train_and_depends_on_the_seed_alone():
    grouped = training_examples(small_registry().create("dataset", "squares"), ["questions"])
    rest, held = hold_out(grouped, 0.25, seed=1)
    assert len(held) == 4
    assert not set(rest) & set(held)
    assert {**rest, **held} == grouped
    assert set(hold_out(dict(reversed(grouped.items())), 0.25, seed=1)[1]) == set(held)
    assert set(held) < set(hold_out(grouped, 0.5, seed=1)[1])
    assert set(hold_out(grouped, 0.25, seed=2)[1]) != set(held)
    assert len(hold_out(grouped, 0.001, seed=1)[1]) == 1
    assert len(hold_out(grouped, 0.999, seed=1)[0]) == 1
    assert hold_out(grouped, 0.0, seed=1) == (grouped, {})


def test_a_share_of_the_data_holds_every_smaller_share_and_trains_on_nothing_else(model):
    dataset = small_registry().create("dataset", "squares")
    everything, half, quarter = (training_examples(dataset, ["questions"], share) for share in (1.0, 0.5, 0.25))
    assert [len(each) for each in (everything, half, quarter)] == [16, 8, 4]
    assert set(quarter) < set(half) < set(everything)
    assert all(everything[key] == examples for key, examples in half.items())
    seen = Squares(dataset)
    train(model, [], phase_of(data_share=0.25, steps=4, batch=2), data_for(model, seen), 0, lambda step: None)
    assert set(seen.opened) == set(distinct(quarter))
    assert NeededFeatures("train", ("questions",), None, "fp32", 0.25).images(dataset) == tuple(distinct(quarter))


def test_held_out_images_are_opened_for_validation_alone(model):
    dataset = Squares(small_registry().create("dataset", "squares"))
    phase = phase_of(held_out=0.25, steps=3)
    _, held = hold_out(training_examples(dataset.dataset, phase.tasks), 0.25, 0)
    opened: list[set[str]] = []
    train(model, [], phase, data_for(model, dataset), 0, lambda step: opened.append(set(dataset.opened)))
    assert opened[0]
    assert not opened[1] & set(distinct(held))
    assert set(distinct(held)) <= opened[2], "the last step is followed by a validation"


def test_the_validation_loss_is_the_mean_over_all_held_out_answer_tokens(model):
    summary, curve = trained(model, held_out=0.4, steps=5, validate_every=2, batch=4)
    assert [each.validation_loss is not None for each in curve] == [False, True, False, True, True]
    data = data_for(model)
    _, held = hold_out(training_examples(data.dataset, ["questions"]), 0.4, 0)
    assert len(held) == 6
    with torch.no_grad():
        expected = model.loss(data.collate(gather(list(held), data.images.plain)[0], list(held.values())))
    assert curve[-1].validation_loss == pytest.approx(float(expected), rel=1e-5)
    assert summary.curve == curve


def test_validation_changes_no_bit_of_the_training(model):
    twin = copy.deepcopy(model)
    _, seldom = trained(model, held_out=0.3, steps=4)
    _, often = trained(twin, held_out=0.3, steps=4, validate_every=1)
    assert [each.loss for each in seldom] == [each.loss for each in often]
    assert max(moved(model, twin).values()) == 0


def test_a_phase_stops_when_its_patience_is_at_an_end(model):
    watched = {"held_out": 0.3, "validate_every": 2, "patience": 3, "steps": 60, "rate": 1.0, "warmup": 0.0}
    summary, curve = trained(model, **watched)
    losses = [each.validation_loss for each in curve if each.validation_loss is not None]
    assert summary.steps == len(curve) < 60
    best = losses.index(min(losses))
    assert len(losses) == best + 1 + 3
    assert curve[-1].steps == 60


def test_the_best_weights_are_kept_with_their_losses_and_the_phase_can_finish_with_them(model):
    twin = copy.deepcopy(model)
    settings = {"held_out": 0.3, "validate_every": 1, "steps": 6, "rate": 0.3, "warmup": 0.0, "keep_best": 2}
    last, curve = trained(model, **settings)
    best, _ = trained(twin, **settings, finish_with="best")
    ranked = sorted((each.validation_loss, each.step) for each in curve)
    assert ranked[0][1] != 6, "the last weights are not the best"
    assert [(each.validation_loss, each.step) for each in best.kept[:2]] == ranked[:2]
    assert 6 in [each.step for each in best.kept]
    for name, weight in twin.named_parameters():
        assert torch.equal(weight, best.kept[0].weights[name])
    final = next(each for each in last.kept if each.step == 6)
    for name, weight in model.named_parameters():
        assert torch.equal(weight, final.weights[name])
    data = data_for(twin)
    _, held = hold_out(training_examples(data.dataset, ["questions"]), 0.3, 0)
    with torch.no_grad():
        loss = float(twin.loss(data.collate(gather(list(held), data.images.plain)[0], list(held.values()))))
    assert loss == pytest.approx(ranked[0][0], rel=1e-5)


def test_nothing_is_kept_that_was_not_asked_for(model):
    assert trained(model, held_out=0.3, validate_every=1, steps=3)[0].kept == []


def test_a_compiled_phase_builds_graphs_and_its_losses_are_those_of_eager_code(model, tmp_path, monkeypatch):
    """Everything but the generated C++, which takes a minute: dynamo and the backward graph are real. Rows of other
    lengths in each batch, and a resume, must not make torch give up."""
    torch._dynamo.reset()
    counters.clear()
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    twin, half = copy.deepcopy(model), copy.deepcopy(model)
    settings = {"steps": 6, "questions": 2, "train": ("connector", "language_model")}
    _, eager = trained(model, **settings)
    phase, curve = phase_of(**settings, compile=True), []
    train(twin, [], phase, data_for(twin), 0, curve.append, Snapshots(tmp_path / "all", every=0))
    assert counters["stats"]["unique_graphs"] > 0
    assert not counters["recompile_limit"]
    assert [each.loss for each in curve] == pytest.approx([each.loss for each in eager], rel=1e-4)
    sorted((tmp_path / "all").iterdir())[-1].unlink()  # as if it had been killed before the end
    resumed: list[Step] = []
    train(half, [], phase, data_for(half), 0, resumed.append, Snapshots(tmp_path / "all", every=0))
    assert [each.step for each in resumed] == [6]
    assert resumed[0].loss == curve[-1].loss
    assert max(moved(twin, half).values()) == 0


def test_a_model_that_torch_compiles_again_and_again_is_told(monkeypatch):
    torch._dynamo.reset()
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 2)
    grown = torch.compile(lambda tensor, name: tensor + len(name), backend="eager", dynamic=False)
    told = pytest.raises(UserError, match="phase 'tune' again and again, and gave up. Leave out its 'compile'")
    with told, compiling(True, "tune"):
        for length in range(9):
            grown(torch.ones(2), "x" * length)
    torch._dynamo.reset()


def test_what_a_phase_computed_is_told_apart_from_the_time_it_waited():
    watch = Stopwatch(seconds=7.0, computing=3.0)
    time.sleep(0.05)
    seconds, computing = watch.read()
    assert 7.05 <= seconds < 8
    assert 3.0 <= computing < 3.05, "to sleep is not to compute"
    sum(each * each for each in range(200_000))
    assert watch.read()[1] > computing


@pytest.mark.parametrize("augments", [False, True])
def test_images_made_by_several_threads_are_the_same(model, augments):
    dataset = small_registry().create("dataset", "squares")
    keys = [key for [key] in training_examples(dataset, ("questions",))]
    found = []
    for threads in (1, 4):
        source: Any = Noisy(dataset) if augments else dataset
        images = ImageLoader(source, model.encoder.views, threads=threads)
        asked = [*keys[:5], *keys[3:9], keys[0]]
        found.append([*images.augmented(asked, random.Random(0)), *images.plain(asked), *images.once(keys[:3])])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
    assert torch.equal(found[0][0], found[0][11]) != augments, "the same image, augmented twice"


class Noisy(Squares):
    """Another shift each time."""

    augments = True

    def augment(self, image: Any, chance: random.Random) -> Any:
        return image.rotate(90 * chance.randrange(4)).point([chance.randrange(256) for _ in range(3 * 256)])
