"""How far one frame breaks with those before it: the evidence for cuts, and for jump cuts within one camera view.

A jump cut keeps the view and lets the speaker hop, often by less than a nod. What gives it away is not the amount of
change but that everything changes at once, in one frame, and far more than in the frames on both sides: a head needs
several frames to get under way and to stop. So the change of a frame is compared with its neighbours' own, place by
place. Pictures are compared after local normalisation (mean and deviation of their surroundings taken out, as in
Jarrett et al. 2009), which leaves a lamp that is switched on almost without trace.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Floats = NDArray[np.float32]

_LONG, _SHORT = 64, 36  # sides of the thumbnail of a frame, pixels
_CELL = 4  # side of the cells in which changes are averaged
_FACE = 48  # side of the square in which a face is compared
_UPPER = 7  # rows of cells of that square above the mouth, which moves by itself
_REACH = 0.65  # half its side, in face boxes
_SURROUNDINGS = 9  # side of the square that the local normalisation looks at
_NOISE = 6.0  # grey levels below which texture is taken for noise
_SCALE = 12.0  # puts normalised pictures back to about grey levels
_LEAST, _CELL_LEAST = 0.05, 0.25  # changes below these count as none
_FACE_WEIGHT = 0.5
_LIT = 5.5  # raw change over normalised change, above which it was the light
_ALIKE = 0.5  # correlation of normalised pictures of one camera view
_RETURN = 0.4  # share of a change that is left when what caused it has passed


@dataclass(frozen=True)
class Break:
    """Frame `frame` against the one before.

    jump: how far its change stands out from those of its neighbours, a sum of log ratios; about 0 where it does not.
    alike: correlation -1..1 of the two pictures' structure. lit: the light changed, not the picture. passing: what
    changed is gone again (or came) within moments: a flash, a hand.
    """

    frame: int
    jump: float
    alike: float
    lit: bool
    passing: bool

    @property
    def same_view(self) -> bool:
        """Is it the same camera view?"""
        return self.alike > _ALIKE


@dataclass
class _Frame:
    """What is remembered of a frame: its thumbnail and normalised thumbnail, and its change [cells] against before."""

    thumb: Floats
    normal: Floats
    cells: Floats | None
    face: Floats | None


class CutEvidence:
    """Measures breaks while frames pass by, a few frames behind.

    Args:
        window: frames on each side that a change is compared with.
        passing: frames after which something that passes through the picture is gone.
        behind: frames after which a break is told; at least both of these.
    """

    def __init__(self, window: int, passing: int, behind: int) -> None:
        self._window, self._passing = max(2, window), max(1, passing)
        self._behind = max(self._window, self._passing, behind)
        self._frames: deque[_Frame] = deque(maxlen=2 * self._behind + 2)
        self._seen = 0
        self._before: tuple[Grey, NDArray[np.float32] | None] | None = None

    def push(self, grey: Grey, box: NDArray | None) -> Break | None:
        """The next frame uint8 [H,W], small, with the box [4] of its largest face; the break that became certain."""
        height, width = grey.shape
        size = (_LONG, _SHORT) if width >= height else (_SHORT, _LONG)
        thumb = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
        normal, cells, face = _normalised(thumb), None, None
        if self._before is not None and self._before[0].shape == grey.shape:
            cells = _cells(np.abs(normal - self._frames[-1].normal))
            face = _face_change(self._before[0], grey, self._before[1])
        self._frames.append(_Frame(thumb, normal, cells, face))
        self._before = (grey, None if box is None else np.asarray(box, dtype=np.float32))
        self._seen += 1
        at = self._seen - 1 - self._behind
        return self._judge(at) if at > 0 else None

    def finish(self) -> list[Break]:
        """The last frames' breaks: their neighbours are those that there are."""
        first = max(1, self._seen - self._behind)
        return [found for at in range(first, self._seen) if (found := self._judge(at)) is not None]

    def _judge(self, at: int) -> Break | None:
        frames, here = self._frames, at - (self._seen - len(self._frames))
        now, before = frames[here], frames[here - 1]
        if now.cells is None:
            return None
        sides = [*range(here - self._window, here), *range(here + 1, here + 1 + self._window)]
        around = [frames[i] for i in sides if 0 <= i < len(frames) and frames[i].cells is not None]
        if len(around) < 2:
            return None
        others = np.stack([frame.cells for frame in around if frame.cells is not None])
        jump = _stands_out(now.cells, others) + _place_by_place(now.cells, others)
        faces = [frame.face for frame in around if frame.face is not None]
        if now.face is not None and faces:
            jump += _FACE_WEIGHT * _stands_out(now.face, np.stack(faces))
        change = float(now.cells.mean())
        raw = float(np.abs(now.thumb - before.thumb).mean())
        alike = _correlation(now.normal, before.normal)
        if min(float(now.thumb.std()), float(before.thumb.std())) < _NOISE:
            alike = min(alike, 0.0)  # black has no structure but that of what the encoder left
        lit = alike > _ALIKE and raw > _LIT * change
        return Break(at, jump, alike, lit, self._passes(here, change))

    def _passes(self, here: int, change: float) -> bool:
        """Does a frame soon after look like one shortly before?"""
        frames = list(self._frames)
        earlier = frames[max(0, here - self._passing) : here]
        later = frames[here : here + self._passing]
        after = np.stack([frame.normal for frame in later])
        least = min(
            float(np.abs(after - frame.normal).mean(axis=(1, 2))[int(i == len(earlier) - 1) :].min(initial=np.inf))
            for i, frame in enumerate(earlier)
        )
        return least < _RETURN * change


