"""LLaVA-Instruct: conversations about pictures, several turns each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from workbench import Dataset, Entry, Example, FileDataset, PictureFiles, Share, Turn, hookimpl, read_entries

HUMAN, ASSISTANT = ("human", "user"), ("gpt", "assistant")


def llava_json(
    *,
    conversations: dict[str, Path],
    images: Path | dict[str, Path],
    picture: str = "{image}",
    test_share: Share = 0.0,
    most_broken: Share = 0.0,
) -> Dataset:
    """Conversations as LLaVA has them (Liu et al. 2023, https://arxiv.org/abs/2304.08485), JSON or JSONL.

    Every answer of a conversation trains; an evaluation asks the last question. `<image>` is taken out of the text: the
    experiment's prompt says where the picture goes. Entries without `image` (text alone) are passed over. `test_share`
    of the pictures become the split `test`, where no file is given for it.
    """
    files = PictureFiles(images, picture)

    def read(split: str, paths: Sequence[Path]) -> Iterator[Example]:
        for number, entry in enumerate(read_entries(paths[0])):
            if entry.value.get("image") is None:
                continue
            *history, last = _turns(entry)
            key = files.key(split, image=entry.text("image"))
            # The ids of the file are those of pictures: several conversations may have one.
            yield Example(f"{split}/{number}", key, last.question, (last.answer,), history=tuple(history))

    return FileDataset({"questions": read}, conversations, files, None, most_broken, test_share)


def _turns(entry: Entry) -> list[Turn]:
    said = entry.entries("conversations")
    if len(said) % 2:
        raise entry.wrong(f"'conversations' should be questions and answers in turn; there are {len(said)} texts")
    return [
        Turn(_said(question, HUMAN).replace("<image>", "").strip(), _said(answer, ASSISTANT))
        for question, answer in zip(said[::2], said[1::2], strict=True)
    ]


def _said(text: Entry, who: tuple[str, ...]) -> str:
    if text.value.get("from") not in who:
        raise text.wrong(f"'from' should be '{who[0]}' here, not '{text.text('from')}'")
    return text.text("value")


@hookimpl
def register_datasets(register):
    """LLaVA-Instruct."""
    register("llava_json", llava_json)
