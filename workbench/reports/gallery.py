"""Questions a reader should see: answered right, answered wrong, and those on which trials disagree, with images."""

from __future__ import annotations

import base64
import io
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.contracts.example import is_image
from workbench.contracts.rgb_images import to_rgb
from workbench.registry import Registry, resolve_options
from workbench.reports.asked_questions import AskedQuestions
from workbench.reports.best_of import the_best
from workbench.reports.experiment_results import Study
from workbench.reports.key_figures import best_trial
from workbench.storage.older_records import dataset_of
from workbench.storage.records import Record

if TYPE_CHECKING:
    from PIL import Image

COUNT = 6  # examples of each sort
SIDE = 256  # pixels; larger images are shrunk


@dataclass(frozen=True)
class Answer:
    """One answer, and the labels of the trials that gave it."""

    text: str
    right: bool
    trials: tuple[str, ...]


@dataclass(frozen=True)
class ShownExample:
    """One question as the report shows it. `image` is a data URI; where there is none, `missing` says why."""

    question: str
    truth: str
    group: str
    answers: tuple[Answer, ...]
    image: str | None
    missing: str


@dataclass(frozen=True)
class Gallery:
    """The examples of a report. Right and wrong are those of the best trial, which `best` says in words."""

    best: str
    right: list[ShownExample]
    wrong: list[ShownExample]
    disputed: list[ShownExample]


def make_gallery(study: Study, registry: Registry | None) -> Gallery | None:
    """Choose examples, always the same ones, over all groups of questions; None without predictions."""
    place = best_trial(study)
    if place is None:
        return None
    best = study.done[place]
    asked = AskedQuestions(study)
    questions = list(range(len(asked)))
    random.Random(0).shuffle(questions)
    album = _Album(best, registry)
    labels = {record.id: study.label(record) for record in study.done}
    given, doubts = asked.given[best.id], asked.doubts()
    answered = [each for each in questions if given.asked[each]]

    def show(chosen: Iterable[int], trials: Sequence[str]) -> list[ShownExample]:
        return [_shown(asked, each, trials, labels, album) for each in chosen]

    right = _spread(asked, [each for each in answered if given.right[each]])
    wrong = _spread(asked, [each for each in answered if not given.right[each]])
    disputed = _spread(asked, sorted((each for each in questions if doubts[each] > 0), key=lambda each: -doubts[each]))
    return Gallery(the_best(study, place), show(right, [best.id]), show(wrong, [best.id]), show(disputed, list(labels)))


def _spread(asked: AskedQuestions, questions: Sequence[int]) -> list[int]:
    """The first few, taken from the groups in turn, no image twice."""
    groups: dict[str, list[int]] = {}
    for each in questions:
        groups.setdefault(asked.groups[each], []).append(each)
    chosen: list[int] = []
    while len(chosen) < COUNT and any(groups.values()):
        for name in sorted(groups):
            seen = {asked.images[each] for each in chosen}
            groups[name] = [each for each in groups[name] if asked.images[each] not in seen]
            if groups[name] and len(chosen) < COUNT:
                chosen.append(groups[name].pop(0))
    return chosen


def _shown(
    asked: AskedQuestions, question: int, trials: Sequence[str], labels: dict[str, str], album: _Album
) -> ShownExample:
    line = asked.line(question)
    more = line.get("more_images")  # missing where no example of a trial has any
    image, missing = album.open([str(line["image"]), *(more if isinstance(more, list) else ())])
    answers: dict[tuple[str, bool], list[str]] = {}
    for id_ in trials:
        answer = asked.answer(id_, question)
        if answer is not None:
            answers.setdefault(answer, []).append(labels[id_])
    common = sorted(answers.items(), key=lambda item: (not item[0][1], -len(item[1])))
    return ShownExample(
        question=str(line["question"]),
        truth=" / ".join(dict.fromkeys(line["answers"])),
        group=str(line["group"]),
        answers=tuple(Answer(text, right, tuple(names)) for (text, right), names in common),
        image=image,
        missing=missing,
    )


class _Album:
    """Opens a record's images through its dataset plugin; what cannot be opened is explained, not hidden."""

    def __init__(self, record: Record, registry: Registry | None):
        self.dataset, self.reason = None, "no plugins were loaded for this report"
        if registry is None:
            return
        options = dict(dataset_of(record.spec.get("dataset", {}), registry.by_name("dataset")))
        name = str(options.pop("name", ""))
        try:
            plugin = registry.plugin("dataset", name)
            self.dataset = plugin.factory(**resolve_options(plugin, options))
        except Exception as error:  # whatever a user's plugin raises: the report shows it in the image's place
            self.reason = f"the dataset '{name}' cannot be opened: {error}"

    def open(self, keys: Sequence[str]) -> tuple[str | None, str]:
        """The images side by side as a data URI, or None and the reason."""
        if self.dataset is None:
            return None, self.reason
        if not is_image(keys[0]):
            return None, "it is text alone: no image was shown"
        images = []
        for key in keys:
            try:
                images.append(to_rgb(self.dataset.image(key)))
            except Exception as error:  # as above
                return None, f"the image '{key}' cannot be opened: {error}"
            images[-1].thumbnail((SIDE, SIDE))
        out = io.BytesIO()
        _side_by_side(images).save(out, format="PNG")
        return data_uri(out.getvalue(), "image/png"), ""


def _side_by_side(images: Sequence[Image.Image]) -> Image.Image:
    """All in a line, on white where one is lower than another."""
    if len(images) == 1:
        return images[0]
    sheet = images[0].resize((sum(each.width for each in images), max(each.height for each in images)))
    sheet.paste((255, 255, 255), (0, 0, *sheet.size))
    left = 0
    for each in images:
        sheet.paste(each, (left, 0))
        left += each.width
    return sheet


def data_uri(content: bytes, kind: str) -> str:
    """Bytes as an address that needs no network."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
