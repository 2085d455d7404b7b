"""The real easy-VQA, held against its own pixels."""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from tests.processes import forked
from tests.tiny import builtin_registry
from workbench.contracts.dataset import Dataset
from workbench.errors import UserError
from workbench.registry import load_registry, resolve_options

COLORS = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")
SHAPES = ("circle", "rectangle", "triangle")


def easy_vqa(**options) -> Dataset:
    return builtin_registry().create("dataset", "easy_vqa", **options)


@cache
def plain() -> Dataset:
    return easy_vqa()


@cache
def seen(key: str) -> tuple[str, str]:
    """Colour and shape of an image, from its pixels."""
    image = plain().image(key)
    pixels, backdrop = np.asarray(image).astype(int), most_frequent(image)
    distance = np.abs(pixels - backdrop).sum(-1)
    inside = pixels[distance == distance.max()]
    color = min(COLORS, key=lambda name: np.abs(inside[0] - ImageColor.getrgb(name)).sum())
    covered = distance / distance.max()  # antialiased edges count in part
    box = covered.sum(0).max() * covered.sum(1).max()
    filled = covered.sum() / box  # of a triangle 1/2 and its rim, of a circle pi/4, of a rectangle all
    shape = "triangle" if filled < 0.73 else "circle" if filled < 0.93 else "rectangle"
    return color, shape


def most_frequent(image: Image.Image) -> np.ndarray:
    """The colour [3] of most pixels: the background's."""
    return np.array(max(image.getcolors(64 * 64) or [])[1])


def folder(root: Path, questions: object, images: int = 1) -> str:
    """A small dataset in the format of easy-VQA, both splits alike."""
    for split in ("train", "test"):
        (root / split / "images").mkdir(parents=True)
        (root / split / "questions.json").write_text(questions if isinstance(questions, str) else json.dumps(questions))
        for number in range(images):
            Image.new("RGB", (64, 64), (240, 240, 240)).save(root / split / "images" / f"{number}.png")
    return str(root)


def captions(root: Path, *facts: tuple[str, str]) -> list[str]:
    dataset = easy_vqa(root=folder(root, [[question, answer, 0] for question, answer in facts]))
    return [example.answers[0] for example in dataset.examples("train", "captions")]


@pytest.mark.parametrize(("split", "questions", "images"), [("train", 38_575, 4_000), ("test", 9_673, 1_000)])
def test_the_official_splits_have_all_their_questions_and_images(split: str, questions: int, images: int):
    examples = plain().examples(split, "questions")
    assert len(examples) == len({example.id for example in examples}) == questions
    assert len({example.image for example in examples}) == images
    assert all(
        example.image.startswith(f"{split}/") and example.id.startswith(f"{example.image}/") for example in examples
    )


def test_questions_and_answers_are_those_of_the_package_in_order():
    import easy_vqa as package

    texts, answers, numbers = package.get_test_questions()
    examples = plain().examples("test", "questions")
    assert [example.question for example in examples] == texts
    assert [example.answers for example in examples] == [(answer,) for answer in answers]
    assert [example.image for example in examples] == [f"test/{number}" for number in numbers]


def test_the_data_is_found_without_importing_the_package():
    process = forked(look_without_the_package)
    process.join(60)
    assert process.exitcode == 0


def look_without_the_package() -> None:
    dataset = load_registry().create("dataset", "easy_vqa")
    dataset.examples("test", "captions")
    dataset.image("test/3")
    sys.exit("easy_vqa" in sys.modules)


