"""Examples to tensors: one row an image (or a set of them), all its questions in it one after the other.

A row is `[shared beginning of the prompt][rest of prompt 1][answer 1][rest of prompt 2][answer 2] ...`. Each
question with its answer is a segment 1, 2, ...; the shared beginning (with `<image>`) is segment 0, seen by all.
Every question continues the positions of the shared beginning as if it stood alone, so packing changes no number.

A conversation is one segment: its turns follow each other, each question behind the answers before it, which it sees;
no answer sees a later question. Trained are all its answers, each with its end. Under evaluation, and in the rows of a
fusion that reads text (which would carry a later question to an earlier answer), the answers before the last one are
part of the prompt: there a training has a row for each turn.

Several images take the places `<image>` of the prompt one each, or all of them the only one there is. Where questions
have places of their own, those of the prompt are left out. In the ids, `<image>` stands once for each view of an
image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import zip_longest

import torch
from torch import Tensor

from workbench.checkpoints.tokenizer import IMAGE, Tokenizer
from workbench.contracts.example import Example
from workbench.data.image_views import Places, Views, one_view_each, views_from
from workbench.devices.device import sent
from workbench.errors import UserError

QUESTION = "{question}"
IGNORED = -100
MOST_REMEMBERED = 200_000  # texts, some 100 bytes to 4 kB each


@dataclass(frozen=True)
class Batch:
    """P views of images, G sets of images and R rows of T text tokens.

    images [P,3,H,W]; ids, positions, segments, labels [R,T] (segments: -1 padding; labels: the token that should
    come next, or -100); prompt [R,T] bool; image_set [R], the set that each row looks at, or None when row i has set i;
    views: those of each set, or None when set i is view i alone.
    """

    images: Tensor
    ids: Tensor
    positions: Tensor
    segments: Tensor
    labels: Tensor
    prompt: Tensor
    image_set: Tensor | None = None
    views: Views | None = None

    def to(self, device: torch.device | str) -> Batch:
        """A copy whose tensors lie on another device; a GPU does not wait for it."""
        moved = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(
            self,
            **{
                name: value.to(device) if isinstance(value, Views) else sent(value, device)
                for name, value in moved.items()
                if value is not None
            },
        )


@dataclass(frozen=True)
class Encoded:
    """The token ids of one question: the beginning of the prompt up to `<image>`, its rest, and the answer.

    `before` are the turns before it in a conversation, each with the ids of its prompt and of its answer.
    """

    shared: tuple[int, ...]
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    before: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = ()


class Collator:
    """Turns examples into batches; every text is encoded once and remembered, up to `MOST_REMEMBERED` of them.

    `prompt` is the template of the experiment, with `{question}` in it and possibly `<image>`, or `chat` for the
    tokenizer's own. With `separate`, every question is a row of its own (for a fusion whose image is changed by the
    text). Each turn of a conversation is put into the template; its `<image>`s stand in the first one alone.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: str, separate: bool = False):
        self.tokenizer = tokenizer
        self.separate = separate
        prompts = tokenizer.prompts(prompt)
        before, question, after = prompts.first.partition(QUESTION)
        head, image, tail = before.rpartition(IMAGE)
        self.first = prompts.first
        self.shared, self.rest = head + image, tail + question + after
        self.later = self.rest.replace(IMAGE, "") if prompts.later is None else prompts.later
        self.places = prompts.first.count(IMAGE)
        self._start = prompts.start
        self._shared_ids = (*prompts.start, *(tokenizer.encode(self.shared) if self.shared else ()))
        self._encoded: dict[tuple[str, ...], Encoded] = {}

    def misfit(self, example: Example) -> str | None:
        """Why an example's images do not fit the places `<image>` there are for them; None when they do."""
        own, images = own_places(example), len(example.images)
        if own and own != images:
            return f"its text has {own} places {IMAGE}, and it has {images} image(s)"
        if images and not own and self.places not in (0, 1, images):
            return (
                f"the prompt has {self.places} places {IMAGE}, and it has {images} image(s): write as many, or one"
                " where all of them go"
            )
        return None

    def encode(
        self, question: str, answer: str, template: str | None = None, alone: bool = False, interleaved: bool = False
    ) -> Encoded:
        """The ids of one question and answer in a template, by default what stands behind the shared beginning; the
        answer ends with the end token. `alone`: nothing but the start is shared. `interleaved`: in the question,
        `<image>` is a place for an image, and no text."""
        template = self.rest if template is None else template
        usual = template == self.rest and not alone and not interleaved
        key = (question, answer) if usual else (question, answer, template, f"{alone} {interleaved}")
        if key in self._encoded:
            return self._encoded[key]
        # An empty prompt still needs a token of its own, behind which the answer begins.
        prompt = self.tokenizer.encode_parts(_filled(template, question, interleaved)) or [self.tokenizer.start]
        ids = (*self.tokenizer.encode_text(answer), self.tokenizer.end)
        encoded = Encoded(self._start if alone else self._shared_ids, tuple(prompt), ids)
        if len(self._encoded) < MOST_REMEMBERED:
            self._encoded[key] = encoded
        return encoded

    def __call__(
        self,
        images: Tensor,
        examples: Sequence[Sequence[Example]],
        answered: bool = True,
        history_trains: bool = True,
        places: Sequence[Places] | None = None,
    ) -> Batch:
        """images [P,3,H,W] and the examples of each set of images -> a batch; without answers when they are to be
        found.

        `history_trains` labels the answers of earlier turns as well, which an evaluation takes as given. `places` says
        which of the images are the views of which image; by default each has one, in order.
        """
        trains = answered and history_trains
        places = places or one_view_each([questions[0].images for questions in examples])
        rows, image_set = [], []
        for index, questions in enumerate(examples):
            counts = [len(views) for views in places[index]]
            owns = [self._has_own_places(example) for example in questions]
            encoded = [
                self._conversation(turn, counts, own, any(owns))
                for example, own in zip(questions, owns, strict=True)
                for turn in (_turns(example) if self.separate and trains else [example])
            ]
            for row in [[each] for each in encoded] if self.separate else [encoded]:
                rows.append(_row(row, answered, trains and not self.separate))
                image_set.append(index)
        columns = [_padded([row[column] for row in rows], fill) for column, fill in enumerate(_FILL)]
        ids, positions, segments, labels, prompt = columns
        separate = torch.tensor(image_set) if self.separate else None
        return Batch(images, ids, positions, segments, labels, prompt.bool(), separate, views_from(places))

    def _has_own_places(self, example: Example) -> bool:
        """Whether its questions say where its images stand, or it has none; `UserError` when they do not fit."""
        problem = self.misfit(example)
        if problem:
            raise UserError(f"example '{example.id}': {problem}")
        return own_places(example) > 0 or not example.images

    def _conversation(self, example: Example, counts: Sequence[int], own: bool, alone: bool) -> Encoded:
        """The ids of an example with its earlier turns; counts: how many views each of its images has.

        With places of its `own` those of the prompt are left out, for text alone with the end of their line; `alone`:
        one of its row has, which then shares none.
        """
        without = self.first if example.images else self.first.replace(f"{IMAGE}\n", "")
        first = (without.replace(IMAGE, "") if own else self.first) if alone else self.rest
        templates = [first, *[self.later] * len(example.history)]
        turns = [*((turn.question, turn.answer) for turn in example.history), (example.question, example.answer)]
        *earlier, last = [
            self.encode(*turn, template, alone, example.interleaved)
            for turn, template in zip(turns, templates, strict=True)
        ]
        if earlier:
            last = replace(last, before=tuple((turn.prompt, turn.answer) for turn in earlier))
        at_each = counts if own or self.places == len(counts) else [sum(counts)]
        return last if all(count == 1 for count in at_each) else _spread(last, at_each, self.tokenizer.image)


