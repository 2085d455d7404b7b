"""Whether the data fit a trial: a place for every image, and contrast of single ones only."""

from __future__ import annotations

import pytest

from tests.small import PAIRS, load, small_registry
from workbench.model.build import CompositionError
from workbench.runs.compatibility import Compatibility

REFUSED = {
    "prompt='<image> and <image> {question}'": r"example 'train/0/0': the prompt has 2 places <image>, and it has 1",
    "base.phases=[{name: see, objective: contrastive, train: [encoder], steps: 1}]": (
        "phase 'see': contrast is that of one image with its caption; example 'train/1/0' has 2"
    ),
}


@pytest.mark.parametrize("change", REFUSED)
def test_what_does_not_fit_is_refused_before_anything_runs(tmp_path, change):
    experiment = load(tmp_path, change, text=PAIRS)
    with pytest.raises(CompositionError, match=REFUSED[change]):
        Compatibility(small_registry()).sizes_of(experiment.trials)
