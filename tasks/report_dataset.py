"""The page of a dataset: what is in it, what was left out and why, how its values are spread, and what it took.

One page and a folder of small pictures. Rows pass by once (`tasks.report_tally`), and what is shown of them is a
sample, so that the page of a hundred thousand clips is as small as that of ten. Nothing is fetched from elsewhere,
nothing is scripted.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from storage.atomic import write_text
from tasks.report import clock, environment
from tasks.report_charts import Chart, bars, heat, histogram
from tasks.report_tally import Row, Share, Tally
from tasks.studio.controls import EMOTIONS

FACE_PX = 112
SPEAKERS_SHOWN = 40
CropOf = Callable[[Sequence[str]], Mapping[str, bytes]]
"""Clip ids → a picture (JPEG or PNG bytes) of each that has one."""


def dataset_page(
    folder: str | os.PathLike[str],
    facts: Row,
    clips: Iterable[Row],
    crops_of: CropOf,
    steps: Iterable[Row] = (),
    title: str = "",
) -> Path:
    """Write ``folder/index.html`` and the pictures it shows; an older page there is replaced.

    Args:
        facts: label → value, of the version: its name, when it was made, ….
        clips: CLIPS rows, those of `tasks.report_tally.COLUMNS` at least; each is looked at once.
        crops_of: gives pictures of the few clips that are shown.
        steps: STEPS rows, of which step, status, seconds, cpu_seconds and attempts are read.
        title: what the page is called; the dataset's name.

    Returns:
        The page's path.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(place / "faces", ignore_errors=True)
    (place / "faces").mkdir()
    tally = Tally.of(clips)
    kept, left = tally.kept_sample, tally.left_sample
    pictures = crops_of([row["clip_id"] for row in (*kept, *left)])
    page = environment().get_template("dataset.html.j2").render(
        title=title or "Dataset",
        facts=facts,
        tally=tally,
        tiles=_tiles(tally),
        kept=[_figure(row, pictures, place) for row in kept],
        left=sorted((_figure(row, pictures, place) for row in left), key=lambda figure: not figure["file"]),
        charts=[chart for chart in _charts(tally) if chart is not None],
        emotions=_emotions(tally),
        splits=[(name, share, _people(share)) for name, share in sorted(tally.splits.items(), key=_split_order)],
        rights=sorted(tally.rights.items(), key=lambda item: -item[1].clips),
        steps=_steps(steps),
    )  # fmt: skip
    write_text(place / "index.html", page)
    return place / "index.html"


def _tiles(tally: Tally) -> list[tuple[str, str, str]]:
    """(value, unit, label) of what comes first."""
    kept, people = tally.statuses["ok"], len(tally.all.speakers)
    tiles = [
        (f"{kept:,}", f"of {tally.clips:,}", "clips kept"),
        (clock(tally.all.seconds), "", "of footage in them"),
        (f"{people:,}", "", "speaker" if people == 1 else "speakers"),
        (f"{len(tally.all.sources):,}", "", "source with clips kept" if len(tally.all.sources) == 1 else
         "sources with clips kept"),
        (f"{tally.frames:,}", "", "frames"),
    ]  # fmt: skip
    if tally.clips > kept:
        tiles.append((f"{tally.clips - kept:,}", f"{(tally.clips - kept) / tally.clips:.1%}", "left out"))
    return tiles


def _charts(tally: Tally) -> list[Chart | None]:
    def of(name: str, title: str, unit: str = "", whole: bool = False, signed: bool = False) -> Chart | None:
        marks = tally.marks.get(name, set())
        marks = marks | {-mark for mark in marks} if signed else marks
        return histogram(title, tally.kept[name], tally.left[name], unit, sorted(marks), whole)

    yaw, pitch = tally.kept["yaw"], tally.kept["pitch"]
    pose = heat("Head pose", yaw, pitch, (60.0, 45.0), ("yaw", "pitch"), "°") if len(yaw) == len(pitch) else None
    return [
        of("length", "Clip length", "s"), pose, of("face_px", "Face height", "px"),
        of("sync_confidence", "Sync confidence"),
        of("sync_offset", "Sync offset found", "frames of 1/25 s", whole=True, signed=True),
        of("loudness_lufs", "Loudness", "LUFS"), of("speech_share", "Share of the clip with speech"),
        of("blur", "Sharpness (variance of the Laplacian)"), of("exposure", "Exposure (mean luma)"),
        of("occlusion", "Lower face covered"), bars("Clips per speaker", tally.all.speakers),
        histogram("Speakers by their number of clips", list(tally.all.speakers.values()), whole=True)
        if len(tally.all.speakers) > 12 else None,
    ]  # fmt: skip


def _emotions(tally: Tally) -> list[tuple[str, list[tuple[int, float]], int]]:
    """Emotion, (clips, shade 0..1) at intensities 0 to 3, and their sum."""
    known = [*EMOTIONS, *sorted({emotion for emotion, _ in tally.emotions} - set(EMOTIONS))]
    most = max(tally.emotions.values(), default=1)
    table = []
    for emotion in known:
        counts = [tally.emotions.get((emotion, intensity), 0) for intensity in range(4)]
        if sum(counts) or emotion in EMOTIONS:
            table.append((emotion, [(count, round((count / most) ** 0.5, 2)) for count in counts], sum(counts)))
    return table


def _people(share: Share) -> list[tuple[str, int]]:
    return sorted(share.speakers.items(), key=lambda item: (-item[1], item[0]))[:SPEAKERS_SHOWN]


def _split_order(item: tuple[str, Share]) -> tuple[int, str]:
    order = ("train", "val", "test")
    return (order.index(item[0]) if item[0] in order else len(order), item[0])


def _steps(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """STEPS rows by step, in the order in which steps first appear."""
    table: dict[str, dict[str, Any]] = {}
    for row in rows:
        entry = table.setdefault(
            str(row["step"]),
            {"statuses": Counter(), "items": 0, "again": 0, "seconds": 0.0, "cpu_seconds": 0.0, "errors": Counter()},
        )
        entry["items"] += 1
        entry["statuses"][row.get("status") or "failed"] += 1
        entry["again"] += (row.get("attempts") or 1) > 1
        entry["seconds"] += row.get("seconds") or 0.0
        entry["cpu_seconds"] += row.get("cpu_seconds") or 0.0
        if row.get("error_type"):
            entry["errors"][row["error_type"]] += 1
    return [{"step": step, **entry} for step, entry in table.items()]


def _figure(row: dict[str, Any], pictures: Mapping[str, bytes], place: Path) -> dict[str, Any]:
    """A face of a contact sheet: its small picture beside the page, "" where there is none."""
    data = pictures.get(row["clip_id"])
    image = None if not data else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        return {"file": "", "row": row}
    file = f"faces/{row['clip_id']}.jpg"
    small = cv2.resize(image, (FACE_PX, FACE_PX), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(place / file), small, [cv2.IMWRITE_JPEG_QUALITY, 82])
    return {"file": file, "row": row}
