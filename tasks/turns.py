"""Turns: who of those in view speaks when in the dub, by who spoke in the original and where the dub has its pauses.

A translation is shorter or longer than what it translates, so turns are not cut where the original's ended: each change
of speaker is put into a pause of the dub near it, and the time from the end of one's turn belongs to the next.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from tasks.original_speech import Original
from tasks.speakers import Active, Turn, turn_masks
from tasks.speaking import GRID_S, Span, inside
from tasks.tracks import Track

UNSEEN, SILENT = -1, -2
"""Owners of a moment beside track numbers: somebody speaks who is not in view, nobody speaks."""

_SHORTEST_S = 0.5
"""Speech of which nobody in view is thought the speaker for less than this belongs to its neighbours."""
_BREATH_S = 0.3
"""Lips move this much before and after their sound."""
_BRIDGE_S = 1.2
"""In pauses shorter than this a face stays animated, its lips at rest; in longer ones it is its own again."""
_LONGEST_PAUSE_S, _AWAY_COST = 0.8, 0.7
"""What a pause is worth, up to a length, against what each second costs that a change is moved."""
_REACH_S = 1.5
"""How far a change of speaker is moved to find a pause of the dub."""
_NO_PAUSE_COST = 0.5
_APART_S = 0.12  # between two changes
_AT_CUT_S = 0.3  # a face that appears or goes this near a change of speaker is the change
_NEAR_S = 0.4
"""How far from a label's turns in the dub the original may have spoken: a dub is not exactly as long."""
_LEAST_S, _LEAST_SHARE = 0.3, 0.25
"""What a face must have said in a label's turns to be its speaker's: seconds, and the share of what is heard."""
_LIVELIER = 1.25
"""How much more than otherwise its mouth must move there, where lips against sound are not asked."""


def speakers_of_dub(
    tracks: Sequence[Track], original: Original, dub: Sequence[Span] | None, pauses: Sequence[Span], end_s: float
) -> Active:
    """In which frames each face is dubbed: where it speaks in the dub, or where it spoke and has to be silent now.

    Args:
        dub: stretches of speech of the dub's track in seconds; None: not known, then turns are the original's.
        pauses: those in which a change of speaker may be (`voices.pauses`).
        end_s: where the pictures end.
    """
    owners = owners_of(tracks, original, end_s)
    if dub is not None:
        owners = moved_to_pauses(owners, pauses, tracks)
    owners = _filled(owners)
    active: Active = {}
    for track in tracks:
        at = np.clip((track.pts / GRID_S).astype(int), 0, len(owners) - 1)
        own = owners[at] == track.number
        active[track.number] = own if dub is None else own & needed(track, original, dub)
    return active


def owners_of(tracks: Sequence[Track], original: Original, end_s: float) -> NDArray[np.int64]:
    """Who speaks in the original every `GRID_S` seconds: a track's number, UNSEEN or SILENT; int64 [N]."""
    times = (np.arange(max(1, int(np.ceil(end_s / GRID_S)))) + 0.5) * GRID_S
    owners = np.where(inside(original.speech, times), UNSEEN, SILENT).astype(np.int64)
    for track in tracks:
        said = original.speaking[track.number]
        nearest = np.clip(np.searchsorted(track.pts, times, side="right") - 1, 0, len(track) - 1)
        here = (times >= track.pts[0]) & (times < track.pts[-1] + GRID_S)
        owners[here & said[nearest]] = track.number
    for first, last, owner in runs_of(owners):
        if owner == UNSEEN and (last - first) * GRID_S < _SHORTEST_S:
            owners[first:last] = SILENT
    return owners


def moved_to_pauses(owners: NDArray[np.int64], pauses: Sequence[Span], tracks: Sequence[Track]) -> NDArray[np.int64]:
    """The same with every change of speaker in one of the dub's pauses, where one is near, as all changes fit best.

    A face that comes into view or leaves it at a change keeps that time: who it is speaks on, unseen.
    """
    turns = _one_each([(first, last, owner) for first, last, owner in runs_of(owners) if owner != SILENT])
    if len(turns) < 2:
        return owners
    shown = {track.number: (float(track.pts[0]), float(track.pts[-1])) for track in tracks}
    options = []
    for (_, end, before), (start, _, after) in itertools.pairwise(turns):
        border = (end * GRID_S, start * GRID_S)
        seen = [shown[before][1] + GRID_S] if before in shown else []
        seen += [shown[after][0]] if after in shown else []
        cuts = [time_s for time_s in seen if border[0] - _AT_CUT_S <= time_s <= border[1] + _AT_CUT_S]
        options.append([(cuts[-1], 0.0)] if cuts else _options(border, pauses))
    moved = np.full_like(owners, SILENT)
    edges = [0, *(min(len(owners), round(change / GRID_S)) for change in _best_changes(options)), len(owners)]
    for (_, _, owner), (first, last) in zip(turns, itertools.pairwise(edges), strict=True):
        moved[first:last] = owner
    return moved


