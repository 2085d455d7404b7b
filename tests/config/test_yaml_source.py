"""YAML: what is read as what, what is written, and what is refused in plain words."""

from __future__ import annotations

import pytest

from tests.experiment_files import GOOD, fake_registry, message_of
from workbench.config.experiment import ExperimentError, load_experiment
from workbench.config.yaml_source import parse_yaml, write_yaml

# What is broken: the text of the file, the line and column the message must name, and a part of its advice.
BROKEN_YAML = {
    "tab": ("base:\n\tfusion: glue\n", "2: column 1", "Indent and separate with spaces"),
    "colon in a text": ("question: what: why\n", "1: column 15", "Put text that holds ': ' in quotes"),
    "indentation": ("base:\n    a: 1\n  b: 2\n", "3: column 3", "Indent keys of one mapping equally"),
    "open list": ("metrics: [right\nbase: 1\n", "2: column 5", "a '[' is not closed"),
    "open mapping": ("base: {fusion: glue\ngrid: 1\n", "2: column 5", "a '{' is not closed"),
    "open quotation mark": ("question: 'why\nbase: 1\n", "3: column 1", "(it began in line 1)"),
    "key without a colon": ("base: 1\nmetrics\ngrid: 2\n", "3: column 1", "Write 'key: value'"),
    "unknown alias": ("base: *glue\n", "1: column 7", "Put text that begins with '*' in quotes"),
    "second document": ("base: 1\n---\nbase: 2\n", "2: column 1", "Keep one experiment in a file"),
    "sign that begins nothing": ("question: @home\n", "1: column 11", "Put it in quotes"),
    "control character": ("question: a\x07\n", "1", "Remove it"),
    "half a letter": ('question: ok\ngrid: "\\ud83d"\n', "2", "grid: \\ud83d is half of a letter"),
    "half a letter in a key": ('question: ok\n"\\ude42": 1\n', "1", "\\ude42 is half of a letter"),
    "half a letter below": ('base: {fusion: ["a\\ud83db"]}\n', "1", "base.fusion.0: \\ud83d is half of a letter"),
    "empty file": ("", "1", "the file is empty. Write keys: name, question, base"),
    "only a comment": ("# to be written\n", "1", "the file is empty"),
    "list at the top": ("- fusion\n", "1", "Write keys: name, question, base"),
    "python object": (
        "base: !!python/object/apply:os.system [ls]\n",
        "1",
        "tags such as '!!python/object/apply:os.system'",
    ),
    "alias of itself": ("base: &a {fusion: *a}\n", "1", "Write the value out"),
    "merge key": ("base: {<<: {fusion: glue}}\n", "1", "Write the keys out"),
    "list as a key": ("[a, b]: 1\n", "1", "A key is a word"),
    "too deep": ("base: " + "[" * 3000, "1", "Close the brackets you opened"),
    "aliases that explode": (
        "\n".join(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}' if level else '1'] * 9)}]" for level in range(9)),
        "6",
        "counting what aliases (*) repeat",
    ),
}


def test_numbers_and_words_are_read_as_a_researcher_writes_them():
    text = "{a: 1e-3, b: 1_000, c: yes, d: no, e: 2026-11-21, f: 1:30, g: 010, h: -.5, i: ~, j: True, k: 3., l: off}"
    assert parse_yaml(text, "text").value == {
        **{"a": 0.001, "b": 1000, "c": "yes", "d": "no", "e": "2026-11-21", "f": "1:30", "g": 10, "h": -0.5},
        **{"i": None, "j": True, "k": 3.0, "l": "off"},
    }


def test_the_two_halves_of_a_letter_are_one_letter():
    assert parse_yaml(r'"\ud83d\ude42": ["\ud83d\ude42!"]', "text").value == {"\U0001f642": ["\U0001f642!"]}


def test_yaml_that_is_written_is_read_back_as_the_same_values():
    value = {"a": [0.001, 1e-05, 1.0, 1, True, None], "b": ["1e-3", "yes", "null", "1", "true", "2026-11-21", "~", ""]}
    assert parse_yaml(write_yaml(value), "text").value == value


@pytest.mark.parametrize("broken", BROKEN_YAML)
def test_broken_yaml_is_refused_with_its_line_in_plain_words(tmp_path, broken):
    text, where, advice = BROKEN_YAML[broken]
    message = message_of(tmp_path, text)
    assert f"holds.yaml:{where}: " in message
    assert advice in message


@pytest.mark.parametrize(
    ("content", "place"), [(b"question: ok\nname: \xff\xfe\n", "2"), ("name: ö".encode("utf-16"), "1")]
)
def test_a_file_that_is_not_utf_8_is_refused_with_its_line(tmp_path, content, place):
    path = tmp_path / "holds.yaml"
    path.write_bytes(content)
    with pytest.raises(ExperimentError, match=rf"holds.yaml:{place}: the file is not UTF-8 text. Save it"):
        load_experiment(path, fake_registry())


def test_a_file_that_is_not_there_is_refused_with_the_nearest_one(tmp_path):
    (tmp_path / "holds.yaml").write_text(GOOD)
    with pytest.raises(ExperimentError, match=r"hodls.yaml: there is no such file. Did you mean 'holds.yaml'\?"):
        load_experiment(tmp_path / "hodls.yaml", fake_registry())


def test_a_folder_that_is_not_there_is_said_to_be_missing(tmp_path):
    with pytest.raises(ExperimentError, match=r"There is no folder .*nowhere either"):
        load_experiment(tmp_path / "nowhere" / "holds.yaml", fake_registry())


def test_a_folder_is_refused_with_the_files_in_it(tmp_path):
    (tmp_path / "holds.yaml").write_text(GOOD)
    with pytest.raises(ExperimentError, match=r"this is a folder. Give one experiment file in it \(holds.yaml\)"):
        load_experiment(tmp_path, fake_registry())
