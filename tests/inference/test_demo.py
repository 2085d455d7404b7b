"""The page of the demo: what its function gives, step by step, as gradio calls it."""

from __future__ import annotations

import builtins
from typing import Any

import pytest
from PIL import Image

from tests.inference.test_attention_maps import asked
from tests.tiny import tiny_model
from workbench.errors import UserError
from workbench.inference.demo import demo_page, reply

RED, BLUE = (Image.new("RGB", (20, 10), color) for color in ("red", "blue"))


def test_the_answer_grows_and_ends_with_a_map_for_each_word():
    model = asked(tiny_model("cross_attention"))
    steps = list(reply(model, [RED], "what color is it?"))
    texts = [text for text, _ in steps]
    assert all(later.startswith(earlier) for earlier, later in zip(texts, texts[1:], strict=False))
    assert texts[-1] == model.answers([RED], ["what color is it?"])[0]
    assert [maps for _, maps in steps[:-1]] == [None] * (len(steps) - 1)
    assert steps[-1][1] is not None
    assert titles(steps[-1][1]) == ["as the model sees it", *texts[-1].split()]


def test_several_images_are_asked_about_together():
    model = asked(tiny_model("concat_projection"))
    text, maps = list(reply(model, [RED, BLUE], "what has changed?"))[-1]
    assert maps is not None
    assert text == model.answers([RED, BLUE], ["what has changed?"])[0]
    shown: Any = maps.axes[0].get_images()[0].get_array()
    assert shown.shape[1] == 2 * shown.shape[0], "side by side"


def titles(figure: Any) -> list[str]:
    return [panel.get_title().split("  (")[0] for panel in figure.axes if panel.get_title()]


def test_what_is_missing_is_said_in_the_place_of_an_answer():
    model = asked(tiny_model("gated"))
    assert list(reply(model, [], "what is it?")) == [("Upload an image first.", None)]
    [(text, maps)] = reply(model, [RED], "  ")
    assert text.startswith("nothing is asked")
    assert maps is None


def test_the_page_asks_that_function():
    model = asked(tiny_model("concat_projection"))
    page = demo_page(model, "a trial")
    [call] = [each for each in page.fns.values() if each.api_name == "ask"]
    function: Any = call.fn
    *_, (text, maps) = function([(RED, None)], "what color is it?")
    assert text == model.answers([RED], ["what color is it?"])[0]
    assert len(titles(maps)) == 1 + len(text.split())


def test_without_gradio_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "gradio":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"pip install workbench\[demo\]"):
        demo_page(asked(tiny_model("gated")), "a trial")
