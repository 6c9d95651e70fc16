"""What one source came to, kept as a folder of Parquet files under its key: a finished source is never done twice.

cache/clips/KEY/clips-00000.parquet …    cache/clips/KEY/sources/sources-00000.parquet
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from storage.atomic import directory_written_aside
from storage.errors import InputFailed
from storage.ids import content_id
from storage.schema import CLIPS, SOURCES
from storage.shards import ShardWriter, read_rows
from tasks.probe import source_key
from tasks.sources import Source

_CLIPS, _SOURCES = "clips", "sources"
_PART_MB = 16
_NOT_IN_KEY = ("uri", "split", "audio", "refused")


def part_key(source: Source, source_id: str, version: str) -> str:
    """Key of a source's results: its bytes and those of its sound, what its corpus says of it, and `clips_version`."""
    said = {name: value for name, value in source.as_dict().items() if name not in _NOT_IN_KEY}
    if source.audio is not None:
        said["audio"] = source_key(source.audio)
    return content_id("part", source_id, version, said)


def write_part(folder: Path, rows: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Writes ("clips", row) and ("sources", row) pairs as they come; the folder appears whole. Returns the SOURCES row.

    Raises:
        ValueError: there was no SOURCES row.
    """
    verdict: dict[str, Any] | None = None
    with (
        directory_written_aside(folder) as place,
        ShardWriter(place, CLIPS, _PART_MB, _CLIPS) as clips,
        ShardWriter(place / _SOURCES, SOURCES, _PART_MB, _SOURCES) as sources,
    ):
        for kind, row in rows:
            if kind == "sources":
                verdict = row
                sources.write(row)
            else:
                clips.write(row)
    if verdict is None:
        raise ValueError(f"{folder}: no SOURCES row was made")
    return verdict


def read_clips(folder: Path, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """CLIPS rows of a part or a dataset version; nothing where there is none."""
    yield from _rows(folder, columns)


def read_sources(folder: Path) -> Iterator[dict[str, Any]]:
    """The SOURCES row of a part."""
    yield from _rows(folder / _SOURCES, None)


def _rows(folder: Path, columns: list[str] | None) -> Iterator[dict[str, Any]]:
    if not folder.is_dir() or not any(folder.glob("*.parquet")):
        return
    yield from read_rows(folder, columns)


def is_whole(folder: Path) -> bool:
    """Whether a part is there and can be read: one that a broken disk spoiled is made anew."""
    try:
        return any(True for _ in read_sources(folder))
    except InputFailed:
        return False
