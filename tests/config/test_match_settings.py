"""What `match` may say, and what of it cannot be: told with line and key before anything is sized."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.experiment_files import GOOD, fake_registry, load, message_of, problems_of
from workbench.config.experiment import load_experiment
from workbench.config.match_settings import MatchSettings, Sized, Sizing
from workbench.errors import UserError

FUSIONS = GOOD.replace("grid:\n  quantizer: [exact, rough]\n", "grid:\n  fusion: [glue, {name: tape, strength: 0.1}]\n")


@pytest.mark.parametrize(
    ("match", "key", "advice"),
    [
        ("parameters", "match", "name the options that may be turned, as {parameters: [language_model.width]}"),
        ("flopz", "match", "this must be a mapping of keys"),
        ("{flopz: tune}", "match.flopz", "Did you mean 'flops'?"),
        ("{parameters: []}", "match.parameters", "this must not be empty"),
        ("{}", "match", "this matches nothing"),
        ("{flops: tune, time: tune}", "match", "keep one of them"),
        ("{flops: tuna}", "match.flops", "Did you mean 'tune'?"),
        ("{time: tuna}", "match.time", "Phases: align, tune"),
        ("{parameters: width}", "match.parameters", "Write KIND.OPTION"),
        ("{parameters: adapter.rank}", "match.parameters", "'adapter.rank' cannot be turned"),
        ("{parameters: [language_model.widht]}", "match.parameters.0", "Did you mean 'width'?"),
        ("{parameters: [parrot.width]}", "match.parameters.0", "'parrot.width' cannot be turned"),
        ("{parameters: [fusion.strength]}", "match.parameters.0", "only whole numbers can be turned"),
        ("{parameters: [fusion.count]}", "match.parameters.0", "no fusion of this experiment has an option 'count'"),
    ],
)
def test_what_cannot_be_matched_is_refused_with_its_line(tmp_path: Path, match: str, key: str, advice: str):
    message = message_of(tmp_path, f"{FUSIONS}match: {match}\n")
    line = len(FUSIONS.splitlines()) + 1
    assert message.startswith(f"{tmp_path / 'holds.yaml'}:{line}: {key}"), message
    assert advice in message
    assert len(problems_of(message)) == 1


@pytest.mark.parametrize(
    ("grid", "match", "advice"),
    [
        ("language_model.width: [16, 32]", "{parameters: language_model.width}", "'language_model.width' is an axis"),
        (
            "language_model: [parrot, {name: parrot, width: 32}]",
            "{parameters: language_model.width}",
            "with the name 'parrot' differ in 'width'",
        ),
        ("phases.tune.epochs: [1, 2]", "flops", "'phases.tune.epochs' is an axis"),
        ("phases.align.steps: [1, 2]", "{time: align}", "'phases.align.steps' is an axis"),
    ],
)
def test_what_the_axes_vary_is_not_turned(tmp_path: Path, grid: str, match: str, advice: str):
    text = GOOD.replace("quantizer: [exact, rough]", grid)
    message = message_of(tmp_path, f"{text}match: {match}\n")
    assert advice in message
    assert ": match." in message


@pytest.mark.parametrize("match", ["flops", "{flops: align}", "{time: align}"])
def test_where_a_phase_may_stop_early_all_of_training_has_no_length_to_match(tmp_path: Path, match: str):
    watched = "epochs: 2\n      held_out: 0.1\n      validate_every: 1\n      patience: 1"
    text = GOOD.replace("epochs: 2", watched)
    assert "'tune' may stop early" in message_of(tmp_path, f"{text}match: {match}\n")


@pytest.mark.parametrize(
    ("match", "told"), [("time", "there are no phases"), ("{flops: tune}", "there is no phase 'tune'. Phases: none")]
)
def test_without_phases_there_is_no_length(tmp_path: Path, match: str, told: str):
    text = GOOD[: GOOD.index("  phases:")] + "  phases: []\n" + GOOD[GOOD.index("metrics:") :]
    assert told in message_of(tmp_path, f"{text}match: {match}\n")


def test_the_size_of_a_model_does_not_depend_on_when_a_phase_stops(tmp_path: Path):
    watched = "epochs: 2\n      held_out: 0.1\n      validate_every: 1\n      patience: 1"
    text = FUSIONS.replace("epochs: 2", watched)
    assert "sizer" in _not_sized(tmp_path, f"{text}match: {{parameters: language_model.width}}\n")


def test_a_match_is_never_passed_by(tmp_path: Path):
    """Who loads a file without what sizes its trials gets no unsized ones."""
    assert "sizer" in _not_sized(tmp_path, FUSIONS + "match: {parameters: [encoder.width, language_model.width]}\n")


def test_a_bare_word_sets_the_last_phase_and_one_option_is_a_list_of_one(tmp_path: Path):
    seen: list[MatchSettings] = []

    def sizer(trials, like, settings):
        assert like is trials[0]
        seen.append(settings)
        return Sized(trials)

    for match in ("flops", "time", "{parameters: language_model.width, flops: align}"):
        (tmp_path / "holds.yaml").write_text(f"{FUSIONS}match: {match}\n")
        load_experiment(tmp_path / "holds.yaml", fake_registry(), sizer=sizer)
    assert [(each.parameters, each.flops, each.time) for each in seen] == [
        (None, "tune", None),
        (None, None, "tune"),
        (("language_model.width",), "align", None),
    ]


def test_without_a_match_a_trial_keeps_its_id_and_nothing_is_matched(tmp_path: Path):
    experiment = load(tmp_path, FUSIONS)
    assert [trial.id for trial in experiment.trials] == ["78831ec2e390", "809ebfbd10bb"]
    assert experiment.match is None
    assert experiment.summary()["matched"] == []


def test_a_deviation_is_a_share_of_what_the_baseline_has():
    assert Sizing("parameters", {}, {}, 110, 100).deviation == pytest.approx(0.1)
    assert Sizing("parameters", {}, {}, 95, 100).deviation == pytest.approx(-0.05)


def _not_sized(folder: Path, text: str) -> str:
    with pytest.raises(UserError) as error:
        load(folder, text)
    return str(error.value)
