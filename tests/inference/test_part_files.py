"""A part built from the shapes of a checkpoint has the form of one built from its weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.plugins.test_clip import TINY, openai_weights, reference as clip_reference
from tests.plugins.test_towers import save as save_tower
from tests.pretrained import reference, save, save_gguf
from tests.small import load, small_registry
from tests.tiny import texts
from workbench.checkpoints.tokenizer import Corpus
from workbench.checkpoints.weights import load_into
from workbench.config.trial import Trial
from workbench.inference.load_trial import trial_of
from workbench.inference.part_files import copy_parts, make_room
from workbench.model.build import build_model
from workbench.model.vision_language_model import VisionLanguageModel

TEXT = """\
base:
  dataset: squares
  encoder: {encoder}
  connector: linear
  fusion: concat_projection
  language_model: {decoder}
  adapter: full
  quantizer: none
  phases: [{{name: tune, train: [connector], steps: 1}}]
metrics: [loss]
"""


def openai_file(folder: Path) -> Path:
    file = folder / "clip.safetensors"
    save_file(openai_weights(clip_reference(**TINY)), file)
    return file


ENCODERS = {
    "a folder with CLIP": ("clip", lambda folder: save_tower("CLIP", folder / "tower")),
    "a file of CLIP": ("clip", openai_file),
    "a folder with SigLIP": ("huggingface", lambda folder: save_tower("SigLIP", folder / "tower")),
}
DECODERS = {
    "a folder": ("huggingface", lambda folder: save(reference("Qwen2"), folder / "decoder")),
    "a folder of the native decoder": ("llama", lambda folder: save(reference("Llama"), folder / "decoder")),
    "a GGUF file": (
        "huggingface",
        lambda folder: save_gguf(save(reference("Qwen2"), folder / "decoder"), folder / "decoder.gguf"),
    ),
}


@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [(each, "a folder") for each in ENCODERS] + [("a folder with CLIP", each) for each in DECODERS],
)
def test_names_types_and_shapes_are_there_and_no_numbers(encoder, decoder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    written = {}
    for kind, (name, make) in {"encoder": ENCODERS[encoder], "decoder": DECODERS[decoder]}.items():
        written[kind] = f"{{name: {name}, checkpoint: {make(tmp_path)}}}"
    (trial,) = load(tmp_path, text=TEXT.format(**written)).trials
    whole = {name: each.clone() for name, each in built(trial).state_dict().items()}
    out = tmp_path / "out"
    out.mkdir()
    spec, parts = copy_parts(trial, small_registry(), out, weights=False)
    for kind, (option, place) in parts.items():
        spec[kind] = {**spec[kind], option: str(out / place)}
    assert parts.keys() == {"encoder", "language_model"}
    model = built(trial_of(spec, small_registry(), out))
    hollow = model.state_dict()
    assert {name: (each.shape, each.dtype) for name, each in hollow.items()} == {
        name: (each.shape, each.dtype) for name, each in whole.items()
    }
    assert not any(each.any() for name, each in hollow.items() if name.startswith("encoder.")), "zeros alone"
    assert any(not torch.equal(hollow[name], whole[name]) for name in whole if name.startswith("language_model."))
    sizes = [file.stat().st_size for kind in parts for file in (out / kind).glob("*") if "tokenizer" not in file.name]
    assert sum(sizes) < 30_000
    make_room(model)
    load_into(model, whole, "the test")
    assert all(torch.equal(each, whole[name]) for name, each in model.state_dict().items())


def built(trial: Trial) -> VisionLanguageModel:
    return build_model(trial, small_registry(), Corpus(texts))
