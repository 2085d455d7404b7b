"""Chat templates: rendered as transformers renders them, with exactly the assistant's words labelled, turn by turn."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from tests.pretrained import reference, save
from tests.small import SMALL, load
from tests.tiny import QUESTIONS
from workbench.checkpoints.chat_template import ChatError
from workbench.checkpoints.tokenizer import pretrained_tokenizer
from workbench.checkpoints.weights import CheckpointError
from workbench.config.experiment import ExperimentError
from workbench.contracts.example import Turn
from workbench.data.collator import Collator

# In the manner of ChatML, Gemma, Mistral, and of a model that thinks aloud and forgets its earlier thoughts.
CHATML = (
    "{% for message in messages %}\n"
    "{% if loop.first and message.role != 'system' %}{{ '<|im_start|>system\nYou see.<|im_end|>\n' }}{% endif %}\n"
    "{{ '<|im_start|>' + message.role + '\n' }}"
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message.content + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}\n"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('take turns') }}{% endif %}"
    "{% set role = 'model' if message.role == 'assistant' else message.role %}"
    "{{ '<start_of_turn>' + role + '\n' + message.content | trim + '<end_of_turn>\n' }}{% endfor %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}{{ '[INST] ' + message.content +"
    " ' [/INST]' }}{% else %}{{ ' ' + message.content + eos_token }}{% endif %}{% endfor %}"
)
THINKING = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}"
    "{% if loop.last and message.role == 'assistant' %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ message.content + '<|im_end|>\n' }}{% endfor %}"
)
TEMPLATES = {"ChatML": CHATML, "Gemma": GEMMA, "Mistral": MISTRAL, "thinking": THINKING}
ENDS = {"ChatML": "<|im_end|>", "Gemma": "<end_of_turn>", "Mistral": "</s>", "thinking": "<|im_end|>"}
MARKS = ["<|im_start|>", "<|im_end|>", "<start_of_turn>", "<end_of_turn>"]
MESSAGES = [
    {"role": "user", "content": "is there a red shape?"},
    {"role": "assistant", "content": "no, there is none"},
    {"role": "user", "content": "what color is it?"},
    {"role": "assistant", "content": "blue"},
]


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """A folder of a decoder without a template, its tokenizer with the marks of all."""
    from tokenizers import Tokenizer
    from tokenizers.pre_tokenizers import ByteLevel

    folder = save(reference("Llama"), tmp_path_factory.mktemp("plain"))
    raw = Tokenizer.from_file(str(folder / "tokenizer.json"))
    raw.pre_tokenizer = ByteLevel(add_prefix_space=False)  # as chat models have it
    raw.add_special_tokens(MARKS)
    raw.save(str(folder / "tokenizer.json"))
    return folder


def with_template(plain: Path, folder: Path, template: Any, as_file: bool = False) -> Any:
    for file in plain.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    names = {"bos_token": "<s>", "eos_token": "</s>"}
    if as_file:
        (folder / "chat_template.jinja").write_text(template)
    else:
        names["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    return pretrained_tokenizer(folder)


def theirs(tokenizer: Any, template: str) -> Any:
    return PreTrainedTokenizerFast(
        tokenizer_object=copy.deepcopy(tokenizer.raw), chat_template=template, bos_token="<s>", eos_token="</s>"
    )


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_conversation_is_rendered_as_transformers_renders_it(name, plain, tmp_path):
    tokenizer = with_template(plain, tmp_path, TEMPLATES[name], as_file=name == "Gemma")
    spans = tokenizer.chat(MESSAGES)
    told = theirs(tokenizer, TEMPLATES[name]).apply_chat_template(MESSAGES, tokenize=False)
    assert "".join(span.text for span in spans) == told
    end = ENDS[name]
    assert [span.text for span in spans if span.assistant] == [f"no, there is none{end}", f"blue{end}"]
    assert tokenizer.end == tokenizer.raw.token_to_id(end)


def test_the_assistants_tokens_are_those_that_transformers_marks(plain, tmp_path):
    tokenizer = with_template(plain, tmp_path, CHATML)
    told = theirs(tokenizer, CHATML).apply_chat_template(
        MESSAGES, return_assistant_tokens_mask=True, return_dict=True, add_special_tokens=False
    )
    wanted = [id_ for id_, ours in zip(told["input_ids"], told["assistant_masks"], strict=True) if ours]
    got = [id_ for span in tokenizer.chat(MESSAGES) if span.assistant for id_ in tokenizer.encode(span.text)]
    assert got == wanted


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_batch_in_chat_form_is_the_template_with_the_answer_labelled_and_nothing_else(name, plain, tmp_path):
    tokenizer = with_template(plain, tmp_path, TEMPLATES[name])
    example = QUESTIONS[0][1]
    batch = Collator(tokenizer, "chat")(torch.empty(0), [[example]])
    read = [*batch.ids[0].tolist(), tokenizer.end]
    messages = [
        {"role": "user", "content": f"<image>\n{example.question}"},
        {"role": "assistant", "content": example.answers[0]},
    ]
    told = theirs(tokenizer, TEMPLATES[name]).apply_chat_template(messages, tokenize=False)
    text = tokenizer.raw.decode(read, skip_special_tokens=False)
    assert told.startswith(text)
    assert told.removeprefix(text).strip() == ""
    labels = [label for label in batch.labels[0].tolist() if label >= 0]
    assert labels == [*tokenizer.encode(example.answers[0]), tokenizer.end]
    assert read.count(tokenizer.image) == 1


@pytest.mark.parametrize("name", ["ChatML", "Gemma", "Mistral"])
def test_every_turn_of_a_conversation_is_labelled_and_nothing_around_it(name, plain, tmp_path):
    tokenizer = with_template(plain, tmp_path, TEMPLATES[name])
    history = (Turn(MESSAGES[0]["content"], MESSAGES[1]["content"]),)
    example = replace(QUESTIONS[0][0], question="what color is it?", answers=("blue",), history=history)
    batch = Collator(tokenizer, "chat")(torch.empty(0), [[example]])
    first = {"role": "user", "content": "<image>\n" + MESSAGES[0]["content"]}
    told = theirs(tokenizer, TEMPLATES[name]).apply_chat_template([first, *MESSAGES[1:]], tokenize=False)
    text = tokenizer.raw.decode([*batch.ids[0].tolist(), tokenizer.end], skip_special_tokens=False)
    assert told.startswith(text)
    assert told.removeprefix(text).strip() == ""
    labels = [label for label in batch.labels[0].tolist() if label >= 0]
    answers = [message["content"] for message in MESSAGES if message["role"] == "assistant"]
    assert labels == [id_ for answer in answers for id_ in (*tokenizer.encode(answer), tokenizer.end)]


def test_what_the_user_says_around_the_question_can_be_written(plain, tmp_path):
    tokenizer = with_template(plain, tmp_path, CHATML)
    prompts = tokenizer.prompts("chat: <image>\n{question}\nAnswer with one word.")
    assert "user\n<image>\n{question}\nAnswer with one word.<|im_end|>" in prompts.first
    assert prompts.start == ()
    assert prompts.later == "\n<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"


def test_templates_are_found_in_lists_and_kept_by_copies(plain, tmp_path):
    listed = [{"name": "tools", "template": "{{ 1 }}"}, {"name": "default", "template": GEMMA}]
    tokenizer = with_template(plain, tmp_path, listed)
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again.chat(MESSAGES) == tokenizer.chat(MESSAGES)
    assert again.end == tokenizer.end


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('no images, please') }}", "no images, please"),
        ("{% for message in messages %}{{ message.role }}{% endfor %}", "leaves out, or changes"),
        ("{% for message in messages %}{{ message.content }}{% endfor %}", "with no special token"),
        ("{% for message in messages %}", "refuses this conversation"),
        ("{{ messages.__class__.__mro__ }}", "refuses this conversation|leaves out"),
    ],
)
def test_a_template_that_cannot_be_used_is_told_where_it_is_asked_for(template, message, plain, tmp_path):
    tokenizer = with_template(plain, tmp_path, template)
    with pytest.raises(ChatError, match=message):
        Collator(tokenizer, "chat")


def test_a_tokenizer_without_a_template_says_what_to_take(plain):
    tokenizer = pretrained_tokenizer(plain)
    with pytest.raises(CheckpointError, match="instruction-tuned checkpoint, or write the prompt out"):
        Collator(tokenizer, "chat")
    with pytest.raises(CheckpointError, match="no chat template"):
        tokenizer.chat(MESSAGES)


def test_an_experiment_asks_for_the_template_by_a_word(tmp_path):
    assert load(tmp_path, "prompt=chat").trials[0].prompt == "chat"
    assert load(tmp_path, "prompt='chat: {question}'").trials[0].prompt == "chat: {question}"
    with pytest.raises(ExperimentError, match="the question does not occur"):
        load(tmp_path, "prompt=chatty", text=SMALL)