def test_groups_are_the_types_of_question():
    groups = Counter(example.group for example in plain().examples("train", "questions"))
    assert set(groups) == {
        "what color",
        "what shape",
        "is there (color)",
        "is there (shape)",
        "negated (color)",
        "negated (shape)",
    }
    by_question = {example.question: example.group for example in plain().examples("train", "questions")}
    assert by_question["is no blue shape present?"] == "negated (color)"
    assert by_question["does the image not contain a circle?"] == "negated (shape)"
    assert by_question["is a circle present?"] == "is there (shape)"
    assert by_question["what is the teal shape?"] == "what shape"
    assert by_question["what is the color of the circle?"] == "what color"
    yes_no = {
        example.group for example in plain().examples("train", "questions") if example.answers[0] in ("yes", "no")
    }
    assert not yes_no & {"what color", "what shape"}


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_caption_agrees_with_the_pixels(split: str):
    for example in plain().examples(split, "captions"):
        color, shape = seen(example.image)
        assert set(example.answers[0].split()) <= {"a", color, shape, "shape"}, example


@pytest.mark.parametrize("split", ["train", "test"])
def test_most_images_have_a_complete_caption(split: str):
    examples = plain().examples(split, "captions")
    images = len({example.image for example in plain().examples(split, "questions")})
    words = [example.answers[0].split() for example in examples]
    complete = [each for each in words if each[1] in COLORS and each[-1] in SHAPES]
    assert len(examples) == len({example.image for example in examples}) > 0.97 * images
    assert len(complete) > 0.85 * images
    assert {example.question for example in examples} == {"describe the picture"}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ([("what color is the triangle?", "blue")], ["a blue triangle"]),
        ([("what is the color of the shape?", "teal")], ["a teal shape"]),
        ([("what shape is present?", "circle")], ["a circle"]),
        ([("what is the red shape?", "rectangle")], ["a red rectangle"]),
        ([("is there a red shape?", "yes")], ["a red shape"]),
        ([("is there not a gray shape in the image?", "no")], ["a gray shape"]),
        ([("is no circle present?", "no")], ["a circle"]),
        ([("is there a red shape?", "no")], []),
        ([("is there a circle?", "no"), ("does the image not contain a triangle?", "yes")], ["a rectangle"]),
        ([(f"is a {color} shape present?", "no") for color in COLORS[1:]], ["a black shape"]),
        ([("who painted this?", "yes")], []),
    ],
)
def test_captions_say_what_the_questions_prove(tmp_path: Path, facts: list[tuple[str, str]], expected: list[str]):
    assert captions(tmp_path, *facts) == expected


def test_augmentation_moves_the_shape_whole_and_keeps_its_colour():
    dataset, chance = easy_vqa(shift=8), random.Random(3)
    moved = 0
    for number in range(100):
        before = np.asarray(plain().image(f"train/{number}"))
        after = np.asarray(dataset.augment(Image.fromarray(before), chance))
        assert after.shape == before.shape
        colors = [sorted(Image.fromarray(each).getcolors(64 * 64) or []) for each in (before, after)]
        assert colors[0] == colors[1]
        shifts = [np.roll(before, (down, along), (0, 1)) for down in range(-8, 9) for along in range(-8, 9)]
        assert any(np.array_equal(after, shift) for shift in shifts)
        moved += not np.array_equal(after, before)
    assert moved > 90


def test_flipping_mirrors_about_half_of_the_images():
    dataset, chance = easy_vqa(flip=True), random.Random(3)
    flipped = 0
    for number in range(100):
        before = np.asarray(plain().image(f"train/{number}"))
        after = np.asarray(dataset.augment(Image.fromarray(before), chance))
        mirrored = np.array_equal(after, before[:, ::-1])
        assert mirrored or np.array_equal(after, before)
        flipped += mirrored
    assert 35 < flipped < 65


def test_a_tinted_background_leaves_the_inside_of_the_shape_exact():
    dataset, chance = easy_vqa(background=20.0), random.Random(3)
    for number in range(100):
        image = plain().image(f"train/{number}")
        before = np.asarray(image).astype(int)
        after = np.asarray(dataset.augment(image, chance)).astype(int)
        distance = np.abs(before - most_frequent(image)).sum(-1)
        inside, outside = distance == distance.max(), distance == 0
        assert np.array_equal(after[inside], before[inside])
        assert len(np.unique(after[outside], axis=0)) == 1
        assert 0 < np.abs(after - before)[outside].max() <= 20
        assert (np.abs(after - before)[~outside] <= 20).all()


