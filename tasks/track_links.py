"""Which boxes are of one face: from one frame to the next, and from one track to another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tasks.tracks import Track

_RETURN = 0.8  # distance in face sizes within which a face that was gone comes back


def box_iou(a: NDArray, b: NDArray) -> float:
    """Overlap 0..1 of two boxes [4] over what both cover."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))


def name_persons(tracks: Sequence[Track], max_away_s: float) -> None:
    """A track that begins where another of its shot ended a moment ago is the same person, back in view.

    `tracks` are in order of their first frames.
    """
    ended: list[Track] = []
    for track in tracks:
        track.person = track.number
        near = []
        for old in ended:
            away_s = float(track.pts[0] - old.pts[-1])
            if old.shot == track.shot and 0 < away_s <= max_away_s:
                apart = _apart(old.bbox[-1], track.bbox[0])
                near += [(apart, old)] if apart < _RETURN else []
        if near:
            back = min(near, key=lambda pair: pair[0])[1]
            track.person = back.person
            ended.remove(back)
        ended = [old for old in ended if old.shot == track.shot]
        ended.append(track)


def _apart(a: NDArray, b: NDArray) -> float:
    """Distance of two boxes [4] in sizes of the larger one, and how unlike in size they are."""
    sizes = [float(box[3] - box[1]) for box in (a, b)]
    middles = [(box[:2] + box[2:]) / 2 for box in (a, b)]
    return float(np.linalg.norm(middles[0] - middles[1])) / max(sizes) + abs(float(np.log(sizes[0] / sizes[1])))
