"""What a library asks for: jobs from a manifest or a command line, each with its identity and its output's place."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.errors import InputFailed, InputRejected, UsageError
from storage.ids import content_id, file_sha256
from storage.layout import Root
from tasks.config import Config
from tasks.dubber import render_key, settings_key
from tasks.manifest import SUFFIXES, at_home, located, read_table
from tasks.moods import CUES, Moods

COLUMNS = ("video", "audio", "emotion", "speakers", "output", "intensity", "priority")
OUTPUT_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
LONGEST_NAME = 200
"""Bytes of an output's name: what is written beside it until it is finished has a longer one."""


@dataclass(frozen=True)
class Job:
    """One video (or portrait) to dub.

    emotion: free text, "auto", several of these over time, or a file of them (`tasks.moods`); None: the face's own.
    speakers: RTTM file or None; output: where to; None puts it into the root's renders. confined: the output may not
    lie outside the root's renders (rows of a manifest). voices: tracks beside `audio`, where each face has its own.
    intensity: 0 (neutral) … 3 (extreme) of the emotion; None: as its text says. priority: higher ones come first.
    """

    video: str
    audio: str
    emotion: str | None = None
    speakers: str | None = None
    output: str | None = None
    confined: bool = False
    voices: tuple[str, ...] = ()
    intensity: float | None = None
    priority: float = 0.0

    @property
    def tracks(self) -> tuple[str, ...]:
        """All tracks, in the order that `Segment.voice` counts."""
        return (self.audio, *self.voices)


@dataclass(frozen=True)
class Planned:
    """A job that can be done. kind: dub or animate; out: where its file goes; key: its render_id; source_sha256,
    audio_sha256: of the video (or picture) and the first track."""

    job: Job
    kind: str
    out: str
    key: str
    source_sha256: str
    audio_sha256: str


def read_manifest(path: str | os.PathLike[str]) -> list[Job]:
    """Jobs of a CSV, JSON lines or Parquet file with the columns COLUMNS; only `video` and `audio` must be there.

    Inputs are looked for beside the manifest; outputs are relative to the root's renders and stay inside. Several
    tracks, one for each face, are written `a.wav|b.wav`, or as a list where the format has lists.

    Raises:
        UsageError: the file cannot be read, a column is missing or unknown, a row lacks its video or audio, or what
            should be a number is none.
    """
    table = read_table(path)
    if not table:
        raise UsageError(f"{path}: has no rows", f"write a header and rows: {', '.join(COLUMNS)}")
    names = set().union(*table)
    if not {"video", "audio"} <= names:
        raise UsageError(f"{path}: has no column `video` or `audio`", f"columns are {', '.join(COLUMNS)}")
    if names - set(COLUMNS):
        raise UsageError(
            f"{path}: unknown column {', '.join(sorted(names - set(COLUMNS)))}", f"columns are {', '.join(COLUMNS)}"
        )
    jobs, beside = [], Path(path).absolute().parent
    for number, entry in enumerate(table, 1):
        video, tracks = located(entry.get("video"), beside), _tracks(entry.get("audio"), beside)
        if video is None or not tracks:
            raise UsageError(f"{path}: row {number} lacks its video or audio", "fill in both columns")
        jobs.append(
            Job(
                video, tracks[0], _emotion(entry.get("emotion"), beside), located(entry.get("speakers"), beside),
                entry.get("output"), True, tracks[1:], _number(entry, "intensity", path, number),
                _number(entry, "priority", path, number) or 0.0,
            )
        )  # fmt: skip
    return jobs


def jobs_of(
    manifest: str | None = None,
    video: str | None = None,
    audio: Sequence[str] = (),
    emotion: str | None = None,
    intensity: float | None = None,
    speakers: str | None = None,
    output: str | None = None,
) -> list[Job]:
    """What a command line asks for: the rows of a manifest, or one video with one track or several.

    Raises:
        UsageError: as `read_manifest`.
    """
    if manifest is not None:
        return read_manifest(manifest)
    return [
        Job(video or "", audio[0], emotion, speakers, output, voices=tuple(audio[1:]), intensity=intensity)
    ]  # fmt: skip


def _tracks(value: Any, beside: Path) -> tuple[str, ...]:
    """The sound files of a cell, in order; those that are left empty are not there."""
    written = value if isinstance(value, list | tuple) else str(value or "").split("|")
    found = (located(str(one).strip() or None, beside) for one in written)
    return tuple(one for one in found if one is not None)


def _emotion(value: Any, beside: Path) -> str | None:
    """The text of a cell; a file of emotions lies beside the manifest."""
    text = None if value is None else str(value)
    is_file = text is not None and Path(text).suffix.lower() in (*SUFFIXES, *CUES)
    return located(text, beside) if is_file else text


