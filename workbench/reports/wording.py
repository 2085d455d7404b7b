"""How names are written for people, and several of them in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

ABBREVIATIONS = {"vqa": "VQA", "bleu": "BLEU", "cider": "CIDEr", "anls": "ANLS"}


def spoken(name: str) -> str:
    """A name of the YAML as words: `visual_gain` -> `visual gain`, `language_model.depth` -> `language model depth`."""
    return " ".join(ABBREVIATIONS.get(word, word) for word in name.replace("_", " ").replace(".", " ").split())


def capital(text: str) -> str:
    """The first letter large, the rest as it is."""
    return text[:1].upper() + text[1:]


def joined(words: Sequence[str], last: str = "and") -> str:
    """As `a, b and c`."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
