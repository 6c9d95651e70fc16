"""Faces through time: detections of single frames joined to tracks, gaps filled, trembling taken out.

A track holds one face within one shot on every frame from its first to its last. It keeps numbers only (about 150 bytes
a frame; the many points of a face lie in a file of their own), never pixels, so that an hour of footage fits beside a
minute of it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import linear_sum_assignment

from models.faces import Face
from models.landmarks106 import CONTOUR, kps_from, mouth_opening
from tasks import crops
from tasks.alignments import ANCHORS, anchors_of
from tasks.config_sections import Tracks
from tasks.mouth_motion import mouth_motion, mouth_patch
from tasks.shots import Shot
from tasks.spill import Spill, SpilledPoints, filled
from tasks.track_links import box_iou, name_persons

Floats = NDArray[np.float64]

_OUTLINE = list(CONTOUR)
_ROW = 23  # floats kept per observation: bbox 4, score, kps 10, opening, motion, points to align on 6
_ALL = 106


@dataclass
class Track:
    """One face within one shot, on every frame `first` … `first + T - 1`.

    pts float64 [T] seconds; bbox float32 [T,4]; score float32 [T]; kps float32 [T,5,2] frame pixels, as detected or
    filled in; detected bool [T]; matrices float64 [T,2,3] smoothed, frame → 128 px crop; opening float32 [T] of the
    mouth in eye distances (NaN unless the pack measures landmarks); motion float32 [T] of the mouth (grey levels);
    looked bool [T]: frames in which faces were looked for; points [T,P,2] frame pixels, read from disk by the slice:
    all 106 landmarks, or the outline and the anchors alone; person: the number of the first track of this face in this
    shot, the same again after it had turned away (`Tracks.max_away_s`).
    """

    number: int
    shot: int
    first: int
    pts: Floats
    bbox: NDArray[np.float32]
    score: NDArray[np.float32]
    kps: NDArray[np.float32]
    looked: NDArray[np.bool_]
    detected: NDArray[np.bool_]
    matrices: Floats
    opening: NDArray[np.float32]
    motion: NDArray[np.float32]
    points: SpilledPoints | NDArray[np.float32]
    smooth_s: float
    person: int = 0

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def last(self) -> int:
        """Index after its last frame."""
        return self.first + len(self.pts)

    def ratio(self, part: slice = slice(None)) -> float:
        """Share of the frames looked at (of `part`, counted from its first) in which the face was found."""
        looked = int(self.looked[part].sum())
        return float(self.detected[part].sum() / looked) if looked else 1.0

    @property
    def landmarks(self) -> SpilledPoints | NDArray[np.float32] | None:
        """``landmarks[a:b]`` is float32 [b-a,106,2] in frame pixels; None where they were not kept."""
        return self.points if self.points.shape[1] == _ALL else None

    @cached_property
    def outline(self) -> NDArray[np.float32]:
        """float32 [T,33,2] frame pixels, smoothed: the face from ear to ear by way of the chin.

        Guessed from the five points where the pack measures no landmarks.
        """
        points = self.points[:]
        shown = points[:, _OUTLINE] if points.shape[1] == _ALL else points[:, : len(_OUTLINE)]
        return _smooth(shown.reshape(len(shown), -1), self.pts, self.smooth_s).reshape(shown.shape)

    @cached_property
    def anchors(self) -> NDArray[np.float32]:
        """float32 [T,4,2] frame pixels: what the crops of public checkpoints are aligned to (`alignments.ANCHORS`)."""
        points = self.points[:]
        if points.shape[1] == _ALL:
            return np.stack([anchors_of(one) for one in points]).astype(np.float32)
        return np.ascontiguousarray(points[:, len(_OUTLINE) :])

    @property
    def height(self) -> float:
        """Median height of the face box in pixels."""
        return float(np.median(self.bbox[:, 3] - self.bbox[:, 1]))


@dataclass(frozen=True)
class Dropped:
    """A track that was not kept, and the measure that decided."""

    number: int
    start_s: float
    end_s: float
    frames: int
    measure: str
    value: float
    threshold: float
    unit: str


@dataclass
class _Live:
    number: int
    indices: array = field(default_factory=lambda: array("q"))
    rows: array = field(default_factory=lambda: array("f"))
    points: array = field(default_factory=lambda: array("q"))
    patch: NDArray[np.uint8] | None = None
    velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))

    def box(self) -> NDArray[np.float64]:
        return np.array(self.rows[-_ROW : -_ROW + 4], dtype=np.float64)

    def predicted(self, index: int) -> NDArray[np.float64]:
        """Where the box should be by now, by its own speed, for at most a few frames."""
        shift = self.velocity * min(index - self.indices[-1], 5)
        return self.box() + np.tile(shift, 2)

    def overlap(self, index: int, bbox: NDArray) -> float:
        """IoU with where it should be, or with where it was: a face half hidden seems to have moved."""
        return max(box_iou(self.predicted(index), bbox), box_iou(self.box(), bbox))


class Tracker:
    """Joins the faces of frames, given in order, to tracks.

    Args:
        config: thresholds.
        keep_landmarks: keep the 106 points of every frame; dubbing needs the outline alone.
    """

    def __init__(self, config: Tracks, keep_landmarks: bool = False) -> None:
        self._config = config
        self._keep = keep_landmarks
        self._spill = Spill(2 * (_ALL if keep_landmarks else len(_OUTLINE) + len(ANCHORS)))
        self._live: list[_Live] = []
        self._ended: list[_Live] = []
        self._pts = array("d")
        self._looked = array("b")

    @property
    def pts(self) -> Floats:
        """Times [N] in seconds of all frames so far."""
        return np.array(self._pts, dtype=np.float64)

    def push(self, pts_s: float, frame: NDArray[np.uint8], faces: Sequence[Face] | None) -> None:
        """The next frame uint8 [H,W,3] with its faces; `faces` is None where none were looked for."""
        index = len(self._pts)
        self._pts.append(pts_s)
        self._looked.append(faces is not None)
        if faces is None:
            return
        gaps = [pts_s - self._pts[track.indices[-1]] for track in self._live]
        self._ended += [track for track, gap in zip(self._live, gaps, strict=True) if gap > self._config.max_gap_s]
        self._live = [track for track, gap in zip(self._live, gaps, strict=True) if gap <= self._config.max_gap_s]
        usable = [face for face in faces if _spread(face.kps)]
        for face, track in zip(usable, self._match(index, usable), strict=True):
            if track is None:
                track = _Live(len(self._live) + len(self._ended))
                self._live.append(track)
            self._observe(track, index, face, frame)

    def _match(self, index: int, faces: Sequence[Face]) -> list[_Live | None]:
        """The live track of each face, or None where a new one begins."""
        result: list[_Live | None] = [None] * len(faces)
        if not faces or not self._live:
            return result
        overlaps = np.array([[track.overlap(index, face.bbox) for track in self._live] for face in faces])
        for row, column in zip(*linear_sum_assignment(-overlaps), strict=True):
            if overlaps[row, column] >= self._config.min_iou:
                result[row] = self._live[column]
        return result

    def _observe(self, track: _Live, index: int, face: Face, frame: NDArray[np.uint8]) -> None:
        if track.indices:
            before = track.box()
            moved = ((face.bbox[:2] + face.bbox[2:]) - (before[:2] + before[2:])) / 2
            track.velocity = 0.5 * track.velocity + 0.5 * moved / (index - track.indices[-1])
        # The mean of many landmarks trembles a third as much as the detector's points do.
        aligned = (kps_from(face.landmarks) if face.landmarks_measured else face.kps)[:3]
        aligned = aligned if _spread(aligned) else face.kps[:3]
        patch = mouth_patch(frame, aligned)
        motion = 0.0
        if track.patch is not None and index - track.indices[-1] <= 3:
            motion = mouth_motion(track.patch, patch)
        track.patch = patch
        opening = float(mouth_opening(face.landmarks)) if face.landmarks_measured else float("nan")
        track.indices.append(index)
        row = [*face.bbox.tolist(), face.score, *face.kps.ravel().tolist(), opening, motion, *aligned.ravel().tolist()]
        track.rows.extend(row)
        points = face.landmarks
        if not self._keep:
            points = np.concatenate([points[_OUTLINE], anchors_of(points)])
        track.points.append(self._spill.append(points.ravel()))

    def finish(self, shots: Sequence[Shot]) -> tuple[list[Track], list[Dropped]]:
        """Tracks cut at the shots' edges, in order of their first frame, and those that were dropped."""
        tracks: list[Track] = []
        dropped: list[Dropped] = []
        number = 0
        pts, ends = self.pts, [shot.last for shot in shots]
        for live in sorted(self._ended + self._live, key=lambda live: live.indices[0]):
            begun = bisect_right(ends, live.indices[0])
            for shot in shots[begun : bisect_right(ends, live.indices[-1]) + 1]:
                built = self._build(live, shot, number, pts)
                if built is None:
                    continue
                number += 1
                if isinstance(built, Track):
                    tracks.append(built)
                else:
                    dropped.append(built)
        tracks.sort(key=lambda track: (track.first, track.number))
        name_persons(tracks, self._config.max_away_s)
        return tracks, dropped

    def _build(self, live: _Live, shot: Shot, number: int, times: Floats) -> Track | Dropped | None:
        every = np.frombuffer(live.indices, dtype=np.int64)
        inside = slice(*np.searchsorted(every, [shot.first, shot.last]).tolist())
        at = every[inside].copy()
        if not len(at):
            return None
        rows = np.frombuffer(live.rows, dtype=np.float32).reshape(-1, _ROW)[inside]
        first, last = self._reach(int(at[0]), int(at[-1]), shot)
        frames = np.arange(first, last)
        pts = times[first:last]
        end_s = self._pts[last] if last < len(self._pts) else shot.end_s
        if end_s - pts[0] < self._config.min_s:
            length = float(end_s - pts[0])
            return Dropped(number, float(pts[0]), float(end_s), len(pts), "track_s", length, self._config.min_s, "s")
        table = filled(rows, at, frames)
        kps = table[:, 5:15].reshape(-1, 5, 2)
        motion = table[:, 16]
        motion[0] = 0.0  # measured against another shot, or against nothing
        return Track(
            number=number,
            shot=shot.number,
            first=first,
            pts=pts,
            bbox=table[:, :4],
            score=table[:, 4],
            kps=kps,
            looked=np.array(self._looked[first:last], dtype=bool),
            detected=np.isin(frames, at),
            matrices=crops.smooth_matrices(
                crops.crop_matrices(table[:, 17:].reshape(-1, 3, 2)), pts, self._config.smooth_s
            ),
            opening=table[:, 15],
            motion=motion,
            points=SpilledPoints(self._spill, np.array(live.points[inside], dtype=np.int64), at, first, len(pts)),
            smooth_s=self._config.smooth_s,
        )

    def _reach(self, first: int, last: int, shot: Shot) -> tuple[int, int]:
        """Frames next to the track at which nobody looked belong to it too (detection on every n-th frame)."""
        while first > shot.first and not self._looked[first - 1]:
            first -= 1
        last += 1
        while last < shot.last and not self._looked[last]:
            last += 1
        return first, last


def _smooth(values: NDArray[np.float32], pts: Floats, sigma_s: float) -> NDArray[np.float32]:
    """Columns [T,N] through a Gaussian in time."""
    if len(values) < 2 or sigma_s <= 0:
        return values
    interval = max(float(np.median(np.diff(pts))), 1e-6)
    return np.asarray(gaussian_filter1d(values, sigma_s / interval, axis=0, mode="nearest"), dtype=np.float32)


def _spread(kps: NDArray) -> bool:
    """Are eyes and nose apart far enough to align a crop on?"""
    return bool(np.isfinite(kps).all() and np.ptp(kps[:3], axis=0).max() > 2.0)
