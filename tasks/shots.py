"""Shots: where one camera view ends and the next begins, by PySceneDetect's adaptive detector.

The detector is fed with the frames that are being read anyway, so a file is not decoded a second time and frame numbers
and times are those of `storage.media`, whatever the frame rate does.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect import AdaptiveDetector, FrameTimecode

from tasks.config_sections import Shots

Frame = NDArray[np.uint8]


@dataclass(frozen=True)
class Shot:
    """Frames `first` up to, not including, `last` (indices within the file), and their times in seconds."""

    number: int
    first: int
    last: int
    start_s: float
    end_s: float

    def __len__(self) -> int:
        return self.last - self.first


class ShotFinder:
    """Finds cuts while frames pass by. Push every frame in order, then `finish`.

    A cut is known a few frames after it happened (the detector compares a frame with both its neighbourhoods).

    Args:
        config: thresholds.
        fps: average frame rate; the detector counts in frames, so the shortest shot is converted with it.
    """

    def __init__(self, config: Shots, fps: float | Fraction) -> None:
        self._config = config
        self._rate = float(fps) if fps and float(fps) > 0 else 25.0
        self._detector = AdaptiveDetector(
            adaptive_threshold=config.adaptive_threshold,
            min_scene_len=max(1, round(config.min_shot_s * self._rate)),
            window_width=config.window_frames,
            min_content_val=config.min_content,
        )
        self._first: int | None = None
        self._seen = 0
        self.cuts: list[int] = []
        """Indices of the frames that begin a new shot, without the first frame of all."""

    def push(self, index: int, frame: Frame) -> list[int]:
        """A frame uint8 [H,W,3] of any channel order; returns the cuts that became certain with it."""
        if self._first is None:
            self._first = index
        height, width = frame.shape[:2]
        if width > self._config.width:
            size = (self._config.width, max(1, round(height * self._config.width / width)))
            frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        found = self._detector.process_frame(FrameTimecode(self._seen, self._rate), frame)
        self._seen += 1
        return self._keep(found)

    def finish(self) -> list[int]:
        """The cuts that only the end of the file makes certain."""
        if self._first is None:
            return []
        return self._keep(self._detector.post_process(FrameTimecode(max(0, self._seen - 1), self._rate)))

    def _keep(self, found: Iterable[FrameTimecode]) -> list[int]:
        offset = self._first or 0
        fresh = [offset + code.frame_num for code in found]
        fresh = [cut for cut in fresh if cut > offset and cut not in self.cuts[-4:]]
        self.cuts.extend(fresh)
        return fresh


def shots_between(cuts: Iterable[int], pts: NDArray[np.float64], end_s: float, min_shot_s: float = 0.0) -> list[Shot]:
    """Shots from cuts: `pts` are the times [N] of frames 0..N-1, `end_s` the end of the last one.

    A remainder shorter than `min_shot_s` at the end belongs to the shot before it: where the file stops, the detector
    lacks the neighbours that it compares with.
    """
    if len(pts) == 0:
        return []
    inner = [cut for cut in sorted(set(cuts)) if 0 < cut < len(pts) and end_s - pts[cut] >= min_shot_s]
    edges = [0, *inner, len(pts)]
    times = [*pts.tolist(), end_s]
    return [
        Shot(number, first, last, times[first], times[last])
        for number, (first, last) in enumerate(itertools.pairwise(edges))
    ]