# What stands in the padding of ids, positions, segments, labels, prompt.
_FILL = (0, 0, -1, IGNORED, 0)


def _turns(example: Example) -> list[Example]:
    """Each turn of a conversation as the last one of an example of its own."""
    earlier = [
        replace(example, question=turn.question, answers=(turn.answer,), history=example.history[:number])
        for number, turn in enumerate(example.history)
    ]
    return [*earlier, example]


def own_places(example: Example) -> int:
    """How many places `<image>` the questions of an example have themselves; where it is not interleaved, that is
    text."""
    if not example.interleaved:
        return 0
    return example.question.count(IMAGE) + sum(turn.question.count(IMAGE) for turn in example.history)


def _filled(template: str, question: str, interleaved: bool) -> list[str]:
    """A template around its question, in turn what the prompt says and what somebody wrote."""
    asked = [part for piece in question.split(IMAGE) for part in (piece, IMAGE)][:-1] if interleaved else [question]
    first, *rest = template.split(QUESTION)
    return [first, *(part for behind in rest for part in (*asked, behind))]


def _spread(encoded: Encoded, counts: Sequence[int], image: int) -> Encoded:
    """With so many `<image>` in place of each one."""
    left = iter(counts)

    def spread(ids: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(each for id_ in ids for each in [id_] * (next(left) if id_ == image else 1))

    shared = spread(encoded.shared)
    before = tuple((spread(prompt), answer) for prompt, answer in encoded.before)
    return replace(encoded, shared=shared, before=before, prompt=spread(encoded.prompt))


def _row(questions: Sequence[Encoded], answered: bool, history_trains: bool) -> tuple[list[int], ...]:
    """One row as five lists: ids, positions, segments, labels, prompt."""
    shared = questions[0].shared
    ids, positions = list(shared), list(range(len(shared)))
    segments, labels, prompt = [0] * len(shared), [IGNORED] * len(shared), [1] * len(shared)
    for segment, question in enumerate(questions, start=1):
        start = len(ids)
        for asked, answer in question.before:
            ids += asked + answer
            prompt += [1] * len(asked) + [int(not history_trains)] * len(answer)
            labels += _labels(asked, answer, history_trains) + [IGNORED]  # what follows an answer's end is given
        # The last token of the answer is only a label: nothing comes after it.
        ids += question.prompt + (question.answer[:-1] if answered else ())
        prompt += [1] * len(question.prompt) + [0] * (len(ids) - len(prompt) - len(question.prompt))
        labels += _labels(question.prompt, question.answer if answered else (), answered)
        length = len(ids) - start
        positions += range(len(shared), len(shared) + length)
        segments += [segment] * length
    return ids, positions, segments, labels, prompt


def _labels(prompt: Sequence[int], answer: Sequence[int], trains: bool) -> list[int]:
    """What should come after each token from the prompt's first to the answer's last but one."""
    if trains:
        return [IGNORED] * (len(prompt) - 1) + list(answer)
    return [IGNORED] * (len(prompt) - 1 + max(len(answer), 1))


def _padded(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    """Lists of different lengths -> [R,T], filled at the right."""
    return torch.tensor(list(zip_longest(*rows, fillvalue=fill)), dtype=torch.long).T.contiguous()
