"""Sphere tracing: from camera rays to surface points, ambient occlusion and soft shadow.

After J. C. Hart (1996), with a cone-marched coarse grid (one cone per 4x4 pixels) that finds empty tiles and
start depths.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from tasks.studio.head import field
from tasks.studio.rig import Rig

TILE = 4
FIELD_SPAN = 1.75  # nothing of the figure is farther than this in front of the head's origin
RELAX = 0.80  # the field is not exactly a distance near relief: step a little short
Triple = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Camera:
    """A pinhole at (x, y, distance) that looks along -z; `zoom` is the focal length in image heights."""

    distance: float
    zoom: float
    x: float
    y: float

    def project(self, points: Tensor, size: tuple[int, int]) -> Tensor:
        """World points [...,3] to pixels [...,2] of an image of `size` (width, height); pixel centres lie at +0.5."""
        width, height = size
        scale = self.zoom * height / (self.distance - points[..., 2])
        return torch.stack(
            [width / 2 + scale * (points[..., 0] - self.x), height / 2 - scale * (points[..., 1] - self.y)], -1
        )


def field_along(
    row: Tensor, ox: Tensor, oy: Tensor, oz: Tensor, step: Tensor, t: Tensor, dx: Tensor, dy: Tensor, dz: Tensor
) -> Tensor:
    """The field at o + (t + step)·d for rig row [K]: the one compiled kernel; o and d are vectors [N] or [1]."""
    s = t + step
    return field(ox + s * dx, oy + s * dy, oz + s * dz, Rig(*row.unbind(0)))


@lru_cache(maxsize=1)
def compiled_field() -> Callable[..., Tensor]:
    """`field_along` through the compiler; its first call builds (and caches on disk) the kernel."""
    return torch.compile(field_along, dynamic=True)


def has_compiler() -> bool:
    """Whether torch.compile can build CPU kernels here; DUBWRIGHT_COMPILE=0 says no."""
    return os.environ.get("DUBWRIGHT_COMPILE", "1") != "0" and bool(shutil.which("g++") or shutil.which("clang++"))


def _pick(axes: Triple, index: Tensor) -> Triple:
    x, y, z = axes
    return x[index], y[index], z[index]


@dataclass
class Hits:
    """Surface points of one frame: ray index, depth, position, normal, occlusion, shadow, coverage (all [M])."""

    index: Tensor
    t: Tensor
    coverage: Tensor
    point: Triple
    normal: Triple
    view: Triple
    occlusion: Tensor
    shadow: Tensor


class Tracer:
    """Traces frames of one camera and size; keeps the rays."""

    def __init__(
        self, camera: Camera, size: tuple[int, int], device: torch.device | str, evaluate: Callable[..., Tensor]
    ):
        self.camera, self.size, self.evaluate = camera, size, evaluate
        width, height = size
        self.pixel = 1.0 / (camera.zoom * height)
        across, down = -(-width // TILE), -(-height // TILE)
        self.tiles = (across, down)
        self.coarse = self._rays(
            (torch.arange(across, device=device) + 0.5) * TILE, (torch.arange(down, device=device) + 0.5) * TILE
        )
        self.rays = self._rays(
            torch.arange(across * TILE, device=device) + 0.5, torch.arange(down * TILE, device=device) + 0.5
        )
        column, row = torch.arange(across * TILE, device=device), torch.arange(down * TILE, device=device)
        inside = (row[:, None] < height) & (column[None] < width)
        self.tile_of = ((row // TILE)[:, None] * across + (column // TILE)[None]).reshape(-1)
        self.inside = inside.reshape(-1)
        self.image_index = (row[:, None] * width + column[None]).reshape(-1)
        one = torch.ones(1, device=device)
        self.origin = (one * camera.x, one * camera.y, one * camera.distance)
        self.zero = torch.zeros(1, device=device)

    def _rays(self, column: Tensor, row: Tensor) -> Triple:
        width, height = self.size
        x = ((column - width / 2) * self.pixel)[None].expand(len(row), -1).reshape(-1)
        y = ((height / 2 - row) * self.pixel)[:, None].expand(-1, len(column)).reshape(-1)
        scale = 1.0 / torch.sqrt(x * x + y * y + 1.0)
        return (x * scale).contiguous(), (y * scale).contiguous(), (-scale).contiguous()

    def _at(self, row: Tensor, step: Tensor, t: Tensor, rays: Triple) -> Tensor:
        return self.evaluate(row, *self.origin, step, t, *rays)

    def _start(self, row: Tensor) -> Tensor:
        """Start depth of every tile, infinite where its cone meets nothing."""
        near, far = self.camera.distance - FIELD_SPAN, self.camera.distance + 1.3
        cone = self.pixel * TILE * 0.75
        index = torch.arange(len(self.coarse[0]), device=row.device)
        start = torch.full((len(index),), float("inf"), device=row.device)
        t = torch.full((len(index),), near, device=row.device)
        rays = self.coarse
        for _ in range(24):
            d = self._at(row, self.zero, t, rays)
            free = d - cone * t - 0.015
            done = free <= 0
            start[index[done]] = t[done]
            t = t + torch.clamp(free, min=0.004) * 0.85
            keep = ~done & (t < far)
            index, t, rays = index[keep], t[keep], _pick(rays, keep)
            if len(index) < 2:
                break
        start[index] = t
        return start

    def trace(self, row: Tensor, light: tuple[float, float, float]) -> Hits:
        """Surface points of the frame whose rig row [K] this is, seen by all pixels that meet it."""
        start = self._start(row)[self.tile_of]
        index = torch.nonzero(torch.isfinite(start) & self.inside).squeeze(1)
        rays = _pick(self.rays, index)
        t = start[index]
        best, best_t = torch.full_like(t, 1e9), t.clone()
        active = torch.arange(len(index), device=row.device)
        at, far = t, self.camera.distance + 1.3
        moving = rays
        for step in range(44):
            d = self._at(row, self.zero, at, moving)
            reach = d / at
            closer = reach < best[active]
            best[active] = torch.where(closer, reach, best[active])
            best_t[active] = torch.where(closer, at, best_t[active])
            # the few rays left after a while graze something: hurry them past it
            at = at + (d * RELAX if step < 12 else torch.clamp(d, min=0.4 * self.pixel * self.camera.distance))
            if step % 2:
                keep = (d > 0.25 * self.pixel * at) & (at < far)
                active, at = active[keep], at[keep]
                if not len(active):
                    break
                moving = _pick(rays, active)
        coverage = torch.clamp(1.35 - best / self.pixel, 0.0, 1.0)
        hit = torch.nonzero(coverage > 0.02).squeeze(1)
        index, t, coverage = index[hit], best_t[hit], coverage[hit]
        return self._measure(row, index, t, coverage, _pick(rays, hit), light)

    def _measure(
        self, row: Tensor, index: Tensor, t: Tensor, coverage: Tensor, view: Triple, light: tuple[float, float, float]
    ) -> Hits:
        """Normals, occlusion and shadow at the points found."""
        px, py, pz = (o + t * v for o, v in zip(self.origin, view, strict=True))
        eps = 0.006
        # normal from four points of a tetrahedron
        gx, gy, gz = torch.zeros_like(t), torch.zeros_like(t), torch.zeros_like(t)
        one = torch.ones_like(self.zero)
        for ux, uy, uz in ((1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1)):
            d = self.evaluate(row, px, py, pz, one * eps, torch.zeros_like(t), one * ux, one * uy, one * uz)
            gx, gy, gz = gx + ux * d, gy + uy * d, gz + uz * d
        scale = 1.0 / torch.sqrt(gx * gx + gy * gy + gz * gz + 1e-12)
        normal = (gx * scale, gy * scale, gz * scale)
        occlusion = torch.ones_like(t)
        for reach, weight in ((0.05, 0.45), (0.16, 0.55)):
            d = self.evaluate(row, px, py, pz, one * reach, torch.zeros_like(t), *normal)
            occlusion = occlusion - weight * torch.clamp(1.0 - d / reach, 0.0, 1.0)
        # soft shadow towards the key light
        shadow = torch.ones_like(t)
        lx, ly, lz = (one * value for value in light)
        sx, sy, sz = (p + 0.03 * n for p, n in zip((px, py, pz), normal, strict=True))
        for reach in (0.07, 0.16, 0.32):
            d = self.evaluate(row, sx, sy, sz, one * reach, torch.zeros_like(t), lx, ly, lz)
            shadow = torch.minimum(shadow, torch.clamp(0.35 + 3.5 * d / reach, 0.0, 1.0))
        return Hits(index, t, coverage, (px, py, pz), normal, view, occlusion, shadow)
