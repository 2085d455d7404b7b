"""A wrapper hands on everything that a dataset may say of itself."""

from __future__ import annotations

from workbench.contracts.dataset import Dataset
from workbench.data.wrapped_dataset import WrappedDataset

LOOKED_AT_BEFORE = {"fault", "most_broken"}  # by the innermost wrapper alone, which leaves broken images out


def test_nothing_that_a_dataset_may_override_is_lost_behind_a_wrapper():
    said = {name for name in vars(Dataset) if not name.startswith("_") and name != "kind"}
    assert {"examples", "image", "splits", "augment"} <= said
    assert said - LOOKED_AT_BEFORE <= vars(WrappedDataset).keys()
