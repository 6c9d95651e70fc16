"""The 106 facial landmarks in the order of insightface's 2d106 models, as named groups of indices.

Sides are the image's. The order is a public fact of the 2d106det model (insightface, alignment/coordinate_reg, its
markup picture and the widely used table from 106 to iBUG-68 points).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

COUNT = 106

# Ear to ear by way of the chin (index 0).
CONTOUR = (
    1, 9, 10, 11, 12, 13, 14, 15, 16, 2, 3, 4, 5, 6, 7, 8, 0,
    24, 23, 22, 21, 20, 19, 18, 32, 31, 30, 29, 28, 27, 26, 25, 17,
)  # fmt: skip
CHIN = 0
# Closed outlines, clockwise from the image-left corner: corner, upper lid, corner, lower lid.
LEFT_EYE = (35, 41, 40, 42, 39, 37, 33, 36)
LEFT_PUPIL = (34, 38)
RIGHT_EYE = (89, 95, 94, 96, 93, 91, 87, 90)
RIGHT_PUPIL = (88, 92)
# Closed outlines: the upper edge from image left to right, then the lower edge back.
LEFT_BROW = (43, 48, 49, 51, 50, 46, 47, 45, 44)
RIGHT_BROW = (102, 103, 104, 105, 101, 100, 99, 98, 97)
NOSE_BRIDGE = (72, 73, 74, 86)
NOSE_TIP = 86
NOSE_LEFT = (75, 76, 77, 78, 79)
NOSE_BASE = 80
NOSE_RIGHT = (81, 82, 83, 84, 85)
NOSE = (72, 73, 74, 86, 75, 76, 77, 78, 79, 80, 85, 84, 83, 82, 81)
# Closed outlines, clockwise from the image-left corner: upper edge, right corner, lower edge.
LIPS_OUTER = (52, 64, 63, 71, 67, 68, 61, 58, 59, 53, 56, 55)
LIPS_INNER = (65, 66, 62, 70, 69, 57, 60, 54)
MOUTH = tuple(range(52, 72))
MOUTH_LEFT = 52
MOUTH_RIGHT = 61
INNER_UPPER = 62
INNER_LOWER = 60
# iBUG-68 point i is landmark IBUG68[i] here.
IBUG68 = (
    1, 10, 12, 14, 16, 3, 5, 7, 0, 23, 21, 19, 32, 30, 28, 26, 17,
    43, 48, 49, 51, 50, 102, 103, 104, 105, 101, 72, 73, 74, 86, 78, 79, 80, 85, 84,
    35, 41, 42, 39, 37, 36, 89, 95, 96, 93, 91, 90,
    52, 64, 63, 71, 67, 68, 61, 58, 59, 53, 56, 55, 65, 66, 62, 70, 69, 57, 60, 54,
)  # fmt: skip
# The counterpart of each landmark in the mirrored picture.
MIRROR = (
    0, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 1, 2, 3, 4, 5, 6, 7,
    8, 9, 10, 11, 12, 13, 14, 15, 16, 87, 88, 93, 91, 90, 92, 89, 94, 96, 95, 101, 100, 99, 97, 98,
    105, 104, 102, 103, 61, 53, 57, 58, 59, 54, 55, 56, 60, 52, 62, 67, 68, 69, 70, 63, 64, 65, 66, 71,
    72, 73, 74, 81, 82, 83, 84, 85, 80, 75, 76, 77, 78, 79, 86, 33, 34, 39, 37, 36, 38, 35, 40, 42,
    41, 46, 47, 45, 44, 43, 50, 51, 49, 48,
)  # fmt: skip
# Mean frontal face at rest: the studio's first 200 people, in eye distances from the point between the eyes, y down.
MEAN_SHAPE: npt.NDArray[np.float64] = np.array(
    [
        (0.000, 1.784), (-1.021, 0.115), (-0.757, 1.251), (-0.664, 1.334), (-0.571, 1.416), (-0.473, 1.493),
        (-0.379, 1.600), (-0.273, 1.708), (-0.141, 1.766), (-0.994, 0.281), (-0.966, 0.427), (-0.949, 0.556),
        (-0.945, 0.677), (-0.941, 0.799), (-0.926, 0.922), (-0.892, 1.042), (-0.836, 1.154), (1.021, 0.115),
        (0.757, 1.251), (0.664, 1.334), (0.571, 1.416), (0.473, 1.493), (0.379, 1.600), (0.273, 1.708),
        (0.141, 1.766), (0.994, 0.281), (0.966, 0.427), (0.949, 0.556), (0.945, 0.677), (0.941, 0.799),
        (0.926, 0.922), (0.892, 1.042), (0.836, 1.154), (-0.501, 0.091), (-0.501, -0.002), (-0.747, -0.012),
        (-0.625, 0.067), (-0.376, 0.074), (-0.501, 0.004), (-0.251, 0.021), (-0.501, -0.094), (-0.625, -0.075),
        (-0.376, -0.071), (-0.743, -0.335), (-0.620, -0.325), (-0.477, -0.321), (-0.186, -0.282), (-0.332, -0.304),
        (-0.619, -0.391), (-0.476, -0.417), (-0.186, -0.402), (-0.332, -0.424), (-0.396, 1.133), (0.000, 1.293),
        (-0.159, 1.138), (-0.263, 1.231), (-0.136, 1.277), (0.159, 1.138), (0.263, 1.231), (0.136, 1.277),
        (0.000, 1.139), (0.396, 1.133), (0.000, 1.122), (-0.108, 1.004), (-0.247, 1.045), (-0.341, 1.130),
        (-0.159, 1.122), (0.108, 1.004), (0.247, 1.045), (0.341, 1.130), (0.159, 1.122), (0.000, 1.029),
        (0.000, -0.035), (0.000, 0.188), (0.000, 0.400), (-0.119, -0.025), (-0.209, 0.573), (-0.272, 0.677),
        (-0.177, 0.741), (-0.077, 0.748), (0.000, 0.760), (0.119, -0.025), (0.209, 0.573), (0.272, 0.677),
        (0.177, 0.741), (0.077, 0.748), (0.000, 0.590), (0.501, 0.091), (0.501, -0.002), (0.251, 0.021),
        (0.376, 0.074), (0.625, 0.067), (0.501, 0.004), (0.747, -0.012), (0.501, -0.094), (0.376, -0.071),
        (0.625, -0.075), (0.186, -0.282), (0.332, -0.304), (0.477, -0.321), (0.620, -0.325), (0.743, -0.335),
        (0.186, -0.402), (0.332, -0.424), (0.476, -0.417), (0.619, -0.391),
    ]
)  # fmt: skip

_FIVE = ((33, 35, 36, 37, 39, 40, 41, 42), (87, 89, 90, 91, 93, 94, 95, 96), (86,), (52,), (61,))


def kps_from(landmarks: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Five points [...,5,2] (eyes, nose tip, mouth corners; image order) of landmarks [...,106,2], in their units."""
    return np.stack([landmarks[..., list(index), :].mean(-2) for index in _FIVE], -2)


