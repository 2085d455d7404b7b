"""What transformers answers by itself with an exported LLaVA folder. Nothing here imports the workbench."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import AutoProcessor, LlavaForConditionalGeneration


@torch.inference_mode()
def answer(folder: str, questions: str, out: str) -> None:
    """Answer greedily what the JSON file `questions` asks, and write `out`: for each the ids [A] and the logits [A,V].

    The file holds `longest`, in tokens, and `asked`: a file with an image, and the whole text of the prompt. The end
    token belongs to an answer.
    """
    processor = AutoProcessor.from_pretrained(folder)
    model: Any = LlavaForConditionalGeneration.from_pretrained(folder).eval()
    told = json.loads(Path(questions).read_text(encoding="utf-8"))
    found = {}
    for number, (image, text) in enumerate(told["asked"]):
        given = processor(images=Image.open(image), text=text, return_tensors="pt")
        made = model.generate(
            **given, max_new_tokens=told["longest"], do_sample=False, return_dict_in_generate=True, output_logits=True
        )
        found[f"{number}.ids"] = made.sequences[0, given["input_ids"].shape[1] :].contiguous()
        found[f"{number}.logits"] = torch.cat(made.logits).float()
    loaded = sorted(name for name in sys.modules if name.partition(".")[0] == "workbench")
    if loaded:
        raise RuntimeError(f"the workbench was loaded: {loaded}")
    save_file(found, out)
