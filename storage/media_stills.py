"""Still pictures, read as films of one frame: the same steps then measure the face in them.

A picture is known by its first bytes, not by its name. Everything ends as 8-bit RGB, upright: transparency on grey,
grey levels as equal channels, 16 bits as 8, EXIF rotation applied.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
from PIL import Image

from storage.errors import DubwrightError, InputFailed
from storage.media_limits import Limits, check_size

_GREY = 128
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
_EXIF_ORIENTATION = 0x0112
_DEGREES = {3: 180, 4: 180, 5: 90, 6: 90, 7: 270, 8: 270}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
_TRANSPOSED = (5, 6, 7, 8)
ONE_FRAME = Fraction(25)
"""Rate told for a film of one frame, whose true rate is none: steps divide by it."""

warnings.filterwarnings("ignore", module="PIL")  # what is wrong with a picture is told as an error, or is of no matter
Image.MAX_IMAGE_PIXELS = None  # the limit of our own is checked from the header, and has a row to say so


def is_still(name: str) -> bool:
    """Whether a file begins as a picture does; a pipe does not, and is not waited for."""
    with open(name, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as stream:
        head = stream.read(16) or b""
    if head[:4] == b"RIFF":
        return head[8:12] == b"WEBP"
    if head[:2] == b"BM":
        return head[6:10] == bytes(4) and head[14:15] in b"\x0c\x28\x34\x38\x40\x6c\x7c" and head[15:16] == b"\0"
    return head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*"))


def still_size(name: str, limits: Limits) -> tuple[int, int, int, int, str, str]:
    """(width, height) as shown, rotation (degrees clockwise), bits a pixel's channel, format, mode; by the header.

    Raises:
        InputRejected: too many pixels.
        InputFailed: no picture.
    """
    with _opened(name) as image:
        width, height = image.size
        check_size(name, width, height, limits)
        turn = _orientation(image)
        if turn in _TRANSPOSED:
            width, height = height, width
        bits = 16 if image.mode.startswith("I") else 32 if image.mode == "F" else 8
        return width, height, _DEGREES.get(turn, 0), bits, str(image.format).lower(), image.mode


def read_still(name: str, limits: Limits) -> np.ndarray:
    """uint8 [H,W,3], upright.

    Raises:
        InputRejected: too many pixels.
        InputFailed: no picture, or not a whole one.
    """
    with _opened(name) as image:
        check_size(name, *image.size, limits)
        turn = _orientation(image)
        image.load()
        upright = image.transpose(_TURNS[turn]) if turn in _TURNS else image
        mode = upright.mode
        if mode.startswith("I") or mode == "F":
            return np.repeat(_eight_bits(np.asarray(upright))[..., None], 3, axis=2)
        if mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in upright.info:
            pixels = np.asarray(upright.convert("RGBA"), dtype=np.float32)
            share = pixels[..., 3:] / 255
            return np.rint(pixels[..., :3] * share + _GREY * (1 - share)).astype(np.uint8)
        return np.array(upright.convert("RGB"), dtype=np.uint8)


def _eight_bits(levels: np.ndarray) -> np.ndarray:
    """Grey of 16 bits (0..65535), or floating point (0..1, or 0..255), as uint8."""
    if levels.dtype.kind == "f":
        finite = np.nan_to_num(levels, nan=0.0, posinf=255.0, neginf=0.0)
        return np.rint(np.clip(finite * (255.0 if finite.max(initial=0.0) <= 1 else 1.0), 0, 255)).astype(np.uint8)
    return np.rint(np.clip(levels.astype(np.float32), 0, 65535) / 257).astype(np.uint8)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) where there is none or it cannot be read: a picture needs no good EXIF."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - EXIF is read by hundreds of writers' rules; it raises whatever it meets
        return 1


@contextmanager
def _opened(name: str) -> Iterator[Image.Image]:
    """Whatever goes wrong inside becomes an `InputFailed` that names the file."""
    try:
        with Image.open(os.fspath(name), formats=_FORMATS) as image:
            yield image
    except DubwrightError:
        raise
    except Exception as error:  # readers of picture formats raise whatever a broken file makes them meet
        cut = "truncated" in str(error).lower()
        cause = "truncated: its data end here" if cut else f"is not a picture that can be read ({error})"
        raise InputFailed(
            name, cause, "copy or download the file again", error_type="Truncated" if cut else type(error).__name__
        ) from error
