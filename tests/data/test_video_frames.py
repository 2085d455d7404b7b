"""Several images from files: lists in tables and conversations, and the frames of videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.plugins.test_readers import build, write_lines
from workbench.conformance import check
from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Turn
from workbench.data.annotations import DataError
from workbench.data.broken_images import without_broken_images
from workbench.data.image_files import ImageFiles
from workbench.data.video_frames import evenly, frames_of
from workbench.registry import load_registry


def color(number: int) -> tuple[int, int, int]:
    return (20 * number, 255 - 20 * number, 7)


def video(folder: Path, count: int = 12) -> Path:
    """The same frames as files in a folder, as a GIF, and as a TIFF of several pages."""
    frames = [Image.new("RGB", (8, 8), color(number)) for number in range(count)]
    (folder / "clip").mkdir(parents=True)
    for number, frame in enumerate(frames):
        frame.copy().save(folder / f"clip/frame{number + 1}.png")
    (folder / "clip/notes.txt").write_text("no frame")
    for name in ("clip.gif", "clip.tiff"):
        first, *others = (frame.copy() for frame in frames)
        first.save(folder / name, save_all=True, append_images=others)
    frames[3].save(folder / "still.png")
    return folder


@pytest.mark.parametrize("name", ["clip", "clip/frame*.png", "clip.gif", "clip.tiff"])
@pytest.mark.parametrize("count", [1, 4, 5, 12, 40])
def test_frames_are_the_middles_of_equal_stretches_in_the_order_of_their_numbers(tmp_path, name, count):
    files = ImageFiles(video(tmp_path))
    keys = files.frames(name, count)
    wanted = sorted({int((place + 0.5) * 12 / count) for place in range(count)}) if count < 12 else range(12)
    assert [files.open(key).getpixel((0, 0)) for key in keys] == [color(number) for number in wanted]
    assert [files.fault(key) for key in keys] == [None] * len(keys)


def test_frames_of_an_image_are_itself_and_of_a_folder_of_none_an_error(tmp_path):
    files = ImageFiles(video(tmp_path))
    assert files.frames("still.png", 8) == files.frames("still.png", None) == ("still.png",)
    (tmp_path / "empty").mkdir()
    for name in ("empty", "clip/*.webp"):
        with pytest.raises(DataError, match="there are no frames in .*: no file there has the ending of an image"):
            files.frames(name, 2)
    assert "cannot be read: it is a folder. Write frames: 8 to take 8 images of it" in str(files.fault("clip"))
    with pytest.raises(DataError, match="it is a folder. Write frames: 8"):
        files.open("clip")
    assert "cannot be decoded" in str(files.fault("clip.gif/99"))


def test_with_a_folder_for_each_split_frames_stay_below_it(tmp_path):
    files = ImageFiles({"train": video(tmp_path / "a"), "test": video(tmp_path / "b")})
    key = files.key("test", image="clip")
    assert files.frames(key, 2) == ("b/clip/frame4.png", "b/clip/frame10.png")
    assert files.open(files.frames(files.key("train", image="clip.gif"), 2)[1]).getpixel((0, 0)) == color(9)


def test_as_many_frames_as_there_are_at_most():
    paths = [Path(str(number)) for number in range(5)]
    assert evenly(paths, 9) == paths
    assert evenly(paths, 2) == [paths[1], paths[3]]
    with pytest.raises(DataError, match="there are no frames"):
        frames_of(Path("none/*.png"), 2)


def folder_data(tmp_path: Path, rows: list[dict[str, Any]], **options: Any) -> Dataset:
    file = write_lines(tmp_path / "train.jsonl", rows)
    return build("folder", {"tables": {"train": file}, "images": tmp_path, **options})


def test_a_folder_has_several_images_in_a_list_or_parted(tmp_path):
    video(tmp_path)
    rows = [
        {"image": ["still.png", "clip/frame1.png"], "question": "which?", "answers": "x"},
        {"image": "still.png | clip/frame2.png", "question": "which?", "answers": "x"},
        {"image": "still.png", "question": "which?", "answers": "x"},
    ]
    found = folder_data(tmp_path, rows).examples("train", "questions")
    assert [each.images for each in found] == [
        ("still.png", "clip/frame1.png"),
        ("still.png", "clip/frame2.png"),
        ("still.png",),
    ]
    with pytest.raises(DataError, match=r"train\.jsonl: line 1: 'image' holds no image, only '\|'"):
        list(folder_data(tmp_path, [{**rows[0], "image": "|"}]).examples("train", "questions"))


def test_a_folder_takes_frames_of_videos_which_is_part_of_its_fingerprint(tmp_path):
    video(tmp_path)
    rows = [
        {"image": name, "question": "what happens?", "answers": "it fades"}
        for name in ("clip", "clip.gif", "clip/*.png")
    ]
    four, two = (folder_data(tmp_path, rows, frames=count) for count in (4, 2))
    assert [len(each.images) for each in four.examples("train", "questions")] == [4, 4, 4]
    assert four.fingerprint() != two.fingerprint()
    options = {"tables": {"train": str(tmp_path / "train.jsonl")}, "images": str(tmp_path), "frames": 3}
    findings = list(check(load_registry(), "dataset", "folder", **options))
    assert [f"{each.title}: {each.explanation}" for each in findings if not each.passed] == []


def test_an_example_is_left_out_where_any_of_its_images_is_missing(tmp_path):
    video(tmp_path)
    rows = [
        {"image": ["still.png", "gone.png"], "question": "which?", "answers": "x"},
        {"image": ["still.png", "clip/frame1.png"], "question": "which?", "answers": "x"},
    ]
    with pytest.raises(DataError, match=r"1 of 3 images \(.*gone.png is missing\) of 'train'"):
        without_broken_images(folder_data(tmp_path, rows)).examples("train", "questions")
    left = without_broken_images(folder_data(tmp_path, rows, most_broken=0.5))
    assert [each.id for each in left.examples("train", "questions")] == ["train/1"]


def talk(image: Any, *questions: str) -> dict[str, Any]:
    said = [({"from": "human", "value": question}, {"from": "gpt", "value": "Yes."}) for question in questions]
    return {"id": "1", "image": image, "conversations": [turn for pair in said for turn in pair]}


def test_conversations_may_be_interleaved_with_images(tmp_path):
    video(tmp_path)
    rows = [
        talk(["still.png", "clip/frame1.png"], "<image>\n<image>\nSame?"),
        talk(["still.png", "clip/frame1.png"], "See <image> !", "And <image>?"),
        talk(["still.png", "clip/frame1.png"], "<image>\nSame?"),
        talk(["still.png"], "<image>\nRed?"),
        talk("still.png", "Red?\n<image>"),
    ]
    file = write_lines(tmp_path / "train.jsonl", rows)
    options: dict[str, Any] = {"conversations": {"train": file}, "images": tmp_path}
    found = list(build("llava_json", options).examples("train", "questions"))
    assert [each.question for each in found] == ["<image>\n<image>\nSame?", "And <image>?", "Same?", "Red?", "Red?"]
    assert found[1].history == (Turn("See <image> !", "Yes."),)
    assert [len(each.images) for each in found] == [2, 2, 2, 1, 1]
    write_lines(file, [talk(["clip", "still.png"], "First <image>, then <image>"), talk("clip.gif", "<image>\nWhat?")])
    frames = list(build("llava_json", {**options, "frames": 3}).examples("train", "questions"))
    assert [len(each.images) for each in frames] == [4, 3]
    assert [each.question for each in frames] == ["First <image><image><image>, then <image>", "What?"]
    write_lines(file, [talk(["still.png", "clip.gif"], "<image><image><image>?")])
    with pytest.raises(DataError, match=r"line 1: 'conversations' has 3 places <image> for the 2 of 'image'"):
        list(build("llava_json", options).examples("train", "questions"))
