"""The chat template of an exported LLaVA: a tokenizer's own, which takes texts, before it a part that takes lists.

transformers' processors and pipelines give a message as a list, `[{"type": "image"}, {"type": "text", "text": ...}]`.
Written there, such a message is the text that the model was trained on.
"""

from __future__ import annotations

import re

from workbench.checkpoints.chat_template import CHAT, CONTENT, TODAY, ChatTemplate
from workbench.checkpoints.tokenizer import IMAGE
from workbench.data.collator import QUESTION

_DATE = re.compile(r"""strftime_now\(\s*(?P<quote>['"])(?P<form>.*?)(?P=quote)\s*\)""")
# A user's message with images becomes what the trial's prompt makes of its question; the images of a message that the
# prompt has no such places for stand where they are, and those of a prompt without any in front of everything. In a
# conversation without an image the first question is put into the prompt all the same, as text alone was trained.
_LISTS = """\
{%- set told = namespace(messages=[], front=0, begins=true) -%}
{%- for message in messages -%}
{%- if message['content'] is string -%}
{%- set told.begins = told.begins and IMAGE not in message['content'] -%}
{%- else -%}
{%- for part in message['content'] or [] -%}
{%- set told.begins = told.begins and part['type'] not in ('image', 'image_url') -%}
{%- endfor -%}
{%- endif -%}
{%- endfor -%}
{%- for message in messages -%}
{%- if message['content'] is string or message['content'] is none or message['content'] is not defined -%}
{%- set told.messages = told.messages + [message] -%}
{%- else -%}
{%- set found = namespace(text='', inline='', images=0) -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'text' -%}
{%- set found.text = found.text + part['text'] -%}
{%- set found.inline = found.inline + part['text'] -%}
{%- elif part['type'] in ('image', 'image_url') -%}
{%- set found.images = found.images + 1 -%}
{%- set found.inline = found.inline + IMAGE -%}
{%- else -%}
{{- raise_exception('this model takes texts and images, not ' + part['type']) -}}
{%- endif -%}
{%- endfor -%}
{%- if message['role'] == 'user' and told.begins -%}
{%- set content = (ALONE)|replace(QUESTION, found.inline) -%}
{%- elif message['role'] != 'user' or not found.images -%}
{%- set content = found.inline -%}
{%- elif PLACES == 0 -%}
{%- set told.front = told.front + found.images -%}
{%- set content = (CONTENT)|replace(QUESTION, found.text) -%}
{%- elif PLACES == found.images -%}
{%- set content = (CONTENT)|replace(QUESTION, found.text) -%}
{%- elif PLACES == 1 -%}
{%- set content = (CONTENT)|replace(IMAGE, IMAGE * found.images)|replace(QUESTION, found.text) -%}
{%- else -%}
{%- set content = found.inline -%}
{%- endif -%}
{%- set told.messages = told.messages + [dict(message, content=content)] -%}
{%- endif -%}
{%- set told.begins = told.begins and message['role'] != 'user' -%}
{%- endfor -%}
{{- IMAGE * told.front -}}
{%- set messages = told.messages -%}
"""
# What stands before the assistant's words was trained up to the last letter: what a template writes when it is asked
# for it (`add_generation_prompt`) may be less.
_MARK = "TheAssistantsWordsBeginHere"
_BOTH = f"""\
{{%- if add_generation_prompt and messages and messages[-1]['role'] != 'assistant' -%}}
{{%- set add_generation_prompt = false -%}}
{{%- set messages = messages + [{{'role': 'assistant', 'content': '{_MARK}'}}] -%}}
{{%- set rendered %}}
SOURCE{{% endset -%}}
{{{{- rendered.split('{_MARK}')[0] -}}}}
{{%- else %}}
SOURCE{{% endif -%}}
"""


def llava_template(template: ChatTemplate, prompt: str) -> str:
    """The source of a template that takes texts and lists; prompt: the trial's.

    It renders what the workbench renders: with the special tokens that the checkpoint names, whichever end the exported
    tokenizer has, and on the same day.
    """
    name, _, content = prompt.partition(":")
    content = content.strip() if name.strip() == CHAT and content.strip() else CONTENT
    alone = content.replace(f"{IMAGE}\n", "").replace(IMAGE, "")  # as the collator has it
    values = {"CONTENT": content, "ALONE": alone, "IMAGE": IMAGE, "QUESTION": QUESTION}
    lists = re.sub("|".join(values), lambda found: ascii(values[found[0]]), _LISTS)
    lists = lists.replace("PLACES", str(content.count(IMAGE)))
    named = "".join(f"{{%- set {role} = {ascii(token)} -%}}\n" for role, token in template.named)
    source = _DATE.sub(lambda found: ascii(TODAY.strftime(found["form"])), template.source)
    # A template that begins with blanks keeps them: the newline behind a block is the one that is cut.
    return named + lists + _BOTH.replace("SOURCE", source.removesuffix("\n"))
