"""Images of every mode that Pillow opens, as RGB: nothing is cut off, and nothing that is clear is black."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy
import pytest
from PIL import Image, ImageOps

from workbench.contracts.rgb_images import read_rgb, to_rgb
from workbench.data.annotations import DataError
from workbench.data.image_files import ImageFiles
from workbench.errors import UserError

RAMP = numpy.linspace(0, 65535, 256).round().astype(numpy.uint16)[None].repeat(4, 0)
SHADES = numpy.arange(256, dtype=numpy.uint8)[None].repeat(4, 0)
CLEAR, RED = (0, 0, 0, 0), (255, 0, 0, 255)


def pixels(image: Image.Image) -> numpy.ndarray:
    assert image.mode == "RGB"
    return numpy.asarray(image)


def grey(image: Image.Image) -> numpy.ndarray:
    seen = pixels(image)
    assert (seen[..., 0] == seen[..., 1]).all()
    assert (seen[..., 0] == seen[..., 2]).all()
    return seen[..., 0]


def written(image: Image.Image, kind: str, **options) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return file


def drawing(mode: str) -> Image.Image:
    """A red square on what is clear, of which the colour is black."""
    image = Image.new("RGBA", (8, 8), CLEAR)
    image.paste(RED, (2, 2, 6, 6))
    return image if mode == "RGBA" else image.convert(mode)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_ramp_of_16_bits_is_a_ramp_of_8(kind):
    assert (grey(read_rgb(written(Image.fromarray(RAMP), kind))) == SHADES).all()


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B", "I"])
def test_in_every_order_of_bytes(mode):
    order = ">u2" if mode == "I;16B" else "<u2"
    content = RAMP.astype(numpy.int32 if mode == "I" else order).tobytes()
    assert (grey(to_rgb(Image.frombytes(mode, (256, 4), content))) == SHADES).all()


def test_a_pgm_of_16_bits_is_read_alike(tmp_path: Path):
    (tmp_path / "a.pgm").write_bytes(b"P5 256 4 65535\n" + RAMP.astype(">u2").tobytes())
    assert (grey(read_rgb(tmp_path / "a.pgm")) == SHADES).all()


def test_whole_numbers_that_16_bits_do_not_hold_are_stretched():
    image = Image.fromarray(numpy.array([[-1000, 0, 1000]], dtype=numpy.int32))
    assert grey(to_rgb(image)).tolist() == [[0, 128, 255]]
    image = Image.fromarray(numpy.array([[0, 50_000, 100_000]], dtype=numpy.int32))
    assert grey(to_rgb(image)).tolist() == [[0, 128, 255]]


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.25, 0.5, 0.75], [64, 128, 191]),
        ([0.0, 127.5, 255.0], [0, 128, 255]),
        ([-2.0, 0.0, 2.0], [0, 128, 255]),
        ([10.0, 11.0, 12.0], [0, 128, 255]),
        ([7.0, 7.0, 7.0], [128, 128, 128]),
        ([numpy.nan, 0.5, numpy.inf], [128, 128, 128]),
        ([numpy.nan, 0.0, 1.0], [0, 0, 255]),
        ([-numpy.inf, 2.0, 4.0], [0, 0, 255]),
        ([numpy.nan] * 3, [0, 0, 0]),
    ],
)
def test_fractions_are_shares_of_white_and_others_are_stretched(values, seen):
    image = Image.fromarray(numpy.array([values], dtype=numpy.float32))
    assert grey(read_rgb(written(image, "TIFF"))).tolist() == [seen]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa", "La"])
@pytest.mark.parametrize(("background", "shade"), [("white", 255), ("black", 0), ("#808080", 128)])
def test_what_is_clear_shows_the_background(mode, background, shade):
    image = drawing("RGBA").convert("LA" if mode in ("LA", "La") else "RGBA")
    image = image.convert("P").convert("PA") if mode == "PA" else image.convert(mode)
    if mode == "PA":
        image.putalpha(drawing("RGBA").getchannel("A"))
    seen = pixels(to_rgb(image, background))
    assert seen[0, 0].tolist() == [shade] * 3
    assert seen[4, 4].tolist() == ([76] * 3 if mode in ("LA", "La") else [255, 0, 0])


def test_half_clear_is_half_of_each():
    assert pixels(to_rgb(Image.new("RGBA", (1, 1), (255, 0, 0, 51)))).tolist() == [[[255, 204, 204]]]


@pytest.mark.parametrize("mode", ["P", "L", "RGB", "1", "I;16"])
def test_one_clear_colour_of_a_png_shows_the_background(mode):
    image = Image.new(mode, (4, 4), 0)
    if mode == "P":
        image.putpalette([0, 0, 0, 255, 0, 0])
    image.paste({"RGB": (255, 0, 0), "P": 1, "I;16": 65535}.get(mode, 255), (2, 2, 4, 4))
    seen = pixels(read_rgb(written(image, "PNG", transparency=(0, 0, 0) if mode == "RGB" else 0)))
    assert seen[0, 0].tolist() == [255, 255, 255]
    assert seen[3, 3].tolist() == ([255, 0, 0] if mode in ("P", "RGB") else [255, 255, 255])
    assert pixels(read_rgb(written(image, "PNG"), "white"))[0, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB", "HSV", "RGBX"])
def test_images_of_8_bits_are_what_pillow_makes_of_them_to_the_bit(mode):
    noise = Image.effect_noise((40, 30), 60)
    image = Image.merge("RGB", [noise, noise.rotate(90), ImageOps.flip(noise)])
    image = image.convert("LAB") if mode == "LAB" else image.convert(mode)
    assert to_rgb(image).tobytes() == image.convert("RGB").tobytes()
    if mode == "RGB":
        assert to_rgb(image) is image


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "RGB"), ("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("GIF", "P")]
)
def test_files_of_8_bits_are_what_pillow_makes_of_them_to_the_bit(kind, mode):
    noise = Image.effect_noise((40, 30), 60)
    file = written(Image.merge("RGB", [noise] * 3).convert(mode), kind)
    with Image.open(file) as image:
        expected = image.convert("RGB").tobytes()
    assert read_rgb(file).tobytes() == expected


def test_an_opaque_channel_changes_no_colour():
    noise = Image.effect_noise((40, 30), 60)
    image = Image.merge("RGB", [noise, noise.rotate(90), noise])
    opaque = image.copy()
    opaque.putalpha(255)
    assert to_rgb(opaque).tobytes() == image.tobytes()


@pytest.fixture
def few_pixels(monkeypatch):
    """As if Pillow took no image of more than 2 x 400 pixels: a real one of 14,000 x 14,000 takes seconds."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)


