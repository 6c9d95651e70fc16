"""The crops that a base was trained on: our own alignment, and those of the public checkpoints, by name.

    studio      both eyes and the nose, a similarity (tasks/crops.py)
    latentsync  both brows and the nose by LatentSync's template, then stretched to a square: uneven in x and y
    musetalk    an upright box round the face, the middle of its nose bridge at half height: uneven, never turned

All are steadied over time as the studio's are. What is measured (sync, identity, motion) stays on the studio's crops.
Facts of the templates: LatentSync's code (2025-06) and MuseTalk's (2025-09).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models import landmarks106
from models.faces import Face
from tasks import crops
from tasks.crops import Matrix

STUDIO, LATENTSYNC, MUSETALK = "studio", "latentsync", "musetalk"

EYES_APART = {STUDIO: 0.31, LATENTSYNC: 0.37, MUSETALK: 0.41}
"""How far apart the eyes of a mean face lie, in crop sides (mean of both axes where they differ)."""

_LEFT_BROW, _RIGHT_BROW, _NOSE, _BRIDGE = (43, 48, 49, 51, 50), (101, 102, 103, 104, 105), (74, 77, 83, 86), (74,)
ANCHORS = (_LEFT_BROW, _RIGHT_BROW, _NOSE, _BRIDGE)
"""Of the 106 landmarks, those whose means are kept of every frame: both brows, the nose, the middle of its bridge."""

_BROWS_AND_NOSE = np.array([[17.0, 20.0], [58.0, 20.0], [37.5, 40.0]])
"""LatentSync's template, in units of which the crop has 75 x 100 before it is stretched."""
_UNITS = np.array([75.0, 100.0])
_UNIT_PX = 2.8  # pixels of a unit at 256

_BELOW_CHIN = 0.04
"""MuseTalk's margin below the chin in box heights. It takes 10 pixels of the frame; a share holds for any face."""
_STEADIER = 4.0  # a box changes its size with distance and turn, not with every syllable of the jaw


class Shape(Protocol):
    """What a track tells of a face: matrices [T,2,3] to the studio's crop, anchors [T,4,2] and outline [T,33,2] in
    frame pixels, pts [T] in seconds."""

    @property
    def matrices(self) -> NDArray[np.float64]: ...

    @property
    def anchors(self) -> NDArray[np.float32]: ...

    @property
    def outline(self) -> NDArray[np.float32]: ...

    @property
    def pts(self) -> NDArray[np.float64]: ...


def anchors_of(landmarks: NDArray[np.floating]) -> NDArray[np.float32]:
    """The means of `ANCHORS`, float32 [...,4,2], of landmarks [...,106,2]."""
    return np.stack([landmarks[..., list(index), :].mean(-2) for index in ANCHORS], -2).astype(np.float32)


def track_matrices(alignment: str, size: int, shape: Shape, smooth_s: float = 0.06) -> Matrix:
    """float64 [T,2,3], frame pixels to pixels of the crop [size,size] that a base wants.

    Raises:
        ValueError: no such alignment.
    """
    if alignment == STUDIO:
        return crops.rescale(shape.matrices, size / crops.CROP_SIZE)
    if alignment == LATENTSYNC:
        return _latentsync(shape.anchors[:, :3], shape.pts, size, smooth_s)
    if alignment == MUSETALK:
        return _musetalk(shape.anchors, shape.outline, shape.pts, size, smooth_s)
    raise ValueError(f"there is no alignment {alignment!r}; there are {', '.join(EYES_APART)}")


def landmark_matrices(
    alignment: str, size: int, landmarks: NDArray[np.floating], pts: NDArray[np.floating], smooth_s: float = 0.06
) -> Matrix:
    """The same from landmarks [T,106,2] in pixels of whatever picture they were found in, a stored crop for example.

    A single frame is not steadied; the studio's crop is fitted to the five points of the landmarks.
    """
    points, times = np.asarray(landmarks, dtype=np.float64), np.asarray(pts, dtype=np.float64)
    if alignment == STUDIO:
        raw = np.stack([crops.crop_matrix(five, size) for five in landmarks106.kps_from(points)])
        return crops.smooth_matrices(raw, times, smooth_s, crops.TEMPLATE[2] * size)
    outline, anchors = points[:, list(landmarks106.CONTOUR)], anchors_of(points)
    return track_matrices(alignment, size, _Measured(np.empty((0, 2, 3)), anchors, outline, times), smooth_s)


