"""What a dub will change: which face in which frames, and how strongly. Numbers only; no pixel is touched yet."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.faces import FaceAnalyzer
from models.sync import SyncExpert
from models.syncnet import SyncNet
from storage import media
from storage.errors import InputFailed
from tasks import crops, quality
from tasks.analysis import Analysis, frame_interval
from tasks.casting import cast
from tasks.config import Config
from tasks.original_speech import Original
from tasks.references import References, spread
from tasks.tracks import Track

_FADE_FRAMES = 3


@dataclass
class Segment:
    """A run of frames `first` … `last - 1` of one track that is rendered without a break.

    strength float32 [last - first]: 0..1, how much of the generated face shows; it fades where the dub begins or ends
    in the middle of a shot, and is full at cuts.
    """

    track: Track
    first: int
    last: int
    strength: NDArray[np.float32]
    references: list[int]
    """Indices of frames that show this face well: the best first, then others that differ in pose."""
    voice: int = 0
    """Which of the job's tracks (`Job.tracks`) this face speaks."""


def plan_dub(
    path: str | os.PathLike[str],
    info: media.MediaInfo,
    analysis: Analysis,
    analyzer: FaceAnalyzer,
    config: Config,
    speakers: str | os.PathLike[str] | None = None,
    *,
    audio: Sequence[str | os.PathLike[str]] = (),
    expert: SyncExpert | SyncNet | None = None,
    untouched: Collection[int] = (),
    alive: Callable[[], object] = bool,
    original: Original | None = None,
) -> list[Segment]:
    """Segments in order of their first frame.

    Args:
        speakers: RTTM file of the dub track: who speaks when; None: worked out from the original sound and picture.
        audio: the dub's tracks, in the order of `Job.tracks`: where they pause turns change. Several are each one
            face's, which `Segment.voice` names.
        expert: tells by the lips who speaks in the original; None: mouths that move decide.
        alive: called from time to time, since a long film takes long.
        original: who speaks in the film, where that is known already (of `faces_that_count`).
        untouched: numbers of tracks that are never dubbed; their faces still count where it is asked who speaks.

    Raises:
        InputFailed: the RTTM file cannot be read, or does not fit the tracks.
    """
    tracks = faces_that_count(analysis, config)
    if not tracks:
        return []
    interval = frame_interval(analysis.pts, 25.0)
    chosen = cast(
        path, info, analysis, tracks, config, lambda track: embed_track(path, track, analyzer), expert, audio, speakers,
        alive, original,
    )  # fmt: skip
    limit = np.radians(config.render.max_yaw_deg)
    segments: list[Segment] = []
    for track in tracks:
        if track.number in untouched:
            continue
        yaw = quality.head_pose(track.kps)[:, 0]
        shown = chosen.active[track.number] & (np.abs(yaw) <= limit)
        shown = _without_flicker(shown, max(1, round(0.2 / interval)))
        if not shown.any():
            continue
        references = reference_frames(track, config.render.references)
        voice = chosen.voices.get(track.number, 0)
        for first, last in _runs(shown):
            strength = _fades(first, last, len(track))
            segments.append(Segment(track, track.first + first, track.first + last, strength, references, voice))
    return sorted(segments, key=lambda segment: (segment.first, segment.track.number))


def faces_that_count(analysis: Analysis, config: Config) -> list[Track]:
    """Tracks that are large enough to be dubbed."""
    return [track for track in analysis.tracks if track.height >= config.render.min_face_px]


def best_frame(track: Track) -> int:
    """Index (in the file) of the frame to take as reference: found surely, frontal, still, the mouth rather closed."""
    pose = quality.head_pose(track.kps)
    height = track.bbox[:, 3] - track.bbox[:, 1]
    score = track.score + 0.5 * height / max(float(height.max()), 1e-6)
    score = score - 1.5 * np.abs(pose[:, 0]) - 1.0 * np.abs(pose[:, 1] - np.median(pose[:, 1]))
    if np.isfinite(track.opening).all():
        score = score - 2.0 * track.opening
    motion = track.motion / max(float(np.percentile(track.motion, 90)), 1e-6)
    score = score - 0.2 * np.minimum(motion, 2.0) - np.where(track.detected, 0.0, 5.0)
    return track.first + int(np.argmax(score))


def reference_frames(track: Track, count: int) -> list[int]:
    """Indices (in the file) of up to `count` frames to take as references, the best first, then by how their pose
    differs from those before; found surely, not blurred by motion, the mouth not wide open.
    """
    first = best_frame(track) - track.first
    usable = track.detected & (track.score >= 0.8 * track.score[first])
    usable &= track.motion <= max(float(np.percentile(track.motion, 75)), 1e-6)
    if np.isfinite(track.opening).all():
        usable &= track.opening <= max(float(np.median(track.opening)), 0.05)
    return [track.first + at for at in spread(quality.head_pose(track.kps), usable, first, count)]


def embed_track(path: str | os.PathLike[str], track: Track, analyzer: FaceAnalyzer) -> NDArray[np.float32] | None:
    """Unit embedding [512] of the track's best frame, or None where the pack has no recogniser."""
    if "embedding" not in analyzer.gives:
        return None
    at = best_frame(track) - track.first
    return analyzer.embed(frame_at(path, float(track.pts[at])), track.kps[at])


def frame_at(path: str | os.PathLike[str], time_s: float) -> NDArray[np.uint8]:
    """The frame uint8 [H,W,3] shown at this presentation time.

    Raises:
        InputFailed: there is none.
    """
    for _, _, frame in media.iter_frames(path, start_s=time_s):
        return np.asarray(frame)
    raise InputFailed(os.fspath(path), "has no frame here any more", "do not change the file meanwhile", time_s=time_s)


def references_of(
    path: str | os.PathLike[str], segment: Segment, size: int, analyzer: FaceAnalyzer, matrices: NDArray[np.float64]
) -> tuple[References, NDArray[np.float32] | None]:
    """Aligned crops of `size` pixels of the segment's reference frames, and the face's embedding [512], or None.

    Args:
        matrices: [T,2,3] of the track, frame to crop (`alignments.track_matrices`).

    Raises:
        InputFailed: the file cannot be read at that place any more.
    """
    track = segment.track
    places = [index - track.first for index in segment.references]
    frames = {at: frame_at(path, float(track.pts[at])) for at in places}
    pictures = [crops.warp(frames[at], matrices[at], size) for at in places]
    poses = quality.head_pose(track.kps[places])
    return References(np.stack(pictures), poses), analyzer.embed(frames[places[0]], track.kps[places[0]])


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(first, last exclusive) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _without_flicker(flags: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """Runs and gaps shorter than `least` frames are joined to their surround (gaps first), except at the ends."""
    out = flags.copy()
    for first, last in _runs(~out):
        if last - first < least and first > 0 and last < len(out):
            out[first:last] = True
    for first, last in _runs(out):
        if last - first < least and (first > 0 or last < len(out)):
            out[first:last] = False
    return out


def _fades(first: int, last: int, length: int) -> NDArray[np.float32]:
    """Full strength, with ramps at the ends that are not the track's own ends."""
    count = last - first
    strength = np.ones(count, dtype=np.float32)
    ramp = (np.arange(1, _FADE_FRAMES + 1, dtype=np.float32)) / (_FADE_FRAMES + 1)
    fade = min(_FADE_FRAMES, count // 2)
    if first > 0 and fade:
        strength[:fade] = np.minimum(strength[:fade], ramp[:fade])
    if last < length and fade:
        strength[count - fade :] = np.minimum(strength[count - fade :], ramp[:fade][::-1])
    return strength
