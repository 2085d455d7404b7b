"""FLOPs that are counted without weights are those of a count by hand, and of the same model on real numbers."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from tests.pretrained import reference, save
from tests.small import PAIRS, SMALL, build, load, small_registry
from workbench.config.trial import Trial
from workbench.runs import flops
from workbench.runs.flop_counter import flops_of
from workbench.runs.flops import FlopCounts, TrialFlops
from workbench.runs.trial_data import TrialData

WIDTH, TOKENS, PIXELS = 16, 4, 3 * 8 * 8  # of `SMALL`: of both towers, image tokens, numbers of a patch
WORDS = "base.language_model.vocabulary_size=600"  # every word is one token
LORA = SMALL.replace("metrics:", "    - {name: adapt, train: [adapter], steps: 1, batch: 3}\nmetrics:")
CONTRAST = (
    "base.phases=[{name: align, objective: contrastive, tasks: [captions], train: [encoder], steps: 3, batch: 5,"
    " accumulate: 2}]"
)


def counted(trial: Trial) -> TrialFlops:
    registry = small_registry()
    return FlopCounts(registry, TrialData(registry)).of(trial)


def linear(rows: int, inputs: int, outputs: int) -> int:
    """FLOPs of a product of rows with a matrix."""
    return 2 * rows * inputs * outputs


def encoder_by_hand() -> tuple[int, int]:
    """Of one image: of the first layer, and of everything behind it."""
    attention = linear(TOKENS, WIDTH, 3 * WIDTH) + 2 * linear(TOKENS, WIDTH, TOKENS) + linear(TOKENS, WIDTH, WIDTH)
    return linear(TOKENS, PIXELS, WIDTH), attention + 2 * linear(TOKENS, WIDTH, 4 * WIDTH)


def decoder_by_hand(rows: int, length: int, labelled: int, most: int, vocabulary: int) -> int:
    """Of rows of so many tokens, of which `labelled` have a label, and `most` in a row; its one block is the last, so
    its queries are those alone."""
    looking = rows * most
    attention = linear(rows * length, WIDTH, 3 * WIDTH) + 2 * linear(looking, WIDTH, length)
    block = attention + linear(looking, WIDTH, WIDTH) + 2 * linear(looking, WIDTH, 4 * WIDTH)
    return block + linear(labelled, WIDTH, vocabulary)


def sizes_of(trial: Trial, question: str, answer: str) -> tuple[int, int, int]:
    """The tokens of a question with its answer and image, its labels, and the vocabulary."""
    model = build(trial)
    encoded = model.collator(trial.prompt).encode(question, answer)
    text = len(encoded.shared) + len(encoded.prompt) + len(encoded.answer) - 1
    places = (*encoded.shared, *encoded.prompt).count(model.language_model.tokenizer.image)
    return text - places + TOKENS, len(encoded.answer), model.language_model.tokenizer.size


def test_an_answer_takes_what_a_count_by_hand_gives(tmp_path):
    trial = load(tmp_path, WORDS).trials[0]
    image = sum(encoder_by_hand()) + linear(TOKENS, WIDTH, WIDTH)
    by_color = {}
    for color in ("red", "green", "blue", "white"):
        length, labels, vocabulary = sizes_of(trial, "what color is it?", color)
        by_color[color] = image + decoder_by_hand(1, length, labels, labels, vocabulary)
    assert len(set(by_color.values())) == 1, "or it would have to be known which are drawn"
    assert counted(trial).answer == by_color["red"]


def resampler_by_hand(queries: int, depth: int) -> int:
    """Of one image: its tokens as the decoder has them, then queries that look at them and at each other."""
    keys = TOKENS + queries
    attention = linear(queries, WIDTH, WIDTH) + linear(keys, WIDTH, 2 * WIDTH) + 2 * linear(queries, WIDTH, keys)
    block = attention + linear(queries, WIDTH, WIDTH) + 2 * linear(queries, WIDTH, 4 * WIDTH)
    return linear(TOKENS, WIDTH, WIDTH) + depth * block


def test_queries_that_are_weights_are_counted_by_hand(tmp_path):
    """Their view goes through blocks as an activation, which torch's counter refuses in an answer where they train."""
    trial = load(tmp_path, WORDS, "base.connector={name: resampler, queries: 6, depth: 2}").trials[0]
    length, labels, vocabulary = sizes_of(trial, "what color is it?", "red")
    decoder = decoder_by_hand(1, length - TOKENS + 6, labels, labels, vocabulary)
    assert counted(trial).answer == sum(encoder_by_hand()) + resampler_by_hand(6, 2) + decoder


