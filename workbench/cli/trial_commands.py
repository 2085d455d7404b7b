"""The commands that use what a run left: `workbench ask | attention | demo | export`, and `workbench preview`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.options import Device, ExperimentFile, Overrides, PluginFolders, Results
from workbench.cli.streams import console
from workbench.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

    from workbench.inference.pipeline import Pipeline

TrialName = Annotated[
    str,
    typer.Argument(
        metavar="TRIAL", help="the id of a finished trial, its beginning, its folder, or an exported folder"
    ),
]
MostTokens = Annotated[
    int | None, typer.Option("--max-new-tokens", min=1, help="longest answer; that of the evaluation by default")
]


def ask(
    trial: TrialName,
    words: Annotated[
        list[str], typer.Argument(metavar="IMAGE... QUESTION...", help="images that Pillow reads, then questions")
    ],
    text_alone: Annotated[
        bool, typer.Option("--text-alone", help="show no image: all words are questions, each asked by itself")
    ] = False,
    max_new_tokens: MostTokens = None,
    map_file: Annotated[
        Path | None, typer.Option("--attention", metavar="FILE.png", help="draw where it looked, for one question")
    ] = None,
    folders: PluginFolders = None,
    results: Results = Path("results"),
    device: Device = "auto",
) -> None:
    """Ask a finished trial about an image, or several. A single answer is shown while it is written."""
    images, questions = ([], words) if text_alone else _opened(words)
    if map_file is not None and text_alone:
        raise UserError(
            "--attention draws where a model looks on an image, and --text-alone shows none: give one of them"
        )
    if map_file is not None and len(questions) > 1:
        raise UserError("--attention draws the maps of one question: ask one, or use `workbench attention` for each")
    pipeline = _pipeline(trial, results, folders, device)
    if len(questions) == 1:
        for piece in pipeline.stream(images, questions[0], max_new_tokens):
            print(piece, end="", flush=True)
        print()
        if map_file is not None:
            _draw_attention(pipeline, images, questions[0], map_file, max_new_tokens)
        return
    for question, answer in zip(questions, pipeline.answers(images, questions, max_new_tokens), strict=True):
        print(f"{question}\n  {answer}")


def attention(
    trial: TrialName,
    words: Annotated[
        list[str], typer.Argument(metavar="IMAGE... QUESTION", help="images that Pillow reads, then one question")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.png", help="where the image is written")],
    max_new_tokens: MostTokens = None,
    folders: PluginFolders = None,
    results: Results = Path("results"),
    device: Device = "auto",
) -> None:
    """Draw where a finished trial looks while it writes each word of its answer."""
    images, questions = _opened(words)
    if len(questions) != 1:
        raise UserError(f"one question is drawn at a time; there are {len(questions)}")
    answer = _draw_attention(_pipeline(trial, results, folders, device), images, questions[0], out, max_new_tokens)
    print(answer)
    print(f"wrote {out}")


def preview(
    file: ExperimentFile,
    trial: Annotated[int, typer.Option(min=1, help="which trial, in the order of the plan")] = 1,
    example: Annotated[int, typer.Option(min=1, help="which training example")] = 1,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.png", help="where the image is written")] = Path(
        "preview.png"
    ),
    overrides: Overrides = None,
    folders: PluginFolders = None,
) -> None:
    """Show one example as the model will see it: its image, and which tokens are image, prompt and trained."""

    from workbench.config.experiment import load_experiment, plugin_folders
    from workbench.registry import load_registry
    from workbench.runs.matching import Matching
    from workbench.runs.preview import preview as look, show_preview

    registry = load_registry(plugin_folders(file, folders or ()))
    experiment = load_experiment(file, registry, overrides or (), sizer=Matching(registry, file))
    if trial > len(experiment.trials):
        raise UserError(f"there is no trial {trial}: the experiment has {len(experiment.trials)}")
    chosen = experiment.trials[trial - 1]
    shown_on = console()
    shown_on.print(f"trial {trial}: {chosen.label}", markup=False, highlight=False, soft_wrap=True)
    shown = look(chosen, registry, example)
    _written(out, shown.image.save)
    show_preview(shown_on, shown, out)


def demo(
    trial: TrialName,
    host: Annotated[str, typer.Option(help="where to serve; 0.0.0.0 lets other machines see it")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="a free one from 7860 on by default")] = None,
    folders: PluginFolders = None,
    results: Results = Path("results"),
    device: Device = "auto",
) -> None:
    """Serve a page in the browser that asks a finished trial (extra `demo`)."""
    from workbench.inference.demo import demo_page, serve_demo

    pipeline = _pipeline(trial, results, folders, device)
    serve_demo(demo_page(pipeline, f"{trial}: {pipeline.trial.label}"), host, port)


def export(
    trial: TrialName,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="a folder that is not there yet")],
    separate: Annotated[
        bool, typer.Option("--separate-adapter", help="keep the adapter's weights in a file of their own, not merged")
    ] = False,
    llava: Annotated[
        bool, typer.Option("--llava", help="also a folder OUT/llava that transformers loads as its LLaVA")
    ] = False,
    folders: PluginFolders = None,
    results: Results = Path("results"),
) -> None:
    """Write a finished trial as a folder of its own, with a model card: `workbench ask OUT ...` works on it."""
    from workbench.inference.export import export as write
    from workbench.inference.load_trial import load_trial

    write(load_trial(trial, results, folders or ()), out, separate, llava)
    print(f"wrote {out}")


def _written(out: Path, save: Callable[[Path], object]) -> None:
    """Save an image; a name or a place that cannot be used is the user's mistake."""
    try:
        save(out)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot write the image {out}: {error}. Give a file such as maps.png") from error


def _opened(words: list[str]) -> tuple[list[Image], list[str]]:
    """The images that the first words name, and the questions behind them. A word with an image's ending is one."""
    from itertools import takewhile

    from PIL.Image import registered_extensions

    from workbench.inference.pipeline import open_image
    from workbench.storage.places import is_there

    def is_image(word: str) -> bool:
        return Path(word).suffix.lower() in registered_extensions() or (word != "" and is_there(word))

    files = [words[0], *takewhile(is_image, words[1:])]
    return [open_image(Path(file)) for file in files], words[len(files) :]


def _draw_attention(
    pipeline: Pipeline, images: list[Image], question: str, out: Path, max_new_tokens: int | None
) -> str:
    """Write the maps of one question; returns its answer."""
    from workbench.inference.attention_maps import word_maps
    from workbench.inference.attention_plot import draw_maps, save_maps
    from workbench.inference.seen_image import seen_image

    maps = word_maps(pipeline, images, question, max_new_tokens)
    figure = draw_maps(seen_image(pipeline.model.encoder.views, *pipeline.rgb(images)), question, maps)
    _written(out, partial(save_maps, figure))
    return maps.answer


def _pipeline(trial: str, results: Path, folders: list[Path] | None, device: str) -> Pipeline:
    """The trial's model, ready on its device."""
    from workbench.devices.device import find_device
    from workbench.inference.export import is_exported, read_exported
    from workbench.inference.load_trial import load_trial
    from workbench.inference.pipeline import Pipeline

    where = find_device(device)
    if is_exported(Path(trial)):
        finished = read_exported(Path(trial), folders or ())
    else:
        finished = load_trial(trial, results, folders or ())
    return Pipeline(finished.model().to(where), finished.trial)
