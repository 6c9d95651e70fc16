"""What cameras and codecs do to a picture: colour, blur, resolution, noise, compression. Geometry is left alone."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def recolour(rng: np.random.Generator, image: Image) -> Image:
    """Gain and gamma per channel, contrast, now and then grey."""
    ramp = np.arange(256, dtype=np.float32)[:, None] / 255
    gain = rng.uniform(0.75, 1.25) * rng.uniform(0.9, 1.1, 3)
    contrast = rng.uniform(0.75, 1.25)
    curve = ((ramp ** rng.uniform(0.7, 1.4) - 0.5) * contrast + 0.5) * gain + rng.uniform(-0.06, 0.06)
    table = (curve.clip(0, 1) * 255).astype(np.uint8)
    image = np.asarray(cv2.LUT(np.ascontiguousarray(image), table[:, None]), np.uint8)
    if rng.random() < 0.1:
        image = np.repeat(image.mean(-1, keepdims=True).astype(np.uint8), 3, -1)
    return image


def degrade(rng: np.random.Generator, image: Image, strength: float = 1.0) -> Image:
    """Blur, a round trip through a lower resolution, noise and JPEG blocks, each with some chance; shape is kept."""
    height, width = image.shape[:2]
    if rng.random() < 0.35:
        small = rng.uniform(1.0, 1.0 + 1.5 * strength)
        low = cv2.resize(image, (max(8, int(width / small)), max(8, int(height / small))), interpolation=cv2.INTER_AREA)
        image = np.asarray(cv2.resize(low, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    if rng.random() < 0.25:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.3 + 1.2 * strength)), np.uint8)
    if rng.random() < 0.3:
        noise = rng.standard_normal((height, width, 1 if rng.random() < 0.5 else 3), np.float32)
        image = (image + noise * rng.uniform(1, 1 + 9 * strength)).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = int(rng.integers(95 - int(60 * min(strength, 1.0)), 96))
        coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return np.asarray(image, np.uint8)
