"""What cases begin from: a tiny experiment about images in a folder, its finished run, checkpoints, annotation files.

Each is made once, by `make_...`, in a folder that cases copy.
"""

from __future__ import annotations

import copy
import os
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from official_formats import WORDS
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from workbench.cli.main import main

LAUNCHER = Path(__file__).parents[2] / "tests" / "own_plugins" / "inside.py"
EXPERIMENT = "tiny.yaml"
EXPORT = "exported"
COLORS = ("red", "green", "blue", "white")
TINY: dict[str, Any] = {
    "question": "Does it run?",
    "base": {
        "dataset": {"name": "folder", "tables": {"train": "train.csv", "test": "test.csv"}, "images": "images"},
        "encoder": {"name": "vit", "image_size": 16, "patch_size": 8, "width": 16, "depth": 1, "heads": 2},
        "connector": "linear",
        "fusion": "concat_projection",
        "language_model": {"name": "gpt", "width": 16, "depth": 1, "heads": 2, "vocabulary_size": 300},
        "adapter": "full",
        "quantizer": "none",
        "phases": [
            {
                "name": "tune",
                "train": ["encoder", "connector", "fusion", "language_model"],
                "steps": 2,
                "batch": 4,
                "precision": "fp32",
            }
        ],
    },
    "grid": {"quantizer": ["none", "int8"]},
    "metrics": ["vqa_accuracy", "loss"],
    "evaluation": {"split": "test", "max_new_tokens": 2, "precision": "fp32"},
    "launcher": "inside",
}
OF_CAPTIONS = ("coco_captions", "flickr30k", "localized_narratives")
# Beside all cases, since two folders of plugins with the same launcher would not do.
LAUNCHERS = "../../../plugins"
HERE = ["--plugins", LAUNCHERS, "--results", "results"]


def make_data(folder: Path) -> None:
    """Images of one colour, and questions about them."""
    (folder / "images").mkdir(parents=True)
    for color in COLORS:
        Image.new("RGB", (16, 16), color).save(folder / f"images/{color}.png")
    rows = [f"{color}.png,what color is it?,{color}\n{color}.png,is it red?,yes\n" for color in COLORS]
    for name in ("train", "test"):
        (folder / f"{name}.csv").write_text("image,question,answers\n" + "".join(rows), encoding="utf-8")


def make_launcher(folder: Path) -> None:
    """A launcher that works within the process, for a folder `folder/cases/NAME/work`."""
    (folder / "plugins").mkdir(parents=True, exist_ok=True)
    (folder / "plugins/inside.py").write_bytes(LAUNCHER.read_bytes())


def with_dataset(dataset: dict[str, Any]) -> dict[str, Any]:
    """The experiment with another dataset, and a task that it has."""
    document = copy.deepcopy(TINY)
    task = "captions" if dataset["name"] in OF_CAPTIONS else "questions"
    document["base"]["dataset"] = dataset
    document["base"]["phases"][0]["tasks"] = [task]
    document["evaluation"]["task"] = task
    return document


def make_finished_run(folder: Path) -> None:
    """The experiment, run, reported, and one trial of it exported; in a process of its own."""
    make_data(folder)
    (folder / EXPERIMENT).write_text(yaml.safe_dump(TINY, sort_keys=False), encoding="utf-8")
    _in_a_process(folder, ["run", EXPERIMENT, *HERE, "--device", "cpu"])
    _in_a_process(folder, ["report", EXPERIMENT, *HERE])
    _in_a_process(folder, ["export", trials_of(folder)[0].name, EXPORT, "--plugins", LAUNCHERS])


def trials_of(folder: Path) -> list[Path]:
    return sorted(file.parent for file in folder.glob("results/*/trials/*/record.json"))


def make_checkpoints(folder: Path) -> None:
    """A decoder, a tower and a CLIP with random weights, as transformers saves them."""
    import transformers

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"vocab_size": 290, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    heads: dict[str, Any] = {"num_attention_heads": 2, "num_key_value_heads": 1, "bos_token_id": 1, "eos_token_id": 2}
    decoder = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, **heads, max_position_embeddings=512))
    decoder.save_pretrained(folder / "decoder")
    decoder.save_pretrained(folder / "sharded", max_shard_size="20KB")
    for name in ("decoder", "sharded"):
        _tokenizer().save(str(folder / name / "tokenizer.json"))
    seen: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    images: dict[str, Any] = {"image_size": 16, "patch_size": 8}
    transformers.ViTModel(transformers.ViTConfig(**seen, **images)).save_pretrained(folder / "tower")
    transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**seen, **images)).save_pretrained(folder / "clip")
    for name in ("tower", "clip"):
        transformers.ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder / name)


def _tokenizer() -> Tokenizer:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=True), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=290,
        special_tokens=["<unk>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator([" ".join(WORDS)], trainer)
    return raw


def _in_a_process(folder: Path, words: list[str]) -> None:
    number = os.fork()
    if not number:
        code = 1
        try:
            os.chdir(folder)
            os.dup2(os.open("said.txt", os.O_CREAT | os.O_WRONLY | os.O_APPEND), 1)
            sys.argv = ["workbench", *words]
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        finally:
            os._exit(code)
    _, status = os.waitpid(number, 0)
    if status:
        raise RuntimeError(f"workbench {' '.join(words)} in {folder} ended with {os.waitstatus_to_exitcode(status)}")
