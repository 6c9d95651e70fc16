"""What a library asks for: jobs from a manifest or a command line, each with its identity and its output's place."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from storage.errors import InputRejected, UsageError
from storage.ids import content_id, file_sha256
from storage.layout import Root
from tasks.config import Config
from tasks.dubber import render_key
from tasks.manifest import located, read_table

COLUMNS = ("video", "audio", "emotion", "speakers", "output")
OUTPUT_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")


@dataclass(frozen=True)
class Job:
    """One video (or portrait) to dub.

    emotion: free text, "auto", or None to keep the face's own; speakers: RTTM file or None; output: where to; None puts
    it into the root's renders. confined: the output may not lie outside the root's renders (rows of a manifest).
    """

    video: str
    audio: str
    emotion: str | None = None
    speakers: str | None = None
    output: str | None = None
    confined: bool = False


@dataclass(frozen=True)
class Planned:
    """A job that can be done. kind: dub or animate; out: where its file goes; key: its render_id."""

    job: Job
    kind: str
    out: str
    key: str


def read_manifest(path: str | os.PathLike[str]) -> list[Job]:
    """Jobs of a CSV, JSON lines or Parquet file with `video, audio, emotion, speakers, output`; only the first two must
    be there. Inputs are looked for beside the manifest; outputs are relative to the root's renders and stay inside.

    Raises:
        UsageError: the file cannot be read, a column is missing or unknown, a row lacks its video or audio.
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
        video, audio = located(entry.get("video"), beside), located(entry.get("audio"), beside)
        if video is None or audio is None:
            raise UsageError(f"{path}: row {number} lacks its video or audio", "fill in both columns")
        jobs.append(
            Job(video, audio, entry.get("emotion"), located(entry.get("speakers"), beside), entry.get("output"), True)
        )
    return jobs


def plan_job(kind: str, job: Job, config: Config, model_id: str, root: Root, others: Iterable[Planned] = ()) -> Planned:
    """What `job` makes, and where.

    Args:
        kind: dub or animate.
        others: what was planned before it; no two may be the same render or write the same file.

    Raises:
        OSError: an input cannot be read.
        InputRejected: for a row of a manifest, UsageError: for a single job, when the output's place is not allowed.
    """
    key = _key(kind, job, config, model_id)
    planned = Planned(job, kind, str(_output(job, key, root)), key)
    _check_unique(planned, others)
    return planned


def _key(kind: str, job: Job, config: Config, version: str) -> str:
    speakers = file_sha256(job.speakers) if job.speakers else None
    key = render_key(file_sha256(job.video), file_sha256(job.audio), config, version, job.emotion, speakers)
    return key if kind == "dub" else content_id(kind, key)


def _output(job: Job, key: str, root: Root) -> Path:
    """Where the job's file goes.

    Raises:
        InputRejected: for a row of a manifest, UsageError: for a single job, when the place is outside the root's
            renders (manifests only), of an unknown format, or an input itself.
    """
    if job.output is None:
        return root.renders / f"{Path(job.video).stem}.{key[:8]}.mp4"
    out = Path(job.output).expanduser()
    problem = remedy = ""
    if job.confined:
        out = (root.renders / out).resolve()
        if not out.is_relative_to(root.renders.resolve()):
            problem, remedy = f"lies outside {root.renders}", "outputs of a manifest are relative to the root's renders"
    if out.suffix.lower() not in OUTPUT_SUFFIXES:
        problem, remedy = "is no format that can be written", f"use {', '.join(OUTPUT_SUFFIXES)}"
    elif out.resolve() in (Path(job.video).resolve(), Path(job.audio).resolve()):
        problem, remedy = "is an input itself", "name another output: inputs are never changed"
    if problem and job.confined:
        raise InputRejected("plan", "output", reason=f"the output {job.output} {problem}", remedy=remedy)
    if problem:
        raise UsageError(f"{job.output}: {problem}", remedy)
    return out.absolute()


def _check_unique(task: Planned, others: Iterable[Planned]) -> None:
    """Two jobs with one output would overwrite each other, and one render is one row.

    Raises:
        InputRejected: another job comes first.
    """
    for other in others:
        if task.key == other.key:
            raise InputRejected("plan", "same_job", 2, 1, reason="the same video, track and settings as another row")
        if task.out == other.out:
            reason = f"{task.out} is the output of two rows"
            raise InputRejected("plan", "output", 2, 1, remedy="give each its own", reason=reason)
