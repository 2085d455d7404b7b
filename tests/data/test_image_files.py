"""Images in folders: judged without decoding, opened, and called by keys."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from workbench.data.annotations import DataError
from workbench.data.image_files import ImageFiles

FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF", "bmp": "BMP"}


def encoded(suffix: str, size: int = 40) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((size, size), 50).convert("RGB").save(out, FORMATS[suffix])
    return out.getvalue()


@pytest.mark.parametrize("suffix", FORMATS)
def test_whole_images_have_no_fault_and_open(tmp_path, suffix):
    (tmp_path / f"a.{suffix}").write_bytes(encoded(suffix))
    files = ImageFiles(tmp_path)
    assert files.fault(f"a.{suffix}") is None
    assert files.open(f"a.{suffix}").mode == "RGB"


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_image_that_is_cut_off_has_a_fault_with_its_path(tmp_path, suffix):
    content = encoded(suffix)
    (tmp_path / f"a.{suffix}").write_bytes(content[: len(content) // 2])
    fault = ImageFiles(tmp_path).fault(f"a.{suffix}")
    assert fault is not None
    assert fault.startswith(f"{tmp_path}/a.{suffix} cannot be decoded")


def test_missing_empty_and_other_files_have_faults(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    (tmp_path / "folder.jpg").mkdir()
    files = ImageFiles(tmp_path)
    assert str(files.fault("none.jpg")).endswith("none.jpg is missing")
    assert str(files.fault("empty.jpg")).endswith("empty.jpg is empty")
    assert "page.jpg cannot be decoded" in str(files.fault("page.jpg"))
    assert "folder.jpg cannot be read" in str(files.fault("folder.jpg"))


def test_a_jpeg_with_something_behind_its_end_is_decoded_to_be_sure(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded("jpg") + b"some camera's remark")
    assert ImageFiles(tmp_path).fault("a.jpg") is None


def test_an_image_that_fails_later_is_told_with_its_path(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded("png")[:200])
    with pytest.raises(DataError, match=r"a\.png cannot be decoded .* Delete it: then it counts as missing"):
        ImageFiles(tmp_path).open("a.png")
    with pytest.raises(DataError, match=r"b\.png is missing"):
        ImageFiles(tmp_path).open("b.png")


def test_a_photograph_is_turned_as_its_camera_says(tmp_path):
    lying = Image.new("RGB", (8, 4), "red")
    exif = lying.getexif()
    exif[0x0112] = 6
    lying.save(tmp_path / "a.jpg", exif=exif)
    assert ImageFiles(tmp_path).open("a.jpg").size == (4, 8)


def test_keys_name_the_folder_where_there_are_several(tmp_path):
    for folder in ("coco/train", "coco/val", "other/val"):
        (tmp_path / folder).mkdir(parents=True)
    two = ImageFiles({"train": tmp_path / "coco/train", "test": tmp_path / "coco/val", "val": tmp_path / "coco/val"})
    assert [two.key(split, image="1.jpg") for split in ("train", "test", "val")] == [
        *("train/1.jpg", "val/1.jpg", "val/1.jpg"),
    ]
    assert two.path("val/1.jpg") == tmp_path / "coco/val/1.jpg"
    alike = ImageFiles({"train": tmp_path / "coco/val", "test": tmp_path / "other/val"})
    assert alike.path(alike.key("test", image="1.jpg")) == tmp_path / "other/val/1.jpg"


def test_a_fingerprint_follows_names_and_sizes_and_opens_nothing(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/a.jpg").write_bytes(b"no image")
    files = ImageFiles(tmp_path)
    first = files.fingerprint()
    (tmp_path / "deep/a.jpg").write_bytes(b"another!")
    assert files.fingerprint() == first, "as large as before"
    (tmp_path / "deep/a.jpg").write_bytes(b"longer than before")
    second = files.fingerprint()
    (tmp_path / "deep/a.jpg").rename(tmp_path / "deep/b.jpg")
    assert len({first, second, files.fingerprint()}) == 3
