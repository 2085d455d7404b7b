"""Training counts every token that the decoder reads, and nothing else."""

from __future__ import annotations

import pytest

from tests.small import PAIRS, build, load, small_registry
from tests.training.phases import data_for, phase_of, trained
from workbench.training.loop import train
from workbench.training.training_set import training_examples

IMAGE = 4  # tokens of an image in `SMALL`


def of_all_images(model, separate: bool = False) -> int:
    """What is read of the 16 images of squares with their three questions each, each once."""
    tokens = 0
    for [_, *examples] in ((keys, *group) for keys, group in of_squares().items()):
        encoded = [data_for(model).collate.encode(each.question, each.answers[0]) for each in examples]
        shared = len(encoded[0].shared) - 1  # without `<image>`
        own = sum(len(each.prompt) + len(each.answer) - 1 for each in encoded)
        tokens += own + (len(encoded) if separate else 1) * (shared + IMAGE)
    return tokens


def of_squares() -> dict:
    return training_examples(small_registry().create("dataset", "squares"), ["questions"])


@pytest.mark.parametrize("fusion", ["concat_projection", "cross_attention", "bidirectional"])
@pytest.mark.parametrize("settings", [{"batch": 16}, {"batch": 8, "accumulate": 3, "epochs": 1, "steps": None}])
def test_a_pass_reads_every_text_and_every_image_once(tmp_path, fusion, settings):
    """In rows of its own where the image is changed by the text: then once a question."""
    model = build(load(tmp_path, f"base.fusion={fusion}").trials[0])
    found, _ = trained(model, **settings)
    assert found.tokens == of_all_images(model, separate=fusion == "bidirectional")


def test_two_passes_read_twice_as_much(tmp_path):
    model = build(load(tmp_path).trials[0])
    assert trained(model, batch=16, steps=2)[0].tokens == 2 * trained(model, batch=16, steps=1)[0].tokens


def test_every_image_of_an_example_counts(tmp_path):
    experiment = load(tmp_path, text=PAIRS)
    model = build(experiment.trials[0])
    dataset = small_registry().create("dataset", "pairs")
    grouped = training_examples(dataset, ["questions"])
    data = data_for(model, dataset)
    found = train(model, [], phase_of(batch=len(grouped)), data, 0, lambda _: None)
    tokens = 0
    for keys, examples in grouped.items():
        for place, each in enumerate(examples):
            encoded = data.collate.encode(each.question, each.answers[0])
            shared = len(encoded.shared) - 1 + IMAGE * len(keys) if place == 0 else 0
            tokens += shared + len(encoded.prompt) + len(encoded.answer) - 1
    assert found.tokens == tokens


def test_a_contrastive_phase_has_a_decoder_read_nothing(tmp_path):
    model = build(load(tmp_path).trials[0])
    found, _ = trained(model, objective="contrastive", tasks=("captions",), train=("encoder",))
    assert found.tokens == 0
