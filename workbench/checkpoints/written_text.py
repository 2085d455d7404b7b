"""What people wrote, as token ids: none of it becomes a special token, whatever it says.

A tokenizer takes `</s>` or `<image>` for a special token wherever it finds the letters, be it in a prompt, which means
it, or in a caption, which only says so. Where somebody's text says so, it is read by a second tokenizer, whose special
tokens have the same ids and flags and names that the text does not hold; in the prompt they are called by these.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any

from workbench.checkpoints.weights import CheckpointError

if TYPE_CHECKING:
    from tokenizers import Tokenizer as RawTokenizer

MARK = "ᛝ"  # a rune: no normalizer changes or drops it, and it has no upper or lower case


class WrittenText:
    """Encodes prompts with texts in them. `special` are the tokens that only a prompt may ask for.

    Text without special tokens in it is read as the tokenizer itself reads it, to the last id.
    """

    def __init__(self, raw: RawTokenizer, named: Iterable[str]):
        self.raw = raw
        self.special = special_tokens(raw, named)
        self._renamed: dict[str, RawTokenizer] = {}
        self._asked_for: dict[str, Counter[int]] = {}

    def encode(self, parts: Sequence[str]) -> list[int]:
        """The ids of what stands in turn in a prompt and in somebody's text, the prompt's first; nothing is put before
        or behind."""
        ids = self._ids(self.raw, "".join(parts))
        written = parts[1::2]
        if not any(written):
            return ids
        meant = self._meant("".join(parts[::2]))
        if not self._taken(ids, meant) and not any(name in text for text in written for name in self.special.values()):
            return ids
        mark = next(MARK * length for length in count(3) if not any(MARK * length in text for text in parts))
        names = {name: f"{mark}{number}{mark}" for number, name in self.special.items()}
        longest = sorted(names, key=len, reverse=True)  # one may begin as another does
        told = [text if place % 2 else _renamed(text, longest, names) for place, text in enumerate(parts)]
        ids = self._ids(self._with_names(mark, names), "".join(told))
        if self._taken(ids, meant):
            raise CheckpointError(f"the tokenizer cannot read {_shown(written)} without taking it for special tokens")
        return ids

    def _ids(self, raw: RawTokenizer, text: str) -> list[int]:
        return raw.encode(text, add_special_tokens=False).ids

    def _taken(self, ids: Iterable[int], meant: Counter[int]) -> bool:
        """Whether there are special tokens that the prompt did not ask for. What is unknown has one of its own, which
        ordinary text may give."""
        more = self._special_in(ids) - meant
        return bool(more) and more.keys() != {self._unknown}

    def _special_in(self, ids: Iterable[int]) -> Counter[int]:
        return Counter(number for number in ids if number in self.special)

    def _meant(self, prompt: str) -> Counter[int]:
        """How often each special token is asked for."""
        if prompt not in self._asked_for:
            self._asked_for[prompt] = self._special_in(self._ids(self.raw, prompt))
        return self._asked_for[prompt]

    @cached_property
    def _unknown(self) -> int | None:
        """The token of what the vocabulary cannot say: most models name it, Unigram has its place."""
        model = json.loads(self.raw.to_str())["model"]
        name = model.get("unk_token")
        return model.get("unk_id") if name is None else self.raw.token_to_id(name)

    def _with_names(self, mark: str, names: Mapping[str, str]) -> RawTokenizer:
        from tokenizers import Tokenizer as RawTokenizer

        if mark not in self._renamed:
            self._renamed[mark] = RawTokenizer.from_str(json.dumps(with_names(json.loads(self.raw.to_str()), names)))
        return self._renamed[mark]


def special_tokens(raw: RawTokenizer, named: Iterable[str]) -> dict[int, str]:
    """By id: the added tokens that are flagged as special, and those that are `named` for a role.

    A single letter is none: in a text nothing tells the two apart.
    """
    named = set(named)
    added = raw.get_added_tokens_decoder().items()
    return {
        number: token.content
        for number, token in added
        if (token.special or token.content in named) and len(token.content) > 1
    }


def with_names(tokenizer: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """What a `tokenizer.json` holds with other names for some of its tokens, in the vocabulary as well."""
    for token in tokenizer["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    tokenizer["post_processor"] = None  # what it puts around a text is not asked for here
    model = tokenizer["model"]
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        model["vocab"] = {names.get(name, name): number for name, number in vocabulary.items()}
    else:  # Unigram: a list of names and scores, by id
        model["vocab"] = [[names.get(name, name), score] for name, score in vocabulary]
    if model.get("unk_token") is not None:
        model["unk_token"] = names.get(model["unk_token"], model["unk_token"])
    if model.get("merges"):
        pairs = (each.split(" ", 1) if isinstance(each, str) else each for each in model["merges"])
        model["merges"] = [list(pair) for pair in pairs if names.keys().isdisjoint([*pair, "".join(pair)])]
    return tokenizer


def _renamed(text: str, longest: Sequence[str], names: Mapping[str, str]) -> str:
    """A prompt whose special tokens are called by their other names."""
    for name in longest:
        text = text.replace(name, names[name])
    return text


def _shown(written: Sequence[str]) -> str:
    text = repr(" ".join(written))
    return text if len(text) <= 80 else f"{text[:77]}..."
