"""The exam of `tasks.quality`: head pose, blur, exposure, how much of a face is in the picture and uncovered."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from models.faces import Face
from models.landmarks106 import kps_from
from tasks import crops, quality
from tasks.config import Config
from tasks.exams.footage import Frames, grain, script, through_the_encoder
from tasks.exams.occluders import KINDS, occlude
from tasks.exams.registry import Finding
from tasks.experts import Experts
from tasks.studio.render import Rendered

SIZE = (192, 160)
HIDDEN = 0.2
"""Share of the lower face from which it counts as covered."""
_BLURS, _LIGHTS = (0.0, 0.7, 1.4, 2.8), (0.35, 0.6, 1.0, 1.5)


def exam(config: Config, experts: Experts, quick: bool, seed: int) -> list[Finding]:
    """Errors of the pose in degrees, orders kept of known blurs and lights, and both new measures against the truth."""
    people, moments = (5, (0.4, 1.1)) if quick else (24, (0.4, 0.9, 1.5))
    turned: list[NDArray] = []
    guessed: list[NDArray] = []
    orders: list[tuple[bool, bool]] = []
    inside: list[float] = []
    covered: list[tuple[float, float]] = []
    for person in range(people):
        rng = np.random.default_rng([seed, person, 0x9A1])
        scripted = script(seed, person, 0, at=moments, framing=(0.6, 0.85))
        spread = np.linspace(-0.6, 0.6, people) if people > 1 else np.zeros(1)
        scripted.controls.pose[:, 0] += np.float32(spread[person])
        rendered = scripted.film(SIZE)
        frames = through_the_encoder(grain(rendered.frames, float(rng.uniform(0.5, 2)), rng), 20)
        for index, frame in enumerate(frames):
            face = _face(frame, experts)
            if face is None:
                continue
            wanted = scripted.controls.pose[index, :3] * np.array([1, -1, 1])  # the studio's pitch looks up
            turned.append(np.degrees(quality.head_pose(face.landmarks) - wanted))
            guessed.append(np.degrees(quality.head_pose(face.kps) - wanted))
            orders.append(_orders(frame, face))
            inside.append(_inside_error(frame, rendered, index, rng, experts))
            covered.append((0.0, _occlusion(frame, face)))
            covered += _covered(frame, rendered.landmarks[index], quick, rng, experts)
    yaw, pitch, roll = np.abs(np.array(turned)).mean(axis=0)
    truth, told = np.array(covered).T
    kept = (truth == 0) | (truth >= HIDDEN)
    clean = told[truth == 0]
    rejected = float((clean > config.preprocess.max_occlusion).mean())
    blur, exposure = np.array(orders).mean(axis=0)
    errors = [error for error in inside if np.isfinite(error)]
    return [
        Finding("yaw error", float(yaw), 6.0, "deg", False, len(turned), "from the landmarks"),
        Finding("pitch error", float(pitch), 6.0, "deg", False, len(turned)),
        Finding("roll error", float(roll), 3.0, "deg", False, len(turned)),
        Finding("worst angle from five points", float(np.abs(np.array(guessed)).mean(axis=0).max()), None, "deg", False,
                len(turned), "where a pack measures no landmarks: a person's own nose shifts it"),
        Finding("blurs in their order", float(blur), 0.98, cases=len(orders)),
        Finding("lights in their order", float(exposure), 0.98, cases=len(orders)),
        Finding("face inside, mean error", float(np.mean(errors)), None, "", False, len(errors),
                "faces cut off by the picture's edge: all that the detector says of them is pushed inside"),
        Finding("occlusion AUC", auc(told[kept], truth[kept] >= HIDDEN), 0.85, cases=int(kept.sum())),
        Finding("good faces taken for covered", rejected, 0.02, "", False, len(clean)),
        Finding("half covered faces found", float((told[truth >= 0.5] > config.preprocess.max_occlusion).mean()), None,
                cases=int((truth >= 0.5).sum())),
    ]  # fmt: skip


def auc(scores: NDArray, positive: NDArray) -> float:
    """Chance that a positive scores above a negative (Mann and Whitney)."""
    count = int(positive.sum())
    rest = len(scores) - count
    return float((rankdata(scores)[positive].sum() - count * (count + 1) / 2) / max(count * rest, 1))


def _face(frame: Frames, experts: Experts) -> Face | None:
    found = experts.faces.detect(frame, embed=False)
    return max(found, key=lambda face: face.size) if found else None


def _crop(frame: Frames, face: Face) -> tuple[Frames, NDArray]:
    matrix = crops.crop_matrix(kps_from(face.landmarks))
    return crops.warp(frame, matrix), crops.transform_points(matrix, face.landmarks)


def _occlusion(frame: Frames, face: Face) -> float:
    return quality.occlusion(*_crop(frame, face))


def _orders(frame: Frames, face: Face) -> tuple[bool, bool]:
    """Are four known blurs and four known lights told in their order?"""
    blurred = [cv2.GaussianBlur(frame, (0, 0), sigma) if sigma else frame for sigma in _BLURS]
    lit = [np.clip(frame * gain, 0, 255).astype(np.uint8) for gain in _LIGHTS]
    sharp = [quality.blur(_crop(np.asarray(one), face)[0]) for one in blurred]
    light = [quality.exposure(_crop(one, face)[0]) for one in lit]
    return bool((np.diff(sharp) < 0).all()), bool((np.diff(light) > 0).all())


def _inside_error(frame: Frames, rendered: Rendered, index: int, rng: np.random.Generator, experts: Experts) -> float:
    """The picture ends somewhere within the face: distance of the share that is told from the true one."""
    box, height = rendered.bbox[index], frame.shape[0]
    end = int(box[0] + rng.uniform(0.35, 1.0) * (box[2] - box[0]))
    cut = np.ascontiguousarray(frame[:, : max(end, 32)])
    true = float(quality.face_inside(box[None], cut.shape[1], height)[0])
    face = _face(cut, experts)
    if face is None:
        return float("nan")
    told = [quality.face_inside(one[None], cut.shape[1], height)[0] for one in (face.bbox, face.kps)]
    return abs(float(min(told)) - true)


def _covered(
    frame: Frames, landmarks: NDArray, quick: bool, rng: np.random.Generator, experts: Experts
) -> list[tuple[float, float]]:
    """True and told share for things before this face; those that the detector does not see any more are left out."""
    shares = []
    for kind in rng.permutation(KINDS)[: 3 if quick else 2]:
        hidden, share = occlude(frame, landmarks, str(kind), rng)
        face = _face(hidden, experts)
        if face is not None:
            shares.append((share, _occlusion(hidden, face)))
    return shares
