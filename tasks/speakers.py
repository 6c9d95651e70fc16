"""Turns as users write them, faces by person, and who speaks where nothing but moving mouths can tell.

That is the face whose mouth moves most while the original track sounds. Decisions are made over about a second and
changing one's mind has a price, so a chewing listener does not steal a sentence.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from storage.errors import InputFailed
from storage.texts import read_text
from tasks.tracks import Track

Active = dict[int, NDArray[np.bool_]]
"""Track number → bool [T], True in the frames in which this face is dubbed."""

MOST_BYTES = 4 << 20
"""Of an RTTM file: a turn takes 60, so this is a turn a second for 18 hours."""
_SMOOTH_S = 0.5
_FITS, _FIT_UNIT = 0.2, 0.1  # evidence from which on lips fit the sound (tasks.speaking), and what an e-fold is
_SWITCH_COST = 6.0  # in units of the mean score difference: about a quarter of a second of clear evidence


@dataclass(frozen=True)
class Turn:
    """Somebody speaks from `start_s` to `end_s`."""

    start_s: float
    end_s: float
    label: str


def read_rttm(path: str | os.PathLike[str]) -> list[Turn]:
    """SPEAKER lines of an RTTM file (NIST): `SPEAKER file channel start duration <NA> <NA> label …`, by start.

    Raises:
        InputFailed: the file is missing, or a line cannot be read; the error names the line.
    """
    try:
        lines = read_text(path, MOST_BYTES).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputFailed(os.fspath(path), f"cannot be read: {error}", "give an RTTM file", stage="speakers") from error
    turns = []
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        try:
            start_s, length_s, label = float(fields[3]), float(fields[4]), fields[7]
            if not (math.isfinite(start_s + length_s) and length_s >= 0):
                raise ValueError("no time")
        except (IndexError, ValueError) as error:
            raise InputFailed(
                os.fspath(path), f"line {number} is not RTTM: {line[:60]!r}",
                "write `SPEAKER file 1 start duration <NA> <NA> label`", stage="speakers",
            ) from error  # fmt: skip
        turns.append(Turn(start_s, start_s + length_s, label))
    return sorted(turns, key=lambda turn: turn.start_s)


def loudness(power: NDArray[np.float64], hop_s: float, pts: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much the sound is speech-loud at each time: 0 (30 dB or more below its loud parts) … 1. float64 [N].

    Args:
        power: mean square of the sound in steps of `hop_s`, from the timeline's zero.
    """
    if len(power) == 0:
        return np.zeros(len(pts))
    level = 10 * np.log10(gaussian_filter1d(power, 3) + 1e-9)
    loud = float(np.percentile(level, 95))
    if loud < -60:
        return np.zeros(len(pts))
    share = np.clip((level - loud + 30) / 25, 0, 1)
    return np.asarray(share[np.clip((pts / hop_s).astype(int), 0, len(power) - 1)])


def who_speaks(
    tracks: Sequence[Track],
    loud: NDArray[np.float64] | None,
    interval_s: float,
    min_motion: float = 0.0,
    evidence: Mapping[int, NDArray[np.floating]] | None = None,
) -> Active:
    """Without turns: in every frame the face in view that speaks, if one does.

    Listeners are told from speakers by comparison within the file: a face whose mouth moves less than `min_motion`
    times that of the liveliest one does not speak (an audience, the reverse shot of a dialogue).

    Args:
        loud: [N] of all frames of the file, from `loudness` of the original sound; None where it has none.
        interval_s: time between frames.
        evidence: track number → float [T], how well these lips fit the original sound (`SyncFound.evidence`): lips that
            fit count for more than lips that move. Of tracks that have none the movement alone counts.
    """
    fits = {number: _fit(values, interval_s) for number, values in (evidence or {}).items()}
    active = {track.number: np.zeros(len(track), dtype=bool) for track in tracks}
    lively = {track.number: _liveliness(track, loud, fits.get(track.number)) for track in tracks}
    least = min_motion * max(lively.values(), default=0.0)
    talking = [track for track in tracks if lively[track.number] >= least]
    for shot in sorted({track.shot for track in talking}):
        here = [track for track in talking if track.shot == shot]
        first, last = min(track.first for track in here), max(track.last for track in here)
        scores = np.full((last - first, len(here)), -np.inf)
        tallest = max(track.height for track in here)
        for column, track in enumerate(here):
            weight = 1.0 if loud is None else 0.1 + loud[track.first : track.last]
            motion = gaussian_filter1d(track.motion * weight, max(1.0, _SMOOTH_S / interval_s))
            motion = motion * fits.get(track.number, 1.0)
            # A small face is a blurred one; a listener behind the speaker should not win by grain.
            scores[track.first - first : track.last - first, column] = motion * (track.height / tallest) ** 0.5
        chosen = _steady_choice(scores, _SWITCH_COST)
        for column, track in enumerate(here):
            part = chosen[track.first - first : track.last - first]
            active[track.number] = part == column
    return active


def listeners(
    tracks: Sequence[Track], loud: NDArray[np.float64] | None, min_motion: float, said: Active | None = None
) -> set[int]:
    """Numbers of the tracks whose mouths move less than `min_motion` times that of the liveliest one.

    Args:
        loud: [N] of all frames of the file, as in `who_speaks`.
        said: where each is thought to speak: its mouth is asked about there alone, so that who says a word in an hour
            of listening is no listener then.
    """
    lively = {track.number: _liveliness(track, loud) for track in tracks}
    least = min_motion * max(lively.values(), default=0.0)
    if said is not None:
        asked = {track.number: track.motion[said[track.number]] for track in tracks}
        lively = {number: float(motion.mean()) if len(motion) else 0.0 for number, motion in asked.items()}
    return {number for number, motion in lively.items() if motion < least}


