"""An exported LLaVA takes conversations as transformers' processors and pipelines give them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, pre_tokenizers, processors

from tests.checkpoints.test_chat_template import MARKS, MESSAGES, TEMPLATES
from tests.inference.test_llava_export import built
from tests.pretrained import reference, save
from workbench.checkpoints.tokenizer import IMAGE
from workbench.contracts.example import Example, Turn
from workbench.inference.llava_export import write_llava
from workbench.model.generation import generate

DATED = (
    "\n{{ bos_token }}{{ 'Today is ' + strftime_now('%d %b %Y') + '.' }}{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] | trim + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WRITTEN = {"ChatML": CHATML, "Mistral": TEMPLATES["Mistral"], "thinking": TEMPLATES["thinking"], "dated": DATED}
PROMPTS = ("chat", "chat: <image>{question} Answer with one word.", 'chat: Look. {question} <image> "now" 💡')
QUESTION = "what color is it?"


def exported(folder: Path, template: str, prompt: str = "chat") -> tuple[Any, Any, Any]:
    """The model, transformers' processor, and the folder that it was exported to."""
    checkpoint = save(reference("Llama"), folder / "decoder")
    raw = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.add_special_tokens(MARKS)
    raw.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])  # as Llama's has it
    raw.save(str(checkpoint / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "chat_template": template}
    (checkpoint / "tokenizer_config.json").write_text(json.dumps(names))
    trial, model = built(folder, f"{{name: huggingface, checkpoint: {checkpoint}}}")
    trial = replace(trial, prompt=prompt)
    write_llava(model, trial, folder / "llava")
    return trial, model, transformers.AutoProcessor.from_pretrained(folder / "llava")


def own_ids(trial: Any, model: Any, example: Example, images: int = 1) -> list[int]:
    """The workbench's own prompt, with the image's tokens in the place of `<image>`."""
    size, tokens = model.encoder.image_size, model.connector.shape.tokens
    batch = model.collator(trial.prompt)(torch.zeros(images, 3, size, size), [[example]], answered=False)
    image = model.language_model.tokenizer.image
    return [each for id_ in batch.ids[0].tolist() for each in [id_] * (tokens if id_ == image else 1)]


def asked(*parts: Any, role: str = "user") -> dict[str, Any]:
    return {
        "role": role,
        "content": [{"type": "text", "text": each} if isinstance(each, str) else each for each in parts],
    }


def an_image() -> Image.Image:
    return Image.effect_mandelbrot((40, 30), (-2, -1, 1, 1), 50).convert("RGB")


def ids_of(processor: Any, messages: list[dict[str, Any]]) -> list[int]:
    given = processor.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    return given["input_ids"][0].tolist()


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("template", WRITTEN)
def test_a_list_of_an_image_and_a_question_is_the_prompt_that_the_model_was_trained_on(template, prompt, tmp_path):
    trial, model, processor = exported(tmp_path, WRITTEN[template], prompt)
    shown = {"type": "image", "image": an_image()}
    wanted = own_ids(trial, model, Example("0", "0", QUESTION, ("",)))
    assert ids_of(processor, [asked(shown, QUESTION)]) == wanted
    content = trial.prompt.partition(":")[2].strip() or "<image>\n{question}"
    text = processor.apply_chat_template(
        [{"role": "user", "content": content.replace("{question}", QUESTION)}], add_generation_prompt=True
    )
    given = processor(images=an_image(), text=text, return_tensors="pt")
    assert given["input_ids"][0].tolist() == wanted
    torch.testing.assert_close(given["pixel_values"][0], model.encoder.transform(an_image()))


@pytest.mark.parametrize("prompt", PROMPTS)
def test_text_alone_and_several_images_are_the_prompts_that_the_model_was_trained_on(prompt, tmp_path):
    trial, model, processor = exported(tmp_path, CHATML, prompt)
    shown = {"type": "image", "image": an_image()}
    alone = Example("0", "", QUESTION, ("",))
    assert ids_of(processor, [asked(QUESTION)]) == own_ids(trial, model, alone)
    assert ids_of(processor, [asked("what color ", "is it?")]) == own_ids(trial, model, alone)
    goes_on = replace(alone, question="now?", history=(Turn(QUESTION, "no"),))
    talk = [asked(QUESTION), asked("no", role="assistant"), asked("now?")]
    assert ids_of(processor, talk) == own_ids(trial, model, goes_on)
    two = replace(alone, image="0", more=("1",))
    assert ids_of(processor, [asked(shown, shown, QUESTION)]) == own_ids(trial, model, two, images=2)


def test_a_system_message_stands_before_text_and_images_alike(tmp_path):
    _, model, processor = exported(tmp_path, CHATML, PROMPTS[1])
    system = asked("Be brief.", role="system")
    shown = {"type": "image", "image": an_image()}
    plain = {"role": "system", "content": "Be brief."}
    for first in (system, plain):
        for parts, begins in (((QUESTION,), ""), ((shown, QUESTION), IMAGE)):
            told = processor.apply_chat_template([first, asked(*parts)], add_generation_prompt=True)
            said = {"role": "user", "content": f"{begins}{QUESTION} Answer with one word."}
            assert told == model.language_model.tokenizer.template.render([plain, said]) + "<|im_start|>assistant\n"


@pytest.mark.parametrize("template", ["ChatML", "dated"])
def test_a_conversation_goes_on_as_it_was_trained(template, tmp_path):
    trial, model, processor = exported(tmp_path, WRITTEN[template])
    example = Example("0", "0", QUESTION, ("",), history=(Turn("is it red?", "no"),))
    shown = {"type": "image", "image": an_image()}
    for answer in (asked("no", role="assistant"), {"role": "assistant", "content": "no"}):
        for last in (asked(QUESTION), {"role": "user", "content": QUESTION}):
            messages = [asked(shown, "is it red?"), answer, last]
            assert ids_of(processor, messages) == own_ids(trial, model, example)


@pytest.mark.parametrize("template", WRITTEN)
def test_a_conversation_of_texts_is_rendered_as_the_tokenizers_own_template_does_it(template, tmp_path):
    _, model, processor = exported(tmp_path, WRITTEN[template])
    tokenizer = model.language_model.tokenizer
    told = processor.apply_chat_template(MESSAGES)
    assert told == tokenizer.template.render(MESSAGES)
    first = tokenizer.prompts("chat: {question}").first.replace("{question}", MESSAGES[0]["content"])
    assert processor.apply_chat_template([MESSAGES[0]], add_generation_prompt=True) == first


def test_what_is_no_text_and_no_image_is_refused(tmp_path):
    *_, processor = exported(tmp_path, CHATML)
    with pytest.raises(Exception, match="this model takes texts and images, not audio"):
        processor.apply_chat_template([asked({"type": "audio"}, QUESTION)])
    told = processor.apply_chat_template([asked({"type": "image"}, {"type": "image"}, QUESTION)])
    assert told.count(IMAGE) == 2


@torch.no_grad()
def test_transformers_pipeline_answers_as_the_trial(tmp_path):
    trial, model, processor = exported(tmp_path, CHATML)
    theirs = transformers.LlavaForConditionalGeneration.from_pretrained(tmp_path / "llava").eval()
    ask: Any = transformers.pipeline("image-text-to-text", model=theirs, processor=processor)
    messages = [asked({"type": "image", "image": an_image()}, QUESTION)]
    [told] = ask(text=messages, max_new_tokens=6, return_full_text=False, generate_kwargs={"do_sample": False})
    pixels = model.encoder.transform(an_image())[None]
    batch = model.collator(trial.prompt)(pixels, [[Example("0", "0", QUESTION, ("",))]], answered=False)
    [[answer]] = generate(model, model.see(pixels), batch, max_new_tokens=6)
    assert told["generated_text"].strip() == model.language_model.tokenizer.decode(answer)
