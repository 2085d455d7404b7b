"""Writes files in the official formats of public data sets, of any length: for the tests, and to time the readers.

Each `write_...` makes `count` training examples and a few of another split, and returns the options of the reader;
`with_images`, it writes the images they are about as well. Keys and sizes of entries are those of the real files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

TEST = 6  # examples of the other split
TEXT = "there is a small red bus next to the tall building near a river under some trees and two people"
WORDS = TEXT.split()
Options = dict[str, Any]


def sentence(number: int, words: int = 12) -> str:
    return " ".join(WORDS[(number * 7 + place * 3) % len(WORDS)] for place in range(words)).capitalize() + "."


def write_images(names: Iterable[Path]) -> None:
    for number, name in enumerate(dict.fromkeys(names)):
        name.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 10), (40 * number % 256, 80, 160)).save(name)


def write_json(file: Path, value: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value), encoding="utf-8")
    return file


def write_lines(file: Path, values: Iterable[Any]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8") as out:
        for value in values:
            out.write(json.dumps(value) + "\n")
    return file


def splits(count: int, names: tuple[str, str]) -> list[tuple[str, str, range]]:
    """(our split, its name in files, numbers of examples)."""
    return [("train", names[0], range(count)), ("test", names[1], range(10**6, 10**6 + TEST))]


def write_llava_json(folder: Path, count: int, with_images: bool = True) -> Options:
    def entry(number: int) -> dict:
        turns = [5, 1, 1][number % 3]
        said = []
        for turn in range(turns):
            image = "<image>\n" if turn == 0 and number % 2 else ""
            after = "\n<image>" if turn == 0 and not number % 2 else ""
            said.append({"from": "human", "value": f"{image}What about {sentence(number + turn, 6)}{after}"})
            said.append({"from": "gpt", "value": sentence(number + turn, 25 if turns > 1 else 230)})
        return {"id": f"{number:012}", "image": f"{number:012}.jpg", "conversations": said}

    file = write_json(folder / "llava_instruct_150k.json", [entry(number) for number in range(count)])
    if with_images:
        write_images(folder / f"train2017/{number:012}.jpg" for number in range(count))
    (folder / "train2017").mkdir(exist_ok=True)
    return {"conversations": {"train": file}, "images": folder / "train2017", "test_share": 0.3 if with_images else 0.0}


def _vqa(folder: Path, count: int, with_images: bool, kinds: Callable[[int], dict], file: str, extra: dict) -> Options:
    options: Options = {"questions": {}, "annotations": {}, "images": {}}
    for ours, theirs, numbers in splits(count, ("train2014", "val2014")):
        questions, annotations = [], []
        for number in numbers:
            image, id_ = number // 5 * 5 + 9, number * 1000
            questions.append(
                {"image_id": image, "question": f"What is {sentence(number, 5)[:-1]}?", "question_id": id_}
            )
            answers = [
                {"answer": ["net", "a net", "tennis net"][min(each // 5 + each % 2, 2)], "answer_confidence": "yes"}
                for each in range(10)
            ]
            annotations.append({"question_id": id_, "image_id": image, **kinds(number), "answers": answers})
            for place, answer in enumerate(answers, start=1):
                answer |= {"answer_id": place, **({"raw_answer": "nets"} if extra else {})}
        head = {"info": {"version": "2.0"}, "data_type": "mscoco", "data_subtype": theirs, "license": {"name": "CC"}}
        named = file.format(theirs)
        options["questions"][ours] = write_json(
            folder / f"OpenEnded_{named}_questions.json", {**head, "task_type": "Open-Ended", "questions": questions}
        )
        options["annotations"][ours] = write_json(
            folder / f"{named}_annotations.json", {**head, "annotations": annotations, **extra}
        )
        options["images"][ours] = folder / theirs
        (folder / theirs).mkdir(exist_ok=True)
        if with_images:
            write_images(folder / f"{theirs}/COCO_{theirs}_{each['image_id']:012}.jpg" for each in questions)
    return options


def write_vqav2(folder: Path, count: int, with_images: bool = True) -> Options:
    def kinds(number: int) -> dict:
        kind = ("yes/no", "number", "other")[number % 3]
        return {"question_type": "what is", "answer_type": kind, "multiple_choice_answer": "net"}

    return _vqa(folder, count, with_images, kinds, "v2_mscoco_{}", {})


def write_okvqa(folder: Path, count: int, with_images: bool = True) -> Options:
    fields = {"one": "Vehicles and Transportation", "two": "Brands, Companies and Products", "other": "Other"}

    def kinds(number: int) -> dict:
        return {"question_type": list(fields)[number % 3], "answer_type": "other", "confidence": 3}

    return _vqa(folder, count, with_images, kinds, "mscoco_{}", {"question_types": fields})


def write_aokvqa(folder: Path, count: int, with_images: bool = True) -> Options:
    options: Options = {"annotations": {}, "images": {}}
    for ours, theirs, numbers in splits(count, ("train", "val")):
        entries = [
            {
                "split": theirs,
                "image_id": number,
                "question_id": f"22MexNkBPpdZGX6sxbx{number}",
                "question": f"What is the man {sentence(number, 4)[:-1]}?",
                "choices": ["ride", "sit", "throw", "skate"],
                "correct_choice_idx": number % 4,
                "direct_answers": ["ride", "ride", "bike", "stop", "ride", "ride", "sit", "bike", "ride", "ride"],
                "difficult_direct_answer": number % 5 == 0,
                "rationales": [sentence(number), sentence(number + 1), sentence(number + 2)],
            }
            for number in numbers
        ]
        options["annotations"][ours] = write_json(folder / f"aokvqa_v1p0_{theirs}.json", entries)
        options["images"][ours] = folder / f"{theirs}2017"
        (folder / f"{theirs}2017").mkdir(exist_ok=True)
        if with_images:
            write_images(folder / f"{theirs}2017/{number:012}.jpg" for number in numbers)
    return options


def write_coco_captions(folder: Path, count: int, with_images: bool = True) -> Options:
    options: Options = {"annotations": {}, "images": {}}
    for ours, theirs, numbers in splits(count, ("train2017", "val2017")):
        ids = list(dict.fromkeys(number // 5 * 5 for number in numbers))
        images = [
            {
                "license": 3,
                "file_name": f"{number:012}.jpg",
                "coco_url": f"http://images.cocodataset.org/{theirs}/{number:012}.jpg",
                "height": 427,
                "width": 640,
                "date_captured": "2013-11-14 17:02:52",
                "flickr_url": f"http://farm7.staticflickr.com/6116/{number}.jpg",
                "id": number,
            }
            for number in ids
        ]
        annotations = [
            {"image_id": number // 5 * 5, "id": 37 + number, "caption": sentence(number)} for number in numbers
        ]
        whole = {"info": {"year": 2017}, "images": images, "licenses": [], "annotations": annotations}
        options["annotations"][ours] = write_json(folder / f"captions_{theirs}.json", whole)
        options["images"][ours] = folder / theirs
        (folder / theirs).mkdir(exist_ok=True)
        if with_images:
            write_images(folder / theirs / image["file_name"] for image in images)
    return options


def _karpathy(folder: Path, count: int, with_images: bool, name: str, parts: Mapping[str, str | None]) -> Path:
    images = []
    for number in range(max(count // 5, 1) + TEST):
        split = list(parts)[0] if number < count // 5 else list(parts)[1 + number % (len(parts) - 1)]
        place = parts[split]
        file = f"COCO_{place}_{number:012}.jpg" if place else f"{1000092795 + number}.jpg"
        said = [
            {"tokens": sentence(number + each).lower().split(), "raw": sentence(number + each), "imgid": number,
             "sentid": 5 * number + each}
            for each in range(5)
        ]  # fmt: skip
        image = {"sentids": [each["sentid"] for each in said], "imgid": number, "sentences": said, "split": split}
        images.append({**({"filepath": place, "cocoid": number} if place else {}), **image, "filename": file})
        if with_images:
            write_images([folder / "images" / (place or "") / file])
    (folder / "images").mkdir(exist_ok=True)
    return write_json(folder / f"dataset_{name}.json", {"images": images, "dataset": name})


def write_karpathy_coco(folder: Path, count: int, with_images: bool = True) -> Options:
    parts = {"train": "train2014", "restval": "val2014", "val": "val2014", "test": "val2014"}
    return {"karpathy": _karpathy(folder, count, with_images, "coco", parts), "images": folder / "images"}


def write_karpathy_flickr30k(folder: Path, count: int, with_images: bool = True) -> Options:
    parts = {"train": None, "val": None, "test": None}
    return {"karpathy": _karpathy(folder, count, with_images, "flickr30k", parts), "images": folder / "images"}


def write_flickr30k(folder: Path, count: int, with_images: bool = True) -> Options:
    file = folder / "results_20130124.token"
    with file.open("w", encoding="utf-8") as out:
        for number in range(count):
            out.write(f"{1000092795 + number // 5}.jpg#{number % 5}\t{sentence(number)}\n")
    (folder / "flickr30k-images").mkdir(exist_ok=True)
    if with_images:
        write_images(folder / f"flickr30k-images/{1000092795 + number // 5}.jpg" for number in range(count))
    return {"captions": file, "images": folder / "flickr30k-images", "test_share": 0.3 if with_images else 0.0}


def write_localized_narratives(folder: Path, count: int, with_images: bool = True) -> Options:
    def entry(number: int, split: str) -> dict:
        caption = sentence(number, 40)
        points = 900 if not with_images else 3  # as many as a real narrative has
        timed = [{"utterance": word, "start_time": 0.4, "end_time": 0.9} for word in caption.split()]
        trace = [{"x": 0.2086, "y": -0.0533, "t": 0.022 * point} for point in range(points)]
        return {
            "dataset_id": f"mscoco_{split}2017", "image_id": str(number), "annotator_id": 93, "caption": caption,
            "timed_caption": timed, "traces": [trace], "voice_recording": f"coco_{split}/{number}.ogg",
        }  # fmt: skip

    options: Options = {"narratives": {}, "images": {}}
    for ours, theirs, numbers in splits(count, ("train", "val")):
        halves = [numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]]
        options["narratives"][ours] = [
            write_lines(
                folder / f"coco_{theirs}_localized_narratives-{part:05}-of-00002.jsonl",
                (entry(number, theirs) for number in half),
            )
            for part, half in enumerate(halves)
        ]
        options["images"][ours] = folder / f"{theirs}2017"
        (folder / f"{theirs}2017").mkdir(exist_ok=True)
        if with_images:
            write_images(folder / f"{theirs}2017/{number:012}.jpg" for number in numbers)
    return options


def write_pope(folder: Path, count: int, with_images: bool = True) -> Options:
    questions = {}
    for strategy in ("random", "popular", "adversarial"):
        questions[strategy] = write_lines(
            folder / f"coco_pope_{strategy}.json",
            (
                {
                    "question_id": number + 1,
                    "image": f"COCO_val2014_{number // 6:012}.jpg",
                    "text": f"Is there a {WORDS[number % len(WORDS)]} in the image?",
                    "label": ("yes", "no")[number % 2],
                }
                for number in range(count)
            ),
        )
    (folder / "val2014").mkdir(exist_ok=True)
    if with_images:
        write_images(folder / f"val2014/COCO_val2014_{number // 6:012}.jpg" for number in range(count))
    return {"questions": questions, "images": folder / "val2014"}


def write_gqa(folder: Path, count: int, with_images: bool = True) -> Options:
    def entry(number: int) -> dict:
        steps = [{"operation": "select", "dependencies": [], "argument": "sky (2486325)"}] * 3
        return {
            "semantic": steps, "entailed": ["02930160", "02930158"], "equivalent": [f"{number:08}"],
            "question": f"Is {sentence(number, 5)[:-1]}?", "imageId": str(2354786 + number // 5), "isBalanced": True,
            "groups": {"global": None, "local": "06-sky_dark"}, "answer": ("yes", "no")[number % 2],
            "semanticStr": "select: sky (2486325)->verify color: dark [0]",
            "annotations": {"answer": {}, "question": {"2": "2486325"}, "fullAnswer": {"2": "2486325"}},
            "types": {"detailed": "verifyAttr", "semantic": "attr", "structural": ("verify", "query")[number % 2]},
            "fullAnswer": f"Yes, {sentence(number, 4)}",
        }  # fmt: skip

    options: Options = {"questions": {}, "images": folder / "images"}
    for ours, theirs, numbers in splits(count, ("train_balanced", "testdev_balanced")):
        file = folder / f"{theirs}_questions.json"
        options["questions"][ours] = write_json(file, {f"{number:08}": entry(number) for number in numbers})
        if with_images:
            write_images(folder / f"images/{2354786 + number // 5}.jpg" for number in numbers)
    (folder / "images").mkdir(exist_ok=True)
    return options


def write_scienceqa(folder: Path, count: int, with_images: bool = True) -> Options:
    problems, by_split = {}, {"train": [], "test": []}
    for number in range(count + TEST):
        split = "train" if number < count else "test"
        by_split[split].append(str(number))
        problems[str(number)] = {
            "question": f"Which of these {sentence(number, 8)[:-1]}?",
            "choices": ["West Virginia", "Louisiana", "Iowa"],
            "answer": number % 3, "hint": sentence(number) if number % 2 else "",
            "image": "image.png" if number % 4 else None, "task": "closed choice", "grade": "grade2",
            "subject": ("natural science", "social science")[number % 2], "topic": "geography",
            "category": "Geography", "skill": "Read a map", "lecture": sentence(number, 60),
            "solution": sentence(number, 40), "split": split,
        }  # fmt: skip
        if with_images and number % 4:
            write_images([folder / f"images/{split}/{number}/image.png"])
    (folder / "images").mkdir(exist_ok=True)
    return {
        "problems": write_json(folder / "problems.json", problems),
        "pid_splits": write_json(folder / "pid_splits.json", by_split),
        "images": folder / "images",
    }


def write_folder(folder: Path, count: int, with_images: bool = True) -> Options:
    languages = ("en", "de", "fr")
    (folder / "images").mkdir(exist_ok=True)
    with (folder / "train.csv").open("w", encoding="utf-8") as out:
        out.write("file,ask,reply,language\n")
        for number in range(count):
            out.write(f'{number}.png,"What, {sentence(number, 5)[:-1]}?",a bus|bus,{languages[number % 3]}\n')
    test = [
        {"file": f"t{number}.png", "ask": "What is it?", "reply": ["bus", "a bus"], "language": languages[number % 3]}
        for number in range(TEST)
    ]
    write_lines(folder / "test.jsonl", test)
    if with_images:
        write_images(folder / f"images/{number}.png" for number in range(count))
        write_images(folder / "images" / each["file"] for each in test)
    return {
        "tables": {"train": folder / "train.csv", "test": folder / "test.jsonl"},
        "images": folder / "images",
        "columns": {"image": "file", "question": "ask", "answers": "reply", "group": "language"},
    }


# By the name of the reader, or of a second format of it behind a slash.
FORMATS: dict[str, Callable[[Path, int, bool], Options]] = {
    "llava_json": write_llava_json,
    "vqav2": write_vqav2,
    "okvqa": write_okvqa,
    "aokvqa": write_aokvqa,
    "coco_captions": write_coco_captions,
    "coco_captions/karpathy": write_karpathy_coco,
    "flickr30k": write_flickr30k,
    "flickr30k/karpathy": write_karpathy_flickr30k,
    "localized_narratives": write_localized_narratives,
    "pope": write_pope,
    "gqa": write_gqa,
    "scienceqa": write_scienceqa,
    "folder": write_folder,
}
