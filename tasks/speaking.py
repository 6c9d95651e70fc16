"""Which of the faces in view says what is heard, frame by frame; nobody, where an unseen person speaks.

Lips that fit the sound (`tasks.lip_sync`, evidence) decide, movement of the mouth helps, speech spans say when there is
anything to decide. Decisions are made over about half a second, and changing one's mind within a sentence has a price.

A sync expert can be blind to the faces of some footage: then no face has an offset that stands out, and a mouth that is
lively for seconds of speech is taken for the speaker's by its movement alone. A listener who chews all that time, alone
in view or among others who are silent too, is the price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

Floats = NDArray[np.floating]
Span = tuple[float, float]

GRID_S = 0.04
HIGHEST_BAR, LOWEST_BAR = 0.22, 0.12
"""Evidence from which on lips fit the sound, where the expert knows such faces well, and where it knows them less."""
_SMOOTH_S = 0.2
_UNIT = 0.08  # evidence that counts as one unit of score
_STILL, _MOTION_WEIGHT = 0.8, 0.4  # grey levels from frame to frame at 25 fps; units for each e-fold
_SWITCH, _SWITCH_IN_PAUSE = 5.0, 1.0  # units · frames
_PAUSE_S = 0.2
_ENOUGH_S = 4.0
_LIVELY = 1.5  # mean grey levels from frame to frame: twice what people who listen show, half of what speakers do


@dataclass(frozen=True)
class Watched:
    """One face over a stretch of time, with what was measured on each of its T frames.

    pts float64 [T] seconds; evidence float [T], of `SyncFound.evidence`, at the corrected offset (None: no expert);
    motion float [T] of the mouth, grey levels from frame to frame (`Track.motion`). sure: its offset stood out.
    """

    pts: NDArray[np.float64]
    evidence: Floats | None
    motion: Floats
    sure: bool = False


def who_is_speaking(faces: Sequence[Watched], speech: Sequence[Span]) -> list[NDArray[np.bool_]]:
    """Bool [T] for each face: in which of its frames it speaks; at most one face at a time.

    Args:
        faces: all that can be seen at the same time; times need not be the same.
        speech: stretches (start, end) in seconds, on the clock of the (corrected) pictures.
    """
    nobody = [np.zeros(len(face.pts), dtype=bool) for face in faces]
    filled = [face for face in faces if len(face.pts)]
    if not filled or not speech:
        return nobody
    first = min(float(face.pts[0]) for face in filled)
    count = round((max(float(face.pts[-1]) for face in filled) - first) / GRID_S) + 1
    times = first + np.arange(count) * GRID_S
    heard = inside(speech, times)
    fits = [_fit(face, times) for face in faces]
    bar = _bar([fit[heard & np.isfinite(fit)] for fit, face in zip(fits, faces, strict=True) if face.sure])
    blind = not any(face.sure for face in faces)
    scores = np.full((count, len(faces) + 1), -np.inf)
    scores[:, 0] = 0.0
    for column, (face, fit) in enumerate(zip(faces, fits, strict=True), 1):
        seen = np.isfinite(fit)
        motion = _motion(face, times[seen])
        moves = np.clip(np.log(np.maximum(motion, 1e-3) / _STILL), -1.5, 1.5)
        agreed = (fit[seen] - bar) / _UNIT
        if blind and heard[seen].sum() * GRID_S >= _ENOUGH_S and motion[heard[seen]].mean() >= _LIVELY:
            agreed = np.maximum(agreed, 0)
        scores[seen, column] = agreed + _MOTION_WEIGHT * moves
    at = np.flatnonzero(heard)
    chosen = np.zeros(count, np.int64)
    if len(at):
        gaps = np.diff(times[at], prepend=times[at[0]]) > _PAUSE_S
        chosen[at] = cheapest_path(scores[at], np.where(gaps, _SWITCH_IN_PAUSE, _SWITCH))
    speaking = []
    for column, face in enumerate(faces, 1):
        nearest = np.clip(np.rint((np.asarray(face.pts) - first) / GRID_S).astype(int), 0, count - 1)
        speaking.append((chosen[nearest] == column) & inside(speech, np.asarray(face.pts)))
    return speaking


def inside(spans: Sequence[Span], times: Floats) -> NDArray[np.bool_]:
    """Which of the times [N] lie within one of the spans (start, end), all in seconds."""
    within = np.zeros(len(times), dtype=bool)
    for start, end in spans:
        within |= (times >= start) & (times < end)
    return within


def _fit(face: Watched, times: Floats) -> NDArray[np.float64]:
    """Smoothed evidence [N] on the grid, NaN where the face is not in view; where there is no expert, at the bar."""
    found = np.full(len(times), np.nan)
    if not len(face.pts):
        return found
    half = 0.5 * (float(np.median(np.diff(face.pts))) if len(face.pts) > 1 else GRID_S) + GRID_S / 2
    seen = (times >= face.pts[0] - half) & (times <= face.pts[-1] + half)
    if face.evidence is None:
        found[seen] = HIGHEST_BAR
        return found
    found[seen] = gaussian_filter1d(
        np.interp(times[seen], face.pts, np.asarray(face.evidence, np.float64)), _SMOOTH_S / GRID_S, mode="nearest"
    )
    return found


def _bar(sure: Sequence[NDArray[np.float64]]) -> float:
    """Half of what the lips that are surely in sync reach in this footage: an expert knows some faces less well.

    A few seconds of a listener can agree with a sound by chance, so it takes more of them to lower the bar.
    """
    values = np.concatenate(sure) if len(sure) else np.zeros(0)
    if len(values) * GRID_S < _ENOUGH_S:
        return HIGHEST_BAR
    return float(np.clip(0.5 * np.percentile(values, 90), LOWEST_BAR, HIGHEST_BAR))


def _motion(face: Watched, times: Floats) -> NDArray[np.float64]:
    """Smoothed motion of the mouth [N] on the grid, in grey levels from frame to frame at 25 fps."""
    interval = float(np.median(np.diff(face.pts))) if len(face.pts) > 1 else GRID_S
    motion = np.interp(times, face.pts, np.asarray(face.motion, np.float64) * GRID_S / max(interval, 1e-3))
    return np.asarray(gaussian_filter1d(motion, _SMOOTH_S / GRID_S, mode="nearest"), np.float64)


def cheapest_path(scores: NDArray[np.float64], costs: NDArray[np.float64]) -> NDArray[np.int64]:
    """The column per row with the greatest sum, where a change into row n costs `costs[n]` (Viterbi).

    Scores [N,K], -inf for a face that is not in view; int [N].
    """
    rows, columns = scores.shape
    finite = np.where(np.isfinite(scores), scores, -1e6)
    came_from = np.zeros((rows, columns), np.int64)
    total = finite[0].copy()
    for row in range(1, rows):
        best = int(total.argmax())
        stay = total >= total[best] - costs[row]
        came_from[row] = np.where(stay, np.arange(columns), best)
        total = np.where(stay, total, total[best] - costs[row]) + finite[row]
    chosen = np.empty(rows, np.int64)
    chosen[-1] = int(total.argmax())
    for row in range(rows - 1, 0, -1):
        chosen[row - 1] = came_from[row, chosen[row]]
    return chosen
