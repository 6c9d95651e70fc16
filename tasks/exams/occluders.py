"""Things before a face: a hand, a microphone, a scarf, a mask, a cup; what each hides of the lower face is known."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models import landmarks106 as lm
from tasks.exams.footage import Frames, hand, over

KINDS = ("hand", "microphone", "scarf", "mask", "cup")


def occlude(frame: Frames, landmarks: NDArray, kind: str, rng: np.random.Generator) -> tuple[Frames, float]:
    """A frame uint8 [H,W,3] with a thing before the face of these landmarks [106,2], and the share 0..1 of the lower
    face, from nose to chin, that it hides.
    """
    height, width = frame.shape[:2]
    chin, base = landmarks[lm.CHIN], landmarks[lm.NOSE_BASE]
    mouth = landmarks[list(lm.LIPS_OUTER)].mean(axis=0)
    unit = float(np.linalg.norm(chin - base))
    place = mouth + rng.uniform(-0.35, 0.35, 2) * unit
    skin = frame[tuple(np.clip(np.round(landmarks[lm.NOSE_BRIDGE[1]][::-1]).astype(int), 0, [height - 1, width - 1]))]
    colour = rng.uniform(20, 230, 3)
    if kind == "hand":
        angle = float(rng.uniform(-2.6, -0.5))
        cover = hand((width, height), (place[0], place[1]), 0.55 * unit, angle)
        colour = skin * rng.uniform(0.8, 1.15) * rng.uniform(0.95, 1.05, 3)
    elif kind == "microphone":
        cover = _microphone((width, height), place + np.array([0.0, 0.4]) * unit, unit, rng)
        colour = np.full(3, rng.uniform(15, 90))
    elif kind == "cup":
        cover = _polygon(
            (width, height), place + unit * np.array([[-0.7, -0.5], [0.7, -0.5], [0.55, 1.2], [-0.55, 1.2]])
        )
    else:
        outline = landmarks[list(lm.CONTOUR[6:-6])]
        top = base + rng.uniform(-0.3, 0.25) * unit * np.array([0.0, 1.0])
        wide = 1.15 * (outline - mouth) + mouth
        low = wide + np.array([0.0, 1.2 if kind == "scarf" else 0.05]) * unit
        cover = _polygon(
            (width, height), cv2.convexHull(np.concatenate([wide, low, top[None]]).astype(np.float32))[:, 0]
        )
    cover = np.asarray(cv2.GaussianBlur(cover, (0, 0), 0.7))
    picture = over(frame, cover, _shaded(frame.shape, np.clip(colour, 0, 255), kind, rng))
    lower = _polygon((width, height), np.concatenate([landmarks[list(lm.CONTOUR[6:-6])], base[None]]))
    return picture, float((cover * lower).sum() / max(float(lower.sum()), 1.0))


def _polygon(size: tuple[int, int], points: NDArray) -> NDArray[np.float32]:
    canvas = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(canvas, [np.round(16 * points).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    return canvas.astype(np.float32) / np.float32(255)


def _microphone(size: tuple[int, int], head: NDArray, unit: float, rng: np.random.Generator) -> NDArray[np.float32]:
    canvas = np.zeros((size[1], size[0]), np.uint8)
    foot = head + np.array([rng.uniform(-1.5, 1.5), 4.0]) * unit
    ends = [tuple(np.round(point).astype(int).tolist()) for point in (head, foot)]
    cv2.line(canvas, ends[0], ends[1], 255, max(2, round(0.35 * unit)), cv2.LINE_AA)
    cv2.circle(canvas, ends[0], max(3, round(0.5 * unit)), 255, -1, cv2.LINE_AA)
    return canvas.astype(np.float32) / np.float32(255)


def _shaded(shape: tuple[int, ...], colour: NDArray, kind: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """A picture [H,W,3] of that colour, lit from one side, with the weave of cloth where it is cloth."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 + 0.25 * np.sin((x * np.cos(angle) + y * np.sin(angle)) / rng.uniform(15, 40))
    if kind == "scarf":
        light = light * (1 + 0.15 * np.sin(y / rng.uniform(1.0, 3.0) + x / 9))
    return np.clip(light[..., None] * colour, 0, 255).astype(np.float32)