def _normalised(picture: Floats) -> Floats:
    """Mean and deviation of its surroundings taken out of every pixel, float32 [H,W]."""
    side = (_SURROUNDINGS, _SURROUNDINGS)
    mean = cv2.blur(picture, side)
    spread = np.sqrt(np.maximum(cv2.blur(picture * picture, side) - mean * mean, 0))
    return np.asarray((picture - mean) * (_SCALE / (spread + _NOISE)), dtype=np.float32)


def _cells(change: Floats) -> Floats:
    size = (change.shape[1] // _CELL, change.shape[0] // _CELL)
    return np.asarray(cv2.resize(change, size, interpolation=cv2.INTER_AREA), dtype=np.float32).ravel()


def _face_change(before: Grey, now: Grey, box: NDArray[np.float32] | None) -> Floats | None:
    """Change [cells] of the face's upper part, seen through one window in both frames."""
    if box is None or not np.isfinite(box).all():
        return None
    reach = _REACH * float(max(box[2] - box[0], box[3] - box[1]))
    if reach < 4:
        return None
    x, y = float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2
    fine = 2 if reach > _FACE else 1
    side, scale = _FACE * fine, _FACE * fine / 2 / reach
    matrix = np.array([[scale, 0, side / 2 - x * scale], [0, scale, side / 2 - y * scale]])
    seen = []
    for picture in (before, now):
        window = cv2.warpAffine(picture, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
        if fine > 1:
            window = cv2.resize(window, (_FACE, _FACE), interpolation=cv2.INTER_AREA)
        seen.append(_normalised(np.asarray(window, dtype=np.float32)))
    return _cells(np.abs(seen[1] - seen[0]))[: _UPPER * _FACE // _CELL]


def _stands_out(cells: Floats, others: Floats) -> float:
    """Log ratio of the mean change [C] to the greatest of the others' [N,C]."""
    most = float(others.mean(axis=1).max())
    return float(np.clip(np.log((cells.mean() + _LEAST) / (most + _LEAST)), -2, 3))


def _place_by_place(cells: Floats, others: Floats) -> float:
    """The same in each cell, averaged: a hand stands out in few of them, a jump in most."""
    ratio = np.log((cells + _CELL_LEAST) / (others.max(axis=0) + _CELL_LEAST))
    return float(np.clip(ratio, -1, 3).mean())


def _correlation(a: Floats, b: Floats) -> float:
    return float((a * b).sum() / np.sqrt(max(float((a * a).sum() * (b * b).sum()), 1e-6)))
