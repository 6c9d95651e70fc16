"""Whether something covers the lower face: a hand, a microphone, a scarf. One look at an aligned crop, no model."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models import landmarks106 as lm

_SIDE = 64
COUNT = 11
_CONTOUR, _LIPS = list(lm.CONTOUR), list(lm.LIPS_OUTER)
_EYES = [*lm.LEFT_EYE, *lm.RIGHT_EYE]
_JAW = list(lm.CONTOUR[6:-6])

# Logistic regression of the share of the lower face that is hidden, on 70 studio people with things before them.
_WEIGHTS = np.array([0.329, 0.259, 0.055, -0.808, -1.011, -0.152, -0.325, 0.088, -0.366, 1.866, -0.247])
_BIAS = 0.225
_FREE, _HIDDEN = 0.35, 0.90  # what it gives for faces with nothing before them, and for wholly hidden ones


def occlusion(crop: NDArray[np.uint8], landmarks: NDArray) -> float:
    """About which share 0..1 of the lower face something covers: hand, microphone, scarf, mask.

    Args:
        crop: uint8 [S,S,3] RGB, aligned.
        landmarks: [106,2] in crop pixels, measured.

    Looks for what is not of this face's skin and not its beard on both sides alike, and for lips that are not there.
    Told for a clip by the median over some of its frames; below 1 ms. A guess: see the exam `quality`.
    """
    told = 1 / (1 + np.exp(-float(features(crop, landmarks) @ _WEIGHTS + _BIAS)))
    return float(np.clip((told - _FREE) / (_HIDDEN - _FREE), 0, 1))


def features(crop: NDArray[np.uint8], landmarks: NDArray) -> NDArray[np.float64]:
    """What `occlusion` judges by, float64 [11]: colour, symmetry, contrast of the lips, edges."""
    small = cv2.resize(crop, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    points = (np.asarray(landmarks, dtype=np.float32) + 0.5) * (_SIDE / crop.shape[0]) - 0.5
    colours = cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb).astype(np.float32)
    luma = cv2.GaussianBlur(colours[..., 0], (3, 3), 0)
    colours[..., 0] = 40 * np.log(colours[..., 0] + 12)
    base, inner = points[lm.NOSE_BASE], points[lm.NOSE_BRIDGE[1]]
    cheeks = inner + 0.75 * (points[_CONTOUR][[3, 7, -4, -8]] - inner)
    nose = points[[lm.NOSE_LEFT[2], lm.NOSE_RIGHT[2], lm.NOSE_BASE]]
    upper = _filled(np.concatenate([cheeks, nose, inner[None]])) > 0
    jaw = base + 0.88 * (points[_JAW] - base)
    lower = _filled(np.concatenate([jaw, nose[:2]])) > 0
    lips = _filled(points[_LIPS])
    around = cv2.dilate(lips, np.ones((5, 7), np.uint8))
    bare, ring = lower & (around == 0), (cv2.dilate(around, np.ones((5, 5), np.uint8)) > 0) & (around == 0)
    if upper.sum() < 12 or bare.sum() < 12 or lips.sum() < 4:
        return np.zeros(COUNT)
    skin = colours[upper]
    middle = np.median(skin, axis=0)
    spread = 1.48 * np.median(np.abs(skin - middle), axis=0) + np.array([8, 2.5, 2.5], dtype=np.float32)
    away = np.abs(colours - middle) / spread
    strange = np.clip(np.sqrt((away**2).sum(axis=-1)) - 2, 0, 4)
    hue = np.clip(np.sqrt((away[..., 1:] ** 2).sum(axis=-1)) - 2, 0, 4)
    mirrored = cv2.warpAffine(strange, _mirror(points), (_SIDE, _SIDE), borderMode=cv2.BORDER_REPLICATE)
    lip = np.median(colours[lips > 0], axis=0) - np.median(colours[ring], axis=0)
    down = np.abs(cv2.Sobel(luma, cv2.CV_32F, 0, 1)) / (luma + 20)
    across = np.abs(cv2.Sobel(luma, cv2.CV_32F, 1, 0)) / (luma + 20)
    calm = float((down + across)[upper].mean()) + 0.02
    return np.array([
        float(strange[bare].mean()),
        float(hue[bare].mean()),
        float(np.abs(strange - mirrored)[bare].mean()),
        float(np.log(np.sqrt(((lip / spread) ** 2).sum()) + 0.1)),
        float(np.log(down[around > 0].mean() / calm + 0.1)),
        float(np.log((down + across)[bare].mean() / calm + 0.1)),
        float(np.sort(strange[lower])[-max(1, int(lower.sum()) // 4) :].mean()),
        float(np.sort(hue[lower])[-max(1, int(lower.sum()) // 4) :].mean()),
        float(np.log(np.abs(luma[upper].mean() + 20) / (luma[bare].mean() + 20))),
        float(np.log(colours[bare].std(axis=0)[1:].mean() / spread[1:].mean() + 0.2)),
        float(lip[1] / spread[1]),
    ])  # fmt: skip


def _filled(points: NDArray) -> NDArray[np.uint8]:
    canvas = np.zeros((_SIDE, _SIDE), dtype=np.uint8)
    hull = np.round(cv2.convexHull(np.asarray(points, dtype=np.float32))).astype(np.int32).reshape(-1, 2)
    cv2.fillConvexPoly(canvas, hull, 1)
    return canvas


def _mirror(points: NDArray) -> NDArray[np.float64]:
    """The reflection [2,3] at the line from between the eyes to the chin, for warpAffine."""
    start, end = points[_EYES].mean(axis=0).astype(np.float64), points[lm.CHIN].astype(np.float64)
    x, y = (end - start) / max(float(np.linalg.norm(end - start)), 1e-6)
    turn = np.array([[2 * x * x - 1, 2 * x * y], [2 * x * y, 2 * y * y - 1]])
    return np.concatenate([turn, (start - turn @ start)[:, None]], axis=1)