@pytest.mark.parametrize(
    "train", ["encoder, connector, fusion, language_model", "connector, language_model", "connector"]
)
def test_a_step_takes_what_a_count_by_hand_gives(tmp_path, train):
    phase = f"base.phases=[{{name: tune, tasks: [captions], train: [{train}], epochs: 2, batch: 16, precision: fp32}}]"
    trial = load(tmp_path, phase, WORDS).trials[0]
    shapes = [sizes_of(trial, "describe", f"a {color} square") for color in ("red", "green", "blue", "white")]
    assert len(set(shapes)) == 1, "no row is padded"
    [(length, labels, vocabulary), *_] = shapes
    first, behind = (16 * each for each in encoder_by_hand())
    connector = linear(16 * TOKENS, WIDTH, WIDTH)
    decoder = decoder_by_hand(16, length, 16 * labels, labels, vocabulary)
    products = 16 * 2 * linear(labels, WIDTH, length)  # of attention, where both factors are activations
    trains = len(train.split(", "))
    backward = {4: first + 2 * (behind + connector + decoder), 2: connector + 2 * decoder}
    backward[1] = connector + decoder + products  # frozen weights need no gradient
    step = connector + decoder + backward[trains] + (first + behind if trains == 4 else 0)
    [phase] = counted(trial).phases
    assert phase.step == step
    assert phase.encoding == (0 if trains == 4 else first + behind), "of 16 images, each once"
    assert (phase.steps, phase.planned) == (2, 2 * phase.step + phase.encoding)
    assert phase.after(1) == phase.step + phase.encoding


def test_a_frozen_encoder_encodes_what_was_seen_alone(tmp_path):
    phase = "base.phases=[{name: tune, train: [connector], steps: 3, batch: 4, precision: fp32}]"
    [phase] = counted(load(tmp_path, phase).trials[0]).phases
    assert phase.encoding == 16 * sum(encoder_by_hand())
    assert phase.planned == 3 * phase.step + 12 * sum(encoder_by_hand())


