"""The first step: what an input is, and whether it can be used. Every input ends as a SOURCES row, readable or not."""

from __future__ import annotations

import datetime
import logging
import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from storage import media
from storage.errors import InputRejected, UsageError, outcome
from storage.ids import code_revision, content_id, file_sha256
from storage.schema import SOURCES, row
from tasks.config import Config
from tasks.corpora.reading import Layout, read_tree
from tasks.corpora.registry import AUTO, layout_named, recognise
from tasks.manifest import SUFFIXES, located, read_table
from tasks.sources import AUDIO_SUFFIXES, VIDEO_SUFFIXES, Source

log = logging.getLogger(__name__)
_MISSING_SHOWN = 3


def find_sources(places: Iterable[str | os.PathLike[str]], corpus_layout: str = AUTO) -> list[Source]:
    """Files from paths: a file stands for itself, a folder for all media files below it, a manifest for its rows.

    A folder whose files are named as those of a known corpus (`tasks.corpora`) is read as that corpus, with its labels,
    and with a source for each file that is left out; not one with a manifest, which says all there is to say.

    A manifest (CSV, JSON lines, Parquet) has a column `video`, and may have those of `Source`; one that lies in a
    folder given (`manifest.csv`, …) labels that folder's files, and what it names as `audio` is a companion and no
    input of its own. Tables of dub jobs (with a column `output`) say nothing of footage and are left alone. Other
    files of a folder (texts, hidden files, unfinished outputs) are no inputs. A file named twice is taken once.

    Args:
        corpus_layout: a corpus's name: every folder is one of it; "folder": none is; "auto": see above.

    Raises:
        UsageError: a path does not exist, a manifest cannot be read, or there is no such layout.
    """
    told = layout_named(corpus_layout)
    found: dict[Path, Source] = {}
    for place in places:
        path = Path(place).expanduser()
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder", "check the path")
        if path.is_dir():
            named, companions = _labels(path) if told is None else ({}, set())
            files = sorted(file.absolute() for file in path.rglob("*") if _is_media(file, path))
            corpus = told or (recognise(files) if corpus_layout == AUTO and not named else None)
            if corpus is not None:
                listed = _corpus(corpus, path)
            else:
                listed = [named.get(file, Source(str(file))) for file in files if file not in companions]
                listed += [source for file, source in named.items() if file not in files]
        elif path.suffix.lower() in SUFFIXES:
            listed = list(_rows(path)[0].values())
        else:
            listed = [Source(str(path.absolute()))]
        for source in listed:
            found.setdefault(Path(source.uri), source)
    return list(found.values())


def _corpus(layout: Layout, folder: Path) -> list[Source]:
    reading = read_tree(layout, folder)
    log.info("%s: read as %s", folder, reading.summary)
    if reading.missing:
        shown = "; ".join(reading.missing[:_MISSING_SHOWN])
        log.warning("%s: %d missing, by the names of those that are there: %s", folder, len(reading.missing), shown)
    return reading.sources


def _labels(folder: Path) -> tuple[dict[Path, Source], set[Path]]:
    """What the manifests below a folder say: sources by file, and the files that are companions of one."""
    named: dict[Path, Source] = {}
    companions: set[Path] = set()
    for suffix in SUFFIXES:
        for manifest in sorted(folder.rglob(f"manifest{suffix}")):
            sources, beside = _rows(manifest)
            named |= sources
            companions |= beside
    return named, companions - named.keys()


def _rows(manifest: Path) -> tuple[dict[Path, Source], set[Path]]:
    sources: dict[Path, Source] = {}
    companions: set[Path] = set()
    table = read_table(manifest)
    if table and "video" not in table[0]:
        raise UsageError(f"{manifest}: has no column `video`", "name the column with the files `video`")
    if table and "output" in table[0]:
        return sources, companions
    for entry in table:
        video, audio = (located(entry.get(name), manifest.parent) for name in ("video", "audio"))
        if video is None:
            continue
        said = {name: entry.get(name) for name in _SAID}
        intensity = entry.get("intensity")
        sources[Path(video)] = Source(
            video, **{name: None if value is None else str(value) for name, value in said.items()},
            intensity=None if intensity is None else int(float(intensity)),
        )  # fmt: skip
        if audio is not None:
            companions.add(Path(audio))
    return sources, companions


_SAID = ("speaker", "emotion", "text", "caption", "split", "licence", "consent")


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
        info = media.probe(source.uri, need_video=True, need_audio=need_audio and source.audio is None)
        if source.audio is not None:
            info = replace(info, audio=media.probe(source.audio, need_video=False, need_audio=need_audio).audio)
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
