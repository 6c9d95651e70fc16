"""Broken media for tests: whole files in, a seed, and the same broken file out every time.

Half of the mutations know the container (boxes of MP4, elements of Matroska, chunks of RIFF and PNG, segments of JPEG,
packets of MPEG-TS), so that they get past the first check of a reader; the others are blind.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from random import Random

import cv2

from storage import media
from tests.fuzzing_parts import Piece, pieces_of
from tests.storage.footage import clicks, make, picture

ABSURD = (
    0, 1, 2, 3, 7, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFF, 40_000, 65_500, 1_000_000, 10**9, 0x7FFFFFFF, 0x80000000,
    0xFFFFFFFF, 0xFFFFFFFE, 0x0FFFFFFF,
)  # fmt: skip
Mutation = Callable[[bytearray, Random, str], bytes | bytearray]


def whole_files(folder: Path) -> dict[str, bytes]:
    """Suffix → the bytes of a small film (or sound, or picture) of a dozen frames, made in `folder`."""
    sound = [clicks(0.5, [0.1, 0.3])]
    quick = {"g": "6"}
    ms = Fraction(1, 1000)
    paths = [
        make(folder / "film.mp4", frames=12, options=quick, sounds=sound, rotation=(90, False, False)),
        make(folder / "film.mov", frames=12, codec="mjpeg", pix_fmt="yuvj420p", sounds=sound, sound_codec="pcm_s16le"),
        make(folder / "film.mkv", frames=12, options=quick, base=ms, sounds=sound, chapters=True),
        make(
            folder / "film.webm", frames=8, codec="libvpx", base=ms, sounds=sound, sound_codec="libopus",
            options={"cpu-used": "8", "deadline": "realtime"},
        ),
        make(
            folder / "film.avi", frames=12, codec="mpeg4", base=Fraction(1, 25), sounds=sound, sound_codec="pcm_s16le"
        ),
        make(folder / "film.ts", frames=12, options=quick, base=Fraction(1, 90000), sounds=sound),
        media.write_audio(folder / "sound.wav", clicks(0.5, [0.2], 16000)),
    ]  # fmt: skip
    for suffix in ("png", "jpg"):
        paths.append(folder / f"still.{suffix}")
        cv2.imwrite(str(paths[-1]), picture(5))
    return {path.suffix: path.read_bytes() for path in paths}


def mutant(files: dict[str, bytes], seed: int) -> tuple[str, bytes]:
    """(suffix, bytes) of broken file number `seed`: one whole file with one to three mutations."""
    chance = Random(seed)
    suffix = sorted(files)[seed % len(files)]
    data = bytearray(files[suffix])
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if chance.random() < 0.1:
            data = bytearray(_splice(data, bytearray(files[chance.choice(sorted(files))]), chance))
        else:
            mutations = _STRUCTURED if chance.random() < 0.55 else _BLIND
            data = bytearray(chance.choice(mutations)(data, chance, suffix))
    return suffix, bytes(data)


def _flip(data: bytearray, chance: Random, suffix: str) -> bytearray:
    end = len(data) if chance.random() < 0.5 else min(len(data), 600)
    for _ in range(chance.choice((1, 4, 16, 64))):
        if end:
            data[chance.randrange(end)] ^= 1 << chance.randrange(8)
    return data


def _truncate(data: bytearray, chance: Random, suffix: str) -> bytearray:
    return data[: chance.randrange(len(data) + 1)]


def _hole(data: bytearray, chance: Random, suffix: str) -> bytearray:
    first, last = _range(data, chance)
    data[first:last] = bytes(last - first) if chance.random() < 0.5 else chance.randbytes(last - first)
    return data


def _cut(data: bytearray, chance: Random, suffix: str) -> bytearray:
    first, last = _range(data, chance)
    del data[first:last]
    return data


def _repeat(data: bytearray, chance: Random, suffix: str) -> bytearray:
    first, last = _range(data, chance)
    data[last:last] = data[first:last] * chance.choice((1, 2, 20))
    return data


def _number(data: bytearray, chance: Random, suffix: str) -> bytearray:
    """An absurd number somewhere in the first kilobyte."""
    at = chance.randrange(max(1, min(len(data), 1024)))
    data[at : at + 4] = struct.pack(chance.choice("<>") + "I", chance.choice(ABSURD))
    return data


def _splice(data: bytearray, other: bytearray, chance: Random) -> bytearray:
    """The beginning of one and the end of another, or one inside the other."""
    first, last = _range(data, chance)
    start, end = _range(other, chance)
    return data[:first] + other[start:] if chance.random() < 0.5 else data[:first] + other[start:end] + data[last:]


def _range(data: bytearray, chance: Random) -> tuple[int, int]:
    first = chance.randrange(len(data) + 1)
    longest = chance.choice((4, 64, 1024, len(data)))
    return first, min(len(data), first + chance.randrange(longest + 1))


def _swap(data: bytearray, chance: Random, suffix: str) -> bytearray:
    """Two pieces change places."""
    pieces = pieces_of(bytes(data), suffix)
    if len(pieces) < 2:
        return _flip(data, chance, suffix)
    one, two = sorted(chance.sample(pieces, 2), key=lambda piece: piece.start)
    if one.end > two.start:
        return _flip(data, chance, suffix)
    return (
        data[: one.start] + data[two.start : two.end] + data[one.end : two.start] + data[one.start : one.end]
        + data[two.end :]
    )  # fmt: skip


def _drop(data: bytearray, chance: Random, suffix: str) -> bytearray:
    for piece in _some(data, chance, suffix):
        del data[piece.start : piece.end]
    return data


def _double(data: bytearray, chance: Random, suffix: str) -> bytearray:
    for piece in _some(data, chance, suffix):
        if piece.end - piece.start < 1 << 16:
            data[piece.end : piece.end] = data[piece.start : piece.end] * chance.choice((1, 3, 100))
    return data


def _size(data: bytearray, chance: Random, suffix: str) -> bytearray:
    """A piece says that it is of another size."""
    for piece in _some(data, chance, suffix):
        width = piece.body - piece.size_at
        if piece.size_bytes and width > 0:
            _write(data, piece.size_at, piece.size_bytes, chance, piece.order)
    return data


def _field(data: bytearray, chance: Random, suffix: str) -> bytearray:
    """Absurd numbers in the body of a header: sizes of the picture, rates, counts, times."""
    headers = [piece for piece in pieces_of(bytes(data), suffix) if 0 < piece.end - piece.body <= 512]
    for piece in chance.sample(headers, min(len(headers), chance.choice((1, 1, 3)))):
        widths = [width for width in (1, 2, 4, 8) if width <= piece.end - piece.body]
        if suffix in (".mkv", ".webm") and piece.end - piece.body in (1, 2, 4, 8):
            widths = [piece.end - piece.body]
        width = chance.choice(widths)
        at = piece.body + chance.randrange(0, piece.end - piece.body - width + 1, min(width, 2) or 1)
        if chance.random() < 0.2 and width == 8:
            data[at : at + 8] = struct.pack(">d", chance.choice((0.0, 1e-300, 1e300, -1.0, float("nan"), float("inf"))))
        else:
            _write(data, at, width, chance, piece.order)
        if suffix == ".png":
            data[piece.end - 4 : piece.end] = struct.pack(">I", zlib.crc32(data[piece.start + 4 : piece.end - 4]))
    return data


def _write(data: bytearray, at: int, width: int, chance: Random, order: str) -> None:
    value = chance.choice(ABSURD) if chance.random() < 0.7 else chance.getrandbits(8 * width)
    data[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, "big" if order == ">" else "little")


def _some(data: bytearray, chance: Random, suffix: str) -> list[Piece]:
    """One to three pieces, the last of the file first, so that changing one leaves the others where they are."""
    pieces = pieces_of(bytes(data), suffix)
    chosen = chance.sample(pieces, min(len(pieces), chance.choice((1, 1, 2, 3))))
    return sorted(chosen, key=lambda piece: -piece.start)


_BLIND: tuple[Mutation, ...] = (_flip, _flip, _truncate, _truncate, _hole, _cut, _repeat, _number)
_STRUCTURED: tuple[Mutation, ...] = (_swap, _drop, _double, _size, _field, _field, _field, _field)
