"""From scene and controls to frames with exact truth."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tasks.studio.controls import Controls
from tasks.studio.materials import shade
from tasks.studio.posing import build_rig
from tasks.studio.rig import rig_rows
from tasks.studio.scene import Scene, sample_scene
from tasks.studio.trace import Tracer, compiled_field, field_along, has_compiler
from tasks.studio.truth import truth

__all__ = ["Rendered", "Scene", "render", "sample_scene"]

log = logging.getLogger(__name__)
COMPILE_FROM = 400  # frames in one call from which building the kernel (about a minute, then cached on disk) pays

EDGE_DEPTH = 0.07  # head units between neighbouring pixels, from which on they belong to different parts


@dataclass
class Rendered:
    """T frames and their truth.

    frames uint8 [T,H,W,3] RGB; alpha uint8 [T,H,W] figure coverage; materials uint8 [T,H,W] ids of
    tasks.studio.materials; landmarks float32 [T,106,2], kps float32 [T,5,2], bbox float32 [T,4] in px; mouth_opening
    float32 [T] in eye distances; visible bool [T]: all five points in the frame and the face turned to the camera.
    """

    frames: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8]
    materials: npt.NDArray[np.uint8]
    landmarks: npt.NDArray[np.float32]
    kps: npt.NDArray[np.float32]
    bbox: npt.NDArray[np.float32]
    mouth_opening: npt.NDArray[np.float32]
    visible: npt.NDArray[np.bool_]


def _evaluator(frames: int, compile_field: bool | None) -> Callable[..., Tensor]:
    wanted = frames >= COMPILE_FROM if compile_field is None else compile_field
    if not (wanted and has_compiler()):
        return field_along
    fast = compiled_field()

    broken = False

    def evaluate(*arguments: Tensor) -> Tensor:
        nonlocal broken
        if not broken:
            try:
                return fast(*arguments)
            except RuntimeError as error:  # a compiler that is there but does not work
                log.warning("torch.compile failed, rendering goes on slowly: %s", str(error).splitlines()[0])
                broken = True
        return field_along(*arguments)

    return evaluate


def _tone(linear: Tensor) -> Tensor:
    """Linear light to display values 0..1: a soft shoulder, then the sRGB curve."""
    x = torch.clamp(linear, min=0.0)
    x = torch.where(x > 0.6, 0.6 + 0.4 * (1.0 - torch.exp(-(x - 0.6) / 0.4)), x)
    return torch.where(x <= 0.0031308, 12.92 * x, 1.055 * torch.clamp(x, min=1e-6) ** (1 / 2.4) - 0.055)


@torch.no_grad()
def render(
    scene: Scene,
    controls: Controls,
    size: tuple[int, int] = (160, 160),
    device: str = "cpu",
    *,
    compile_field: bool | None = None,
) -> Rendered:
    """Render every row of `controls` at `size` (width, height), frame by frame so that memory stays constant.

    compile_field: build the field with torch.compile; None does so for long calls where a compiler is present. The
    picture is the same either way, up to rounding.
    """
    width, height = size
    frames = len(controls)
    rig = rig_rows(build_rig(scene.identity, controls), device)
    tracer = Tracer(scene.camera, size, device, _evaluator(frames, compile_field))
    backdrop = torch.as_tensor(scene.background.picture(size), device=device).reshape(-1, 3)
    out = torch.empty((frames, height, width, 3), dtype=torch.uint8)
    alpha = torch.empty((frames, height, width), dtype=torch.uint8)
    materials = torch.empty((frames, height, width), dtype=torch.uint8)
    for i in range(frames):
        hits = tracer.trace(rig[i], scene.light.key)
        colour, ids = shade(hits, rig[i], scene.identity, scene.light, tracer.pixel)
        index = tracer.image_index[hits.index]
        image, mask, material = (
            backdrop.clone(),
            torch.zeros(width * height, device=device),
            torch.zeros(width * height, dtype=torch.uint8, device=device),
        )
        image[index] += (colour - image[index]) * hits.coverage[:, None]
        mask[index] = hits.coverage
        material[index] = torch.where(hits.coverage > 0.5, ids, torch.zeros_like(ids))
        depth = torch.full((width * height,), float("nan"), device=device)
        depth[index] = hits.t
        picture = _lens(image.reshape(height, width, 3), depth.reshape(height, width))
        out[i] = (_tone(picture) * 255.0 + 0.5).to(torch.uint8).cpu()
        alpha[i] = (mask.reshape(height, width) * 255.0 + 0.5).to(torch.uint8).cpu()
        materials[i] = material.reshape(height, width).cpu()
    answers = [truth(part, scene.camera, size) for part in rig.split(64)]

    def gather(name: str) -> npt.NDArray[np.float32]:
        return torch.cat([getattr(answer, name) for answer in answers]).float().cpu().numpy()

    return Rendered(
        out.numpy(),
        alpha.numpy(),
        materials.numpy(),
        gather("landmarks"),
        gather("kps"),
        gather("bbox"),
        gather("mouth_opening"),
        gather("visible") > 0.5,
    )


def _lens(image: Tensor, depth: Tensor) -> Tensor:
    """A lens's slight softness, stronger where one part of the figure ends before another: `depth` [H,W] (NaN outside)
    jumps there, and the picture [H,W,3] would be jagged.
    """
    outside = torch.isnan(depth)
    nearest = -_pool(-torch.where(outside, torch.inf, depth))
    farthest = _pool(torch.where(outside, -torch.inf, depth))
    edge = (farthest - nearest > EDGE_DEPTH)[None, None]
    picture = torch.nn.functional.pad(image.permute(2, 0, 1)[None], (1, 1, 1, 1), mode="replicate")
    soft, softer = (_blur(picture, side) for side in (0.09, 0.25))
    return torch.where(edge, softer, soft)[0].permute(1, 2, 0)


def _blur(padded: Tensor, side: float) -> Tensor:
    kernel = torch.tensor([side, 1.0 - 2.0 * side, side], device=padded.device)
    weight = (kernel[:, None] * kernel[None])[None, None].expand(3, 1, 3, 3)
    return torch.nn.functional.conv2d(padded, weight, groups=3)


def _pool(values: Tensor) -> Tensor:
    """The largest value [H,W] among each pixel and its four neighbours."""
    across = torch.nn.functional.max_pool2d(values[None], (1, 3), 1, (0, 1))[0]
    return torch.maximum(across, torch.nn.functional.max_pool2d(values[None], (3, 1), 1, (1, 0))[0])
