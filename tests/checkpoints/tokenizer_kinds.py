"""The kinds of tokenizers that decoders come with, each trained on a few lines: none can be had without a download."""

from __future__ import annotations

import json
from collections.abc import Callable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEXTS = [
    "what color is the circle?",
    "a blue triangle on a pale image of 64 x 64 pixels",
    "is there no red shape? no. yes, there is; it isn't large.",
    "the quick brown fox [jumps] over </the lazy | dog> im_end pad _ 0123456789",
] * 20
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<image>", "<|im_end|>", "<|endoftext|>"]
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def byte_level() -> Tokenizer:
    """Bytes as letters, as GPT-2's."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, special_tokens=SPECIAL)
    )
    return raw


def split_first() -> Tokenizer:
    """Split by a regular expression and then into bytes, as Qwen's."""
    raw = byte_level()
    raw.normalizer = normalizers.NFC()
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return raw


def byte_fallback() -> Tokenizer:
    """Letters, and bytes for those it does not know, as Llama's."""
    raw = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    raw.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    every_byte = [f"<0x{byte:02X}>" for byte in range(256)]
    raw.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=500, special_tokens=[*SPECIAL, *every_byte], show_progress=False)
    )
    held = json.loads(raw.to_str())
    held["added_tokens"] = [token for token in held["added_tokens"] if token["content"] not in every_byte]
    return Tokenizer.from_str(json.dumps(held))  # bytes are of its vocabulary, and not special


def unigram() -> Tokenizer:
    """Pieces with scores, as T5's: its special tokens are pieces as well."""
    raw = Tokenizer(models.Unigram())
    raw.normalizer, raw.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    raw.decoder = decoders.Metaspace()
    raw.train_from_iterator(TEXTS, trainers.UnigramTrainer(vocab_size=150, special_tokens=SPECIAL, unk_token="<unk>"))
    return raw


def word_piece() -> Tokenizer:
    """Words and what they go on with, as BERT's; without punctuation apart, so that `</s>` could be a word."""
    raw = Tokenizer(models.WordPiece(unk_token="<unk>"))
    raw.normalizer, raw.pre_tokenizer = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.WhitespaceSplit()
    raw.decoder = decoders.WordPiece()
    raw.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=SPECIAL))
    raw.add_special_tokens([AddedToken("[SEP]", normalized=True)])
    return raw


KINDS: dict[str, Callable[[], Tokenizer]] = {
    each.__name__: each for each in (byte_level, split_first, byte_fallback, unigram, word_piece)
}
