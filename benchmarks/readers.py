"""How fast the readers read, on files of the official formats and sizes: parsing alone, no image is decoded.

Seconds of one process, one thread; file caches are warm, since the files were just written.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from official_formats import FORMATS
from side_by_side import print_machine

from workbench.registry import load_registry, resolve_options

REPEATS = 5
PARQUET = 5_000
FIRST, GOAL = 1_000, 500  # examples; examples a second
LLAVA, LLAVA_SECONDS = 150_000, 3.0
# Training examples of the real data sets; those of whose files would fill the disk are cut.
SIZES = {
    "llava_json": 157_712,
    "vqav2": 443_757,
    "okvqa": 9_009,
    "aokvqa": 17_056,
    "coco_captions": 591_753,
    "coco_captions/karpathy": 566_435,
    "flickr30k": 158_915,
    "flickr30k/karpathy": 145_000,
    "localized_narratives": 5_000,
    "pope": 3_000,
    "gqa": 200_000,
    "scienceqa": 12_726,
    "folder": 100_000,
}


def main() -> None:
    print_machine(threads=1)
    print(f"\nthe first {FIRST:,} examples of a new reader, median of {REPEATS} (goal: {GOAL} examples/s)")
    for name, write in FORMATS.items():
        with tempfile.TemporaryDirectory() as folder:
            options = as_in_yaml(write(Path(folder), SIZES[name], False))
            rates = [FIRST / seconds_of_first(name, options) for _ in range(REPEATS)]
            size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()) / 1e6
            told = f"{SIZES[name]:,} examples, {size:,.0f} MB"
            print(f"  {name:<26} {statistics.median(rates):10,.0f} examples/s   ({told})")
    with tempfile.TemporaryDirectory() as folder:
        options = as_in_yaml(write_parquet(Path(folder), PARQUET))
        seconds_of_first("huggingface_dataset", options)  # the library converts the files once
        rates = [FIRST / seconds_of_first("huggingface_dataset", options) for _ in range(REPEATS)]
        told = f"{statistics.median(rates):10,.0f} examples/s   ({PARQUET:,} examples, all of them read)"
        print(f"  {'huggingface_dataset':<26} {told}")
    with tempfile.TemporaryDirectory() as folder:
        options = as_in_yaml(FORMATS["llava_json"](Path(folder), LLAVA, False))
        size = options["conversations"]["train"]
        print(
            f"\na LLaVA file of {LLAVA:,} entries, {Path(size).stat().st_size / 1e6:,.0f} MB (goal: {LLAVA_SECONDS} s)"
        )
        for what, count in (("opened, and its first example", 1), ("opened, and all of it", None)):
            seconds = [seconds_of_first("llava_json", options, count) for _ in range(REPEATS)]
            print(f"  {what:<32} {statistics.median(seconds):6.2f} s")


def write_parquet(folder: Path, count: int) -> dict[str, Any]:
    """A parquet file with images in it, some 20 kB each, as data sets of the hub have them."""
    import datasets
    import datasets.config

    datasets.config.HF_DATASETS_CACHE = folder / "cache"
    image = {"bytes": bytes(20_000), "path": None}
    rows = {"image": [image] * count, "question": ["What is it?"] * count, "answers": [["bus"] * 10] * count}
    table = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image(decode=False))
    table.to_parquet(folder / "train.parquet")
    return {"source": {"train": folder / "train.parquet"}}


def seconds_of_first(name: str, options: dict[str, Any], count: int | None = FIRST) -> float:
    """Building the reader and reading so many training examples, or all."""
    registry = load_registry()
    plugin = registry.plugin("dataset", name.partition("/")[0])
    resolved = resolve_options(plugin, options)
    started = time.perf_counter()
    dataset = plugin.factory(**resolved)
    split = "train" if "train" in dataset.splits() else "test"
    examples = dataset.examples(split, dataset.tasks()[0])
    found = examples[:count] if count else examples
    assert len(found) >= (count or LLAVA)
    return time.perf_counter() - started


def as_in_yaml(options: dict[str, Any]) -> dict[str, Any]:
    """Paths as texts."""
    return json.loads(json.dumps(options, default=str))


if __name__ == "__main__":
    main()
