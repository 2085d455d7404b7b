"""Images from outside: how strange each looks, and what withholding answers gains."""

from __future__ import annotations

from pathlib import Path

import numpy
import pandas
import pytest
import torch
from PIL import Image
from torch.nn import functional

from tests.small import PLUGINS, SMALL, build, load, records, run_inside, small_registry, write
from workbench.cli.report import make_report
from workbench.config.experiment import ExperimentError
from workbench.config.phase import Evaluation
from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example, Prediction
from workbench.data.collator import Collator
from workbench.errors import UserError
from workbench.evaluation.out_of_distribution import (
    NEIGHBOUR,
    OUTSIDE,
    OutOfDistributionScores,
    auroc,
    out_of_distribution_scores,
    outside_images,
)
from workbench.evaluation.scored import score
from workbench.inference.load_trial import load_trial
from workbench.model.predictor import Predictor
from workbench.reports.disagreements import disagreements
from workbench.reports.group_tables import outside_table
from workbench.reports.metric_samples import WITH_IMAGE, auroc_sample
from workbench.reports.results_data import read_study
from workbench.runs.stages import chain
from workbench.statistics.bootstrap import image_draws

PROMPT = "<image>{question}\n"


class Noise(Dataset):
    """Images of noise, one question each."""

    def __init__(self, images: int = 6):
        self.count = images

    def examples(self, split: str, task: str) -> list[Example]:
        return [Example(f"{place}", f"{place}", "what?", ("noise",)) for place in range(self.count)]

    def splits(self):
        return ("validation",)

    def image(self, key: str) -> Image.Image:
        pixels = numpy.random.default_rng(int(key)).integers(0, 256, (16, 16, 3), dtype=numpy.uint8)
        return Image.fromarray(pixels)


@pytest.fixture
def model(tmp_path):
    return build(load(tmp_path, "base.fusion=concat_projection").trials[0]).eval()


def test_auroc_is_the_share_of_pairs_in_the_right_order():
    chance = numpy.random.default_rng(0)
    inside, outside = chance.integers(0, 6, 30).astype(float), chance.integers(2, 9, 20).astype(float)
    pairs = (outside[:, None] > inside).mean() + 0.5 * (outside[:, None] == inside).mean()
    assert auroc(inside, outside) == pytest.approx(pairs)
    assert (auroc(inside, inside), auroc(inside, inside + 10)) == (0.5, 1.0)


def test_an_auroc_is_resampled_over_images_with_the_questions_they_share():
    chance = numpy.random.default_rng(5)
    count = 60
    inside, outside = chance.normal(0, 1, count), chance.normal(1, 1, count)
    lines = [(WITH_IMAGE, inside[place], f"p{place // 2}") for place in range(count)]
    lines += [(OUTSIDE, outside[place], f"o{place // 2}") for place in range(count)]
    frame = pandas.DataFrame(
        [{"condition": what, "strangeness": {"energy": each}, "image": key} for what, each, key in lines]
    )
    nothing = frame.loc[frame["condition"] == WITH_IMAGE]
    sample = auroc_sample([frame, nothing], "energy", ["0", "0"], 7)
    assert sample.estimates[0] == pytest.approx(auroc(inside, outside))
    assert numpy.isnan(sample.estimates[1])
    for draw, found in zip(numpy.concatenate(list(image_draws(30, 7))), sample.replicates[:, 0], strict=True):
        taken = [question for image in range(30) for question in (2 * image, 2 * image + 1) * int(draw[image])]
        assert found == pytest.approx(auroc(inside[taken], outside[taken]))


def test_energy_and_distance_are_those_of_each_question_alone(model):
    squares = small_registry().create("dataset", "squares")
    predictor = Predictor(model, PROMPT, Evaluation(batch=3, precision="fp32"))
    found = out_of_distribution_scores(predictor, squares, Noise())
    collate = Collator(model.language_model.tokenizer, PROMPT)
    training = list(dict.fromkeys(each.image for each in squares.examples("train", "questions")))

    def pooled(image: Image.Image) -> torch.Tensor:
        return functional.normalize(model.encoder(model.encoder.transform(image)[None]).mean(1), dim=-1)[0]

    with torch.no_grad():
        known = torch.stack([pooled(squares.image(key)) for key in training])
        asked = [(each, squares.image(each.image)) for each in squares.examples("test", "questions")]
        shown = [(each, Noise().image(key)) for each, key in found.shown]
        for pairs, measured in ((asked, found.inside), (shown, found.outside)):
            assert len(pairs) == len(measured["energy"]) == 24
            for place, (example, image) in enumerate(pairs):
                batch = collate(model.encoder.transform(image)[None], [[example]], answered=False)
                energy = -float(model.logits(batch)[0, -1].logsumexp(-1))
                distances = sorted(float((pooled(image) - each).norm()) for each in known)
                assert measured["energy"][place] == pytest.approx(energy, abs=2e-4)
                assert measured["distance"][place] == pytest.approx(distances[NEIGHBOUR - 1], abs=2e-3)


