"""GGUF files, the format of llama.cpp, as folders in Hugging Face layout: converted once and kept.

transformers reads such a file in half a minute, most of it for the tokenizer; a grid reads it in every stage.
"""

from __future__ import annotations

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from workbench.checkpoints.transformers_models import quiet_transformers, transformers_for
from workbench.checkpoints.weights import CheckpointError
from workbench.storage.atomic import new_folder
from workbench.storage.cache import cache_folder
from workbench.storage.locks import locked_in_turn

GGUF = ".gguf"


def gguf_folder(file: Path) -> Path:
    """The folder with config, weights in fp32 and tokenizer; its name is the hash of the file's content.

    It lies in `~/.cache/workbench/gguf`, or below `XDG_CACHE_HOME`, and may be removed at any time.
    """
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()[:16]
    cache = cache_folder("gguf")
    folder = cache / f"{file.stem}-{digest}"
    if not folder.is_dir():
        with locked_in_turn(cache / f"{folder.name}.lock"):
            if not folder.is_dir():  # another process may have made it while this one waited
                # In a thread of its own the caller's torch modes, such as building on the meta device, do not hold.
                with new_folder(folder) as new, ThreadPoolExecutor(1) as thread:
                    thread.submit(_convert, file, new).result()
    return folder


def _convert(file: Path, folder: Path) -> None:
    from safetensors.torch import save_file

    transformers = transformers_for(f"the GGUF file {file}")
    where: Any = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
    try:
        with quiet_transformers(), redirect_stderr(io.StringIO()):  # progress is shown there whatever one asks for
            tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
            decoder = transformers.AutoModelForCausalLM.from_pretrained(**where)
    except ImportError as error:  # of gguf or accelerate
        raise CheckpointError(
            f"{file} is a GGUF file; to read it, install the extra: pip install workbench[hf]"
        ) from error
    except Exception as error:  # transformers raises many kinds for a file that it cannot read
        raise CheckpointError(f"transformers cannot read {file}: {str(error).partition(chr(10))[0]}") from error
    decoder.config.architectures = [type(decoder).__name__]
    decoder.config.save_pretrained(folder)
    first = {weight.data_ptr(): name for name, weight in reversed(decoder.state_dict().items())}  # tied weights once
    weights = {name: decoder.state_dict()[name].contiguous() for name in first.values()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save_pretrained(folder)
