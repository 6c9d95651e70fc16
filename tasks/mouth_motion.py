"""How much a mouth moves between two frames, by its pixels alone."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks import crops

_PATCH = 64  # side of the small aligned crop in which the motion is measured


def mouth_patch(frame: NDArray[np.uint8], kps: NDArray) -> NDArray[np.uint8]:
    """Small grey aligned crop [64,64] of the face."""
    return np.asarray(cv2.cvtColor(crops.warp(frame, crops.crop_matrix(kps, _PATCH), _PATCH), cv2.COLOR_RGB2GRAY))


def mouth_motion(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> float:
    """Mean change of the mouth region beyond that of the upper face, in grey levels.

    The upper face changes with light, grain and misalignment as much as the mouth does; what is left over is speech.
    """
    change = cv2.absdiff(before, now).astype(np.float32)
    mouth = change[42:58, 20:44].mean()
    upper = change[22:38, 16:48].mean()
    return float(max(0.0, mouth - upper))
