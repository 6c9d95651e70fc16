"""Where the pieces of a media file lie: what a mutation that knows the container works on."""

from __future__ import annotations

from dataclasses import dataclass

_BOXES_OF_BOXES = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"udta", b"mvex", b"moof", b"traf"}
_MASTERS = {  # elements of Matroska that hold elements: EBML, Segment, Info, Tracks, TrackEntry, Video, Audio, …
    0x1A45DFA3, 0x18538067, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0, 0xE1, 0x1F43B675, 0xA0, 0x1C53BB6B, 0xBB, 0xB7,
    0x114D9B74, 0x4DBB, 0x1043A770, 0x45B9, 0xB6, 0x1254C367, 0x7373,
}  # fmt: skip
_LISTS = (b"RIFF", b"LIST")


@dataclass(frozen=True)
class Piece:
    """A box, an element, a chunk, a segment or a packet: bytes start:end, its content from `body` on.

    size_at, size_bytes: where it says how long it is, and in how many bytes (0: it does not); order: of its numbers.
    """

    start: int
    body: int
    end: int
    size_at: int
    size_bytes: int
    order: str = ">"


def pieces_of(data: bytes, suffix: str) -> list[Piece]:
    """The pieces of all levels, as far as they can be made out; none of what is broken beyond that."""
    if suffix in (".mp4", ".mov"):
        return _boxes(data, 0, len(data))
    if suffix in (".mkv", ".webm"):
        return _elements(data, 0, len(data))
    if suffix in (".avi", ".wav"):
        return _chunks(data, 0, len(data))
    if suffix == ".ts":
        return [Piece(at, at + 4, at + 188, at, 0) for at in range(0, len(data) - 187, 188)]
    if suffix == ".png":
        return _png_chunks(data)
    return _segments(data)


def _boxes(data: bytes, at: int, end: int) -> list[Piece]:
    found = []
    while at + 8 <= end:
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if size < 8 or at + size > end:
            break
        found.append(Piece(at, at + 8, at + size, at, 4))
        if kind in _BOXES_OF_BOXES:
            found += _boxes(data, at + 8, at + size)
        elif kind == b"stsd":
            found += _boxes(data, at + 16, at + size)
        at += size
    return found


def _elements(data: bytes, at: int, end: int) -> list[Piece]:
    found = []
    while at + 2 <= end:
        id_bytes = 9 - data[at].bit_length()
        size_at = at + id_bytes
        if id_bytes > 4 or size_at >= end or not data[size_at]:
            break
        size_bytes = 9 - data[size_at].bit_length()
        body = size_at + size_bytes
        size = int.from_bytes(data[size_at:body], "big") & ((1 << 7 * size_bytes) - 1)
        last = min(end, body + size)  # of an element that is longer than the file, what there is
        if body > end:
            break
        found.append(Piece(at, body, last, size_at, size_bytes))
        if int.from_bytes(data[at:size_at], "big") in _MASTERS:
            found += _elements(data, body, last)
        at = last
    return found


def _chunks(data: bytes, at: int, end: int) -> list[Piece]:
    found = []
    while at + 8 <= end:
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        last = min(end, at + 8 + size + size % 2)
        found.append(Piece(at, at + 8, last, at + 4, 4, "<"))
        if data[at : at + 4] in _LISTS:
            found += _chunks(data, at + 12, last)
        at = last
    return found


def _png_chunks(data: bytes) -> list[Piece]:
    found, at = [], 8
    while at + 12 <= len(data):
        last = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if last > len(data):
            break
        found.append(Piece(at, at + 8, last, at, 4))
        at = last
    return found


def _segments(data: bytes) -> list[Piece]:
    found, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        last = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if last > len(data):
            break
        found.append(Piece(at, at + 4, last, at + 2, 2))
        at = last
    return found
