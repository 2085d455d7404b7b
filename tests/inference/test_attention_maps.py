"""Maps of attention: the weights are those computed by hand, and every fusion's are found where they belong."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from PIL import Image

from tests.model.test_vision_language_model import open_gates
from tests.pretrained import FAMILIES, reference, save
from tests.tiny import DECODERS, FUSIONS, collator, images, texts, tiny_model
from workbench.checkpoints.tokenizer import Corpus
from workbench.config.phase import Evaluation
from workbench.config.trial import Trial
from workbench.contracts.encoder import VisionShape
from workbench.contracts.example import Example
from workbench.contracts.fusion import Fusion
from workbench.contracts.language_model import DecoderShape
from workbench.errors import UserError
from workbench.inference.attention_maps import image_weights, on_grid, with_answer, word_maps, words_of
from workbench.inference.attention_plot import draw_maps
from workbench.inference.pipeline import Pipeline
from workbench.layers.rotary import rotate
from workbench.model.vision_language_model import VisionLanguageModel, visible

QUESTION = "what color is it?"


def asked(model: VisionLanguageModel, prompt: str = "<image>{question}\n") -> Pipeline:
    model.encoder.transform = lambda image: images(1)[0]
    return Pipeline(model.eval(), Trial("", {}, {}, (), (), Evaluation(precision="fp32"), prompt, 0))


def answered(model: VisionLanguageModel, prompt: str = "<image>{question}\n"):
    """A batch of one question, with the tokens of an answer behind it."""
    batch = collator(model, prompt)(images(1), [[Example("0", "0", QUESTION, ("",))]], answered=False)
    return with_answer(batch, model.language_model.tokenizer.encode("blue or red"))


def by_hand(model: VisionLanguageModel, batch) -> torch.Tensor:
    """The oracle for the native decoder and concatenation: its blocks one by one, with the weights written out."""
    decoder: Any = model.language_model
    inputs, _ = model.fuse(model.see(batch.images), batch)
    mask = visible(inputs.segments, inputs.segments)
    rotation = decoder.rotary(inputs.positions)
    hidden, found = inputs.embeds, []
    for block in decoder.layers:
        attention = block.attention
        qkv = attention.qkv(block.attention_norm(hidden))
        queries, keys, _ = qkv.unflatten(-1, (3, attention.heads, -1)).permute(2, 0, 3, 1, 4)
        scores = rotate(queries, rotation) @ rotate(keys, rotation).mT / math.sqrt(attention.head_width)
        found.append(scores.masked_fill(~mask, -math.inf).softmax(-1)[0].mean(0))  # [S,S]
        hidden = block(hidden, mask, rotation, None, 0)
    return torch.stack(found).mean(0)[inputs.text_at[0]][:, inputs.image[0]]


@pytest.mark.parametrize("prompt", ["<image>{question}\n", "{question}\n"])
@torch.no_grad()
def test_under_concatenation_the_weights_are_those_of_the_decoder_written_out_by_hand(prompt):
    model = tiny_model("concat_projection").eval()
    batch, _ = answered(model, prompt)
    found = image_weights(model, model.see(batch.images), batch, 4)
    torch.testing.assert_close(found, by_hand(model, batch))
    assert (found.sum(1) < 1).any()


@torch.no_grad()
def test_under_cross_attention_the_weights_are_those_of_its_layers_written_out_by_hand():
    model = tiny_model("cross_attention").eval()
    batch, _ = answered(model)
    fusion: Any = model.fusion
    decoder: Any = model.language_model
    vision = model.see(batch.images)
    hidden, found = decoder.embed(batch.ids), []
    mask, rotation = visible(batch.segments, batch.segments), decoder.rotary(batch.positions)
    for index, (block, cross) in enumerate(zip(decoder.layers, fusion.attentions, strict=True)):
        queries = cross.query(fusion.norms[index](hidden)).unflatten(-1, (cross.heads, -1)).transpose(1, 2)
        found.append((queries @ vision[index][0].mT / math.sqrt(cross.head_width)).softmax(-1)[0].mean(0))
        hidden, _ = fusion.fuse_block(index, hidden, vision, batch.prompt)
        hidden = block(hidden, mask, rotation, None, 0)
    torch.testing.assert_close(image_weights(model, vision, batch, 4), torch.stack(found).mean(0))


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("fusion", FUSIONS)
@torch.no_grad()
def test_every_fusion_gives_a_map_a_word_and_stays_as_it_was(fusion, decoder):
    model = tiny_model(fusion, decoder_name=decoder)
    open_gates(model)
    before = {name for each in model.modules() for name in vars(each)}
    batch, _ = answered(model)
    logits = model.logits(batch)
    maps = word_maps(asked(model), [Image.new("RGB", (8, 8))], QUESTION, max_new_tokens=4)
    assert maps.maps.shape == (len(maps.words), 2, 2)
    torch.testing.assert_close(maps.maps.sum((1, 2)), torch.ones(len(maps.words)))
    assert bool((maps.shares < 0.999).all()) == (fusion == "concat_projection")
    assert torch.equal(model.logits(batch), logits)
    del vars(model.encoder)["transform"]
    assert {name for each in model.modules() for name in vars(each)} == before


@pytest.mark.parametrize("fusion", ["cross_attention", "bidirectional"])
@torch.no_grad()
def test_a_text_as_long_as_the_image_is_told_from_it(fusion):
    model = tiny_model(fusion).eval()
    open_gates(model)
    batch, _ = answered(model, "{question}")
    tokens = batch.ids.shape[1]
    model.connector.shape = VisionShape(model.connector.shape.width, tokens)
    vision = model.see_tokens(torch.randn(1, tokens, 12))
    found = image_weights(model, vision, batch, tokens)
    assert found.shape == (tokens, tokens)
    torch.testing.assert_close(found.sum(1), torch.ones(tokens))


@pytest.mark.parametrize("family", [name for name in FAMILIES if name in ("Llama", "Gemma2", "GPT2")])
@torch.no_grad()
def test_of_pretrained_decoders_the_weights_are_those_that_transformers_gives(family, tmp_path):
    from workbench.registry import load_registry

    decoder = load_registry().create(
        "language_model", "huggingface", Corpus(texts), checkpoint=str(save(reference(family), tmp_path))
    )
    tiny = tiny_model("concat_projection")
    shape = VisionShape(decoder.shape.width, 4)
    connector = load_registry().create("connector", "mlp", tiny.encoder.shape, decoder.shape.width)
    fusion = load_registry().create("fusion", "concat_projection", shape, decoder.shape)
    model = VisionLanguageModel(tiny.encoder, connector, fusion, decoder).eval()
    batch, _ = answered(model)
    inputs, _ = model.fuse(model.see(batch.images), batch)
    oracle = reference(family)
    oracle.load_state_dict(
        {name: each[: oracle.state_dict()[name].shape[0]] for name, each in _whole(decoder, oracle).items()}
    )
    oracle.set_attn_implementation("eager")
    read = oracle(inputs_embeds=inputs.embeds, output_attentions=True).attentions
    wanted = torch.stack([each[0].mean(0) for each in read]).mean(0)[inputs.text_at[0]][:, inputs.image[0]]
    found = image_weights(model, model.see(batch.images), batch, 4)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def _whole(decoder, oracle) -> dict[str, torch.Tensor]:
    own = decoder.state_dict()
    return {name: own.get(name, each) for name, each in oracle.state_dict().items()}


class Deaf(Fusion):
    """Looks at nothing."""

    def __init__(self, vision: VisionShape, decoder: DecoderShape):
        super().__init__()


def test_a_fusion_whose_look_cannot_be_seen_is_told_what_to_use():
    model = tiny_model("", Deaf(VisionShape(16, 4), DecoderShape(16, 3, 2)))
    with pytest.raises(UserError, match="workbench.attend"):
        word_maps(asked(model), [Image.new("RGB", (8, 8))], QUESTION, 2)


def test_a_class_token_has_no_place_and_what_is_no_square_no_map():
    found = on_grid(torch.tensor([[[0.5, 0.1, 0.2, 0.1, 0.1]]]))
    torch.testing.assert_close(found, torch.tensor([[[[0.2, 0.4], [0.2, 0.2]]]]))
    with pytest.raises(UserError, match="6 image tokens are no square"):
        on_grid(torch.ones(1, 1, 6))


@pytest.mark.parametrize("connector", ["resampler", "qformer"])
@torch.no_grad()
def test_queries_of_a_connector_are_followed_back_to_the_patches(connector):
    from tests.tiny import builtin_registry

    model = tiny_model("cross_attention")
    made = builtin_registry().create("connector", connector, VisionShape(12, 4), 16, queries=9)
    model = VisionLanguageModel(model.encoder, made, model.fusion, model.language_model)
    maps = word_maps(asked(model), [Image.new("RGB", (8, 8))], QUESTION, max_new_tokens=3)
    assert maps.maps.shape[1:] == (2, 2)
    torch.testing.assert_close(maps.maps.sum((1, 2)), torch.ones(len(maps.words)))


@pytest.mark.parametrize("fusion", FUSIONS)
@torch.no_grad()
def test_maps_of_several_images_lie_side_by_side(fusion):
    model = tiny_model(fusion)
    open_gates(model)
    pair = images(2)
    opened = [Image.new("RGB", (8, 8), shade) for shade in ("red", "blue")]
    both = asked(model)
    model.encoder.transform = lambda image: pair[int(image.getpixel((0, 0)) == (0, 0, 255))]
    maps = word_maps(both, opened, QUESTION, max_new_tokens=4)
    assert maps.maps.shape == (len(maps.words), 2, 4)
    torch.testing.assert_close(maps.maps.sum((1, 2)), torch.ones(len(maps.words)))
    swapped = word_maps(both, opened[::-1], QUESTION, max_new_tokens=4)
    if fusion != "concat_projection":  # beside the sequence their order is not seen
        torch.testing.assert_close(swapped.maps, maps.maps.roll(2, 2), rtol=1e-4, atol=1e-5)
    figure = draw_maps(Image.new("RGB", (16, 8), "red"), QUESTION, maps)
    assert [axes.get_title() for axes in figure.axes][0] == "as the model sees it"


def test_tokens_are_put_together_to_words():
    model = tiny_model("gated")
    ids = model.language_model.tokenizer.encode("a reddish circle")
    words, owners = words_of(ids, asked(model))
    assert words == ("a", "reddish", "circle")
    assert owners == sorted(owners)
    assert set(owners) == {0, 1, 2}
    assert len(ids) > 3
