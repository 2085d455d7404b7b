"""Which other images a question is asked about, under the controls that show another one.

Both depend on the evaluated questions and images alone, by a fixed hash: never on a seed, a batch or a model. So the
controls of all trials are paired, question by question.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from workbench.contracts.example import Example, is_image
from workbench.data.image_views import Keys
from workbench.data.sampler import by_hash
from workbench.evaluation.prior import plain

Grouped = Mapping[Keys, Sequence[Example]]
Answers = frozenset[str]

NEAR, CHOSEN_OF = 64, 8  # how far is looked first, and of how many the one that is shown least often is taken
POLAR = {"yes", "no"}


@dataclass(frozen=True)
class Partners:
    """By the id of a question: the images it is asked about in place of its own; a question without is left out.
    Of `presumed` it is not known, and only likely, that another answer is right there."""

    shown: Mapping[str, Keys]
    presumed: int = 0


def shuffled(grouped: Grouped) -> Partners:
    """To every set of images the next one in a fixed order of all sets of as many images, so that images are exchanged
    and none keeps its own; where that lacks other images, from the sets behind it."""
    grouped = _with_images(grouped)
    order = by_hash("shuffled", grouped)
    alike: dict[int, list[Keys]] = {}
    for keys in order:
        alike.setdefault(len(keys), []).append(keys)
    shown = {}
    for same in alike.values():
        for place, keys in enumerate(same):
            others = _others(keys, same, place, order)
            shown |= dict.fromkeys((example.id for example in grouped[keys]), others)
    return Partners(shown)


def other_answers(grouped: Grouped) -> Partners:
    """To every question as many images about which another answer is right.

    Where the same question is asked of several images, one on which none of its right answers is right here. Else, it
    is presumed of images of which nothing that is asked has an answer that is right here; but not of yes and no, which
    say nothing about what an image shows. A question for which there is neither is left out.
    """
    grouped = _with_images(grouped)
    order = by_hash("other answer", grouped)
    asked_about = [(keys, example) for keys in order for example in grouped[keys]]
    of_text: dict[tuple[int, str], dict[Keys, Answers]] = {}
    of_images: dict[int, dict[Keys, Answers]] = {}
    for keys, example in asked_about:
        for found in (
            of_text.setdefault((len(keys), plain(example.question)), {}),
            of_images.setdefault(len(keys), {}),
        ):
            found[keys] = found.get(keys, frozenset()) | _right(example)
    asked: Counter[Keys] = Counter()
    texts = {text: _Ring(answers, asked) for text, answers in of_text.items()}
    images = {count: _Ring(answers, asked) for count, answers in of_images.items()}
    shown, presumed = {}, 0
    for keys, example in asked_about:
        right = _right(example)
        chosen = texts[len(keys), plain(example.question)].without(right, keys)
        if chosen is None and right.isdisjoint(POLAR):
            chosen = images[len(keys)].without(right, keys)
            presumed += chosen is not None
        if chosen is not None:
            shown[example.id] = chosen
    return Partners(shown, presumed)


class _Ring:
    """Images in a fixed order, the first behind the last, with the answers that are right about each."""

    def __init__(self, answers: Mapping[Keys, Answers], asked: Counter[Keys]):
        self.keys, self.answers = list(answers), list(answers.values())
        self.places = {keys: place for place, keys in enumerate(self.keys)}
        self.asked = asked
        self._far: dict[Answers, list[int]] = {}

    def without(self, right: Answers, own: Keys) -> Keys | None:
        """Of the next images behind the own ones, where none of these answers is right, the one least asked about."""
        start, count = self.places[own], len(self.keys)
        near = ((start + step) % count for step in range(1, min(NEAR, count - 1) + 1))
        places = list(islice((each for each in near if right.isdisjoint(self.answers[each])), CHOSEN_OF))
        if not places and count - 1 > NEAR:
            places = self._far_ones(right, start)
        if not places:
            return None
        chosen = min((self.keys[place] for place in places), key=lambda keys: self.asked[keys])
        self.asked[chosen] += 1
        return chosen

    def _far_ones(self, right: Answers, start: int) -> list[int]:
        if right not in self._far:
            self._far[right] = [place for place, each in enumerate(self.answers) if right.isdisjoint(each)]
        places = self._far[right]
        first = bisect_right(places, start)
        return (places[first : first + CHOSEN_OF] + places[:CHOSEN_OF])[: min(CHOSEN_OF, len(places))]


def _with_images(grouped: Grouped) -> Grouped:
    """Text alone is shown no image, so no other one either."""
    return {keys: examples for keys, examples in grouped.items() if is_image(keys[0])}


def _right(example: Example) -> Answers:
    return frozenset(map(plain, example.answers))


def _others(own: Keys, same: Sequence[Keys], place: int, order: Sequence[Keys]) -> Keys:
    """As many images as `own` has, none of them among these as long as there are others."""

    def following() -> Iterator[str]:
        for step in range(1, len(same)):
            yield from same[(place + step) % len(same)]
        for keys in order:
            if len(keys) != len(own):
                yield from keys

    foreign: dict[str, None] = {}
    for key in following():
        if key not in own:
            foreign.setdefault(key)
        if len(foreign) == len(own):
            break
    return tuple(islice(cycle(foreign or dict.fromkeys(following())), len(own)))
