"""How much a dubbed face trembles: change from frame to frame where speech moves little, against the original."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.masks import dub_mask

_SMOOTH = 0.015  # crop sides; finer than this are grain and the encoder's work
_MOUTH = (0.5, 0.77, 0.26, 0.16)  # centre and half axes in crop sides: lips, and the chin right below them
_FLOOR = 1.0  # grey levels: what speech moves of a cheek, and the encoder; a face that was still may do so too


def flicker_ratio(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float | None:
    """Mean |second difference in time| of the smoothed picture beside the mouth, after over before; 1: no more.

    A second difference leaves steady motion out; the cheeks, the rim and the jaw are what is repainted without reason
    to move otherwise than before.

    Args:
        before, after: uint8 [T,S,S,3], aligned crops (the studio's) of the same frames.

    Returns:
        None below five frames.
    """
    if len(before) < 5:
        return None
    region = _region(before.shape[1])
    restless = [_restless(shown, region) for shown in (before, after)]
    return float((restless[1] + _FLOOR) / (restless[0] + _FLOOR))


def _restless(pictures: NDArray[np.uint8], region: NDArray[np.bool_]) -> float:
    sigma = _SMOOTH * pictures.shape[1]
    values = np.stack([
        cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), sigma)[region]
        for picture in pictures
    ])  # fmt: skip
    return float(np.abs(np.diff(values, n=2, axis=0)).mean()) / 2


def _region(size: int) -> NDArray[np.bool_]:
    """bool [S,S]: what is repainted, without the mouth."""
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size
    cx, cy, rx, ry = _MOUTH
    return np.asarray((dub_mask(size) > 0.5) & (((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 > 1))
