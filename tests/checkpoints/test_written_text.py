"""What people wrote never becomes a special token, and is else read as the tokenizer reads it."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
import transformers

from tests.checkpoints.tokenizer_kinds import KINDS, SPECIAL
from workbench.checkpoints.tokenizer import Tokenizer, pretrained_tokenizer, train_tokenizer
from workbench.checkpoints.written_text import MARK
from workbench.contracts.example import Example, Turn
from workbench.data.collator import Collator

ROLES = ("<pad>", "<s>", "</s>", "<image>")
PROMPTS = ["<image>{question}\n", "<s> see <image>\n{question}</s>", "<|im_end|>user\n<image>{question}<|im_end|>\nA:"]


@pytest.fixture(scope="module", params=[*KINDS, "own"])
def tokenizer(request) -> Tokenizer:
    if request.param == "own":
        return train_tokenizer(["what color is the </s> circle of the <image>?"] * 9, 300)
    return Tokenizer(KINDS[request.param](), ROLES)


def special_of(tokenizer: Tokenizer) -> dict[str, int]:
    return {token.content: number for number, token in tokenizer.raw.get_added_tokens_decoder().items()}


def test_no_special_token_is_read_in_what_somebody_wrote(tokenizer):
    special = special_of(tokenizer)
    unknown = special.get("<unk>")
    for name in special:
        for text in (
            name,
            f"{name}{name}",
            f"the tag {name} ends it",
            f"it ends with{name}",
            f"{name}x",
            f"a\n{name} ",
        ):
            ids = tokenizer.encode_text(text)
            assert ids
            assert not set(special.values()) - {unknown} & set(ids), (text, ids)
            kept = "".join(tokenizer.decode(ids).split())
            assert unknown in ids or kept.lower() == "".join(text.split()).lower(), text


def test_other_text_is_read_to_the_last_id_as_the_tokenizer_reads_it(tokenizer):
    for text in ("what color is it?", "isn't it?  < s > a / b", "Ünïcode 日本 🙂", "", "\n x", f"a{MARK * 3}b"):
        assert tokenizer.encode_text(text) == tokenizer.raw.encode(text, add_special_tokens=False).ids
        for prompt in ("<image>{question}\n", "{question}", "a {question}<image>"):
            before, _, behind = prompt.partition("{question}")
            whole = tokenizer.raw.encode(prompt.replace("{question}", text), add_special_tokens=False).ids
            assert tokenizer.encode_parts([before, text, behind]) == whole


def test_around_a_text_that_says_special_tokens_the_prompt_keeps_its_own(tokenizer):
    special = special_of(tokenizer)
    for name in special:
        ids = tokenizer.encode_parts(["<image>see: ", f"what does {name} mean?", "\n<image>"])
        assert ids.count(tokenizer.image) == 2
        assert (ids[0], ids[-1]) == (tokenizer.image, tokenizer.image) or tokenizer.raw.normalizer is not None
        others = set(special.values()) - {special.get("<unk>"), tokenizer.image}
        assert not others & set(ids)


def test_a_text_that_holds_the_very_mark_is_no_way_in(tokenizer):
    number = tokenizer.image
    for length in (3, 4, 5):
        mark = MARK * length
        ids = tokenizer.encode_text(f"{mark}{number}{mark} and <image> and {mark}")
        assert number not in ids


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_has_the_places_and_ends_of_its_prompt_alone(kind, prompt):
    tokenizer = Tokenizer(KINDS[kind](), ROLES)
    collate, special = Collator(tokenizer, prompt), special_of(tokenizer)
    plain = Example("0", "a", "what is it?", ("a tag",), history=(Turn("and that?", "no"),))
    named = Example(
        "0",
        "a",
        "what is </s> or <image> or <|im_end|>?",
        ("the <image> of </s>",),
        history=(Turn("<image><image> <pad>?", "<image></s><|endoftext|>"),),
    )
    found, meant = (collate(torch.empty(0), [[each]]) for each in (named, plain))
    for name in SPECIAL:
        if name != "<unk>":
            number = special[name]
            assert int((found.ids == number).sum()) == int((meant.ids == number).sum()), name
            assert int((found.labels == number).sum()) == int((meant.labels == number).sum()), name
    assert int((found.labels == tokenizer.end).sum()) == 2  # of either answer
    assert not (found.labels == tokenizer.image).any()


def test_it_is_the_same_behind_a_pickle(tokenizer):
    again = pickle.loads(pickle.dumps(tokenizer))
    text = "</s> <image> <pad>"
    assert again.encode_text(text) == tokenizer.encode_text(text)


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_fast_tokenizer_of_transformers_too(kind, tmp_path: Path):
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=KINDS[kind](), bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )
    fast.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>", "<row_1>"]})
    fast.save_pretrained(tmp_path)
    tokenizer = pretrained_tokenizer(tmp_path)
    special = special_of(tokenizer)
    assert {"<|im_start|>", "<row_1>", "</s>", "<image>"} <= set(special)
    text = "say <|im_start|>system</s><image><row_1> <pad>"
    ids = tokenizer.encode_text(text)
    assert not (set(special.values()) - {special["<unk>"]}) & set(ids)
    assert tokenizer.encode_text("a blue triangle") == fast.encode("a blue triangle", add_special_tokens=False)


def test_a_token_that_is_special_by_its_role_alone_is_kept_out_as_well(tmp_path: Path):
    raw = KINDS["byte_level"]()
    raw.add_tokens(["<turn>", "<word>"])
    tokenizer = Tokenizer(raw, ("<pad>", "<s>", "<turn>", "<image>"))
    assert tokenizer.end not in tokenizer.encode_text("a <turn> of it")
    assert raw.token_to_id("<word>") in tokenizer.encode_text("a <word> of it")  # a word that was added is one


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_side_a_tokenizer_pads_labels_begin_behind_the_prompt_and_end_with_the_end(kind, side, tmp_path: Path):
    raw = KINDS[kind]()
    raw.enable_padding(direction=side, pad_token="<pad>", length=40)
    raw.enable_truncation(5, direction=side)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token="<pad>", padding_side=side
    )
    fast.save_pretrained(tmp_path)
    tokenizer = pretrained_tokenizer(tmp_path)
    asked = [
        Example("0", "a", "what color is the circle?", ("a blue triangle on a pale image",)),
        Example("1", "b", "is there no red shape?", ("no </s> yes",)),
        Example("2", "c", "why?", ("it isn't large.",), history=(Turn("what is </s>?", "a tag"),)),
    ]
    batch = Collator(tokenizer, "<image>{question}\n")(torch.empty(0), [[each] for each in asked])
    for row, example in enumerate(asked):
        turns = [*((turn.question, turn.answer) for turn in example.history), (example.question, example.answer)]
        ids, labels = [tokenizer.start, *tokenizer.encode("<image>")], []
        for question, answer in turns:
            ids += tokenizer.encode_parts(["", question, "\n"])
            written = [*tokenizer.encode_text(answer), tokenizer.end]
            labels += [-100] * (len(ids) - 1 - len(labels)) + written
            ids += written
        labels.append(-100)
        length = len(ids) - 1
        assert batch.ids[row, :length].tolist() == ids[:-1]
        assert batch.labels[row, :length].tolist() == labels[:length]
        assert (batch.segments[row, length:] == -1).all(), "what is missing stands at the right"
        assert (batch.labels[row, length:] == -100).all()
