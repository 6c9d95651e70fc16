"""Pictures and clips of the report: before and after side by side, stills where most changed, thumbnails of clips."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from storage import media

PREVIEW_S = 20.0  # a report shows beginnings; the whole file is linked
PREVIEW_HEIGHT = 360  # px; the shown height of each half
PREVIEW_CRF = 20.0
STILLS = 4
STILL_SIDE = 192  # px
COMPARED_SIDE = 180  # px; frames are compared with their shorter side between this and twice as much
LEAST_SHARE = 0.3  # stretches where much less changed than at best (encoding noise) give no still
LEAST_CHANGE = 10  # grey levels from which a pixel counts as changed: above what encoding alone moves


@dataclass
class Preview:
    """Files made for one render, relative to the report's folder.

    video: the preview; stills: (time_s, before, after) with before == "" where there is none; whole: the preview shows
    the file to its end.
    """

    video: str
    stills: list[tuple[float, str, str]] = field(default_factory=list)
    whole: bool = True


def side_by_side(before: str | os.PathLike[str], after: str | os.PathLike[str], folder: Path, name: str) -> Preview:
    """A preview with `before` left and `after` right, the sound of `after`, and stills where the two differ most.

    Both have the same frames at the same times (what a dub promises); the first `PREVIEW_S` seconds are shown. Writes
    ``folder/media/NAME.mp4`` and ``NAME-N-before.jpg``, ``NAME-N-after.jpg``.

    Raises:
        InputFailed: one of the files cannot be read.
    """
    info = media.probe(after)
    moments = _Moments()

    def frames() -> Iterator[NDArray[np.uint8]]:
        old_frames, new_frames = media.iter_frames(before), media.iter_frames(after)
        for (_, time_s, old), (_, _, new) in zip(old_frames, new_frames, strict=False):
            if time_s - start > PREVIEW_S:
                return
            if old.shape != new.shape:  # files that do not belong together are shown, not compared
                old = np.asarray(cv2.resize(old, (new.shape[1], new.shape[0]), interpolation=cv2.INTER_AREA), np.uint8)
            else:
                moments.see(time_s - start, old, new)
            yield np.hstack([_fitted(old), _fitted(new)])

    start = float(info.video.start_s) if info.video else 0.0
    preview = _write(frames(), after, info, folder, name)
    preview.stills = moments.write(folder, name)
    return preview


def alone(video: str | os.PathLike[str], folder: Path, name: str) -> Preview:
    """A preview of a video that has no counterpart (an animated portrait), with evenly spaced stills.

    Raises:
        InputFailed: the file cannot be read.
    """
    info = media.probe(video)
    start = float(info.video.start_s) if info.video else 0.0
    total = min(PREVIEW_S, info.duration_s)
    due = [total * (index + 0.5) / STILLS for index in range(STILLS)]
    stills: list[tuple[float, str, str]] = []

    def frames() -> Iterator[NDArray[np.uint8]]:
        for _, time_s, frame in media.iter_frames(video):
            if time_s - start > PREVIEW_S:
                return
            if len(stills) < STILLS and time_s - start >= due[len(stills)]:
                file = f"media/{name}-{len(stills)}.jpg"
                _write_jpeg(folder / file, _fitted(frame))
                stills.append((time_s - start, "", file))
            yield _fitted(frame)

    preview = _write(frames(), video, info, folder, name)
    preview.stills = stills
    return preview


def _write(
    frames: Iterator[NDArray[np.uint8]],
    sound_of: str | os.PathLike[str],
    info: media.MediaInfo,
    folder: Path,
    name: str,
) -> Preview:
    (folder / "media").mkdir(parents=True, exist_ok=True)
    start = float(info.video.start_s) if info.video else 0.0
    times = [t for t in media.frame_times(sound_of).tolist() if t - start <= PREVIEW_S]
    fps = info.video.fps if info.video else 25
    # Sound that went on after the picture would make the preview longer than the video.
    end = times[-1] + 1 / float(fps) if times else start
    sound = media.read_audio(sound_of, 48000, start_s=start, end_s=end) if info.audio and times else None
    file = f"media/{name}.mp4"
    media.write_video(
        folder / file, islice(frames, len(times)), fps, sound, 48000,
        pts=[t - start for t in times], crf=PREVIEW_CRF, preset="superfast",
    )  # fmt: skip
    return Preview(file, whole=info.duration_s <= PREVIEW_S + 0.5)


class _Moments:
    """Keeps the frames in which most changed, one per stretch of time, cut out round what changed."""

    def __init__(self) -> None:
        self.box: list[int] | None = None
        self.best: dict[int, tuple[float, float, NDArray[np.uint8], NDArray[np.uint8]]] = {}

    def see(self, time_s: float, old: NDArray[np.uint8], new: NDArray[np.uint8]) -> None:
        # Compared small: a tenth of the time at 1080p, and noise of single pixels does not widen the cutting.
        step = max(1, min(old.shape[:2]) // COMPARED_SIDE)
        size = (old.shape[1] // step, old.shape[0] // step)
        few = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in (old, new)]
        changed = cv2.absdiff(few[0], few[1]).max(axis=2) > LEAST_CHANGE
        rows, columns = (np.flatnonzero(changed.any(axis=axis)) * step for axis in (1, 0))
        if len(rows) < 4 or len(columns) < 4:
            return
        amount = float(changed.mean())
        slot = int(time_s // 2.0)
        if slot not in self.best or amount > self.best[slot][0]:
            window = _square_round(rows, columns, old.shape[0], old.shape[1])
            self.best[slot] = (amount, time_s, old[window].copy(), new[window].copy())

    def write(self, folder: Path, name: str) -> list[tuple[float, str, str]]:
        most = max((entry[0] for entry in self.best.values()), default=0.0)
        changed = [entry for entry in self.best.values() if entry[0] >= LEAST_SHARE * most]
        chosen = sorted(sorted(changed, key=lambda entry: -entry[0])[:STILLS], key=lambda entry: entry[1])
        stills = []
        for index, (_, time_s, old, new) in enumerate(chosen):
            files = [f"media/{name}-{index}-{side}.jpg" for side in ("before", "after")]
            for file, picture in zip(files, (old, new), strict=True):
                scaled = cv2.resize(picture, (STILL_SIDE, STILL_SIDE), interpolation=cv2.INTER_CUBIC)
                _write_jpeg(folder / file, np.asarray(scaled, np.uint8))
            stills.append((time_s, files[0], files[1]))
        return stills


def _square_round(rows: NDArray[np.int64], columns: NDArray[np.int64], height: int, width: int) -> tuple[slice, slice]:
    # The changed region is the lower face: a square of twice its size, shifted upwards, shows the whole face.
    side = int(min(height, width, 2.0 * max(np.ptp(rows), np.ptp(columns)) + 1))
    middle_y = (rows[0] + rows[-1]) / 2 - 0.15 * side
    middle_x = (columns[0] + columns[-1]) / 2
    top = int(np.clip(middle_y - side / 2, 0, height - side))
    left = int(np.clip(middle_x - side / 2, 0, width - side))
    return slice(top, top + side), slice(left, left + side)


def _fitted(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """At most `PREVIEW_HEIGHT` high, never enlarged, with even sides as H.264 wants them."""
    height, width = frame.shape[:2]
    scale = min(1.0, PREVIEW_HEIGHT / height)
    size = (max(2, round(width * scale) // 2 * 2), max(2, round(height * scale) // 2 * 2))
    if size == (width, height):
        return frame
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def _write_jpeg(path: Path, frame: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])
