"""Tokenizers without `tokenizer.json` give the tokens that transformers' own `AutoTokenizer` gives."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from tests.tiny import builtin_registry, texts
from workbench.checkpoints import converted_tokenizer
from workbench.checkpoints.hugging_face import checkpoint_files
from workbench.checkpoints.tokenizer import Corpus, pretrained_tokenizer
from workbench.checkpoints.weights import CheckpointError
from workbench.registry import resolve_options

SAID = (
    "what color is it?",
    " Is it  red,\n or BLUE?\t",
    "café 💡 123",
    "red</s>blue <s> it<new> is",
    "",
    "it's [SEP] <|endoftext|>",
)
PACKAGE = "comes with pip install workbench[hf]"


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def write(folder: Path, config: dict[str, Any], names: dict[str, Any] | None = None) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    if names is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(names))
    return folder


def opt(folder: Path, **names: Any) -> Path:
    """As facebook/opt-125m lies on the hub: its tokens are objects, its end begins a text as well."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special, alphabet = ["<s>", "<pad>", "</s>", "<unk>"], pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        texts(), trainers.BpeTrainer(vocab_size=320, special_tokens=special, initial_alphabet=alphabet)
    )
    raw.model.save(str(folder))
    form = {"__type": "AddedToken", "lstrip": False, "rstrip": False, "normalized": True, "single_word": False}
    tokens = {f"{role}_token": {**form, "content": "</s>"} for role in ("bos", "eos", "unk")}
    tokens["pad_token"] = {**form, "content": "<pad>"}
    told = {"errors": "replace", "add_bos_token": True, "tokenizer_class": "GPT2Tokenizer", **tokens, **names}
    return write(folder, {"model_type": "opt", "bos_token_id": 2, "eos_token_id": 2, "pad_token_id": 1}, told)


def bert(folder: Path) -> Path:
    words = sorted({word for text in texts() for word in re.findall(r"\w+|[^\w\s]", text.lower())})
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "##s", *words]))
    return write(folder, {"model_type": "bert"}, {"do_lower_case": True})


def sentencepiece(folder: Path, name: str, kind: str, **options: Any) -> Path:
    package: Any = pytest.importorskip("sentencepiece", reason=PACKAGE)
    package.SentencePieceTrainer.train(
        sentence_iterator=iter(texts()),
        model_prefix=str(folder / "made"),
        model_type=kind,
        vocab_size=400,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    (folder / "made.model").rename(folder / name)
    (folder / "made.vocab").unlink()
    return folder


def vicuna(folder: Path, **names: Any) -> Path:
    pieces = {"unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": -1, "byte_fallback": True, "character_coverage": 1.0}
    sentencepiece(folder, "tokenizer.model", "bpe", **pieces)
    tokens = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    told = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False, **tokens, **names}
    return write(folder, {"model_type": "llama", "bos_token_id": 1, "eos_token_id": 2}, told)


def t5(folder: Path) -> Path:
    sentencepiece(folder, "spiece.model", "unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    return write(folder, {"model_type": "t5", "eos_token_id": 1, "pad_token_id": 0})


def with_added(folder: Path) -> Path:
    size = len(json.loads((folder / "vocab.json").read_text()))
    (folder / "added_tokens.json").write_text(json.dumps({"<new>": size}))
    return folder


MADE: dict[str, Callable[[Path], Path]] = {
    "OPT": opt,
    "OPT with a space before": lambda folder: opt(folder, add_prefix_space=True),
    "OPT with another token": lambda folder: with_added(opt(folder)),
    "BERT": bert,
    "Vicuna": vicuna,
    "Vicuna as it was at first": lambda folder: vicuna(folder, legacy=True),
    "Vicuna mended": lambda folder: vicuna(folder, legacy=False),
    "Vicuna without a space before": lambda folder: vicuna(folder, legacy=False, add_prefix_space=False),
    "T5": t5,
}


@pytest.mark.parametrize("made", MADE)
def test_tokens_and_special_tokens_are_those_of_transformers(tmp_path, made):
    folder = MADE[made](tmp_path)
    own = pretrained_tokenizer(folder)
    theirs: Any = transformers.AutoTokenizer.from_pretrained(folder)
    for text in SAID:
        ids = theirs(text, add_special_tokens=False).input_ids
        assert own.encode(text) == ids
        assert own.decode(ids) == theirs.decode(ids, skip_special_tokens=True).strip()
    end = theirs.sep_token_id if made == "BERT" else theirs.eos_token_id
    start = theirs.cls_token_id if made == "BERT" else theirs.bos_token_id
    assert (own.end, own.start) == (end, end if start is None else start)
    assert own.padding == (end if theirs.pad_token_id is None else theirs.pad_token_id)
    assert own.image == len(theirs)


def test_a_text_is_parted_as_sentencepiece_parts_it(tmp_path):
    package: Any = pytest.importorskip("sentencepiece", reason=PACKAGE)
    own = pretrained_tokenizer(vicuna(tmp_path))
    slow = package.SentencePieceProcessor(str(tmp_path / "tokenizer.model"))
    for text in texts():
        assert own.encode(text) == slow.encode(text)


def test_a_tiktoken_model_is_converted(tmp_path):
    pytest.importorskip("tiktoken", reason=PACKAGE)
    words = [b"re", b"red", b"is", b" is", b" it"]
    tokens = [*(bytes([number]) for number in range(256)), b" i", *words]
    lines = "".join(f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens))
    (tmp_path / "tokenizer.model").write_text(lines)
    names = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>"}
    write(tmp_path, {"model_type": "llama"}, names)
    own = pretrained_tokenizer(tmp_path)
    theirs: Any = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert own.encode("is it red") == theirs("is it red", add_special_tokens=False).input_ids
    assert own.decode(own.encode("is it red")) == "is it red"