def test_the_strangest_answers_are_withheld():
    """Four questions, a quarter withheld: the one of strangeness 4, which was answered wrongly."""
    example = Example("0", "0", "?", ("yes",))
    primary = score(
        small_registry().create("metric", "exact_match"),
        [Prediction(example, answer, 0.0) for answer in ("yes", "no", "no", "yes")],
    )
    strange = OutOfDistributionScores(
        {"energy": [1.0, 4.0, 2.0, 3.0], "distance": [0.0] * 4}, {"energy": [3.5, 5.0], "distance": [0.0, 1.0]}, []
    )
    numbers = strange.numbers(primary, withheld=0.25)
    assert {name.removeprefix("outside."): value for name, value in numbers.items()} == pytest.approx(
        {
            "energy.auroc": 7 / 8,
            "energy.withheld": 1.0,
            "energy.answered": 2 / 3,
            "distance.auroc": 6 / 8,
            "distance.withheld": 0.5,
            "distance.answered": 0.5,
        }
    )


def test_images_from_outside_come_from_the_split_there_is():
    assert outside_images(Noise(), Evaluation(), 4) == ["0", "1", "2", "3"]
    with pytest.raises(UserError, match=r"1 image.*'validation': give at least 2"):
        outside_images(Noise(1), Evaluation(), 4)


def test_an_experiment_tells_images_from_outside_and_its_report_shows_how_well(tmp_path: Path):
    experiment = load(tmp_path, "evaluation={split: test, outside: {name: squares, images: 9}, max_new_tokens: 1}")
    run_inside(experiment, tmp_path / "results")
    [record] = records(tmp_path)
    assert record["metrics"]["outside.energy.auroc"] == record["metrics"]["outside.distance.auroc"] == 0.5
    assert record["spec"]["evaluation"]["outside"] == {"name": "squares", "images": 9}
    finished = load_trial(record["id"], tmp_path / "results", [PLUGINS])
    assert (finished.trial.id, finished.trial.outside is None) == (record["id"], False)
    study = read_study(tmp_path / "results/small", resamples=5)
    table = outside_table(study)
    assert table
    assert [(row["measure"], row["auroc"].estimate) for row in table.rows] == [("energy", 0.5), ("distance", 0.5)]
    assert disagreements(study) == []
    [frame] = study.predictions.values()
    assert len(frame.loc[frame["condition"] == "outside"]) == len(frame.loc[frame["condition"] == "image"]) == 24


def test_other_images_from_outside_are_another_evaluation_and_no_other_training(tmp_path: Path):
    keys = []
    for images in (9, 10):
        trial = load(tmp_path, f"evaluation.outside={{name: squares, images: {images}}}").trials[0]
        assert trial.elsewhere.components["dataset"].options == {"images": images}
        keys.append([stage.key for stage in chain(trial, small_registry(), lambda _: "data")])
    assert (keys[0][0] == keys[1][0], keys[0][1] == keys[1][1]) == (True, False)


def test_images_from_outside_are_an_axis_that_trains_nothing_again(tmp_path: Path):
    few, many = ("{name: squares, images: 9}", "{name: squares, images: 10}")
    experiment = load(tmp_path, f"grid.evaluation.outside=[null, {few}, {many}]")
    labels = [trial.axes["evaluation.outside"] for trial in experiment.trials]
    assert labels == ["null", "squares(images=9)", "squares(images=10)"]
    keys = [[stage.key for stage in chain(each, small_registry(), lambda _: "data")] for each in experiment.trials]
    assert [len(set(column)) for column in zip(*keys, strict=True)] == [1, 3]
    run_inside(experiment, tmp_path / "results")
    measured = [any(name.startswith("outside.") for name in each["metrics"]) for each in records(tmp_path)]
    assert measured == [False, True, True]
    page = make_report(tmp_path / "results/small").read_text()
    assert "squares(images=10)" in page


def test_a_variant_has_the_images_from_outside_that_the_evaluation_names(tmp_path: Path):
    text = SMALL + "variants: [{quantizer: int8}, {evaluation.outside: null}, {evaluation.outside: pairs}]\n"
    trials = load(tmp_path, "evaluation.outside=squares", text=text).trials
    assert [trial.axes["evaluation.outside"] for trial in trials] == ["squares", "null", "pairs"]
    assert [trial.outside and trial.outside.name for trial in trials] == ["squares", None, "pairs"]


def test_a_dataset_from_outside_that_there_is_not_is_told(tmp_path: Path):
    write(tmp_path)
    with pytest.raises(ExperimentError, match="there is no dataset 'squire'. Did you mean 'squares'"):
        load(tmp_path, "evaluation.outside=squire")
