"""transformers' own LLaVA, loaded from an exported folder, gives the same logits and the same answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from transformers import CLIPVisionModel

from tests.plugins.test_llama import VARIANTS
from tests.plugins.test_towers import save as save_tower
from tests.pretrained import reference, save
from tests.small import load, small_registry
from tests.tiny import QUESTIONS, builtin_registry, collator, texts
from workbench.checkpoints.tokenizer import Corpus
from workbench.errors import UserError
from workbench.inference.llava_export import write_llava
from workbench.model.build import build_model
from workbench.model.generation import generate
from workbench.model.vision_language_model import VisionLanguageModel

ENCODER = "encoder: {name: clip, image_size: 16, patch_size: 8, width: 16, depth: 3, heads: 2"
NATIVE = "{name: llama, width: 16, depth: 1, heads: 2, vocabulary_size: 300}"
DECODERS: dict[str, Any] = {name: lambda name=name: VARIANTS[name]() for name in ("tied", "Llama 3's positions")} | {
    name: lambda name=name: reference(name) for name in ("Qwen2", "Qwen3", "Gemma3", "Mistral", "Llama")
}


def built(
    folder: Path, decoder: str, connector: str = "mlp", encoder: str = "", start: str = ENCODER
) -> tuple[Any, Any]:
    """A trial with a random CLIP tower, or another, and a decoder from a folder, and its model."""
    text = f"""\
base:
  dataset: squares
  {start}{encoder}}}
  connector: {connector}
  fusion: concat_projection
  language_model: {decoder}
  adapter: full
  quantizer: none
  phases: [{{name: tune, train: [connector], steps: 1}}]
metrics: [loss]
"""
    (trial,) = load(folder, text=text).trials
    model = build_model(trial, small_registry(), Corpus(texts)).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in (*model.encoder.parameters(), *model.connector.parameters()):
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return trial, model


def same_as_transformers(model: VisionLanguageModel, folder: Path) -> None:
    theirs: Any = transformers.LlavaForConditionalGeneration.from_pretrained(folder).eval()
    size = model.encoder.image_size
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(2))
    tokenizer = model.language_model.tokenizer
    with torch.no_grad():
        for row, questions in enumerate(QUESTIONS):
            for example in questions:
                batch = collator(model, "<image>{question}\n")(images[row : row + 1], [[example]], answered=False)
                ids = batch.ids[0].tolist()
                place, count = ids.index(tokenizer.image), model.connector.shape.tokens
                expanded = torch.tensor([ids[:place] + [tokenizer.image] * count + ids[place + 1 :]])
                given: dict[str, Any] = {"input_ids": expanded, "pixel_values": batch.images}
                wanted = theirs(**given).logits[0, place + count :]
                torch.testing.assert_close(model.logits(batch)[0, place + 1 :], wanted, rtol=1e-4, atol=1e-4)
                [[answer]] = generate(model, model.see(batch.images), batch, max_new_tokens=6)
                longer = theirs.generate(**given, max_new_tokens=6, do_sample=False)[0, expanded.shape[1] :].tolist()
                stop = next((place for place, token in enumerate(longer) if token in tokenizer.ends), len(longer))
                assert answer == longer[:stop]


@pytest.mark.parametrize("decoder", DECODERS)
def test_logits_and_greedy_answers_are_those_of_transformers(decoder, tmp_path):
    torch.manual_seed(0)
    checkpoint = save(DECODERS[decoder](), tmp_path / "decoder")
    trial, model = built(tmp_path, f"{{name: huggingface, checkpoint: {checkpoint}}}")
    write_llava(model, trial, tmp_path / "llava")
    same_as_transformers(model, tmp_path / "llava")


def test_every_end_token_ends_an_answer_there_too(tmp_path):
    torch.manual_seed(0)
    checkpoint = save(reference("Qwen2"), tmp_path / "decoder")
    _, model = built(tmp_path, f"{{name: huggingface, checkpoint: {checkpoint}}}")
    batch = collator(model, "<image>{question}\n")(torch.zeros(1, 3, 16, 16), [QUESTIONS[0][:1]], answered=False)
    [[answer]] = generate(model, model.see(batch.images), batch, max_new_tokens=6)
    ends = [2, answer[0], answer[-1]]
    (checkpoint / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    trial, model = built(tmp_path, f"{{name: huggingface, checkpoint: {checkpoint}}}")
    write_llava(model, trial, tmp_path / "llava")
    told = json.loads((tmp_path / "llava/generation_config.json").read_text())
    assert told["eos_token_id"] == list(dict.fromkeys(ends))
    same_as_transformers(model, tmp_path / "llava")


@pytest.mark.parametrize("decoder", ["tied", "Llama 3's positions", "Qwen2", "Mistral"])
def test_the_native_decoder_is_told_in_the_same_terms(decoder, tmp_path):
    torch.manual_seed(0)
    checkpoint = save(VARIANTS[decoder](), tmp_path / "decoder")
    trial, model = built(
        tmp_path, f"{{name: llama, checkpoint: {checkpoint}}}", "linear", ", layer: -1, class_token: false"
    )
    write_llava(model, trial, tmp_path / "llava")
    same_as_transformers(model, tmp_path / "llava")


@pytest.mark.parametrize("encoder", ["", ", class_token: true"])
def test_transformers_processor_prepares_text_and_image_as_the_workbench_does(encoder, tmp_path):
    trial, model = built(tmp_path, NATIVE, encoder=encoder)
    write_llava(model, trial, tmp_path / "llava")
    same_input(model, tmp_path / "llava")
    same_as_transformers(model, tmp_path / "llava")


def same_input(model: VisionLanguageModel, folder: Path) -> None:
    """transformers' own processor makes the ids and the pixels that the workbench makes."""
    processor: Any = transformers.AutoProcessor.from_pretrained(folder)
    own, text = model.language_model.tokenizer, "<image>is it red?\n"
    assert processor.tokenizer.eos_token_id == own.end
    opened = Image.effect_mandelbrot((40, 30), (-2, -1, 1, 1), 50).convert("RGB")
    given = processor(images=opened, text=text, return_tensors="pt")
    torch.testing.assert_close(given["pixel_values"][0], model.encoder.transform(opened))
    image, *rest = own.encode(text)
    assert given["input_ids"][0].tolist() == [image] * model.connector.shape.tokens + rest


