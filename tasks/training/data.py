"""CLIPS rows as training data, streamed: from a dataset's Parquet shards, from a rendered studio corpus, or from
memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from storage.errors import DubwrightError

COLUMNS = (
    "clip_id", "speaker", "split", "status", "crop_size", "crops", "masks", "landmarks", "pts", "start_s", "audio",
    "identity", "emotion", "intensity", "caption", "mouth_opening", "num_frames", "source_id", "action_units",
)  # fmt: skip
"""The columns of CLIPS that training reads."""

Embed = Callable[[NDArray[np.uint8], NDArray[np.float32]], NDArray[np.float32] | None]
Rows = str | Path | Iterable[Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class TrainingClip:
    """One clip, decoded.

    Attributes:
        frames: uint8 RGB [T,S,S,3] aligned crops.
        labels: uint8 [T,S,S]: 0 outside, 1 face, 2 lips, 3 eyes.
        landmarks: float32 [T,106,2], crop pixels.
        pts: float64 [T], seconds from the first sample of `audio`.
        audio: float32 [N], mono 16 kHz.
        identity: float32 [512] unit embedding, or None where no recogniser was at hand.
        mouth_opening: float32 [T], eye distances.
        caption: the emotion in words; may be empty.
        scene: clips of one scene show a person in one light, before one camera.
        action_units: float32 [T,20] in 0..1 in the order of `models.action_units.AUS`, or None where not measured.
    """

    clip_id: str
    speaker: str
    split: str
    frames: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    pts: NDArray[np.float64]
    audio: NDArray[np.float32]
    identity: NDArray[np.float32] | None
    mouth_opening: NDArray[np.float32]
    emotion: str
    intensity: int
    caption: str = ""
    scene: str = ""
    action_units: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.frames)


def rows_of(source: Rows, split: str | None = None, embed: Embed | None = None) -> Iterator[Mapping[str, Any]]:
    """The usable ("ok") CLIPS rows of a source, one at a time.

    Args:
        source: a folder of shards, a folder written by `tasks.studio.corpus.render_corpus` (it holds manifest.jsonl),
            or the rows themselves.
        split: "train", "val" or "test"; None takes all.
        embed: frame uint8 [H,W,3] and five points [5,2] to a unit embedding [512]; for a rendered corpus, which has the
            truth of everything but this.
    """
    for row in _all_rows(source, split, embed):
        if row["status"] == "ok" and (split is None or row["split"] == split) and row["crops"]:
            yield row


def is_corpus(source: Rows) -> bool:
    """Whether a source is a folder that `tasks.studio.corpus` rendered."""
    return isinstance(source, (str, Path)) and (Path(source) / "manifest.jsonl").is_file()


def _all_rows(source: Rows, split: str | None, embed: Embed | None) -> Iterable[Mapping[str, Any]]:
    if not isinstance(source, (str, Path)):
        return source
    folder = Path(source)
    if is_corpus(source):
        from tasks.studio.clip_files import studio_rows  # the studio is needed for its own corpora only

        return studio_rows(folder, split, embed=embed)
    from storage.shards import read_rows

    return read_rows(folder, columns=list(COLUMNS))


def decode_clip(row: Mapping[str, Any], every: int = 1) -> TrainingClip:
    """Decode every n-th frame of a CLIPS row.

    Raises:
        DubwrightError: a crop that cannot be decoded, or columns whose lengths do not agree.
    """
    count = len(row["crops"])
    pick = range(0, count, every)
    frames = np.stack([_picture(row["crops"][i], cv2.IMREAD_COLOR, row) for i in pick])
    pts = np.asarray(row["pts"], np.float64)
    if len(pts) != count or len(row["masks"]) != count:
        raise DubwrightError(
            f"clip {row['clip_id']} has {count} crops, {len(row['masks'])} masks and {len(pts)} times",
            "preprocess its source again",
        )
    start = pts[0] if row["start_s"] is None else float(row["start_s"])
    landmarks = np.asarray(row["landmarks"], np.float32).reshape(count, -1, 2)
    identity, units = row["identity"], row.get("action_units")
    return TrainingClip(
        clip_id=str(row["clip_id"]),
        speaker=str(row["speaker"] or ""),
        split=str(row["split"] or ""),
        frames=np.ascontiguousarray(frames[..., ::-1]),
        labels=np.stack([_picture(row["masks"][i], cv2.IMREAD_GRAYSCALE, row) for i in pick]),
        landmarks=landmarks[::every],
        pts=(pts - start)[::every],
        audio=np.frombuffer(row["audio"], dtype="<i2").astype(np.float32) / np.float32(32768),
        identity=None if identity is None or not len(identity) else np.asarray(identity, np.float32),
        mouth_opening=np.asarray(row["mouth_opening"], np.float32)[::every],
        emotion=str(row["emotion"] or "neutral"),
        intensity=int(row["intensity"] or 0),
        caption=str(row.get("caption") or ""),
        scene=f"{row.get('source_id')}/{row.get('speaker') or ''}",
        action_units=None if units is None else np.asarray(units, np.float32).reshape(count, -1)[::every],
    )


def _picture(data: bytes, flags: int, row: Mapping[str, Any]) -> NDArray[np.uint8]:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if picture is None:
        raise DubwrightError(
            f"clip {row['clip_id']} holds a picture that cannot be decoded", "preprocess its source again"
        )
    return np.asarray(picture, np.uint8)


def read_clips(
    source: Rows, split: str | None = None, every: int = 1, limit: int | None = None, embed: Embed | None = None
) -> Iterator[TrainingClip]:
    """Decoded clips, one at a time; `limit` ends after so many; `embed`: see `rows_of`."""
    for number, row in enumerate(rows_of(source, split, embed)):
        if limit is not None and number >= limit:
            return
        yield decode_clip(row, every)
