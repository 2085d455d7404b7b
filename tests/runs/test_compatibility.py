"""What does not fit is told before anything runs: all of it, by kind and name, with the trials that have it."""

from __future__ import annotations

import pytest
from PIL import Image

from tests.small import load, small_registry
from workbench.model.build import CompositionError
from workbench.runs.compatibility import Compatibility

MISFITS = {
    "connector 'picky' cannot be used: it takes tokens 7 wide, not 16": ["base.connector=picky"],
    "connector 'buggy' cannot be used: 'shape' (KeyError in misfits.py, line": ["base.connector=buggy"],
    "fusion 'concat_projection' cannot be used: concat_projection puts image tokens 16 wide between text tokens 32": [
        "base.connector=identity",
        "base.language_model.width=32",
    ],
    "encoder 'vit' cannot be used: patch_size 7 does not divide": ["base.encoder.patch_size=7"],
    "encoder 'vit' cannot be used: 3 heads do not divide the width 16": ["base.encoder.heads=3"],
    "language_model 'gpt' cannot be used: 3 heads do not divide the width 16": ["base.language_model.heads=3"],
    "language_model 'gpt' cannot be used: a byte-level vocabulary": ["base.language_model.vocabulary_size=100"],
    "adapter 'lora' cannot be used: rank 20 of the adapter": [
        "base.adapter={name: lora, rank: 20}",
        "base.phases.tune.train=[adapter]",
    ],
    "adapter 'lora' cannot be used: no linear layer matches": [
        "base.adapter={name: lora, targets: ['nothing.*']}",
        "base.phases.tune.train=[adapter]",
    ],
    "quantizer 'int8' cannot be used: the quantizer 'int8' finds no layer": [
        "base.quantizer={name: int8, include: ['vision.*']}"
    ],
    "encoder 'clip' cannot be used: checkpoint './nowhere/clip.pt' is no file or folder here": [
        "base.encoder={name: clip, checkpoint: ./nowhere/clip.pt}"
    ],
    "phase 'tune' trains fusion, where there are no parameters": ["base.phases.tune.train=[fusion]"],
    "evaluation: the dataset 'squares' has no split 'tset'. Did you mean 'test'? Splits: train, test": [
        "evaluation.split=tset"
    ],
    "evaluation: the dataset 'squares' has no task 'question'. Did you mean 'questions'?": ["evaluation.task=question"],
    "phase 'tune': the dataset 'squares' has no task 'caption'. Did you mean 'captions'? Tasks: questions, captions": [
        "base.phases.tune.tasks=[caption, questions]"
    ],
    "dataset 'squares' cannot be used: the dataset has no training examples": ["base.dataset.images=0"],
    "dataset 'squares' cannot be used: the split 'test' gives 1 image": ["evaluation.limit=1"],
}


@pytest.mark.parametrize("told", MISFITS)
def test_what_does_not_fit_is_told_by_kind_and_name_with_its_trial(tmp_path, told):
    experiment = load(tmp_path, "seeds=[0, 1, 2]", *MISFITS[told])
    with pytest.raises(CompositionError) as error:
        Compatibility(small_registry()).sizes_of(experiment.trials)
    assert told in str(error.value)
    assert str(error.value).count("\n") == 0
    assert str(error.value).endswith("[trial '0' and 2 more]")


def test_everything_that_does_not_fit_is_told_at_once(tmp_path):
    experiment = load(
        tmp_path,
        "grid.encoder.heads=[2, 3]",
        "grid.connector=[linear, picky]",
        "grid.quantizer=[none, {name: int8, include: ['vision.*']}]",
        "evaluation.task=answers",
    )
    with pytest.raises(CompositionError) as error:
        Compatibility(small_registry()).sizes_of(experiment.trials)
    lines = str(error.value).split("\n")
    assert len(lines) == 4
    for start in ("evaluation: ", "encoder 'vit'", "connector 'picky'", "quantizer 'int8'"):
        assert sum(line.startswith(start) for line in lines) == 1


@pytest.mark.parametrize(
    "change", ["evaluation.task=captions", "evaluation.split=tset", "base.phases.tune.tasks=[captions]"]
)
def test_what_a_dataset_of_files_lacks_is_told_with_its_place(tmp_path, change):
    (tmp_path / "rows.csv").write_text("image,question,answers\na.png,what is it?,bus\n")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    both = "{train: rows.csv, test: rows.csv}"
    experiment = load(tmp_path, f"base.dataset={{name: folder, tables: {both}, images: .}}", change)
    with pytest.raises(CompositionError) as error:
        Compatibility(small_registry(), None, experiment.document).sizes_of(experiment.trials)
    assert all(line.startswith((f"{tmp_path}/small.yaml:", "--set ")) for line in str(error.value).split("\n"))
