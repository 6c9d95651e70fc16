"""Which frames of a person the model looks at while it repaints the same person: turned as the face is turned now.

Crops are aligned on eyes and nose, so a reference with the same head pose shows every freckle where it belongs; from
one frontal picture the model would have to guess the turned cheek.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SEPARATION = np.radians(4.0)
"""Poses nearer than this are the same for our purpose; radians."""


@dataclass(frozen=True, eq=False)
class References:
    """R pictures of one person.

    crops: uint8 [R,S,S,3], aligned. poses: float [R,3], yaw, pitch, roll in radians.
    """

    crops: NDArray[np.uint8]
    poses: NDArray[np.floating]

    def near(self, poses: NDArray[np.floating]) -> NDArray[np.uint8]:
        """The crop [S,S,3] whose pose is nearest to the middle of `poses` [F,3]. One for all: it must not flicker."""
        return self.crops[nearest(self.poses, np.median(poses, axis=0))]


def nearest(poses: NDArray[np.floating], pose: NDArray[np.floating]) -> int:
    """Index of the pose in [R,3] that is nearest to [3]."""
    return int(np.argmin(np.linalg.norm(np.asarray(poses) - pose, axis=-1)))


def spread(poses: NDArray[np.floating], usable: NDArray[np.bool_], first: int, count: int) -> list[int]:
    """`first` and up to `count` - 1 more indices of `usable` poses [T,3], each the farthest from those before it."""
    chosen = [first]
    distance = np.linalg.norm(poses - poses[first], axis=-1)
    while len(chosen) < count:
        at = int(np.argmax(np.where(usable, distance, -1.0)))
        if not usable[at] or distance[at] < SEPARATION:
            break
        chosen.append(at)
        distance = np.minimum(distance, np.linalg.norm(poses - poses[at], axis=-1))
    return chosen


def of_frames(frames: NDArray[np.uint8], poses: NDArray[np.floating], at: Sequence[int]) -> References:
    """The frames `at` of aligned crops [T,S,S,3] with head poses [T,3]."""
    index = list(at)
    return References(frames[index], np.asarray(poses)[index])
