"""Variants of other parts get as many parameters as the baseline: the nearest there is, or a fault says how far."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.small import SMALL, small_registry, write
from workbench.config.experiment import Experiment, ExperimentError, load_experiment
from workbench.config.trial import Trial
from workbench.model.build import CompositionError, build_dataset, build_model, corpus_of, count_parameters
from workbench.runs.matching import Matching
from workbench.runs.model_size import ModelSizes
from workbench.runs.planner import Planner
from workbench.runs.trial_data import TrialData

GRID = (
    SMALL.replace("language_model: {name: gpt, width: 16, depth: 1", "language_model: {name: gpt, width: 32, depth: 2")
    + "grid:\n  fusion: [concat_projection, cross_attention, gated]\n  quantizer: [none, int8]\nseeds: [0, 1]\n"
)
WIDTH = "language_model.width"


def load(folder: Path, match: str, text: str = GRID, *overrides: str) -> Experiment:
    file = write(folder, f"{text}match: {match}\n")
    return load_experiment(file, small_registry(), overrides, sizer=Matching(small_registry(), file))


def width(trial: Trial) -> int:
    return trial.components["language_model"].options["width"]


def at_width(trial: Trial, value: int) -> int | None:
    """How many parameters the trial has there, counted from models that are really built."""
    component = trial.components["language_model"]
    wide = replace(component, options={**component.options, "width": value})
    other = replace(trial, components={**trial.components, "language_model": wide})
    try:
        return count_parameters(
            build_model(other, small_registry(), corpus_of(other, build_dataset(other, small_registry())))
        )
    except CompositionError:
        return None


def test_every_variant_is_the_nearest_there_is_to_the_baseline(tmp_path: Path):
    experiment = load(tmp_path, f"{{parameters: {WIDTH}}}")
    plain = experiment.trials[0]
    assert width(plain) == 32
    target = at_width(plain, 32)
    assert target is not None
    sizes = Planner(experiment, small_registry(), tmp_path / "results").sizes()
    for trial in experiment.trials:
        assert abs(sizes[trial.id].parameters / target - 1) <= 0.10
    for fusion in ("cross_attention", "gated"):
        trial = next(each for each in experiment.trials if each.axes["fusion"] == fusion)
        counts = {value: found for value in range(1, 40) if (found := at_width(trial, value)) is not None}
        assert sizes[trial.id].parameters == counts[width(trial)]
        assert abs(counts[width(trial)] - target) == min(abs(each - target) for each in counts.values())
        assert width(trial) < 32
        assert len(counts) < 20, "heads refuse widths that they do not divide"


def test_seeds_and_what_trains_nothing_have_the_same_size_and_share_their_training(tmp_path: Path):
    experiment = load(tmp_path, f"{{parameters: {WIDTH}}}")
    by_fusion: dict[str, set[int]] = {}
    for trial in experiment.trials:
        by_fusion.setdefault(trial.axes["fusion"], set()).add(width(trial))
    assert all(len(widths) == 1 for widths in by_fusion.values())
    planner = Planner(experiment, small_registry(), tmp_path / "results")
    trained = {planner.chains.chain(trial)[0].key for trial in experiment.trials}
    assert len(trained) == 6, "three fusions, two seeds; int8 trains nothing"


def test_what_was_set_is_told_and_labels_stay_the_users(tmp_path: Path):
    experiment = load(tmp_path, f"{{parameters: {WIDTH}}}")
    told = {each.axes["fusion"]: each for each in experiment.matched}
    assert list(told) == ["concat_projection", "cross_attention", "gated"]
    assert told["concat_projection"].settings == {}
    assert told["concat_projection"].reached == told["concat_projection"].aimed
    gated = next(trial for trial in experiment.trials if trial.axes["fusion"] == "gated")
    assert told["gated"].settings == {WIDTH: width(gated)}
    assert told["gated"].axes == {"fusion": "gated"}, "not what others have too, nor the seed"
    assert gated.spec()["language_model"]["width"] == width(gated)
    assert experiment.axes["fusion"] == ("concat_projection", "cross_attention", "gated")
    assert gated.label == "gated, none, 0"
    assert experiment.summary()["matched"][2]["settings"] == {WIDTH: width(gated)}


def test_ids_are_the_same_each_time_and_those_of_files_that_write_the_sizes_out(tmp_path: Path):
    ids = [trial.id for trial in load(tmp_path, f"{{parameters: {WIDTH}}}").trials]
    assert ids == [trial.id for trial in load(tmp_path, f"{{parameters: [{WIDTH}]}}").trials]
    plain = load_experiment(write(tmp_path, GRID), small_registry())
    assert ids[:4] == [trial.id for trial in plain.trials][:4], "the baseline stays as it is written"
    assert not set(ids[4:]) & {trial.id for trial in plain.trials}
    gated = width(load(tmp_path, f"{{parameters: {WIDTH}}}").trials[-1])
    by_hand = load_experiment(write(tmp_path, GRID), small_registry(), [f"base.language_model.width={gated}"])
    assert ids[-4:] == [trial.id for trial in by_hand.trials][-4:]


def test_the_baseline_is_the_one_that_the_file_names(tmp_path: Path):
    experiment = load(tmp_path, f"{{parameters: {WIDTH}}}", GRID + "baseline: {fusion: gated}\n")
    widths = {trial.axes["fusion"]: width(trial) for trial in experiment.trials}
    assert widths["gated"] == 32
    assert widths["concat_projection"] > 32


def test_of_several_options_the_one_that_comes_nearest_is_turned(tmp_path: Path):
    alone = {each.axes["fusion"]: each for each in load(tmp_path, f"{{parameters: {WIDTH}}}").matched}
    mlp = GRID.replace("connector: linear", "connector: {name: mlp, hidden: 600}")
    both = load(tmp_path, f"{{parameters: [encoder.mlp_ratio, {WIDTH}, connector.hidden]}}", mlp)
    told = {each.axes["fusion"]: each for each in both.matched}
    assert all(len(each.settings) == 1 for name, each in told.items() if name != "concat_projection")
    assert told["gated"].settings.keys() == {"connector.hidden"}, "a finer option than the width"
    assert abs(told["gated"].deviation) < abs(alone["gated"].deviation)


def test_a_variant_without_the_option_stays_as_it_is_where_it_is_near(tmp_path: Path):
    encoders = "[{name: vit, image_size: 16, patch_size: 8, width: 16, depth: 1, heads: 2}, {name: none, width: 16}]"
    text = f"{SMALL}grid:\n  encoder: {encoders}\n"
    with pytest.raises(ExperimentError) as error:
        load(tmp_path, "{parameters: encoder.mlp_ratio}", text)
    message, line = str(error.value), len(text.splitlines()) + 1
    assert message.startswith(
        f"{tmp_path / 'small.yaml'}:{line}: match.parameters: 'none' has none of encoder.mlp_ratio"
    )
    assert "fewer than the" in message
    large = text.replace("name: gpt, width: 16", "name: gpt, width: 64")
    told = load(tmp_path, "{parameters: encoder.mlp_ratio}", large).matched
    assert told[1].axes == {"encoder": "none"}
    assert told[1].settings == {}
    assert -0.1 < told[1].deviation < -0.01


def test_nothing_within_ten_percent_is_an_error_that_tells_the_nearest(tmp_path: Path):
    text = GRID.replace("depth: 2", "depth: 1")
    with pytest.raises(ExperimentError) as error:
        load(tmp_path, "{parameters: language_model.depth}", text)
    message = str(error.value)
    assert "match.parameters: 'gated' comes nearest with what is written: " in message
    assert "% more than the" in message
    assert "of the baseline 'concat_projection, none, 0'. Name an option that brings it within 10%" in message


def test_an_option_that_makes_nothing_larger_is_refused(tmp_path: Path):
    with pytest.raises(ExperimentError, match="'language_model.heads' of 'gpt' cannot be turned: more of it does not"):
        load(tmp_path, "{parameters: language_model.heads}")


def test_a_size_that_an_adapter_or_quantizer_refuses_is_passed_by(tmp_path: Path):
    """A value has to do for every trial of the model, those of other quantizers included."""
    wide = GRID.replace("width: 32", "width: 96")
    plain = load(tmp_path, f"{{parameters: {WIDTH}}}", wide)
    picky = load(tmp_path, f"{{parameters: {WIDTH}}}", wide.replace("int8]", "{name: multiples, of: 8}]"))
    free, bound = ({trial.axes["fusion"]: width(trial) for trial in each.trials} for each in (plain, picky))
    assert all(each % 8 == 0 for each in bound.values())
    assert any(each % 8 for each in free.values())
    for trial in picky.trials:
        assert width(trial) == bound[trial.axes["fusion"]], "the same under both quantizers"


def test_data_that_is_not_there_is_told_as_what_cannot_be_matched(tmp_path: Path):
    with pytest.raises(ExperimentError, match="match: the variants cannot be made alike: dataset 'llava_json'"):
        gone = "dataset: {name: llava_json, conversations: {train: gone.json}, images: gone}"
        load(tmp_path, f"{{parameters: {WIDTH}}}", GRID.replace("dataset: squares", gone))


def test_the_count_is_that_of_plans_and_records(tmp_path: Path):
    experiment = load(tmp_path, f"{{parameters: {WIDTH}}}")
    sizes = ModelSizes(small_registry(), TrialData(small_registry()))
    told = {each.axes["fusion"]: each.reached for each in experiment.matched}
    for trial in experiment.trials:
        assert sizes.of(trial).parameters == told[trial.axes["fusion"]]
