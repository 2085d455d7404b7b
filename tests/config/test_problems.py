"""Problems of an experiment file are told all at once, and whatever stands in it is read or refused."""

from __future__ import annotations

import copy

import pytest

from tests.experiment_files import GOOD, load, message_of
from workbench.config.experiment import ExperimentError
from workbench.config.yaml_source import parse_yaml, write_yaml

STRANGE = [None, True, -1, 1e400, "", "a.b", "x" * 300, [], {}, [[]], {"name": []}, {"": 1}, {"fusion.": [1]}, 10**40]


def test_all_problems_are_reported_at_once_in_the_order_of_the_file(tmp_path):
    text = (
        GOOD.replace("fusion: glue", "fusion: gluu")
        .replace("depth: 3", "depht: 3")
        .replace("steps: 5", "steps: 5.5")
        .replace("epochs: 2", "epochs: -2\n      batch: 0")
        .replace("[exact, rough]", "[exact, ruff]")
        .replace("[right]", "[rigth]")
        + "seeds: [-1]\nprompt: why\nsedes: 1\n"
    )
    lines = message_of(tmp_path, text, "evaluation.limit=0").splitlines()
    expected = [
        "4: base.encoder.depht",
        "6: base.fusion",
        "13: base.phases.align.steps",
        "16: base.phases.tune.epochs",
        "17: base.phases.tune.batch",
        "20: grid.quantizer.1",
        "21: metrics.0",
        "22: seeds.0",
        "23: prompt",
        "24: sedes",
    ]
    assert [line.split("holds.yaml:")[1].split(": ")[0] for line in lines[:-1]] == [
        each.split(": ")[0] for each in expected
    ]
    assert all(each in line for each, line in zip(expected, lines, strict=False))
    assert lines[-1].startswith("--set evaluation.limit=0: evaluation.limit: this must be greater than 0")


@pytest.mark.parametrize("key", ["base.fusion", "base.phases.0.train.0", "grid.quantizer.0", "metrics.0", "seeds"])
def test_a_text_of_several_lines_is_told_in_one(tmp_path, key):
    with pytest.raises(ExperimentError) as refused:
        load(tmp_path, GOOD, f'{key}="a\\nb"')
    assert all(line.startswith("--set ") for line in str(refused.value).split("\n"))


def ways(value, way=()) -> list[tuple]:
    """The way to every value in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way, *(found for key, item in inner for found in ways(item, (*way, key)))]


@pytest.mark.parametrize("strange", STRANGE, ids=lambda value: str(value)[:12])
def test_whatever_stands_where_is_either_read_or_refused_in_words(tmp_path, strange):
    text = (
        GOOD
        + "variants: [{adapter: slim, adapter.rank: 3}, {adapter: whole}]\nexclude: [{quantizer: rough, seed: 1}]\n"
    )
    text += "seeds: [0, 1]\nbaseline: {adapter: whole}\nevaluation: {limit: 3}\n"
    load(tmp_path, text)
    good = parse_yaml(text, "good").value
    for way in ways(good)[1:]:
        bad = here = copy.deepcopy(good)
        for key in way[:-1]:
            here = here[key]
        here[way[-1]] = strange
        try:
            load(tmp_path, write_yaml(bad))
        except ExperimentError as error:
            assert "holds.yaml:" in str(error)