def test_what_is_held_out_is_not_encoded_for_training(tmp_path):
    def counted_with(epochs: int, share: float) -> flops.PhaseFlops:
        told = f"train: [connector], epochs: {epochs}, batch: 4, held_out: {share}, precision: fp32"
        [phase] = counted(load(tmp_path, f"base.phases=[{{name: tune, {told}}}]").trials[0]).phases
        return phase

    for share, trains in ((0, 16), (0.25, 12), (0.5, 8)):
        phase = counted_with(4, share)
        assert phase.steps == trains
        assert phase.encoding == trains * sum(encoder_by_hand())
        assert phase.after(trains // 4) == trains // 4 * phase.step + phase.encoding, "a pass has seen them all"


def test_changed_images_are_encoded_anew_in_each_step(tmp_path):
    phase = "base.phases=[{name: tune, train: [connector], steps: 3, batch: 4, precision: fp32}]"
    [kept] = counted(load(tmp_path, phase).trials[0]).phases
    [changed] = counted(load(tmp_path, phase, "base.dataset=flipped_squares").trials[0]).phases
    assert changed.encoding == 0
    assert changed.step == kept.step + 4 * sum(encoder_by_hand())


MODELS = {
    **{fusion: ((f"base.fusion={fusion}",), SMALL) for fusion in ("cross_attention", "gated", "bidirectional")},
    "llama": (("base.language_model={name: llama, width: 16, depth: 2, heads: 2, key_value_heads: 1}",), SMALL),
    "lora": (("base.adapter={name: lora, rank: 2}",), LORA),
    "quantized": (
        (
            "base.adapter={name: lora, rank: 2}",
            "base.quantizer=int8",
            "base.phases=[{name: tune, quantized: true, train: [adapter], steps: 2, batch: 3}]",
        ),
        SMALL,
    ),
    "several images": ((), PAIRS),
    "contrastive": ((CONTRAST,), SMALL),
    "blind": (("base.encoder=none", "base.phases.tune.train=[connector, language_model]"), SMALL),
}


@pytest.mark.parametrize("model", MODELS)
def test_shapes_take_as_many_as_numbers(tmp_path, model, monkeypatch):
    overrides, text = MODELS[model]
    trial = load(tmp_path, *overrides, text=text).trials[0]
    on_shapes = counted(trial)
    assert 0 < on_shapes.answer < on_shapes.training
    monkeypatch.setattr(flops, "REAL_SETS", 8)
    monkeypatch.setattr(flops.FlopCounts, "_count", lambda self, trial: self._count_for_real(trial))
    assert counted(trial) == on_shapes


def test_a_pretrained_decoder_with_narrow_weights_is_counted_on_shapes(tmp_path, monkeypatch):
    folder = save(reference("GPT2"), tmp_path / "decoder")
    monkeypatch.setattr(flops, "MOST_PARAMETERS", 10)
    found = []
    for dtype in ("bf16", "fp32"):
        decoder = f"{{name: huggingface, checkpoint: {folder}, dtype: {dtype}}}"
        found.append(counted(load(tmp_path, f"base.language_model={decoder}").trials[0]))
    assert found[0] == found[1]
    assert found[0].answer > 0


def test_a_plugin_that_looks_at_numbers_is_counted_for_real(tmp_path):
    trial = load(tmp_path, "base.encoder=staring", "base.phases.tune.train=[connector, language_model]").trials[0]
    assert counted(trial).answer > 0


def test_where_neither_will_do_it_is_not_known(tmp_path, monkeypatch):
    trial = load(tmp_path, "base.encoder=staring", "base.phases.tune.train=[connector, language_model]").trials[0]
    monkeypatch.setattr(flops, "MOST_PARAMETERS", 10)
    found = counted(trial)
    assert math.isnan(found.answer)
    assert math.isnan(found.training)


def test_seeds_are_counted_alike_and_longer_phases_take_more(tmp_path):
    experiment = load(tmp_path, "seeds=[0, 1]", "grid.phases.tune.steps=[2, 4]")
    found = [counted(trial) for trial in experiment.trials]
    assert len({each.answer for each in found}) == 1
    assert sorted(each.training / found[0].phases[0].step for each in found) == [2, 2, 4, 4]


def test_counting_draws_nothing(tmp_path):
    trial = load(tmp_path, "base.adapter={name: lora, rank: 2}", text=LORA).trials[0]
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    counted(trial)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_attention_is_counted_forward_and_backward(device):
    queries, keys, values = (torch.zeros(2, 4, length, 8, device=device, requires_grad=True) for length in (5, 7, 7))
    mask = torch.ones(2, 1, 5, 7, dtype=torch.bool)
    forward = 2 * (2 * 2 * 4 * 5 * 7 * 8)
    assert flops_of(lambda: functional.scaled_dot_product_attention(queries, keys, values, mask)) == forward
    whole = flops_of(lambda: functional.scaled_dot_product_attention(queries, keys, values, mask).sum().backward())
    assert whole == 3 * forward


def test_autocast_is_as_it_was_after_counting():
    before = torch.autocast, torch.is_autocast_enabled
    with pytest.raises(ZeroDivisionError):
        flops_of(lambda: 1 / 0)
    assert (torch.autocast, torch.is_autocast_enabled) == before