def _number(entry: dict[str, Any], name: str, path: str | os.PathLike[str], row: int) -> float | None:
    """A number of a row, None where the cell is empty.

    Raises:
        UsageError: it is none.
    """
    value = entry.get(name)
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{path}: row {row}: {name} is no number: {value!r}", "write a number, or leave it empty")
    return number


class Planner:
    """Works out what jobs make, and where; no two may be the same render or write the same file.

    Args:
        kind: dub or animate.
        model_id: of the model that renders.
    """

    def __init__(self, kind: str, config: Config, model_id: str, root: Root) -> None:
        self._kind, self._config, self._model_id, self._root = kind, config, model_id, root
        self._settings = settings_key(config, model_id)
        self._keys: set[str] = set()
        self._places: set[str] = set()

    def plan(self, job: Job) -> Planned:
        """What `job` makes, and where.

        Raises:
            OSError: an input cannot be read.
            InputRejected: for a row of a manifest, UsageError: for a single job, when the output's place is not
                allowed, or the emotion cannot be understood; for both, when another job comes first.
        """
        source, audio = self._digest(job.video), self._digest(job.audio)
        key = self._key(job, source, audio)
        out = str(output_place(job, key, self._root))
        if key in self._keys:
            raise InputRejected("plan", "same_job", 2, 1, reason="the same video, track and settings as another row")
        if out in self._places:
            reason = f"{out} is the output of two rows"
            raise InputRejected("plan", "output", 2, 1, remedy="give each its own", reason=reason)
        self._keys.add(key)
        self._places.add(out)
        return Planned(job, self._kind, out, key, source, audio)

    def _digest(self, path: str) -> str:
        """SHA-256 of a file, kept on disk: a library of large videos is read once."""
        return file_sha256(path, digests_of(self._root))

    def _key(self, job: Job, source: str, audio: str) -> str:
        try:
            emotion = Moods.read(job.emotion, job.intensity).key
        except InputFailed as error:
            if not job.confined:
                raise UsageError(error.message, error.remedy) from error
            raise InputRejected("plan", "emotion", remedy=error.remedy, reason=error.message) from error
        made_with = (self._config, self._model_id, self._settings)
        key = dub_key(job, source, audio, emotion, *made_with, self._digest)
        return key if self._kind == "dub" else content_id(self._kind, key)


def dub_key(
    job: Job,
    source_sha256: str,
    audio_sha256: str,
    emotion: str | None,
    config: Config,
    model_id: str,
    settings: Sequence[str],
    digest: Callable[[str], str] = file_sha256,
) -> str:
    """The render_id of a dub.

    Args:
        emotion: `Moods.key`; settings: `settings_key` of the configuration and the model.
        digest: SHA-256 of its smaller files: RTTM, and the tracks beside the first.
    """
    speakers = digest(job.speakers) if job.speakers else None
    key = render_key(source_sha256, audio_sha256, config, model_id, emotion, speakers, settings)
    return content_id("voices", key, *(digest(voice) for voice in job.voices)) if job.voices else key


def digests_of(root: Root) -> Path:
    """Where the digests of files lie that were read already."""
    return root.cache / "digests"


def output_place(job: Job, key: str, root: Root) -> Path:
    """Where the job's file goes.

    Raises:
        InputRejected: for a row of a manifest, UsageError: for a single job, when the place is outside the root's
            renders (manifests only), of an unknown format, or an input itself.
    """
    if job.output is None:
        return root.renders / f"{Path(job.video).stem}.{key[:8]}.mp4"
    out = at_home(job.output)
    problem = remedy = ""
    if "\0" in job.output or any(len(os.fsencode(part)) > LONGEST_NAME for part in out.parts):
        problem, remedy = "is no name that a file can have", f"use {LONGEST_NAME} bytes at most, and no null byte"
    elif job.confined:
        out = (root.renders / out).resolve()
        if not out.is_relative_to(root.renders.resolve()):
            problem, remedy = f"lies outside {root.renders}", "outputs of a manifest are relative to the root's renders"
    if not problem and out.suffix.lower() not in OUTPUT_SUFFIXES:
        problem, remedy = "is no format that can be written", f"use {', '.join(OUTPUT_SUFFIXES)}"
    elif not problem and out.resolve() in [Path(one).resolve() for one in (job.video, *job.tracks)]:
        problem, remedy = "is an input itself", "name another output: inputs are never changed"
    if problem and job.confined:
        raise InputRejected("plan", "output", reason=f"the output {job.output} {problem}", remedy=remedy)
    if problem:
        raise UsageError(f"{job.output}: {problem}", remedy)
    return out.absolute()
