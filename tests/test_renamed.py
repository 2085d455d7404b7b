"""Whoever uses a name of an earlier version is told what it is called now."""

from __future__ import annotations

import importlib
import pickle
from dataclasses import replace

import pytest

import workbench
from workbench.contracts.example import Example
from workbench.data.annotations import DataError
from workbench.errors import RenamedError, did_you_mean
from workbench.registry import check_options, load_registry

EXAMPLE = Example("1", "a.png", "what?", ("x",), more=("b.png",))
PLUGIN = """
from workbench import {imported}, hookimpl

class Old(Dataset):
{body}

@hookimpl
def register_datasets(register):
    register("old", {factory})
"""
METHOD = "    def picture(self, key):\n        ..."


def reason(folder, **parts: str) -> str:
    """Why a plugin of these parts is not loaded."""
    (folder / "old.py").write_text(PLUGIN.format(**{"imported": "Dataset", "body": METHOD, "factory": "Old"} | parts))
    [failure] = load_registry([folder], installed=False).failures
    return failure.reason


def test_a_name_of_the_page_that_changed_is_told_on_import(tmp_path):
    with pytest.raises(ImportError, match=r"^workbench\.PictureFiles is called ImageFiles now$"):
        from workbench import PictureFiles  # type: ignore[attr-defined]  # noqa: F401
    assert "workbench.PictureFiles is called ImageFiles now" in reason(tmp_path, imported="Dataset, PictureFiles")
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        workbench.Nothing  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    ("before", "now"), [("records", "workbench.storage.records"), ("study", "workbench.reports.results_data")]
)
def test_a_module_that_scripts_import_is_told_where_it_lies_now(before, now):
    with pytest.raises(ImportError, match=rf"^workbench\.{before} is called {now} now$"):
        importlib.import_module(f"workbench.{before}")
    assert importlib.import_module(now)


@pytest.mark.parametrize("factory", ["Old", "lambda: Old()"])
def test_a_dataset_whose_method_nobody_would_call_is_not_loaded(tmp_path, factory):
    assert reason(tmp_path, factory=factory) == "Old.picture is called image now"


def test_a_dataset_may_have_a_method_of_the_old_name_beside_the_new_one(tmp_path):
    both = f"{METHOD}\n    image = picture"
    (tmp_path / "old.py").write_text(PLUGIN.format(imported="Dataset", body=both, factory="Old"))
    assert not load_registry([tmp_path], installed=False).failures


@pytest.mark.parametrize("name", ["picture", "pictures"])
def test_what_an_example_calls_otherwise_is_told(name):
    with pytest.raises(RenamedError, match=rf"^Example\.{name} is called {name.replace('picture', 'image')} now$"):
        getattr(EXAMPLE, name)


def test_an_example_takes_the_new_keyword_alone():
    old = {"id": "1", "picture": "a.png", "question": "what?", "answers": ("x",)}
    for make in (lambda: Example(**old), lambda: replace(EXAMPLE, **{"picture": "b.png"})):
        with pytest.raises(RenamedError, match=r"Example\.picture is called image now"):
            make()
    assert EXAMPLE.images == ("a.png", "b.png")
    assert pickle.loads(pickle.dumps(EXAMPLE)) == EXAMPLE  # noqa: S301
    assert not hasattr(EXAMPLE, "colour")


def test_an_old_option_is_unknown_and_the_new_one_is_suggested():
    registry = load_registry(installed=False)
    for name, old, new in (("mixture", "pictures", "images"), ("vqav2", "picture", "image")):
        told = [
            message for option, message in check_options(registry.plugin("dataset", name), {old: 3}) if option == old
        ]
        assert f"has no option '{old}'. Did you mean '{new}'?" in told[0]


def test_a_table_with_the_old_column_is_read_once_the_experiment_names_it(tmp_path):
    (tmp_path / "train.csv").write_text("picture,question,answers\na.png,what?,x\n")

    def examples(**options):
        made = load_registry(installed=False).create(
            "dataset", "folder", tables={"train": tmp_path / "train.csv"}, images=tmp_path, **options
        )
        return list(made.examples("train", "questions"))

    with pytest.raises(DataError, match="the key 'image' is missing. Did you mean 'picture'?"):
        examples()
    assert [each.image for each in examples(columns={"image": "picture"})] == ["a.png"]
    assert did_you_mean("picture", ["question", "image"]) == " Did you mean 'image'?"
