"""One picture: a file or its bytes, decoded, brought to 8 bits and to size."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from pabench.errors import DataError
from pabench.words import count as several

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
DARK = 16_384
"""No 16-bit value of a split reaches it: 14 bits or fewer count (a camera's 10, 12 or 14), or all is nearly black."""
ORIENTATION = 0x0112  # the tag of EXIF that says how the camera was held
PHOTOMETRIC = 262  # the tag of TIFF that says what 0 means
MARKS = ("grey", "colour", "sixteen", "deep", "transparent", "frames", "turned")
"""What is counted of the pictures of a split; `deep` are those of 16 bits a colour, the others explain themselves."""
CODINGS = {"MPO": "JPEG", "JPEG2000": "JPEG 2000", "WEBP": "WebP"}
"""What formats of Pillow are called here; others are called by their own names. MPO is several JPEGs in one file."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture: its `image` in mode L or RGB, the `largest` of its 16-bit values (-1: has none, or its header
    says how many count), which of `MARKS` hold for it, and in what it was encoded."""

    image: Image.Image
    largest: int
    marks: frozenset[str]
    coding: str = ""


def load(source: str | bytes, where: str = "", mode: str = "") -> Image.Image:
    """A decoded picture on its own, from a path or from bytes; `where` names it in errors.

    `mode` is RGB or L; empty: L (grey) if it is stored as such, else RGB. Of 16-bit values below `DARK` nobody but the
    other pictures could say how many bits count: DataError.
    """
    where = where or shown(source if isinstance(source, str) else "picture")
    picture = decode(source, where)
    if 0 <= picture.largest < DARK:
        raise DataError(f"{where}: {_dark(picture.largest)}; convert it to 8 bits")
    return picture.image.convert(mode or picture.image.mode)


def decode(source: str | bytes, where: str, bits: int = 0) -> Picture:
    """A picture as it is stored, in 8 bits, from a path or from bytes; `where` names it in errors.

    16-bit grey v becomes 255 v / (2^bits - 1), rounded; `bits` 0 are 16. The first frame or page counts, colours lose
    their transparency and pictures are not turned by their EXIF orientation, as in torchvision's ImageFolder.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return _decoded(image, bits)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    except UnidentifiedImageError:
        raise DataError(f"{where}: cannot be read as a picture (no known format); expected JPEG, PNG, ...") from None
    except Exception as error:  # decoders raise what they happen to meet: SyntaxError, struct.error, MemoryError, ...
        why = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{where}: cannot be read as a picture ({why}); expected JPEG, PNG, ...") from None


def centre(image: Image.Image, resize: int, size: int) -> Image.Image:
    """The central `size` pixels square after bringing the shorter side to `resize` (bilinear)."""
    width, height = image.size
    scale = resize / min(width, height)
    width, height = max(size, round(width * scale)), max(size, round(height * scale))
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))


def to_array(image: Image.Image) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Pixels uint8 (C, H, W)."""
    pixels = np.array(image, dtype=np.uint8)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)) if pixels.ndim == 3 else pixels[None]


def fingerprint(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> int:
    """64 bits that tell a picture from others by its pixels."""
    return int.from_bytes(hashlib.blake2b(pixels.tobytes(), digest_size=8).digest())


def stack(
    pictures: Iterable[tuple[str, str | bytes]],
    *,
    what: str,
    count: int,
    size: int,
    bits: int = 0,
    extent: tuple[int, ...] = (),
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], list[str]]:
    """`count` pictures, (where, path or bytes) each, as uint8 (N, C, H, W), how many have each of `MARKS`, int64, and
    in what they are encoded.

    In colour if any of them is. Size 0: as they are, all of one size, which is `extent` (H, W) where that is given.
    `what` names the split in errors.
    """
    stacked: np.ndarray[Any, Any] | None = None
    tally = np.zeros(len(MARKS), dtype=np.int64)
    largest, of_largest = -1, ""
    codings = set()
    for i, (where, source) in enumerate(pictures):
        picture = decode(source, where, bits)
        pixels = to_array(centre(picture.image, size, size) if size else picture.image)
        extent = extent or pixels.shape[1:]
        if pixels.shape[1:] != extent:
            shapes = f"shape {pixels.shape}, the first training image is {(len(pixels), *extent)}"
            raise DataError(f"{where}: {shapes}; give `size` to bring all to one size")
        if stacked is None:
            stacked = np.empty((count, *pixels.shape), dtype=np.uint8)
        if (
            len(pixels) > stacked.shape[1]
        ):  # the first one in colour: what is there has three equal channels from now on
            stacked = np.repeat(stacked, len(pixels), axis=1)
        stacked[i] = pixels
        tally += [mark in picture.marks for mark in MARKS]
        codings.add(picture.coding)
        if picture.largest > largest:
            largest, of_largest = picture.largest, "deep" if "deep" in picture.marks else "sixteen"
    if stacked is None:
        raise DataError(f"{what}: no pictures in the split")
    if 0 <= largest < DARK and not bits:
        remedy = (
            "convert them to 8 bits"
            if of_largest == "deep"
            else f"say how many do with `bits`, {_least(largest)} or more"
        )
        raise DataError(f"{what}: {_dark(largest)}; {remedy}")
    return stacked, tally, sorted(codings)


