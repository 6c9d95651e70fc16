"""Putting a generated crop back into its frame: colours matched to the surround, edges soft, all else untouched."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks import crops, masks
from tasks.alignments import EYES_APART

Picture = NDArray[np.uint8]
Alpha = NDArray[np.float32]

_LARGEST_SHIFT = 30.0  # grey levels; a greater difference at the rim is a moved jaw, not a colour
# In sides of a crop whose eyes lie 0.31 apart: how far the chin may drop, the margin round the face, its soft edge.
_CHIN_DROP, _FACE_MARGIN, _FACE_SOFT = 0.12, 0.03, 0.05
_BROW_RISE = 0.18  # how far the forehead rises above the ears' height
_RIM = {"studio": 1.0, "latentsync": 1.0, "musetalk": 0.5}
# Soft edges by alignment: MuseTalk's crop ends a little below the chin, which a wide edge would leave half as it was.
_ENOUGH = 3.0  # sigma in pixels of a smaller picture that is still smooth
_REACH = 0.12  # sigma in crop sides over which the rim's colours are carried inward


@lru_cache(maxsize=8)
def paste_alpha(size: int, feather: float, whole_face: bool = False, alignment: str = "studio") -> Alpha:
    """float32[size,size]: how much of the generated crop shows, 0 outside and at the rim of the mask, 1 inside.

    Args:
        feather: width of the soft edge in crop sides.
        whole_face: the mask is that of a portrait, not of a dub.
        alignment: of the crop (tasks/alignments.py).
    """
    mask = masks.model_mask(alignment, size, whole_face)
    alpha = masks.feather(mask, _RIM[alignment] * feather * size)
    alpha.flags.writeable = False
    return alpha


def face_alpha(outline: NDArray[np.floating], size: int, whole_face: bool = False, alignment: str = "studio") -> Alpha:
    """float32[size,size]: 1 on the face and a margin, 0 beyond: what lies beside a face needs no repainting.

    The margin is wide below the chin, which may have to drop for the new words.

    Args:
        outline: [33,2], the face from ear to ear by way of the chin, crop pixels.
        whole_face: with the forehead, which lies above the outline.
        alignment: of the crop; in one that is closer to the face, margins are wider.
    """
    points = np.asarray(outline, dtype=np.float32)
    unit = size * (EYES_APART[alignment] / EYES_APART["studio"])
    lowered = points + np.array([0, _CHIN_DROP * unit], dtype=np.float32)
    raised = points[: 0 if not whole_face else None] - np.array([0, _BROW_RISE * unit], dtype=np.float32)
    hull = cv2.convexHull(np.concatenate([points, lowered, raised])).reshape(-1, 2)
    inside = np.zeros((size, size), dtype=np.uint8)
    cv2.fillConvexPoly(inside, np.rint(hull * 16).astype(np.int32), 1, shift=4)
    distance = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    ramp = np.clip(1 - (distance / unit - _FACE_MARGIN) / _FACE_SOFT, 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), dtype=np.float32)


def match_colour(generated: Picture, original: Picture, alpha: Alpha, strength: float = 1.0) -> Picture:
    """Shifts the colours of a generated crop [S,S,3] so that it meets the original along the rim of the mask.

    The difference of the two on the soft edge is carried inward as a smooth field (normalised convolution, Knutsson &
    Westin 1993): what membrane or Poisson blending does, in one blur, and steady from frame to frame.
    """
    if strength <= 0:
        return generated
    weight = (4 * alpha * (1 - alpha))[..., None]
    difference = np.clip(original.astype(np.float32) - generated, -_LARGEST_SHIFT, _LARGEST_SHIFT)
    sigma = _REACH * generated.shape[0]
    total = wide_blur(weight, sigma).reshape(weight.shape[:2])
    field = wide_blur(difference * weight, sigma) / np.maximum(total, 1e-4)[..., None]
    return np.asarray(np.clip(np.rint(generated + strength * field), 0, 255), dtype=np.uint8)


def wide_blur(picture: NDArray, sigma: float) -> NDArray[np.float32]:
    """A Gaussian blur of [S,S] or [S,S,C], float32, by way of a smaller picture where it is wide: 3 % off at most."""
    parts = int(sigma / _ENOUGH)
    if parts < 2:
        return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), dtype=np.float32)
    height, width = picture.shape[:2]
    size = (max(1, -(-width // parts)), max(1, -(-height // parts)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    # Averaging and going back up spread a little by themselves: a twelfth of the square twice over, in large pixels.
    own = np.sqrt(max((sigma * size[0] / width) ** 2 - 0.25, 0.25))
    return np.asarray(
        cv2.resize(cv2.GaussianBlur(small, (0, 0), own), (width, height), interpolation=cv2.INTER_LINEAR),
        dtype=np.float32,
    )


def paste(
    frame: Picture, crop: Picture, matrix: NDArray, alpha: Alpha, averaged: bool = False
) -> tuple[int, int, int, int]:
    """Blends a crop [S,S,3] into a writable frame [H,W,3] in place; returns the box touched (x0,y0,x1,y1, exclusive).

    Args:
        matrix: affine [2,3], frame → this crop.
        alpha: float32 [S,S], share of the crop in the result. Where it is 0 the frame keeps its exact values.
        averaged: a crop much finer than the frame is averaged down first (`crops.no_finer_than_the_frame`): for the
            large crops of public checkpoints. Ours are small enough to be sampled.
    """
    if averaged:
        crop, alpha, matrix = crops.no_finer_than_the_frame(crop, alpha, matrix)
    height, width = frame.shape[:2]
    x0, y0, x1, y1 = crops.crop_box(matrix, crop.shape[0], width, height)
    if x0 >= x1 or y0 >= y1:
        return 0, 0, 0, 0
    box = (x0, y0, x1, y1)
    share = crops.unwarp(np.ascontiguousarray(alpha), matrix, box, border="zero")[..., None]
    patch = crops.unwarp(crop, matrix, box)
    under = frame[y0:y1, x0:x1]
    mixed = np.rint(under * (1 - share) + patch.astype(np.float32) * share)
    np.copyto(under, np.clip(mixed, 0, 255).astype(np.uint8), where=share > 0)
    return box