def _fit(evidence: NDArray[np.floating], interval_s: float) -> NDArray[np.float64]:
    """What lips that fit the sound count for [T]: about 1 at the bar, e² at most, e⁻² at least."""
    smooth = gaussian_filter1d(np.asarray(evidence, np.float64), max(1.0, _SMOOTH_S / 2 / interval_s))
    return np.exp(np.clip((smooth - _FITS) / _FIT_UNIT, -2, 2))


def _liveliness(track: Track, loud: NDArray[np.float64] | None, fit: NDArray[np.float64] | None = None) -> float:
    """Mean mouth motion while the original sounds, in grey levels; of a short track less, since it is less sure."""
    weight = np.ones(len(track)) if loud is None else 0.05 + loud[track.first : track.last]
    motion = track.motion if fit is None else track.motion * fit
    return float((motion * weight).sum() / weight.sum() * len(track) / (len(track) + 10))


def _steady_choice(scores: NDArray[np.float64], switch_cost: float) -> NDArray[np.int64]:
    """The column per row with the greatest sum, where each change costs (Viterbi); -inf marks "not in view".

    Scores [N,K] → int [N], -1 in rows where nobody is in view.
    """
    rows, columns = scores.shape
    seen = np.isfinite(scores)
    if columns == 1:
        return np.where(seen[:, 0], 0, -1)
    finite = np.where(seen, scores, 0.0)
    ranked = np.sort(finite, axis=1)
    price = switch_cost * max(float((ranked[:, -1] - ranked[:, -2]).mean()), 1e-6)
    total = np.zeros(columns)
    came_from = np.zeros((rows, columns), dtype=np.int64)
    for row in range(rows):
        best = int(total.argmax())
        stay = total >= total[best] - price
        came_from[row] = np.where(stay, np.arange(columns), best)
        hidden = -1e6 if seen[row].any() else 0.0
        total = np.where(stay, total, total[best] - price) + np.where(seen[row], finite[row], hidden)
        total -= total.max()
    chosen = np.empty(rows, dtype=np.int64)
    chosen[-1] = int(total.argmax())
    for row in range(rows - 1, 0, -1):
        chosen[row - 1] = came_from[row, chosen[row]]
    chosen[~seen[np.arange(rows), chosen]] = -1
    return chosen


def turn_masks(turns: Sequence[Turn], pts: NDArray[np.float64]) -> dict[str, NDArray[np.bool_]]:
    """Label → bool [T]: who speaks at each time [T]; where nobody does, the turn nearest in time counts."""
    said = {turn.label: np.zeros(len(pts), dtype=bool) for turn in turns}
    nobody = np.ones(len(pts), dtype=bool)
    nearest = np.full(len(pts), np.inf)
    owner = np.zeros(len(pts), dtype=np.int64)
    for turn in turns:
        first, last = np.searchsorted(pts, [turn.start_s, turn.end_s])
        said[turn.label][first:last] = True
        nobody[first:last] = False
    for number in _neighbours(turns, pts[nobody]):
        turn = turns[number]
        gap = np.maximum(turn.start_s - pts, pts - turn.end_s)
        closer = nobody & (gap < nearest)
        nearest[closer], owner[closer] = gap[closer], number
    for number in np.unique(owner[nobody]) if turns else ():
        said[turns[int(number)].label] |= nobody & (owner == number)
    return said


def _neighbours(turns: Sequence[Turn], silent: NDArray[np.float64]) -> list[int]:
    """Turns that can be the nearest to one of these times: those that end last before or begin first after it."""
    if not turns or not len(silent):
        return []
    by_end = np.argsort([turn.end_s for turn in turns])
    ends = np.array([turns[i].end_s for i in by_end])
    before = np.searchsorted(ends, silent, side="right") - 1
    after = np.searchsorted([turn.start_s for turn in turns], silent)
    found = {int(by_end[i]) for i in before if i >= 0} | {int(i) for i in after if i < len(turns)}
    return sorted(found)


def group_people(
    tracks: Sequence[Track], identities: dict[int, NDArray[np.float32] | None], same_person: float
) -> list[list[Track]]:
    """Tracks by person: greedy, by cosine to the group's mean, longest track first; without embeddings each its own."""
    groups: list[tuple[NDArray[np.float64] | None, list[Track]]] = []
    for track in sorted(tracks, key=lambda track: -len(track)):
        embedding = identities.get(track.number)
        best, cosine = None, same_person
        for position, (mean, members) in enumerate(groups):
            together = any(_overlap(track, other) for other in members)
            if embedding is None or mean is None or together:
                continue
            found = float(mean @ embedding) / max(float(np.linalg.norm(mean)), 1e-9)
            if found >= cosine:
                best, cosine = position, found
        if best is None:
            groups.append((None if embedding is None else embedding.astype(np.float64), [track]))
        else:
            mean, members = groups[best]
            members.append(track)
            groups[best] = (None if mean is None or embedding is None else mean + embedding, members)
    return [members for _, members in groups]


def _overlap(a: Track, b: Track) -> bool:
    """Two faces in one frame are two people."""
    return a.first < b.last and b.first < a.last