def test_the_tower_s_weights_have_transformers_own_names(tmp_path):
    _, model = built(tmp_path, NATIVE)
    encoder: Any = model.encoder
    part = encoder.for_transformers()
    config = transformers.CLIPVisionConfig(**{name: each for name, each in part.config.items() if name != "model_type"})
    tower = CLIPVisionModel(config)
    assert {name.removeprefix("vision_model.") for name in tower.state_dict()} >= set(part.weights)


PROCESSORS = {"SigLIP": "SiglipImageProcessor", "CLIP": "CLIPImageProcessor"}
PROCESSORS |= {"DINOv2": "BitImageProcessor", "ViT": "ViTImageProcessor"}


def built_with_tower(folder: Path, name: str, options: str) -> tuple[Any, Any]:
    """A trial with a tower of transformers whose blocks were trained."""
    save_tower(name, folder / "tower")
    file = folder / "tower/preprocessor_config.json"
    told = json.loads(file.read_text()) | {"image_processor_type": PROCESSORS.get(name, "")}
    file.write_text(json.dumps(told))
    encoder = f"encoder: {{name: huggingface, checkpoint: {folder / 'tower'}{options}"
    return built(folder, NATIVE, start=encoder)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SigLIP", ", layer: -2"),
        ("whole SigLIP", ", layer: -1"),
        ("CLIP", ""),
        ("CLIP", ", layer: 1, class_token: true"),
        ("DINOv2", ", layer: -2"),
        ("ViT", ", layer: -2, class_token: true"),
    ],
)
def test_a_tower_of_transformers_is_told_with_its_layer_and_class_token(name, options, tmp_path):
    trial, model = built_with_tower(tmp_path, name, options)
    write_llava(model, trial, tmp_path / "llava")
    same_as_transformers(model, tmp_path / "llava")
    if name in PROCESSORS:
        same_input(model, tmp_path / "llava")


