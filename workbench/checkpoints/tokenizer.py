"""Text to token ids and back: a thin coat over Hugging Face `tokenizers`, with the four special tokens we need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.checkpoints.chat_template import CHAT, CONTENT, ChatError, ChatTemplate, Span
from workbench.checkpoints.converted_tokenizer import TOKENIZER, tokenizer_folder
from workbench.checkpoints.end_tokens import ENDS, end_tokens
from workbench.checkpoints.json_files import object_if_there
from workbench.checkpoints.weights import CheckpointError
from workbench.checkpoints.written_text import WrittenText
from workbench.errors import UserError
from workbench.storage.places import regular

if TYPE_CHECKING:
    from tokenizers import Tokenizer as RawTokenizer


IMAGE = "<image>"
PADDING, START, END = "<pad>", "<start>", "<end>"
SPECIAL = (PADDING, START, END, IMAGE)
MOST_TOKENS = 10_000_000  # the largest vocabularies of decoders have some 300,000


class Tokenizer:
    """`encode` and `decode`, and the ids of the special tokens.

    `special` names padding, start, end and image: a pretrained tokenizer has names of its own for them. `more_ends` are
    ids that end an answer as well; what is trained to end one is the end alone.
    """

    def __init__(
        self,
        raw: RawTokenizer,
        special: Sequence[str] = SPECIAL,
        template: ChatTemplate | None = None,
        more_ends: Sequence[int] = (),
    ):
        self.raw = raw
        self.special = tuple(special)
        self.template = template
        self.more_ends = tuple(more_ends)
        self.size: int = raw.get_vocab_size()
        self.padding, self.start, self.end, self.image = (self._special(token) for token in special)
        self._written = WrittenText(raw, self.special)

    def encode(self, text: str) -> list[int]:
        """The ids of a prompt: `<image>` and other special tokens become their own ids, nothing is put before or
        behind. What somebody wrote is for `encode_text`."""
        return self.encode_parts([text])

    def encode_text(self, text: str) -> list[int]:
        """The ids of what somebody wrote: an answer, a caption, a page. No special token is read in it."""
        return self.encode_parts(["", text])

    def encode_parts(self, parts: Sequence[str]) -> list[int]:
        """The ids of a prompt with texts in it, read as one: a part of the prompt, a text, a part of the prompt ..."""
        return self._written.encode(parts)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids` without special tokens, stripped."""
        return self.raw.decode(list(ids), skip_special_tokens=True).strip()

    @property
    def ends(self) -> tuple[int, ...]:
        """Each token that ends an answer, the end that is trained first."""
        return tuple(dict.fromkeys((self.end, *self.more_ends)))

    def chat(self, messages: Sequence[Mapping[str, str]]) -> list[Span]:
        """A conversation as its model was trained on it, in spans that say which are the assistant's words.

        messages: each with a `role` (system, user, assistant) and its `content`.
        """
        if self.template is None:
            raise CheckpointError("this tokenizer has no chat template: take the instruction-tuned checkpoint")
        return self.template.spans(messages)

    def prompts(self, prompt: str) -> Prompts:
        """What a template of an experiment, or `chat` and perhaps what the user says, stands for."""
        name, _, content = prompt.partition(":")
        if name.strip() != CHAT:
            return Prompts((self.start,), prompt, None)
        if self.template is None:
            raise CheckpointError(
                f"prompt: {CHAT} needs a tokenizer with a chat template, which this language model's has not: take an"
                " instruction-tuned checkpoint, or write the prompt out, as <image>{question}"
            )
        first, later, _ = self.template.prompts(content.strip() or CONTENT)
        return Prompts((), first, later)

    def json(self) -> str:
        """The whole tokenizer as text, in the format of the `tokenizers` library."""
        return self.raw.to_str()

    def _special(self, token: str) -> int:
        found = self.raw.token_to_id(token)
        if found is None:
            raise CheckpointError(f"the tokenizer has no special token {token}; train it with `train_tokenizer`")
        return found

    def __deepcopy__(self, memo: dict[int, Any]) -> Tokenizer:
        return self  # nothing of it changes, and a large vocabulary takes a second to copy

    def __getstate__(self) -> dict[str, Any]:
        return {"json": self.json(), "special": self.special, "template": self.template, "ends": self.more_ends}

    def __setstate__(self, state: dict[str, Any]) -> None:
        from tokenizers import Tokenizer as RawTokenizer

        raw = RawTokenizer.from_str(state["json"])
        Tokenizer.__init__(self, raw, state["special"], state["template"], state["ends"])


@dataclass(frozen=True)
class Prompts:
    """The ids that a row begins with, the template of a conversation's first question, and that of later ones.

    Where there is none for later ones, they go on as the first one does behind `<image>`.
    """

    start: tuple[int, ...]
    first: str
    later: str | None


def tokenizer_for(corpus: Corpus, vocabulary_size: int) -> Tokenizer:
    """The tokenizer saved with a trained model, or else a new one trained on the experiment's text."""
    if corpus.tokenizer_file is not None:
        return read_tokenizer(corpus.tokenizer_file)
    if vocabulary_size not in corpus.trained:
        corpus.trained[vocabulary_size] = train_tokenizer(corpus.texts(), vocabulary_size)
    return corpus.trained[vocabulary_size]