def told(tally: Mapping[str, int], bits: int) -> Iterator[str]:
    """What their user should know of how pictures are read, of which so many have each of `MARKS`; a line each."""
    if tally["grey"] and tally["colour"]:
        yield f"{tally['grey']:,} of the pictures are grey, {tally['colour']:,} in colour: all are read in colour"
    if tally["sixteen"]:
        how = f"255 v / {2**bits - 1:,}" if bits else "v / 257"
        yield f"{several(tally['sixteen'], 'picture')} of 16 bits: a value v is read as {how}"
    elif bits:
        yield f"bits: {bits} says nothing here: it is for grey pictures of 16 bits, and there is none"
    if tally["deep"]:
        yield f"{several(tally['deep'], 'picture')} of 16 bits a colour: only the upper 8 are read"
    if tally["transparent"]:
        seen = "transparency is left out, the colours below it are read"
        yield f"{several(tally['transparent'], 'picture')} with transparent parts: {seen}"
    if tally["frames"]:
        yield f"{several(tally['frames'], 'picture')} with several frames or pages: the first is read"
    if tally["turned"]:
        yield f"{several(tally['turned'], 'picture')} with an EXIF orientation: read as stored, not turned"


def shown(path: object) -> str:
    """A path in one line, whatever is in its name.

    >>> shown("a\\nb\\udcff é.png")
    'a\\\\nb\\\\udcff é.png'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(path))


def some(paths: Sequence[object]) -> str:
    """The first paths, and dots for the others.

    >>> some(["a", "b", "c", "d"])
    'a, b, c, ...'
    """
    return ", ".join(map(shown, paths[:3])) + (", ..." if len(paths) > 3 else "")


def _decoded(image: Image.Image, bits: int) -> Picture:
    if 0 in image.size:
        raise DataError("a picture without pixels")
    codec, raw, whitest = _stored(image)  # forgotten once the pixels are loaded
    coding = "JPEG" if codec == "jpeg" else CODINGS.get(image.format or "", image.format or "")  # a TIFF may hold JPEG
    image.load()
    marks = set()
    sixteen = image.mode.startswith("I;16") or (image.mode == "I" and (codec.startswith("ppm") or raw in _UNSIGNED))
    if sixteen:
        # a header that gives the whitest value has been followed: black to white is 0 to 65535 then
        declared = 255 < whitest < 65_535
        eight, largest = _eight(np.asarray(image), 16 if declared else bits)
        if image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) == 0:
            eight = 255 - eight  # white is 0: Pillow turns it round in 8 bits, and not in 16
        picture, largest = Image.fromarray(eight), -1 if declared else largest
        marks.add("sixteen")
    elif image.mode[0] in "IF":
        kind = "floating point" if image.mode == "F" else "integers of 32 bits or with a sign"
        raise DataError(f"mode {image.mode} ({kind}): nothing says which values are black and white; convert to 8 bits")
    else:
        picture, largest = image.convert("L" if image.mode in ("1", "L") else "RGB"), -1
        if ";16" in raw or whitest == 65_535:
            if bits not in (0, 16):
                raise DataError(
                    f"16 bits a colour, of which only the upper 8 can be read, not {bits}; convert to 8 bits"
                )
            marks.add("deep")
            # v >> 8 is all that is left of v: below 64 means v < 16384. CMYK counts ink, where little is white
            largest = -1 if image.mode == "CMYK" else 256 * max(_extrema(picture)) + 255
    marks.add("grey" if picture.mode == "L" else "colour")
    marks |= {mark for mark, holds in _METADATA.items() if _holds(holds, image)}
    return Picture(picture, largest, frozenset(marks), coding)


def _stored(image: Image.Image) -> tuple[str, str, int]:
    """By which codec the pixels are stored, in which raw mode, and the whitest value that the header gives, or 0."""
    if not image.tile:
        return "", "", 0
    codec, _, _, arguments = image.tile[0]
    arguments = arguments if isinstance(arguments, tuple) else (arguments,)
    whitest = int(arguments[1]) if codec.startswith("ppm") and len(arguments) > 1 else 0
    return codec, str(arguments[0]), whitest


def _eight(values: np.ndarray[Any, Any], bits: int) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], int]:
    """16-bit values in 8, rounded, and the largest of them."""
    white = 2 ** (bits or 16) - 1
    largest = int(values.max())
    if largest > white:
        raise DataError(f"the value {largest} needs {_least(largest)} bits, expected {bits} as `bits` says")
    return ((values.astype(np.uint32) * 255 + white // 2) // white).astype(np.uint8), largest


def _extrema(picture: Image.Image) -> list[int]:
    """The largest value of each channel."""
    return [int(band.getextrema()[1]) for band in picture.split()]


def _transparent(image: Image.Image) -> bool:
    may_be = "transparency" in image.info or image.mode[-1] in "Aa"
    return may_be and image.convert("RGBA").getchannel("A").getextrema()[0] != 255


_UNSIGNED = ("I;16", "I;16B", "I;16L", "I;16N")
_METADATA: dict[str, Callable[[Image.Image], bool]] = {
    "transparent": _transparent,
    "frames": lambda image: bool(getattr(image, "is_animated", False)),
    "turned": lambda image: image.getexif().get(ORIENTATION, 1) != 1,
}


def _holds(mark: Callable[[Image.Image], bool], image: Image.Image) -> bool:
    try:
        return mark(image)
    except Exception:  # what is broken beside the pixels takes nothing from them
        return False


def _least(largest: int) -> int:
    """The least number of bits that holds a value."""
    return max(1, largest.bit_length())


def _dark(largest: int) -> str:
    return f"no 16-bit value above {largest}, below {DARK:,} of 65,535: probably not all 16 bits count"
