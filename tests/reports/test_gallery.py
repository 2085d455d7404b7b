"""Questions are shown with their images, or with why they cannot be."""

from __future__ import annotations

from pathlib import Path

from tests.made_results import write_dataset_plugin, write_results
from tests.reports.read_page import page_of
from workbench.registry import load_registry


def test_examples_without_their_dataset_say_so(tmp_path: Path):
    folder = write_results(tmp_path, images=10, axes={"fusion": ["gated"]})
    assert "no plugins were loaded" in page_of(folder).text
    assert "there is no dataset 'made_shapes'" in page_of(folder, load_registry()).text


def test_an_image_that_cannot_be_opened_is_named(tmp_path: Path):
    plugin = write_dataset_plugin(tmp_path / "plugins")
    file = plugin / "made_shapes.py"
    file.write_text(file.read_text().replace('key.split("-")', "open(key)"))
    folder = write_results(tmp_path / "results", images=10, axes={"fusion": ["gated"]})
    assert "cannot be opened" in page_of(folder, load_registry([plugin])).text
