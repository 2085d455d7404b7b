"""A metric of a user's that breaks a rule where `share` is not 1, and an experiment that uses it."""

from __future__ import annotations

from pathlib import Path

from tests.small import SMALL, write

SCORES = """
import os, sys, time
from pathlib import Path
import torch
from workbench import Metric, UserError, hookimpl

class Mine(Metric):
    \"\"\"Right or wrong; it breaks a rule where `share` is not 1.\"\"\"

    percent = True

    def __init__(self, *, share: float = 1.0, folder: Path | None = None):
        self.share = share
        CONSTRUCT

    def scores(self, predictions):
        return [self.share * (each.answer in each.example.answers) for each in predictions]

@hookimpl
def register_metrics(register):
    register("mine", Mine)
"""


BROKEN = "{name: mine, share: 2.0}"
RULE = "a share lies between 0 and 1"


def plugin(folder: Path, construct: str = "pass") -> None:
    (folder / "plugins").mkdir(exist_ok=True)
    (folder / "plugins/mine.py").write_text(SCORES.replace("CONSTRUCT", construct))


def experiment(folder: Path, metric: str = BROKEN) -> Path:
    return write(folder, SMALL.replace("[vqa_accuracy, loss]", f"[{metric}]"))
