"""The page of the demo in a real browser: upload an image, ask, read the answer, see a map for each word."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.inference.test_attention_maps import asked
from tests.inference.test_demo import BLUE, RED
from tests.tiny import tiny_model
from workbench.inference.demo import demo_page

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install playwright)")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium in the path")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
SLOWEST = 120_000  # milliseconds until a step of the page counts as hanging


@pytest.fixture
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.mark.parametrize("images", [[RED], [RED, BLUE]])
def test_images_are_uploaded_asked_about_and_mapped(browser, tmp_path, images):
    model = asked(tiny_model("cross_attention"))
    question = "what color is it?"
    [answer] = model.answers(images, [question])
    files = [tmp_path / f"{number}.png" for number in range(len(images))]
    for file, image in zip(files, images, strict=True):
        image.save(file)
    served = demo_page(model, "a trial")
    _, address, _ = served.queue().launch(server_name="127.0.0.1", quiet=True, prevent_thread_lock=True)
    try:
        page = browser.new_page()
        page.set_default_timeout(SLOWEST)
        failures: list[str] = []
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.goto(address)
        page.get_by_role("button", name="Ask").click()
        playwright.expect(page.get_by_label("answer")).to_have_value("Upload an image first.", timeout=SLOWEST)
        upload(page, files)
        page.get_by_label("question").fill(question)
        page.get_by_role("button", name="Ask").click()
        playwright.expect(page.get_by_label("answer")).to_have_value(answer, timeout=SLOWEST)
        maps = page.get_by_test_id("matplotlib").locator("img")
        playwright.expect(maps).to_be_visible(timeout=SLOWEST)
        assert maps.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
        assert failures == []
    finally:
        served.close()


def upload(page: Any, files: list[Path]) -> None:
    """Give the page images, and wait until it shows them."""
    page.locator("input[type=file]").first.set_input_files(files)
    page.locator(".gallery-item img").nth(len(files) - 1).wait_for()