@pytest.mark.parametrize("where", ["file", "bytes"])
def test_a_huge_jpeg_is_scaled_while_it_is_read(tmp_path: Path, few_pixels, where):
    image = Image.new("RGB", (64, 32), (200, 30, 40))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    files = ImageFiles(tmp_path)
    assert files.fault("a.jpg") is None
    seen = files.open("a.jpg") if where == "file" else read_rgb(io.BytesIO((tmp_path / "a.jpg").read_bytes()))
    assert seen.size == (8, 16), "a quarter of each side, turned"
    assert abs(pixels(seen).astype(int) - [200, 30, 40]).max() < 6


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp"])
def test_another_huge_image_is_a_fault_before_anything_runs(tmp_path: Path, few_pixels, suffix):
    Image.new("RGB", (64, 32)).save(tmp_path / f"a.{suffix}")
    files = ImageFiles(tmp_path)
    fault = str(files.fault(f"a.{suffix}"))
    assert f"a.{suffix} is too large: " in fault
    assert "Scale it down, or save it as a JPEG" in fault
    with pytest.raises(DataError, match=r"too large.*Scale it down"):
        files.open(f"a.{suffix}")


def test_a_background_that_is_no_colour_is_refused_by_name(tmp_path: Path):
    with pytest.raises(UserError, match="background: 'whit' is no colour. Write one as white"):
        ImageFiles(tmp_path, background="whit")


def test_nothing_is_warned_of():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_rgb(written(image, "PNG", transparency=b"\x00\xff"))


def png(depth: int, color: int, row: bytes, clear: bytes, width: int) -> io.BytesIO:
    """A PNG of one row as Pillow writes none."""
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", width, 1, depth, color, 0, 0, 0),
        b"tRNS": clear,
        b"IDAT": zlib.compress(b"\0" + row),
        b"IEND": b"",
    }
    chunks = [struct.pack(">I", len(data)) + name + data for name, data in parts.items()]
    sums = [struct.pack(">I", zlib.crc32(name + data)) for name, data in parts.items()]
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(a + b for a, b in zip(chunks, sums, strict=True)))


@pytest.mark.parametrize("clear", range(4))
def test_a_clear_grey_of_2_bits_is_counted_in_these(clear):
    seen = grey(read_rgb(png(2, 0, bytes([0b00011011]), bytes([0, clear]), 4)))[0].tolist()
    assert seen == [255 if step == clear else 85 * step for step in range(4)]


@pytest.mark.parametrize("clear", range(16))
def test_a_clear_grey_of_4_bits_is_counted_in_these(clear):
    row = bytes(16 * step + step + 1 for step in range(0, 16, 2))
    seen = grey(read_rgb(png(4, 0, row, bytes([0, clear]), 16)))[0].tolist()
    assert seen == [255 if step == clear else 17 * step for step in range(16)]


@pytest.mark.parametrize("clear", [(200, 200, 200), (0x8000, 0x4000, 300)])
def test_a_clear_color_of_16_bits_is_counted_in_these(clear):
    row = struct.pack(">6H", *clear, 0xFFFF, 0, 0)
    seen = pixels(read_rgb(png(16, 2, row, struct.pack(">3H", *clear), 2)))[0].tolist()
    assert seen == [[255, 255, 255], [255, 0, 0]]


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_an_image_is_turned_once_whoever_opened_it(kind, turn, mode):
    noise = Image.effect_noise((6, 4), 60).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = turn
    file = written(noise, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    with Image.open(file) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    seen = read_rgb(file)
    assert (seen.size, seen.tobytes()) == (upright.size, upright.tobytes())
    assert to_rgb(seen) is seen, "and not once more"
    with Image.open(file) as image:
        assert to_rgb(image).tobytes() == upright.tobytes()
        assert to_rgb(image).size == upright.size


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0nonsense", b"nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0II*\0\x08"]
)
def test_what_a_camera_wrote_and_nobody_can_read_turns_nothing(kind, exif):
    assert read_rgb(written(Image.new("RGB", (4, 2)), kind, exif=exif)).size == (4, 2)
