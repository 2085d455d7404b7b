"""The text ability that is kept: measured on the decoder alone, before and after."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tests.small import load, records, run_inside, small_registry, write
from tests.tiny import FUSIONS, tiny_model
from workbench.config.experiment import ExperimentError
from workbench.data.annotations import DataError
from workbench.evaluation.text_perplexity import WINDOW, perplexity
from workbench.runs.stages import chain

TEXT = "is there a red shape? a blue circle in the image\n" * 40
FROZEN, ALL = "[encoder, connector, fusion]", "[encoder, connector, fusion, language_model]"


def test_perplexity_is_that_of_every_token_after_those_before_it_in_its_window():
    decoder = tiny_model("gated").language_model.eval()
    ids = decoder.tokenizer.encode(TEXT)[: WINDOW + 7]
    text = decoder.tokenizer.decode(ids)
    ids = decoder.tokenizer.encode(text)
    losses = []
    with torch.no_grad():
        for start in range(0, len(ids), WINDOW):
            window = [decoder.tokenizer.start, *ids[start : start + WINDOW]]
            for end in range(1, len(window)):
                seen = torch.tensor([window[:end]])
                mask = torch.ones(end, end, dtype=torch.bool).tril()[None, None]
                hidden = decoder(decoder.embed(seen), torch.arange(end)[None], mask)
                losses.append(-float(decoder.head(hidden[0, -1]).log_softmax(-1)[window[end]]))
    assert len(losses) > WINDOW
    assert perplexity(decoder, text) == pytest.approx(math.exp(sum(losses) / len(losses)), rel=1e-5)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_fusions_do_nothing_to_plain_text_however_open_they_are(fusion):
    model = tiny_model(fusion)
    before = perplexity(model.language_model, TEXT)
    with torch.no_grad():
        for parameter in model.fusion.parameters():
            parameter.add_(1.0)
    assert perplexity(model.language_model, TEXT) == before


def test_a_text_without_tokens_is_told():
    with pytest.raises(DataError, match="no tokens"):
        perplexity(tiny_model("gated").language_model, "")


def test_a_frozen_decoder_keeps_its_text_to_the_bit_and_a_trained_one_changes(tmp_path: Path):
    (tmp_path / "plain.txt").write_text(TEXT)
    experiment = load(
        tmp_path,
        "base.fusion=gated",
        f"grid={{phases.tune.train: [{FROZEN}, {ALL}]}}",
        "evaluation={split: test, text: plain.txt, limit: 3, max_new_tokens: 1}",
    )
    run_inside(experiment, tmp_path / "results")
    found = {record["axes"]["phases.tune.train"]: record["metrics"] for record in records(tmp_path)}
    frozen, trained = (found[label] for label in sorted(found, key=len))
    assert frozen["text_perplexity"] == frozen["text_perplexity.before"] == trained["text_perplexity.before"]
    assert trained["text_perplexity"] != trained["text_perplexity.before"]


def test_another_text_is_another_evaluation_and_no_other_training(tmp_path: Path):
    (tmp_path / "plain.txt").write_text(TEXT)
    trial = load(tmp_path, "evaluation.text=plain.txt").trials[0]
    first = [stage.key for stage in chain(trial, small_registry(), lambda _: "data")]
    (tmp_path / "plain.txt").write_text(TEXT + "more")
    second = [stage.key for stage in chain(trial, small_registry(), lambda _: "data")]
    assert (first[0] == second[0], first[1] == second[1]) == (True, False)


def test_a_text_that_is_not_there_is_told_before_anything_runs(tmp_path: Path):
    write(tmp_path)
    with pytest.raises(ExperimentError, match="there is no file .*nowhere.txt"):
        load(tmp_path, "evaluation.text=nowhere.txt")
