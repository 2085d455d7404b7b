"""Names that are nearly right get a hint, wherever they are looked for."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from workbench.data.annotations import DataError
from workbench.data.file_dataset import FileDataset
from workbench.data.image_files import ImageFiles
from workbench.data.similar_names import similar_file
from workbench.errors import did_you_mean
from workbench.inference.pipeline import open_image

NFC, NFD = (unicodedata.normalize(form, "Fußgänger/Café.jpg") for form in ("NFC", "NFD"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("Images/A.JPG", NFD, "Images/Ärger.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (2, 2)).save(tmp_path / name, "PNG")
    return tmp_path


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("images/a.jpg", "Images/A.JPG"),
        ("Images\\A.JPG", "Images/A.JPG"),
        ("images\\a.jpg", "Images/A.JPG"),
        (NFC, NFD),
        (unicodedata.normalize("NFD", "images/ärger.PNG"), "Images/Ärger.png"),
        ("IMAGES", "Images"),
    ],
)
def test_a_file_that_differs_in_case_slashes_or_form_is_named(folder: Path, asked: str, there: str):
    assert f"Did you mean '{folder / there}'?" in similar_file(folder / asked)


def test_another_name_gets_none(folder: Path):
    assert similar_file(folder / "Images/B.JPG") == ""
    assert similar_file(folder / "Images/A.JPG") == ""
    assert similar_file(folder / "none/at/all.png") == ""


def test_it_is_told_of_images_folders_and_files(folder: Path):
    files = ImageFiles(folder)
    assert "a.jpg is missing. Did you mean" in str(files.fault("images/a.jpg"))
    with pytest.raises(DataError, match="is missing. Did you mean"):
        files.open("images/a.jpg")
    with pytest.raises(DataError, match=r"no folder of images .*images. Did you mean '.*Images'"):
        ImageFiles(folder / "images")
    with pytest.raises(DataError, match=r"no annotation file .*a.jpg. Did you mean '.*A.JPG'"):
        FileDataset({}, {"train": folder / "Images/a.jpg"}, files)
    with pytest.raises(DataError, match=r"no image .*a.jpg. Did you mean '.*A.JPG'"):
        open_image(folder / "Images/a.jpg")


@pytest.mark.parametrize("word", ["TRAIN", "Train"])
def test_words_of_another_case_are_hinted_at(word: str):
    assert did_you_mean(word, ["test", "train"]) == " Did you mean 'train'?"
    assert did_you_mean(NFD, [NFC]) == f" Did you mean '{NFC}'?"
