"""Who speaks in the original, and when: every face's lips against the film's own sound.

The same evidence, judged in the same way, as where footage is prepared for training (`tasks.steps`), but of whole
tracks: lips are looked at in pieces of a few seconds, of which numbers remain, so that memory holds no more than a
piece of each face in view.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from models.sync import FPS, SyncExpert
from models.syncnet import SyncNet
from storage import media
from tasks import crops
from tasks.lip_sync import Lips, SyncFound, evidence_at, find_sync, reach_s, see_lips, with_shared
from tasks.speaking import Span, Watched, inside, who_is_speaking
from tasks.tracks import Track
from tasks.voice import read_padded
from tasks.voices import speech_spans

_PIECE_S, _MARGIN_S = 6.0, 0.36
"""Length of a piece, and how far its windows reach into its neighbours: half a window, else its ends would be weak."""
_BLOCK_S = 60.0
"""Length that is judged at once; a longer shot is judged in several parts."""
_ENOUGH_S = 4.0
"""Seconds of speech from which on it is believed that nobody in view speaks, where no mouth moves much."""
_LIVELY = 1.5  # grey levels from frame to frame at 25 fps, of a mouth that may be speaking
_KNOWN_S, _KNOWN_SHARE, _PLENTY_S = 0.5, 0.15, 2.0
"""What somebody must be found to say, or the expert is taken to be blind to such faces: this much, and this share of
the speech in which a mouth moves, or plenty."""


@dataclass(frozen=True)
class Original:
    """What was found. speech: stretches (start, end) in seconds, on the clock of the pictures, of anybody's speech.

    speaking: track number → bool [T], in which of its frames this face speaks. told: whether lips and sound were enough
    to tell; else the rest says nothing.
    """

    speech: tuple[Span, ...]
    speaking: dict[int, NDArray[np.bool_]]
    told: bool


@dataclass(eq=False)
class _Piece:
    """Frames `first` … `last - 1` of a track, of which `inner` (a slice of the track) counts."""

    track: Track
    first: int
    last: int
    inner: slice


def who_spoke(
    path: str | os.PathLike[str],
    tracks: Sequence[Track],
    expert: SyncExpert | SyncNet,
    max_offset: int = 15,
    alive: Callable[[], object] = bool,
) -> Original:
    """One more pass over the pictures with faces and the sound.

    Args:
        path: a film with sound.
        max_offset: greatest offset of its sound that is looked for, frames of 1/25 s; it is taken into account.
        alive: called from time to time.

    Raises:
        InputFailed: the file cannot be read any more.
    """
    spans = speech_spans(path)
    pieces = sorted(_pieces(tracks, spans, max_offset), key=lambda piece: piece.track.first + piece.first)
    found: list[tuple[_Piece, Lips, SyncFound]] = []
    reach = reach_s(expert, max_offset)
    for piece, pictures in _cut(path, pieces):
        alive()
        pts = piece.track.pts[piece.first : piece.last]
        lips = see_lips(pictures, pts, expert)
        start_s = float(pts[0]) - reach
        sound = read_padded(path, start_s, float(pts[-1]) + 1 / FPS + reach)
        measured = find_sync(lips, pts, sound, start_s, expert, max_offset)
        # Only distances are asked for from here on, and half precision tells them well enough.
        measured = replace(measured, table=measured.table.astype(np.float16), evidence=np.zeros(0, np.float32))
        found.append((piece, replace(lips, embeddings=torch.zeros(len(lips), 0)), measured))
    offsets = with_shared([measured for _, _, measured in found]) if found else []
    evidence = {track.number: np.zeros(len(track), np.float32) for track in tracks}
    sure: set[int] = set()
    for (piece, lips, measured), offset in zip(found, offsets, strict=True):
        evidence[piece.track.number][piece.inner] = evidence_at(measured, lips, piece.track.pts[piece.inner], offset)
        if measured.sure:
            sure.add(piece.track.number)
    common = float(np.median(offsets)) / FPS if offsets else 0.0
    speech = tuple((start - common, end - common) for start, end in spans)
    speaking = _judge(tracks, evidence, sure, speech)
    return Original(speech, speaking, _told(tracks, speaking, speech))


def _told(tracks: Sequence[Track], speaking: Mapping[int, NDArray[np.bool_]], speech: Sequence[Span]) -> bool:
    """Whether it may be believed: somebody in view was found to speak, or there is much speech and no mouth moves."""
    said = lively = 0.0
    for track in tracks:
        step = float(np.median(np.diff(track.pts))) if len(track) > 1 else 1 / FPS
        heard = inside(speech, track.pts)
        said += float(speaking[track.number].sum()) * step
        if heard.any() and float(track.motion[heard].mean()) / max(FPS * step, 1e-3) >= _LIVELY:
            lively += float(heard.sum()) * step
    if said >= min(_PLENTY_S, max(_KNOWN_S, _KNOWN_SHARE * lively)):
        return True
    return lively == 0.0 and sum(end - start for start, end in speech) >= _ENOUGH_S


def _pieces(tracks: Sequence[Track], spans: Sequence[Span], max_offset: int) -> Iterator[_Piece]:
    """Equal parts of each track, without those in which nothing is said."""
    late = max_offset / FPS
    for track in tracks:
        length = float(track.pts[-1] - track.pts[0])
        edges = np.linspace(track.pts[0], track.pts[-1], max(1, int(np.ceil(length / _PIECE_S))) + 1)
        places = [*np.searchsorted(track.pts, edges[:-1] - 1e-09).tolist(), len(track)]
        for begin, end in itertools.pairwise(places):
            if end <= begin:
                continue
            first_s, last_s = float(track.pts[begin]), float(track.pts[end - 1])
            if not any(a < last_s + late and b > first_s - late for a, b in spans):
                continue
            first = int(np.searchsorted(track.pts, first_s - _MARGIN_S))
            last = int(np.searchsorted(track.pts, last_s + _MARGIN_S, side="right"))
            yield _Piece(track, first, last, slice(begin, end))


def _cut(path: str | os.PathLike[str], pieces: Sequence[_Piece]) -> Iterator[tuple[_Piece, NDArray[np.uint8]]]:
    """(piece, aligned crops uint8 [T,128,128,3]) of pieces in order of their starts, as they are over."""
    if not pieces:
        return
    coming = list(reversed(pieces))
    running: list[tuple[_Piece, list[NDArray[np.uint8]]]] = []
    start_s = min(float(piece.track.pts[piece.first]) for piece in pieces)
    for index, _, frame in media.iter_frames(path, start_s=start_s):
        while coming and coming[-1].track.first + coming[-1].first <= index:
            running.append((coming.pop(), []))
        for piece, kept in running:
            kept.append(crops.warp(frame, piece.track.matrices[index - piece.track.first], crops.CROP_SIZE))
        over = [index + 1 >= piece.track.first + piece.last for piece, _ in running]
        yield from ((piece, np.stack(kept)) for (piece, kept), done in zip(running, over, strict=True) if done)
        running = [entry for entry, done in zip(running, over, strict=True) if not done]
        if not coming and not running:
            return


def _judge(
    tracks: Sequence[Track], evidence: Mapping[int, NDArray[np.float32]], sure: set[int], speech: Sequence[Span]
) -> dict[int, NDArray[np.bool_]]:
    """Track number → bool [T]; faces of a shot are judged together."""
    speaking = {track.number: np.zeros(len(track), dtype=bool) for track in tracks}
    for shot in sorted({track.shot for track in tracks}):
        here = [track for track in tracks if track.shot == shot]
        start_s, end_s = min(float(t.pts[0]) for t in here), max(float(t.pts[-1]) for t in here) + 1e-6
        for block in _blocks(start_s, end_s):
            parts = []
            for track in here:
                first, last = np.searchsorted(track.pts, block).tolist()
                if last > first:
                    parts.append((track, slice(first, last)))
            within = [(a, b) for a, b in speech if a < block[1] and b > block[0]]
            faces = [
                Watched(t.pts[part], evidence[t.number][part], t.motion[part], t.number in sure) for t, part in parts
            ]
            for (track, part), said in zip(parts, who_is_speaking(faces, within), strict=True):
                speaking[track.number][part] = said
    return speaking


def _blocks(start_s: float, end_s: float) -> list[NDArray[np.float64]]:
    """(start, end) of the equal parts in which a shot is judged."""
    edges = np.linspace(start_s, end_s, max(1, int(np.ceil((end_s - start_s) / _BLOCK_S))) + 1)
    return [edges[at : at + 2] for at in range(len(edges) - 1)]
