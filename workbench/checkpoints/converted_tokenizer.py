"""Tokenizers without `tokenizer.json`, as the folders of older models have them: converted as transformers does it.

Of vocab.json and merges.txt (GPT-2, OPT), a SentencePiece or tiktoken model (Llama 1 and 2, Vicuna, T5), or vocab.txt
(BERT). A large vocabulary takes up to half a minute, and a grid reads it in every stage: it is done once and kept.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import re
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from workbench.checkpoints.json_files import object_if_there
from workbench.checkpoints.transformers_models import quiet_transformers, transformers_for
from workbench.checkpoints.weights import CheckpointError
from workbench.storage.atomic import new_folder
from workbench.storage.cache import cache_folder
from workbench.storage.locks import locked_in_turn

TOKENIZER, NAMES = "tokenizer.json", "tokenizer_config.json"
SENTENCEPIECE = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "sentencepiece.model", "spm.model")
VOCABULARIES = ("vocab.json", "vocab.txt", "tekken.json", "tiktoken.model", *SENTENCEPIECE)
BESIDE = ("merges.txt", "added_tokens.json", "special_tokens_map.json", NAMES)
TIKTOKEN_LINE = re.compile(rb"[A-Za-z0-9+/]+=* \d+\r?\n")


def tokenizer_folder(folder: Path) -> Path:
    """The folder itself where it has a `tokenizer.json`, else one with what its own tokenizer was converted to and a
    `tokenizer_config.json` that names the special tokens. `CheckpointError` for a tokenizer that cannot be converted.

    It lies in `~/.cache/workbench/tokenizers`, or below `XDG_CACHE_HOME`, and may be removed at any time.
    """
    found = [folder / name for name in (*VOCABULARIES, *BESIDE, "config.json") if (folder / name).is_file()]
    if (folder / TOKENIZER).is_file() or not any(file.name in VOCABULARIES for file in found):
        return folder
    transformers = transformers_for(f"the tokenizer of {folder}, which has no {TOKENIZER},")
    digest = hashlib.sha256(transformers.__version__.encode())
    for file in found:
        digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    cache = cache_folder("tokenizers")
    converted = cache / digest.hexdigest()[:16]
    if not converted.is_dir():
        with locked_in_turn(cache / f"{converted.name}.lock"):
            if not converted.is_dir():  # another process may have made it while this one waited
                with new_folder(converted) as new:
                    _convert(transformers, folder, new)
    return converted


def _convert(transformers: Any, folder: Path, new: Path) -> None:
    _check_packages(folder)
    if "AutoTokenizer" in object_if_there(folder / NAMES).get("auto_map", {}):
        raise _no_tokenizer(folder, f"{NAMES} names code that the folder brings along (auto_map), which is not run")
    try:
        with quiet_transformers(), redirect_stderr(io.StringIO()):
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                folder, trust_remote_code=False, local_files_only=True
            )
    except Exception as error:  # transformers raises many kinds for files that it cannot read
        reason = " ".join(str(error).split()) or type(error).__name__
        raise _no_tokenizer(folder, f"transformers cannot read it: {reason[:200]}") from error
    raw = getattr(tokenizer, "backend_tokenizer", None)
    if raw is None:
        raise _no_tokenizer(folder, f"{type(tokenizer).__name__} of transformers has no fast form to convert it to")
    if raw.pre_tokenizer is None and raw.normalizer is None:  # how words are parted is what its class would have said
        raise _no_tokenizer(folder, "its files do not say how a text is parted: give tokenizer_class")
    tokenizer.save_pretrained(new)
    named = object_if_there(new / NAMES) | {
        role: raw.id_to_token(id_) for role, id_ in _ids_of_the_model(folder).items()
    }
    (new / NAMES).write_text(json.dumps(named, indent=1), encoding="utf-8")


def _ids_of_the_model(folder: Path) -> dict[str, int]:
    """The special tokens that config.json alone names: what a tokenizer's class would have by default is another."""
    named = object_if_there(folder / "special_tokens_map.json") | object_if_there(folder / NAMES)
    ids = {
        f"{role}_token": object_if_there(folder / "config.json").get(f"{role}_token_id")
        for role in ("bos", "eos", "pad")
    }
    first = {role: id_[0] if isinstance(id_, list) and id_ else id_ for role, id_ in ids.items()}
    return {role: id_ for role, id_ in first.items() if isinstance(id_, int) and id_ >= 0 and not named.get(role)}


def _check_packages(folder: Path) -> None:
    """transformers takes a SentencePiece model for one of tiktoken's where it lacks the package for it."""
    for file in (folder / name for name in ("tiktoken.model", *SENTENCEPIECE)):
        if not file.is_file():
            continue
        with file.open("rb") as opened:
            package = "tiktoken" if TIKTOKEN_LINE.match(opened.readline(1000)) else "sentencepiece"
        for needed in (package, *(["google.protobuf"] if package == "sentencepiece" else [])):
            if not _installed(needed):
                raise CheckpointError(
                    f"{file} needs the package {needed.removeprefix('google.')}: pip install workbench[hf]"
                )


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # of the package around it
        return False


def _no_tokenizer(folder: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{folder} has no {TOKENIZER}, and its tokenizer cannot be converted to one: {reason}. Take a checkpoint with a"
        f" {TOKENIZER}, or write one there (transformers: AutoTokenizer.from_pretrained(...).save_pretrained(folder))"
    )
