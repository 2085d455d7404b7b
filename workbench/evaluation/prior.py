"""The control that no model takes part in: what training answers alone make of a question, without any image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from workbench.contracts.example import Example, Prediction


class Prior:
    """Answers a question as training examples most often do: those of the same text, else of the same group, else all.

    Of equally frequent answers the first by the alphabet is taken, so it depends on nothing but the examples.
    """

    def __init__(self, examples: Iterable[Example]):
        by_text: dict[str, Counter[str]] = {}
        by_group: dict[str, Counter[str]] = {}
        everything: Counter[str] = Counter()
        for example in examples:
            answer = example.answer
            by_text.setdefault(plain(example.question), Counter())[answer] += 1
            if example.group:
                by_group.setdefault(example.group, Counter())[answer] += 1
            everything[answer] += 1
        self._by_text = {text: _most_frequent(found) for text, found in by_text.items()}
        self._by_group = {group: _most_frequent(found) for group, found in by_group.items()}
        self._of_all = _most_frequent(everything) if everything else None

    def answer(self, example: Example) -> str | None:
        """The answer to a question; None where there was nothing to learn from."""
        text = plain(example.question)
        if text in self._by_text:
            return self._by_text[text]
        return self._by_group.get(example.group, self._of_all)

    def predictions(self, examples: Iterable[Example]) -> list[Prediction]:
        """Of every question it can answer; nothing is known of the loss."""
        answered = ((example, self.answer(example)) for example in examples)
        return [Prediction(example, answer, float("nan")) for example, answer in answered if answer is not None]


def plain(text: str) -> str:
    """A question or an answer as it is compared: neither case nor the width of gaps makes another one."""
    return " ".join(text.split()).casefold()


def _most_frequent(answers: Counter[str]) -> str:
    return min(answers, key=lambda answer: (-answers[answer], answer))
