"""Tests of pabench.data.images: what one picture, and what a split of them, decodes to."""

from __future__ import annotations

import doctest
import io
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pabench.data import images
from pabench.errors import DataError

RAMP = np.linspace(0, 65_535, 256).astype(np.uint16).reshape(16, 16)  # 0, 257, 514, ...


def pgm(values: np.ndarray[Any, Any], white: int = 65_535, *, plain: bool = False) -> bytes:
    height, width = values.shape
    header = f"{'P2' if plain else 'P5'}\n{width} {height}\n{white}\n".encode()
    return header + (" ".join(map(str, values.ravel())).encode() if plain else values.astype(">u2").tobytes())


def png16(values: np.ndarray[Any, Any], colour_type: int) -> bytes:
    """A PNG of 16 bits a channel, (H, W, C); Pillow writes none in colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def of(values: np.ndarray[Any, Any]) -> Image.Image:
    return Image.fromarray(values)


def stacked(*sources: bytes, **options: Any) -> tuple[np.ndarray[Any, Any], dict[str, int]]:
    named = [(f"{i}.png", source) for i, source in enumerate(sources)]
    pixels, tally, _ = images.stack(named, what="f: train", count=len(named), **{"size": 0, **options})
    return pixels, dict(zip(images.MARKS, tally.tolist(), strict=True))


def notes(*sources: bytes, bits: int = 0) -> list[str]:
    return list(images.told(stacked(*sources, bits=bits)[1], bits))


# ---- 16 bits, 32 bits, floats

SIXTEEN = {
    "png": lambda values: encoded(of(values), "PNG"),
    "tiff": lambda values: encoded(of(values), "TIFF"),
    "tiff, big-endian": lambda values: encoded(of(values.astype(">u2")), "TIFF"),
    "tiff, compressed": lambda values: encoded(of(values), "TIFF", compression="tiff_lzw"),
    "pgm": pgm,
    "pgm, plain": lambda values: pgm(values, plain=True),
}


@pytest.mark.parametrize("kind", SIXTEEN)
def test_a_grey_value_of_16_bits_is_read_as_its_257th(kind: str):
    values = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    image = images.load(SIXTEEN[kind](values), "a.png")
    assert image.mode == "L"
    assert (np.asarray(image) == np.rint(values / 257)).all()


@pytest.mark.parametrize("kind", SIXTEEN)
def test_where_16_bits_are_not_all_in_use_somebody_has_to_say_how_many(kind: str):
    twelve = SIXTEEN[kind](RAMP >> 4)  # 0 to 4095
    with pytest.raises(DataError, match=r"f: train: no 16-bit value above 4095, .* with `bits`, 12 or more$"):
        stacked(twelve)
    pixels, _ = stacked(twelve, bits=12)
    assert (pixels[0, 0] == np.rint((RAMP >> 4) / 4095 * 255)).all()
    with pytest.raises(DataError, match=r"^0.png: the value 4095 needs 12 bits, expected 10 as `bits` says"):
        stacked(twelve, bits=10)


def test_the_brightest_picture_of_a_split_speaks_for_the_others():
    dark = encoded(of(np.full((16, 16), 257, np.uint16)), "PNG")
    pixels, _ = stacked(dark, encoded(of(RAMP), "PNG"))
    assert (pixels[0] == 1).all()
    with pytest.raises(DataError, match=r"^a.png: no 16-bit value above 257, .*; convert it to 8 bits"):
        images.load(dark, "a.png")


@pytest.mark.parametrize(("largest", "refused"), [(16_383, True), (16_384, False)])
def test_a_quarter_of_the_range_is_the_border(largest: int, *, refused: bool):
    source = encoded(of(np.array([[0, largest]], np.uint16)), "PNG")
    if refused:
        with pytest.raises(DataError, match="with `bits`, 14 or more"):
            stacked(source)
    else:
        assert stacked(source)[0].tolist() == [[[[0, 64]]]]  # 16384 / 257 = 63.75


def test_all_16_bits_may_be_said_to_count():
    assert stacked(encoded(of(np.array([[0, 514]], np.uint16)), "PNG"), bits=16)[0].tolist() == [[[[0, 2]]]]


def test_a_header_that_gives_the_whitest_value_is_believed():
    """PGM says 1000: 100 is a tenth of white, and nobody has to give bits."""
    assert stacked(pgm(np.array([[0, 100]], np.uint16), white=1000))[0].tolist() == [[[[0, 26]]]]  # 25.5


@pytest.mark.parametrize("values", [RAMP, (RAMP // 257).astype(np.uint8)], ids=["16 bits", "8 bits"])
def test_a_tiff_may_say_that_white_is_0(values: np.ndarray[Any, Any]):
    says_black = struct.pack("<HHII", images.PHOTOMETRIC, 3, 1, 1)
    source = encoded(of(values), "TIFF")
    assert source.count(says_black) == 1
    source = source.replace(says_black, struct.pack("<HHII", images.PHOTOMETRIC, 3, 1, 0))
    assert stacked(source)[0][0, 0].ravel().tolist() == list(range(255, -1, -1))


def test_colours_of_16_bits_are_read_by_their_upper_8():
    """Pillow gives no more of them: v >> 8, which is v / 257 or one less."""
    values = np.stack([RAMP + 0, RAMP - (RAMP > 0), RAMP // 2], axis=-1)
    pixels, tally = stacked(png16(values, 2))
    assert (pixels[0] == (values >> 8).transpose(2, 0, 1)).all()
    assert tally["deep"] == 1


@pytest.mark.parametrize("colour_type", [2, 4, 6])
def test_dark_colours_of_16_bits_are_refused_and_bits_cannot_help(colour_type: int):
    channels = {2: 3, 4: 2, 6: 4}[colour_type]
    source = png16(np.stack([RAMP >> 4] * channels, axis=-1), colour_type)
    with pytest.raises(DataError, match=r"f: train: no 16-bit value above 4095, .*; convert them to 8 bits"):
        stacked(source)
    with pytest.raises(DataError, match=r"0.png: 16 bits a colour, of which only the upper 8 can be read, not 12"):
        stacked(source, bits=12)


@pytest.mark.parametrize(
    ("values", "mode"),
    [(RAMP.astype(np.int32), "I"), (RAMP.astype(np.int16), "I"), ((RAMP / 65_535).astype(np.float32), "F")],
    ids=["32 bits", "signed", "float"],
)
def test_values_without_black_and_white_are_refused_with_file_and_mode(values: np.ndarray[Any, Any], mode: str):
    image = of(values) if values.dtype != np.int16 else None
    source = encoded(image, "TIFF") if image else signed_tiff(values)
    with pytest.raises(DataError, match=rf"^x/a.tif: mode {mode} \(.*convert to 8 bits"):
        images.load(source, "x/a.tif")


def signed_tiff(values: np.ndarray[Any, Any]) -> bytes:
    """As Pillow writes unsigned values, with the tag SampleFormat: signed."""
    return encoded(of(values.view(np.uint16)), "TIFF", tiffinfo={339: 2})


# ---- modes, transparency, frames


@pytest.mark.parametrize(
    ("mode", "kind", "channels"),
    [
        ("1", "PNG", 1),
        ("L", "PNG", 1),
        ("LA", "PNG", 3),
        ("P", "PNG", 3),
        ("P", "GIF", 3),
        ("PA", "TIFF", 3),
        ("RGB", "PNG", 3),
        ("RGBA", "PNG", 3),
        ("CMYK", "JPEG", 3),
        ("CMYK", "TIFF", 3),
        ("YCbCr", "TIFF", 3),
    ],
)
def test_pictures_stored_as_grey_have_one_channel_and_all_others_three(mode: str, kind: str, channels: int):
    white = of(np.full((4, 4, 3), 255, np.uint8)).convert("RGBA" if mode == "PA" else "RGB").convert(mode)
    pixels = images.to_array(images.load(encoded(white, kind), "a"))
    assert pixels.shape == (channels, 4, 4)
    assert (pixels >= 254).all()  # YCbCr and JPEG may round


def test_one_picture_in_colour_makes_all_of_them_so():
    grey, colour = np.full((4, 4), 9, np.uint8), np.full((4, 4, 3), (1, 2, 3), np.uint8)
    for order in ([grey, colour, grey], [colour, grey]):
        pixels, _ = stacked(*(encoded(of(values), "PNG") for values in order))
        expected = [np.broadcast_to(v, (3, 4, 4)) if v.ndim == 2 else v.transpose(2, 0, 1) for v in order]
        assert (pixels == np.stack(expected)).all()
    assert notes(*(encoded(of(values), "PNG") for values in (grey, colour, grey))) == [
        "2 of the pictures are grey, 1 in colour: all are read in colour"
    ]


def test_grey_pictures_are_brought_to_size_as_their_copies_in_colour_are():
    grey = of(np.random.default_rng(0).integers(0, 256, (9, 14), dtype=np.uint8))
    pixels, _ = stacked(encoded(grey, "PNG"), encoded(grey.convert("RGB"), "PNG"), size=5)
    assert pixels.shape == (2, 3, 5, 5)
    assert (pixels[0] == pixels[1]).all()


def test_transparency_is_left_out_and_told():
    seen = np.zeros((4, 4, 4), np.uint8)
    seen[..., 0], seen[0, 0, 3] = 7, 255
    pixels, _ = stacked(encoded(of(seen), "PNG"))
    assert (pixels[0, 0] == 7).all()
    assert notes(encoded(of(seen), "PNG")) == [
        "1 picture with transparent parts: transparency is left out, the colours below it are read"
    ]
    assert notes(encoded(of(seen[..., :3]).convert("RGBA"), "PNG")) == []  # all of it opaque
    palette = of(np.zeros((4, 4), np.uint8)).convert("P")
    assert "transparent" in notes(encoded(palette, "PNG", transparency=0))[0]


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_of_several_frames_the_first_is_read_and_told(kind: str):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    source = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert images.to_array(images.load(source, "a"))[:, 0, 0].tolist() == [255, 0, 0]
    assert notes(source) == ["1 picture with several frames or pages: the first is read"]


def test_pictures_are_not_turned_by_their_exif_and_it_is_told():
    exif = Image.Exif()
    exif[images.ORIENTATION] = 6
    source = encoded(Image.new("RGB", (6, 4)), "JPEG", exif=exif)
    assert stacked(source)[0].shape == (1, 3, 4, 6)
    assert notes(source) == ["1 picture with an EXIF orientation: read as stored, not turned"]


def test_bits_without_pictures_of_16_are_told():
    source = encoded(of(np.full((4, 4), 9, np.uint8)), "PNG")
    assert notes(source) == []
    assert notes(source, bits=12) == [
        "bits: 12 says nothing here: it is for grey pictures of 16 bits, and there is none"
    ]


# ---- broken files


def broken(n: int) -> Iterator[tuple[int, bytes]]:
    """Files of all formats and modes with flipped bits, cut short, with another's header, a hole or a piece twice."""
    generator, values = random.Random(0), np.random.default_rng(0).integers(0, 256, (12, 12, 4), dtype=np.uint8)
    colour, grey, frames = (
        of(values[..., :3]),
        of(values[..., 0]),
        {"save_all": True, "append_images": [of(values[::-1])]},
    )
    whole = [encoded(colour, kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "TGA")]
    whole += [encoded(of(RAMP), kind) for kind in ("PNG", "TIFF", "PPM")] + [pgm(RAMP, plain=True)]
    whole += [encoded(grey, kind) for kind in ("PNG", "BMP", "JPEG")] + [encoded(grey.convert("1"), "PPM")]
    whole += [encoded(of(values), kind, **frames) for kind in ("PNG", "GIF", "TIFF", "WEBP")]
    whole += [encoded(colour, "TIFF", compression=c) for c in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg")]
    whole += [encoded(colour, "JPEG", progressive=True), encoded(colour.convert("CMYK"), "JPEG")]
    whole += [encoded(colour.convert("P"), "PNG"), encoded(colour.convert("P"), "BMP")]
    for i in range(n):
        data = bytearray(whole[i % len(whole)])
        harm = generator.randrange(5)
        at = generator.randrange(min(len(data), 64) if generator.random() < 0.5 else len(data))  # headers break more
        if harm == 0:
            for _ in range(generator.randint(1, 8)):
                data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
            data[at] ^= 1 << generator.randrange(8)
        elif harm == 1:
            del data[at:]
        elif harm == 2:
            data[: at % 64] = generator.choice(whole)[: at % 64]
        elif harm == 3:
            data[at : at + 16] = generator.choice([bytes(16), b"\xff" * 16, generator.randbytes(16)])
        else:
            data[at:at] = data[max(0, at - 24) : at]
        yield i, bytes(data)


def refused(n: int) -> list[str]:
    """What is said of those of n broken files that cannot be read; an error of another class fails."""
    said = []
    for i, source in broken(n):
        try:
            pixels, _ = stacked(source, bits=16)
        except DataError as error:
            said.append(str(error))
        except Exception as error:
            raise AssertionError(f"broken file {i}") from error
        else:
            assert pixels.dtype == np.uint8
    return said


@pytest.mark.filterwarnings("ignore")  # of what is strange and readable
def test_whatever_a_broken_file_raises_is_a_data_error():
    said = refused(300)
    assert len(said) > 100
    assert all(line.startswith("0.png: ") and "\n" not in line for line in said)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ten_thousand_broken_files_raise_data_errors_alone():
    said = refused(10_000)
    assert len(said) > 4000
    assert all(line.startswith("0.png: ") and "\n" not in line for line in said)


def test_what_is_no_picture_is_named(tmp_path: Path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    for name in ("empty.png", "folder.png", "absent.png"):
        with pytest.raises(DataError, match=rf"{name}: cannot be read as a picture \(") as caught:
            images.load(str(tmp_path / name), name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [SyntaxError("a\nb"), struct.error("short"), MemoryError(), RecursionError("deep")])
def test_the_class_of_a_decoders_error_does_not_matter(error: Exception, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(DataError, match=r"^a.png: cannot be read as a picture \((a b|short|MemoryError|deep)\)"):
        images.load(b"", "a.png")


def test_a_picture_that_unpacks_to_far_too_much_is_refused():
    source = b"P4\n60000 60000\n"  # 3.6 thousand million pixels
    with pytest.raises(DataError, match=r"^a.pbm: cannot be read as a picture \(.*decompression bomb"):
        images.load(source, "a.pbm")


def test_broken_metadata_take_nothing_from_the_pixels(monkeypatch: pytest.MonkeyPatch):
    def fail(_: Image.Image) -> None:
        raise SyntaxError("no EXIF")

    monkeypatch.setattr(Image.Image, "getexif", fail)
    assert stacked(encoded(Image.new("RGB", (2, 2)), "PNG"))[1]["turned"] == 0


def test_a_split_without_pictures_is_named():
    with pytest.raises(DataError, match="f: train: no pictures"):
        stacked()


def test_examples_in_the_docstrings():
    assert doctest.testmod(images).attempted == 2
    assert doctest.testmod(images).failed == 0
