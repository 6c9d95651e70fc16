"""What can be told of a face from its picture and its points: sharpness, exposure, size, head pose, what is in view."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.landmarks106 import kps_from
from tasks import crops
from tasks.occlusion import occlusion

__all__ = ["HEAD", "blur", "exposure", "face_height", "face_inside", "head_pose", "occlusion"]

HEAD = np.array(
    [[-0.50, 0.0, 0.0], [0.50, 0.0, 0.0], [0.0, 0.42, 0.42], [-0.40, 1.00, 0.06], [0.40, 1.00, 0.06]], dtype=np.float64
)
"""The five points of an average head in eye distances: x to the image's right, y down, z towards the camera."""

_RIGID = (35, 39, 89, 93, 72, 73, 74, 86, 80, 77, 83, 78, 84)
"""Landmarks that neither speech nor lids move: corners of the eyes, bridge, tip, wings and base of the nose."""
_RIGID_HEAD = np.array([
    (-0.746, -0.018, -0.058), (-0.254, 0.017, 0.067), (0.252, 0.017, 0.063), (0.748, -0.016, -0.072),
    (-0.001, -0.043, 0.299), (-0.001, 0.182, 0.400), (-0.001, 0.399, 0.552), (-0.001, 0.595, 0.733),
    (0.000, 0.757, 0.230), (-0.275, 0.674, 0.397), (0.275, 0.675, 0.389), (-0.180, 0.740, 0.381),
    (0.180, 0.741, 0.375),
]) * (1.0, 1.0, 0.85)  # fmt: skip
"""These on the mean of 60 studio people, in eye distances; their noses stand out further than people's do."""
_FACE_MIDDLE, _FACE_RADII = (0.5, 0.56), (0.30, 0.38)  # of the ellipse that a face fills in the aligned crop


def blur(crop: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of the inner crop, in grey levels squared; small: blurred (Pech-Pacheco 2000)."""
    side = crop.shape[0]
    inner = crop[side // 5 : side - side // 10, side // 5 : side - side // 5]
    return float(cv2.Laplacian(cv2.cvtColor(inner, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


def exposure(crop: NDArray[np.uint8]) -> float:
    """Mean luma (BT.601) of the crop's inner part, 0..1."""
    side = crop.shape[0]
    inner = crop[side // 5 : side - side // 10, side // 5 : side - side // 5]
    return float(cv2.cvtColor(inner, cv2.COLOR_RGB2GRAY).mean() / 255)


def face_height(bbox: NDArray) -> NDArray[np.float64]:
    """Height in pixels of boxes [..., 4]."""
    bbox = np.asarray(bbox, dtype=np.float64)
    return np.asarray(bbox[..., 3] - bbox[..., 1])


def face_inside(face: NDArray, width: int, height: int) -> NDArray[np.float64]:
    """Share 0..1 of a face that lies within the picture, float64 [T].

    Args:
        face: boxes [T,4], five points [T,5,2] or landmarks [T,106,2], frame pixels.
        width, height: of the frame.

    Of points the face is the ellipse that it fills in the crop aligned on eyes and nose. The smaller of what box and
    points say is to be trusted: some detectors end boxes at the picture's edge, and all push points inside it.
    """
    face = np.asarray(face, dtype=np.float64)
    if face.shape[-1] == 4:
        x0, y0, x1, y1 = np.moveaxis(face, -1, 0)
        across = np.clip(x1, 0, width) - np.clip(x0, 0, width)
        down = np.clip(y1, 0, height) - np.clip(y0, 0, height)
        return np.asarray(across * down / np.maximum((x1 - x0) * (y1 - y0), 1e-9))
    points = face if face.shape[-2] == 5 else kps_from(face)
    x, y = np.meshgrid(np.linspace(-1, 1, 25), np.linspace(-1, 1, 25))
    disc = np.stack([x, y], axis=-1)[np.hypot(x, y) <= 1]
    ellipse = (np.array(_FACE_MIDDLE) + disc * np.array(_FACE_RADII)) * crops.CROP_SIZE
    placed = np.stack([crops.transform_points(crops.invert(one), ellipse) for one in crops.crop_matrices(points)])
    inside = (placed >= -0.5) & (placed <= np.array([width - 0.5, height - 0.5]))
    return np.asarray(inside.all(axis=-1).mean(axis=-1))


def head_pose(kps: NDArray) -> NDArray[np.float64]:
    """Yaw, pitch, roll in radians, float64 [..., 3], from five points [..., 5, 2] or landmarks [..., 106, 2].

    Scaled orthography: the affine map that takes `HEAD` to the points in the least-squares sense, and the rotation
    nearest to it (the POS step of DeMenthon & Davis 1995). Closed form, needs no camera, and cannot flip the head
    over as a perspective solver with five points does. Yaw is positive when the head turns to the image's right,
    pitch when it looks down, roll when it leans clockwise. Landmarks tell it to two or three degrees; five points let
    a person's own nose shift yaw and pitch by many more.
    """
    kps = np.asarray(kps, dtype=np.float64)
    known = HEAD
    if kps.shape[-2] > len(HEAD):
        kps, known = kps[..., list(_RIGID), :], _RIGID_HEAD
    head = known - known.mean(axis=0)
    points = kps - kps.mean(axis=-2, keepdims=True)
    affine = np.einsum("...ni,jn->...ij", points, np.linalg.pinv(head))  # [..., 2, 3]
    left, _, right = np.linalg.svd(affine, full_matrices=False)
    rows = left @ right
    third = np.cross(rows[..., 0, :], rows[..., 1, :])
    # Where the nose points, as seen in the image, and which way the eyes' line leans.
    forward = np.stack([rows[..., 0, 2], rows[..., 1, 2], third[..., 2]], axis=-1)
    yaw = np.arctan2(forward[..., 0], forward[..., 2])
    pitch = np.arctan2(forward[..., 1], np.hypot(forward[..., 0], forward[..., 2]))
    roll = np.arctan2(rows[..., 1, 0], rows[..., 0, 0])
    return np.stack([yaw, pitch, roll], axis=-1)
