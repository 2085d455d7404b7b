"""A record with its lines, as a trial writes them."""

from __future__ import annotations

import math

from workbench.storage.records import DONE, Record

RECORD = Record(
    id="abc",
    status=DONE,
    experiment="made",
    axes={"fusion": "gated", "language_model.depth": "2"},
    spec={"seed": 3},
    metrics={"vqa_accuracy": 0.5, "loss": math.nan, "bytes": 12},
    scales={"vqa_accuracy": {"higher_is_better": True, "percent": True}},
    provenance={"torch": "2"},
    error=None,
)
LINE = {"condition": "image", "id": "q", "image": "p", "group": "g", "question": "é?", "answers": ["a", "b"]}
LINE |= {"answer": "a", "loss": 0.25, "scores": {"vqa_accuracy": 1.0}}
STEP = {"phase": "tune", "step": 1, "steps": 2, "loss": 1.5, "rate": 0.1, "images": 4, "seconds": 0.5}
