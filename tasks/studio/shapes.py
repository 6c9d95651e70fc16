"""Signed-distance primitives on separate coordinate tensors (after I. Quilez's public formulas).

Coordinates come as three tensors, not one of [...,3]: a compiler then turns a whole head into one vectorised loop.
"""

from __future__ import annotations

import torch
from torch import Tensor


def square(value: Tensor) -> Tensor:
    """value²."""
    return value * value


def union(a: Tensor, b: Tensor, k: float) -> Tensor:
    """Smooth minimum: blends over a distance of about `k`."""
    h = torch.clamp(0.5 + (b - a) * (0.5 / k), 0.0, 1.0)
    return b + (a - b) * h - k * h * (1.0 - h)


def intersection(a: Tensor, b: Tensor, k: float) -> Tensor:
    """Smooth maximum."""
    h = torch.clamp(0.5 - (b - a) * (0.5 / k), 0.0, 1.0)
    return b + (a - b) * h + k * h * (1.0 - h)


def ellipsoid(x: Tensor, y: Tensor, z: Tensor, rx: Tensor | float, ry: Tensor | float, rz: Tensor | float) -> Tensor:
    """Distance (near the surface) to an ellipsoid at the origin with radii rx, ry, rz."""
    ux, uy, uz = x * (1.0 / rx), y * (1.0 / ry), z * (1.0 / rz)
    scale = torch.sqrt(ux * ux + uy * uy + uz * uz)
    slope = torch.sqrt(square(ux * (1.0 / rx)) + square(uy * (1.0 / ry)) + square(uz * (1.0 / rz)))
    return scale * (scale - 1.0) / (slope + 1e-6)


def bump(x: Tensor, y: Tensor, z: Tensor, sx: Tensor | float, sy: Tensor | float, sz: Tensor | float) -> Tensor:
    """A Gaussian hill of height 1 at the origin with widths sx, sy, sz: added to a distance, it sculpts."""
    return torch.exp(-(square(x * (1.0 / sx)) + square(y * (1.0 / sy)) + square(z * (1.0 / sz))))


def hill(value: Tensor, width: Tensor | float) -> Tensor:
    """A Gaussian hill along one coordinate."""
    return torch.exp(-square(value * (1.0 / width)))


def ramp(low: Tensor | float, high: Tensor | float, value: Tensor) -> Tensor:
    """Smoothstep from 0 at `low` to 1 at `high` (`low` may be the larger)."""
    t = torch.clamp((value - low) * (1.0 / (high - low)), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def segment(
    x: Tensor, y: Tensor, ax: Tensor | float, ay: Tensor | float, bx: Tensor | float, by: Tensor | float
) -> tuple[Tensor, Tensor]:
    """Distance in the plane to the segment a-b, and the position along it 0..1."""
    px, py, dx, dy = x - ax, y - ay, bx - ax, by - ay
    h = torch.clamp((px * dx + py * dy) / (dx * dx + dy * dy), 0.0, 1.0)
    return torch.sqrt(square(px - dx * h) + square(py - dy * h) + 1e-9), h
