"""A pretrained tokenizer's own chat template: a conversation as the text that its model was trained on.

Templates are Jinja (https://jinja.palletsprojects.com), as `tokenizer_config.json` or `chat_template.jinja` hold them,
and run in Jinja's sandbox. Where the assistant's turns stand is found by rendering marks in the place of its words.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from workbench.errors import UserError

if TYPE_CHECKING:
    from jinja2 import Template

CHAT = "chat"
CONTENT = "<image>\n{question}"  # what a user says, unless the prompt says otherwise
TODAY = datetime.date(2024, 7, 26)  # for templates that write a date: the same text every day
_MARK = "TheAssistantsWords{}EndHere"


class ChatError(UserError):
    """A chat template that cannot be used. A tokenizer is read all the same: only a prompt that asks for it fails."""


@dataclass(frozen=True)
class Span:
    """A stretch of a rendered conversation: what the assistant says, with the end of its turn, or all around it."""

    text: str
    assistant: bool


@dataclass(frozen=True)
class ChatTemplate:
    """The source of a template, the tokens it calls by name (`bos_token` ...), and all special ones there are."""

    source: str
    named: tuple[tuple[str, str], ...]
    special: tuple[str, ...]

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The whole text of messages, each with a `role` (system, user, assistant) and its `content`."""
        from jinja2 import TemplateError

        try:
            return _compiled(self.source).render(
                messages=list(messages), add_generation_prompt=False, **dict(self.named)
            )
        except (TemplateError, ValueError, TypeError) as error:
            raise ChatError(f"the tokenizer's chat template refuses this conversation: {error}") from error

    def spans(self, messages: Sequence[Mapping[str, str]]) -> list[Span]:
        """The same, cut where the assistant begins and ends; `ChatError` when that cannot be seen.

        Between the assistant's words and the end of its turn nothing else may stand.
        """
        said = [message for message in messages if message["role"] == "assistant"]
        marks = [_MARK.format(number) for number in range(len(said))]
        fresh = iter(marks)
        marked = [
            {**message, "content": next(fresh)} if message["role"] == "assistant" else message for message in messages
        ]
        rest, spans = self.render(marked), []
        for mark, message in zip(marks, said, strict=True):
            before, found, rest = rest.partition(mark)
            if not found:
                raise ChatError("the tokenizer's chat template leaves out, or changes, what the assistant says")
            end = self._end_in(rest)
            rest = rest.removeprefix(end)
            spans += [Span(before, False), Span(message["content"] + end, True)]
        return [span for span in (*spans, Span(rest, False)) if span.text]

    def prompts(self, content: str) -> tuple[str, str, str]:
        """What stands before the assistant's first words, before its later ones, and the token that ends its turn.

        `content` is the user's, with `{question}` in it; a later question stands alone.
        """
        first, *_ = self.spans(_conversation([content]))
        _, said, later, *_ = self.spans(_conversation([content, "{question}"]))
        end = said.text.removeprefix("{answer}")
        if not end:
            raise ChatError("the tokenizer's chat template ends the assistant's turn with no special token")
        return first.text, later.text, end

    def _end_in(self, rest: str) -> str:
        """The special token with which the assistant's turn ends, `rest` being what stands behind its words."""
        return next((token for token in self.special if rest.startswith(token)), "")


def _conversation(questions: Sequence[str]) -> list[dict[str, str]]:
    turns = [(("user", question), ("assistant", "{answer}")) for question in questions]
    return [{"role": role, "content": content} for turn in turns for role, content in turn]


@cache
def _compiled(source: str) -> Template:
    """With what transformers gives to templates; its mark-up of what the assistant says is left out."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> str:
        raise ValueError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = TODAY.strftime
    return environment.from_string(re.sub(r"\{%-?\s*(end)?generation\s*-?%\}", "", source))
