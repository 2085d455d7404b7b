"""Annotation files: read entry by entry as json reads them whole, and what is wrong is told with its place."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest

from workbench.data.annotations import (
    DataError,
    csv_rows,
    json_entries,
    json_lines,
    json_members,
    json_values,
    multiple_choice,
    read_entries,
)


def written(folder: Path, text: str, name: str = "a.json") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def made_up(chance: random.Random, depth: int = 3) -> object:
    kinds = [None, True, 1, -2.5e3, "", 'a "quoted" ü\n\\ 日本', [], {}]
    if depth == 0 or chance.random() < 0.3:
        return chance.choice(kinds)
    if chance.random() < 0.5:
        return [made_up(chance, depth - 1) for _ in range(chance.randrange(4))]
    return {f"k{number}": made_up(chance, depth - 1) for number in range(chance.randrange(4))}


@pytest.mark.parametrize("indent", [None, 0, 3])
def test_json_is_read_entry_by_entry_as_it_is_read_whole(tmp_path, indent):
    chance = random.Random(1)
    for _ in range(30):
        found = [{"a": made_up(chance)} for _ in range(chance.randrange(4))]
        whole = {"before": made_up(chance), "wanted": found, "[after": made_up(chance)}
        file = written(tmp_path, json.dumps(whole, indent=indent))
        assert [entry.value for entry in json_entries(file, "wanted")] == found
        assert dict(json_values(file)) == whole
        file = written(tmp_path, json.dumps(found, indent=indent, ensure_ascii=False))
        assert [entry.value for entry in json_entries(file)] == found
        named = {str(number): each for number, each in enumerate(found)}
        file = written(tmp_path, json.dumps(named, indent=indent))
        assert {name: entry.value for name, entry in json_members(file)} == named


def test_the_first_entries_come_before_the_rest_is_parsed(tmp_path):
    file = written(tmp_path, '[{"a": 1}, {"a": 2}, {"a": oops}]')
    found = json_entries(file)
    assert [next(found).value, next(found).value] == [{"a": 1}, {"a": 2}]
    with pytest.raises(DataError, match=r"a\.json is no JSON in line 1, at 'oops"):
        next(found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"a": 1},\n {"a": 2}', "is cut off in line 2. Copy or download it again"),
        ('[{"a": 1}\n{"a": 2}]', "is no JSON in line 2"),
        ('{"a": 1}', "the file should hold a JSON list, not"),
        ('{"a": 1}\n{"a": 2}', r"One object a line is read when the name ends with \.jsonl"),
        ('[{"a": 1}, 2]', "entry 1: it should be an object, not 2"),
        ("", "the file should hold a JSON list, not ''"),
    ],
)
def test_a_damaged_list_is_told_with_its_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        list(json_entries(written(tmp_path, text)))


def test_a_missing_list_is_told_with_the_keys_there_are(tmp_path):
    with pytest.raises(DataError, match=r"the key 'questions' is missing\. Did you mean 'question'\? There are: info"):
        list(json_entries(written(tmp_path, '{"info": {}, "question": []}'), "questions"))
    with pytest.raises(DataError, match="under 'info' there should be a list"):
        list(json_entries(written(tmp_path, '{"info": {}}'), "info"))


def test_lines_are_told_by_their_number(tmp_path):
    file = written(tmp_path, '{"a": 1}\n\n{"a": }\n', "a.jsonl")
    with pytest.raises(DataError, match=r"a\.jsonl: line 3 is no JSON"):
        list(json_lines(file))
    file = written(tmp_path, '{"a": 1}\n[2]\n', "a.jsonl")
    with pytest.raises(DataError, match="line 2: it should be an object"):
        list(read_entries(file))


def test_tables_are_read_as_csv_reads_them(tmp_path):
    file = tmp_path / "a.csv"
    cells = [["image", "said"], ["1.png", 'two\nlines, "quoted"'], ["2.png", "ü"]]
    with file.open("w", newline="", encoding="utf-8-sig") as out:
        csv.writer(out).writerows(cells)
    assert [list(entry.value.values()) for entry in csv_rows(file)] == cells[1:]
    file = written(tmp_path, "image\tsaid\n1.png\ta, b\n", "a.tsv")
    assert [dict(entry.value) for entry in read_entries(file)] == [{"image": "1.png", "said": "a, b"}]
    with pytest.raises(DataError, match=r"line 3: it has not as many cells as there are columns \(image, said\)"):
        list(csv_rows(written(tmp_path, "image,said\n1.png,a\n2.png\n", "a.csv")))


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(DataError, match=r"b\.json cannot be read: No such file"):
        list(json_entries(tmp_path / "b.json"))
    (tmp_path / "b.json").write_bytes(b'[{"a": "\xff"}]')
    with pytest.raises(DataError, match="is no UTF-8 text"):
        list(json_entries(tmp_path / "b.json"))


@pytest.mark.parametrize(
    ("method", "key", "message"),
    [
        ("text", "txt", r"the key 'txt' is missing\. Did you mean 'text'\? There are: text, number, list, flag"),
        ("text", "number", "'number' should be a text, not 3"),
        ("number", "text", "'number' should be a whole number|'text' should be a whole number, not ' a '"),
        ("name", "flag", "'flag' should be a text or a whole number, not True"),
        ("texts", "text", "'text' should be a list of texts, not ' a '"),
        ("entries", "list", r"'list' should be a list of objects, not \['b'\]"),
    ],
)
def test_a_value_of_another_kind_is_told_with_its_entry_and_key(tmp_path, method, key, message):
    file = written(tmp_path, '[{"text": " a ", "number": 3, "list": ["b"], "flag": true}]')
    [entry] = json_entries(file)
    assert (entry.text("text"), entry.number("number"), entry.name("number"), entry.texts("list")) == (
        *("a", 3, "3"),
        ("b",),
    )
    with pytest.raises(DataError, match=rf"a\.json: entry 0: ({message})"):
        getattr(entry, method)(key)


def test_choices_stand_behind_letters():
    assert multiple_choice("Which?", ["a net", "a bus"]) == "Which?\nA. a net\nB. a bus"


HALF = r"\ud83d"


@pytest.mark.parametrize("half", [HALF, r"\uDE42", r"\ud83d\ude42 \ud83d", r"\\\ud83d", r"\ud83dx", r"\ude42\ud83d"])
def test_half_a_letter_is_told_with_file_and_line(tmp_path, half):
    whole = '{"question": "a \\ud83d\\ude42 \\\\ud83d"}'
    broken = f'{{"question": "a {half} b"}}'
    told = r"a\.json: line 4: \\ud(83d|e42) is half of a letter, and no text. Write both halves"
    with pytest.raises(DataError, match=told):
        list(json_entries(written(tmp_path, f"[{whole},\n\n{whole},\n{broken}]")))
    with pytest.raises(DataError, match=told):
        list(json_members(written(tmp_path, f'{{"a": {whole},\n\n\n"b": {broken}}}')))
    with pytest.raises(DataError, match=r"a\.jsonl: line 3: "):
        list(json_lines(written(tmp_path, f"{whole}\n{whole}\n{broken}\n", "a.jsonl")))


def test_whole_letters_of_two_halves_are_read(tmp_path):
    text = '[{"question": "\\ud83d\\ude42 \\\\ud83d"}]'
    assert [each.value for each in json_entries(written(tmp_path, text))] == json.loads(text)


def test_true_and_false_are_yes_and_no_where_something_is_answered(tmp_path):
    text = '[{"a": true, "b": [false, "red", 2], "c": 1.5, "d": " red "}]'
    [entry] = json_entries(written(tmp_path, text))
    assert (entry.answer("a"), entry.answers("b"), entry.answer("c"), entry.answer("d")) == (
        *("yes", ("no", "red", "2"), "1.5", "red"),
    )
    with pytest.raises(DataError, match="'a' should be a text, not True"):
        entry.text("a")
