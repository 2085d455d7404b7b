"""A page in the browser: upload images, ask, read the answer while it is written, see where each word looked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from workbench.errors import UserError
from workbench.inference.attention_maps import word_maps
from workbench.inference.attention_plot import draw_maps
from workbench.inference.pipeline import Pipeline
from workbench.inference.seen_image import seen_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def reply(pipeline: Pipeline, images: Sequence[Image.Image], question: str) -> Iterator[tuple[str, Figure | None]]:
    """The answer as it grows; at its end, for each word, the map over the images. A mistake is told in its place."""
    if not images:
        yield "Upload an image first.", None
        return
    answer = ""
    try:
        shown = pipeline.rgb(images)
        for piece in pipeline.stream(shown, question):
            answer += piece
            yield answer, None
        seen = seen_image(pipeline.model.encoder.views, *shown)
        yield answer, draw_maps(seen, question, word_maps(pipeline, shown, question))
    except UserError as error:
        yield answer or str(error), None


def demo_page(pipeline: Pipeline, title: str) -> Any:
    """The page with its buttons wired to `reply`, not served yet. Raises `UserError` where gradio is not installed."""
    gradio = _gradio()
    with gradio.Blocks(title=f"workbench: {title}", analytics_enabled=False) as page:
        gradio.Markdown(f"### {title}\nThe model answers as it was evaluated; a map shows where each word looked.")
        with gradio.Row():
            # Several are one example with several images, as `workbench ask TRIAL A B "..."` takes them.
            images = gradio.Gallery(type="pil", label="image, or several", columns=2, file_types=["image"])
            with gradio.Column():
                question = gradio.Textbox(label="question", placeholder="what color is it?")
                ask = gradio.Button("Ask", variant="primary")
                answer = gradio.Textbox(label="answer", interactive=False)
        maps = gradio.Plot(label="where it looked", format="png")

        def answering(shown: list[tuple[Image.Image, str | None]] | None, text: str) -> Iterator[tuple[str, Any]]:
            yield from reply(pipeline, [image for image, _ in shown or []], text)

        gradio.on([ask.click, question.submit], answering, [images, question], [answer, maps], api_name="ask")
    return page


def serve_demo(page: Any, host: str, port: int | None) -> None:
    """Serve the page until it is interrupted; nothing is sent anywhere else. Raises `UserError` where the port is
    taken."""
    try:
        page.queue().launch(server_name=host, server_port=port, share=False, quiet=False)
    except OSError as error:
        raise UserError(f"the page cannot be served at {host}, port {port or 'any'}: {error}") from error


def _gradio() -> Any:
    try:
        import gradio
    except ImportError as error:
        raise UserError("the page needs gradio: pip install workbench[demo]") from error
    return gradio
