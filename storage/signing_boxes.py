"""MP4 and MOV files as C2PA sees them: boxes, which of them are hashed, and room for a manifest made in place.

The manifest goes behind ``ftyp`` (C2PA 2.1, annex A.5); the rest of the file moves back by its length, so the chunk
offsets in ``moov`` grow by as much (ISO/IEC 14496-12, 8.7.5). One pass over the file in blocks, in place: neither
memory nor disk for a second copy is needed.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from storage.errors import InputFailed

C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
BEFORE_STORE = 8 + 16 + 4 + len(b"manifest\0") + 8
"""Bytes of the C2PA box before the manifest store: header, uuid, version and flags, purpose, offset of Merkle trees."""
_BLOCK = 4 << 20
_WAY_TO_OFFSETS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}
_FRAGMENTS = {b"moof", b"mfra", b"sidx"}


@dataclass(frozen=True)
class Box:
    """kind: four letters; start and end: bytes in the file; body: where its content begins."""

    kind: bytes
    start: int
    body: int
    end: int


def top_boxes(path: Path) -> list[Box]:
    """The outermost boxes in order; they cover the file.

    Raises:
        InputFailed: the file is no sequence of whole boxes.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        boxes, at = [], 0
        while at < size:
            box = _box_at(stream, at, size)
            if box is None:
                raise InputFailed(str(path), f"its box at byte {at} is not whole", "restore the file", stage="sign")
            boxes.append(box)
            at = box.end
    return boxes


def head_box(path: Path) -> Box:
    """The ``ftyp`` box.

    Raises:
        InputFailed: the file does not begin with one.
    """
    boxes = top_boxes(path)
    if not boxes or boxes[0].kind != b"ftyp":
        raise InputFailed(str(path), "does not begin with an ftyp box", "write .mp4 or .mov", stage="sign")
    return boxes[0]


def manifest_boxes(path: Path) -> list[Box]:
    """The C2PA boxes among the outermost."""
    with path.open("rb") as stream:
        found = []
        for box in top_boxes(path):
            stream.seek(box.body)
            if box.kind == b"uuid" and stream.read(16) == C2PA_UUID:
                found.append(box)
    return found


def read_box(path: Path, box: Box) -> bytes:
    with path.open("rb") as stream:
        stream.seek(box.start)
        return stream.read(box.end - box.start)


def make_room(path: Path, room: int) -> bytes:
    """Move everything behind ``ftyp`` back by `room` bytes; returns the hash that C2PA wants of such a file.

    That is the SHA-256 over the outermost boxes without ``ftyp`` and the C2PA box, each after its place in the file in
    eight bytes (assertion ``c2pa.hash.bmff.v3`` with these two left out).

    Raises:
        InputFailed: the file is fragmented or signed already, or its 32-bit offsets would overflow.
    """
    boxes = top_boxes(path)
    if any(box.kind in _FRAGMENTS for box in boxes) or manifest_boxes(path):
        raise InputFailed(str(path), "is fragmented or signed already", "sign a file as written", stage="sign")
    with path.open("r+b") as stream:
        for box in boxes:
            if box.kind == b"moov":
                stream.seek(box.start)
                moov = bytearray(stream.read(box.end - box.start))
                _shift_offsets(path, moov, 0, len(moov), room)
                stream.seek(box.start)
                stream.write(moov)
        return _moved(stream, boxes, room)


def _moved(stream: BinaryIO, boxes: list[Box], room: int) -> bytes:
    digest = hashlib.sha256()
    starts = {box.start for box in boxes[1:]}
    at, waiting = boxes[0].end, bytes(room)
    while True:
        stream.seek(at)
        block = stream.read(_BLOCK)
        if not block:
            break
        done = 0
        for start in sorted(start for start in starts if at <= start < at + len(block)):
            digest.update(block[done : start - at])
            digest.update(struct.pack(">Q", start + room))
            done = start - at
        digest.update(block[done:])
        joined = waiting + block
        stream.seek(at)
        stream.write(joined[: len(block)])
        waiting = joined[len(block) :]
        at += len(block)
    stream.seek(at)
    stream.write(waiting)
    return digest.digest()


def _shift_offsets(path: Path, data: bytearray, start: int, end: int, by: int) -> None:
    for kind, body, stop in _inner(data, start, end):
        if kind in _WAY_TO_OFFSETS:
            _shift_offsets(path, data, body, stop, by)
        elif kind in (b"stco", b"co64"):
            form = "I" if kind == b"stco" else "Q"
            (count,) = struct.unpack_from(">I", data, body + 4)
            offsets = struct.unpack_from(f">{count}{form}", data, body + 8)
            try:
                struct.pack_into(f">{count}{form}", data, body + 8, *(offset + by for offset in offsets))
            except struct.error as error:
                raise InputFailed(
                    str(path), "its 32-bit chunk offsets leave no room for a manifest", "write .mkv", stage="sign"
                ) from error


def _inner(data: bytearray, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, body, end) of the boxes in `data[start:end]`."""
    at = start
    while at + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, at)
        body = at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, body)
            body += 8
        stop = end if size == 0 else at + size
        if stop > end or stop < body:
            return
        yield kind, body, stop
        at = stop


def _box_at(stream: BinaryIO, at: int, size: int) -> Box | None:
    stream.seek(at)
    head = stream.read(16)
    if len(head) < 8:
        return None
    length, kind = struct.unpack_from(">I4s", head)
    body = at + 8
    if length == 1:
        if len(head) < 16:
            return None
        (length,) = struct.unpack_from(">Q", head, 8)
        body += 8
    end = size if length == 0 else at + length
    return Box(kind, at, body, end) if body <= end <= size else None