def eye_distance(landmarks: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Distance [...] between the eye centres of landmarks [...,106,2]."""
    five = kps_from(landmarks)
    return np.linalg.norm(five[..., 1, :] - five[..., 0, :], axis=-1)


def mouth_opening(landmarks: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Distance [...] between the inner lips' middles (62, 60) in eye distances, for landmarks [...,106,2]."""
    gap = np.linalg.norm(landmarks[..., INNER_UPPER, :] - landmarks[..., INNER_LOWER, :], axis=-1)
    return gap / np.maximum(eye_distance(landmarks), 1e-6)


def mirror(landmarks: npt.NDArray[np.floating], width: float) -> npt.NDArray[np.floating]:
    """Landmarks [...,106,2] in px of the left-right mirrored image of `width` px."""
    flipped = landmarks[..., list(MIRROR), :].copy()
    flipped[..., 0] = width - flipped[..., 0]
    return flipped


def derive(kps: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Landmarks float32 [...,106,2] guessed from five points [...,5,2]: the mean shape, moved by the best similarity.

    Least squares after Umeyama (1991). What five points do not say (mouth opening, expression) stays the mean's.
    """
    kps = np.asarray(kps, np.float64)
    mean = kps_from(MEAN_SHAPE)
    source = (mean - mean.mean(0)) @ np.array([1.0, 1.0j])
    target = (kps - kps.mean(-2, keepdims=True)) @ np.array([1.0, 1.0j])
    turn = (target @ source.conj()) / np.sum(np.abs(source) ** 2)
    shape = (MEAN_SHAPE - mean.mean(0)) @ np.array([1.0, 1.0j])
    moved = np.asarray(turn)[..., None] * shape
    return (np.stack([moved.real, moved.imag], -1) + kps.mean(-2, keepdims=True)).astype(np.float32)