def needed(track: Track, original: Original, dub: Sequence[Span]) -> NDArray[np.bool_]:
    """Bool [T]: frames of a track in or near which the dub speaks or its own lips did, with short pauses between.

    Args:
        dub: stretches (start, end) in seconds in which this face may have to speak.
    """
    pts = track.pts
    said = original.speaking[track.number]
    step = float(np.median(np.diff(pts))) if len(pts) > 1 else GRID_S
    spans = [(start, end) for start, end in dub if end > pts[0] - _BREATH_S and start < pts[-1] + _BREATH_S]
    spans += [(float(pts[first]), float(pts[last - 1]) + step) for first, last, flag in runs_of(said) if flag]
    joined: list[Span] = []
    for start, end in sorted((start - _BREATH_S, end + _BREATH_S) for start, end in spans):
        if joined and start - joined[-1][1] < _BRIDGE_S:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    if joined and joined[0][0] - pts[0] < _BRIDGE_S / 2:
        joined[0] = (float(pts[0]), joined[0][1])
    if joined and pts[-1] - joined[-1][1] < _BRIDGE_S / 2:
        joined[-1] = (joined[-1][0], float(pts[-1]) + step)
    return inside(joined, pts)


@dataclass(frozen=True)
class Bound:
    """Which faces each label's turns are spoken by: label → tracks; labels without a face are not in view."""

    faces: Mapping[str, Sequence[Track]]


def bind_labels(people: Sequence[Sequence[Track]], turns: Sequence[Turn], original: Original | None) -> Bound:
    """Each label's face: the one that speaks in the original (or, where that is not known, whose mouth moves) most in
    the label's turns, one label to a person. A label in whose turns nobody in view does has no face.
    """
    labels = list(dict.fromkeys(turn.label for turn in turns))
    known = original if original is not None and original.told else None
    near = _NEAR_S if known is not None else 0.0
    evidence = np.full((len(labels), len(people)), -np.inf)
    for row, label in enumerate(labels):
        spans = [(turn.start_s - near, turn.end_s + near) for turn in turns if turn.label == label]
        for column, person in enumerate(people):
            within = [inside(spans, track.pts) for track in person]
            evidence[row, column] = _moved(person, within) if known is None else _said(person, within, known)
    bound: dict[str, list[Track]] = {}
    for row, column in zip(*linear_sum_assignment(-np.where(np.isfinite(evidence), evidence, -1e9)), strict=True):
        if np.isfinite(evidence[row, column]):
            bound[labels[row]] = list(people[column])
    return Bound(bound)


def speakers_by_labels(
    tracks: Sequence[Track], turns: Sequence[Turn], bound: Bound, original: Original | None
) -> Active:
    """In which frames each face is dubbed, by the turns of its label; between turns the nearest one in time counts."""
    active = {track.number: np.zeros(len(track), dtype=bool) for track in tracks}
    for label, faces in bound.faces.items():
        own = [(turn.start_s, turn.end_s) for turn in turns if turn.label == label]
        for track in faces:
            mask = turn_masks(turns, track.pts)[label]
            if original is not None and original.told:
                mask = mask & needed(track, original, own)
            active[track.number] |= mask
    return active


def speakers_by_voices(
    tracks: Sequence[Track],
    voices: Sequence[Sequence[Span]],
    people: Sequence[Sequence[Track]],
    original: Original | None,
    bound: Bound | None = None,
) -> tuple[Active, dict[int, int]]:
    """The same where each face has a track of its own: the frames, and track number → which voice it speaks.

    Args:
        voices: stretches of speech of each track of sound.
        bound: labels "0", "1", … of the voices, where it is known whose they are; None: worked out.
    """
    turns = [Turn(start, end, str(number)) for number, spans in enumerate(voices) for start, end in spans]
    bound = bound or bind_labels(people, turns, original)
    active = {track.number: np.zeros(len(track), dtype=bool) for track in tracks}
    spoken: dict[int, int] = {}
    for number, spans in enumerate(voices):
        others = [span for other, foreign in enumerate(voices) if other != number for span in foreign]
        for track in bound.faces.get(str(number), ()):
            known = original if original is not None and original.told else None
            said = known if known is not None else Original((), {track.number: np.zeros(len(track), bool)}, False)
            # While another speaks, this one's lips have to be still only where they were not.
            must = said.speaking[track.number] | inside(spans, track.pts)
            active[track.number] = needed(track, said, spans) & (must | ~inside(others, track.pts))
            spoken[track.number] = number
    return active, spoken