def read_tokenizer(file: Path) -> Tokenizer:
    """The tokenizer saved in `file` (the JSON format of the `tokenizers` library)."""
    return Tokenizer(_read_raw(file))


def pretrained_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a checkpoint in Hugging Face layout, with `<image>` added when it has none.

    One without `tokenizer.json` is converted, as transformers does it. Start and end are those it was trained with, as
    `tokenizer_config.json` or else `config.json` names them; BERT's are its class and separation tokens. Where
    there is no start or padding, the end stands for it. With a chat template, the end is that of the assistant's turn.
    Every end token of `generation_config.json` and `config.json` ends an answer.
    """
    words = tokenizer_folder(folder)
    raw = _read_raw(words / TOKENIZER)
    raw.no_padding()
    raw.no_truncation()
    if raw.token_to_id(IMAGE) is None:
        raw.add_special_tokens([IMAGE])
    config = object_if_there(words / "tokenizer_config.json")
    named = config | {"ids": object_if_there(folder / "config.json")}
    start, end, padding = (_named(raw, named, role) for role in ("bos", "eos", "pad"))
    if end is None:
        start, end = start or _named(raw, named, "cls"), _named(raw, named, "sep")
    if end is None:
        raise CheckpointError(f"{folder} does not say which token ends a text: give eos_token in tokenizer_config.json")
    template = _chat_template(words, config, raw, {"bos": start, "eos": end, "pad": padding})
    if template is not None:
        with suppress(ChatError):  # it is told where a prompt asks for it
            *_, end = template.prompts(CONTENT)
    ends = [id_ for name in ENDS for id_ in end_tokens(folder / name) if id_ < raw.get_vocab_size()]
    return Tokenizer(raw, (padding or end, start or end, end, IMAGE), template, ends)


def _chat_template(
    folder: Path, config: dict[str, Any], raw: RawTokenizer, named: dict[str, str | None]
) -> ChatTemplate | None:
    """Its own file, or what tokenizer_config.json holds: a text, or a list of them with names."""
    file, source = folder / "chat_template.jinja", config.get("chat_template")
    if file.is_file():
        source = file.read_text(encoding="utf-8")
    if isinstance(source, list):
        source = {each.get("name"): each.get("template") for each in source}.get("default")
    if not isinstance(source, str):
        return None
    special = [token.content for token in raw.get_added_tokens_decoder().values()]
    tokens = tuple((f"{role}_token", token or "") for role, token in named.items())
    return ChatTemplate(source, tokens, tuple(sorted(special, key=len, reverse=True)))


def _named(raw: RawTokenizer, named: dict[str, Any], role: str) -> str | None:
    """The special token of a role: its name, an object with its name, its id, or a list of ids."""
    token = named.get(f"{role}_token")
    if isinstance(token, dict):
        token = token.get("content")
    if isinstance(token, str) and raw.token_to_id(token) is not None:
        return token
    number = named["ids"].get(f"{role}_token_id")
    first = number[0] if isinstance(number, list) and number else number
    return raw.id_to_token(first) if isinstance(first, int) and first >= 0 else None


def _read_raw(file: Path) -> RawTokenizer:
    from tokenizers import Tokenizer as RawTokenizer

    try:
        return RawTokenizer.from_str(regular(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"cannot read the tokenizer {file}: {error.strerror}") from error
    except Exception as error:  # the library raises bare Exception for a file it cannot parse
        raise CheckpointError(f"{file} is not a tokenizer file: {error}") from error


def train_tokenizer(texts: Iterable[str], vocabulary_size: int) -> Tokenizer:
    """Byte-level BPE (Sennrich et al. 2016, https://arxiv.org/abs/1508.07909; bytes as in GPT-2) on `texts`.

    Every text is put behind a space, so that a word has one token wherever it stands. The 256 bytes are always
    in the vocabulary: no text is unknown.
    """
    from tokenizers import Tokenizer as RawTokenizer, decoders, models, pre_tokenizers, trainers

    smallest = 256 + len(SPECIAL)
    if vocabulary_size < smallest:
        raise UserError(f"a byte-level vocabulary has at least {smallest} tokens, not {vocabulary_size}")
    if vocabulary_size > MOST_TOKENS:  # the library takes memory for all of them at once, and ends the process
        raise UserError(f"a vocabulary has at most {MOST_TOKENS:,} tokens, not {vocabulary_size:,}")
    raw = RawTokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(texts, trainer)
    return Tokenizer(raw)


@dataclass(frozen=True)
class Corpus:
    """The training text of an experiment, and the tokenizer saved with a trained model, if there is one.

    `trained` remembers by size of vocabulary the tokenizers that were trained on the text.
    """

    texts: Callable[[], Iterable[str]]
    tokenizer_file: Path | None = None
    trained: dict[int, Tokenizer] = field(default_factory=dict)