def of_another_size(file: Path, size: int, shortest: int) -> None:
    """Preprocessing of another size than config.json names: as DINOv2 has it on the hub, 224 beside 518."""
    told = json.loads(file.read_text())
    crops = "crop_size" in told
    square = {"height": size, "width": size}
    told |= {"size": {"shortest_edge": shortest}, "crop_size": square} if crops else {"size": square}
    file.write_text(json.dumps(told))


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("DINOv2", 16, ", layer: -2"),
        ("DINOv2", 32, ", layer: -2, class_token: true"),
        ("DINOv2", 16, ", layer: -2, image_size: 20"),
        ("CLIP", 16, ", layer: -2, image_size: 24"),
        ("ViT", 16, ", layer: -2, class_token: true, image_size: 24"),
    ],
)
def test_a_tower_whose_preprocessing_has_another_size_is_told_as_it_was_used(name, size, options, tmp_path):
    save_tower(name, tmp_path / "tower")
    file = tmp_path / "tower/preprocessor_config.json"
    of_another_size(file, size, size + 3)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"image_processor_type": PROCESSORS[name]}))
    start = f"encoder: {{name: huggingface, checkpoint: {tmp_path / 'tower'}{options}"
    trial, model = built(tmp_path, NATIVE, start=start)
    write_llava(model, trial, tmp_path / "llava")
    same_as_transformers(model, tmp_path / "llava")
    same_input(model, tmp_path / "llava")


def test_a_tower_that_does_not_interpolate_is_refused_with_the_option_to_set(tmp_path):
    save_tower("CLIP", tmp_path / "tower")
    of_another_size(tmp_path / "tower/preprocessor_config.json", 16, 18)
    start = f"encoder: {{name: huggingface, checkpoint: {tmp_path / 'tower'}, layer: -2"
    trial, model = built(tmp_path, NATIVE, start=start)
    with pytest.raises(UserError, match="of the 24 pixels .* have 16 here: set image_size: 24"):
        write_llava(model, trial, tmp_path / "llava")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("SigLIP", "", "set layer, as layer: -2"),
        ("SigLIP", ", layer: -2, pool: 2", "leave out pool, tiles"),
        ("ViT", ", layer: -2, image_size: 32", "of the 24 pixels .* have 32 here: set image_size: 24"),
        ("DINOv2 with registers", ", layer: -2", "take its registers as patches"),
        ("SigLIP 2", ", layer: -2", "takes rows of patches"),
    ],
)
def test_a_tower_that_llava_cannot_show_images_to_is_refused(name, options, message, tmp_path):
    trial, model = built_with_tower(tmp_path, name, options)
    with pytest.raises(UserError, match=f"the encoder 'huggingface' has no counterpart .*{message}"):
        write_llava(model, trial, tmp_path / "llava")


@pytest.mark.parametrize(
    ("connector", "decoder", "message"),
    [
        ("mlp", "{name: gpt, width: 16, depth: 1, heads: 2, vocabulary_size: 300}", "language_model 'gpt'"),
        ("{name: mlp, hidden: 12}", NATIVE, "12 wide"),
        ("resampler", NATIVE, "connector 'resampler'"),
    ],
)
def test_what_llava_cannot_be_is_refused_with_the_reason(connector, decoder, message, tmp_path):
    trial, model = built(tmp_path, decoder, connector)
    with pytest.raises(UserError, match=message):
        write_llava(model, trial, tmp_path / "llava")


def test_a_decoder_that_bends_its_logits_is_refused(tmp_path):
    checkpoint = save(reference("Gemma2"), tmp_path / "decoder")
    trial, model = built(tmp_path, f"{{name: huggingface, checkpoint: {checkpoint}}}")
    with pytest.raises(UserError, match="the head of Gemma2ForCausalLM does more than one matrix does"):
        write_llava(model, trial, tmp_path / "llava")
    assert builtin_registry()
