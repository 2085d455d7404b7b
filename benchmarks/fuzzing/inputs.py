"""Odd checkpoints, annotation files and images: `plan` and `run` refuse them in words, or do without what is broken."""

from __future__ import annotations

import copy
import json
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from official_formats import FORMATS
from PIL import Image
from safetensors.torch import load_file, save_file

from fuzzing.isolation import Maker, Prepared
from fuzzing.odd_values import BYTES, PLACES, VALUES, changed, damage_json
from fuzzing.templates import COLORS, EXPERIMENT, HERE, TINY, make_data, with_dataset

Change = Callable[[Path, random.Random], str]
DECODERS = {"decoder": ("huggingface", "llama"), "sharded": ("huggingface", "llama")}
TOWERS = {"tower": ("huggingface",), "clip": ("huggingface", "clip")}


def makers(checkpoints: Path) -> dict[str, Maker]:
    """The kinds of inputs there are."""
    return {
        "odd checkpoint": lambda dice, folder: odd_checkpoint(checkpoints, dice, folder),
        "odd annotations": lambda dice, folder: odd_annotations(checkpoints, dice, folder),
        "odd image": odd_image,
    }


def odd_checkpoint(checkpoints: Path, dice: random.Random, folder: Path) -> Prepared:
    """A file of a checkpoint damaged, or a weight in it."""
    name = dice.choice([*DECODERS, *TOWERS])
    make_data(folder)
    shutil.copytree(checkpoints / name, folder / name)
    weights, written = sorted((folder / name).glob("*.safetensors")), sorted((folder / name).glob("*.json"))
    if dice.random() < 0.4:
        file = dice.choice(weights)
        change = dice.choice([_odd_weight, _odd_weight, *BYTES[:4], *PLACES[:3], _odd_header])(file, dice)
    else:
        file = dice.choice([*written, folder / name / "config.json"])
        change = dice.choice([damage_json, damage_json, damage_json, damage_json, *BYTES, *PLACES])(file, dice)
    kind, plugins = ("language_model", DECODERS[name]) if name in DECODERS else ("encoder", TOWERS[name])
    plugin = dice.choice(plugins)
    document = changed(TINY, ("base", kind), {"name": plugin, "checkpoint": name})
    return _tried(folder, document, f"{kind} {plugin}, {file.parent.name}/{file.name}: {change}", dice)


def odd_annotations(checkpoints: Path, dice: random.Random, folder: Path) -> Prepared:
    """One file of a reader damaged."""
    make_data(folder)
    name = dice.choice([*FORMATS, *MORE])
    (folder / "data").mkdir()
    options = {**FORMATS, **MORE}[name](folder / "data", 12, True)
    files = sorted(
        file for file in (folder / "data").rglob("*") if file.is_file() and file.suffix not in (".jpg", ".png")
    )
    file = dice.choice(files)
    ways: list[Change] = [damage_json] * 6 if file.suffix in (".json", ".jsonl") else [_odd_cell] * 6
    change = dice.choice([*ways, *BYTES, *PLACES])
    try:
        told = change(file, dice)
    except ValueError:
        told = BYTES[0](file, dice)
    reader = {"name": name.partition("/")[0], **json.loads(json.dumps(options, default=str))}
    document = with_dataset(reader)
    if reader["name"] == "pope":  # questions to test with alone
        document["base"] |= {
            "phases": [],
            "language_model": {"name": "llama", "checkpoint": str(checkpoints / "decoder")},
        }
    return _tried(folder, document, f"{name}, {file.name}: {told}", dice)


def odd_image(dice: random.Random, folder: Path) -> Prepared:
    """One of four images odd."""
    make_data(folder)
    file = folder / "images" / f"{dice.choice(COLORS)}.png"
    change = dice.choice([*IMAGES, *BYTES[:4], *PLACES])
    told = change(file, dice)
    document = changed(TINY, ("base", "dataset", "most_broken"), dice.choice([0.0, 0.5]))
    return _tried(folder, document, f"{file.name}: {told}", dice)


def _tried(folder: Path, document: dict[str, Any], change: str, dice: random.Random) -> Prepared:
    document = copy.deepcopy(document)
    del document["grid"]
    (folder / EXPERIMENT).write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    run = ["run", EXPERIMENT, *HERE, "--device", "cpu"]
    return Prepared(change, [["plan", EXPERIMENT, *HERE, *dice.choice([[], [], ["--decode"]])], run])


