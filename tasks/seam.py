"""How much of a seam the edge of a pasted face shows: change across that line, against the original's there."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_FINE = 1.0  # sigma in pixels below which a picture's values are noise of the sensor and of the encoder
_STEEP = 0.02  # of the share's steepest rise: from here on it is the edge
_FLOOR = 0.25  # grey levels squared a pixel: what rounding and the encoder leave of change where there is none


def seam_energies(
    original: NDArray[np.uint8], pasted: NDArray[np.uint8], share: NDArray[np.floating], sigma: float = _FINE
) -> tuple[float, float]:
    """Mean squared change across the edge of `share`, (grey levels per pixel) squared: of the original, of the result.

    A picture's gradient along that of the share, wherever the share changes: content counts in both alike,
    a step between old and new only in the result.

    Args:
        original, pasted: uint8 [H,W,3], the same part of a frame before and after.
        share: float [H,W], how much of the generated face the result holds.
        sigma: pixels; scale at which change is looked at.
    """
    rise = np.stack(_gradient(np.asarray(share, dtype=np.float32), _FINE))
    steep = np.sqrt((rise**2).sum(axis=0))
    edge = steep > max(_STEEP * float(steep.max()), 1e-4)
    total = float(edge.sum())
    if total == 0:
        return 0.0, 0.0
    across = rise / np.maximum(steep, 1e-9)
    energies = []
    for picture in (original, pasted):
        x, y = _gradient(picture.astype(np.float32), sigma)
        change = x * across[0][..., None] + y * across[1][..., None]
        energies.append(float((change**2).mean(axis=-1)[edge].sum()) / total)
    return energies[0], energies[1]


def seam_ratio(energies: list[tuple[float, float]]) -> float | None:
    """The result's energy over the original's, over all frames; 1: no seam; None without frames."""
    if not energies:
        return None
    before, after = np.mean(energies, axis=0) + _FLOOR
    return float(after / before)


def _gradient(picture: NDArray[np.float32], sigma: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Derivatives along x and y at scale `sigma`, per pixel."""
    smooth = cv2.GaussianBlur(picture, (0, 0), sigma)
    kernel = np.array([[-0.5, 0.0, 0.5]], dtype=np.float32)
    x, y = cv2.filter2D(smooth, cv2.CV_32F, kernel), cv2.filter2D(smooth, cv2.CV_32F, kernel.T)
    return np.asarray(x, dtype=np.float32), np.asarray(y, dtype=np.float32)
