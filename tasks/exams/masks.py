"""The exam of `tasks.masks`: labels drawn from measured landmarks against what the studio knows of every pixel."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models import landmarks106 as lm
from tasks import crops, masks
from tasks.config import Config
from tasks.exams.footage import grain, script, through_the_encoder
from tasks.exams.registry import Finding
from tasks.experts import Experts
from tasks.studio import materials

SIZE = (192, 160)
_FACE = (
    materials.SKIN, materials.LIPS, materials.EYE, materials.BROW, materials.MOUTH_INSIDE, materials.TEETH,
    materials.TONGUE, materials.GLASSES,
)  # fmt: skip
_MOUTH = (materials.LIPS, materials.MOUTH_INSIDE, materials.TEETH, materials.TONGUE)
_FINE = 4

Bools = NDArray[np.bool_]


def exam(config: Config, experts: Experts, quick: bool, seed: int) -> list[Finding]:
    """IoU of face, lips and eyes in the aligned crop, by the configured face pack's landmarks."""
    size = config.preprocess.crop_size
    people, moments = (6, (0.4, 1.1)) if quick else (24, (0.4, 0.9, 1.5))
    found: list[tuple[float, float, float]] = []
    missed = 0
    for person in range(people):
        rng = np.random.default_rng([seed, person, 0x3A5])
        rendered = script(seed, person, 0, at=moments, framing=(0.6, 0.85)).film(SIZE)
        frames = through_the_encoder(grain(rendered.frames, float(rng.uniform(0.5, 2.5)), rng), 20)
        for index, frame in enumerate(frames):
            faces = experts.faces.detect(frame, embed=False)
            if not faces:
                missed += 1
                continue
            matrix = crops.crop_matrix(faces[0].kps, size)
            points = crops.transform_points(matrix, faces[0].landmarks)
            labels = masks.label_mask(points, size, crops.warp(frame, matrix, size))
            truth = true_parts(rendered.materials[index], rendered.landmarks[index], matrix, size)
            face, lips, eyes = (iou(a, b) for a, b in zip(_parts(labels), truth, strict=True))
            found.append((face, lips, eyes))
    means = np.mean(found, axis=0)
    cases = len(found)
    return [
        Finding(
            "face IoU", float(means[0]), 0.9, cases=cases, note="skin from chin to hairline, without ears and neck"
        ),
        Finding("worst face IoU", float(min(face for face, _, _ in found)), None, cases=cases),
        Finding("lips IoU", float(means[1]), None, cases=cases, note="with what lies between them"),
        Finding("eyes IoU", float(means[2]), None, cases=cases, note="the visible eyeballs, about 10 x 4 pixels"),
        Finding("faces not found", missed, None, "faces", higher_is_better=False, cases=cases + missed),
    ]


def _parts(labels: NDArray[np.uint8]) -> tuple[Bools, Bools, Bools]:
    return labels != masks.OUTSIDE, labels == masks.LIPS, labels == masks.EYES


def iou(a: Bools, b: Bools) -> float:
    """Pixels in both over pixels in either; 1 where both are empty."""
    either = int((a | b).sum())
    return float((a & b).sum() / either) if either else 1.0


def true_parts(ids: NDArray[np.uint8], landmarks: NDArray, matrix: NDArray, size: int) -> tuple[Bools, Bools, Bools]:
    """Face, lips and eyes bool [size,size] in the crop, from the studio's material ids [H,W] and landmarks [106,2].

    The face is bare skin, and what lies on it, inside the outline from ear to ear, up to a forehead as high as the nose
    is long (on bald heads too): neck, ears, hair and scalp are not.
    """
    points = landmarks - 0.5  # the studio's pixel centres lie at +0.5, those of an array's indices at 0
    eyes = points[[*lm.LEFT_EYE, *lm.RIGHT_EYE]].mean(axis=0)
    brows = points[[*lm.LEFT_BROW, *lm.RIGHT_BROW]].mean(axis=0)
    up = (eyes - points[lm.CHIN]) / np.linalg.norm(eyes - points[lm.CHIN])
    outline = points[list(lm.CONTOUR)]
    across = outline[-1] - outline[0]
    height, width = ids.shape
    far = (height + width) * up
    region = np.concatenate([outline, outline[-1:] + far + across, outline[:1] + far - across])
    inside = np.zeros((height * _FINE, width * _FINE), np.uint8)
    cv2.fillPoly(inside, [np.round(16 * ((region + 0.5) * _FINE - 0.5)).astype(np.int32)], 1, shift=4)
    y, x = (np.mgrid[0 : height * _FINE, 0 : width * _FINE] + 0.5) / _FINE - 0.5
    above = (x - brows[0]) * up[0] + (y - brows[1]) * up[1]
    inside[above > (brows - points[lm.NOSE_BASE]) @ up] = 0
    fine = ids.repeat(_FINE, axis=0).repeat(_FINE, axis=1)
    moved = matrix.copy()
    moved[:, :2] /= _FINE
    moved[:, 2] += moved[:, :2] @ np.full(2, 0.5 - _FINE / 2)

    def seen(part: Bools) -> Bools:
        return np.asarray(cv2.warpAffine(part.astype(np.float32), moved, (size, size)) > 0.5)

    return seen(np.isin(fine, _FACE) & (inside > 0)), seen(np.isin(fine, _MOUTH)), seen(fine == materials.EYE)
