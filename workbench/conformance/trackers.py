"""Rules for trackers: they take whatever a run tells them, keep their files together and never read results."""

from __future__ import annotations

import tempfile
from pathlib import Path

from workbench.conformance.rules import Rule, Subject, after, expect, in_turn
from workbench.contracts.tracker import Tracker

AXES = {"fusion": "glance(depth=2)", "language_model.depth": "3", "prompt": "<image> {question}?/\\n: 图"}
METRICS = {
    "accuracy": 0.5,
    "accuracy.group.yes/no": 1.0,
    "accuracy.group.what colour?": 0.25,
    "bytes": 7e9,
    "loss": 0.0,
}
LABELS = ("vit, glance(depth=2): tune", "base: align", "../up: a/b")


def it_can_be_built_with_these_options(subject: Subject) -> None:
    """What it raises breaks the rule."""
    subject.build()


def it_takes_a_whole_run(subject: Subject) -> None:
    """Several trainings at once, odd names, a trial that trained nothing, a second run in the same folder."""
    with tempfile.TemporaryDirectory() as name:
        for _ in range(2):
            _follow(subject.build(), Path(name))


def it_can_be_closed_before_anything_happened(subject: Subject) -> None:
    """A run may end at once."""
    with tempfile.TemporaryDirectory() as name:
        tracker: Tracker = subject.build()
        tracker.open("experiment", Path(name))
        tracker.close()


def files_go_into_one_folder_of_its_own(subject: Subject) -> None:
    """Beside `trials` and `report`, which belong to others; and nowhere outside."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "results" / "experiment"
        (folder / "trials").mkdir(parents=True)
        _follow(subject.build(), folder)
        own = [each.name for each in folder.iterdir() if each.name != "trials"]
        expect(len(own) <= 1, f"it leaves {', '.join(sorted(own))} in the results: keep to one folder of its own")
        inside = sorted(each.name for each in (folder / "trials").iterdir())
        expect(not inside, f"it writes {', '.join(inside)} into the folder of the trials")
        expect(
            sorted(each.name for each in Path(name).iterdir()) == ["results"], "it writes outside the results folder"
        )


def what_it_is_told_stays_as_it_was(subject: Subject) -> None:
    """Other trackers are told the same."""
    with tempfile.TemporaryDirectory() as name:
        axes, metrics = dict(AXES), dict(METRICS)
        tracker: Tracker = subject.build()
        tracker.open("experiment", Path(name))
        tracker.advance(LABELS[0], 1, 3, 2.0)
        tracker.finish("0123456789ab", axes, metrics)
        tracker.close()
        expect((axes, metrics) == (AXES, METRICS), "finish changes the axes or metrics it is given: change a copy")


def _follow(tracker: Tracker, folder: Path) -> None:
    """What a run tells: trainings in turns, then the results."""
    tracker.open("experiment", folder)
    for step in (1, 2, 3):
        for label in LABELS:
            tracker.advance(label, step, 3, 2.0 / step)
    tracker.finish("0123456789ab", dict(AXES), dict(METRICS))
    tracker.finish("ba9876543210", {}, {"accuracy": 1.0})
    tracker.close()


BASICS = in_turn(it_can_be_built_with_these_options, it_takes_a_whole_run)
RULES: tuple[Rule, ...] = (
    *BASICS,
    *after(
        BASICS,
        what_it_is_told_stays_as_it_was,
        it_can_be_closed_before_anything_happened,
        files_go_into_one_folder_of_its_own,
    ),
)
