"""One pass over a video: its shots and the tracks of its faces. Building a dataset and dubbing both begin with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from models.faces import FaceAnalyzer
from storage import media
from tasks.config import Config
from tasks.shots import Shot, ShotFinder, shots_between
from tasks.tracks import Dropped, Track, Tracker

Progress = Callable[[int, int], None]
"""Told (frames done, frames in all) from time to time."""


@dataclass
class Analysis:
    """What one pass found. pts float64 [N] seconds of all frames; end_s the end of the last one."""

    pts: NDArray[np.float64]
    end_s: float
    shots: list[Shot]
    tracks: list[Track]
    dropped: list[Dropped]
    face_frames: int

    @property
    def face_ratio(self) -> float:
        """Share of all frames that lie in some track."""
        return self.face_frames / len(self.pts) if len(self.pts) else 0.0


def analyse(
    path: str | os.PathLike[str],
    info: media.MediaInfo,
    analyzer: FaceAnalyzer,
    config: Config,
    *,
    keep_landmarks: bool = False,
    progress: Progress | None = None,
) -> Analysis:
    """Decode every frame once, find cuts, look for faces, join them to tracks.

    Args:
        info: what `media.probe` said of the file; it must have a video track.
        keep_landmarks: keep the 106 points of every face (clips need them, dubbing does not).

    Raises:
        InputFailed: the file breaks in the middle.
    """
    video = info.video
    rate = video.fps if video is not None else Fraction(25)
    total = video.frames if video is not None else 0
    finder = ShotFinder(config.shots, rate)
    tracker = Tracker(config.tracks, keep_landmarks)
    for index, pts_s, frame in media.iter_frames(path, threads=config.runtime.threads):
        faces = None
        if index % config.tracks.detect_every == 0:
            found = analyzer.detect(frame, embed=False)
            faces = sorted(found, key=lambda face: -face.size)[: config.faces.max_faces]
        finder.push(index, frame, faces)
        tracker.push(pts_s, frame, faces)
        if progress is not None and index % 25 == 0:
            progress(index, total)
    finder.finish()
    pts = tracker.pts
    end_s = float(pts[-1]) + frame_interval(pts, rate) if len(pts) else 0.0
    shots = shots_between(finder.cuts, pts, end_s, config.shots.min_shot_s, finder.jumps)
    tracks, dropped = tracker.finish(shots)
    covered = np.zeros(len(pts), dtype=bool)
    for track in tracks:
        covered[track.first : track.last] = True
    if progress is not None:
        progress(len(pts), len(pts))
    return Analysis(pts, end_s, shots, tracks, dropped, int(covered.sum()))


def frame_interval(pts: NDArray[np.float64], rate: Fraction | float) -> float:
    """How long a frame is shown: the median distance of the times [N], or 1/rate where there is one frame only."""
    if len(pts) > 1:
        return float(np.median(np.diff(pts)))
    return 1.0 / float(rate) if rate else 0.04
