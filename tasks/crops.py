"""Aligned face crops: where a face sits in the frame, as a similarity, and the way there and back.

The similarity is fitted to the two eyes and the nose only. The mouth corners of the five detector points move with
speech; a crop aligned on them would tell the model how far the mouth is open before it has heard a sound. (LatentSync
aligns by three points, both brows and the nose, for the same reason.) Public checkpoints want other crops, uneven ones
too (tasks/alignments.py): cutting out and putting back take any affine matrix.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
Matrix = NDArray[np.float64]

TEMPLATE = np.array([[0.345, 0.40], [0.655, 0.40], [0.50, 0.575]], dtype=np.float64)
"""Left eye, right eye, nose (image order) in the unit square of the crop."""

CROP_SIZE = 128
"""Pixels on a side of the crops that masks, sync expert and the studio's models share."""

_STILL, _AGREE = 4.0, 1.5  # how much wider a still head is smoothed; deviations of noise within which it is still
_WINDOWED = 1 << 18  # numbers looked at together when a track is smoothed


def fit_similarity(source: NDArray, target: NDArray) -> Matrix:
    """The least-squares similarity (rotation, one scale, shift; no mirror) that takes `source` to `target`.

    Both are [N,2]; returns float64[2,3]. Closed form of Umeyama (PAMI 1991) for two dimensions, written with complex
    numbers: `z -> a z + b` with complex `a`.

    Raises:
        ValueError: all source points coincide, so no scale can be told.
    """
    z = source[:, 0].astype(np.float64) + 1j * source[:, 1].astype(np.float64)
    w = target[:, 0].astype(np.float64) + 1j * target[:, 1].astype(np.float64)
    z_mean, w_mean = z.mean(), w.mean()
    spread = float(np.sum(np.abs(z - z_mean) ** 2))
    if not np.isfinite(spread) or spread < 1e-9:
        raise ValueError("the points coincide: no similarity can be fitted")
    a = complex(np.sum(np.conj(z - z_mean) * (w - w_mean)) / spread)
    b = w_mean - a * z_mean
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]], dtype=np.float64)


def crop_matrix(kps: NDArray, size: int = CROP_SIZE) -> Matrix:
    """float64[2,3] that takes frame pixels to crop pixels, from the five points float[5,2] in image order.

    Raises:
        ValueError: eyes and nose coincide.
    """
    return fit_similarity(np.asarray(kps)[:3], TEMPLATE * size)


def crop_matrices(kps: NDArray, size: int = CROP_SIZE) -> Matrix:
    """float64[T,2,3]: `crop_matrix` of many frames' points [T,5,2] at once.

    Raises:
        ValueError: eyes and nose of a frame coincide.
    """
    points = np.asarray(kps, dtype=np.float64)[:, :3]
    z = points[..., 0] + 1j * points[..., 1]
    w = TEMPLATE[:, 0] * size + 1j * TEMPLATE[:, 1] * size
    z_mean, w_mean = z.mean(axis=1), w.mean()
    centred = z - z_mean[:, None]
    spread = (np.abs(centred) ** 2).sum(axis=1)
    if not np.isfinite(spread).all() or (spread < 1e-9).any():
        raise ValueError("the points coincide: no similarity can be fitted")
    a = (np.conj(centred) * (w - w_mean)).sum(axis=1) / spread
    b = w_mean - a * z_mean
    return np.stack([np.stack([a.real, -a.imag, b.real], axis=-1), np.stack([a.imag, a.real, b.imag], axis=-1)], axis=1)


def scale_of(matrix: NDArray) -> float:
    """Crop pixels per frame pixel of a matrix [2,3], along the axis of the crop where they are fewer."""
    return float(min(np.hypot(matrix[0, 0], matrix[0, 1]), np.hypot(matrix[1, 0], matrix[1, 1])))


def invert(matrix: NDArray) -> Matrix:
    """The way back: crop pixels to frame pixels, float64[2,3]."""
    return np.asarray(cv2.invertAffineTransform(np.asarray(matrix, dtype=np.float64)))


def rescale(matrix: NDArray, factor: float) -> Matrix:
    """The same crop with `factor` times as many pixels on a side."""
    return np.asarray(matrix, dtype=np.float64) * factor