def test_what_config_alone_names_is_not_what_the_class_has_by_default(tmp_path):
    opt(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    own = pretrained_tokenizer(tmp_path)
    assert (own.start, own.end, own.padding) == (2, 2, 1)


def test_it_is_converted_once(tmp_path, cache, monkeypatch):
    folder = opt(tmp_path)
    first = pretrained_tokenizer(folder)
    monkeypatch.setattr(converted_tokenizer, "_convert", None)
    assert pretrained_tokenizer(folder).json() == first.json()
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    opt(tmp_path, add_prefix_space=True)
    assert pretrained_tokenizer(folder).encode("red") != first.encode("red")


def test_what_it_is_made_of_belongs_to_the_checkpoint(tmp_path):
    with_added(opt(tmp_path))
    names = {file.name for file in checkpoint_files(str(tmp_path))}
    assert names == {"added_tokens.json", "config.json", "merges.txt", "tokenizer_config.json", "vocab.json"}


@pytest.mark.parametrize("package", ["sentencepiece", "tiktoken", "google.protobuf"])
def test_a_package_that_is_lacking_is_named_with_its_extra(tmp_path, monkeypatch, package):
    content = b"cmVk 0\nYmx1ZQ== 1\n" if package == "tiktoken" else b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02"
    (tmp_path / "tokenizer.model").write_bytes(content)
    write(tmp_path, {"model_type": "llama", "eos_token_id": 2})
    monkeypatch.setattr(converted_tokenizer, "_installed", lambda name: name != package)
    name = package.removeprefix("google.")
    with pytest.raises(CheckpointError, match=rf"needs the package {name}: pip install workbench\[hf\]"):
        pretrained_tokenizer(tmp_path)


def slow_only(folder: Path) -> None:
    write(opt(folder), {"model_type": "ctrl"}, {"tokenizer_class": "CTRLTokenizer", "eos_token": "</s>"})


def of_code(folder: Path) -> None:
    (folder / "mine.py").write_text("raise SystemExit('this was run')")
    write(opt(folder), {"model_type": "opt"}, {"auto_map": {"AutoTokenizer": ["mine.Mine", None]}})


def of_no_class(folder: Path) -> None:
    write(opt(folder), {"model_type": "nothing"})
    (folder / "tokenizer_config.json").unlink()


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (slow_only, "CTRLTokenizer of transformers has no fast form"),
        (of_code, "auto_map"),
        (of_no_class, ""),
        (lambda folder: (opt(folder) / "merges.txt").unlink(), "merges"),
        (lambda folder: (opt(folder) / "vocab.json").write_text("{"), ""),
    ],
)
def test_what_cannot_be_converted_is_refused_with_the_reason(tmp_path, harm, reason):
    harm(tmp_path)
    with pytest.raises(CheckpointError, match=rf"cannot be converted to one: .*{reason}.*Take a checkpoint with a"):
        pretrained_tokenizer(tmp_path)


def test_opt_is_taken_as_it_lies_on_the_hub(tmp_path):
    sizes: dict[str, Any] = {
        "vocab_size": 330,
        "hidden_size": 16,
        "word_embed_proj_dim": 16,
        "ffn_dim": 24,
        "num_hidden_layers": 2,
    }
    config = transformers.OPTConfig(**sizes, num_attention_heads=2, max_position_embeddings=64)
    torch.manual_seed(0)
    reference = transformers.OPTForCausalLM(config).eval()
    opt(tmp_path)
    reference.save_pretrained(tmp_path)
    plugin = builtin_registry().plugin("language_model", "huggingface")
    decoder = plugin.factory(Corpus(texts), **resolve_options(plugin, {"checkpoint": str(tmp_path)})).eval()
    ids = torch.tensor([[2, *decoder.tokenizer.encode("what color is it?")]])
    count = ids.shape[1]
    mask = torch.ones(1, 1, count, count, dtype=torch.bool).tril()
    with torch.no_grad():
        own = decoder.head(decoder(decoder.embed(ids), torch.arange(count)[None], mask))
        torch.testing.assert_close(own, reference(ids).logits)
