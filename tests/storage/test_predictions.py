"""Trials that were asked alike are read faster, and say what each of them says when it is read alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas
import pytest

from tests.storage.made_record import RECORD
from workbench.storage.predictions import PredictionsReader
from workbench.storage.records import read_predictions, write_trial
from workbench.storage.result_files import PREDICTIONS, ResultsError, read_lines


def line(number: int, answer: str, condition: str = "image", **more: Any) -> dict[str, Any]:
    return {
        "condition": condition,
        "id": f"q/{number}",
        "image": f"i/{number // 2}",
        "group": ("color", "shape")[number % 2],
        "question": f'which "answer": {number}?',
        "answers": ["red", "dark red"],
        "answer": answer,
        "loss": None if condition == "prior" else 0.1 * number,
        **({} if condition == "prior" else {"log_probability": -0.3}),
        "scores": {"m": float(answer == "red"), **({} if condition == "prior" else {"loss": 0.25})},
        **more,
    }


def trial(wrong: int, **more: Any) -> list[dict[str, Any]]:
    answers = ["blue" if number == wrong else "red" for number in range(6)]
    return [
        line(number, answer, condition, **more)
        for condition in ("image", "prior")
        for number, answer in enumerate(answers)
    ]


TRIALS = {
    "alike": [trial(1), trial(2), trial(3)],
    "fewer": [trial(1), trial(2)[:4], trial(3)],
    "other questions": [trial(1), [{**each, "question": "why?"} for each in trial(2)], trial(3)],
    "another order": [trial(1), trial(2)[::-1], trial(3)],
    "none": [trial(1), [], trial(3)],
    "counts": [trial(1, counts={"c": [1.0, 2.0]}), trial(2, counts={"c": [0.0, 2.0]})],
    "strangeness": [trial(1, strangeness={"energy": 0.5}), trial(2, strangeness={"energy": -0.5})],
    "an answer that says more": [trial(1), [{**each, "answer": '", "id": "q/9'} for each in trial(2)], trial(3)],
    "keys written twice": [trial(1), [{**each, "scores": {"m": 1, "id": 3}} for each in trial(2)]],
    "several images": [trial(1, more_images=["i/9"]), trial(2, more_images=["i/9"]), trial(3)],
}


def plain(frame: pandas.DataFrame) -> list[dict[str, Any]]:
    """Rows without what is missing."""
    rows = frame.astype(object).to_dict("records")
    return [
        {str(name): value for name, value in row.items() if isinstance(value, list | dict) or not pandas.isna(value)}
        for row in rows
    ]


@pytest.mark.parametrize("name", TRIALS)
def test_each_trial_is_read_as_it_is_alone(tmp_path: Path, name: str):
    reader = PredictionsReader()
    for place, lines in enumerate(TRIALS[name]):
        write_trial(tmp_path / str(place), RECORD, lines, [])
        assert plain(reader.read(tmp_path / str(place))) == plain(read_predictions(tmp_path / str(place)))


def test_what_was_asked_is_kept_once_for_trials_that_were_asked_alike(tmp_path: Path):
    reader, frames = PredictionsReader(), []
    for place, lines in enumerate(TRIALS["alike"]):
        write_trial(tmp_path / str(place), RECORD, lines, [])
        frames.append(reader.read(tmp_path / str(place)))
    one, other = frames[0], frames[2]
    assert one["id"].cat.categories is other["id"].cat.categories
    assert all(a is b for a, b in zip(one["answers"], other["answers"], strict=True))
    assert list(one["answer"]) != list(other["answer"])


def test_a_key_of_what_was_asked_that_is_told_again_counts(tmp_path: Path):
    reader = PredictionsReader()
    for place in (0, 1):
        write_trial(tmp_path / str(place), RECORD, trial(place), [])
    file = tmp_path / "1" / PREDICTIONS
    file.write_text(file.read_text().replace('"answer": "red"', '"answer": "red", "group": "other"'))
    assert plain(reader.read(tmp_path / "0")) == plain(read_predictions(tmp_path / "0"))
    assert plain(reader.read(tmp_path / "1")) == plain(read_predictions(tmp_path / "1"))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [('"loss": 0.25}}\n', '"loss": 0.25}\n', "in line 1"), ('"m": 1.0', '"m": "much"', "'m' is no number")],
)
def test_a_damaged_trial_after_a_good_one_is_told_with_its_file(tmp_path: Path, old: str, new: str, told: str):
    reader = PredictionsReader()
    for place in (0, 1):
        write_trial(tmp_path / str(place), RECORD, trial(5), [])
    file = tmp_path / "1" / PREDICTIONS
    file.write_text(file.read_text().replace(old, new, 1))
    reader.read(tmp_path / "0")
    with pytest.raises(ResultsError, match=told) as error:
        reader.read(tmp_path / "1")
    assert str(file) in str(error.value)


def test_texts_that_the_fast_parser_refuses_are_read_all_the_same(tmp_path: Path):
    write_trial(tmp_path / "0", RECORD, trial(1), [])
    file = tmp_path / "0" / PREDICTIONS
    lines = file.read_text().splitlines()
    first = json.loads(lines[0]) | {"answer": "\ud800"}
    file.write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    assert read_lines(file)[0]["answer"] == "\ud800"
    assert PredictionsReader().read(tmp_path / "0")["answer"].tolist()[0] == "\ud800"
