"""A small model for every test of a phase."""

from __future__ import annotations

import pytest

from tests.small import build, load
from workbench.model.vision_language_model import VisionLanguageModel


@pytest.fixture
def trial(tmp_path):
    return load(tmp_path).trials[0]


@pytest.fixture
def model(trial) -> VisionLanguageModel:
    return build(trial)
