"""Measuring a finished dub: the files that came in and went out are decoded again and compared."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.sync import WINDOW
from models.syncnet import measure_lips
from storage import media
from tasks import crops
from tasks.experts import Experts
from tasks.plan import Segment
from tasks.voice import VoiceTrack

_SYNC_S = 8.0
_STRETCHES = 12
_STRETCH_S = 2.0
_MARGIN_S = 0.8
_PEAK = 255.0**2


@dataclass(frozen=True)
class Measured:
    """Of input and output, None where it could not be measured.

    sync_before, sync_after: sync confidence of picture against dub track; outside_psnr_db: RGB, over the sampled
    frames, outside the changed box of each; identity_cosine: face embedding before against after; identity: the
    one after.
    """

    sync_before: float | None = None
    sync_after: float | None = None
    outside_psnr_db: float | None = None
    identity_cosine: float | None = None
    identity: NDArray[np.float32] | None = None


def measure_render(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    boxes: NDArray[np.int32],
    segments: Sequence[Segment],
    voice: VoiceTrack,
    experts: Experts,
) -> Measured:
    """Compare input and output as decoded.

    Args:
        boxes: int [frames,4], the changed box of each frame, zeros where nothing changed.
    """
    longest = max(segments, key=lambda segment: segment.last - segment.first)
    before, after, times, cosine, identity = _face(source, out, longest, experts)
    return Measured(
        sync_before=sync_confidence(before, times, voice, experts),
        sync_after=sync_confidence(after, times, voice, experts),
        outside_psnr_db=outside_psnr(source, out, boxes),
        identity_cosine=cosine,
        identity=identity,
    )


def outside_psnr(source: str | os.PathLike[str], out: str | os.PathLike[str], boxes: NDArray[np.int32]) -> float | None:
    """PSNR in dB between the decoded files outside the changed boxes; None if the boxes cover everything.

    A short video is compared whole; of a long one, twelve stretches of two seconds, evenly spread.
    """
    times = media.frame_times(source)
    if len(times) == 0:
        return None
    length = float(times[-1] - times[0])
    starts: list[float | None] = [None]
    if length > _STRETCHES * _STRETCH_S:
        starts = [float(times[0]) + k * (length - _STRETCH_S) / (_STRETCHES - 1) for k in range(_STRETCHES)]
    squares, count = 0.0, 0
    for start in starts:
        end = None if start is None else start + _STRETCH_S
        pairs = zip(media.iter_frames(source, start, end), media.iter_frames(out, start, end), strict=False)
        for (index, _, a), (_, _, b) in pairs:
            if a.shape != b.shape or index >= len(boxes):
                continue
            apart = np.square(a.astype(np.int16) - b.astype(np.int16), dtype=np.int32)
            x0, y0, x1, y1 = (int(v) for v in boxes[index])
            squares += float(apart.sum(dtype=np.int64)) - float(apart[y0:y1, x0:x1].sum(dtype=np.int64))
            count += 3 * (a.shape[0] * a.shape[1] - (x1 - x0) * (y1 - y0))
    if count == 0:
        return None
    return float(10 * np.log10(_PEAK / max(squares / count, 1e-9)))


def _face(
    source: str | os.PathLike[str], out: str | os.PathLike[str], segment: Segment, experts: Experts
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float64], float | None, NDArray[np.float32] | None]:
    """Aligned crops before and after of the segment's first seconds, their times, and the identity of both."""
    track = segment.track
    start_s = float(track.pts[segment.first - track.first])
    stop_s = min(start_s + _SYNC_S, float(track.pts[segment.last - 1 - track.first]) + 1e-3)
    before, after, times = [], [], []
    known: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    pairs = zip(media.iter_frames(source, start_s, stop_s), media.iter_frames(out, start_s, stop_s), strict=False)
    every = max(1, (segment.last - segment.first) // 5)
    for (index, pts_s, a), (_, _, b) in pairs:
        at = index - track.first
        if not 0 <= at < len(track):
            continue
        before.append(crops.warp(a, track.matrices[at]))
        after.append(crops.warp(b, track.matrices[at]))
        times.append(pts_s)
        if (index - segment.first) % every == 0:
            one, other = experts.faces.embed(a, track.kps[at]), experts.faces.embed(b, track.kps[at])
            if one is not None and other is not None:
                known.append((one, other))
    empty = np.zeros((0, crops.CROP_SIZE, crops.CROP_SIZE, 3), dtype=np.uint8)
    cosine = float(np.mean([one @ other for one, other in known])) if known else None
    identity = None
    if known:
        mean = np.mean([other for _, other in known], axis=0)
        identity = np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), dtype=np.float32)
    return (
        np.stack(before) if before else empty, np.stack(after) if after else empty,
        np.array(times, dtype=np.float64), cosine, identity,
    )  # fmt: skip


def sync_confidence(
    pictures: NDArray[np.uint8], times: NDArray[np.float64], voice: VoiceTrack, experts: Experts
) -> float | None:
    """Sync confidence of aligned crops uint8 [T,128,128,3] at times [T] against the dub track; None without an expert,
    without speech, or with too few frames."""
    if experts.sync is None or len(times) < WINDOW // 2:
        return None
    start_s = float(times[0]) - _MARGIN_S
    sound = voice.sound(start_s, float(times[-1]) + _MARGIN_S)
    try:
        return measure_lips(pictures, times, sound, experts.sync, audio_start_s=start_s).confidence
    except ValueError:
        return None  # too short, or the track is silent here
