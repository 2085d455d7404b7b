"""Questions a reader should see: answered right, answered wrong, and those on which trials disagree, with images."""

from __future__ import annotations

import base64
import io
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.contracts.example import is_image
from workbench.registry import Registry, resolve_options
from workbench.reports.best_of import the_best
from workbench.reports.experiment_results import Study
from workbench.reports.key_figures import best_trial
from workbench.storage.conditions import WITH_IMAGE
from workbench.storage.older_records import dataset_of
from workbench.storage.records import SCORE, Record

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


@dataclass(frozen=True)
class _Question:
    """A question with what each trial answered: trial id -> (answer, whether it is right)."""

    line: dict[str, Any]
    given: dict[str, tuple[str, bool]]

    @property
    def doubt(self) -> float:
        """0 when all trials agree, 0.5 when half of them are right."""
        rights = [right for _, right in self.given.values()]
        return min(sum(rights), len(rights) - sum(rights)) / len(rights)


def make_gallery(study: Study, registry: Registry | None) -> Gallery | None:
    """Choose examples, always the same ones, over all groups of questions; None without predictions."""
    place = best_trial(study)
    if place is None:
        return None
    best = study.done[place]
    questions = _questions(study)
    random.Random(0).shuffle(questions)
    answered = [each for each in questions if best.id in each.given]
    album = _Album(best, registry)
    labels = {record.id: study.label(record) for record in study.done}

    def show(chosen: Iterable[_Question], trials: Sequence[str]) -> list[ShownExample]:
        return [_shown(each, trials, labels, album) for each in chosen]

    right = _spread([each for each in answered if each.given[best.id][1]])
    wrong = _spread([each for each in answered if not each.given[best.id][1]])
    disputed = _spread(sorted((each for each in questions if each.doubt > 0), key=lambda each: -each.doubt))
    return Gallery(the_best(study, place), show(right, [best.id]), show(wrong, [best.id]), show(disputed, list(labels)))


def _questions(study: Study) -> list[_Question]:
    found: dict[str, _Question] = {}
    for id_, frame in study.predictions.items():
        shown = frame.loc[frame["condition"] == WITH_IMAGE]
        percent = study.scale(study.primary).percent and SCORE + study.primary in shown
        for line in shown.to_dict("records"):
            key = f"{line['image']}\n{line['id']}"
            right = line[SCORE + study.primary] >= 0.5 if percent else _says(line["answer"], line["answers"])
            found.setdefault(key, _Question(line, {})).given[id_] = (str(line["answer"]), bool(right))
    return list(found.values())


def _says(answer: str, answers: Iterable[str]) -> bool:
    """Whether the words are the same, when the metric itself is no share of right answers."""
    return answer.strip().casefold() in [each.strip().casefold() for each in answers]


def _spread(questions: Sequence[_Question]) -> list[_Question]:
    """The first few, taken from the groups in turn, no image twice."""
    groups: dict[str, list[_Question]] = {}
    for each in questions:
        groups.setdefault(str(each.line["group"]), []).append(each)
    chosen: list[_Question] = []
    while len(chosen) < COUNT and any(groups.values()):
        for name in sorted(groups):
            seen = {each.line["image"] for each in chosen}
            groups[name] = [each for each in groups[name] if each.line["image"] not in seen]
            if groups[name] and len(chosen) < COUNT:
                chosen.append(groups[name].pop(0))
    return chosen


def _shown(question: _Question, trials: Sequence[str], labels: dict[str, str], album: _Album) -> ShownExample:
    more = question.line.get("more_images")  # missing where no example of a trial has any
    image, missing = album.open([str(question.line["image"]), *(more if isinstance(more, list) else ())])
    answers: dict[tuple[str, bool], list[str]] = {}
    for id_ in trials:
        if id_ in question.given:
            answers.setdefault(question.given[id_], []).append(labels[id_])
    common = sorted(answers.items(), key=lambda item: (not item[0][1], -len(item[1])))
    return ShownExample(
        question=str(question.line["question"]),
        truth=" / ".join(dict.fromkeys(question.line["answers"])),
        group=str(question.line["group"]),
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
                images.append(self.dataset.image(key).convert("RGB"))
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