def runs_of(values: NDArray[np.generic]) -> list[tuple[int, int, int]]:
    """(first, last exclusive, value) of the runs of equal integers or flags [N]."""
    if not len(values):
        return []
    edges = [0, *(np.flatnonzero(np.diff(values.astype(np.int64))) + 1).tolist(), len(values)]
    return [(a, b, int(values[a])) for a, b in itertools.pairwise(edges)]


def _one_each(turns: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Turns that follow each other by the same one are one."""
    joined: list[tuple[int, int, int]] = []
    for first, last, owner in turns:
        if joined and joined[-1][2] == owner:
            joined[-1] = (joined[-1][0], last, owner)
        else:
            joined.append((first, last, owner))
    return joined


def _filled(owners: NDArray[np.int64]) -> NDArray[np.int64]:
    """Silence belongs to who speaks next, and after the last turn to who spoke last."""
    filled = owners.copy()
    found = runs_of(owners)
    for at, (first, last, owner) in enumerate(found):
        if owner == SILENT and len(found) > 1:
            filled[first:last] = found[at + 1][2] if at + 1 < len(found) else found[at - 1][2]
    return filled


def _best_changes(options: Sequence[Sequence[tuple[float, float]]]) -> list[float]:
    """When each change of speaker happens in the dub, in seconds, rising; of the (time, cost) that each may have."""
    total = [cost for _, cost in options[0]]
    came: list[list[int]] = []
    for before, here in itertools.pairwise(options):
        best, origin = [], []
        for time_s, cost in here:
            # A change that would come before the one before it costs as much as no order at all.
            costs = [t + (0.0 if time_s - b >= _APART_S else 10.0) for t, (b, _) in zip(total, before, strict=True)]
            origin.append(int(np.argmin(costs)))
            best.append(min(costs) + cost)
        total = best
        came.append(origin)
    chosen = [int(np.argmin(total))]
    for origin in reversed(came):
        chosen.append(origin[chosen[-1]])
    changes = [option[at][0] for option, at in zip(options, reversed(chosen), strict=True)]
    return np.maximum.accumulate(changes).tolist()


def _options(border: Span, pauses: Sequence[Span]) -> list[tuple[float, float]]:
    """(time, cost) of the pauses near a border, and of the border itself: just after the one before has ended."""
    middle = 0.5 * (border[0] + border[1])
    found = [(middle, _NO_PAUSE_COST)]
    for start, end in pauses:
        away = max(0.0, border[0] - end, start - border[1])
        if away > _REACH_S:
            continue
        time_s = start + min(_BREATH_S, 0.5 * (end - start))
        if start < border[0] - _LONGEST_PAUSE_S:  # a long pause that began long ago: the one before is silent by now
            time_s = min(max(time_s, border[0] - _LONGEST_PAUSE_S), end)
        worth = min(end - start, _LONGEST_PAUSE_S) / _LONGEST_PAUSE_S
        found.append((time_s, _AWAY_COST * away + 0.3 * (1 - worth)))
    return found


def _said(person: Sequence[Track], within: Sequence[NDArray[np.bool_]], original: Original) -> float:
    """Seconds that a person says in the original within a label's turns; -inf where it is not theirs."""
    said = heard = 0.0
    for track, turn in zip(person, within, strict=True):
        step = float(np.median(np.diff(track.pts))) if len(track) > 1 else GRID_S
        said += float((original.speaking[track.number] & turn).sum()) * step
        heard += float((inside(original.speech, track.pts) & turn).sum()) * step
    return said if said >= _LEAST_S and said >= _LEAST_SHARE * heard else -np.inf


def _moved(person: Sequence[Track], within: Sequence[NDArray[np.bool_]]) -> float:
    """How much more a person's mouth moves within a label's turns than otherwise; -inf where it does not."""
    motion, turn = np.concatenate([track.motion for track in person]), np.concatenate(within)
    if not turn.any():
        return -np.inf
    moves = float(motion[turn].mean())
    quiet = float(motion[~turn].mean()) if not turn.all() else 0.0
    return (moves - quiet) * float(turn.sum()) ** 0.5 if moves >= _LIVELIER * quiet else -np.inf