def transform_points(matrix: NDArray, points: NDArray) -> NDArray[np.float32]:
    """Points [..., 2] through a matrix [2,3]; float32 of the same shape."""
    matrix = np.asarray(matrix, dtype=np.float64)
    return (np.asarray(points, dtype=np.float64) @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def smooth_matrices(
    matrices: NDArray, pts: NDArray, sigma_s: float = 0.06, pivot: NDArray = TEMPLATE[2] * CROP_SIZE
) -> Matrix:
    """Takes the detector's tremble out of a track's similarities: [T,2,3] and times [T] in seconds -> float64[T,2,3].

    Each of log scale, angle and position (where `pivot`, the crop's nose, lies in the frame) is replaced by a straight
    line fitted around each frame with Gaussian weights in time, `sigma_s` wide. A line rather than a mean, so that a
    steadily moving head is not dragged behind and the ends of a track are not pulled inward; weights in seconds
    rather than frames, so that a variable frame rate is no special case. While the head keeps still, which is where
    trembling shows, the line is fitted to `_STILL` times as much: as far as both lines agree within the noise.
    """
    matrices = np.asarray(matrices, dtype=np.float64)
    count = len(matrices)
    if count < 3 or sigma_s <= 0:
        return matrices.copy()
    pts = np.asarray(pts, dtype=np.float64)
    a = matrices[:, 0, 0] + 1j * matrices[:, 1, 0]
    b = matrices[:, 0, 2] + 1j * matrices[:, 1, 2]
    nose_in_crop = complex(*pivot)
    nose = (nose_in_crop - b) / a
    values = np.stack([np.log(np.abs(a)), np.unwrap(np.angle(a)), nose.real, nose.imag], axis=1)
    smooth = local_lines(values, pts, sigma_s)
    wide = local_lines(values, pts, _STILL * sigma_s)
    noise = 1.48 * np.median(np.abs(values - smooth), axis=0)
    apart = np.abs(wide - smooth) / (_AGREE * np.maximum(noise, 1e-9))
    still = np.clip(local_lines(np.exp(-0.5 * apart**2), pts, 2 * sigma_s), 0, 1)
    smooth = still * wide + (1 - still) * smooth
    a = np.exp(smooth[:, 0] + 1j * smooth[:, 1])
    b = nose_in_crop - a * (smooth[:, 2] + 1j * smooth[:, 3])
    out = np.empty_like(matrices)
    out[:, 0, 0], out[:, 0, 1], out[:, 0, 2] = a.real, -a.imag, b.real
    out[:, 1, 0], out[:, 1, 1], out[:, 1, 2] = a.imag, a.real, b.imag
    return out


def local_lines(values: NDArray, pts: NDArray, sigma_s: float) -> NDArray[np.float64]:
    """Value at each time of the weighted line through its neighbours within 3 sigma: [T,C], [T] -> [T,C]."""
    values, pts = np.asarray(values, dtype=np.float64), np.asarray(pts, dtype=np.float64)
    out = np.empty_like(values)
    starts = np.searchsorted(pts, pts - 3 * sigma_s, side="left")
    ends = np.searchsorted(pts, pts + 3 * sigma_s, side="right")
    most = int((ends - starts).max())
    rows = max(1, _WINDOWED // (most * values.shape[1]))
    for low in range(0, len(pts), rows):
        part = slice(low, low + rows)
        index = starts[part, None] + np.arange(most)
        inside = index < ends[part, None]
        index = np.minimum(index, len(pts) - 1)
        t = pts[index] - pts[part, None]
        weights = np.where(inside, np.exp(-0.5 * (t / sigma_s) ** 2), 0.0)
        weights /= weights.sum(axis=1, keepdims=True)
        mean_t = (weights * t).sum(axis=1)
        apart = np.where(inside, t - mean_t[:, None], 0.0)
        variance = (weights * apart**2).sum(axis=1)
        mean_v = np.einsum("tw,twc->tc", weights, values[index])
        slope = np.einsum("tw,twc->tc", weights * apart, values[index] - mean_v[:, None])
        steep = mean_t / np.where(variance < 1e-12, np.inf, variance)
        out[part] = mean_v - steep[:, None] * slope
    return out


def warp(frame: Frame, matrix: NDArray, size: int = CROP_SIZE) -> Frame:
    """Cuts the crop uint8[size,size,3] out of a frame uint8[H,W,3].

    A face larger than the crop is first cut at a whole multiple of the size and then averaged down: bilinear sampling
    alone skips pixels and shimmers from frame to frame.
    """
    multiple = _multiple(matrix)
    if multiple > 3:
        frame, matrix = _shrunk(frame, matrix, size, multiple // 2)
        multiple = _multiple(matrix)
    big = np.asarray(matrix, dtype=np.float64) * multiple
    # The half-pixel shift keeps pixel centres where they were: cv2 counts from the centre of the first pixel.
    big[:, 2] += (multiple - 1) / 2
    side = size * multiple
    crop = cv2.warpAffine(frame, big, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if multiple > 1:
        crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(crop, dtype=np.uint8)


def _multiple(matrix: NDArray) -> int:
    return int(np.clip(np.ceil(1 / max(scale_of(matrix), 1e-6) - 1e-6), 1, 16))


def _shrunk(frame: Frame, matrix: NDArray, size: int, parts: int) -> tuple[Frame, Matrix]:
    """The crop's neighbourhood with blocks of `parts` × `parts` pixels averaged, and the matrix that fits it.

    Blocks lie on one grid in the frame, wherever the crop is, so that they do not shimmer as it moves.
    """
    height, width = frame.shape[:2]
    x0, y0, x1, y1 = crop_box(matrix, size, width, height)
    x0, y0 = max(0, x0 // parts - 1) * parts, max(0, y0 // parts - 1) * parts
    x1, y1 = min(width, (x1 // parts + 2) * parts), min(height, (y1 // parts + 2) * parts)
    if x1 - x0 < parts or y1 - y0 < parts:
        return frame, np.asarray(matrix, dtype=np.float64)
    near: NDArray = frame[y0:y1, x0:x1]
    lack = (-near.shape[0] % parts, -near.shape[1] % parts)
    if any(lack):
        near = cv2.copyMakeBorder(near, 0, lack[0], 0, lack[1], cv2.BORDER_REPLICATE)
    small = cv2.resize(near, (near.shape[1] // parts, near.shape[0] // parts), interpolation=cv2.INTER_AREA)
    # Block i of the small picture is centred on pixel x0 + parts * i + (parts - 1) / 2 of the frame.
    moved = np.asarray(matrix, dtype=np.float64).copy()
    moved[:, 2] += moved[:, :2] @ (np.array([x0, y0]) + (parts - 1) / 2)
    moved[:, :2] *= parts
    return np.asarray(small, dtype=np.uint8), moved


def crop_box(matrix: NDArray, size: int, width: int, height: int) -> tuple[int, int, int, int]:
    """The part of a `width` × `height` frame that a crop covers: x0, y0, x1, y1 in whole pixels (x1, y1 exclusive).

    Empty (x0 >= x1 or y0 >= y1) if the crop lies outside the frame.
    """
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], dtype=np.float64) - 0.5
    placed = transform_points(invert(matrix), corners)
    x0, y0 = np.floor(placed.min(axis=0)).astype(int)
    x1, y1 = np.ceil(placed.max(axis=0)).astype(int) + 1
    return max(0, int(x0)), max(0, int(y0)), min(width, int(x1)), min(height, int(y1))


def unwarp(crop: NDArray, matrix: NDArray, box: tuple[int, int, int, int], *, border: str = "replicate") -> NDArray:
    """Puts a crop back: [S,S] or [S,S,C] -> the pixels of `box` of the frame, [y1-y0, x1-x0(, C)], same dtype.

    `border` says what lies beyond the crop: "replicate" (pictures) or "zero" (masks). Cubic interpolation for
    enlarging pictures, linear for masks so that they stay within 0..1.
    """
    x0, y0, x1, y1 = box
    back = np.asarray(matrix, dtype=np.float64).copy()
    back[:, 2] += back[:, :2] @ np.array([x0, y0], dtype=np.float64)
    zero = border == "zero"
    flags = (cv2.INTER_LINEAR if zero else cv2.INTER_CUBIC) | cv2.WARP_INVERSE_MAP
    mode = cv2.BORDER_CONSTANT if zero else cv2.BORDER_REPLICATE
    return np.asarray(cv2.warpAffine(crop, back, (x1 - x0, y1 - y0), flags=flags, borderMode=mode, borderValue=0))


def no_finer_than_the_frame(crop: NDArray, alpha: NDArray, matrix: NDArray) -> tuple[NDArray, NDArray, Matrix]:
    """A square crop with its alpha, made smaller where it has twice the frame's pixels or more, ready to be put back.

    Sampling a crop of 512 pixels at every third one would shimmer from frame to frame. Halved as often as it can be.
    """
    matrix, side = np.asarray(matrix, dtype=np.float64), crop.shape[0]
    parts = 1
    while scale_of(matrix) >= 2 * parts and side % (2 * parts) == 0:
        parts *= 2
    if parts == 1:
        return crop, alpha, matrix
    size = (side // parts, side // parts)
    small = matrix / parts
    small[:, 2] += (1 / parts - 1) / 2  # pixel centres stay where they were
    crop, alpha = (cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in (crop, alpha))
    return np.asarray(crop), np.asarray(alpha), small