def test_the_same_random_numbers_give_the_same_images_and_others_other_ones():
    dataset, image = easy_vqa(shift=8, flip=True, background=20.0), plain().image("train/0")
    first, again, other = (dataset.augment(image, random.Random(seed)).tobytes() for seed in (1, 1, 2))
    assert first == again != other


def test_augmentation_is_off_by_default():
    assert not plain().augments
    assert easy_vqa(shift=1).augments and easy_vqa(flip=True).augments and easy_vqa(background=1.0).augments


def test_an_image_without_a_shape_is_left_alone():
    empty = Image.new("RGB", (64, 64), (240, 240, 240))
    assert easy_vqa(shift=8, flip=True, background=9.0).augment(empty, random.Random(0)).tobytes() == empty.tobytes()


@pytest.mark.parametrize("options", [{"shift": -1}, {"shift": 64}, {"shift": 1.5}, {"flip": 1}, {"background": -1.0}])
def test_impossible_options_are_the_users_mistake(options: dict):
    with pytest.raises(UserError, match=next(iter(options))):
        resolve_options(builtin_registry().plugin("dataset", "easy_vqa"), options)


def test_the_fingerprint_is_cheap_and_follows_data_and_augmentation(tmp_path: Path):
    dataset = plain()
    started = time.perf_counter()
    prints = {dataset.fingerprint()}
    assert time.perf_counter() - started < 0.5
    assert prints == {easy_vqa().fingerprint()}
    root = folder(tmp_path, [["what shape is present?", "circle", 0]])
    prints |= {easy_vqa(shift=2).fingerprint(), easy_vqa(root=root).fingerprint()}
    (tmp_path / "test" / "questions.json").write_text('[["what shape is present?", "triangle", 0]]')
    prints.add(easy_vqa(root=root).fingerprint())
    Image.new("RGB", (64, 64), (1, 2, 3)).save(tmp_path / "train" / "images" / "1.png")
    prints.add(easy_vqa(root=root).fingerprint())
    assert len(prints) == 5


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "easy_vqa", None)
    with pytest.raises(UserError, match="pip install easy-vqa"):
        easy_vqa()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[", r"questions\.json is no JSON"),
        ("{}", r"questions\.json must be a list"),
        ("[]", r"questions\.json must be a list"),
        ([["what shape is present?", "circle"]], r"entry 0 is \['what shape is present\?', 'circle'\]"),
        ([["what shape is present?", "circle", 0], ["a", 3, 0]], "entry 1"),
        ([["what shape is present?", "circle", 9]], r"9\.png, which is missing"),
    ],
)
def test_damaged_questions_name_the_file(tmp_path: Path, content: object, message: str):
    with pytest.raises(UserError, match=message):
        easy_vqa(root=folder(tmp_path, content)).examples("train", "questions")


def test_a_missing_folder_split_or_task_is_named(tmp_path: Path):
    for call in (
        lambda: easy_vqa(root=str(tmp_path)).examples("train", "questions"),
        easy_vqa(root=str(tmp_path)).fingerprint,
    ):
        with pytest.raises(UserError, match=r"train.questions\.json cannot be read"):
            call()
    with pytest.raises(UserError, match="no validation/questions.*train, test"):
        plain().examples("validation", "questions")
    with pytest.raises(UserError, match="no test/captoins.*questions, captions"):
        plain().examples("test", "captoins")


def test_missing_truncated_and_foreign_images_are_named(tmp_path: Path):
    dataset = easy_vqa(root=folder(tmp_path, [["what shape is present?", "circle", 0]]))
    file = tmp_path / "train" / "images" / "0.png"
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], b"no image", b""):
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"train.images.0\.png cannot be read"):
            dataset.image("train/0")
    file.unlink()
    with pytest.raises(UserError, match=r"train.images.0\.png is missing"):
        dataset.image("train/0")
