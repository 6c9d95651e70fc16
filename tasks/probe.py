"""The first step: what an input is, and whether it can be used. Every input ends as a SOURCES row, readable or not."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from storage import media
from storage.errors import InputRejected, UsageError, outcome
from storage.ids import code_revision, content_id, file_sha256
from storage.schema import SOURCES, row
from tasks.config import Config

VIDEO_SUFFIXES = frozenset(
    (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".3gp")
)
AUDIO_SUFFIXES = frozenset((".wav", ".mp3", ".flac", ".m4a", ".aac", ".ogg", ".opus", ".wma", ".aif", ".aiff"))


@dataclass(frozen=True)
class Source:
    """An input and what its corpus or manifest says of it; None where nothing is said."""

    uri: str
    speaker: str | None = None
    emotion: str | None = None
    intensity: int | None = None
    text: str | None = None
    split: str | None = None
    licence: str | None = None
    consent: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a Ray row."""
        return asdict(self)


def find_sources(places: Iterable[str | os.PathLike[str]]) -> list[Source]:
    """Files from paths: a file stands for itself, a folder for all media files below it, in a stable order.

    Other files of a folder (texts, tables, hidden files, unfinished outputs) are no inputs. A file named twice is taken
    once.

    Raises:
        UsageError: a path does not exist.
    """
    found: dict[Path, Source] = {}
    for place in places:
        path = Path(place).expanduser()
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder", "check the path")
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if _is_media(file, path))
        for file in files:
            found.setdefault(file.absolute(), Source(str(file.absolute())))
    return list(found.values())


def _is_media(file: Path, below: Path) -> bool:
    if any(part.startswith(".") for part in file.relative_to(below).parts):
        return False
    return file.is_file() and file.suffix.lower() in VIDEO_SUFFIXES | AUDIO_SUFFIXES


def source_key(path: str | os.PathLike[str]) -> str:
    """The source_id: a hash of the file's bytes. A file that cannot be read gets one of its name and the error."""
    try:
        return content_id("source", file_sha256(path))
    except OSError as error:
        return content_id("unreadable", os.fspath(path), type(error).__name__)


def probe_source(
    source: Source, dataset: str, config: Config, *, need_audio: bool = True
) -> tuple[dict[str, Any], media.MediaInfo | None]:
    """(SOURCES row, what was found). Never raises for the file's sake: the row then says why and info is None.

    Args:
        need_audio: reject a video without sound (clips need it, dubbing does not).
    """
    started = time.perf_counter()
    values: dict[str, Any] = {
        "source_id": source_key(source.uri), "dataset": dataset, "uri": source.uri, "speaker": source.speaker,
        "emotion": source.emotion, "intensity": source.intensity, "text": source.text, "split": source.split,
        "licence": source.licence, "consent": source.consent, "attempts": 1, "config_hash": config.hash(),
        "code_revision": code_revision(), "created": datetime.datetime.now(datetime.UTC),
    }  # fmt: skip
    info: media.MediaInfo | None = None
    try:
        values["bytes"] = os.path.getsize(source.uri)
        values["sha256"] = file_sha256(source.uri)
        info = media.probe(source.uri, need_video=True, need_audio=need_audio)
        if info.duration_s > config.preprocess.max_source_s:
            raise InputRejected(
                "probe", "duration_s", info.duration_s, config.preprocess.max_source_s, "s",
                "raise preprocess.max_source_s or cut the file", path=source.uri,
            )  # fmt: skip
        values.update(_facts(info), status="ok", stage="probe")
    except Exception as error:  # noqa: BLE001 - whatever a file does, it costs itself alone
        info = None
        values.update(outcome(error, "probe"))
    values["seconds"] = time.perf_counter() - started
    return row(SOURCES, **values), info


def _facts(info: media.MediaInfo) -> dict[str, Any]:
    video = info.video
    facts: dict[str, Any] = {
        "container": info.container,
        "audio_codec": info.audio[0].codec if info.audio else None,
        "duration_s": info.duration_s,
    }
    if video is not None:
        facts |= {
            "video_codec": video.codec, "width": video.width, "height": video.height, "fps": float(video.fps),
            "num_frames": video.frames, "start_s": video.start_s,
        }  # fmt: skip
    return facts