def _odd_weight(file: Path, dice: random.Random) -> str:
    weights = load_file(file)
    name = dice.choice(sorted(weights))
    weight = weights[name]
    ways: dict[str, torch.Tensor | None] = {
        "missing": None,
        "NaN": torch.full_like(weight, float("nan")),
        "one infinity": weight.clone().index_put_((torch.tensor(0),) * weight.ndim, torch.tensor(float("inf"))),
        "whole numbers": weight.to(torch.int64),
        "truth values": weight > 0,
        "complex": weight.to(torch.complex64),
        "half": weight.half(),
        "8 bits": weight.to(torch.float8_e4m3fn),
        "turned": weight.t().contiguous() if weight.ndim == 2 else weight[None],
        "flat": weight.flatten().contiguous(),
        "a number": torch.tensor(0.0),
        "without elements": weight[:0].contiguous(),
        "longer": torch.cat([weight, weight]),
        "1e30 times": weight * 1e30,
    }
    how = dice.choice(list(ways))
    made = ways[how]
    weights.pop(name)
    if made is not None:
        weights[name] = made
    if dice.random() < 0.1:
        weights["unknown." + "x" * 300] = torch.zeros(3)
    save_file(weights, file, metadata={"format": "pt"})
    return f"{name}: {how}"


def _odd_header(file: Path, dice: random.Random) -> str:
    """The header of a safetensors file: its length, or what it says."""
    content = file.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    if dice.random() < 0.5:
        other = dice.choice([0, 1, length - 1, 2**40, 2**64 - 1])
        file.write_bytes(struct.pack("<Q", other) + content[8:])
        return f"header of {other} bytes"
    header = json.loads(content[8 : 8 + length])
    name = dice.choice([each for each in header if each != "__metadata__"])
    key = dice.choice(list(header[name]))
    header[name][key] = value = dice.choice([*VALUES, [0, 2**62], [8, 4], [-1], "F99"])
    made = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(made)) + made + content[8 + length :])
    return f"header: {name}.{key} = {value!a:.60}"


def _odd_cell(file: Path, dice: random.Random) -> str:
    """One cell of a table, or one column too many or too few."""
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    number = dice.randrange(len(lines))
    mark = "\t" if "\t" in lines[number] else ","
    cells = lines[number].split(mark)
    place, value = (
        dice.randrange(len(cells)),
        dice.choice([str(each) for each in VALUES] + ['"', '"a', "a,b,c", "|", "||"]),
    )
    cells[place] = value
    lines[number] = mark.join(cells)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogatepass")
    return f"line {number + 1}, cell {place + 1} = {value!a:.60}"


def _write_table(end: str) -> Callable[[Path, int, bool], dict[str, Any]]:
    """Writes the same questions about images in a file of that ending."""

    def write(folder: Path, count: int, with_images: bool = True) -> dict[str, Any]:
        rows = [
            {"image": f"{number}.png", "question": "what is it?", "answers": "bus", "group": "en"}
            for number in range(count)
        ]
        file = folder / f"rows.{end}"
        if end == "json":
            file.write_text(json.dumps(rows), encoding="utf-8")
        elif end == "jsonl":
            file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        elif end == "tsv":
            table = [list(rows[0]), *(list(row.values()) for row in rows)]
            file.write_text("".join("\t".join(row) + "\n" for row in table), encoding="utf-8")
        for number in range(count):
            Image.new("RGB", (12, 10), (20 * number, 80, 160)).save(folder / f"{number}.png")
        return {"tables": {"train": file, "test": file}, "images": folder}

    return write


MORE = {f"folder/{end}": _write_table(end) for end in ("json", "jsonl", "tsv")}


def _saved(mode: str, size: tuple[int, int], form: str, **options: Any) -> Change:
    def save(file: Path, dice: random.Random) -> str:
        Image.new(mode, size).save(file, format=form, **options)
        return f"{form} of {size[0]} x {size[1]}, {mode}"

    return save


def _animated(file: Path, dice: random.Random) -> str:
    frames = [Image.new("P", (16, 16), color) for color in (1, 2, 3)]
    frames[0].save(file, format="GIF", save_all=True, append_images=frames[1:])
    return "an animated GIF"


def _huge_header(file: Path, dice: random.Random) -> str:
    """A PNG that says it is larger than any memory, with a right checksum."""
    import zlib

    side = dice.choice([20_000, 200_000, 2**31 - 1, 0])
    head = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    file.write_bytes(
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head)) + b"\0" * 60
    )
    return f"a header of {side} x {side}"


def _svg(file: Path, dice: random.Random) -> str:
    file.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>", encoding="utf-8")
    return "SVG"


IMAGES: tuple[Change, ...] = (
    _saved("RGB", (1, 1), "PNG"),
    _saved("RGB", (1, 20_000), "PNG"),
    _saved("I;16", (16, 16), "PNG"),
    _saved("1", (16, 16), "PNG"),
    _saved("LA", (16, 16), "PNG"),
    _saved("P", (16, 16), "PNG", transparency=0),
    _saved("CMYK", (16, 16), "JPEG"),
    _saved("F", (16, 16), "TIFF"),
    _saved("RGB", (16, 16), "BMP"),
    _saved("RGB", (16, 16), "WEBP"),
    _saved("RGB", (16, 16), "EPS"),
    _animated,
    _huge_header,
    _huge_header,
    _svg,
)
