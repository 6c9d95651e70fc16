"""The first pass over a film: its shots, the tracks of its faces, and the spans of tracks that become clips."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from storage import media
from tasks import quality
from tasks.analysis import Analysis, analyse, frame_interval
from tasks.config import Config
from tasks.experts import Experts
from tasks.sources import Source
from tasks.tracks import Track

FIELDS = (
    "track_id", "shot", "start_s", "end_s", "fps", "num_frames", "first", "pts", "bbox", "score", "kps",
    "still", "unit_matrices", "mouth_opening", "motion", "source_landmarks", "face_px", "face_ratio",
)  # fmt: skip


@dataclass(frozen=True)
class Span:
    """Frames `first` up to `last` (indices in the file) of a track, and their times in seconds."""

    track: Track
    first: int
    last: int
    start_s: float
    end_s: float


def track_film(
    source: Source, info: media.MediaInfo, config: Config, experts: Experts, alive: Callable[[], None]
) -> tuple[Iterator[dict[str, Any]], dict[str, Any]]:
    """The columns of each span in the order of their first frames, and facts on the whole film.

    Facts: frames, end_s, shots (count), dropped (what `tracks.Dropped` says, as dicts).

    Args:
        alive: called now and then while frames pass.

    Raises:
        InputFailed: the file breaks in the middle.
    """
    if info.still:  # its face is measured like any other; a gate says that it is no clip
        config = config.with_({"tracks.min_s": 0.0})
    analysis = analyse(
        source.uri, info, experts.faces, config, keep_landmarks=True, progress=lambda done, total: alive()
    )
    fps = float(info.video.fps) if info.video is not None else 25.0
    facts = {
        "frames": len(analysis.pts), "end_s": analysis.end_s, "shots": len(analysis.shots),
        "dropped": [asdict(dropped) for dropped in analysis.dropped],
    }  # fmt: skip
    found = sorted(spans(analysis, config.preprocess.max_clip_s), key=lambda span: (span.first, span.track.number))
    return (_columns(span, fps) | {"still": info.still} for span in found), facts


def spans(analysis: Analysis, max_clip_s: float) -> list[Span]:
    """Tracks as clips: one longer than `max_clip_s` seconds is cut into equal parts below it."""
    found = []
    for track in analysis.tracks:
        end_s = _end_of(analysis, track.last)
        parts = max(1, math.ceil((end_s - track.pts[0]) / max_clip_s - 1e-9))
        edges = np.linspace(track.first, track.last, parts + 1).round().astype(int)
        for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            found.append(Span(track, first, last, float(analysis.pts[first]), _end_of(analysis, last)))
    return found


def _columns(span: Span, fps: float) -> dict[str, Any]:
    track = span.track
    here = slice(span.first - track.first, span.last - track.first)
    points = track.landmarks[here] if track.landmarks is not None else None
    opening = track.opening[here]
    return {
        "track_id": track.number, "shot": track.shot, "start_s": span.start_s, "end_s": span.end_s, "fps": fps,
        "num_frames": span.last - span.first, "first": span.first, "pts": track.pts[here],
        "bbox": track.bbox[here].astype(np.float32), "score": track.score[here].astype(np.float32),
        "kps": track.kps[here].astype(np.float32), "unit_matrices": track.matrices[here],
        "mouth_opening": opening.astype(np.float32) if np.isfinite(opening).all() else None,
        "motion": track.motion[here].astype(np.float32), "source_landmarks": points,
        "face_px": float(np.median(quality.face_height(track.bbox[here]))), "face_ratio": track.ratio(here),
    }  # fmt: skip


def _end_of(analysis: Analysis, last: int) -> float:
    """When frame `last - 1` ends."""
    if last < len(analysis.pts):
        return float(analysis.pts[last])
    return max(analysis.end_s, float(analysis.pts[last - 1]) + frame_interval(analysis.pts, 25.0) * 0.5)
