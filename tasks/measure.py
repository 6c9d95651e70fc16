"""Measuring a finished dub: the files that came in and went out are decoded again and compared."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.sync import WINDOW, SyncResult
from models.syncnet import measure_lips
from storage import media
from tasks import crops
from tasks.alignments import STUDIO, track_matrices
from tasks.config_sections import Render
from tasks.experts import Experts
from tasks.flicker import flicker_ratio
from tasks.pasting import Paster
from tasks.plan import Segment
from tasks.seam import seam_energies, seam_ratio
from tasks.voice import VoiceTrack

_SYNC_S, _SHORTEST_S, _PIECES = 8.0, 1.0, 3
_EMBEDDED, _SEAMS = 5, 12  # frames of a piece whose identity, whose seam is measured
_STRETCHES = 12
_STRETCH_S = 2.0
_MARGIN_S = 0.8
_PEAK = 255.0**2


@dataclass(frozen=True)
class Measured:
    """Of input and output, None where it could not be measured.

    sync_before, sync_after: sync confidence of picture against dub track, at whatever offset it is greatest;
    sync_offset: that offset in the output, in frames of 1/25 s; outside_psnr_db: RGB, over the sampled
    frames, outside the changed box of each; identity_cosine: face embedding before against after; identity: the
    one after; flicker: what changes from frame to frame in the face, over the input's (tasks/flicker.py); seam: change
    across the edge of the pasted face, over the input's (tasks/seam.py). Of a long video three pieces of eight seconds
    are looked at, of flicker and seam the worst counts.
    """

    sync_before: float | None = None
    sync_after: float | None = None
    outside_psnr_db: float | None = None
    identity_cosine: float | None = None
    identity: NDArray[np.float32] | None = None
    flicker: float | None = None
    seam: float | None = None
    sync_offset: int | None = None


@dataclass(frozen=True)
class _Piece:
    """Frames `first` … `last - 1` of a segment, which lies within."""

    segment: Segment
    first: int
    last: int

    @property
    def span(self) -> tuple[float, float]:
        """Seconds, the end exclusive."""
        pts, offset = self.segment.track.pts, self.segment.track.first
        return float(pts[self.first - offset]), float(pts[self.last - 1 - offset]) + 1e-3


@dataclass
class _Seen:
    """What a piece shows, before and after."""

    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    times: NDArray[np.float64]
    known: list[tuple[NDArray[np.float32], NDArray[np.float32]]]
    edges: list[tuple[float, float]]


def measure_render(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    boxes: NDArray[np.int32],
    segments: Sequence[Segment],
    voice: VoiceTrack | Sequence[VoiceTrack],
    experts: Experts,
    render: Render | None = None,
    alignment: str = STUDIO,
    smooth_s: float = 0.06,
) -> Measured:
    """Compare input and output as decoded.

    Args:
        boxes: int [frames,4], the changed box of each frame, zeros where nothing changed.
        voice: the dub track; several, where faces have their own (`Segment.voice` counts them).
        render, alignment, smooth_s: how faces were pasted: the edge of what was pasted follows from them.
    """
    voices = [voice] if isinstance(voice, VoiceTrack) else list(voice)
    paster = Paster(crops.CROP_SIZE, alignment, render or Render())
    syncs: list[tuple[SyncResult | None, SyncResult | None, int]] = []
    flickers, seams, known = [], [], []
    for piece in _pieces(segments):
        matrices = track_matrices(alignment, crops.CROP_SIZE, piece.segment.track, smooth_s)
        seen = _look(source, out, piece, experts, paster, matrices)
        heard = voices[min(piece.segment.voice, len(voices) - 1)]
        before, after = (measured_lips(shown, seen.times, heard, experts) for shown in (seen.before, seen.after))
        syncs.append((before, after, len(seen.times)))
        flickers.append(flicker_ratio(seen.before, seen.after))
        seams.append(seam_ratio(seen.edges))
        known += seen.known
    cosine, identity = _identity(known)
    return Measured(
        sync_before=_weighted([(before.confidence, count) for before, _, count in syncs if before is not None]),
        sync_after=_weighted([(after.confidence, count) for _, after, count in syncs if after is not None]),
        sync_offset=_surest([after for _, after, _ in syncs if after is not None]),
        outside_psnr_db=outside_psnr(source, out, boxes),
        identity_cosine=cosine,
        identity=identity,
        flicker=max((one for one in flickers if one is not None), default=None),
        seam=max((one for one in seams if one is not None), default=None),
    )


def _pieces(segments: Sequence[Segment]) -> list[_Piece]:
    """Up to three stretches of at most eight seconds, evenly over all that was rendered; short ones if no others."""
    found: list[_Piece] = []
    for segment in segments:
        offset, first = segment.track.first, segment.first
        pts = segment.track.pts[first - offset : segment.last - offset]
        while len(pts):
            count = int(np.searchsorted(pts, pts[0] + _SYNC_S))
            found.append(_Piece(segment, first, first + count))
            first, pts = first + count, pts[count:]
    longest = max((piece.span[1] - piece.span[0] for piece in found), default=0.0)
    lasting = [piece for piece in found if piece.span[1] - piece.span[0] >= min(_SHORTEST_S, longest)]
    lasting.sort(key=lambda piece: piece.span)
    if len(lasting) <= _PIECES:
        return lasting
    return [lasting[round(k * (len(lasting) - 1) / (_PIECES - 1))] for k in range(_PIECES)]


def _weighted(values: list[tuple[float, int]]) -> float | None:
    """The mean of (value, weight); None of nothing."""
    if not values:
        return None
    return float(np.average([value for value, _ in values], weights=[weight for _, weight in values]))


def _surest(found: list[SyncResult]) -> int | None:
    """The offset of the piece whose sync is told most surely."""
    return max(found, key=lambda one: one.confidence).offset_frames if found else None


def _identity(
    known: list[tuple[NDArray[np.float32], NDArray[np.float32]]],
) -> tuple[float | None, NDArray[np.float32] | None]:
    """Mean cosine of embeddings before and after, and the mean of those after."""
    if not known:
        return None, None
    cosine = float(np.mean([one @ other for one, other in known]))
    mean = np.mean([other for _, other in known], axis=0)
    return cosine, np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), dtype=np.float32)


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


def _look(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    piece: _Piece,
    experts: Experts,
    paster: Paster,
    matrices: NDArray[np.float64],
) -> _Seen:
    """Aligned crops before and after, their times, embeddings of some frames, and change across the edge in some.

    Args:
        matrices: [T,2,3] of the piece's track, to the crops that were pasted.
    """
    track = piece.segment.track
    before, after, times, known, edges = [], [], [], [], []
    count = piece.last - piece.first
    pairs = zip(media.iter_frames(source, *piece.span), media.iter_frames(out, *piece.span), strict=False)
    for (index, pts_s, a), (_, _, b) in pairs:
        at, place = index - track.first, index - piece.first
        if not 0 <= place < count or a.shape != b.shape:
            continue
        before.append(crops.warp(a, track.matrices[at]))
        after.append(crops.warp(b, track.matrices[at]))
        times.append(pts_s)
        if place % max(1, count // _EMBEDDED) == 0:
            one, other = experts.faces.embed(a, track.kps[at]), experts.faces.embed(b, track.kps[at])
            if one is not None and other is not None:
                known.append((one, other))
        if place % max(1, count // _SEAMS) == 0 and piece.segment.strength[index - piece.segment.first] > 0.5:
            edges.append(_edge(a, b, matrices[at], paster.share(matrices[at], track.outline[at])))
    empty = np.zeros((0, crops.CROP_SIZE, crops.CROP_SIZE, 3), dtype=np.uint8)
    return _Seen(
        np.stack(before) if before else empty, np.stack(after) if after else empty,
        np.array(times, dtype=np.float64), known, edges,
    )  # fmt: skip


def _edge(
    before: NDArray[np.uint8], after: NDArray[np.uint8], matrix: NDArray[np.float64], share: NDArray[np.float32]
) -> tuple[float, float]:
    """`seam_energies` of two frames uint8 [H,W,3] along the edge of a share [S,S] pasted by `matrix`."""
    box = crops.crop_box(matrix, share.shape[0], before.shape[1], before.shape[0])
    x0, y0, x1, y1 = box
    if x1 - x0 < 3 or y1 - y0 < 3:
        return 0.0, 0.0
    there = crops.unwarp(share, matrix, box, border="zero")
    return seam_energies(before[y0:y1, x0:x1], after[y0:y1, x0:x1], there)


def measured_lips(
    pictures: NDArray[np.uint8], times: NDArray[np.float64], voice: VoiceTrack, experts: Experts
) -> SyncResult | None:
    """Sync of aligned crops uint8 [T,128,128,3] at times [T] with the dub track; None without an expert, without
    speech, or with too few frames."""
    if experts.sync is None or len(times) < WINDOW // 2:
        return None
    start_s = float(times[0]) - _MARGIN_S
    sound = voice.sound(start_s, float(times[-1]) + _MARGIN_S)
    try:
        return measure_lips(pictures, times, sound, experts.sync, audio_start_s=start_s)
    except ValueError:
        return None  # too short, or the track is silent here
