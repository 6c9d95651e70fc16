"""Which pixels of an aligned crop are face, lips and eyes, and which the model may repaint.

The region repainted when dubbing is FIXED in the aligned crop. A region drawn round the landmarks of the frame would
follow the chin, and so tell the model how far the mouth is open (LatentSync found the same and fixed its mask too).
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from models import landmarks106

Mask = NDArray[np.float32]

DUB_BOX = (0.10, 0.52, 0.90, 0.99)
"""x0, y0, x1, y1 of the repainted region in the unit square of the crop: from just under the middle of the nose to
below the chin, with the jaw wholly inside however far it drops."""
DUB_RADIUS = 0.20
"""Radius of its corners in crop sides."""

FACE_BOX = (0.08, 0.20, 0.92, 0.99)
"""The same for the whole face, from the forehead to below the chin: portraits, and faces that are to feel otherwise."""
FACE_RADIUS = 0.30

EYE_BOX = (0.18, 0.18, 0.82, 0.46)
"""Where brows and eyes lie in the aligned crop, however the head is turned."""
MIDDLE_BOX = (0.25, 0.22, 0.75, 0.88)
"""What is face in every aligned crop: no hair, no background."""
MIDDLE_RADIUS = 0.22

WHOLE_BOX = (0.04, 0.05, 0.96, 0.98)
"""The same for the whole face in the narrower crops of public checkpoints."""

_LATENTSYNC_EDGES = np.array([
    (95, 9, 248), (148, 9, 248), (150, 11, 246), (163, 12, 245), (171, 13, 244), (178, 16, 240), (185, 21, 235),
    (193, 26, 230), (200, 33, 224), (208, 40, 217), (215, 49, 209), (222, 60, 200), (229, 74, 188), (235, 87, 174),
    (239, 99, 165), (241, 108, 157), (242, 131, 153),
])  # fmt: skip
"""Row, first column and the one after the last that LatentSync repaints, of 256; straight lines between."""
_LATENTSYNC_NOSE = (128, 78, 178)
"""Above this row these columns are kept: nose and eyes."""

OUTSIDE, FACE, LIPS, EYES = 0, 1, 2, 3
"""Labels of the masks kept in CLIPS rows."""

_CONTOUR = list(landmarks106.CONTOUR)
_EYES = (list(landmarks106.LEFT_EYE), list(landmarks106.RIGHT_EYE))
_BROWS = (list(landmarks106.LEFT_BROW), list(landmarks106.RIGHT_BROW))
_ALL_EYES, _ALL_BROWS = [*_EYES[0], *_EYES[1]], [*_BROWS[0], *_BROWS[1]]
_LIPS = list(landmarks106.LIPS_OUTER)
_BARE, _TEMPLES = 0.75, 0.8  # height of the forehead in noses where no picture tells; how far the temples rise with it
_FEWEST, _SKIN_REACH = 12, 2.5  # samples from which a skin's colour is told; deviations within which it is skin
_SHIFT = 4  # cv2's fixed-point polygons: 4 bits behind the point


def dub_mask(size: int) -> Mask:
    """float32[size,size], 1 where the model repaints a dubbed face, soft over one pixel at the rim. A fresh copy."""
    return _rounded_box(size, DUB_BOX, DUB_RADIUS).copy()


def whole_face_mask(size: int) -> Mask:
    """float32[size,size], 1 where the model repaints a portrait: brows, eyes and all. Fixed, as `dub_mask` is."""
    return _rounded_box(size, FACE_BOX, FACE_RADIUS).copy()


def model_mask(alignment: str, size: int, whole_face: bool = False) -> Mask:
    """float32[size,size], 1 where a base of that alignment repaints (tasks/alignments.py); fixed, a fresh copy.

    The public checkpoints' are hard, as they were trained with: LatentSync's fixed one (its mask.png, redrawn from its
    outline), and the lower half, whole width, for MuseTalk. They know no whole face: that one is ours.

    Raises:
        ValueError: no such alignment.
    """
    if alignment == "studio":
        return whole_face_mask(size) if whole_face else dub_mask(size)
    if alignment not in ("latentsync", "musetalk"):
        raise ValueError(f"there is no mask for crops of alignment {alignment!r}")
    if whole_face:
        return _rounded_box(size, WHOLE_BOX, FACE_RADIUS).copy()
    return _latentsync(size).copy() if alignment == "latentsync" else _lower_half(size)


def _lower_half(size: int) -> Mask:
    return np.repeat((np.arange(size) >= size // 2).astype(np.float32)[:, None], size, axis=1)


@lru_cache(maxsize=8)
def _latentsync(size: int) -> Mask:
    rows, first, last = _LATENTSYNC_EDGES.T.astype(np.float64)
    centres = (np.arange(size) + 0.5) * 256 / size
    x, y = np.meshgrid(centres, centres - 0.5)
    inside = (x >= np.interp(y, rows, first)) & (x < np.interp(y, rows, last))
    inside &= (y >= rows[0] - 0.5) & (y < rows[-1] + 0.5)
    below, left, right = _LATENTSYNC_NOSE
    inside &= (y >= below - 0.5) | (x < left) | (x >= right)
    return inside.astype(np.float32)


def eye_region(size: int) -> Mask:
    """float32[size,size], 1 where brows and eyes are looked for. Fixed; a fresh copy."""
    return _rounded_box(size, EYE_BOX, 0.1).copy()


def face_middle(size: int) -> Mask:
    """float32[size,size], 1 where every aligned crop shows face and nothing else. Fixed; a fresh copy."""
    return _rounded_box(size, MIDDLE_BOX, MIDDLE_RADIUS).copy()


@lru_cache(maxsize=8)
def _rounded_box(size: int, box: tuple[float, float, float, float], radius: float) -> Mask:
    x0, y0, x1, y1 = box
    centres = (np.arange(size, dtype=np.float64) + 0.5) / size
    x, y = np.meshgrid(centres, centres)
    # Signed distance to a rounded box (Quilez): negative inside.
    qx = np.abs(x - (x0 + x1) / 2) - (x1 - x0) / 2 + radius
    qy = np.abs(y - (y0 + y1) / 2) - (y1 - y0) / 2 + radius
    distance = np.hypot(np.maximum(qx, 0), np.maximum(qy, 0)) + np.minimum(np.maximum(qx, qy), 0) - radius
    return np.asarray(np.clip(0.5 - distance * size, 0, 1), dtype=np.float32)


def feather(mask: NDArray, width: float) -> Mask:
    """The mask with a soft edge that lies wholly inside it: 0 at the rim, 1 from `width` pixels inward.

    Inside, so that what was outside the mask stays exactly the picture that came in. Smoothstep of the distance.
    """
    inside = cv2.copyMakeBorder((np.asarray(mask) > 0.5).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1]
    ramp = np.clip(distance / max(width, 1e-6), 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), dtype=np.float32)


def _fill(size: int, *polygons: NDArray) -> Mask:
    canvas = np.zeros((size, size), dtype=np.uint8)
    for points in polygons:
        hull = cv2.convexHull(np.asarray(points, dtype=np.float32)).reshape(-1, 2)
        fixed = np.round(hull * (1 << _SHIFT)).astype(np.int32)
        cv2.fillConvexPoly(canvas, fixed, 255, lineType=cv2.LINE_AA, shift=_SHIFT)
    return canvas.astype(np.float32) / np.float32(255)


def face_mask(landmarks: NDArray, size: int, crop: NDArray[np.uint8] | None = None) -> Mask:
    """float32[size,size]: the face from chin to hairline, from landmarks [106,2] in crop pixels.

    The 106 points end at the brows. A forehead is about as high as the nose is long (the old canon of thirds); where
    hair begins on this one only the picture tells. With the `crop` uint8 [size,size,3] the upper face and the rim are
    face where their colour is that of the cheeks, nose and brow; without, the forehead is taken for three quarters of
    a nose.
    """
    landmarks = np.asarray(landmarks, dtype=np.float32)
    up, third = _canon(landmarks)
    if crop is None:
        return _fill(size, _upper_face(landmarks, up * third * _BARE))
    region = _fill(size, _upper_face(landmarks, up * third))
    brows = landmarks[_ALL_BROWS]
    core = _fill(size, np.concatenate([landmarks[_CONTOUR[4:-4]], brows, brows + 0.12 * third * up]))
    return np.asarray(np.minimum(region, np.maximum(core, _skin(crop, landmarks))), dtype=np.float32)


def _canon(landmarks: NDArray) -> tuple[NDArray, float]:
    """Which way is up the face, a unit vector, and a third of its height in pixels: from nose base to brows."""
    eyes, brows = landmarks[_ALL_EYES].mean(axis=0), landmarks[_ALL_BROWS].mean(axis=0)
    up = eyes - landmarks[landmarks106.CHIN]
    up = up / max(float(np.linalg.norm(up)), 1e-6)
    return up, float((brows - landmarks[landmarks106.NOSE_BASE]) @ up)


def _upper_face(landmarks: NDArray, rise: NDArray) -> NDArray:
    """Points whose hull is the face with a forehead that rises by `rise` above the brows."""
    brows, temples = landmarks[_ALL_BROWS], landmarks[[_CONTOUR[0], _CONTOUR[-1]]]
    return np.concatenate([landmarks[_CONTOUR], brows, brows + rise, temples + _TEMPLES * rise])


def _skin(crop: NDArray[np.uint8], landmarks: NDArray) -> Mask:
    """float32[S,S], 1 where a crop has the colour of the cheeks, the nose and the skin round the brows.

    A Gaussian of log luma and both chromas, its spread that of the samples without the outermost (glasses, locks).
    """
    half = crop.shape[0] // 2
    small = cv2.cvtColor(cv2.resize(crop, (half, half), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2YCrCb)
    colours = small.astype(np.float32)
    colours[..., 0] = 40 * np.log(colours[..., 0] + 12)
    points = (landmarks + 0.5) / 2 - 0.5
    found = colours[_sure_skin(points, half) > 0]
    if len(found) < _FEWEST:
        return np.ones(crop.shape[:2], dtype=np.float32)
    middle = np.median(found, axis=0)
    spread = 1.48 * np.median(np.abs(found - middle), axis=0)
    found = found[(np.abs(found - middle) < 3 * spread + 2).all(axis=1)]
    reach = found.std(axis=0) + np.array([6, 2, 2], dtype=np.float32)
    scaled = (colours - found.mean(axis=0)) / reach
    away = np.sqrt(np.einsum("yxc,yxc->yx", scaled, scaled))
    like = (cv2.blur(away, (3, 3)) < _SKIN_REACH).astype(np.float32)
    most = (cv2.blur(like, (5, 5)) > 0.5).astype(np.float32)  # the median of ones and noughts
    return np.asarray(cv2.resize(most, crop.shape[1::-1]), dtype=np.float32)


def _sure_skin(points: NDArray, side: int) -> NDArray[np.uint8]:
    """uint8[side,side], 1 on the cheeks, the nose and round the brows, but not on eyes and brows themselves."""
    inner = points[landmarks106.NOSE_BRIDGE[1]]
    cheeks = inner + 0.75 * (points[_CONTOUR][[3, 6, -4, -7]] - inner)
    nose = points[[landmarks106.NOSE_LEFT[2], landmarks106.NOSE_RIGHT[2], landmarks106.NOSE_BASE]]
    sure = np.zeros((side, side), dtype=np.uint8)
    cv2.fillConvexPoly(sure, _hull(np.concatenate([cheeks, nose, points[_ALL_BROWS]])), 1)
    for part in (*_EYES, *_BROWS):
        cv2.fillConvexPoly(sure, _hull(points[part]), 0)
        cv2.polylines(sure, [_hull(points[part])], True, 0, 2)
    return sure


def _hull(points: NDArray) -> NDArray[np.int32]:
    return np.asarray(np.round(cv2.convexHull(np.asarray(points, dtype=np.float32))), dtype=np.int32).reshape(-1, 2)


def lip_mask(landmarks: NDArray, size: int) -> Mask:
    """float32[size,size]: both lips and what lies between them."""
    return _fill(size, np.asarray(landmarks)[_LIPS])


def eye_mask(landmarks: NDArray, size: int) -> Mask:
    """float32[size,size]: both eyes."""
    return _fill(size, *(np.asarray(landmarks)[part] for part in _EYES))


def label_mask(landmarks: NDArray, size: int, crop: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """uint8[size,size] of OUTSIDE, FACE, LIPS, EYES: what a CLIPS row keeps for each frame (as PNG).

    With the `crop` the face ends where hair begins (`face_mask`).
    """
    labels = np.where(face_mask(landmarks, size, crop) > 0.5, FACE, OUTSIDE).astype(np.uint8)
    labels[lip_mask(landmarks, size) > 0.5] = LIPS
    labels[eye_mask(landmarks, size) > 0.5] = EYES
    return labels