def face_matrix(alignment: str, size: int, face: Face) -> Matrix:
    """float64 [2,3] of a single face as it was found."""
    if alignment == STUDIO:
        return crops.crop_matrix(face.kps, size)
    return landmark_matrices(alignment, size, face.landmarks[None], np.zeros(1))[0]


class _Measured:
    """A `Shape` of arrays."""

    def __init__(self, matrices: NDArray, anchors: NDArray, outline: NDArray, pts: NDArray) -> None:
        self.matrices, self.anchors, self.outline, self.pts = matrices, anchors, outline, pts


def fit_spread(source: NDArray, target: NDArray) -> Matrix:
    """The similarity [2,3] that takes points [N,2] to others as LatentSync does: mean to mean, spread to spread.

    Rotation is that of least squares; the scale is the ratio of the spreads, where least squares would shrink as far as
    the shapes differ.

    Raises:
        ValueError: all source points coincide.
    """
    z, w = (np.asarray(points, dtype=np.float64) @ np.array([1.0, 1.0j]) for points in (source, target))
    z_mean, w_mean = z.mean(), w.mean()
    spread = float(np.sum(np.abs(z - z_mean) ** 2))
    turn = complex(np.sum(np.conj(z - z_mean) * (w - w_mean)))
    if not np.isfinite(spread) or spread < 1e-9 or abs(turn) < 1e-9:
        raise ValueError("the points coincide: no similarity can be fitted")
    a = turn / abs(turn) * np.sqrt(float(np.sum(np.abs(w - w_mean) ** 2)) / spread)
    b = w_mean - a * z_mean
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]], dtype=np.float64)


def _latentsync(points: NDArray, pts: NDArray, size: int, smooth_s: float) -> Matrix:
    """Brow, brow and nose [T,3,2] to the template, and its 75 x 100 units stretched to the square."""
    unit = _UNIT_PX * size / 256
    template = _BROWS_AND_NOSE * unit
    raw = np.stack([fit_spread(three, template) for three in points])
    even = crops.smooth_matrices(raw, pts, smooth_s, template[2])
    return _stretched(even, size / (_UNITS * unit))


def _stretched(matrices: Matrix, factors: NDArray[np.float64]) -> Matrix:
    """A picture resized by `factors` (x, y) after `matrices`: pixel centres, not their corners, are what is counted."""
    out = matrices * factors[:, None]
    out[..., 2] += (factors - 1) / 2
    return np.asarray(out, dtype=np.float64)


def _musetalk(anchors: NDArray, outline: NDArray, pts: NDArray, size: int, smooth_s: float) -> Matrix:
    """The box from cheek to cheek and as far above the bridge as the chin is below it, with a margin below."""
    times = np.asarray(pts, dtype=np.float64)
    across = np.concatenate([outline[..., 0], anchors[..., 0]], axis=1).astype(np.float64)
    left, right = across.min(1), across.max(1)
    middle = anchors[:, 3, 1].astype(np.float64)
    below = np.maximum(outline[..., 1].max(1) - middle, 1.0)
    place = np.stack([(left + right) / 2, middle], 1)
    extent = np.log(np.stack([np.maximum(right - left, 1.0), 2 * below], 1))
    if len(times) >= 3 and smooth_s > 0:
        place = crops.local_lines(place, times, smooth_s)
        extent = crops.local_lines(extent, times, _STEADIER * smooth_s)
    width, height = np.exp(extent).T
    corner = place - np.stack([width, height], 1) / 2
    factors = size / np.stack([width, height * (1 + _BELOW_CHIN)], 1)
    out = np.zeros((len(times), 2, 3))
    out[:, 0, 0], out[:, 1, 1] = factors.T
    out[..., 2] = (0.5 - corner) * factors - 0.5
    return out
