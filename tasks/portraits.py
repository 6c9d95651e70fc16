"""Pictures as people send them: turned, transparent, too large."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from storage.errors import InputFailed

_GREY = 128.0


def read_portrait(path: str | os.PathLike[str], largest: int) -> NDArray[np.uint8]:
    """uint8 RGB [H,W,3], upright, even sides, the longer one at most `largest` pixels; transparency on grey.

    Raises:
        InputFailed: missing, or not a picture.
    """
    try:
        data = np.frombuffer(Path(path).read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise InputFailed(os.fspath(path), f"cannot be read: {error}", "check the path", stage="probe") from error
    drawn = _on_grey(data) if len(data) else None
    if drawn is None:
        raise InputFailed(os.fspath(path), "is not a picture", "give a PNG, JPEG or WebP file", stage="probe")
    image: NDArray[Any] = drawn
    height, width = image.shape[:2]
    scale = min(1.0, largest / max(height, width))
    size = tuple(max(2, round(side * scale / 2) * 2) for side in (width, height))
    if size != (width, height):
        image = cv2.resize(image, (size[0], size[1]), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _on_grey(data: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """A picture file as uint8 BGR, turned upright, with grey where it is transparent; None if it is no picture."""
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    raw = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if image is None or raw is None or raw.ndim != 3 or raw.shape[2] != 4 or raw.shape[:2] != image.shape[:2]:
        return None if image is None else np.asarray(image, dtype=np.uint8)
    share = raw[..., 3:].astype(np.float32) / (65535.0 if raw.dtype == np.uint16 else 255.0)
    return np.asarray(np.rint(image * share + _GREY * (1 - share)), dtype=np.uint8)
