"""An encoder that sees nothing: a model with it trains, answers, and gives any image the same answer."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest
import torch
from PIL import Image

from tests.small import PLUGINS, build, load, records, run_inside, small_registry
from tests.tiny import FUSIONS, builtin_registry
from workbench.cli.report import make_report
from workbench.inference.export import export, read_exported
from workbench.inference.load_trial import load_trial
from workbench.inference.pipeline import Pipeline
from workbench.inference.seen_image import seen_image
from workbench.model.build import CompositionError
from workbench.reports.results_data import read_study
from workbench.runs.compatibility import Compatibility
from workbench.storage.conditions import BLIND

CONNECTORS = ("identity", "linear", "mlp", "pixel_shuffle", "resampler", "qformer")
CONTRAST = """base.phases=[
    {name: contrast, objective: contrastive, tasks: [captions], train: [encoder], steps: 1, batch: 2},
    {name: tune, train: [connector, fusion, language_model], steps: 1, batch: 2}]"""


@pytest.mark.parametrize("connector", CONNECTORS)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_under_every_fusion_and_connector_a_model_learns_and_no_image_changes_what_it_says(tmp_path, fusion, connector):
    trial = load(
        tmp_path, "base.encoder={name: none, width: 16}", f"base.fusion={fusion}", f"base.connector={connector}"
    ).trials[0]
    assert Compatibility(small_registry()).sizes_of([trial])[trial.id].parameters > 0
    model = build(trial)
    squares = small_registry().create("dataset", "squares")
    examples = [[each] for each in squares.examples("train", "questions")[:4]]
    collate = model.collator("<image>{question}\n")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(6):
        loss = model.loss(collate(torch.randn(4, 3, 16, 16), examples))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    shown = [collate(torch.randn(4, 3, 16, 16), examples) for _ in range(2)]
    with torch.no_grad():
        first, second = (model.eval().logits(each) for each in shown)
    assert torch.equal(first, second)


def test_contrast_cannot_train_it_and_leaving_the_phase_out_is_the_way(tmp_path):
    trials = load(tmp_path, CONTRAST, "base.encoder=none").trials
    with pytest.raises(CompositionError, match=r"'none' by contrast, but it gives the same tokens.*only: \{encoder: "):
        Compatibility(small_registry()).sizes_of(trials)
    left_out = CONTRAST.replace("steps: 1, batch: 2},", "steps: 1, batch: 2, only: {encoder: vit}},", 1)
    [trial] = load(tmp_path, left_out, "base.encoder=none").trials
    assert [phase.name for phase in trial.phases] == ["tune"]
    assert Compatibility(small_registry()).sizes_of([trial])


def test_what_it_sees_is_grey():
    encoder = builtin_registry().create("encoder", "none")
    assert set(seen_image(encoder.views, Image.new("RGB", (9, 5), "red")).tobytes()) == {128}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the same model was trained sighted and blind."""
    folder = tmp_path_factory.mktemp("blind")
    sighted = "{name: vit, image_size: 16, patch_size: 8, width: 16, depth: 1, heads: 2}"
    experiment = load(
        folder,
        f"grid={{encoder: [{sighted}, {{name: none, width: 16}}]}}",
        "evaluation.controls=[prior, mean_image, other_answer, no_image, shuffled]",
    )
    run_inside(experiment, folder / "results")
    return folder


def test_a_blind_trial_is_trained_and_says_so(finished):
    found = {record["axes"]["encoder"]: record for record in records(finished)}
    assert [found[name]["provenance"].get(BLIND) for name in ("vit", "none")] == [None, True]
    metrics = found["none"]["metrics"]
    assert metrics["loss"] == pytest.approx(metrics["loss.mean_image"]) == pytest.approx(metrics["loss.shuffled"])
    assert metrics["vqa_accuracy"] == metrics["vqa_accuracy.no_image"]
    assert found["none"]["provenance"]["controls"]["gain_against"] == "prior"


def test_the_report_sets_a_trial_beside_the_blind_one(finished):
    make_report(finished / "results/small", small_registry())
    table = pandas.read_csv(finished / "results/small/report/tables/blind.csv")
    assert list(table["encoder"]) == ["vit"]
    found = {record["axes"]["encoder"]: record["metrics"] for record in records(finished)}
    row, sighted, blind = table.iloc[0], found["vit"], found["none"]
    assert row["score"] == pytest.approx(sighted["vqa_accuracy"])
    assert row["over_blind"] == pytest.approx(sighted["vqa_accuracy"] - blind["vqa_accuracy"])
    assert row["gain"] == pytest.approx(sighted["vqa_accuracy"] - sighted["vqa_accuracy.no_image"])
    more = sighted["vqa_accuracy.no_image"] - blind["vqa_accuracy"]
    assert row["leakage"] == pytest.approx(max(0.0, more))
    page = (finished / "results/small/report/report.html").read_text()
    assert "What seeing adds" in page
    assert "arXiv:2403.20330" in page


def test_a_blind_trial_is_exported_and_answers_as_it_did(finished):
    [record] = [each for each in records(finished) if each["axes"]["encoder"] == "none"]
    trial = load_trial(record["id"], finished / "results", [PLUGINS])
    study = read_study(finished / "results/small", resamples=5, registry=small_registry())
    asked = study.predictions[record["id"]].iloc[0]
    export(trial, finished / "exported")
    exported = read_exported(finished / "exported", [PLUGINS])
    pipeline = Pipeline(exported.model(), exported.trial)
    for shade in ("red", "white"):
        assert pipeline.answers([Image.new("RGB", (20, 20), shade)], [asked["question"]]) == [asked["answer"]]
