"""The points a frame shows, in the head's own coordinates, with everything that colours are chosen by."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tasks.studio.curves import Eye, Mouth, eye, mouth
from tasks.studio.head import Layers, layers
from tasks.studio.rig import Rig
from tasks.studio.shapes import ramp, square
from tasks.studio.trace import Hits


class Surface(NamedTuple):
    """M points: x, y, z in the head's frame, bx, by, bz relative to the body; `foot` is a pixel's width there."""

    x: Tensor
    y: Tensor
    z: Tensor
    ax: Tensor
    bx: Tensor
    by: Tensor
    bz: Tensor
    foot: Tensor
    front: Tensor  # 0 behind the face's front, 1 on it
    tone: Tensor  # coarse noise, about -1..1
    fine: Tensor  # fine noise
    parts: Layers
    lips: Mouth
    lids: Eye
    q: Rig

    def colour(self, values: tuple[float, ...]) -> Tensor:
        """A colour [3] as a tensor."""
        return torch.tensor([float(value) for value in values], device=self.x.device)


def surface(hits: Hits, row: Tensor, seed: int, pixel: float) -> Surface:
    """The surface under the hits of one frame with rig row [K]; `pixel` is a pixel's angle, `seed` the person's."""
    q = Rig(*row.unbind(0))
    wx, wy, wz = hits.point
    px, py, pz = wx - q.tx, wy - q.ty, wz - q.tz
    x = q.r00 * px + q.r10 * py + q.r20 * pz
    y = q.r01 * px + q.r11 * py + q.r21 * pz
    z = q.r02 * px + q.r12 * py + q.r22 * pz
    return Surface(
        x, y, z, torch.abs(x), wx - q.body_x, wy - q.body_y, wz - q.body_z, pixel * hits.t, ramp(0.25, 0.45, z),
        noise(x * 2.2, y * 2.2, z * 2.2, seed % 97), noise(x * 17.0, y * 17.0, z * 17.0, seed % 89),
        layers(wx, wy, wz, q), mouth(x, q), eye(x, q), q,
    )  # fmt: skip


def mix(base: Tensor, colour: Tensor, weight: Tensor) -> Tensor:
    """Colours [M,3] moved towards `colour` by `weight` [M]."""
    return base + (colour - base) * weight[:, None]


def darken(base: Tensor, amount: Tensor) -> Tensor:
    """Colours [M,3] made darker by `amount` [M] (0 nothing, 1 black)."""
    return base * (1.0 - amount)[:, None]


def noise(x: Tensor, y: Tensor, z: Tensor, seed: float) -> Tensor:
    """Smooth, cheap noise in about -1..1 from warped sines; fixed to the head."""
    warp = torch.sin(x * 1.7 + y * 2.3 + seed) + torch.sin(y * 1.9 - z * 2.1 + seed * 1.7)
    warp = warp + torch.sin(z * 2.3 + x * 1.3 - seed)
    first, second = torch.sin(x * 3.9 - y * 2.9 + 2.0 * warp), torch.sin(y * 3.3 + z * 3.7 + warp)
    return first * second * torch.sin(z * 4.1 - x * 3.1 - warp)


def speckles(x: Tensor, y: Tensor, size: float, density: float, seed: float) -> Tensor:
    """Dots 0..1 on a jittered grid (freckles)."""
    gx, gy = torch.floor(x / size), torch.floor(y / size)
    h = torch.frac(torch.sin(gx * 127.1 + gy * 311.7 + seed) * 43758.5453).abs()
    k = torch.frac(torch.sin(gx * 269.5 + gy * 183.3 + seed) * 24634.6345).abs()
    cx, cy = (gx + 0.3 + 0.4 * h) * size, (gy + 0.3 + 0.4 * k) * size
    return (h * k < density).to(x.dtype) * torch.exp(-(square(x - cx) + square(y - cy)) / (0.20 * size) ** 2)
