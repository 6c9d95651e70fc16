"""Pictures without a face, drawn at random: what stands behind a pasted head, and what a detector must not fire on."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,:?!-"


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
    return red, green, blue


def _skin(rng: np.random.Generator) -> tuple[int, int, int]:
    """A colour that skin could have: the tempting kind of false positive."""
    light = rng.uniform(0.25, 1.0)
    red, green, blue = (np.array([232, 180, 150]) * light * rng.uniform(0.85, 1.1, 3)).clip(0, 255).astype(int)
    return int(red), int(green), int(blue)


def clouds(rng: np.random.Generator, height: int, width: int) -> Image:
    """Soft noise in several sizes between two colours (walls, foliage, out-of-focus rooms)."""
    field = np.zeros((height, width), np.float32)
    for cells in (2, 5, 11, 29):
        coarse = rng.random((cells, cells), np.float32)
        field += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * rng.random() * 2 / cells**0.5
    field = (field - field.min()) / max(float(np.ptp(field)), 1e-6)
    low, high = np.array(_colour(rng), np.float32), np.array(_colour(rng), np.float32)
    return (low + (high - low) * field[..., None]).astype(np.uint8)


def gradient(rng: np.random.Generator, height: int, width: int) -> Image:
    """Four corner colours, blended."""
    corners = rng.integers(0, 256, (2, 2, 3)).astype(np.float32)
    return cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR).clip(0, 255).astype(np.uint8)


def shapes(rng: np.random.Generator, height: int, width: int) -> Image:
    """Rectangles, ellipses and lines over a gradient; some skin-coloured, some in pairs like eyes."""
    image = gradient(rng, height, width)
    for _ in range(rng.integers(3, 18)):
        colour = _skin(rng) if rng.random() < 0.3 else _colour(rng)
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        a, b = int(rng.integers(4, max(5, width // 3))), int(rng.integers(4, max(5, height // 3)))
        kind = rng.integers(0, 4)
        thickness = int(rng.choice([-1, -1, 1, 3]))
        if kind == 0:
            cv2.rectangle(image, (x, y), (x + a, y + b), colour, thickness)
        elif kind == 1:
            cv2.ellipse(
                image, (x, y), (a // 2, b // 2), float(rng.uniform(0, 180)), 0, 360, colour, thickness, cv2.LINE_AA
            )
        elif kind == 2:
            cv2.line(image, (x, y), (x + a, y - b), colour, int(rng.integers(1, 6)), cv2.LINE_AA)
        else:
            radius = int(rng.integers(2, 12))
            for side in (-1, 1):
                cv2.circle(image, (x + side * 2 * radius, y), radius, colour, thickness, cv2.LINE_AA)
    return image


def title_card(rng: np.random.Generator, height: int, width: int) -> Image:
    """Lines of text on a plain or soft ground."""
    image = gradient(rng, height, width) if rng.random() < 0.4 else np.full((height, width, 3), _colour(rng), np.uint8)
    for _ in range(rng.integers(1, 9)):
        text = "".join(rng.choice(list(LETTERS), int(rng.integers(3, 24))))
        place = (int(rng.integers(-20, width // 2 + 1)), int(rng.integers(10, height + 1)))
        font = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX]))
        cv2.putText(
            image, text, place, font, float(rng.uniform(0.3, 2.5)), _colour(rng), int(rng.integers(1, 5)), cv2.LINE_AA
        )
    return image


def stripes(rng: np.random.Generator, height: int, width: int) -> Image:
    """A wave pattern or a checker board in two colours."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), rng.uniform(4, 60)
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)
    if rng.random() < 0.4:
        wave = wave * np.sin((y * np.cos(angle) - x * np.sin(angle)) * 2 * np.pi / period)
    mix = (np.sign(wave) if rng.random() < 0.5 else wave)[..., None] * 0.5 + 0.5
    return (np.array(_colour(rng)) * mix + np.array(_colour(rng)) * (1 - mix)).astype(np.uint8)


def speckle(rng: np.random.Generator, height: int, width: int) -> Image:
    """Noise, coarse or fine."""
    cell = int(rng.choice([1, 2, 4, 8, 16]))
    noise = rng.integers(0, 256, (-(-height // cell), -(-width // cell), 3), dtype=np.uint8)
    how = cv2.INTER_NEAREST if rng.random() < 0.5 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(noise, (width, height), interpolation=how), np.uint8)


def blank(rng: np.random.Generator, height: int, width: int) -> Image:
    """One colour, often black (fades between scenes) or skin."""
    colour = [(0, 0, 0), _skin(rng), _colour(rng)][rng.integers(0, 3)]
    return np.full((height, width, 3), colour, np.uint8)


KINDS: tuple[Callable[[np.random.Generator, int, int], Image], ...] = (
    clouds, gradient, shapes, title_card, stripes, speckle, blank,
)  # fmt: skip
CHANCES = np.array([0.28, 0.14, 0.22, 0.14, 0.08, 0.06, 0.08])


def backdrop(rng: np.random.Generator, height: int, width: int) -> Image:
    """A random face-free picture, uint8 RGB [height,width,3]."""
    image = KINDS[rng.choice(len(KINDS), p=CHANCES)](rng, height, width)
    if rng.random() < 0.25:
        other = KINDS[rng.choice(len(KINDS), p=CHANCES)](rng, height, width)
        image = np.asarray(cv2.addWeighted(image, 0.5, other, 0.5, 0), np.uint8)
    return np.ascontiguousarray(image)


def scramble(rng: np.random.Generator, image: Image, tiles: int = 3) -> Image:
    """The tiles of a picture in another order and turned: a face's colours and edges without a face."""
    side = min(image.shape[:2]) // tiles
    cut = [image[r * side : (r + 1) * side, c * side : (c + 1) * side] for r in range(tiles) for c in range(tiles)]
    order = rng.permutation(len(cut))
    rows = [
        np.concatenate([np.rot90(cut[order[r * tiles + c]], int(rng.integers(1, 4))) for c in range(tiles)], 1)
        for r in range(tiles)
    ]
    return np.ascontiguousarray(np.concatenate(rows))
