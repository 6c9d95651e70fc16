"""Heads cut out of the stills and put somewhere else: the pictures that the face pack learns from."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.training.backdrops import backdrop, scramble
from tasks.training.photometric import degrade, recolour
from tasks.training.stills import Stills

Image = NDArray[np.uint8]
Points = NDArray[np.float32]


def similarity(
    scale: float, angle: float, source: NDArray[np.floating], target: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Matrix [2,3] that scales, turns by ``angle`` rad and brings the point ``source`` to ``target``."""
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return np.concatenate([turn, (np.asarray(target) - turn @ np.asarray(source))[:, None]], 1)


def move(points: NDArray[np.floating], matrix: NDArray[np.float64]) -> Points:
    """Points [...,2] through a matrix [2,3]."""
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def move_box(box: NDArray[np.floating], matrix: NDArray[np.float64]) -> Points:
    """The box round the turned ellipse of a box: a head is round, so its turned corners would claim too much."""
    centre = move((box[:2] + box[2:]) / 2, matrix)
    half = np.sqrt((matrix[:, :2] ** 2) @ (((box[2:] - box[:2]) / 2) ** 2))
    return np.concatenate([centre - half, centre + half]).astype(np.float32)


def change_background(rng: np.random.Generator, frame: Image, alpha: Image) -> Image:
    """The head of a still before a new backdrop."""
    behind = backdrop(rng, *frame.shape[:2])
    return np.asarray(cv2.blendLinear(frame, behind, alpha / np.float32(255), 1 - alpha / np.float32(255)), np.uint8)


def _shrunk(image: Image, scale: float) -> tuple[Image, float]:
    """A picture averaged down to near its final scale, since warping alone would alias; and the scale still to do."""
    if scale >= 0.75:
        return image, scale
    side = max(4, round(image.shape[0] * scale))
    small = np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    return small, scale * image.shape[0] / side


def paste(canvas: Image, frame: Image, alpha: Image, matrix: NDArray[np.float64]) -> Image:
    """``canvas`` with a head (``frame``, ``alpha``) laid on it through ``matrix`` (still px -> canvas px)."""
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    picture, left = _shrunk(np.dstack([frame, alpha]), scale)
    shrink = scale / left
    inner = matrix.copy()
    inner[:, :2] /= shrink
    inner[:, 2] += inner[:, :2] @ np.full(2, 0.5 * (1 - shrink))  # resizing keeps pixel edges, not pixel centres
    height, width = canvas.shape[:2]
    warped = cv2.warpAffine(picture, inner, (width, height), flags=cv2.INTER_LINEAR)
    weight = warped[..., 3] / np.float32(255)
    return np.asarray(cv2.blendLinear(np.ascontiguousarray(warped[..., :3]), canvas, weight, 1 - weight), np.uint8)


def _overlap(box: Points, others: list[Points]) -> float:
    worst = 0.0
    for other in others:
        inner = np.clip(np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]), 0, None).prod()
        worst = max(worst, float(inner / min((box[2:] - box[:2]).prod(), (other[2:] - other[:2]).prod())))
    return worst


def _occlude(rng: np.random.Generator, canvas: Image, box: Points) -> None:
    """Something in front of a part of the face: a hand, a microphone, a bar."""
    size = box[2:] - box[:2]
    x, y = (box[:2] + size * rng.uniform(0, 1, 2)).astype(int)
    a, b = (size * rng.uniform(0.08, 0.25, 2)).astype(int)
    colour = tuple(int(value) for value in rng.integers(0, 256, 3))
    cv2.ellipse(
        canvas, (int(x), int(y)), (int(a) + 1, int(b) + 1), float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA
    )


def scene(rng: np.random.Generator, stills: Stills, size: int) -> tuple[Image, Points, Points]:
    """A picture uint8 RGB [size,size,3] with K >= 0 heads; boxes float32 [K,4] and points [K,5,2] in pixels.

    A fifth has no face at all; half of these carry scrambled heads, so that colours and edges of a face are not enough.
    """
    canvas = backdrop(rng, size, size)
    live = np.array([size, size])
    if rng.random() < 0.4:  # insightface fills what a frame's shape leaves of the detector's input with black
        live[rng.integers(2)] = int(size * rng.uniform(0.5, 1.0))
    count = int(rng.choice([0, 1, 2, 3, 4], p=[0.22, 0.42, 0.2, 0.1, 0.06]))
    if (count == 0 and rng.random() < 0.5) or rng.random() < 0.1:
        for _ in range(rng.integers(1, 4)):
            _strew(rng, canvas, stills)
    boxes: list[Points] = []
    points: list[Points] = []
    for _ in range(count):
        row = int(rng.integers(len(stills)))
        box = stills.bbox[row]
        largest = float(live.min()) * (0.95 if count == 1 else 0.5)
        face = float(np.exp(rng.uniform(np.log(16), np.log(largest))))
        close_up = count == 1 and rng.random() < 0.15  # an aligned crop, a portrait: the head leaves the picture
        if close_up:
            face = float(live.min()) * rng.uniform(0.85, 1.35)
        angle = float(rng.normal(0, 0.15) if rng.random() < 0.85 else rng.uniform(-0.8, 0.8))
        scale = face / float((box[2:] - box[:2]).max())
        for _ in range(6):
            edge = 0.3 * face if not close_up else 0.45 * live
            target = rng.uniform(edge, live - edge)
            matrix = similarity(scale, angle, (box[:2] + box[2:]) / 2, target)
            moved = move_box(box, matrix)
            if _overlap(moved, boxes) < 0.15:
                break
        else:
            continue
        alpha = stills.alpha[row]
        if rng.random() < 0.25:  # with its own background: a picture in the picture
            alpha = np.full_like(alpha, 255)
        canvas = paste(canvas, stills.frames[row], alpha, matrix)
        boxes.append(moved)
        points.append(move(stills.kps[row], matrix))
        if rng.random() < 0.08:
            _occlude(rng, canvas, moved)
    canvas = degrade(rng, recolour(rng, canvas), 0.6)
    canvas[live[1] :], canvas[:, live[0] :] = 0, 0
    return canvas, np.reshape(boxes, (-1, 4)).astype(np.float32), np.reshape(points, (-1, 5, 2)).astype(np.float32)


def _strew(rng: np.random.Generator, canvas: Image, stills: Stills) -> None:
    """Put the scrambled tiles of a head somewhere."""
    size = len(canvas)
    side = int(rng.integers(24, max(25, size // 2)))
    x, y = rng.integers(0, size - side, 2)
    tiles = scramble(rng, stills.frames[rng.integers(len(stills))], int(rng.integers(3, 5)))
    tiles = np.asarray(cv2.resize(tiles, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    shown = np.ones((side, side), bool)
    if rng.random() < 0.5:  # round, too: the outline of a head alone is not a face either
        row, column = (np.indices((side, side)) - side / 2) / (side / 2)
        shown = row**2 + (column / rng.uniform(0.6, 0.9)) ** 2 < 1
    canvas[y : y + side, x : x + side][shown] = tiles[shown]
